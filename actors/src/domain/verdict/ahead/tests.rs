use std::collections::BTreeMap;

use super::super::super::node_view::{BackupView, LastEnd};
use super::super::{Judgement, Verdict};
use super::*;

const NOW: UtcMs = UtcMs(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);

fn node(pipeline: PipelineView) -> NodeView {
    NodeView {
        at: NOW,
        fresh_for_ms: 15_000,
        late_after_ms: 40_000,
        pipelines: BTreeMap::from([("eurusd".to_owned(), pipeline)]),
        ..NodeView::default()
    }
}

fn on_time() -> PipelineView {
    let (last_slot, next_due) = (Some(NOW.minus(HOUR)), Some(NOW.plus(MINUTE)));
    PipelineView { wall_time: true, last_slot, next_due, ..PipelineView::default() }
}

/// The verdict, whether it is bad, and all of it in a line.
fn judged(view: &NodeView) -> (Verdict, bool, String) {
    let judgement = Judgement::of(view, NOW);
    (judgement.verdict, judgement.is_bad(), judgement.to_string())
}

fn severity(view: &NodeView) -> Option<Severity> {
    Judgement::of(view, NOW).needs.first().map(|need| need.severity)
}

#[test]
fn an_arm_is_said_a_day_before_its_end_and_its_end_is_bad_only_when_nobody_wanted_it() {
    let arm = |left: Duration| ArmView { until: Some(NOW.plus(left)), command: "arm".to_owned(), ..ArmView::default() };
    let armed = |arm| NodeView { arm: Some(arm), ..node(on_time()) };
    assert_eq!(severity(&armed(arm(24 * HOUR))), None);
    assert_eq!(severity(&armed(ArmView { until: None, ..arm(HOUR) })), None, "it has no end of its own");
    let (verdict, is_bad, text) = judged(&armed(arm(23 * HOUR)));
    assert_eq!((verdict, is_bad), (Verdict::NeedsYou(1), false));
    assert_eq!(text, "working, but one thing needs you: the arm ends in 23 h 0 min: `arm` shows it and arms it again");
    let ended = |as_intended| ArmView { ended: Some("its time is over".to_owned()), as_intended, ..arm(HOUR) };
    assert!(!judged(&armed(ended(true))).1 && judged(&armed(ended(false))).1);
}

#[test]
fn a_run_that_ended_badly_is_bad_until_the_next_one_has_decided_and_said_for_a_day() {
    let after = |hours: u32, decisions| NodeView {
        ended_badly: Some(LastEnd { code: 70, at: NOW.minus(HOUR * hours) }),
        ..node(PipelineView { decisions, ..on_time() })
    };
    assert_eq!(severity(&after(3, 0)), Some(Severity::Now));
    let (verdict, is_bad, text) = judged(&after(3, 1));
    assert_eq!((verdict, is_bad), (Verdict::NeedsYou(1), false));
    assert!(text.contains("the run before ended with 70 at 2023-11-14T19:13:20Z"), "{text}");
    assert_eq!(severity(&after(24, 0)), None);
}

#[test]
fn clocks_are_bad_when_two_answers_say_for_five_minutes_that_they_differ() {
    let clock = |ago: Duration, answers, at_least_ms| ClockView {
        source: "hub".to_owned(),
        at_least_ms,
        at_most_ms: at_least_ms + 1_100,
        off_since: Some(NOW.minus(ago)),
        answers,
    };
    let beside = |clock| NodeView { clocks: vec![clock], ..node(on_time()) };
    let (verdict, is_bad, text) = judged(&beside(clock(5 * MINUTE, 2, 3_000)));
    assert_eq!((verdict, is_bad), (Verdict::NeedsYou(1), true));
    assert!(text.contains("this machine's clock is at least 3 s ahead of that of hub"), "{text}");
    assert!(judged(&beside(clock(5 * MINUTE, 2, -9_000))).2.contains("at least 7 s behind that of hub"));
    for fine in [
        clock(4 * MINUTE, 2, 3_000),
        clock(5 * MINUTE, 1, 3_000),
        clock(5 * MINUTE, 2, 2_000),
        clock(5 * MINUTE, 2, -3_000),
        ClockView { off_since: None, ..clock(5 * MINUTE, 0, -500) },
    ] {
        assert_eq!(severity(&beside(fine.clone())), None, "{fine:?}");
    }
}

