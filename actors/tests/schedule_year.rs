//! A year of slots for each schedule and market, with both changes of daylight saving, a clock that jumps and is set back, and a
//! machine that sleeps: no slot ends twice, none is forgotten, and none is begun late.
//!
//! The judge computes due times and market hours from civil time by rules of its own.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failing test should panic")]

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::civil::{Date, DateTime, Weekday, date};
use jiff::{SignedDuration, tz::TimeZone};
use proptest::prelude::*;
use sentinel_actors::domain::bar::{Cleaning, Interval, RawBar, clean};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::cycle::{SlotCommand, SlotEvent, SlotMachine};
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const LATENESS: Duration = Duration::from_secs(20);

const FX: &str = "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00";
const LONDON: &str = "Europe/London; Mon 08:00-Mon 16:30, Tue 08:00-Tue 16:30, Wed 08:00-Wed 16:30, Thu 08:00-Thu 16:30, \
                      Fri 08:00-Fri 16:30; closed 12-25 00:00-24:00, 12-26 00:00-24:00, 01-01 00:00-24:00";

fn ms(time: DateTime) -> i64 {
    time.to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond()
}

fn civil(at: i64) -> DateTime {
    UtcMs(at).timestamp().to_zoned(TimeZone::UTC).datetime()
}

/// The `nth` Sunday of a month; 5 is the last one.
fn sunday(year: i16, month: i8, nth: i8) -> Date {
    let nth = if nth == 5 { -1 } else { nth };
    date(year, month, 1).nth_weekday_of_month(nth, Weekday::Sunday).unwrap()
}

/// New York's time by its rule since 2007.
fn new_york(utc: DateTime) -> DateTime {
    let summer = sunday(utc.year(), 3, 2).at(7, 0, 0, 0)..sunday(utc.year(), 11, 1).at(6, 0, 0, 0);
    utc - SignedDuration::from_hours(if summer.contains(&utc) { 4 } else { 5 })
}

/// London's time by the rule of Europe.
fn london(utc: DateTime) -> DateTime {
    let summer = sunday(utc.year(), 3, 5).at(1, 0, 0, 0)..sunday(utc.year(), 10, 5).at(1, 0, 0, 0);
    utc + SignedDuration::from_hours(i64::from(summer.contains(&utc)))
}

fn fx_is_open(utc: DateTime) -> bool {
    let local = new_york(utc);
    let is_holiday = matches!((local.month(), local.day()), (12, 25) | (1, 1)) && local.hour() < 17;
    !is_holiday
        && match local.weekday() {
            Weekday::Friday => local.hour() < 17,
            Weekday::Saturday => false,
            Weekday::Sunday => local.hour() >= 17,
            _ => true,
        }
}

fn london_is_open(utc: DateTime) -> bool {
    let local = london(utc);
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    !matches!((local.month(), local.day()), (12, 25 | 26) | (1, 1))
        && !matches!(local.weekday(), Weekday::Saturday | Weekday::Sunday)
        && (8 * 60..16 * 60 + 30).contains(&minute)
}

/// A schedule, and the due times that it means, by the fields of a clock on UTC.
type Meaning = (&'static str, fn(DateTime) -> bool, i64);

const SCHEDULES: [Meaning; 3] = [
    ("every 1m at :58", |time| time.second() == 58, MINUTE),
    ("hourly at :00", |time| time.minute() == 0 && time.second() == 0, HOUR),
    ("on bar close + 5s", |time| time.minute() == 0 && time.second() == 5, HOUR),
];

/// What happens to the clock, and how many slots later.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    after: u32,
    /// Forward by a jump or a sleep, back when negative.
    by: i64,
    /// The cycle that runs takes so long.
    busy: i64,
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let by = prop_oneof![Just(0), -3 * HOUR..0, 0..3 * HOUR, 0..4 * 24 * HOUR, -30 * SECOND..30 * SECOND];
    (1_u32..400, by, prop_oneof![0..2 * SECOND, 0..3 * HOUR]).prop_map(|(after, by, busy)| Trouble { after, by, busy })
}

/// What became of each slot, and the clock at its beginning.
#[derive(Default)]
struct Year {
    ends: BTreeMap<i64, Reason>,
    begun: BTreeMap<i64, i64>,
}

