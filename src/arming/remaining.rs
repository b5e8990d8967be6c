//! What is left of an arm: of its time, of its orders, and of the loss that it allows. Reads no clock and no file.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::limits::{Limits, rough};
use super::record::Armed;

/// What was heard of an account longer ago is not known any more.
const BLIND_AFTER: Duration = Duration::from_secs(60);

/// What a journal knows of the live effects that need an arm: orders that open, and forecasts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Effects {
    /// Its id; `None` where there is no journal yet.
    pub journal: Option<String>,
    /// How often an operator accepted the loss of an earlier one.
    pub losses: i64,
    /// How many may have left.
    pub left: u64,
    /// How many of them may still turn out never to have left.
    pub in_doubt: u64,
}

impl Effects {
    /// How many may have left since `then`. What was in doubt then counts again: it could have left afterwards.
    ///
    /// # Errors
    /// When this is not the journal that was there then.
    pub fn since(&self, then: &Self) -> Result<u64, String> {
        if self.losses != then.losses || then.journal.is_some() && self.journal != then.journal {
            let what = "the journal is not the one that was there when it was armed, so it is not known how many orders have left";
            return Err(what.to_owned());
        }
        Ok(self.left.saturating_sub(then.left.saturating_sub(then.in_doubt)))
    }
}

/// What is left of one arm.
#[derive(Debug)]
pub(super) struct Remaining {
    limits: Limits,
    until: Option<UtcMs>,
    /// The same in elapsed time, which no clock that is set back lengthens.
    deadline: Option<Instant>,
    /// Effects that count; `None` before the journal was asked.
    taken: Option<u64>,
    /// What accounts were worth when it was armed, by pipeline.
    equity: BTreeMap<String, Decimal>,
    /// What each has lost since, and when that was heard; a profit is below 0.
    lost: BTreeMap<String, (Decimal, Instant)>,
}

impl Remaining {
    /// Of an arm that is looked at when the wall clock shows `wall`. `seen`: the latest time that an earlier look has seen.
    pub(super) fn new(armed: &Armed, seen: Option<UtcMs>, wall: UtcMs, elapsed: Instant) -> Self {
        let limits = armed.terms.limits.clone();
        let until = limits.until.map(|until| until.instant(armed.at));
        // A clock that shows less than it has shown before was set back.
        let now = wall.max(armed.at).max(seen.unwrap_or(wall));
        let deadline = until.and_then(|until| elapsed.checked_add(until.since(now)));
        let equity = armed.equity.clone();
        Self { limits, until, deadline, taken: None, equity, lost: BTreeMap::new() }
    }

    /// Notes what an account is worth, and says why the arm is over, if it has lost too much.
    pub(super) fn note_equity(&mut self, pipeline: &str, equity: Option<Decimal>, elapsed: Instant) -> Option<String> {
        let (most, equity) = self.limits.max_loss.zip(equity)?;
        let lost = *self.equity.get(pipeline)? - equity;
        self.lost.insert(pipeline.to_owned(), (lost, elapsed));
        let what =
            || format!("the account of the pipeline {pipeline} has lost {lost} since it was armed, of at most {most}");
        (lost >= most).then(what)
    }

    /// Why it is not known what was lost; `None` when it is, or when no loss ends the arm.
    pub(super) fn is_blind(&self, elapsed: Instant) -> Option<String> {
        self.limits.max_loss?;
        let is_fresh = |pipeline: &&String| {
            let heard = self.lost.get(*pipeline).map(|(_, heard)| *heard);
            heard.is_some_and(|heard| elapsed.saturating_duration_since(heard) <= BLIND_AFTER)
        };
        let silent = self.equity.keys().find(|pipeline| !is_fresh(pipeline))?;
        Some(format!(
            "it is not known what was lost: the venue of the pipeline {silent} does not say what the account is worth"
        ))
    }

    /// Whether accounts must be asked what they are worth.
    pub(super) fn watches_loss(&self) -> bool {
        self.limits.max_loss.is_some()
    }

