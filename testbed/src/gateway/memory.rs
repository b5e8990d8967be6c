//! The ids of orders that were filled whole, so that a repeated one is answered and not traded. It forgets as the real one
//! does: after an hour, beyond ten thousand ids, and with the process. It must never remember anything but 10009 (done).

use std::collections::{HashMap, VecDeque};

/// Ids that are remembered at most.
pub const IDS_MAX: usize = 10_000;
/// Milliseconds for which an id is remembered.
pub const REMEMBERED_MS: i64 = 3_600_000;

#[derive(Debug, Default)]
pub(super) struct IdMemory {
    tickets: HashMap<String, i64>,
    /// The same ids, oldest first, with the wall time of their fill.
    ages: VecDeque<(i64, String)>,
}

impl IdMemory {
    /// The ticket of a filled id. `now_ms` is wall time.
    pub(super) fn ticket(&mut self, id: &str, now_ms: i64) -> Option<i64> {
        while self.ages.front().is_some_and(|(filled_ms, _)| now_ms.saturating_sub(*filled_ms) >= REMEMBERED_MS) {
            self.forget_oldest();
        }
        self.tickets.get(id).copied()
    }

    /// Remembers a filled id that is not remembered yet.
    pub(super) fn remember(&mut self, id: &str, ticket: i64, now_ms: i64) {
        if self.ages.len() >= IDS_MAX {
            self.forget_oldest();
        }
        if self.tickets.insert(id.to_owned(), ticket).is_none() {
            self.ages.push_back((now_ms, id.to_owned()));
        }
    }

    /// As if the process were a new one.
    pub(super) fn forget_all(&mut self) {
        *self = Self::default();
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.ages.pop_front() {
            self.tickets.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_forgotten_after_an_hour() {
        let mut memory = IdMemory::default();
        memory.remember("a", 7, 1000);
        assert_eq!(memory.ticket("a", 1000 + REMEMBERED_MS - 1), Some(7));
        assert_eq!(memory.ticket("a", 1000 + REMEMBERED_MS), None);
    }

    #[test]
    fn the_oldest_of_more_than_ten_thousand_ids_is_forgotten() {
        let mut memory = IdMemory::default();
        for number in 0..=i64::try_from(IDS_MAX).unwrap() {
            memory.remember(&number.to_string(), number, 0);
        }
        assert_eq!(memory.ticket("0", 0), None);
        assert_eq!(memory.ticket("1", 0), Some(1));
        assert_eq!(memory.ticket(&IDS_MAX.to_string(), 0), Some(10_000));
    }
}