impl Year {
    fn note(&mut self, now: i64, schedule: &Schedule, commands: &[SlotCommand]) {
        for command in commands {
            match *command {
                SlotCommand::Begin { slot, .. } => {
                    assert!(self.begun.insert(slot.0, now).is_none(), "{slot} began twice");
                    assert!((0..=20 * SECOND).contains(&(now - slot.0)), "{slot} began at {}", UtcMs(now));
                }
                SlotCommand::Finish { slot } => self.end(slot, Reason::Hold),
                SlotCommand::Miss { after, until, reason } => {
                    assert_eq!(reason.outcome(), Outcome::Missed);
                    schedule.slots(after, until).for_each(|slot| self.end(slot, reason));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn end(&mut self, slot: UtcMs, reason: Reason) {
        assert!(self.ends.insert(slot.0, reason).is_none(), "{slot} ended twice");
    }
}

/// Works through the year; gives what became of its slots and the latest time that the clock has shown.
fn run(text: &str, troubles: &[Trouble]) -> (Year, i64) {
    let schedule = Schedule::parse(text, Interval::new(Duration::from_secs(3600)).unwrap()).unwrap();
    let (begin, end) = (ms(date(2017, 1, 1).at(0, 0, 0, 0)), ms(date(2018, 1, 1).at(0, 0, 0, 0)));
    let start = UtcMs(begin).before();
    let mut machine = SlotMachine::new(schedule.clone(), Window::default(), LATENESS, start, start, Reason::NodeDown);
    let (mut year, mut now, mut latest) = (Year::default(), begin - 1, begin - 1);
    let mut troubles = troubles.iter().cycle().copied();
    let mut trouble = troubles.next();
    let mut slots = 0;
    while latest < end {
        let next = machine.next_due().unwrap().0;
        // A wait ends at its time or a little later.
        now = now.max(next) + (slots % 7) * 30;
        slots += 1;
        let busy = match &mut trouble {
            Some(Trouble { after, .. }) if *after > 0 => {
                *after -= 1;
                SECOND
            }
            Some(Trouble { by, busy, .. }) => {
                now += *by;
                let busy = *busy;
                trouble = troubles.next();
                busy
            }
            None => SECOND,
        };
        latest = latest.max(now);
        year.note(now, &schedule, &machine.on(SlotEvent::Tick { now: UtcMs(now) }));
        if let Some(flight) = machine.in_flight() {
            now += busy;
            latest = latest.max(now);
            // Slots that come due meanwhile are noticed while it runs.
            year.note(now, &schedule, &machine.on(SlotEvent::Tick { now: UtcMs(now) }));
            let ended = SlotEvent::Ended { slot: flight.slot, attempt: flight.attempt };
            year.note(now, &schedule, &machine.on(ended));
        }
    }
    (year, latest)
}

fn judge(year: &Year, latest: i64, is_due: fn(DateTime) -> bool, step: i64) {
    let begin = ms(date(2017, 1, 1).at(0, 0, 0, 0));
    let seconds = (begin..=latest).step_by(usize::try_from(SECOND).unwrap());
    let due: Vec<i64> = seconds.filter(|at| is_due(civil(*at))).collect();
    assert!(due.windows(2).all(|two| two[1] - two[0] == step), "the judge's own slots are even");
    let ended: Vec<i64> = year.ends.keys().copied().filter(|slot| *slot <= latest).collect();
    assert_eq!(ended.len(), due.len());
    assert_eq!(ended, due);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_year_of_slots_has_each_of_them_once_and_none_late(
        troubles in prop::collection::vec(trouble(), 5..40),
    ) {
        for (text, is_due, step) in SCHEDULES {
            let (year, latest) = run(text, &troubles);
            judge(&year, latest, is_due, step);
        }
    }
}

#[test]
fn a_year_without_trouble_begins_every_slot() {
    let none = [Trouble { after: u32::MAX, by: 0, busy: SECOND }];
    for (text, is_due, step) in SCHEDULES {
        let (year, latest) = run(text, &none);
        judge(&year, latest, is_due, step);
        assert_eq!(year.begun.len(), year.ends.len());
    }
}

#[test]
fn market_hours_are_those_of_the_local_clock_in_every_minute_of_a_year() {
    let (fx, london): (MarketCalendar, MarketCalendar) = (FX.parse().unwrap(), LONDON.parse().unwrap());
    let (begin, end) = (ms(date(2017, 1, 1).at(0, 0, 0, 0)), ms(date(2018, 1, 1).at(0, 0, 0, 0)));
    let mut open = [0, 0];
    for at in (begin..end).step_by(usize::try_from(MINUTE).unwrap()) {
        let utc = civil(at);
        let is_open = [fx.is_open(UtcMs(at)), london.is_open(UtcMs(at))];
        assert_eq!(is_open, [fx_is_open(utc), london_is_open(utc)], "{utc}");
        assert!(MarketCalendar::always().is_open(UtcMs(at)));
        open = [open[0] + u32::from(is_open[0]), open[1] + u32::from(is_open[1])];
    }
    // 52 weeks of 120 hours and of 42.5, about.
    assert!((365_000..380_000).contains(&open[0]) && (125_000..135_000).contains(&open[1]), "{open:?}");
}

/// Whether a market is open at this time on UTC.
type Hours = fn(DateTime) -> bool;

const LOST_EVERY: usize = 50;

/// How many slots were decided, in a closed market, and for want of the due bar.
fn year_of_bars(schedule: &Schedule, calendar: &str, is_open: Hours) -> [usize; 3] {
    let interval = Interval::new(Duration::from_secs(3600)).unwrap();
    let (calendar, max_age) = (calendar.parse().unwrap(), Duration::from_secs(30 * 60));
    let freshness = Freshness { interval, calendar, max_age, max_missing_bars: 1, settle: Duration::from_secs(2) };
    let (begin, end) = (ms(date(2017, 1, 1).at(0, 0, 0, 0)), ms(date(2018, 1, 1).at(0, 0, 0, 0)));
    // The newest bars that the vendor has, without those that it loses.
    let (mut bars, mut open_bars, mut at) = (VecDeque::new(), 0_usize, begin - 100 * HOUR);
    let mut counts = [0; 3];
    for slot in schedule.slots(UtcMs(begin), UtcMs(end)) {
        // A bar is due from two seconds after its close on.
        while at + HOUR + 2 * SECOND <= slot.0 {
            if is_open(civil(at)) {
                open_bars += 1;
                if !open_bars.is_multiple_of(LOST_EVERY) {
                    bars.push_back(bar(at));
                }
            }
            at += HOUR;
        }
        while bars.len() > 3 {
            bars.pop_front();
        }
        let due = at - HOUR;
        let times = Some(freshness.open_times(slot, 3));
        let delivered: Vec<RawBar> = bars.iter().copied().collect();
        let judged = freshness.judge(slot, &clean(&delivered, &Cleaning { tick: 0.0, times, window: Some(3) }));
        let is_there = bars.back().is_some_and(|bar| bar.time.0 == due);
        match judged.map_err(|ending| ending.reason) {
            Ok(fresh) => {
                assert_eq!((fresh.newest.0, is_open(civil(due))), (due, true), "{slot}");
                counts[0] += 1;
            }
            Err(Reason::MarketClosed) => {
                assert!(!is_open(civil(due)), "{slot}");
                counts[1] += 1;
            }
            Err(Reason::StaleData) => {
                assert!(is_open(civil(due)) && !is_there, "{slot}");
                counts[2] += 1;
            }
            Err(other) => panic!("{slot}: {other:?}"),
        }
    }
    counts
}

fn bar(at: i64) -> RawBar {
    let price = Some(1.0);
    RawBar { time: UtcMs(at), open: price, high: price, low: price, close: price, volume: None }
}

#[test]
fn closed_hours_are_told_from_late_bars_in_every_slot_of_a_year() {
    let markets: [(&str, Hours); 3] = [(FX, fx_is_open), (LONDON, london_is_open), ("always", |_| true)];
    for (calendar, is_open) in markets {
        for (text, _, step) in SCHEDULES {
            let schedule = Schedule::parse(text, Interval::new(Duration::from_secs(3600)).unwrap()).unwrap();
            let [decided, closed, late] = year_of_bars(&schedule, calendar, is_open);
            let slots = usize::try_from(365 * 24 * HOUR / step).unwrap();
            assert_eq!(decided + closed + late, slots, "{calendar}, {text}");
            assert!(decided > slots / 6 && late > slots / 500, "{calendar}, {text}: {decided}, {late}");
            assert_eq!(closed == 0, calendar == "always", "{calendar}, {text}: {closed}");
        }
    }
}
