//! The page of a real node: where it is served, what keeps a node from starting, and what it does not stand.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use super::config::Site;
use super::facts::Facts;
use super::gateway::free_port;
use super::node::{LONG, Node, SENTINEL, program, run};

const TOKEN: &str = "c4nary0123456789abcdef0123456789abcdef";

/// A run that lasts until it is stopped.
fn site() -> Site {
    Site::new().with("speed = \"max\"", "speed = 100")
}

/// What is answered, head and all; nothing when nobody listens.
fn got(port: u16, path: &str, headers: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(LONG)).unwrap();
    let _ = write!(stream, "GET {path} HTTP/1.1\r\n{headers}\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200")
}

#[test]
fn a_node_that_listens_answers_what_it_does_and_an_address_that_is_taken_ends_the_start() {
    let (site, port) = (site(), free_port());
    let address = format!("127.0.0.1:{port}");
    let mut node = site.start(&["--listen", &address]);
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    let host = format!("host: localhost:{port}\r\n");
    for path in ["/livez", "/metrics", "/api/v1/status", "/api/v1/slots?limit=1"] {
        assert!(is_ok(&got(port, path, &host)), "{path}: {}", got(port, path, &host));
    }
    assert!(got(port, "/readyz", &host).contains("working"), "{}", got(port, "/readyz", &host));
    assert!(got(port, "/livez", "host: evil.example\r\n").starts_with("HTTP/1.1 421"));
    let other = run(site.path(), site.args_and(&["--listen", &address, "--state", "other"])).expect(75);
    other.complains(&["the page cannot be served at", &address, "find out who has it", "--listen"]);
    assert!(!site.path().join("other/journal.db").exists(), "it had not begun");
    node.signal(Signal::TERM);
    node.end().expect(0);
    assert_eq!(got(port, "/livez", &host), "", "nobody listens any more");
}

#[test]
fn an_address_that_is_not_this_machine_s_is_refused_for_good() {
    // For documents; no machine has it.
    let text = "[http]\nlisten = \"192.0.2.1:9464\"\nhosts = [\"trader\"]\ntoken_file = \"http.token\"\n";
    let site = site().with("[log]\n", &format!("{text}\n[log]\n"));
    let token = site.path().join("http.token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    run(site.path(), site.args_and(&[]))
        .expect(78)
        .complains(&["the page cannot be served at 192.0.2.1:9464", "an address of this machine"]);
    let bare = run(site.path(), site.args_and(&["--listen", "127.0.0.1"])).expect(78);
    bare.complains(&["--listen: http.listen: '127.0.0.1' is not an address with a port"]);
}

#[test]
fn a_token_is_asked_for_beyond_loopback_and_said_nowhere() {
    let port = free_port();
    let text = format!("[http]\nlisten = \"0.0.0.0:{port}\"\nhosts = [\"trader\"]\ntoken_file = \"http.token\"\n");
    let site = site().with("[log]\n", &format!("{text}\n[log]\n"));
    let file = site.path().join("http.token");
    fs::write(&file, TOKEN).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let mut node = site.start(&[]);
    let with_token = format!("host: trader\r\nauthorization: Bearer {TOKEN}\r\n");
    node.wait_for("page", |_| is_ok(&got(port, "/livez", &with_token)));
    assert!(got(port, "/livez", "host: trader\r\n").starts_with("HTTP/1.1 401"));
    assert!(got(port, "/livez", &with_token.replace("c4nary", "canary")).starts_with("HTTP/1.1 401"));
    let answers = ["/metrics", "/readyz", "/"].map(|path| got(port, path, &with_token)).concat();
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 10);
    node.signal(Signal::TERM);
    let ended = node.end().expect(0);
    let log = fs::read_to_string(site.state().join("logs/sentinel.log")).unwrap();
    assert!(log.contains("event=page_served") && log.contains("http.token"), "{log}");
    for (what, text) in [("answers", &answers), ("log", &log), ("output", &(ended.out + &ended.err))] {
        assert!(!text.contains(TOKEN), "the token is in its {what}");
    }
}

#[test]
fn a_demo_that_listens_says_where_its_page_is() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["demo", "--job", "forecast", "--speed", "max", "--bars", "30", "--listen", "127.0.0.1:0"];
    let ended = run(folder.path(), arguments).expect(0);
    let page = ended.out.lines().find_map(|line| line.strip_prefix("Page:  http://127.0.0.1:")?.strip_suffix('/'));
    let port: u16 = page.unwrap_or_else(|| panic!("{}", ended.out)).parse().unwrap();
    assert!(port > 0 && TcpListener::bind(("127.0.0.1", port)).is_ok(), "it has ended, and its port is free");
}

/// The system refuses to accept then. The node waits longer and longer before it tries again, and does its work meanwhile.
#[test]
fn a_node_without_file_descriptors_works_on_and_shows_its_page_when_it_has_some_again() {
    let (site, port) = (site(), free_port());
    let mut command = program("prlimit", site.path());
    command.arg("--nofile=64:64").arg(SENTINEL).args(site.args()).args(["--listen", &format!("127.0.0.1:{port}")]);
    let mut node = Node::spawn(site.path(), &mut command);
    node.wait_for("row", |_| Facts::rows_so_far(&site.state()) > 0);
    let host = "host: localhost\r\n";
    node.wait_for("page", |_| is_ok(&got(port, "/livez", host)));
    // Those that the server closes because they say nothing are replaced.
    let mut connections = Vec::new();
    node.wait_for("refusal", |node| {
        connections.extend((0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()));
        connections.drain(..connections.len().saturating_sub(100));
        node.said().1.contains("event=page_refuses")
    });
    let rows = Facts::rows_so_far(&site.state());
    node.wait_for("rows", |_| Facts::rows_so_far(&site.state()) > rows + 100);
    drop(connections);
    node.wait_for("page again", |_| is_ok(&got(port, "/livez", host)));
    node.signal(Signal::TERM);
    node.end().expect(0);
}
