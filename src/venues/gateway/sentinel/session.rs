//! What a process knows of a gateway: its store, its clock, and the account that the process trades on.
//!
//! The account of the first HELLO is that of the process: all that it sends is for that account and no other, so that a terminal which
//! is switched to another one is refused by the gateway, whoever notices first. Another account needs another start. A process that
//! closes what is open has that of the orders that opened it, before any HELLO.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::order::{Order, Role, Ticket};
use sentinel_actors::ports::elapsed_now;
use tokio::time::Instant;

use super::account::{Guard, Hello, Listed};
use super::reply::Stamp;

/// Positions whose stops and targets are looked after; the oldest go first.
const LEVELS_MAX: usize = 1_000;

/// Shared by all that use one link.
#[derive(Debug, Default)]
pub struct Session(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    heard: Option<Heard>,
    /// The last HELLO is about the store and the start that were heard last.
    is_open: bool,
    account: Option<Guard>,
    /// Why it is that account.
    began: Began,
    /// How many orders that the gateway had called absent it has found at the broker.
    contradictions: Option<u64>,
    /// Of positions that this process has opened with them: whether there was a stop, and a target.
    levels: BTreeMap<Ticket, (bool, bool)>,
}

/// Where the account of a process comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Began {
    #[default]
    WithHello,
    /// The newest order that was confirmed is there.
    WithItsOrders,
}

impl State {
    fn hear(&mut self, stamp: &Stamp) {
        let mut seen = stamp.seq;
        if let Some(heard) = self.heard.as_ref().filter(|heard| heard.ledger == stamp.ledger) {
            // A store that has less than was seen in it was rolled back: it is told what was seen.
            seen = seen.max(heard.seen);
        }
        self.is_open &= self.heard.as_ref().is_some_and(|heard| heard.is_of(stamp));
        let Stamp { now, boot, ledger, .. } = stamp.clone();
        self.heard = Some(Heard { ledger, boot, seen, now, at: elapsed_now() });
    }
}

/// What the gateway has said of itself last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) ledger: String,
    pub(super) boot: u64,
    /// The highest number seen in its store.
    pub(super) seen: u64,
    /// Its clock when a reply was stamped, and when that reply had come.
    now: i64,
    at: Instant,
}

impl Heard {
    /// The gateway's clock, or a little less: the reply was on its way.
    pub(super) fn now(&self) -> i64 {
        self.now.saturating_add(millis(elapsed_now().saturating_duration_since(self.at)))
    }

    fn is_of(&self, stamp: &Stamp) -> bool {
        (&self.ledger, self.boot) == (&stamp.ledger, stamp.boot)
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A session in which orders may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) heard: Heard,
    pub(super) account: Guard,
}

impl Session {
    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A reply said this. Another store or another start of the gateway needs another HELLO.
    pub(super) fn hear(&self, stamp: &Stamp) {
        self.with(|state| state.hear(stamp));
    }

    /// HELLO said this.
    ///
    /// # Errors
    /// When the terminal is on another account than that of this process.
    pub(super) fn begin(&self, stamp: &Stamp, hello: &Hello) -> Result<(), String> {
        self.with(|state| {
            state.hear(stamp);
            let account = state.account.get_or_insert_with(|| hello.account.clone());
            state.is_open = *account == hello.account;
            if state.is_open {
                return Ok(());
            }
            Err(match state.began {
                Began::WithHello => format!(
                    "the terminal is on the {}, and this process began on the {account}: log the terminal in there again, or arm what \
                     is there now and start the node again",
                    hello.account
                ),
                Began::WithItsOrders => format!(
                    "the terminal is on the {}, and the newest order that was confirmed to the node is older than that and is on the \
                     {account}: what is open is there, so log the terminal in there again",
                    hello.account
                ),
            })
        })
    }

    /// The account of this process is that of an order that was confirmed, whatever HELLO will say. Too late after the first HELLO.
    pub(super) fn begin_with(&self, account: Guard) {
        self.with(|state| {
            if state.account.is_none() {
                (state.account, state.began) = (Some(account), Began::WithItsOrders);
            }
        });
    }

    /// How many contradictions a gateway that tells of `told` has had since they were told last. The first number is of before this process.
    pub(super) fn new_contradictions(&self, told: u64) -> u64 {
        self.with(|state| {
            let known = state.contradictions.replace(told).unwrap_or(told);
            told.saturating_sub(known)
        })
    }

