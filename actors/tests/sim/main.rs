//! The deterministic simulator: the production tree on simulated time, with every port faked and seeded, and a judge.
//!
//! `cargo test` runs a few seeds. `SIM_SEEDS=150 SIM_DAYS=2 cargo test --profile sim -p sentinel-actors --test sim` runs a
//! campaign; `SIM_SEED=n` runs one seed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a failing test should panic"
)]

mod books;
mod campaign;
mod capture;
mod checks;
mod clock;
mod disk;
mod driver;
mod faults;
mod feed;
mod forecasts;
mod inputs;
mod ledger;
mod options;
mod regressions;
mod scale;
mod slow;
mod venue;
mod world;

use std::time::Duration;

use options::SimOptions;

fn env<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

fn hours(count: f64) -> Duration {
    Duration::from_secs_f64(count * 3600.0)
}

#[test]
fn a_campaign_of_seeds_violates_nothing() {
    let days: Option<f64> = env("SIM_DAYS");
    let length = hours(days.map(|days| days * 24.0).or(env("SIM_HOURS")).unwrap_or(4.0));
    if let Some(seed) = env::<u64>("SIM_SEED") {
        let report = campaign::simulate(SimOptions::from_seed(seed, length, 4), true);
        for line in &report.lines {
            println!("{line}");
        }
        if let Some(failure) = report.failure {
            panic!(
                "{}",
                failure.lines().rev().take(8).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        return;
    }
    let first: u64 = env("SIM_FIRST").unwrap_or(0);
    let seeds: u64 = env("SIM_SEEDS").unwrap_or(8);
    let campaign = campaign::run(first..first + seeds, length, 4, env("SIM_STOP_AFTER").unwrap_or(3));
    campaign.print();
    if let Some((_, failure)) = campaign.failures.first() {
        for (seed, failure) in &campaign.failures {
            println!("seed {seed}: {}", failure.lines().rev().nth(2).unwrap_or_default());
        }
        panic!("{failure}");
    }
    // A few hours cannot see everything.
    if seeds >= 150 && days.is_some_and(|days| days >= 2.0) {
        assert_eq!(campaign.unseen(), Vec::<String>::new());
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..4 {
        let run = || campaign::simulate(SimOptions::from_seed(seed, hours(1.5), 4), true);
        let (first, second) = (run(), run());
        for (a, b) in first.lines.iter().zip(&second.lines) {
            assert_eq!(a, b);
        }
        assert_eq!((first.hash, first.events), (second.hash, second.events));
    }
}

#[test]
fn a_thousand_pipelines_survive_a_mass_crash_of_a_fifth() {
    // Without optimisation a shorter time before and after the crash shows the same.
    let minutes =
        env("SIM_MINUTES").unwrap_or(if cfg!(debug_assertions) && env::<u64>("SIM_SEEDS").is_none() { 4 } else { 60 });
    scale::mass_crash(env("SIM_PIPELINES").unwrap_or(1000), minutes);
}
