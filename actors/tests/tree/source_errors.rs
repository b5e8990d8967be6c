//! What a source that gives no bars makes of a slot: a reason of its own for each way to fail, and no order.

use std::time::Duration;

use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::SourceError;

use crate::harness::{HOUR, World};
use crate::test_pipeline::settings;

#[tokio::test(start_paused = true)]
async fn each_error_of_a_source_ends_the_slot_with_its_own_reason() {
    let text = || "401 or 429".to_owned();
    let wait = |seconds| SourceError::RateLimited { retry_after: seconds, text: text() };
    for (error, reason, detail) in [
        (SourceError::Timeout(Duration::from_secs(3)), Reason::SourceTimeout, "not answer within 3s"),
        (SourceError::Failed(text()), Reason::SourceFailed, "failed: 401 or 429"),
        (SourceError::Unauthorised(text()), Reason::SourceUnauthorised, "refused the node's credentials: 401 or 429"),
        (wait(None), Reason::SourceRateLimited, "asked too often: 401 or 429"),
        (
            wait(Some(HOUR / 60)),
            Reason::SourceRateLimited,
            "asked too often, and is not asked again for 60 s: 401 or 429",
        ),
    ] {
        let world = World::new().with(|inner| inner.source_error = Some(error));
        let node = world.run(settings(), HOUR).await;
        let inner = world.lock();
        let row = inner.rows.values().next().unwrap();
        assert_eq!((row.reason, inner.left.len()), (reason, 0));
        assert!(row.reason.is_fault() && row.detail.contains(detail), "{}", row.detail);
        drop(inner);
        node.root.stop(None);
    }
}
