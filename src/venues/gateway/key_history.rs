//! What this process itself knows about the keys that it was about to send. It is the only proof that an order never left
//! when the process was interrupted between writing `sent` and handing the order over.
//!
//! It keeps a bounded number of keys. A forgotten key only costs a proof: it is asked about like one of an earlier process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::Ticket;

/// Far more than can be open at a time.
const KEYS_MAX: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyState {
    /// About to be sent.
    Prepared,
    /// Given to the link, with the ticket that a reply named.
    HandedOver(Option<Ticket>),
    /// It never left and never will.
    NeverSent,
    /// The gateway answered the order itself from its memory: it has filled another one under this id.
    Foreign,
}

/// Why a key may not be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSendable {
    /// It was declared absent.
    NeverSent,
    /// It was handed over before.
    HandedOver,
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
pub(super) struct KeyHistory(Mutex<Newest>);

#[derive(Debug, Default)]
struct Newest {
    states: HashMap<IntentKey, KeyState>,
    /// Oldest first.
    keys: VecDeque<IntentKey>,
}

impl Newest {
    fn put(&mut self, key: &IntentKey, state: KeyState) {
        if self.states.insert(key.clone(), state).is_some() {
            return;
        }
        self.keys.push_back(key.clone());
        if self.keys.len() > KEYS_MAX
            && let Some(oldest) = self.keys.pop_front()
        {
            self.states.remove(&oldest);
        }
    }
}

impl KeyHistory {
    fn with<T>(&self, work: impl FnOnce(&mut Newest) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key is about to be sent.
    pub(super) fn prepare(&self, key: &IntentKey) {
        self.with(|newest| {
            if !newest.states.contains_key(key) {
                newest.put(key, KeyState::Prepared);
            }
        });
    }

    /// The key's order is being given to the link: from here on it may have left.
    pub(super) fn hand_over(&self, key: &IntentKey) -> Result<(), NotSendable> {
        self.with(|newest| match newest.states.get(key) {
            Some(KeyState::NeverSent) => Err(NotSendable::NeverSent),
            Some(KeyState::HandedOver(_) | KeyState::Foreign) => Err(NotSendable::HandedOver),
            Some(KeyState::Prepared) | None => {
                newest.put(key, KeyState::HandedOver(None));
                Ok(())
            }
        })
    }

    /// The link proved that it never left.
    pub(super) fn never_left(&self, key: &IntentKey) {
        self.with(|newest| newest.put(key, KeyState::NeverSent));
    }

    /// A reply that settles nothing named a ticket.
    pub(super) fn note_ticket(&self, key: &IntentKey, ticket: Option<Ticket>) {
        self.with(|newest| newest.put(key, KeyState::HandedOver(ticket)));
    }

    /// The gateway knew the id before.
    pub(super) fn note_foreign(&self, key: &IntentKey) {
        self.with(|newest| newest.put(key, KeyState::Foreign));
    }

    /// What is known about an intent. A key that was only prepared becomes [`KeyState::NeverSent`], so that the answer stays
    /// true.
    pub(super) fn settle(&self, intent: &Intent) -> Known {
        self.with(|newest| match newest.states.get(&intent.key) {
            Some(KeyState::Prepared | KeyState::NeverSent) => {
                newest.put(&intent.key, KeyState::NeverSent);
                Known::NeverLeft
            }
            Some(KeyState::HandedOver(ticket)) => Known::Open(*ticket),
            Some(KeyState::Foreign) => Known::Foreign,
            None => Known::Open(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_keys_are_remembered() {
        let key_history = KeyHistory::default();
        let key = |number: usize| IntentKey::stored(format!("key{number}"));
        (0..=KEYS_MAX).for_each(|number| key_history.prepare(&key(number)));
        key_history.with(|newest| {
            assert_eq!((newest.states.len(), newest.keys.len()), (KEYS_MAX, KEYS_MAX));
            assert!(!newest.states.contains_key(&key(0)) && newest.states.contains_key(&key(KEYS_MAX)));
        });
    }
}
