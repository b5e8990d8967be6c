//! The demo's chaos on the real binary: panics, hangs, blocked threads and kills, and not one slot or order lost.

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
    let line = ended.out.lines().find(|line| line.starts_with("Chaos: ")).unwrap();
    let share = facts.slots.iter().filter(|slot| slot.outcome == "missed").count();
    println!("seed {seed}, {bars} bars, {:.1?}, {share} missed, {line}", ended.took);
    ended
}

/// How often a kind of fault happened, from the demo's own line.
fn count(ended: &Ended, kind: &str) -> u64 {
    let line = ended.out.lines().find(|line| line.starts_with("Chaos: ")).unwrap();
    let before = line.split(kind).next().unwrap();
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
