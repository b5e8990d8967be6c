//! Chaos in the real binary: panics, hangs, blocked threads and kills, and not one slot, order or forecast lost.

use std::collections::BTreeSet;
use std::path::Path;

use sentinel::venues::book::BOOK_FILE;
use sentinel::venues::book_reader::BookReader;
use sentinel::venues::forecasts::BookForecast;

use super::config::demo_span;
use super::evidence::faults;
use super::facts::Facts;
use super::node::{Ended, run, setting};

fn chaos(seed: usize, bars: usize) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let (seed_text, bars_text) = (seed.to_string(), bars.to_string());
    let args = ["demo", "--chaos", "--speed", "max", "--seed", &seed_text, "--bars", &bars_text, "--state", "state"];
    let ended = run(folder.path(), args);
    if ended.status.code() != Some(0) {
        println!("kept for a look: {}", folder.keep().display());
        panic!("seed {seed}: {ended:#?}");
    }
    let state = folder.path().join("state");
    let facts = Facts::read(&state);
    let faults = faults(&facts, demo_span(bars));
    if !faults.is_empty() {
        // A chaos does not come twice: whatever explains it has to be said now.
        let log = std::fs::read_to_string(state.join("logs/sentinel.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(300).collect();
        let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
        let rows: Vec<_> = facts.slots.iter().rev().take(3).collect();
        println!("{tail}\n{ended:#?}\nthe last rows, newest first: {rows:#?}\nkept: {}", folder.keep().display());
        panic!("seed {seed}: {} faults:\n{}", faults.len(), faults.join("\n"));
    }
    // Hundreds of parts end in a chaos; the log file has them, and a rerun is no further slot.
    assert!(ended.err.lines().count() < 5, "{}", ended.err);
    let this_run = format!("This run:  {} slots in", facts.slots.len());
    assert!(ended.out.contains(&this_run), "not '{this_run}': {}", ended.out);
    let line = chaos_line(&ended);
    let share = facts.slots.iter().filter(|slot| slot.outcome == "missed").count();
    println!("seed {seed}, {bars} bars, {:.1?}, {share} missed, {line}", ended.took);
    ended
}

/// What the demo says about its faults.
fn chaos_line(ended: &Ended) -> &str {
    ended.out.lines().find(|line| line.starts_with("Chaos: ")).unwrap()
}

/// How often a kind of fault happened, from the demo's own line.
fn count(ended: &Ended, kind: &str) -> u64 {
    let before = chaos_line(ended).split(kind).next().unwrap();
    before.split(|c: char| !c.is_ascii_digit()).rfind(|word| !word.is_empty()).unwrap().parse().unwrap()
}

#[test]
fn the_real_binary_survives_injected_panics_and_kills_and_its_books_agree() {
    let (seeds, bars) = setting("SENTINEL_CHAOS_SEEDS").map_or((2, 800), |seeds| (seeds, 3_000));
    let (mut panics, mut kills) = (0, 0);
    for seed in 1..=seeds {
        let ended = chaos(seed, bars);
        panics += count(&ended, " panics");
        kills += count(&ended, " kills");
    }
    assert!(panics > 0 && kills > 0, "a campaign without faults proves nothing: {panics} panics, {kills} kills");
    println!("{seeds} seeds, {panics} panics, {kills} kills");
}

/// The demo that forecasts.
fn forecasting(folder: &Path, bars: usize, more: &[&str]) -> Ended {
    let bars = bars.to_string();
    let args = ["demo", "--job", "forecast", "--speed", "max", "--bars", &bars, "--state", "state"];
    run(folder, [&args[..], more].concat())
}

fn forecasts(state: &Path) -> Vec<BookForecast> {
    BookReader::open(&state.join(BOOK_FILE)).unwrap().forecasts().unwrap()
}

/// What the book of a disturbed run says against that of a calm one, and against its own journal.
fn faults_of_forecasts(state: &Path, made: &[BookForecast], calm: &[BookForecast]) -> Vec<String> {
    let mut faults = Vec::new();
    let (slots, states) = (Facts::slots(state), Facts::states(state));
    let due: Vec<i64> = calm.iter().map(|made| made.at.0).collect();
    if slots.iter().map(|slot| slot.at_ms).collect::<Vec<_>>() != due {
        faults.push(format!("{} rows for {} due slots", slots.len(), due.len()));
    }
    let acted: BTreeSet<i64> = slots.iter().filter(|slot| slot.outcome == "acted").map(|slot| slot.at_ms).collect();
    for made in made {
        if !calm.contains(made) {
            faults.push(format!("no such forecast without chaos: {made:?}"));
        }
        if !acted.contains(&made.at.0) {
            faults.push(format!("not reported by its slot: {made:?}"));
        }
        let state = states.get(made.key.as_str());
        if !state.is_some_and(|state| ["acked", "sent", "unknown", "held"].contains(&state.as_str())) {
            faults.push(format!("lost: the journal says {state:?} of {made:?}"));
        }
    }
    let keys: BTreeSet<&str> = made.iter().map(|made| made.key.as_str()).collect();
    let invented = states.iter().filter(|(key, state)| *state == "acked" && !keys.contains(key.as_str()));
    faults.extend(invented.map(|(key, _)| format!("invented: the book has no forecast {key}")));
    if keys.len() != made.len() {
        faults.push("a key stands twice".to_owned());
    }
    faults
}

#[test]
fn no_forecast_is_lost_doubled_or_changed_by_injected_panics_and_kills() {
    let (seeds, bars) = setting("SENTINEL_CHAOS_SEEDS").map_or((2, 400), |seeds| (seeds, 1_000));
    let undisturbed = tempfile::tempdir().unwrap();
    forecasting(undisturbed.path(), bars, &[]).expect(0);
    let calm = forecasts(&undisturbed.path().join("state"));
    assert_eq!(calm.len(), bars);
    let (mut panics, mut kills) = (0, 0);
    for seed in 1..=seeds {
        let folder = tempfile::tempdir().unwrap();
        let ended = forecasting(folder.path(), bars, &["--chaos", "--seed", &seed.to_string()]);
        let state = folder.path().join("state");
        let made = forecasts(&state);
        let faults = faults_of_forecasts(&state, &made, &calm);
        if ended.status.code() != Some(0) || !faults.is_empty() {
            println!("{ended:#?}\nkept for a look: {}", folder.keep().display());
            panic!("seed {seed}: {} faults:\n{}", faults.len(), faults.join("\n"));
        }
        println!("seed {seed}: {} of {bars} made, {:.1?}, {}", made.len(), ended.took, chaos_line(&ended));
        assert!(made.len() * 2 > bars, "seed {seed}: {} of {bars} made", made.len());
        panics += count(&ended, " panics");
        kills += count(&ended, " kills");
    }
    assert!(panics > 0 && kills > 0, "a campaign without faults proves nothing: {panics} panics, {kills} kills");
}
