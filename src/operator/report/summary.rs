//! What is kept of a pipeline's slots while they pass one after the other, oldest first.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

use super::outages::{Outage, OutageWatch, Outages};
use super::part::{Part, Periods};
use super::spread::Spread;
use crate::operator::page::cells::Cell;

/// The newest slots that are drawn one by one: a week of hours, as on the page.
pub const DRAWN: usize = 168;
/// Bins of the drawing of confidence.
pub const CONFIDENCE_BINS: usize = 40;
pub const DAY_MS: i64 = 86_400_000;

/// Slots that ended for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonCount {
    pub slots: u64,
    pub first: UtcMs,
    pub last: UtcMs,
}

/// Slots in which the model had the same winner.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Decisions {
    pub slots: u64,
    /// Those whose confidence is known.
    pub confident: u64,
    sum: f64,
    pub highest: f64,
    /// Those that were more confident than the threshold.
    pub above: u64,
    /// Those in which something left.
    pub acted: u64,
}

impl Decisions {
    /// `None` while no confidence is known.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.confident > 0).then(|| self.sum / self.confident as f64)
    }
}

/// One pipeline in the range.
#[derive(Debug, Clone)]
pub struct Summary {
    pub name: String,
    pub periods: Option<Periods>,
    pub slots: u64,
    /// The first and the last slot; `None` while there is none.
    pub extent: Option<(UtcMs, UtcMs)>,
    pub reasons: BTreeMap<Reason, ReasonCount>,
    /// Outcomes by days since 1970, each in the order of the cells on the page.
    pub days: BTreeMap<i64, [u64; Cell::ALL.len()]>,
    /// By the code of the winner.
    pub decisions: BTreeMap<String, Decisions>,
    /// Slots by the confidence of the winner: those in which nothing left, and those that acted.
    pub confidence: [[u64; 2]; CONFIDENCE_BINS],
    /// What the newest decision had to exceed.
    pub threshold: Option<f64>,
    /// Slots with one value as an answer.
    pub values: u64,
    /// Decided slots by what the model knew of their bar.
    pub parts: BTreeMap<Part, u64>,
    /// Schedule time from due to begun, in milliseconds.
    pub late_ms: Spread,
    /// Elapsed time of all stages, in microseconds.
    pub worked_us: Spread,
    pub outages: Outages,
    /// Rows that something else than a node has changed.
    pub damaged: u64,
    /// The newest slots, oldest first.
    pub newest: VecDeque<SlotRecord>,
    watch: OutageWatch,
}

impl Summary {
    #[must_use]
    pub fn new(name: &str, periods: Option<Periods>) -> Self {
        Self {
            name: name.to_owned(),
            periods,
            slots: 0,
            extent: None,
            reasons: BTreeMap::new(),
            days: BTreeMap::new(),
            decisions: BTreeMap::new(),
            confidence: [[0; 2]; CONFIDENCE_BINS],
            threshold: None,
            values: 0,
            parts: BTreeMap::new(),
            late_ms: Spread::default(),
            worked_us: Spread::default(),
            outages: Outages::default(),
            damaged: 0,
            newest: VecDeque::new(),
            watch: OutageWatch::default(),
        }
    }

    /// Takes in the next slot; gives the outage that ends with it.
    pub fn add(&mut self, record: SlotRecord, is_intact: bool) -> Option<Outage> {
        let slot = record.slot;
        self.slots += 1;
        self.damaged += u64::from(!is_intact);
        self.extent = Some(self.extent.map_or((slot, slot), |(first, last)| (first.min(slot), last.max(slot))));
        let reason = self.reasons.entry(record.reason).or_insert(ReasonCount { slots: 0, first: slot, last: slot });
        (reason.slots, reason.first, reason.last) = (reason.slots + 1, reason.first.min(slot), reason.last.max(slot));
        let day = self.days.entry(slot.0.div_euclid(DAY_MS)).or_default();
        let cell = Cell::of(record.reason);
        for (count, _) in day.iter_mut().zip(Cell::ALL).filter(|(_, kind)| *kind == cell) {
            *count += 1;
        }
        self.add_decision(&record);
        if let Some(started) = record.started_at {
            self.late_ms.add(millis(started.since(slot)));
        }
        let worked: Vec<u64> = record.stage_us.iter().flatten().copied().collect();
        if !worked.is_empty() {
            self.worked_us.add(worked.iter().sum());
        }
        let ended = self.watch.see(slot, record.reason);
        self.note(ended.as_ref());
        self.newest.push_back(record);
        if self.newest.len() > DRAWN {
            self.newest.pop_front();
        }
        ended
    }

    /// No slot follows; gives the outage that none has ended.
    pub fn end(&mut self) -> Option<Outage> {
        let lasting = self.watch.end();
        self.note(lasting.as_ref());
        lasting
    }

    fn note(&mut self, outage: Option<&Outage>) {
        if let Some(outage) = outage {
            self.outages.add(outage.clone());
        }
    }

