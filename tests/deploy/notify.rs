//! The protocol of `Type=notify`, spoken with a real socket: what is said, when, and when nothing is said any more.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::node::{LONG, Node, SENTINEL, program};
use super::site::Site;

/// A service manager that listens.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
    /// Messages with their arrival.
    heard: Vec<(Instant, String)>,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Self { folder, socket, heard: Vec::new() }
    }

    fn start<'a>(&self, dir: &Path, args: impl IntoIterator<Item = &'a str>) -> Node {
        let mut command = program(SENTINEL, dir);
        command.args(args).env("NOTIFY_SOCKET", self.folder.path().join("notify")).env("WATCHDOG_USEC", "30000000");
        Node::spawn(dir, &mut command)
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            self.heard.push((Instant::now(), String::from_utf8(buffer[..length].to_vec()).unwrap()));
        }
    }

    /// Listens until a message contains the words; gives its place among the messages.
    fn wait_for(&mut self, words: &str, node: &Node) -> usize {
        let deadline = Instant::now() + LONG;
        loop {
            self.listen();
            if let Some(index) = self.heard.iter().position(|(_, message)| message.contains(words)) {
                return index;
            }
            assert!(Instant::now() < deadline, "no {words}: {:#?}\n{:?}", self.heard, node.said());
        }
    }

    fn times_of(&self, words: &str) -> Vec<Instant> {
        self.heard.iter().filter(|(_, message)| message.contains(words)).map(|(time, _)| *time).collect()
    }
}

#[test]
fn the_service_manager_hears_ready_status_watchdog_and_stopping() {
    let site = Site::long();
    let mut manager = Manager::new();
    let mut node = manager.start(site.path(), site.args().each_ref().map(String::as_str));
    let ready = manager.wait_for("READY=1\n", &node);
    let log = fs::read_to_string(site.state().join("logs/sentinel.log")).unwrap();
    assert!(log.contains("journal_opened"), "ready before the journal was open: {log}");
    assert!(
        manager.heard[ready].1.contains("STATUS=acted 0, no_action 0, skipped 0, missed 0; 1 pipelines"),
        "{:#?}",
        manager.heard
    );
    let first_watchdog = manager.wait_for("WATCHDOG=1\n", &node);
    assert!(ready < first_watchdog, "{:#?}", manager.heard);
    manager.wait_for("; last below_threshold; next due 2017-0", &node);

    node.signal(Signal::TERM);
    manager.wait_for("STOPPING=1\nSTATUS=stopping: SIGTERM\n", &node);
    node.ended_within(LONG).unwrap().expect(0);
    manager.listen();
    assert_eq!((manager.times_of("READY=1").len(), manager.times_of("STOPPING=1").len()), (1, 1));
}

#[test]
fn the_watchdog_is_fed_by_progress_and_by_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mut manager = Manager::new();
    let args = ["demo", "--speed", "10", "--bars", "200", "--state", "state", "--hang-at", "before-end-slot:40"];
    let mut node = manager.start(folder.path(), args);
    manager.wait_for("WATCHDOG=1\n", &node);
    let ended = loop {
        manager.listen();
        if let Some(ended) = node.ended_within(Duration::ZERO) {
            break ended;
        }
    };
    let end = Instant::now();
    assert_eq!(ended.status.signal(), Some(Signal::ABORT.as_raw()), "{ended:#?}");
    // A second without a beat is more than the node ever lets pass while it lives.
    let last = manager.times_of("WATCHDOG=1").pop().unwrap();
    assert!(end - last > Duration::from_millis(1200), "fed {:?} before the end", end - last);
}

#[test]
fn a_node_whose_journal_cannot_be_opened_is_never_ready() {
    let site = Site::long();
    fs::create_dir(site.state()).unwrap();
    fs::create_dir(site.state().join("journal.db")).unwrap();
    let mut manager = Manager::new();
    let node = manager.start(site.path(), site.args().each_ref().map(String::as_str));
    let ended = node.end();
    manager.listen();
    assert!(!ended.status.success() && manager.times_of("READY=1").is_empty(), "{:#?}", manager.heard);
    assert_eq!(manager.times_of("STOPPING=1").len(), 1);
}

#[test]
fn a_node_that_waits_after_a_crash_asks_the_manager_for_time() {
    let site = Site::long();
    fs::create_dir(site.state()).unwrap();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    fs::write(site.state().join("last_exit"), format!("{{\"code\":70,\"at_ms\":{now_ms}}}")).unwrap();
    let mut manager = Manager::new();
    let node = manager.start(site.path(), site.args().each_ref().map(String::as_str));
    let ready = manager.wait_for("READY=1\n", &node);
    let waiting = manager.wait_for("s before the start, after 1 crashes\n", &node);
    let more_time = manager.wait_for("EXTEND_TIMEOUT_USEC=2", &node);
    assert!(waiting < more_time && more_time < ready, "{:#?}", manager.heard);
}