    /// When its time ends; `None`: it has no end.
    pub(super) fn ends(&self) -> Option<UtcMs> {
        self.until
    }

    /// Whether its time can end.
    pub(super) fn has_end(&self) -> bool {
        self.until.is_some()
    }

    /// Why its time is over; `None` while it is not.
    pub(super) fn is_over(&self, schedule: Option<UtcMs>, wall: UtcMs, elapsed: Instant) -> Option<String> {
        let until = self.until?;
        let reached = wall >= until || schedule.is_some_and(|now| now >= until);
        let is_over = reached || self.deadline.is_some_and(|deadline| elapsed >= deadline);
        is_over.then(|| format!("its time is over: it was armed until {until}"))
    }

    /// Whether effects must be counted.
    pub(super) fn counts(&self) -> bool {
        self.limits.max_orders.is_some()
    }

    /// So many have left already.
    pub(super) fn set_taken(&mut self, taken: u64) {
        self.taken = Some(taken);
    }

    /// Takes one effect.
    pub(super) fn take(&mut self) -> Result<(), String> {
        let Some(most) = self.limits.max_orders else { return Ok(()) };
        match &mut self.taken {
            Some(taken) if *taken < u64::from(most) => {
                *taken += 1;
                Ok(())
            }
            Some(_) => Err(spent(most)),
            None => Err("the orders that have left were not counted yet".to_owned()),
        }
    }

    /// One that was taken has not left.
    pub(super) fn give_back(&mut self) {
        self.taken = self.taken.map(|taken| taken.saturating_sub(1));
    }

    /// Why no effect is left; `None` while one is, or when it is not known.
    pub(super) fn is_spent(&self) -> Option<String> {
        let most = self.limits.max_orders?;
        self.taken.filter(|taken| *taken >= u64::from(most)).map(|_| spent(most))
    }

    /// For a log line.
    pub(super) fn text(&self, wall: UtcMs, elapsed: Instant) -> String {
        let until = self.until.map(|until| {
            let by_elapsed =
                self.deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(elapsed));
            format!("until {until}, in {}", rough(until.since(wall).min(by_elapsed)))
        });
        let orders = self.limits.max_orders.map(|most| match self.taken {
            Some(taken) => format!("{} of {most} orders left", u64::from(most).saturating_sub(taken)),
            None => format!("at most {most} orders"),
        });
        let loss = self.limits.max_loss.map(|most| match self.lost.values().map(|(lost, _)| *lost).max() {
            Some(lost) => format!("{} lost of at most {most}", lost.max(Decimal::ZERO)),
            None => format!("at most {most} lost"),
        });
        let all: Vec<String> = [until, orders, loss].into_iter().flatten().collect();
        if all.is_empty() { "without an end of its own".to_owned() } else { all.join("; ") }
    }
}

fn spent(most: u32) -> String {
    format!("its {most} orders have left")
}

#[cfg(test)]
mod tests {
    use sentinel_actors::ports::elapsed_now;

    use super::*;
    use crate::arming::tests::limited;

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: UtcMs = UtcMs(1_800_000_000_000);

    fn armed(limits: Limits) -> Armed {
        Armed { terms: limited(limits), at: NOW, effects: Effects::default(), equity: BTreeMap::new() }
    }

    fn for_hours(hours: u32) -> Armed {
        armed(Limits { until: format!("{hours}h").parse().ok(), ..Limits::default() })
    }

    #[test]
    fn time_ends_by_the_wall_clock_by_the_schedule_and_by_elapsed_time_whichever_is_first() {
        let start = elapsed_now();
        let remaining = Remaining::new(&for_hours(8), None, NOW, start);
        let over = |schedule: Option<UtcMs>, wall, elapsed| remaining.is_over(schedule, wall, elapsed).is_some();
        assert!(!over(Some(NOW), NOW.plus(8 * HOUR).before(), start + 8 * HOUR - Duration::from_millis(1)));
        assert!(over(None, NOW.plus(8 * HOUR), start), "the wall clock");
        assert!(over(Some(NOW.plus(8 * HOUR)), NOW, start), "the schedule");
        assert!(over(Some(NOW), NOW.minus(24 * HOUR), start + 8 * HOUR), "a clock that was set back while it ran");
        assert!(!over(Some(UtcMs(0)), NOW, start), "a replay of the past");
    }

