//! A bar that cannot be made for want of parts: it is missing, and the row says how many parts it has.

use sentinel_actors::domain::made_bars::IncompleteBar;
use sentinel_actors::domain::reason::Reason;

use crate::harness::{HOUR, START, World};
use crate::test_pipeline::settings;

#[tokio::test(start_paused = true)]
async fn a_due_bar_that_is_incomplete_is_not_decided_and_its_parts_are_counted() {
    let due = settings().freshness.due_bar(START.plus(HOUR));
    let incomplete = IncompleteBar { time: due, have: 44, of: 60 };
    let world = World::new().with(|inner| inner.incomplete = vec![incomplete]);
    let mut settings = settings();
    settings.freshness.max_age = HOUR / 2;
    let node = world.run(settings, HOUR).await;
    let inner = world.lock();
    let row = inner.rows.values().next().unwrap();
    assert_eq!((row.reason, row.dropped.as_str()), (Reason::StaleData, "incomplete=1"));
    assert!(row.detail.ends_with(&format!("the bar {due} is incomplete: 44 of 60 parts are there")), "{}", row.detail);
    assert!(inner.left.is_empty());
    drop(inner);
    node.root.stop(None);
}
