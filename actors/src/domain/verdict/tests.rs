use std::collections::BTreeMap;

use super::super::cycle::Stage;
use super::super::node_view::{DiskView, HaltView, InDoubtView};
use super::super::overload::Overload;
use super::*;

const NOW: UtcMs = UtcMs(1_700_000_000_000);

fn ago(seconds: i64) -> UtcMs {
    UtcMs(NOW.0 - seconds * 1000)
}

fn node(pipeline: PipelineView) -> NodeView {
    NodeView {
        at: ago(4),
        started_at: ago(3600),
        pid: 7,
        version: "1".to_owned(),
        fresh_for_ms: 15_000,
        late_after_ms: 40_000,
        safe_mode: false,
        halts: Vec::new(),
        overload: None,
        disk: Some(DiskView { free_mb: 50, size_mb: 100 }),
        arm: None,
        ended_badly: None,
        clocks: Vec::new(),
        clock_shown: None,
        clock_stands_ms: 0,
        page_silent_ms: None,
        broken_routes: Vec::new(),
        backup: None,
        pipelines: BTreeMap::from([("eurusd".to_owned(), pipeline)]),
    }
}

fn pipeline(next_due: Option<UtcMs>) -> PipelineView {
    let last_slot = Some(ago(60));
    PipelineView { wall_time: true, last_slot, next_due, accounted: last_slot, ..PipelineView::default() }
}

fn on_time() -> PipelineView {
    pipeline(Some(ago(-30)))
}

fn said(view: &NodeView) -> String {
    Judgement::of(view, NOW).to_string()
}

fn is_bad(view: &NodeView) -> bool {
    Judgement::of(view, NOW).is_bad()
}

#[test]
fn a_node_that_decides_in_time_is_working() {
    assert_eq!(said(&node(on_time())), "working");
    let busy = node(pipeline(Some(ago(40))));
    assert!(!is_bad(&busy), "a cycle may take so long");
}

#[test]
fn an_overdue_decision_is_bad_even_if_the_process_is_alive() {
    let late = node(pipeline(Some(ago(41))));
    assert_eq!(said(&late), "not working: eurusd decision of 2023-11-14T22:12:39Z overdue since 41 s");
    assert!(is_bad(&late));
    assert_eq!(Judgement::of(&late, NOW).needs[0].since, Some(ago(41)));
}

#[test]
fn a_node_with_nothing_due_yet_waits_and_one_whose_slots_have_all_ended_has_ended() {
    let first = PipelineView { last_slot: None, accounted: None, ..pipeline(Some(ago(-600))) };
    assert_eq!(said(&node(first)), "waiting");
    let ended = node(PipelineView { ended: true, ..pipeline(None) });
    assert_eq!(said(&ended), "ended");
    let decided_all = node(pipeline(None));
    assert_eq!(said(&decided_all), "working", "the competition is not over");
    let replay = node(PipelineView { wall_time: false, ..pipeline(Some(ago(86_400))) });
    assert!(!is_bad(&replay), "a replay is never late");
}

#[test]
fn a_pipeline_that_is_parked_or_never_started_is_bad_in_a_replay_too() {
    for wall_time in [true, false] {
        let view = |parked, waiting_ms| node(PipelineView { wall_time, parked, waiting_ms, ..pipeline(None) });
        assert!(said(&view(true, None)).starts_with("not working: eurusd is parked"));
        let waiting = said(&view(false, Some(41_000)));
        assert_eq!(waiting, "not working: eurusd has not known which slots are due for 41 s");
        assert!(!is_bad(&view(false, Some(40_000))), "a start may take so long");
    }
}

#[test]
fn a_pipeline_whose_slots_cannot_be_used_is_bad_and_says_what_to_do() {
    let waits_for = Some("it is not on the whitelist: ask the topic's creator".to_owned());
    let view = node(PipelineView { waits_for, ..pipeline(None) });
    assert_eq!(said(&view), "not working: eurusd waits: it is not on the whitelist: ask the topic's creator");
}

