//! Bars whose times no window can hold: they are dropped and counted, and cost neither time nor, alone, a decision.

use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

/// How the first slot ends, with this many bars allowed to be missing.
async fn first_row(times: &[UtcMs], max_missing_bars: u32) -> (Reason, String) {
    let world = World::new().with(|inner| inner.stray_bars = times.to_vec());
    let mut settings = settings();
    settings.freshness.max_missing_bars = max_missing_bars;
    let node = world.run(settings, HOUR).await;
    let inner = world.lock();
    let row = inner.rows.values().next().unwrap();
    let found = (row.reason, row.dropped.clone());
    assert_eq!(inner.left.len(), usize::from(row.reason == Reason::OrderAcked));
    drop(inner);
    node.root.stop(None);
    found
}

#[tokio::test(start_paused = true)]
async fn bars_of_the_years_9999_and_1900_are_counted_and_the_slot_is_decided() {
    let far =
        ["9999-12-30T00:00:00Z", "1900-01-01T00:00:00Z", "1970-01-18T05:00:00Z"].map(|time| time.parse().unwrap());
    let ends = [far.as_slice(), &[UtcMs(i64::MIN), UtcMs(i64::MAX)]].concat();
    assert_eq!(first_row(&ends, 5).await, (Reason::OrderAcked, "implausible_time=5".to_owned()));
    assert_eq!(first_row(&ends, 4).await.0, Reason::Gap, "the right time of such a bar is unknown");
}
