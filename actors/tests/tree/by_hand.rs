//! What an operator settles while the node runs is known to it before its next decision.

use std::sync::atomic::Ordering;

use sentinel_actors::domain::intent::{IntentEvent, IntentState};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalWrite, Submission, Written};

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

#[tokio::test(start_paused = true)]
async fn a_held_order_that_is_settled_while_the_node_runs_is_held_no_more_at_the_next_decision() {
    let world = World::new().with(|inner| inner.replies = vec![Submission::Unknown("no reply".to_owned())]);
    let node = world.run(settings(), HOUR).await;
    assert_eq!(world.states(), [IntentState::Unknown]);
    let key = world.lock().intents.keys().next().unwrap().clone();
    let at = world.now();
    let evidence = || "a look".to_owned();
    let advance = |event| vec![JournalWrite::Advance { key: key.clone(), event, at }];
    let held = || node.board.held_orders();
    let hold = advance(IntentEvent::Hold { evidence: evidence() });
    assert_eq!(node.journal.write_all(hold).await, Ok(vec![Written::Done]));
    tokio::time::sleep(HOUR).await;
    assert_eq!((held(), world.reasons().pop()), (1, Some(Reason::IntentOpen)));
    let settle = advance(IntentEvent::SettledAbsent { evidence: evidence() });
    assert_eq!(node.journal.write_all(settle).await, Ok(vec![Written::Done]));
    node.board.settled_by_hand.fetch_add(1, Ordering::Release);
    tokio::time::sleep(HOUR).await;
    assert_eq!((held(), world.reasons().pop()), (0, Some(Reason::OrderAcked)));
}
