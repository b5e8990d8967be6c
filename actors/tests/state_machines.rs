//! Properties of the slot machine and of the intent machine. The number of cases is 20,000 unless PROPTEST_CASES says otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing test should panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::bar::{Cleaning, DropReason, Interval, RawBar, clean};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::cycle::{InFlight, SlotCommand, SlotEvent, SlotMachine};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::intent::{Basis, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Role, Ticket};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;

fn config() -> ProptestConfig {
    let cases = std::env::vars().find(|(name, _)| name == "PROPTEST_CASES").and_then(|(_, value)| value.parse().ok());
    ProptestConfig { cases: cases.unwrap_or(20_000), failure_persistence: None, ..ProptestConfig::default() }
}

/// Starts near both daylight-saving changes of New York and of Europe, and anywhere else.
fn start_time() -> impl Strategy<Value = i64> {
    let changes = ["2017-03-12T07:00:00Z", "2017-11-05T06:00:00Z", "2017-03-26T01:00:00Z", "2017-10-29T01:00:00Z"];
    let near: Vec<i64> = changes.iter().map(|text| text.parse::<UtcMs>().unwrap().0).collect();
    prop_oneof![
        (prop::sample::select(near), -6 * HOUR..6 * HOUR).prop_map(|(base, offset)| base + offset),
        0..2_000_000_000 * SECOND,
    ]
}

#[derive(Debug, Clone)]
enum Step {
    /// Schedule time moves by this much; a backwards jump when negative.
    Move(i64),
    /// The cycle in flight ends.
    End,
    /// An old cycle's end arrives late.
    StaleEnd,
    /// The turn of the slot in flight does not come in time; of one that has begun, that is old news.
    NotBegun,
    /// The stage that holds the cycle fails.
    Fail { time_left: bool, same_input: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..90 * SECOND).prop_map(Step::Move),
        1 => (-2 * HOUR..5 * HOUR).prop_map(Step::Move),
        4 => Just(Step::End),
        1 => Just(Step::StaleEnd),
        1 => Just(Step::NotBegun),
        2 => (any::<bool>(), any::<bool>()).prop_map(|(time_left, same_input)| Step::Fail { time_left, same_input }),
    ]
}

/// What became of each slot, as an outside observer sees it.
#[derive(Default)]
struct Ledger {
    ends: BTreeMap<UtcMs, Reason>,
    begun: BTreeMap<UtcMs, u32>,
}

impl Ledger {
    fn note(&mut self, schedule: &Schedule, commands: &[SlotCommand]) {
        for command in commands {
            match *command {
                SlotCommand::Begin { slot, attempt } => {
                    assert!(!self.ends.contains_key(&slot), "{slot} began after its end");
                    let before = self.begun.insert(slot, attempt).unwrap_or(0);
                    assert_eq!(attempt, before + 1, "attempts of {slot} must count up");
                    assert!(attempt <= 2, "{slot} was run more than twice");
                }
                SlotCommand::Finish { slot } => self.end(slot, Reason::Hold),
                SlotCommand::Abort { slot, reason } => self.end(slot, reason),
                SlotCommand::Miss { after, until, reason } => {
                    assert_eq!(reason.outcome(), Outcome::Missed);
                    let slots: Vec<UtcMs> = schedule.slots(after, until).collect();
                    assert_eq!(slots.len() as u64, schedule.count(after, until));
                    for slot in slots {
                        self.end(slot, reason);
                    }
                }
                SlotCommand::End { slot, .. } | SlotCommand::Withdraw { slot } => panic!("{slot} was never announced"),
            }
        }
    }

