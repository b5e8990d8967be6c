//! A year of the real tree, with the weekends, the holidays and both clock changes of two markets: the verdict is never bad.
//!
//! The hours of the markets are worked out here by rules of their own.

use std::time::Duration;

use jiff::civil::{DateTime, Weekday, date};
use jiff::{SignedDuration, tz::TimeZone};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, Verdict};
use sentinel_actors::ports::SlotFeed;
use sentinel_actors::status::Seen;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::settings;

const SECOND: Duration = Duration::from_secs(1);
const FX: &str = "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00";
const LONDON: &str = "Europe/London; Mon 08:00-Mon 17:00, Tue 08:00-Tue 17:00, Wed 08:00-Wed 17:00, Thu 08:00-Thu 17:00, \
                      Fri 08:00-Fri 17:00; closed 12-25 00:00-24:00, 12-26 00:00-24:00, 01-01 00:00-24:00";

fn local(at: UtcMs, winter: i64, is_summer: impl Fn(DateTime) -> bool) -> DateTime {
    let utc = at.timestamp().to_zoned(TimeZone::UTC).datetime();
    utc + SignedDuration::from_hours(winter + i64::from(is_summer(utc)))
}

/// The `nth` Sunday of a month, at an hour.
fn sunday(of: DateTime, month: i8, nth: i8, hour: i8) -> DateTime {
    date(of.year(), month, 1).nth_weekday_of_month(nth, Weekday::Sunday).unwrap().at(hour, 0, 0, 0)
}

fn fx_is_open(at: UtcMs) -> bool {
    let local = local(at, -5, |utc| (sunday(utc, 3, 2, 7)..sunday(utc, 11, 1, 6)).contains(&utc));
    let is_holiday = matches!((local.month(), local.day()), (12, 25) | (1, 1)) && local.hour() < 17;
    !is_holiday
        && match local.weekday() {
            Weekday::Friday => local.hour() < 17,
            Weekday::Saturday => false,
            Weekday::Sunday => local.hour() >= 17,
            _ => true,
        }
}

fn london_is_open(at: UtcMs) -> bool {
    let local = local(at, 0, |utc| (sunday(utc, 3, -1, 1)..sunday(utc, 10, -1, 1)).contains(&utc));
    let is_holiday = matches!((local.month(), local.day()), (12, 25 | 26) | (1, 1));
    !is_holiday && !matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday) && (8..17).contains(&local.hour())
}

/// Looks at the node at every slot, while it is decided, when it is late if it was not, and in between.
async fn a_year(calendar: &str, hours: fn(UtcMs) -> bool) -> World {
    let world = World::new().with(|inner| {
        inner.hours = Some(hours);
        inner.answer = Ok(vec![0.1, 0.8, 0.1]);
        inner.waits_blindly = true;
        // As often as a pipeline looks at its clock, so that a year takes seconds.
        inner.beat_every = 60 * SECOND;
    });
    let mut hourly = settings();
    hourly.slots = SlotFeed::Grid(Schedule::parse("on bar close + 5s", hourly.freshness.interval).unwrap());
    hourly.freshness.calendar = calendar.parse().unwrap();
    hourly.freshness.max_age = HOUR / 2;
    // A market that has just opened has not closed three bars yet.
    hourly.freshness.max_missing_bars = 3;
    let node = world.start(hourly).await;
    let judge = || {
        let now = world.now();
        let seen = Seen { at: now, started_at: START, version: "", fresh_for: 15 * SECOND };
        let judgement = Judgement::of(&node.board.view(seen), now);
        let expected = if node.board.totals().slots() == 0 { Verdict::Waiting } else { Verdict::Working };
        assert_eq!((judgement.verdict, judgement.is_bad()), (expected, false), "{now}: {judgement}");
    };
    // Until a second after the first slot is due.
    tokio::time::sleep(HOUR / 2 + 5 * SECOND).await;
    for _ in 0..366 * 24 {
        for pause in [0, 1, 40, 5, 1_000, 1_554, 1_000].map(Duration::from_secs) {
            tokio::time::sleep(pause).await;
            judge();
        }
    }
    node.root.stop(None);
    world
}

fn check(world: &World, open_min: usize) {
    let reasons = world.reasons();
    let count = |wanted: &dyn Fn(&Reason) -> bool| reasons.iter().filter(|reason| wanted(reason)).count();
    let (closed, held) = (count(&|reason| *reason == Reason::MarketClosed), count(&|reason| *reason == Reason::Hold));
    assert!(reasons.len() >= 366 * 24 - 1 && held >= open_min && closed > 2_000, "{held} {closed} {}", reasons.len());
    assert_eq!(count(&|reason| reason.is_fault()), 0, "{:?}", reasons.iter().find(|reason| reason.is_fault()));
}

#[tokio::test(start_paused = true)]
async fn a_year_of_new_yorks_weekends_holidays_and_clock_changes_is_never_bad() {
    check(&a_year(FX, fx_is_open).await, 6_100);
}

#[tokio::test(start_paused = true)]
async fn a_year_of_londons_nights_holidays_and_clock_changes_is_never_bad() {
    check(&a_year(LONDON, london_is_open).await, 2_200);
}
