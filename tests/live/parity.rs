//! Slots that were run live, on bars that came late, without prices or changed, are computed again as they were decided.

use sentinel::parity::engine::{Found, recompute};
use sentinel::parity::limits::Why;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Window;
use sentinel_testbed::vendors::Market;

use super::support::*;

/// Two weeks with everything that a vendor does.
fn weeks(is_made: bool) -> Found {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let hour = |text: &str| (at(text), at(text) + HOUR);
    let (revised, again) = (hour("2017-06-14T04:00:00Z"), hour("2017-06-20T09:00:00Z"));
    let (late, gap) = (hour("2017-06-14T09:00:00Z"), hour("2017-06-15T14:00:00Z"));
    let market = Market {
        weekend: Some(SUMMER_WEEKEND),
        nulls: 30,
        zeros: 10,
        has_weekend_rows: true,
        gaps: vec![gap],
        late: vec![(late.0, late.1, 90 * MINUTE)],
        revisions: vec![(revised.0, revised.1, revised.1 + 30 * MINUTE), (again.0, again.1, again.1 + 2 * HOUR)],
        ..Market::plain("EURUSD.FOREX", 1.1, 5)
    };
    let vendor = vendor(market, &clock, no_fault);
    let (keys, model) =
        if is_made { ("", model_of_made_hours(dir.path())) } else { ("made_from = \"native\"", demo("model.onnx")) };
    let keys = format!("{keys}\nend = \"2017-06-28T00:00:00Z\"\n[pipeline.data]\nmax_missing_bars = 60");
    let config = config(&order_pipeline("eurusd", &vendor.base_url(), &keys, "kind = \"eodhd\"", &model), dir.path());
    run(&config, &clock);
    let all = Window { start: None, end: None };
    recompute(&config.pipelines[0], &config.node.state, all, &config.digest()).unwrap()
}

#[test]
fn two_weeks_of_live_bars_that_came_late_or_changed_are_computed_again_as_they_were() {
    for is_made in [false, true] {
        let found = weeks(is_made);
        let lines: Vec<String> = found.verdict.first.iter().map(ToString::to_string).collect();
        assert!(found.verdict.agrees(), "{is_made}: {} differ: {lines:#?}", found.verdict.differences);
        assert!(found.slots > 300 && found.frames > 200 && found.partly.is_empty(), "{is_made}: {found:?}");
        assert!(found.compared == found.slots && found.apart.is_empty(), "{is_made}: {found:?}");
    }
}

#[test]
fn slots_of_a_node_that_was_down_are_counted_apart_with_what_their_rows_say() {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let market = Market { weekend: Some(SUMMER_WEEKEND), ..Market::plain("EURUSD.FOREX", 1.1, 5) };
    let vendor = vendor(market, &clock, no_fault);
    let until = |end: &str| {
        let keys = format!("made_from = \"native\"\nend = \"{end}\"");
        let text = order_pipeline("eurusd", &vendor.base_url(), &keys, "kind = \"eodhd\"", &demo("model.onnx"));
        config(&text, dir.path())
    };
    run(&until("2017-06-14T06:00:00Z"), &clock);
    clock.set(at("2017-06-14T11:30:00Z"));
    let config = until("2017-06-15T00:00:00Z");
    run(&config, &clock);
    let all = Window { start: None, end: None };
    let found = recompute(&config.pipelines[0], &config.node.state, all, &config.digest()).unwrap();
    assert!(found.verdict.agrees(), "{:?}", found.verdict.first);
    assert_eq!(found.apart, [(Why::Recorded(Reason::NodeDown), 6)].into());
    assert_eq!((found.slots, found.compared), (24, 18), "{found:?}");
}
