//! A long outage leaves many slots; no transaction grows with it.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::SlotFeed;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::settings;

#[tokio::test(start_paused = true)]
async fn the_43_200_minutes_of_a_month_without_the_node_are_written_in_pieces() {
    let before = UtcMs(START.0 - 30 * 24 * HOUR.as_millis() as i64 - 2000);
    let world = World::new().with(|inner| {
        let row = SlotRecord::new("eurusd", before, Mode::Live, Reason::Hold, before);
        inner.rows = BTreeMap::from([(before, row)]);
    });
    let schedule = Schedule::every(Duration::from_secs(60), Duration::from_secs(58)).unwrap();
    let mut minutes = settings();
    minutes.slots = SlotFeed::Grid(schedule.clone());
    minutes.freshness.max_age = HOUR * 24;
    let node = world.run(minutes, Duration::from_secs(70)).await;
    let inner = world.lock();
    let newest = *inner.rows.keys().next_back().unwrap();
    assert!(newest >= START, "{newest}");
    let slots: Vec<UtcMs> = inner.rows.keys().copied().collect();
    assert_eq!(slots[1..], schedule.slots(before, newest).collect::<Vec<_>>(), "every slot has its row");
    let missed = inner.rows.values().filter(|row| row.reason == Reason::NodeDown).count();
    assert!((43_199..=43_200).contains(&missed), "{missed}");
    let largest = inner.transactions.iter().max().unwrap();
    assert!(
        *largest <= 2000 && inner.transactions.len() >= 43,
        "{largest} rows in one of {}",
        inner.transactions.len()
    );
    drop(inner);
    node.root.stop(None);
}
