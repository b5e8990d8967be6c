//! What losses of an account are counted from, as rows: one for each mode and account.
//!
//! Promise kept: baselines and the halt that they call for are written together, and only on top of those that they were made from. A
//! row that the file no longer shows, or shows changed, is missed by [`Losses`].

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::{AccountBaselines, AccountRecord};
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{AccountWrite, Written};

use super::halts;
use super::known::Known;
use super::rows::{meaningless, mode_from, number, optional, parsed, text};
use super::tables::{ACCOUNTS, INSERT_ACCOUNT, REPLACE_ACCOUNT, RowFault, SELECT_ACCOUNTS, sealed};

/// What losses of one account are counted from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAccount {
    pub mode: Mode,
    pub account: String,
    pub baselines: AccountBaselines,
}

/// An account in one mode.
type Key = (&'static str, String);

/// What the writer knows of accounts by itself; see [`Known`].
#[derive(Debug, Default)]
pub(super) struct Losses {
    baselines: BTreeMap<Key, AccountBaselines>,
    /// Steps of orders that may have left.
    steps: BTreeMap<Key, u64>,
}

impl Losses {
    /// How many accounts have baselines.
    pub(super) fn count(&self) -> i64 {
        i64::try_from(self.baselines.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn steps(&self, account: &str, mode: Mode) -> u64 {
        self.steps.get(&key(account, mode)).copied().unwrap_or(0)
    }

    /// Takes in an intent that was read, with its number of events, of which the first is its plan.
    pub(super) fn note_read(&mut self, intent: &Intent, events: i64) {
        let steps = u64::try_from(events - 1).unwrap_or(0);
        let never_left = intent.state == IntentState::Absent && steps == 1;
        self.add(intent, if never_left { 0 } else { steps });
    }

    /// Takes in one more event of an intent, which was `before` then.
    pub(super) fn note_advanced(&mut self, intent: &Intent, before: Option<IntentState>) {
        let never_left = (before, intent.state) == (Some(IntentState::Planned), IntentState::Absent);
        self.add(intent, u64::from(!never_left));
    }

    fn add(&mut self, intent: &Intent, steps: u64) {
        if intent.order().is_some() && steps > 0 {
            *self.steps.entry(key(&intent.account, intent.mode)).or_default() += steps;
        }
    }

    /// Compares what was found with what must be there.
    fn agree(&self, account: &str, mode: Mode, found: Option<&AccountBaselines>) -> Result<(), RowFault> {
        if self.baselines.get(&key(account, mode)) == found {
            return Ok(());
        }
        let what = if found.is_some() { "it is not what was written" } else { "it was written, and is not found" };
        Err(RowFault::damaged(format!("{} {} {account}", ACCOUNTS.name, mode.code()), what))
    }
}

fn key(account: &str, mode: Mode) -> Key {
    (mode.code(), account.to_owned())
}

pub(super) fn record(
    connection: &Connection,
    known: &Known,
    account: &str,
    mode: Mode,
) -> Result<AccountRecord, RowFault> {
    Ok(AccountRecord { baselines: found(connection, known, account, mode)?, orders: known.trace(account, mode) })
}

/// Writes baselines and their halt, unless they were made from others than those that stand.
pub(super) fn keep(connection: &Connection, known: &mut Known, write: AccountWrite) -> Result<Written, RowFault> {
    let AccountWrite { mode, account, from, baselines, halt } = write;
    let stored = found(connection, known, &account, mode)?;
    if stored.as_ref() != Some(&baselines) {
        if stored.as_ref().map(|stored| stored.revision) != from {
            return Ok(Written::Refused("the account has other baselines by now".to_owned()));
        }
        let sql = if stored.is_some() { &REPLACE_ACCOUNT } else { &INSERT_ACCOUNT };
        let values = sealed(values(mode, &account, &baselines));
        connection.prepare_cached(sql)?.execute(params_from_iter(values))?;
        known.losses.baselines.insert(key(&account, mode), baselines);
    }
    halt.map_or(Ok(Written::Done), |halt| halts::raise(connection, known, halt))
}

/// Takes in all accounts at a start.
pub(super) fn audit(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut statement = connection.prepare(&SELECT_ACCOUNTS)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        ACCOUNTS.require_intact(row)?;
        let KeptAccount { mode, account, baselines } = account_from(row)?;
        known.losses.baselines.insert(key(&account, mode), baselines);
    }
    Ok(())
}

fn found(
    connection: &Connection,
    known: &Known,
    account: &str,
    mode: Mode,
) -> Result<Option<AccountBaselines>, RowFault> {
    let sql = format!("{} WHERE mode = ?1 AND account = ?2", *SELECT_ACCOUNTS);
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([mode.code(), account])?;
    let baselines = match rows.next()? {
        None => None,
        Some(row) => {
            ACCOUNTS.require_intact(row)?;
            Some(account_from(row)?.baselines)
        }
    };
    known.losses.agree(account, mode, baselines.as_ref())?;
    Ok(baselines)
}

/// The row of an account, in the order of [`ACCOUNTS`].
fn values(mode: Mode, account: &str, baselines: &AccountBaselines) -> Vec<Value> {
    let money = |amount: Decimal| text(amount.to_string());
    vec![
        text(mode.code()),
        text(account),
        number(baselines.revision),
        Value::Integer(baselines.day.0),
        money(baselines.day_equity),
        money(baselines.peak_equity),
        money(baselines.balance),
        Value::Integer(baselines.balance_since.0),
        text(serde_json::to_string(&baselines.open).unwrap_or_default()),
        number(baselines.steps),
        Value::Integer(baselines.losses_in_row.into()),
        optional(baselines.cooling_until, |until| Value::Integer(until.0)),
        optional(baselines.halt.as_ref(), text),
    ]
}

/// Reads a row selected with [`SELECT_ACCOUNTS`].
pub(super) fn account_from(row: &Row<'_>) -> Result<KeptAccount, RowFault> {
    let count = |column| -> Result<u64, RowFault> {
        let value: i64 = row.get(column)?;
        u64::try_from(value).map_err(|_| meaningless(column, value.to_string()))
    };
    let open: String = row.get("open")?;
    let baselines = AccountBaselines {
        revision: count("revision")?,
        day: UtcMs(row.get("day_ms")?),
        day_equity: parsed(row, "day_equity")?,
        peak_equity: parsed(row, "peak_equity")?,
        balance: parsed(row, "balance")?,
        balance_since: UtcMs(row.get("balance_since_ms")?),
        open: serde_json::from_str(&open).map_err(|_| meaningless("open", open))?,
        steps: count("steps")?,
        losses_in_row: row.get("losses_in_row")?,
        cooling_until: row.get::<_, Option<i64>>("cooling_until_ms")?.map(UtcMs),
        halt: row.get("halt")?,
    };
    Ok(KeptAccount { mode: mode_from(row)?, account: row.get("account")?, baselines })
}
