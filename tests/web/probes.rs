//! What programs ask: does it live, does it work, what does it show?

use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::system::WallClock;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::Clock as _;

use super::support::{Page, wait_for};

#[test]
fn a_node_that_works_lives_and_is_ready() {
    let page = Page::of(&["eurusd", "gbpusd"]);
    assert_eq!(page.get("/livez").code, 200);
    assert_eq!((page.get("/readyz").code, page.get("/readyz").body), (200, "waiting\n".to_owned()));
    page.end_slot("eurusd", WallClock.now(), Reason::BelowThreshold);
    assert_eq!(page.get("/readyz").body, "working\n");
    let health = page.get("/healthz");
    assert_eq!((health.code, health.json()["verdict"].as_str()), (200, Some("working")));
    assert_eq!(health.header("content-type"), Some("application/json"));
}

#[test]
fn a_node_that_does_no_work_is_not_ready_and_lives_all_the_same() {
    let page = Page::of(&["eurusd", "gbpusd"]);
    page.park("gbpusd");
    let ready = page.get("/readyz");
    assert_eq!(ready.code, 503);
    assert!(ready.body.starts_with("not working: gbpusd is parked"), "{ready:?}");
    let health = page.get("/healthz");
    assert_eq!((health.code, health.json()["is_bad"].as_bool()), (503, Some(true)));
    assert_eq!(health.json()["needs"][0]["pipeline"], "gbpusd");
    assert_eq!(page.get("/livez").code, 200, "a service manager must not restart it for that");
    // All of them take it from the same judgement.
    assert_eq!(page.get("/api/v1/status").json()["verdict"], "not working");
}

#[test]
fn a_node_that_stands_still_does_not_live() {
    let page = Page::changed(&["eurusd"], |shown| shown.fresh_for = Duration::ZERO);
    wait_for("stand-still", || page.get("/livez").code == 503);
    let live = page.get("/livez");
    assert!(live.body.contains("has shown no progress for"), "{live:?}");
    assert_eq!(page.get("/readyz").code, 503);
}

#[test]
fn a_page_that_hangs_is_missed_and_one_that_has_ended_is_not() {
    let gate = Arc::new(Mutex::new(()));
    let hangs = gate.clone();
    let page = Page::changed(&["eurusd"], |shown| {
        shown.arm = Arc::new(move || {
            drop(hangs.lock().unwrap());
            None
        });
    });
    let silent = || page.shown.board.page.silent_for();
    wait_for("beat", || silent().is_some_and(|silent| silent < Duration::from_millis(500)));
    let stops = gate.lock().unwrap();
    let mut stream = page.connect();
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    wait_for("silence", || silent().is_some_and(|silent| silent > Duration::from_secs(3)));
    drop(stops);
    wait_for("beat again", || silent().is_some_and(|silent| silent < Duration::from_millis(500)));
    let board = page.shown.board.clone();
    drop(page);
    wait_for("end", || board.page.silent_for().is_none());
}