#[test]
fn a_pipeline_is_late_by_its_own_deadlines_and_not_by_the_nodes() {
    let own = |late_after_ms| node(PipelineView { late_after_ms, ..pipeline(Some(ago(60))) });
    assert!(is_bad(&own(None)) && is_bad(&own(Some(59_000))));
    assert!(!is_bad(&own(Some(60_000))));
}

#[test]
fn a_held_order_needs_a_person_while_the_node_works_on() {
    let held = PipelineView { held: vec!["abcdefgh".to_owned()], ..on_time() };
    let judgement = Judgement::of(&node(held.clone()), NOW);
    assert_eq!((judgement.verdict, judgement.is_bad()), (Verdict::NeedsYou(1), true));
    let expected = "working, but one thing needs you: eurusd holds the order abcdefgh: check it at the venue, then \
                    `sentinel settle abcdefgh`";
    assert_eq!(judgement.to_string(), expected);
    assert!(is_bad(&node(PipelineView { ended: true, ..held })), "only a person can settle it");
}

#[test]
fn an_order_whose_fate_is_unknown_for_long_needs_a_person() {
    let doubt = |seconds, wall_time| {
        let in_doubt = vec![InDoubtView { key: "abcdefgh".to_owned(), slot: ago(seconds) }];
        node(PipelineView { in_doubt, wall_time, ..on_time() })
    };
    assert!(!is_bad(&doubt(600, true)) && is_bad(&doubt(601, true)));
    assert!(!is_bad(&doubt(90_000_000, false)), "a replay's slots are of another time");
    assert!(said(&doubt(601, true)).contains("what became of the order abcdefgh"));
}

#[test]
fn safe_mode_and_a_halt_by_the_node_are_bad_and_a_halt_by_a_person_is_only_said() {
    let safe = NodeView { safe_mode: true, ..node(on_time()) };
    assert!(said(&safe).starts_with("not working: it is in safe mode") && said(&safe).contains("`sentinel resume`"));
    let halted = |by_node| {
        let text = "halt-3: all pipelines".to_owned();
        let halt = HaltView { id: "halt-3".to_owned(), text, by_node, since: Some(ago(9)) };
        NodeView { halts: vec![halt], ..node(on_time()) }
    };
    let expected = "working, but one thing needs you: halt-3: all pipelines: `sentinel resume halt-3` lifts it";
    assert_eq!(said(&halted(true)), expected);
    assert!(is_bad(&halted(true)) && !is_bad(&halted(false)));
    assert_eq!(said(&halted(false)), "working; halt-3: all pipelines");
}

#[test]
fn a_clock_set_back_behind_a_decided_slot_is_bad() {
    let waiting = |accounted| PipelineView { accounted: Some(accounted), ..pipeline(Some(ago(-7_230))) };
    let expected = "not working: eurusd waits for the clock, which is 2 h 0 min behind its newest decided slot";
    assert!(said(&node(waiting(ago(-7_200)))).starts_with(expected));
    assert!(!is_bad(&node(waiting(UtcMs(NOW.0 + 2_000)))), "a small correction");
    let replay = PipelineView { wall_time: false, ..waiting(ago(-7_200)) };
    assert!(!is_bad(&node(replay)), "a replay's time is not wall time");
}

#[test]
fn slots_that_keep_failing_are_bad_even_if_on_time_and_fewer_are_said() {
    let failing = |faults_in_a_row| {
        let (last_fault, last_reason) = (Some(Reason::ModelUnavailable), Some(Reason::MarketClosed));
        node(PipelineView { faults_in_a_row, last_fault, last_reason, ..on_time() })
    };
    assert_eq!(said(&failing(1)), "working; eurusd did not decide its last slot (model_unavailable)");
    assert_eq!(said(&failing(4)), "working; eurusd decided none of its last 4 slots (model_unavailable)");
    assert!(!is_bad(&failing(4)) && is_bad(&failing(5)));
    let expected = "not working: eurusd decided none of its last 5 slots (model_unavailable): `sentinel why eurusd \
                    2023-11-14T22:12:20Z` shows the last one";
    assert_eq!(said(&failing(5)), expected);
}

