//! What one pipeline may have otherwise than its node: mode and deadlines.

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::settings::Deadlines;

use super::endpoints::{MT5, two_of_them};
use super::*;

fn live() -> Flags {
    Flags { live: true, ..Flags::default() }
}

fn load(text: &str, flags: &Flags) -> Result<Config, ConfigErrors> {
    read_with(text, directory().path(), &Env::default(), flags)
}

/// `text` with this mode in its first pipeline.
fn saying(text: &str, mode: &str) -> String {
    text.replacen("[[pipeline]]", &format!("[[pipeline]]\nmode = \"{mode}\""), 1)
}

fn modes(config: &Config) -> Vec<Mode> {
    config.pipelines.iter().map(|pipeline| pipeline.mode).collect()
}

#[test]
fn a_pipeline_may_do_less_than_its_node_and_never_more() {
    for (mode, of_node, of_pipeline) in [
        (None, Mode::DryRun, Some(Mode::DryRun)),
        (None, Mode::Live, Some(Mode::Live)),
        (Some("dry_run"), Mode::DryRun, Some(Mode::DryRun)),
        (Some("dry_run"), Mode::Live, Some(Mode::DryRun)),
        (Some("live"), Mode::Live, Some(Mode::Live)),
        (Some("live"), Mode::DryRun, None),
    ] {
        let text = mode.map_or_else(|| MT5.to_owned(), |mode| saying(MT5, mode));
        let flags = if of_node == Mode::Live { live() } else { Flags::default() };
        match (load(&text, &flags), of_pipeline) {
            (Ok(config), Some(expected)) => {
                assert_eq!((config.node.mode, modes(&config)), (of_node, vec![expected]), "{mode:?}");
            }
            (Err(errors), None) => {
                let message = errors.to_string();
                let expected =
                    "pipeline.eurusd.mode: 'live' in a dry run: start the node with --live, or leave this key out";
                assert!(message.contains(expected), "{message}");
            }
            (other, expected) => panic!("{mode:?} in a node that is {of_node}: {expected:?}, not {other:?}"),
        }
    }
    let dry = Flags { dry_run: true, ..Flags::default() };
    load(&saying(MT5, "live"), &dry).unwrap_err();
    check_refused(&saying(MT5, "paper"), "'paper' is not known; allowed: \"dry_run\", \"live\"");
}

#[test]
fn a_command_that_starts_nothing_reads_a_file_with_a_live_pipeline() {
    let flags = Flags { reads_only: true, ..Flags::default() };
    load(&saying(MT5, "live"), &flags).unwrap();
    // Live, only one of them is in the paper book.
    let shadow = saying(&two_of_them().replace("account = \"second\"", "account = \"paper\""), "dry_run");
    load(&shadow, &live()).unwrap();
    load(&shadow, &Flags::default()).unwrap_err();
    load(&shadow, &flags).unwrap();
}

/// What only a live pipeline may not do, one in dry run may, whatever the node is.
#[test]
fn the_rules_for_live_are_those_of_the_pipeline() {
    let recorded = MT5.replace("replay = true", "replay = false");
    let message = load(&recorded, &live()).unwrap_err().to_string();
    assert!(message.contains("recorded bars"), "{message}");
    load(&saying(&recorded, "dry_run"), &live()).unwrap();
    let message = load(MINIMAL, &live()).unwrap_err().to_string();
    assert!(message.contains("or mode = \"dry_run\" in this pipeline"), "{message}");
    load(&saying(MINIMAL, "dry_run"), &live()).unwrap();
}

#[test]
fn a_dry_pipeline_may_have_the_symbol_of_a_live_one() {
    let both = two_of_them();
    load(&both, &live()).unwrap_err();
    let config = load(&saying(&both, "dry_run"), &live()).unwrap();
    assert_eq!(modes(&config), [Mode::DryRun, Mode::Live]);
    assert!(config.has_both_modes());
    load(&saying(&both, "dry_run"), &Flags::default()).unwrap();
    // Two of them in one paper book would still trade each other's positions.
    let shared = both.replace("mode = \"live\"", "").replace("account = \"second\"", "account = \"paper\"");
    let dry = shared.replace("[[pipeline]]", "[[pipeline]]\nmode = \"dry_run\"");
    let message = load(&dry, &live()).unwrap_err().to_string();
    assert!(message.contains("on the paper account paper as"), "{message}");
}