    #[test]
    fn a_clock_that_was_set_back_between_two_runs_does_not_lengthen_it() {
        let start = elapsed_now();
        let left = |seen, wall| Remaining::new(&for_hours(8), seen, wall, start).deadline.unwrap() - start;
        assert_eq!(left(None, NOW.plus(HOUR)), 7 * HOUR);
        assert_eq!(left(None, NOW.minus(HOUR)), 8 * HOUR, "not before it was armed");
        assert_eq!(left(Some(NOW.plus(6 * HOUR)), NOW.plus(HOUR)), 2 * HOUR, "not before it was seen last");
        assert_eq!(left(Some(NOW.plus(9 * HOUR)), NOW), Duration::ZERO);
    }

    #[test]
    fn orders_are_taken_up_to_the_last_one_and_one_that_never_left_is_given_back() {
        let mut remaining =
            Remaining::new(&armed(Limits { max_orders: Some(3), ..Limits::default() }), None, NOW, elapsed_now());
        assert!(remaining.take().unwrap_err().contains("not counted"));
        remaining.set_taken(1);
        assert!(remaining.take().is_ok() && remaining.is_spent().is_none() && remaining.take().is_ok());
        assert_eq!((remaining.take(), remaining.is_spent()), (Err(spent(3)), Some(spent(3))));
        remaining.give_back();
        assert_eq!(remaining.text(NOW, elapsed_now()), "1 of 3 orders left");
        assert!(remaining.take().is_ok() && remaining.take().is_err());
    }

    #[test]
    fn a_loss_counts_from_when_it_was_armed_and_what_is_not_heard_is_not_known() {
        let mut armed = armed(Limits { max_loss: Some(50.into()), ..Limits::default() });
        armed.equity = BTreeMap::from([("eurusd".to_owned(), 1000.into())]);
        let start = elapsed_now();
        let mut remaining = Remaining::new(&armed, None, NOW, start);
        assert!(remaining.is_blind(start).unwrap().contains("the pipeline eurusd does not say"));
        assert_eq!(remaining.note_equity("eurusd", Some(951.into()), start), None);
        assert_eq!((remaining.text(NOW, start), remaining.is_blind(start)), ("49 lost of at most 50".to_owned(), None));
        assert!(remaining.is_blind(start + BLIND_AFTER + Duration::from_secs(1)).is_some());
        assert_eq!(remaining.note_equity("eurusd", None, start), None, "it says nothing of it");
        let over = remaining.note_equity("eurusd", Some(950.into()), start).unwrap();
        assert_eq!(over, "the account of the pipeline eurusd has lost 50 since it was armed, of at most 50");
    }

    #[test]
    fn what_has_left_since_counts_what_was_in_doubt_and_needs_the_same_journal() {
        let effects = |journal: Option<&str>, losses, left, in_doubt| Effects {
            journal: journal.map(str::to_owned),
            losses,
            left,
            in_doubt,
        };
        let then = effects(Some("a"), 0, 10, 2);
        assert_eq!(effects(Some("a"), 0, 10, 2).since(&then), Ok(2));
        assert_eq!(effects(Some("a"), 0, 9, 0).since(&then), Ok(1), "one of the two never left");
        assert_eq!(effects(Some("a"), 0, 15, 1).since(&then), Ok(7));
        assert!(effects(Some("b"), 0, 15, 1).since(&then).is_err());
        assert!(effects(Some("a"), 1, 15, 1).since(&then).is_err(), "an older copy that was accepted");
        assert_eq!(effects(Some("a"), 0, 4, 0).since(&Effects::default()), Ok(4), "armed before there was a journal");
        assert!(effects(Some("a"), 1, 4, 0).since(&Effects::default()).is_err());
    }
}