    fn end(&mut self, slot: UtcMs, reason: Reason) {
        assert!(self.ends.insert(slot, reason).is_none(), "{slot} ended twice");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_due_slot_ends_exactly_once_whatever_the_clock_and_the_stages_do(
        start in start_time(),
        (period, offset) in prop::sample::select(vec![(60, 58), (3600, 0), (3600, 2), (300, 1), (14_400, 60)]),
        window_start in prop::option::of(-2 * HOUR..2 * HOUR),
        window_length in prop::option::of(1..12 * HOUR),
        down_for in 0..6 * HOUR,
        lateness in 0..60_u64,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let schedule = Schedule::every(Duration::from_secs(period), Duration::from_secs(offset)).unwrap();
        let window_from = window_start.map(|shift| UtcMs(start + shift));
        let window = Window {
            start: window_from,
            end: window_length.map(|length| UtcMs(window_from.map_or(start, |from| from.0) + length)),
        };
        let began = UtcMs(start);
        let mut now = start + down_for;
        let mut machine = SlotMachine::new(
            schedule.clone(), window, Duration::from_secs(lateness), began, UtcMs(now), Reason::NodeDown,
        );
        let mut ledger = Ledger::default();
        let mut newest_seen = now;
        let mut last_ended = None;
        ledger.note(&schedule, &machine.on(SlotEvent::Tick { now: UtcMs(now) }));

        for step in steps {
            let flying = machine.in_flight();
            let event = match step {
                Step::Move(by) => {
                    now += by;
                    newest_seen = newest_seen.max(now);
                    Some(SlotEvent::Tick { now: UtcMs(now) })
                }
                Step::End => flying.map(|InFlight { slot, attempt }| {
                    last_ended = Some((slot, attempt));
                    SlotEvent::Ended { slot, attempt }
                }),
                Step::StaleEnd => last_ended.map(|(slot, attempt)| SlotEvent::Ended { slot, attempt }),
                Step::NotBegun => flying.filter(|flying| flying.attempt == 1).map(|InFlight { slot, .. }| {
                    ledger.begun.remove(&slot);
                    SlotEvent::NotBegun { slot }
                }),
                Step::Fail { time_left, same_input } => flying.map(|InFlight { slot, attempt }| {
                    SlotEvent::StageFailed { slot, attempt, time_left, same_input }
                }),
            };
            if let Some(event) = event {
                ledger.note(&schedule, &machine.on(event));
            }
        }

        // What was due is what lies after the start, inside the window, up to the newest time that was seen.
        for slot in schedule.slots(began, UtcMs(newest_seen)) {
            if !window.contains(slot) {
                prop_assert!(!ledger.ends.contains_key(&slot) && !ledger.begun.contains_key(&slot), "{slot} lies outside");
                continue;
            }
            let flying = machine.in_flight().is_some_and(|flying| flying.slot == slot);
            prop_assert!(ledger.ends.contains_key(&slot) != flying, "{slot} has no end and is not in flight, or both");
        }
        // Nothing else ended, and nothing ended as anything but missed without having begun.
        for (slot, reason) in &ledger.ends {
            prop_assert!(*slot > began && slot.0 <= newest_seen);
            prop_assert_eq!(reason.outcome() == Outcome::Missed, !ledger.begun.contains_key(slot));
        }
        if let Some(next) = machine.next_due() {
            prop_assert!(next > machine.accounted());
        }
    }

    #[test]
    fn a_slot_is_only_begun_while_it_is_fresh(start in start_time(), jump in 0..3 * HOUR, lateness in 0..120_u64) {
        let schedule = Schedule::every(Duration::from_secs(60), Duration::from_secs(58)).unwrap();
        let window = Window::default();
        let lateness = Duration::from_secs(lateness);
        let mut machine = SlotMachine::new(schedule, window, lateness, UtcMs(start), UtcMs(start), Reason::NodeDown);
        let now = UtcMs(start + jump);
        for command in machine.on(SlotEvent::Tick { now }) {
            if let SlotCommand::Begin { slot, .. } = command {
                prop_assert!(now.since(slot) <= lateness && slot <= now);
            }
        }
    }

    #[test]
    fn an_fx_week_has_120_open_hours_in_every_week_of_every_year(week in 0..2600_i64) {
        let fx: MarketCalendar = "America/New_York; Sun 17:00-Fri 17:00".parse().unwrap();
        let saturday = UtcMs((week * 7 + 2) * 24 * HOUR + 12 * HOUR); // 1970-01-03 was a Saturday
        let open = (0..168).filter(|hour| fx.is_open(UtcMs(saturday.0 + hour * HOUR))).count();
        prop_assert_eq!(open, 120);
    }

    #[test]
    fn an_intent_ends_once_and_only_by_evidence(events in prop::collection::vec(intent_event(), 0..20)) {
        let mut state = IntentState::Planned;
        let mut sent = 0;
        for event in events {
            let Ok(next) = state.after(&event) else { continue };
            // What a ledger says later about a confirmed effect ends nothing and begins nothing.
            if matches!(event, IntentEvent::Noted { .. }) {
                prop_assert_eq!((state, next), (IntentState::Acked, IntentState::Acked));
                continue;
            }
            prop_assert!(!state.is_final(), "{} took {} after its end", state, event.name());
            sent += u32::from(event.is_send());
            prop_assert!(sent <= 1, "sent twice");
            // What may have left is only absent again by proof, and only acked or rejected by the venue or an operator.
            if next == IntentState::Absent && state.may_have_left() {
                let proof = matches!(
                    event,
                    IntentEvent::NeverLeft { .. } | IntentEvent::FoundAbsent { .. } | IntentEvent::SettledAbsent { .. }
                );
                prop_assert!(proof, "{} became absent by {}", state, event.name());
            }
            if next == IntentState::Acked {
                let confirmed = matches!(
                    event,
                    IntentEvent::Acked { .. } | IntentEvent::Found { .. } | IntentEvent::SettledAcked { .. }
                );
                prop_assert!(confirmed && sent == 1, "acked by {}", event.name());
            }
            if state == IntentState::Held {
                let by_operator = matches!(event, IntentEvent::SettledAcked { .. } | IntentEvent::SettledAbsent { .. });
                prop_assert!(by_operator, "held ended by {}", event.name());
            }
            state = next;
        }
    }

    #[test]
    fn keys_of_different_decisions_never_meet(
        (account, pipeline) in ("[a-z]{1,6}", "[a-z]{1,6}"),
        (other_account, other_pipeline) in ("[a-z]{1,6}", "[a-z]{1,6}"),
        (basis, other_basis) in (0..4_i64, 0..4_i64),
        (ticket, other_ticket) in (0..3_u64, 0..3_u64),
        (live, other_live) in (any::<bool>(), any::<bool>()),
        (bar, other_bar) in (any::<bool>(), any::<bool>()),
    ) {
        let role = |ticket: u64| if ticket == 0 { Role::Open } else { Role::Close(Ticket(ticket)) };
        let mode = |live: bool| if live { Mode::Live } else { Mode::DryRun };
        let kind = |bar: bool, time: i64| if bar { Basis::Bar(UtcMs(time)) } else { Basis::Slot(UtcMs(time)) };
        let (one_basis, two_basis) = (kind(bar, basis), kind(other_bar, other_basis));
        let one = IntentKey::derive(mode(live), &account, &pipeline, one_basis, role(ticket));
        let two = IntentKey::derive(mode(other_live), &other_account, &other_pipeline, two_basis, role(other_ticket));
        let other_kind = IntentKey::derive(mode(live), &account, &pipeline, kind(!bar, basis), role(ticket));
        let same = (live, account, pipeline, one_basis, ticket)
            == (other_live, other_account, other_pipeline, two_basis, other_ticket);
        prop_assert_eq!(one == two, same);
        prop_assert_eq!(one.as_str().len(), 32);
        prop_assert_ne!(one, other_kind, "a bar and a slot of the same time are two decisions");
    }
}

fn intent_event() -> impl Strategy<Value = IntentEvent> {
    let text = String::new;
    let receipt: Receipt = Fill { ticket: Ticket(1), volume_lots: 1.into(), price: None, text: text() }.into();
    prop::sample::select(vec![
        IntentEvent::Send,
        IntentEvent::Send,
        IntentEvent::Abandon,
        IntentEvent::NeverLeft { evidence: text() },
        IntentEvent::SendAfter { listed: Vec::new(), venue_note: None },
        IntentEvent::Acked { receipt: receipt.clone() },
        IntentEvent::Found { receipt: receipt.clone(), grade: Grade::Id },
        IntentEvent::Rejected { code: None, text: text() },
        IntentEvent::LostTrack { evidence: text() },
        IntentEvent::FoundAbsent { evidence: text() },
        IntentEvent::Hold { evidence: text() },
        IntentEvent::SettledAcked { receipt, evidence: text() },
        IntentEvent::SettledAbsent { evidence: text() },
        IntentEvent::Noted { fact: Fact::Admitted },
        IntentEvent::Noted { fact: Fact::Scored { score: text() } },
    ])
}

/// The ends of time, of calendars and of units, and anything else.
fn any_time() -> impl Strategy<Value = UtcMs> {
    let known = ["-009999-01-03T00:00:00Z", "1900-01-01T00:00:00Z", "1970-01-18T00:00:00Z", "2017-06-01T12:00:00Z"];
    let known = known.into_iter().chain(["2100-01-01T00:00:00Z", "9999-12-30T00:00:00Z"]);
    let known = known.map(|text| text.parse::<UtcMs>().unwrap().0).chain([i64::MIN, -1, 0, 1, i64::MAX]);
    prop_oneof![
        (prop::sample::select(known.collect::<Vec<_>>()), -3 * HOUR..3 * HOUR)
            .prop_map(|(base, offset)| UtcMs(base.saturating_add(offset))),
        any::<i64>().prop_map(UtcMs),
    ]
}

fn any_freshness() -> impl Strategy<Value = Freshness> {
    let calendars =
        ["always", "America/New_York; Sun 17:00-Fri 17:00; closed 12-25 00:00-17:00", "UTC; Mon 09:00-Mon 09:01"];
    let intervals = [60, 3600, 86_400];
    (prop::sample::select(calendars.to_vec()), prop::sample::select(intervals.to_vec()), 0..50_u32).prop_map(
        |(calendar, seconds, max_missing_bars)| {
            let interval = Interval::new(Duration::from_secs(seconds)).unwrap();
            let (max_age, settle) = (interval.length() * 2, Duration::ZERO);
            Freshness { interval, calendar: calendar.parse().unwrap(), max_age, max_missing_bars, settle }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: config().cases / 20, ..config() })]

