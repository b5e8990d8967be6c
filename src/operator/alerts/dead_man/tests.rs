use sentinel_actors::domain::verdict::{Need, NeedKind, Severity};

use super::*;

const EVERY: Duration = Duration::from_secs(300);

fn judgement(verdict: Verdict, severity: Option<Severity>) -> Judgement {
    let need = severity.map(|severity| Need {
        kind: NeedKind::Held,
        severity,
        pipeline: None,
        subject: String::new(),
        since: None,
        what: "é".repeat(2000),
        action: String::new(),
    });
    Judgement { verdict, needs: need.into_iter().collect(), remarks: Vec::new() }
}

/// What is sent within so many seconds, and when.
fn sent(dead_man: &mut DeadMan, seconds: std::ops::Range<i64>, seen: impl Fn(i64) -> Judgement) -> Vec<(i64, bool)> {
    let due = |second: i64| {
        let turn = Turn { now: UtcMs::from_secs(second), wall: UtcMs(0) };
        dead_man.due(&seen(second), EVERY, turn).map(|ping| (second, ping.is_fail))
    };
    seconds.filter_map(due).collect()
}

#[test]
fn it_pings_while_the_node_works_and_needs_nobody_now() {
    let mut dead_man = DeadMan::default();
    let pings = sent(&mut dead_man, 0..700, |_| judgement(Verdict::Working, None));
    assert_eq!(pings, [(0, false), (300, false), (600, false)]);
    let pings = sent(&mut DeadMan::default(), 0..400, |_| judgement(Verdict::NeedsYou(1), Some(Severity::Soon)));
    assert_eq!(pings.len(), 2, "what has time keeps no ping");
    assert_eq!(sent(&mut DeadMan::default(), 0..400, |_| judgement(Verdict::Waiting, None)).len(), 2);
}

#[test]
fn when_it_turns_bad_it_says_so_once_and_is_silent_until_it_works_again() {
    let mut dead_man = DeadMan::default();
    let seen = |second| {
        if (1000..5000).contains(&second) {
            judgement(Verdict::NeedsYou(1), Some(Severity::Now))
        } else {
            judgement(Verdict::Working, None)
        }
    };
    let pings = sent(&mut dead_man, 0..5400, seen);
    assert_eq!(
        pings,
        [(0, false), (300, false), (600, false), (900, false), (1060, true), (5060, false), (5360, false)]
    );
}

#[test]
fn a_restart_while_it_is_bad_says_nothing_again() {
    let mut dead_man = DeadMan::default();
    let bad = |_| judgement(Verdict::NotWorking, Some(Severity::Now));
    assert_eq!(sent(&mut dead_man, 0..1000, bad), [(60, true)]);
    let mut dead_man: DeadMan = serde_json::from_str(&serde_json::to_string(&dead_man).unwrap()).unwrap();
    assert_eq!(sent(&mut dead_man, 1000..3000, bad), []);
}

#[test]
fn the_end_of_the_competition_is_one_last_ping() {
    let mut dead_man = DeadMan::default();
    let pings = sent(&mut dead_man, 0..2000, |_| judgement(Verdict::Ended, None));
    assert_eq!(pings, [(0, false)]);
    assert_eq!(DeadMan::default().end("ended, pause this check").unwrap().sentence, "ended, pause this check");
}

#[test]
fn a_sentence_has_at_most_a_thousand_and_twenty_four_bytes() {
    let mut dead_man = DeadMan::default();
    let turn = Turn { now: UtcMs::from_secs(1), wall: UtcMs(0) };
    let ping = dead_man.due(&judgement(Verdict::NeedsYou(1), Some(Severity::Soon)), EVERY, turn).unwrap();
    assert!((1000..=1024).contains(&ping.sentence.len()));
}
