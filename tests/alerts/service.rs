//! The thread with real sockets: what a halt that the node has raised leads to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel::http::{Secret, SecretUrl};
use sentinel::operator::alerts::counters::{AlertCounters, AlertResult};
use sentinel::operator::alerts::courier::{AlertSettings, DeadManCheck, Place, Route};
use sentinel::operator::alerts::service::Alerts;
use sentinel::operator::live_node::LiveNode;
use sentinel::system::WallClock;
use sentinel_actors::domain::halt::{Halt, HaltId, NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::halts::Halts;
use sentinel_actors::ports::{Clock as _, NoKillSwitch};
use sentinel_actors::status::Board;

use super::server::{Server, answer, ok};

fn halt(id: u32) -> Halt {
    let raised = NewHalt {
        request: format!("loss-{id}"),
        scope: Scope::All,
        state: TradingState::Halted,
        by: RaisedBy::Node,
        who: "max_daily_loss".to_owned(),
        why: "<script>alert('c4n4ry')</script>\nlost more than it may".to_owned(),
        evidence: String::new(),
        since: UtcMs(1_700_000_000_000),
    };
    Halt { id: HaltId(id), raised, lifted: None }
}

/// With halts that the node has raised; `routes` are the names of those that are counted.
fn node(state: &Path, halts: Vec<Halt>, routes: &[&str]) -> LiveNode {
    let board = Board { halts: Arc::new(Halts::new(halts, Arc::new(NoKillSwitch))), ..Board::default() };
    LiveNode {
        board,
        state: state.to_owned(),
        name: "trader".to_owned(),
        mode: Mode::DryRun,
        arm: Arc::new(|| None),
        started_at: WallClock.now(),
        progress: Arc::default(),
        fresh_for: Duration::from_secs(3600),
        alerts: Arc::new(AlertCounters::new(routes.iter().map(|name| (*name).to_owned()))),
    }
}

fn url(server: &Server, path: &str) -> SecretUrl {
    SecretUrl::parse(&Secret::new(format!("http://{}/{path}", server.address))).unwrap()
}

fn route(name: &str, server: &Server) -> Route {
    Route { name: name.to_owned(), place: Place::Webhook { url: url(server, name), secret: None } }
}

fn to(routes: Vec<Route>) -> AlertSettings {
    AlertSettings { routes, dead_man: None }
}

/// Runs the thread while `then` looks, and ends it.
fn run(settings: AlertSettings, node: LiveNode, then: impl FnOnce()) {
    let alerts = Alerts::start(settings, node).unwrap().unwrap();
    then();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(alerts.end(false));
}

/// Looks until it is so, or for 20 seconds.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = sentinel_actors::ports::elapsed_now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_halt_is_told_once_however_often_the_node_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| ok());
    let live = node(dir.path(), vec![halt(1)], &["ops"]);
    run(to(vec![route("ops", &server)]), live.clone(), || {
        let told = server.next().json();
        assert_eq!((told["event"].as_str(), told["severity"].as_str()), (Some("halted_by_node"), Some("now")));
        assert_eq!((told["node"].as_str(), told["key"].as_str()), (Some("trader"), Some("halted_by_node//halt-1")));
        assert!(
            told["title"].as_str().unwrap().contains("<script>") && !told["title"].as_str().unwrap().contains('\n')
        );
        until("it is counted", || live.alerts.routes()[0].count(AlertResult::Sent) == 1);
    });
    for _ in 0..2 {
        run(to(vec![route("ops", &server)]), node(dir.path(), vec![halt(1)], &["ops"]), || {
            assert!(server.within(Duration::from_secs(3)).is_none(), "a restart repeats nothing");
        });
    }
    // Another one is another incident.
    run(to(vec![route("ops", &server)]), node(dir.path(), vec![halt(1), halt(2)], &["ops"]), || {
        assert_eq!(server.next().json()["key"], "halted_by_node//halt-2");
    });
}

#[test]
fn a_message_that_was_not_taken_is_taken_up_by_the_next_run() {
    let dir = tempfile::tempdir().unwrap();
    let failing = Server::start(|_| answer("500 Oops", "", ""));
    let live = node(dir.path(), vec![halt(1)], &["ops"]);
    let mut first = None;
    run(to(vec![route("ops", &failing)]), live.clone(), || {
        first = Some(failing.next().json());
        until("it is counted", || live.alerts.routes()[0].count(AlertResult::Failed) == 1);
    });
    let server = Server::start(|_| ok());
    run(to(vec![route("ops", &server)]), node(dir.path(), vec![halt(1)], &["ops"]), || {
        assert_eq!(Some(server.next().json()), first, "the same message, with the same id");
    });
}

#[test]
fn a_route_that_hangs_holds_up_no_other_one() {
    let dir = tempfile::tempdir().unwrap();
    let (hanging, server) = (Server::start(|_| String::new()), Server::start(|_| ok()));
    let routes = vec![route("dead", &hanging), route("ops", &server)];
    run(to(routes), node(dir.path(), vec![halt(1)], &["dead", "ops"]), || {
        hanging.next();
        assert_eq!(server.next().json()["event"], "halted_by_node");
    });
}

#[test]
fn a_memory_that_cannot_be_used_keeps_no_word_back() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("telemetry.db"), "nonsense".repeat(1000)).unwrap();
    let server = Server::start(|_| ok());
    let live = node(dir.path(), vec![halt(1)], &["ops"]);
    run(to(vec![route("ops", &server)]), live, || {
        server.next();
        assert!(server.within(Duration::from_secs(3)).is_none(), "it is remembered in memory");
    });
}

#[test]
fn no_secret_is_in_what_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| answer("500 Oops", "", ""));
    let place = Place::Webhook { url: url(&server, "c4n4ry-path"), secret: Some(Secret::new("c4n4ry-key".to_owned())) };
    let routes = vec![Route { name: "ops".to_owned(), place }];
    run(to(routes), node(dir.path(), Vec::from([halt(1)]), &["ops"]), || drop(server.next()));
    let mut found = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(!has("c4n4ry-path") && !has("c4n4ry-key"));
        found += usize::from(has("halted_by_node"));
    }
    assert!(found > 0, "the incident is there");
}

#[test]
fn a_working_node_pings_and_the_end_of_the_competition_is_its_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_| ok());
    let check = DeadManCheck { url: url(&server, "ping"), every: Duration::from_secs(300) };
    let settings = AlertSettings { routes: Vec::new(), dead_man: Some(check) };
    let live = node(dir.path(), Vec::new(), &[]);
    let alerts = Alerts::start(settings.clone(), live.clone()).unwrap().unwrap();
    let ping = server.next();
    assert_eq!((ping.path.as_str(), ping.body.as_slice()), ("/ping", &b"waiting"[..]));
    until("it is counted", || live.alerts.last_ping().is_some());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(alerts.end(true));
    assert_eq!(server.next().body, b"ended, pause this check");
    // A start after the end has nothing to say.
    let alerts = Alerts::start(settings, node(dir.path(), Vec::new(), &[])).unwrap().unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(alerts.end(true));
    assert!(server.within(Duration::from_secs(1)).is_none_or(|ping| ping.body == b"waiting"));
}