    /// An order was filled, with what it asked for according to its record.
    pub(super) fn opened(&self, ticket: Ticket, order: &Order) {
        let levels = (order.stop_price.is_some(), order.target_price.is_some());
        if order.role == Role::Open && levels != (false, false) {
            self.with(|state| {
                state.levels.insert(ticket, levels);
                if state.levels.len() > LEVELS_MAX {
                    state.levels.pop_first();
                }
            });
        }
    }

    /// Those of the listed positions that have lost a stop or a target that they were opened with; each is named once.
    pub(super) fn without_levels<'a>(&self, listed: &'a [Listed]) -> Vec<&'a Listed> {
        self.with(|state| {
            let lacks = |one: &&Listed| {
                let levels = state.levels.get(&one.position.ticket);
                let lacks =
                    levels.is_some_and(|(stop, target)| (*stop && !one.has_stop) || (*target && !one.has_target));
                lacks && state.levels.remove(&one.position.ticket).is_some()
            };
            listed.iter().filter(lacks).collect()
        })
    }

    /// What orders leave under, once there was a HELLO.
    pub(super) fn open(&self) -> Option<Open> {
        self.with(|state| {
            let (true, Some(heard), Some(account)) = (state.is_open, &state.heard, &state.account) else { return None };
            Some(Open { heard: heard.clone(), account: account.clone() })
        })
    }

    pub(super) fn heard(&self) -> Option<Heard> {
        self.with(|state| state.heard.clone())
    }

    pub(super) fn account(&self) -> Option<Guard> {
        self.with(|state| state.account.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stamp(ledger: &str, boot: u64, seq: u64) -> Stamp {
        Stamp { now: 1_000, ledger: ledger.to_owned(), boot, seq }
    }

    fn hello(login: u64) -> Hello {
        let account = json!({"login": login, "server": "Demo", "trade_mode": "demo", "margin_mode": "hedging"});
        Hello::read(json!({ "account": account })).unwrap()
    }

    #[test]
    fn another_store_or_start_needs_another_hello_and_a_store_keeps_its_highest_number() {
        let session = Session::default();
        assert_eq!(session.open(), None);
        session.begin(&stamp("a", 1, 5), &hello(7)).unwrap();
        session.hear(&stamp("a", 1, 3));
        assert_eq!(session.open().map(|open| open.heard.seen), Some(5), "a number that goes back is remembered");
        session.hear(&stamp("a", 2, 3));
        assert_eq!((session.open(), session.heard().map(|heard| heard.seen)), (None, Some(5)));
        session.begin(&stamp("a", 2, 3), &hello(7)).unwrap();
        assert!(session.open().is_some());
        session.hear(&stamp("b", 2, 3));
        assert_eq!((session.open(), session.heard().map(|heard| heard.seen)), (None, Some(3)), "another store");
    }

    #[test]
    fn a_process_keeps_the_account_of_its_first_hello() {
        let session = Session::default();
        session.begin(&stamp("a", 1, 5), &hello(7)).unwrap();
        let why = session.begin(&stamp("a", 1, 5), &hello(8)).unwrap_err();
        assert!(why.contains("account 8") && why.contains("account 7"), "{why}");
        assert_eq!((session.open(), session.account().map(|account| account.login)), (None, Some(7)));
        session.begin(&stamp("a", 1, 5), &hello(7)).unwrap();
        assert!(session.open().is_some());
    }

    #[test]
    fn contradictions_of_before_are_not_new_and_later_ones_are_new_once() {
        let session = Session::default();
        let new = [2, 2, 5, 5, 0, 1].map(|told| session.new_contradictions(told));
        assert_eq!(new, [0, 0, 3, 0, 0, 1], "a store that lost some begins anew");
    }

    #[test]
    fn the_account_of_the_orders_goes_before_that_of_the_first_hello() {
        let session = Session::default();
        session.begin_with(hello(7).account);
        let why = session.begin(&stamp("a", 1, 5), &hello(8)).unwrap_err();
        assert!(why.contains("terminal is on the account 8") && why.contains("is on the account 7"), "{why}");
        assert_eq!(session.open(), None);
        session.begin_with(hello(8).account);
        session.begin(&stamp("a", 1, 5), &hello(7)).unwrap();
        assert!(session.open().is_some());
    }
}