#[test]
fn a_node_that_sheds_load_says_how_much_and_what_it_cannot_keep_up_with() {
    let overload = Overload { since: ago(90), slots: 1234, slowest: Some(Stage::Executor), slowest_ms: 812 };
    let sheds = NodeView { overload: Some(overload), ..node(on_time()) };
    let expected = "not working: it sheds load: 1234 slots since 2023-11-14T22:11:50Z could not begin in time; cycles spend \
                    most of their time in executor, 812 ms each";
    assert_eq!(said(&sheds), expected);
}

#[test]
fn a_disk_that_fills_up_needs_a_person_soon_and_then_now() {
    let disk = |free_mb| NodeView { disk: Some(DiskView { free_mb, size_mb: 1000 }), ..node(on_time()) };
    let severity = |free_mb| Judgement::of(&disk(free_mb), NOW).needs.first().map(|need| need.severity);
    assert_eq!(
        [100, 99, 50, 49].map(severity),
        [None, Some(Severity::Soon), Some(Severity::Soon), Some(Severity::Now)]
    );
    assert!(!is_bad(&disk(50)) && is_bad(&disk(49)));
    assert_eq!(Judgement::of(&disk(50), NOW).verdict, Verdict::NeedsYou(1));
    let unmeasured = NodeView { disk: None, ..node(on_time()) };
    assert_eq!(said(&unmeasured), "working");
}

#[test]
fn an_old_view_or_one_from_the_future_shows_a_node_that_stands_still() {
    let seen = |at| NodeView { at, ..node(on_time()) };
    assert_eq!(said(&seen(ago(16))), "not working: process 7 has shown no progress for 16 s");
    assert!(said(&seen(ago(-16))).ends_with("which is in the future"));
    assert!(!is_bad(&seen(ago(15))) && !is_bad(&seen(ago(-15))));
}

#[test]
fn what_is_worst_is_said_first() {
    let both = PipelineView { held: vec!["abcdefgh".to_owned()], ..pipeline(Some(ago(41))) };
    let view = NodeView { disk: Some(DiskView { free_mb: 9, size_mb: 100 }), ..node(both) };
    let kinds: Vec<NeedKind> = needs(&view, NOW).into_iter().map(|need| need.kind).collect();
    assert_eq!(kinds, [NeedKind::DecisionLate, NeedKind::Held, NeedKind::DiskLow]);
}

#[test]
fn every_kind_of_need_has_a_name_of_its_own_and_stands_in_the_list() {
    let mut codes: Vec<&str> = NeedKind::ALL.into_iter().map(NeedKind::code).collect();
    assert!(NeedKind::ALL.is_sorted());
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), NeedKind::ALL.len());
}

#[test]
fn a_duration_is_said_in_its_two_largest_units() {
    let said = [7, 61, 3_600, 90_061].map(|seconds| whole_seconds(Duration::from_secs(seconds)));
    assert_eq!(said, ["7 s", "1 min 1 s", "1 h 0 min", "1 d 1 h"]);
}

#[test]
fn three_missed_windows_in_a_row_are_bad_and_two_are_not() {
    let missed = |windows_missed| PipelineView {
        windows_missed,
        faults_in_a_row: windows_missed,
        last_fault: Some(Reason::LedgerUnavailable),
        ..on_time()
    };
    assert_eq!(said(&node(missed(2))), "working; eurusd decided none of its last 2 slots (ledger_unavailable)");
    let three = Judgement::of(&node(missed(3)), NOW);
    assert_eq!((three.verdict, three.needs[0].kind), (Verdict::NotWorking, NeedKind::WindowsMissed));
    assert!(three.to_string().contains("eurusd has missed its last 3 windows (ledger_unavailable)"), "{three}");
    assert!(three.remarks.is_empty(), "it is said once");
}