    fn add_decision(&mut self, record: &SlotRecord) {
        let has_acted = record.outcome() == Outcome::Acted;
        if record.signal.is_some() || matches!(record.raw_output.as_deref(), Some([_])) {
            *self.parts.entry(self.part_of(record)).or_default() += 1;
        }
        let Some(signal) = &record.signal else {
            self.values += u64::from(matches!(record.raw_output.as_deref(), Some([_])));
            return;
        };
        let decisions = self.decisions.entry(signal.clone()).or_default();
        decisions.slots += 1;
        decisions.acted += u64::from(has_acted);
        let threshold = record.weighed.as_ref().map(|weighed| weighed.threshold);
        self.threshold = threshold.or(self.threshold);
        let Some(confidence) = record.confidence.filter(|value| value.is_finite()) else { return };
        decisions.confident += 1;
        decisions.sum += confidence;
        decisions.highest = decisions.highest.max(confidence);
        decisions.above += u64::from(threshold.is_some_and(|threshold| confidence > threshold));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is kept within the bins")]
        let index = ((confidence.clamp(0.0, 1.0) * CONFIDENCE_BINS as f64) as usize).min(CONFIDENCE_BINS - 1);
        if let Some(count) = self.confidence.get_mut(index).and_then(|bin| bin.get_mut(usize::from(has_acted))) {
            *count += 1;
        }
    }

    /// What the model of this pipeline knew of the bar that a slot decided.
    #[must_use]
    pub fn part_of(&self, record: &SlotRecord) -> Part {
        Part::of(self.periods.as_ref(), record.newest_bar)
    }

    /// Slots that ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.reasons.iter().filter(|(reason, _)| reason.outcome() == outcome).map(|(_, count)| count.slots).sum()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::cycle::Weighed;
    use sentinel_actors::domain::decision::DecideOn;
    use sentinel_actors::domain::intent::Mode;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn slot(hour: i64, reason: Reason) -> SlotRecord {
        let due = UtcMs(hour * HOUR);
        let mut record = SlotRecord::new("eurusd", due, Mode::DryRun, reason, due.plus(Duration::from_secs(1)));
        if reason.outcome() != Outcome::Missed {
            record.started_at = Some(due.plus(Duration::from_millis(40)));
            record.stage_us = [Some(1_000), None, Some(500), None];
            record.newest_bar = Some(UtcMs((hour - 1) * HOUR));
        }
        record
    }

    fn decided(hour: i64, reason: Reason, signal: &str, confidence: f64) -> SlotRecord {
        let mut record = slot(hour, reason);
        (record.signal, record.confidence) = (Some(signal.to_owned()), Some(confidence));
        record.weighed = Some(Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 0, risk: None });
        record
    }

    fn of(periods: Option<Periods>, slots: impl IntoIterator<Item = SlotRecord>) -> Summary {
        let mut summary = Summary::new("eurusd", periods);
        for slot in slots {
            summary.add(slot, true);
        }
        summary.end();
        summary
    }

    #[test]
    fn every_slot_is_counted_once_by_reason_and_by_day() {
        let slots = [(23, Reason::MarketClosed), (24, Reason::NodeDown), (25, Reason::NodeDown), (49, Reason::Hold)];
        let summary = of(None, slots.map(|(hour, reason)| slot(hour, reason)));
        assert_eq!((summary.slots, summary.extent), (4, Some((UtcMs(23 * HOUR), UtcMs(49 * HOUR)))));
        let by_reason: u64 = summary.reasons.values().map(|count| count.slots).sum();
        let by_day: u64 = summary.days.values().flatten().sum();
        let by_outcome: u64 = Outcome::ALL.into_iter().map(|outcome| summary.count(outcome)).sum();
        assert_eq!((by_reason, by_day, by_outcome, summary.days.len()), (4, 4, 4, 3));
        let down = summary.reasons[&Reason::NodeDown];
        assert_eq!((down.slots, down.first, down.last), (2, UtcMs(24 * HOUR), UtcMs(25 * HOUR)));
        assert_eq!((summary.outages.count, summary.outages.slots), (1, 2));
        assert_eq!((summary.late_ms.quantile(500), summary.worked_us.count()), (Some(40), 2));
    }

    #[test]
    fn decisions_are_counted_by_winner_with_their_confidence_and_part() {
        let periods = Periods { trained: (UtcMs(0), UtcMs(10 * HOUR)), unseen_from: UtcMs(20 * HOUR) };
        let slots = [
            decided(5, Reason::OrderAcked, "buy", 0.8),
            decided(6, Reason::BelowThreshold, "buy", 0.5),
            decided(30, Reason::RiskMaxPositions, "sell", 0.7),
            slot(31, Reason::SourceTimeout),
        ];
        let summary = of(Some(periods), slots);
        let buy = summary.decisions["buy"];
        assert_eq!((buy.slots, buy.above, buy.acted, buy.highest), (2, 1, 1, 0.8));
        assert!((buy.mean().unwrap() - 0.65).abs() < 1e-9);
        assert_eq!(summary.parts, BTreeMap::from([(Part::Training, 2), (Part::Unseen, 1)]));
        let drawn: [u64; 2] = summary.confidence.iter().fold([0, 0], |sum, bin| [sum[0] + bin[0], sum[1] + bin[1]]);
        assert_eq!((drawn, summary.threshold), ([2, 1], Some(0.6)));
    }

    #[test]
    fn what_is_kept_does_not_grow_with_the_slots() {
        let summary = of(None, (0..5_000).map(|hour| slot(hour, Reason::Hold)));
        assert_eq!((summary.slots, summary.newest.len()), (5_000, DRAWN));
        assert_eq!(summary.newest.back().map(|slot| slot.slot), Some(UtcMs(4_999 * HOUR)));
    }
}
