//! Outages: slots in a row that a pipeline missed.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

/// Missed slots without another one between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// The first missed slot.
    pub first: UtcMs,
    /// The last missed slot.
    pub last: UtcMs,
    /// The slot after it, which was not missed; `None`: there is none yet.
    pub until: Option<UtcMs>,
    pub slots: u64,
    /// How many of them were missed for which reason.
    pub reasons: BTreeMap<Reason, u64>,
}

impl Outage {
    /// From its first slot to the one that was not missed any more; without such a one, to its last slot: it lasted at least so long.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.until.unwrap_or(self.last).since(self.first)
    }

    /// `node_down`, or `node_down 3, late 1`.
    #[must_use]
    pub fn why(&self) -> String {
        match self.reasons.iter().next() {
            Some((reason, _)) if self.reasons.len() == 1 => reason.to_string(),
            _ => self.reasons.iter().map(|(reason, slots)| format!("{reason} {slots}")).collect::<Vec<_>>().join(", "),
        }
    }
}

/// Finds the outages of one pipeline while its slots pass in their order.
#[derive(Debug, Clone, Default)]
pub struct OutageWatch(Option<Outage>);

impl OutageWatch {
    /// The next slot; gives the outage that ends with it.
    pub fn see(&mut self, slot: UtcMs, reason: Reason) -> Option<Outage> {
        if reason.outcome() != Outcome::Missed {
            let mut ended = self.0.take()?;
            ended.until = Some(slot);
            return Some(ended);
        }
        let outage = self.0.get_or_insert_with(|| Outage {
            first: slot,
            last: slot,
            until: None,
            slots: 0,
            reasons: BTreeMap::new(),
        });
        (outage.last, outage.slots) = (slot, outage.slots + 1);
        *outage.reasons.entry(reason).or_default() += 1;
        None
    }

    /// The outage that no slot has ended.
    pub fn end(&mut self) -> Option<Outage> {
        self.0.take()
    }
}

/// The longest of many outages, and how many there were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outages {
    pub count: u64,
    /// Missed slots in all of them.
    pub slots: u64,
    /// The longest first, at most [`Self::LISTED`].
    pub longest: Vec<Outage>,
}

impl Outages {
    /// How many are listed.
    pub const LISTED: usize = 30;

    pub fn add(&mut self, outage: Outage) {
        self.count += 1;
        self.slots += outage.slots;
        let longer = |other: &Outage| (other.slots, other.length()) >= (outage.slots, outage.length());
        let place = self.longest.partition_point(longer);
        if place < Self::LISTED {
            self.longest.insert(place, outage);
            self.longest.truncate(Self::LISTED);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outages(reasons: &[Reason]) -> Vec<Outage> {
        let mut watch = OutageWatch::default();
        let slots = reasons.iter().zip(0_i64..);
        let mut found: Vec<Outage> = slots.filter_map(|(reason, n)| watch.see(UtcMs(n * 1000), *reason)).collect();
        found.extend(watch.end());
        found
    }

    #[test]
    fn missed_slots_in_a_row_are_one_outage_with_its_reasons_and_length() {
        use Reason::{Hold, Late, NodeDown};
        let [first, second] = outages(&[Hold, NodeDown, NodeDown, Late, Hold, Hold, Late]).try_into().unwrap();
        assert_eq!((first.first, first.last, first.until), (UtcMs(1000), UtcMs(3000), Some(UtcMs(4000))));
        assert_eq!(
            (first.slots, first.length(), first.why()),
            (3, Duration::from_secs(3), "node_down 2, late 1".to_owned())
        );
        assert_eq!((second.slots, second.until, second.length()), (1, None, Duration::ZERO));
        assert_eq!(second.why(), "late");
    }

    #[test]
    fn a_slot_that_was_skipped_is_no_outage() {
        assert_eq!(outages(&[Reason::MarketClosed, Reason::SourceTimeout, Reason::Hold]), []);
    }

    #[test]
    fn of_many_outages_the_longest_are_listed_and_all_are_counted() {
        let mut all = Outages::default();
        for slots in 1..=100_u64 {
            let length = i64::try_from(slots).unwrap() * 1000;
            let until = Some(UtcMs(length));
            all.add(Outage { first: UtcMs(0), last: UtcMs(length - 1000), until, slots, reasons: BTreeMap::new() });
        }
        let listed: Vec<u64> = all.longest.iter().map(|outage| outage.slots).collect();
        assert_eq!((all.count, all.slots, listed.len()), (100, 5050, Outages::LISTED));
        assert_eq!(listed, (71..=100).rev().collect::<Vec<u64>>());
    }

    proptest! {
        #[test]
        fn every_missed_slot_is_in_exactly_one_outage(chosen in proptest::collection::vec(0..4_usize, 0..60)) {
            let kinds = [Reason::Hold, Reason::NodeDown, Reason::Late, Reason::MarketClosed];
            let reasons: Vec<Reason> = chosen.into_iter().map(|index| kinds[index]).collect();
            let found = outages(&reasons);
            let missed = |at: usize| reasons[at].outcome() == Outcome::Missed;
            let mut covered = vec![0; reasons.len()];
            for outage in &found {
                prop_assert_eq!(outage.reasons.values().sum::<u64>(), outage.slots);
                let (from, to) = (outage.first.0 / 1000, outage.last.0 / 1000);
                (from..=to).for_each(|at| covered[usize::try_from(at).unwrap()] += 1);
                prop_assert_eq!(outage.slots, u64::try_from(to - from + 1).unwrap());
            }
            for (at, times) in covered.iter().enumerate() {
                prop_assert_eq!(*times, i32::from(missed(at)), "slot {}", at);
            }
        }
    }
}