    #[test]
    fn whatever_times_bars_have_they_are_judged_at_once(
        freshness in any_freshness(), slot in any_time(), times in prop::collection::vec(any_time(), 0..8),
    ) {
        let price = Some(1.1);
        let delivered: Vec<RawBar> = times
            .iter()
            .map(|time| RawBar { time: *time, open: price, high: price, low: price, close: price, volume: None })
            .collect();
        let began = elapsed_now();
        let open_times = freshness.open_times(slot, 224);
        let live = clean(&delivered, &Cleaning { tick: 1e-5, times: Some(open_times), window: Some(200) });
        let all = clean(&delivered, &Cleaning { tick: 1e-5, times: None, window: None });
        for bars in [&live, &all] {
            if let Ok(fresh) = freshness.judge(slot, bars) {
                prop_assert!(fresh.missing <= freshness.max_missing_bars);
            }
        }
        prop_assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        // None is used that a window cannot hold, and none is lost without being counted.
        prop_assert!(live.bars.iter().all(|bar| bar.time >= open_times.oldest && bar.time <= open_times.newest_closed));
        let dropped: u32 = live.dropped.values().sum();
        prop_assert_eq!(live.bars.len() + dropped as usize, delivered.len());
        prop_assert!(!all.dropped.contains_key(&DropReason::ImplausibleTime));
    }

