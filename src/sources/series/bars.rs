//! The bars of a series in memory, and what changed when.

use std::collections::VecDeque;
use std::sync::Arc;

use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;

use crate::sources::cache::Revision;

/// Changes that are remembered for those who look at the bars only now and then.
const CHANGES_MAX: usize = 256;

/// Bars in memory.
#[derive(Debug, Default)]
pub struct Bars {
    /// Oldest first, unique; any may be unusable.
    bars: Vec<RawBar>,
    /// Grows with each change.
    version: u64,
    /// Version and oldest open time of each change, oldest first.
    changes: VecDeque<(u64, UtcMs)>,
    /// Versions and revisions, oldest first.
    revisions: VecDeque<(u64, Revision)>,
    /// What was handed out last: pipelines that want the same share it.
    shared: Shared,
}

impl Bars {
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Bars that open from `from` to `newest`.
    #[must_use]
    pub fn between(&self, from: UtcMs, newest: UtcMs) -> &[RawBar] {
        let begin = self.bars.partition_point(|bar| bar.time < from);
        let end = self.bars.partition_point(|bar| bar.time <= newest);
        self.bars.get(begin..end).unwrap_or_default()
    }

    /// Open time of the newest bar that could be decided on.
    pub(super) fn newest_usable(&self) -> Option<UtcMs> {
        self.bars.iter().rev().find(|bar| is_usable(bar)).map(|bar| bar.time)
    }

    /// As [`Bars::between`], for all who want the same.
    pub(in crate::sources) fn shared(&mut self, from: UtcMs, newest: UtcMs) -> Arc<[RawBar]> {
        let mut shared = std::mem::take(&mut self.shared);
        let bars = shared.get(self.version, (from, newest), || self.between(from, newest).into());
        self.shared = shared;
        bars
    }

    /// The oldest open time whose bar changed after `version`; `None`: nothing did.
    #[must_use]
    pub fn changed_since(&self, version: u64) -> Option<UtcMs> {
        if version == self.version {
            return None;
        }
        let known = self.changes.front().is_some_and(|(first, _)| *first <= version + 1);
        let newer = self.changes.iter().filter(|(change, _)| *change > version).map(|(_, time)| *time);
        if known { newer.min() } else { self.bars.first().map(|bar| bar.time) }
    }

    /// Bars that were changed after `version`, oldest change first.
    pub fn revised_since(&self, version: u64) -> impl Iterator<Item = &Revision> {
        self.revisions.iter().filter(move |(change, _)| *change > version).map(|(_, revision)| revision)
    }

    /// Takes delivered bars in, and says what changed.
    pub(super) fn merge(&mut self, delivered: Vec<RawBar>, seen: UtcMs) -> Merged {
        let mut merged = Merged::default();
        if self.bars.is_empty() && delivered.is_sorted_by(|a, b| a.time < b.time) {
            // Weeks of minutes, as a rule: they are held twice here, and not three times.
            self.bars = delivered.as_slice().to_vec();
            merged.rows = delivered;
        } else {
            self.merge_each(&delivered, seen, &mut merged);
        }
        if let Some(oldest) = merged.rows.iter().map(|bar| bar.time).min() {
            self.version += 1;
            self.changes.push_back((self.version, oldest));
            self.revisions.extend(merged.revisions.iter().map(|revision| (self.version, *revision)));
            self.changes.drain(..self.changes.len().saturating_sub(CHANGES_MAX));
            self.revisions.drain(..self.revisions.len().saturating_sub(CHANGES_MAX));
        }
        merged
    }

    fn merge_each(&mut self, delivered: &[RawBar], seen: UtcMs, merged: &mut Merged) {
        for bar in delivered {
            match self.bars.binary_search_by_key(&bar.time, |known| known.time) {
                Err(at) => {
                    self.bars.insert(at, *bar);
                    merged.rows.push(*bar);
                }
                Ok(at) => {
                    let known = &mut self.bars[at];
                    // A bar that was there stays when the vendor has nothing in its place.
                    if is_same(known, bar) || (is_usable(known) && !is_usable(bar)) {
                        continue;
                    }
                    let was = std::mem::replace(known, *bar);
                    merged.rows.push(*bar);
                    if is_usable(&was) {
                        merged.revisions.push(Revision { time: bar.time, was, is: *bar, seen });
                    }
                }
            }
        }
    }

