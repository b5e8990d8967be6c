//! What this process itself knows about the keys that it was about to send. It is the only proof that an order never left
//! when the process was interrupted between writing `sent` and handing the order over.
//!
//! It keeps a bounded number of keys. A forgotten key only costs a proof: it is asked about like one of an earlier process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::Ticket;

/// Far more than can be in doubt at a time.
const KEYS_MAX: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    /// About to be sent.
    Prepared,
    /// Given to the link, with the ticket that a reply named.
    Handed(Option<Ticket>),
    /// It never left and never will.
    Void,
    /// The gateway answered the order itself from its memory: it has filled another one under this id.
    Foreign,
}

/// Why a key may not be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred {
    /// It was declared absent.
    Void,
    /// It was handed over before.
    Handed,
}

/// What settling has to go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It never left, and from now on it never will.
    NeverLeft,
    /// It may have left; the ticket is one that a reply named.
    Open(Option<Ticket>),
    /// The gateway takes it for another order.
    Foreign,
}

/// The newest keys.
#[derive(Debug, Default)]
pub(super) struct Traces(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    traces: HashMap<IntentKey, Trace>,
    /// Oldest first.
    keys: VecDeque<IntentKey>,
}

impl Newest {
    fn put(&mut self, key: &IntentKey, trace: Trace) {
        if self.traces.insert(key.clone(), trace).is_some() {
            return;
        }
        self.keys.push_back(key.clone());
        if self.keys.len() > KEYS_MAX
            && let Some(oldest) = self.keys.pop_front()
        {
            self.traces.remove(&oldest);
        }
    }
}

impl Traces {
    fn with<T>(&self, work: impl FnOnce(&mut Newest) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key is about to be sent.
    pub(super) fn prepare(&self, key: &IntentKey) {
        self.with(|newest| {
            if !newest.traces.contains_key(key) {
                newest.put(key, Trace::Prepared);
            }
        });
    }

    /// The key's order is being given to the link: from here on it may have left.
    pub(super) fn hand_over(&self, key: &IntentKey) -> Result<(), Barred> {
        self.with(|newest| match newest.traces.get(key) {
            Some(Trace::Void) => Err(Barred::Void),
            Some(Trace::Handed(_) | Trace::Foreign) => Err(Barred::Handed),
            Some(Trace::Prepared) | None => {
                newest.put(key, Trace::Handed(None));
                Ok(())
            }
        })
    }

    /// The link proved that it never left.
    pub(super) fn never_left(&self, key: &IntentKey) {
        self.with(|newest| newest.put(key, Trace::Void));
    }

    /// A reply that settles nothing named a ticket.
    pub(super) fn note_ticket(&self, key: &IntentKey, ticket: Option<Ticket>) {
        self.with(|newest| newest.put(key, Trace::Handed(ticket)));
    }

    /// The gateway knew the id before.
    pub(super) fn note_foreign(&self, key: &IntentKey) {
        self.with(|newest| newest.put(key, Trace::Foreign));
    }

    /// What is known about an intent. A key that was only prepared becomes void, so that the answer stays true.
    pub(super) fn settle(&self, intent: &Intent) -> Known {
        self.with(|newest| match newest.traces.get(&intent.key) {
            Some(Trace::Prepared | Trace::Void) => {
                newest.put(&intent.key, Trace::Void);
                Known::NeverLeft
            }
            Some(Trace::Handed(ticket)) => Known::Open(*ticket),
            Some(Trace::Foreign) => Known::Foreign,
            None => Known::Open(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_keys_are_remembered() {
        let traces = Traces::default();
        let key = |number: usize| IntentKey::stored(format!("key{number}"));
        (0..=KEYS_MAX).for_each(|number| traces.prepare(&key(number)));
        traces.with(|newest| {
            assert_eq!((newest.traces.len(), newest.keys.len()), (KEYS_MAX, KEYS_MAX));
            assert!(!newest.traces.contains_key(&key(0)) && newest.traces.contains_key(&key(KEYS_MAX)));
        });
    }
}
