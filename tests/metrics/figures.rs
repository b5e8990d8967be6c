//! What a scrape of a thousand pipelines costs.

use std::time::Instant;

use sentinel::operator::metrics::render;

use super::live::{NOW, busy_node};

const PIPELINES: usize = 1_000;
const SCRAPES: usize = 1_000;
/// Of 100 scrapes, 99 take less.
const P99_MS_MAX: u128 = 200;
/// Bytes of a scrape, for each pipeline that has something of everything.
const BYTES_MAX: usize = 3_000;

fn names() -> Vec<String> {
    (0..PIPELINES).map(|n| format!("pipeline_{n:04}")).collect()
}

#[test]
fn a_scrape_grows_by_a_few_kilobytes_with_each_pipeline() {
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let bytes = |pipelines| render(&busy_node(&names[..pipelines]), NOW).unwrap().len();
    let (one, all) = (bytes(1), bytes(PIPELINES));
    assert!(one < 20_000 && all - one < PIPELINES * BYTES_MAX, "{one} and {all} bytes");
}

#[test]
#[ignore = "a figure, which an optimised build takes: see .ci/run"]
fn figures_of_a_scrape_of_a_thousand_pipelines() {
    let names = names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let node = busy_node(&names);
    let mut took = Vec::with_capacity(SCRAPES);
    let mut bytes = 0;
    for _ in 0..SCRAPES {
        let began = Instant::now();
        bytes = render(&node, NOW).unwrap().len();
        took.push(began.elapsed());
    }
    took.sort();
    let (p50, p99) = (took[SCRAPES / 2], took[SCRAPES * 99 / 100]);
    println!("/metrics of {PIPELINES} pipelines: {bytes} bytes, p50 {p50:.1?}, p99 {p99:.1?}");
    assert!(p99.as_millis() < P99_MS_MAX, "p99 {p99:?}");
}