    #[test]
    fn at_the_ends_of_time_the_schedule_neither_overflows_nor_loops(
        period in prop::sample::select(vec![60_u64, 3600, 86_400]), at in any_time(), other in any_time(), count in any::<u64>(),
    ) {
        let schedule = Schedule::every(Duration::from_secs(period), Duration::from_secs(58)).unwrap();
        let (after, until) = (at.min(other), at.max(other));
        prop_assert!(schedule.after(at) >= at.before() && schedule.newest_due(at) <= schedule.after(at));
        prop_assert!(schedule.nth_after(after, count) >= schedule.newest_due(after));
        let few: Vec<UtcMs> = schedule.slots(after, until).take(100).collect();
        prop_assert_eq!(few.len() as u64, schedule.count(after, until).min(100));
        prop_assert!(few.windows(2).all(|pair| pair[0] < pair[1]));
        for (nth, slot) in (1..).zip(&few) {
            prop_assert_eq!(schedule.nth_after(after, nth), *slot);
        }
        let window = Window { start: Some(after), end: Some(until) };
        let mut machine = SlotMachine::new(schedule, window, Duration::from_secs(20), other, other, Reason::PipelineDown);
        for now in [at, other, UtcMs(i64::MAX), UtcMs(i64::MIN)] {
            let commands = machine.on(SlotEvent::Tick { now });
            prop_assert!(commands.len() <= 4, "{:?}", commands);
        }
    }
}
