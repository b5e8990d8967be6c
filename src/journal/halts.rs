//! Halts as rows: each request raises one, and the first lift of one stands.
//!
//! Promise kept: only [`lift`] ends a halt. A halt that the file no longer shows, or shows as lifted, is missed by [`Known`].

use rusqlite::types::Value;
use rusqlite::{Connection, Params, Row, params_from_iter};
use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Written;

use super::known::Known;
use super::rows::{meaningless, optional, text};
use super::tables::{HALTS, INSERT_HALT, REPLACE_HALT, RowFault, SELECT_HALTS, sealed};

/// Writes a halt, or finds the one of the same request.
pub(super) fn raise(connection: &Connection, known: &mut Known, new: NewHalt) -> Result<Written, RowFault> {
    if let Some(halt) = found(connection, "request = ?1", [new.request.as_str()])? {
        known.agree_halt(&halt)?;
        return Ok(Written::Halt(Box::new(halt)));
    }
    let number = u32::try_from(known.halts).ok().and_then(|halts| halts.checked_add(1));
    let number = number.ok_or_else(|| RowFault::damaged(HALTS.name, "their number is none"))?;
    let halt = Halt { id: HaltId(number), raised: new, lifted: None };
    connection.prepare_cached(&INSERT_HALT)?.execute(params_from_iter(sealed(values(&halt))))?;
    known.note_halt(&halt);
    Ok(Written::Halt(Box::new(halt)))
}

/// Lifts a halt, unless somebody has lifted it before.
pub(super) fn lift(
    connection: &Connection,
    known: &mut Known,
    id: HaltId,
    lifted: Lifted,
) -> Result<Written, RowFault> {
    let Some(mut halt) = found(connection, "number = ?1", [id.0])? else {
        known.require_no_halt(id)?;
        return Ok(Written::Refused(format!("there is no {id}")));
    };
    known.agree_halt(&halt)?;
    if halt.stands() {
        halt.lifted = Some(lifted);
        connection.prepare_cached(&REPLACE_HALT)?.execute(params_from_iter(sealed(values(&halt))))?;
        known.note_lifted(id);
    }
    Ok(Written::Halt(Box::new(halt)))
}

/// Takes in all halts at a start.
pub(super) fn audit(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut statement = connection.prepare(&format!("{} ORDER BY number", *SELECT_HALTS))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        HALTS.require_intact(row)?;
        known.note_halt(&halt_from(row)?);
    }
    Ok(())
}

fn found(connection: &Connection, condition: &str, params: impl Params) -> Result<Option<Halt>, RowFault> {
    let mut statement = connection.prepare_cached(&format!("{} WHERE {condition}", *SELECT_HALTS))?;
    let mut rows = statement.query(params)?;
    rows.next()?
        .map(|row| {
            HALTS.require_intact(row)?;
            halt_from(row)
        })
        .transpose()
}

/// The row of a halt, in the order of [`HALTS`].
fn values(halt: &Halt) -> Vec<Value> {
    let (pipeline, account, symbol) = match &halt.raised.scope {
        Scope::All => (None, None, None),
        Scope::Pipeline(pipeline) => (Some(pipeline), None, None),
        Scope::Account { account } => (None, Some(account), None),
        Scope::Symbol { account, symbol } => (None, Some(account), Some(symbol)),
    };
    let (raised, lifted) = (&halt.raised, halt.lifted.as_ref());
    vec![
        Value::Integer(halt.id.0.into()),
        text(&raised.request),
        optional(pipeline, text),
        optional(account, text),
        optional(symbol, text),
        text(raised.state.code()),
        text(raised.by.code()),
        text(&raised.who),
        text(&raised.why),
        text(&raised.evidence),
        Value::Integer(raised.since.0),
        optional(lifted, |lifted| text(&lifted.request)),
        optional(lifted, |lifted| text(&lifted.who)),
        optional(lifted, |lifted| text(&lifted.why)),
        optional(lifted, |lifted| Value::Integer(lifted.at.0)),
    ]
}

/// Reads a row selected with [`SELECT_HALTS`].
pub(super) fn halt_from(row: &Row<'_>) -> Result<Halt, RowFault> {
    let (state, by): (String, String) = (row.get("state")?, row.get("raised_by")?);
    let place = (row.get("pipeline")?, row.get("account")?, row.get("symbol")?);
    let scope = match place {
        (None, None, None) => Scope::All,
        (Some(pipeline), None, None) => Scope::Pipeline(pipeline),
        (None, Some(account), None) => Scope::Account { account },
        (None, Some(account), Some(symbol)) => Scope::Symbol { account, symbol },
        _ => return Err(meaningless("pipeline", "a place that is none")),
    };
    let state = TradingState::from_code(&state).filter(|state| *state != TradingState::Active);
    let lifted = match row.get("lifted_ms")? {
        None => None,
        Some(at) => Some(Lifted {
            request: row.get("lifted_request")?,
            who: row.get("lifted_who")?,
            why: row.get("lifted_why")?,
            at: UtcMs(at),
        }),
    };
    Ok(Halt {
        id: HaltId(row.get("number")?),
        raised: NewHalt {
            request: row.get("request")?,
            scope,
            state: state.ok_or_else(|| meaningless("state", "no state of a halt"))?,
            by: RaisedBy::from_code(&by).ok_or_else(|| meaningless("raised_by", by))?,
            who: row.get("who")?,
            why: row.get("why")?,
            evidence: row.get("evidence")?,
            since: UtcMs(row.get("since_ms")?),
        },
        lifted,
    })
}