#[test]
fn each_deadline_is_the_nodes_unless_the_pipeline_has_its_own() {
    let text = format!("[deadlines]\npredict = \"3s\"\n{MINIMAL}");
    let own = "\n[pipeline.deadlines]\nfetch = \"1s\"\nslot_lateness = \"7s\"\n";
    let second = MINIMAL.replace("eurusd\"", "second\"").replace("EURUSD\"", "GBPUSD\"");
    let config = read(&format!("{text}{own}{second}")).unwrap();
    let seconds = Duration::from_secs;
    let expected = Deadlines { fetch: seconds(1), lateness: seconds(7), ..config.deadlines };
    assert_eq!(config.deadlines.predict, seconds(3));
    assert_eq!((config.pipelines[0].deadlines, config.pipelines[1].deadlines), (expected, config.deadlines));
    assert!(config.banner().any(|line| line == "pipeline.eurusd.deadlines.fetch = 1s"));
    // What counts as late follows from them.
    let late = config.pipelines.iter().map(|pipeline| pipeline.deadlines.late_after());
    assert_eq!(late.collect::<Vec<_>>(), [seconds(27), seconds(40)]);
}

#[test]
fn the_cycle_of_a_pipeline_has_room_for_its_own_stages() {
    for (lines, expected) in [
        (
            "fetch = \"30s\"",
            "pipeline.eurusd.deadlines.cycle: is shorter than fetch, features, predict and execute together, 38s; it is 20s",
        ),
        ("cycle = \"17s\"", "together, 18s; it is 17s, and what is not written here is as in [deadlines]"),
        ("fetch = 30", "pipeline.eurusd.deadlines.fetch: is the number 30, not a string"),
        (
            "lateness = \"1s\"",
            "pipeline.eurusd.deadlines.lateness: unknown key; allowed: fetch, features, predict, execute, slot_lateness, cycle",
        ),
    ] {
        let message = refused(&with("pipeline.deadlines", lines));
        assert!(message.contains(expected) && message.lines().count() == 1, "expected '{expected}' in:\n{message}");
    }
    read(&with("pipeline.deadlines", "fetch = \"30s\"\ncycle = \"38s\"")).unwrap();
    // A wrong value says nothing about the sum.
    let message = refused(&with("pipeline.deadlines", "fetch = \"1\"\ncycle = \"9s\""));
    assert_eq!(message.lines().count(), 1, "{message}");
    // The node's own error is said once, not again for each pipeline.
    let message = refused(&format!("[deadlines]\ncycle = \"2s\"\n{MINIMAL}"));
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn bars_are_made_only_from_shorter_ones_that_divide_them() {
    let with = |lines: &str| MINIMAL.replacen("symbol", &format!("{lines}\nsymbol"), 1);
    let made = read(&with("made_from = \"1m\"")).unwrap();
    assert_eq!(made.pipelines[0].features.set.to_string(), "fx23/200 of bars made from 1m");
    assert_eq!(made.pipelines[0].features.build().id(), &made.pipelines[0].features.set);
    for native in [MINIMAL, &with("made_from = \"native\"")] {
        assert_eq!(read(native).unwrap().pipelines[0].features.set.to_string(), "fx23/200");
    }
    for (lines, expected) in [
        (
            "made_from = \"1h\"",
            "node.toml:4: pipeline.eurusd.made_from: 1h is not shorter than a bar, 1h: \"native\" takes bars as delivered",
        ),
        ("made_from = \"1d\"", "made_from: 1d is not shorter than a bar, 1h"),
        (
            "interval = \"15m\"\nmade_from = \"10m\"",
            "made_from: 10m does not divide a bar, 15m: write a length that does",
        ),
        ("made_from = \"bars\"", "'bars' is not a bar interval; write one like 1m"),
    ] {
        check_refused(&with(lines), expected);
    }
}
