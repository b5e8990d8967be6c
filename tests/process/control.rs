//! The control socket of a real node: what is done through it, and what it does not stand.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::process::Signal;

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway};
use super::node::{LONG, Node, SENTINEL, program, run};

/// A run that sends many orders, and lasts until it is stopped.
fn site(speed: u32) -> Site {
    Site::new().with_model_pair("root_fx23").with("speed = \"max\"", &format!("speed = {speed}"))
}

fn socket(site: &Site) -> PathBuf {
    site.state().join("sentinel.sock")
}

fn started(site: &Site) -> Node {
    let mut node = site.start(&[]);
    node.wait_for("socket", |_| UnixStream::connect(socket(site)).is_ok());
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    node
}

fn ended(node: Node) {
    node.signal(Signal::TERM);
    node.end().expect(0);
}

/// What the node says to these bytes, until it closes.
fn said_to(site: &Site, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket(site)).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // It may have answered and closed before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn posted(site: &Site, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    said_to(site, &[head.as_bytes(), body.as_bytes()].concat())
}

fn code(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

fn halts(site: &Site) -> i64 {
    let journal = Connection::open(site.state().join("journal.db")).unwrap();
    journal.query_row("SELECT count(*) FROM halts", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_running_node_is_halted_resumed_and_shown_by_its_commands() {
    let site = site(100);
    let mut node = started(&site);
    let command = |arguments: &[&str]| run(site.path(), [arguments, &["--state", "state"]].concat());
    let reasons = || -> Vec<String> { Facts::read(&site.state()).slots.into_iter().map(|slot| slot.reason).collect() };
    command(&["halt", "gbpusd", "--reason", "Ann"]).expect(1).complains(&["no pipeline 'gbpusd'", "it has: eurusd"]);
    command(&["halt", "eurusd", "--reason", "Ann: strange fills"]).expect(0).says(&["halt-1: the pipeline eurusd"]);
    let orders = Facts::read(&site.state()).orders.len();
    node.wait_for("halted row", |_| reasons().last().is_some_and(|reason| reason == "halted"));
    let shown = command(&["status"]).expect(0);
    let shown = shown.says(&[
        "running: process",
        "halt-1 halted since",
        ": the pipeline eurusd",
        "Ann: strange fills",
        "dry_run halted",
    ]);
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80), "{}", shown.out);
    assert_eq!(Facts::read(&site.state()).orders.len(), orders);
    command(&["resume", "halt-2"]).expect(1).complains(&["there is no halt-2; there stands halt-1"]);
    command(&["resume", "halt-1", "--reason", "Ann: mended"]).expect(0).says(&["halt-1 is lifted"]);
    command(&["resume", "halt-1"]).expect(1).complains(&["halt-1 was lifted at"]);
    node.wait_for("order", |_| Facts::read(&site.state()).orders.len() > orders);
    ended(node);
    assert!(!socket(&site).exists(), "it is taken away at the end");
    command(&["status"]).expect(0).says(&["stopped: it ended with 0", "halts    none"]);
}

#[test]
fn a_watched_status_follows_a_node_from_before_its_start_to_its_end() {
    let site = site(100);
    let mut watch = Node::start(site.path(), ["status", "--watch", "--state", "state"]);
    watch.wait_for("complaint", |watch| watch.said().0.contains("there is no journal"));
    let node = started(&site);
    watch.wait_for("running node", |watch| {
        let said = watch.said().0;
        said.contains("running: process") && said.contains("verdict  working")
    });
    ended(node);
    watch.wait_for("its end", |watch| watch.said().0.contains("stopped: it ended with 0"));
    watch.signal(Signal::TERM);
    assert!(watch.ended_within(LONG).is_some());
}

#[test]
fn an_action_of_the_same_id_is_done_once() {
    let site = site(100);
    let node = started(&site);
    let halt = r#"{"id":"a-1","pipeline":null,"reason":"Ann"}"#;
    let answers: Vec<String> = (0..3).map(|_| posted(&site, "/halt", halt)).collect();
    assert!(
        answers.iter().all(|answer| code(answer) == "200" && answer.contains("halt-1: all pipelines")),
        "{answers:?}"
    );
    let resume = r#"{"id":"a-2","halt":"halt-1","reason":""}"#;
    assert!((0..3).all(|_| code(&posted(&site, "/resume", resume)) == "200"));
    assert_eq!(code(&posted(&site, "/resume", &resume.replace("a-2", "a-3"))), "409");
    assert_eq!(code(&posted(&site, "/halt", halt)), "200");
    assert_eq!(halts(&site), 1);
    drop(node.killed_after(Duration::ZERO));
    // The answers are forgotten, and the journal knows the ids.
    let node = started(&site);
    assert_eq!(code(&posted(&site, "/halt", halt)), "200");
    assert_eq!((code(&posted(&site, "/resume", resume)), halts(&site)), ("200", 1));
    run(site.path(), ["status", "--state", "state"]).expect(0).says(&["halts    none"]);
    ended(node);
}

#[test]
fn what_is_too_long_unknown_or_not_asked_like_that_is_refused() {
    let site = site(20);
    let node = started(&site);
    let long = format!(r#"{{"id":"a","pipeline":null,"reason":"{}"}}"#, "x".repeat(5000));
    for (answer, expected) in [
        (posted(&site, "/halt", &long), "413"),
        (posted(&site, "/halt", r#"{"id":"a","pipeline":null,"reason":"x","until":"noon"}"#), "422"),
        (posted(&site, "/halt", r#"{"id":"","pipeline":null,"reason":"x"}"#), "422"),
        (posted(&site, "/halt", r#"{"id":"a","pipeline":null,"reason":" \n"}"#), "422"),
        (posted(&site, "/halt", "{"), "400"),
        (posted(&site, "/resume", r#"{"id":"a","halt":"3","reason":""}"#), "422"),
        (posted(&site, "/flatten", "{}"), "422"),
        (posted(&site, "/flatten", r#"{"id":"a","pipeline":"x","confirmed":""}"#), "404"),
        (posted(&site, "/flatten", r#"{"id":"b","pipeline":"eurusd","confirmed":"EURUSD@demo"}"#), "409"),
        (posted(&site, "/arm", "{}"), "404"),
        (posted(&site, "/status/../halt", "{}"), "404"),
        (posted(&site, "/status", "{}"), "405"),
        (said_to(&site, b"GET /halt HTTP/1.1\r\nhost: x\r\n\r\n"), "405"),
        (said_to(&site, format!("GET /status HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(20_000)).as_bytes()), "431"),
        (said_to(&site, b"nonsense\r\n\r\n"), "400"),
        (said_to(&site, b"GET /status HTTP/1.1\r\nhost: x\r\n\r\n"), "200"),
    ] {
        assert_eq!(code(&answer), expected, "{answer}");
    }
    assert_eq!(halts(&site), 0);
    ended(node);
}

/// Also one that has sent its head and dribbles its body, and one that asks again on the same connection.
#[test]
fn connections_that_are_silent_dribble_or_wait_are_closed_after_five_seconds() {
    let site = site(20);
    let node = started(&site);
    let closed_after = |bytes: &'static [u8], every: Duration| {
        let path = socket(&site);
        std::thread::spawn(move || {
            let began = Instant::now();
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let mut bytes = bytes.chunks(1).cycle();
            let mut last = began;
            while began.elapsed() < Duration::from_secs(20) {
                if last.elapsed() >= every {
                    last = Instant::now();
                    if stream.write_all(bytes.next().unwrap()).is_err() {
                        return began.elapsed();
                    }
                }
                match stream.read(&mut [0; 4096]) {
                    Ok(0) => return began.elapsed(),
                    Err(error) if matches!(error.kind(), std::io::ErrorKind::ConnectionReset) => {
                        return began.elapsed();
                    }
                    _ => {}
                }
            }
            began.elapsed()
        })
    };
    let never = Duration::from_secs(3600);
    let silent = closed_after(b"x", never);
    let dribbling =
        closed_after(b"GET /status HTTP/1.1\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", Duration::from_millis(300));
    let began = Instant::now();
    let body = said_to(
        &site,
        b"POST /halt HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{",
    );
    let body = (code(&body).to_owned(), began.elapsed());
    assert!(body.0 == "408" && body.1 < Duration::from_secs(8), "{body:?}");
    for closed in [silent, dribbling] {
        let after = closed.join().unwrap();
        assert!((4..8).contains(&after.as_secs()), "{after:?}");
    }
    // One request per connection: nothing is left to idle.
    let began = Instant::now();
    let twice = said_to(&site, b"GET /status HTTP/1.1\r\nhost: x\r\n\r\nGET /status HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(twice.matches("HTTP/1.1 200").count() == 1 && began.elapsed() < Duration::from_secs(4), "{twice}");
    ended(node);
}

/// That they delay no cycle is a figure: `tests/live/connections.rs`.
#[test]
fn two_hundred_connections_stop_no_cycle_and_a_command_gets_through_when_they_are_closed() {
    let site = site(100);
    let mut node = started(&site);
    let mut connections: Vec<UnixStream> = (0..200).map(|_| UnixStream::connect(socket(&site)).unwrap()).collect();
    for stream in connections.iter_mut().step_by(4) {
        let _ = stream.write_all(b"GET /status HTTP/1.1\r\nx: y");
    }
    let command = Node::start(site.path(), ["halt", "--reason", "Ann", "--state", "state"]);
    let rows = Facts::rows_so_far(&site.state());
    node.wait_for("rows", |_| Facts::rows_so_far(&site.state()) > rows + 200);
    command.end().expect(0).says(&["halt-1: all pipelines"]);
    drop(connections);
    ended(node);
}

#[test]
fn another_user_is_not_heard_even_when_the_files_let_him_in() {
    if !rustix::process::getuid().is_root() {
        eprintln!("not root, so no other user can be played");
        return;
    }
    let site = site(20);
    let node = started(&site);
    let mode = fs::metadata(socket(&site)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::metadata(site.state()).unwrap().permissions().mode() & 0o777, 0o700, "made by the node");
    let copy = site.path().join("sentinel");
    fs::copy(SENTINEL, &copy).unwrap();
    for (path, mode) in
        [(site.path().to_owned(), 0o755), (site.state(), 0o777), (socket(&site), 0o777), (copy.clone(), 0o755)]
    {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut stranger = program("setpriv", site.path());
    stranger.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(copy);
    stranger.args(["halt", "--reason", "mine now", "--state", "state"]);
    let ended_with = Node::spawn(site.path(), &mut stranger).end();
    assert_eq!(ended_with.status.code(), Some(69), "{ended_with:?}");
    assert_eq!(halts(&site), 0);
    node.signal(Signal::TERM);
    let err = node.end().expect(0).err;
    assert!(err.contains("control_peer_refused") && err.contains("uid=65534"), "{err}");
}

#[test]
fn an_order_that_is_held_is_settled_while_the_node_runs_and_it_trades_on() {
    let port = free_port();
    let site = Site::new().with_decisions(400).through_gateway(port);
    let mut dying = gateway(site.path(), port, &["die@1"]);
    let mut node = site.start_live(&["--die-at", "after-outcome"]);
    dying.ended_within(LONG).unwrap();
    assert!(node.ended_within(LONG).unwrap().was_killed());
    let _gateway = gateway(site.path(), port, &[]);
    let site = site.with("speed = \"max\"", "speed = 50");
    let mut node = site.start_live(&[]);
    let intents = || Facts::read(&site.state()).intents;
    node.wait_for("held order", |_| {
        Facts::rows_so_far(&site.state()) > 0 && intents().iter().any(|i| i.state == "held")
    });
    let key = intents()[0].key.clone();
    let settle = |more: &[&str]| run(site.path(), [&["settle", &key[..12], "--state", "state"], more].concat());
    settle(&["--ticket", "77", "--volume", "5", "--evidence", "seen"]).expect(64).complains(&["5 lots"]);
    settle(&["--absent", "--evidence", "Ann: not in the terminal"])
        .expect(0)
        .says(&["absent", "before its next decision"]);
    settle(&["--absent", "--evidence", "Ann"]).expect(1).complains(&["is absent"]);
    node.wait_for("new order", |_| intents().iter().any(|intent| intent.state == "acked"));
    node.signal(Signal::TERM);
    node.end().expect(0);
}

/// The system refuses to accept then. The node waits longer and longer before it tries again, and does its work meanwhile.
#[test]
fn a_node_without_file_descriptors_works_on_and_takes_commands_when_it_has_some_again() {
    let site = site(100);
    let mut command = program("prlimit", site.path());
    command.arg("--nofile=64:64").arg(SENTINEL).args(site.args());
    let mut node = Node::spawn(site.path(), &mut command);
    node.wait_for("socket", |_| UnixStream::connect(socket(&site)).is_ok());
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    let connections: Vec<UnixStream> = (0..70).map(|_| UnixStream::connect(socket(&site)).unwrap()).collect();
    node.wait_for("refusal", |node| node.said().1.contains("event=control_socket_refuses"));
    let rows = Facts::rows_so_far(&site.state());
    node.wait_for("rows", |_| Facts::rows_so_far(&site.state()) > rows + 100);
    drop(connections);
    run(site.path(), ["halt", "--reason", "Ann", "--state", "state"]).expect(0).says(&["halt-1: all pipelines"]);
    ended(node);
}
