use proptest::prelude::*;

use super::super::message::MessageState;
use super::*;

const MINUTE: i64 = 60_000;

fn at(ms: i64) -> Turn {
    Turn { now: UtcMs(ms), wall: UtcMs(ms) }
}

fn message(id: &str, severity: Urgency) -> Message {
    Message {
        version: 1,
        id: id.to_owned(),
        node: "node".to_owned(),
        state: MessageState::Firing,
        severity,
        event: "late".to_owned(),
        pipeline: String::new(),
        key: format!("late//{id}"),
        since: at(0).wall.to_string(),
        at: at(0).wall.to_string(),
        count: 1,
        title: id.to_owned(),
        text: String::new(),
        action: String::new(),
    }
}

/// When attempts are made while `attempt` says how each ends.
fn attempts(outbox: &mut Outbox, until: i64, mut attempt: impl FnMut(i64, &Parcel) -> Attempt) -> Vec<i64> {
    let mut made = Vec::new();
    for ms in (0..until).step_by(1000) {
        outbox.expire(at(ms));
        if let Some(parcel) = outbox.due("node", at(ms)) {
            made.push(ms);
            let attempt = attempt(ms, &parcel);
            outbox.done(&parcel, &attempt, at(ms));
        }
    }
    made
}

#[test]
fn a_failing_route_is_asked_less_and_less_often_for_a_day() {
    let mut outbox = Outbox::default();
    outbox.push(message("a", Urgency::Now), at(0));
    let made = attempts(&mut outbox, 30 * 60 * MINUTE, |_, _| Attempt::Failed { retry_after: None });
    let first: Vec<i64> = made.iter().take(6).map(|ms| ms / 1000).collect();
    assert_eq!(first, [0, 5, 35, 155, 755, 755 + 3600]);
    assert_eq!((made.len(), outbox.len()), (5 + 23, 0), "hourly until a day has passed");
    outbox.push(message("b", Urgency::Now), at(31 * 60 * MINUTE));
    let parcel = outbox.due("node", at(31 * 60 * MINUTE)).unwrap();
    assert_eq!(parcel.message.text, "1 earlier messages could not be delivered and were dropped.");
}

#[test]
fn a_server_that_names_a_time_is_asked_then_and_not_before() {
    let mut outbox = Outbox::default();
    outbox.push(message("a", Urgency::Now), at(0));
    let wait = |seconds| Attempt::Failed { retry_after: Some(Duration::from_secs(seconds)) };
    let made = attempts(&mut outbox, 60 * MINUTE, |ms, _| if ms == 0 { wait(77) } else { Attempt::Accepted });
    assert_eq!(made, [0, 77_000]);
    outbox.push(message("b", Urgency::Now), at(0));
    let made = attempts(&mut outbox, 30 * 60 * MINUTE, |_, _| wait(u64::MAX));
    assert_eq!(made.len(), 1, "however long it says, a day at most");
    assert!(outbox.next <= at(48 * 60 * MINUTE).now);
}

#[test]
fn a_route_that_refuses_is_broken_until_it_takes_a_message() {
    let mut outbox = Outbox::default();
    outbox.push(message("a", Urgency::Now), at(0));
    let made = attempts(&mut outbox, 90 * MINUTE, |_, _| Attempt::Refused);
    assert_eq!((made, outbox.broken), (vec![0, 60 * MINUTE], true));
    let parcel = outbox.due("node", at(120 * MINUTE)).unwrap();
    outbox.done(&parcel, &Attempt::Accepted, at(120 * MINUTE));
    assert!(!outbox.broken && outbox.is_empty());
}

#[test]
fn a_route_that_was_broken_is_tried_at_once_by_the_next_run() {
    let mut outbox = Outbox::default();
    outbox.push(message("a", Urgency::Now), at(0));
    attempts(&mut outbox, 2000, |_, _| Attempt::Refused);
    let mut next = outbox.clone().taken_up();
    assert!(next.broken && next.due("node", at(5000)).is_some());
    outbox.queue.clear();
    assert!(!outbox.taken_up().broken, "with nothing to say nobody would ever know that it works");
}

#[test]
fn what_has_waited_for_hours_arrives_as_one_message() {
    let mut outbox = Outbox::default();
    for id in ["a", "b"] {
        outbox.push(message(id, Urgency::Now), at(0));
    }
    let mut told = Vec::new();
    attempts(&mut outbox, 300 * MINUTE, |ms, parcel| {
        if ms < 180 * MINUTE {
            return Attempt::Failed { retry_after: None };
        }
        told.push((parcel.message.state, parcel.message.count));
        Attempt::Accepted
    });
    assert_eq!(told, [(MessageState::Digest, 2)]);
}

#[test]
fn a_full_queue_drops_what_is_least_urgent_first() {
    let mut outbox = Outbox::default();
    outbox.push(message("soon", Urgency::Soon), at(0));
    let dropped: u64 = (0..QUEUE).map(|n| outbox.push(message(&format!("now-{n}"), Urgency::Now), at(0))).sum();
    assert_eq!((dropped, outbox.len()), (1, QUEUE));
    assert!(outbox.queue.iter().all(|waiting| waiting.message.severity == Urgency::Now));
    assert_eq!(outbox.push(message("now-0", Urgency::Now), at(0)), 0, "the same message is taken once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_budget_of_a_day_holds_and_half_of_it_is_kept_for_what_is_urgent(
        pushes in prop::collection::vec((0..2_880_i64, any::<bool>()), 0..200),
    ) {
        let mut outbox = Outbox::default();
        let mut pushes = pushes;
        pushes.sort_unstable();
        // When each was delivered: whether it was urgent, or a digest beyond the budget.
        let mut sent: Vec<(i64, bool, bool)> = Vec::new();
        let mut next = 0;
        for minute in 0..2_880_i64 {
            while let Some((_, urgent)) = pushes.get(next).filter(|(due, _)| *due <= minute) {
                let severity = if *urgent { Urgency::Now } else { Urgency::Soon };
                outbox.push(message(&format!("m{next}"), severity), at(minute * MINUTE));
                next += 1;
            }
            while let Some(parcel) = outbox.due("node", at(minute * MINUTE)) {
                sent.push((minute, parcel.message.severity == Urgency::Now, parcel.is_digest));
                outbox.done(&parcel, &Attempt::Accepted, at(minute * MINUTE));
            }
            let day = |urgent: bool| sent.iter().filter(|(at, was, digest)| minute - at < 1440 && *was == urgent && !digest).count();
            prop_assert!(day(true) + day(false) <= BUDGET && day(false) <= BUDGET - RESERVED);
            let waits = outbox.queue.iter().any(|waiting| waiting.message.severity == Urgency::Now);
            prop_assert!(!waits || day(true) >= RESERVED, "urgent words wait although some are kept for them");
            let waited = outbox.queue.front().map_or(0, |waiting| minute - waiting.queued.0 / MINUTE);
            prop_assert!(waited <= 60, "beyond the budget a digest comes each hour");
        }
        let digests: Vec<i64> = sent.iter().filter(|(.., digest)| *digest).map(|(at, ..)| *at).collect();
        prop_assert!(digests.windows(2).all(|two| two[1] - two[0] >= 60));
    }
}