    pub(super) fn forget_before(&mut self, oldest: UtcMs) {
        // In large steps, because each moves all that stay.
        let gone = self.bars.partition_point(|bar| bar.time < oldest);
        if gone > self.bars.len() / 4 {
            self.bars.drain(..gone);
        }
    }
}

/// A range of bars that was handed out.
#[derive(Debug, Default)]
pub(in crate::sources) struct Shared(Option<(u64, UtcMs, UtcMs, Arc<[RawBar]>)>);

impl Shared {
    /// The bars of a range at a version, made by `make` unless they are the same as the last time.
    pub(in crate::sources) fn get(
        &mut self,
        version: u64,
        (from, newest): (UtcMs, UtcMs),
        make: impl FnOnce() -> Arc<[RawBar]>,
    ) -> Arc<[RawBar]> {
        match &self.0 {
            Some((of, begin, end, bars)) if (*of, *begin, *end) == (version, from, newest) => bars.clone(),
            _ => {
                let bars = make();
                self.0 = Some((version, from, newest, bars.clone()));
                bars
            }
        }
    }
}

/// What a delivery changed.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) rows: Vec<RawBar>,
    pub(super) revisions: Vec<Revision>,
}

/// Bit for bit, so that a bar that is computed on again gives the same digest.
fn is_same(a: &RawBar, b: &RawBar) -> bool {
    let bits = |bar: &RawBar| [bar.open, bar.high, bar.low, bar.close, bar.volume].map(|value| value.map(f64::to_bits));
    bits(a) == bits(b)
}

/// Whether it has prices that could be decided on.
#[must_use]
pub fn is_usable(bar: &RawBar) -> bool {
    [bar.open, bar.high, bar.low, bar.close].iter().all(|price| price.is_some_and(|price| price > 0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UtcMs = UtcMs(1_000);

    fn bar(time: i64, price: Option<f64>) -> RawBar {
        RawBar { time: UtcMs(time), open: price, high: price, low: price, close: price, volume: None }
    }

    #[test]
    fn a_known_bar_is_replaced_by_another_price_and_never_by_none() {
        let mut bars = Bars::default();
        bars.merge(vec![bar(1, Some(1.0)), bar(2, None)], NOW);
        let nothing = bars.merge(vec![bar(1, None), bar(1, Some(0.0)), bar(1, Some(1.0)), bar(2, None)], NOW);
        assert!(nothing.rows.is_empty() && nothing.revisions.is_empty());
        let filled = bars.merge(vec![bar(2, Some(2.0))], NOW);
        assert_eq!((filled.rows.len(), filled.revisions.len()), (1, 0), "what was missing is no revision");
        let revised = bars.merge(vec![bar(1, Some(1.5))], NOW);
        assert_eq!(revised.revisions.len(), 1);
        assert_eq!(bars.between(UtcMs(0), UtcMs(9)), [bar(1, Some(1.5)), bar(2, Some(2.0))]);
    }

    proptest! {
        #[test]
        fn bars_are_sorted_and_unique_and_every_change_is_seen(
            deliveries in prop::collection::vec(prop::collection::vec((0_i64..30, proptest::option::weighted(0.8, 1_u8..4)), 0..12), 1..12),
        ) {
            let (mut bars, mut one_by_one) = (Bars::default(), Bars::default());
            let mut versions = vec![(bars.version(), Vec::new())];
            for delivery in deliveries {
                let delivery: Vec<RawBar> = delivery.into_iter().map(|(time, price)| bar(time, price.map(f64::from))).collect();
                for bar in &delivery {
                    one_by_one.merge(vec![*bar], NOW);
                }
                bars.merge(delivery, NOW);
                prop_assert_eq!(&bars.bars, &one_by_one.bars);
                versions.push((bars.version(), bars.bars.clone()));
            }
            prop_assert!(bars.bars.windows(2).all(|two| two[0].time < two[1].time));
            for (version, before) in versions {
                let old: Vec<&RawBar> = before.iter().collect();
                let changed = bars.bars.iter().find(|bar| !old.contains(bar)).map(|bar| bar.time);
                // It may say more, as when a bar came back to what it was, and never less.
                let said = bars.changed_since(version);
                prop_assert!(changed.is_none_or(|changed| said.is_some_and(|said| said <= changed)), "{said:?} {changed:?}");
            }
        }
    }
}