#[test]
fn a_changed_model_is_bad_while_nothing_is_decided_with_it_or_it_has_ended_an_arm() {
    let change =
        |ago: Duration, refused| Some(ModelChange { since: NOW.minus(ago), what: "changed".to_owned(), refused });
    let seen = |live, ago, refused| PipelineView { live, model_change: change(ago, refused), ..on_time() };
    let ended = ArmView { ended: Some("the model has changed".to_owned()), ..ArmView::default() };
    let refused = node(seen(false, HOUR * 48, true));
    assert_eq!((severity(&refused), judged(&refused).0), (Some(Severity::Now), Verdict::NeedsYou(1)));
    for live in [false, true] {
        assert_eq!(severity(&node(seen(live, HOUR, false))), Some(Severity::Soon), "it is decided with, and not armed");
        assert_eq!(severity(&node(seen(live, HOUR * 24, false))), None, "news for a day");
    }
    let needs = Judgement::of(&NodeView { arm: Some(ended), ..node(seen(true, HOUR * 48, false)) }, NOW).needs;
    let kinds: Vec<_> = needs.iter().map(|need| (need.kind, need.severity)).collect();
    assert_eq!(kinds, [(NeedKind::ArmEnded, Severity::Now), (NeedKind::ModelChanged, Severity::Now)]);
}

#[test]
fn an_account_that_lasts_for_less_than_a_week_is_said_and_for_less_than_a_day_bad() {
    let lasts = |runway: Duration| severity(&node(PipelineView { runway_s: Some(runway.as_secs()), ..on_time() }));
    assert_eq!(lasts(HOUR * 24 * 7), None);
    assert_eq!((lasts(HOUR * 24 * 6), lasts(HOUR * 24)), (Some(Severity::Soon), Some(Severity::Soon)));
    assert_eq!((lasts(HOUR * 23), lasts(Duration::ZERO)), (Some(Severity::Now), Some(Severity::Now)));
}

#[test]
fn a_quarantined_input_is_said_for_a_day() {
    let kept = |slot| node(PipelineView { quarantined: Some(slot), ..on_time() });
    let (verdict, is_bad, text) = judged(&kept(NOW.minus(HOUR)));
    assert_eq!((verdict, is_bad), (Verdict::NeedsYou(1), false));
    assert!(text.contains("eurusd failed twice on the input of 2023-11-14T21:13:20Z"), "{text}");
    assert_eq!(severity(&kept(NOW.minus(HOUR * 24))), None);
}

#[test]
fn an_ended_pipeline_needs_nothing_that_is_only_ahead_of_it() {
    let ended = PipelineView { ended: true, runway_s: Some(0), quarantined: Some(NOW), ..on_time() };
    assert_eq!(judged(&node(ended)).0, Verdict::Ended);
}

#[test]
fn a_clock_that_stands_or_shows_what_it_has_shown_before_stops_the_work() {
    let shown = |clock_shown, stands: u64| NodeView {
        clock_shown: Some(clock_shown),
        clock_stands_ms: stands * 1000,
        ..node(on_time())
    };
    for fine in [shown(NOW, 14), shown(NOW.plus(Duration::from_secs(2)), 0), shown(NOW.minus(HOUR), 0)] {
        assert_eq!(judged(&fine).0, Verdict::Working);
    }
    let stands = judged(&shown(NOW, 15));
    assert_eq!((stands.0, stands.1), (Verdict::NotWorking, true));
    assert!(stands.2.contains("this machine's clock has stood still for 15 s"), "{}", stands.2);
    let back = judged(&shown(NOW.plus(HOUR), 0));
    assert_eq!(back.0, Verdict::NotWorking);
    assert!(back.2.contains("this machine's clock was set back: it has shown 1 h 0 min more"), "{}", back.2);
}

#[test]
fn a_page_that_does_not_move_is_said_and_one_that_was_never_begun_is_not_missed() {
    let silent = |page_silent_ms| severity(&NodeView { page_silent_ms, ..node(on_time()) });
    assert_eq!([None, Some(15_000), Some(15_001)].map(silent), [None, None, Some(Severity::Soon)]);
}

#[test]
fn a_backup_that_is_older_than_26_hours_needs_a_person_and_only_where_one_is_to_be_taken() {
    let with = |newest: Option<Duration>, since: Duration| NodeView {
        backup: Some(BackupView { newest: newest.map(|ago| NOW.minus(ago)), since: NOW.minus(since) }),
        ..node(on_time())
    };
    assert_eq!(severity(&with(Some(26 * HOUR), 90 * HOUR)), None);
    let old = with(Some(27 * HOUR), 90 * HOUR);
    assert_eq!(severity(&old), Some(Severity::Soon));
    let (verdict, is_bad, text) = judged(&old);
    assert_eq!((verdict, is_bad), (Verdict::NeedsYou(1), false));
    assert!(text.contains("1 d 3 h old"), "{text}");
    assert_eq!(severity(&with(None, 26 * HOUR)), None, "the first one is not due yet");
    assert!(judged(&with(None, 27 * HOUR)).2.contains("there has been no backup for 1 d 3 h"));
    assert_eq!(severity(&NodeView { backup: None, ..node(on_time()) }), None);
}
