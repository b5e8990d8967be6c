//! The circuit: a hub that fails again and again is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel_actors::ports::{Model, ModelError};

use super::scripted::{Server, ok, status};
use super::{GOOD, LONG, Log, advance, model, predict, predictions};

/// A hub that fails until it is repaired.
fn ill() -> (Server, Arc<AtomicBool>) {
    let healthy = Arc::new(AtomicBool::new(false));
    let is_healthy = Arc::clone(&healthy);
    let server = Server::start(move |request| {
        if is_healthy.load(Ordering::SeqCst) {
            ok(&predictions(&request.body, 0.0))
        } else {
            status("500 Internal Server Error", "ill")
        }
    });
    (server, healthy)
}

fn is_left_alone<T: std::fmt::Debug>(result: &Result<T, ModelError>) -> bool {
    matches!(result, Err(ModelError::Unavailable(text)) if text.contains("is not asked before another"))
}

#[tokio::test]
async fn five_failures_in_a_row_open_the_circuit_for_half_a_minute() {
    let (log, _guard) = Log::capture();
    let (server, healthy) = ill();
    let model = model(server.port);
    for nth in 0..5 {
        assert!(matches!(predict(&model).await, Err(ModelError::Status { status: 500, .. })), "call {nth}");
    }
    assert_eq!(log.events(), ["hub_circuit_opened"]);
    let (sent, connects) = (server.requests().len(), model.connects());
    for _ in 0..10 {
        let result = predict(&model).await;
        assert!(is_left_alone(&result), "{result:?}");
        let result = model.validate(LONG).await;
        assert!(is_left_alone(&result), "{result:?}");
    }
    assert_eq!((server.requests().len(), model.connects()), (sent, connects));

    advance(Duration::from_secs(31)).await;
    assert!(matches!(predict(&model).await, Err(ModelError::Status { .. })), "one trial");
    assert!(is_left_alone(&predict(&model).await), "and no second");
    assert_eq!(server.requests().len(), sent + 1);
    assert_eq!(log.events(), ["hub_circuit_opened"], "it was open already");

    healthy.store(true, Ordering::SeqCst);
    advance(Duration::from_secs(31)).await;
    model.validate(LONG).await.unwrap();
    predict(&model).await.unwrap();
    assert_eq!(log.events(), ["hub_circuit_opened", "hub_circuit_closed"]);
}

#[tokio::test]
async fn every_kind_of_failure_counts_and_an_answer_begins_the_count_again() {
    let server = Server::start(|request| match request.nth % 5 {
        0 => status("504 Gateway Timeout", "Request processing time exceeded limit"),
        1 => super::scripted::Reply::Hang,
        2 => super::scripted::Reply::Close(vec![]),
        3 => ok("not an answer"),
        _ if request.nth < 5 => ok(GOOD),
        _ => status("500 Internal Server Error", ""),
    });
    let model = model(server.port);
    let short = Duration::from_secs(1);
    for _ in 0..10 {
        let result = model.predict(&super::frame(1.0), short).await;
        assert!(!is_left_alone(&result), "{result:?}");
    }
    assert!(is_left_alone(&predict(&model).await), "after five in a row");
}

#[tokio::test]
async fn an_answer_that_cannot_be_decided_with_is_no_failure_of_the_connection() {
    let server = Server::start(|_| ok(r#"{"predictions": [[NaN, 9.0], [1, 2]]}"#));
    let model = model(server.port);
    for _ in 0..8 {
        predict(&model).await.unwrap();
        assert!(matches!(model.validate(LONG).await, Err(ModelError::Invalid(_))));
    }
}
