//! A page's server over a board that a test writes: no node runs.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel::journal::{SqliteJournal, StateDir};
use sentinel::operator::live_node::{LastProgress, LiveNode};
use sentinel::operator::web::rules::Rules;
use sentinel::operator::web::token::Token;
use sentinel::operator::web::{Limits, Listening, WebServer};
use sentinel::system::WallClock;
use sentinel_actors::domain::halt::Place;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::PipelineMeters;
use sentinel_actors::ports::{Clock as _, NoFaults, elapsed_now};
use sentinel_actors::status::{Board, BoardEntry, Holdings, PipelineStatus};

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const PATIENCE: Duration = Duration::from_secs(30);
const FRESH_FOR: Duration = Duration::from_secs(20);

/// Real limits, in a fifth of their time.
pub const QUICK: Limits = Limits {
    head_within: Duration::from_secs(1),
    connection_max: Duration::from_secs(6),
    taken_within: Duration::from_secs(6),
    connections: 64,
    head_bytes: 16 << 10,
};

pub struct Page {
    pub server: WebServer,
    pub shown: LiveNode,
    pub dir: tempfile::TempDir,
    /// The node's own handle, which writes.
    pub journal: SqliteJournal,
}

pub fn entry(name: &str) -> BoardEntry {
    let mut status = PipelineStatus::new(Mode::DryRun);
    let now = WallClock.now();
    status.waiting_since = None;
    status.next_due = Some(now.plus(Duration::from_secs(3600)));
    BoardEntry {
        clock: Arc::new(WallClock),
        status: Arc::new(ArcSwap::from_pointee(status)),
        holdings: Arc::new(ArcSwap::from_pointee(Holdings::default())),
        parked: Arc::default(),
        meters: Arc::new(PipelineMeters::new(Mode::DryRun, false)),
        place: Place { pipeline: name.to_owned(), account: "demo".to_owned(), symbol: "EURUSD".to_owned() },
        late_after: Duration::from_secs(40),
    }
}

fn shown(state: &Path, names: &[&str]) -> LiveNode {
    let entries: BTreeMap<String, BoardEntry> = names.iter().map(|name| ((*name).to_owned(), entry(name))).collect();
    LiveNode {
        board: Board { entries, ..Board::default() },
        state: state.to_owned(),
        name: "node".to_owned(),
        mode: Mode::DryRun,
        arm: Arc::new(|| None),
        started_at: WallClock.now(),
        progress: Arc::new(LastProgress::default()),
        fresh_for: FRESH_FOR,
        alerts: Arc::default(),
    }
}

impl Page {
    pub fn of(names: &[&str]) -> Self {
        Self::with(names, "127.0.0.1:0", Rules::default(), QUICK)
    }

    /// Beyond loopback: it listens on every address, and is asked on this machine's.
    pub fn beyond(hosts: &[&str]) -> Self {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let rules = Rules { hosts, token: Some(Token::new(TOKEN).unwrap()) };
        Self::with(&["eurusd"], "0.0.0.0:0", rules, QUICK)
    }

    pub fn with(names: &[&str], listen: &str, rules: Rules, limits: Limits) -> Self {
        Self::start(names, listen, rules, limits, |_| ())
    }

    /// Over a node of which something is otherwise.
    pub fn changed(names: &[&str], change: impl FnOnce(&mut LiveNode)) -> Self {
        Self::start(names, "127.0.0.1:0", Rules::default(), QUICK, change)
    }

    fn start(names: &[&str], listen: &str, rules: Rules, limits: Limits, change: impl FnOnce(&mut LiveNode)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let (journal, _) = SqliteJournal::open(&state, Arc::new(NoFaults)).unwrap();
        let mut shown = shown(dir.path(), names);
        change(&mut shown);
        let listening = Listening::at(listen.parse().unwrap()).unwrap();
        let server = listening.serve(rules, limits, shown.clone()).unwrap();
        Self { server, shown, dir, journal }
    }

    pub fn port(&self) -> u16 {
        self.server.address().port()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port()))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// What is said to these bytes, until it closes.
    pub fn said_to(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // It may have answered and closed before it has read everything.
        let _ = stream.write_all(bytes);
        Answer::read(&mut stream)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &format!("localhost:{}", self.port()), "")
    }

    /// `headers`: further ones, each ended.
    pub fn ask(&self, method: &str, path: &str, host: &str, headers: &str) -> Answer {
        self.said_to(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{headers}\r\n").as_bytes())
    }

    /// A slot of a pipeline has ended.
    pub fn end_slot(&self, name: &str, slot: UtcMs, reason: Reason) {
        let entry = &self.shown.board.entries[name];
        let mut status = PipelineStatus::clone(&entry.status.load());
        status.count_slot(reason, None);
        (status.last_slot, status.last_reason) = (Some(slot), Some(reason));
        entry.status.store(Arc::new(status));
    }

    pub fn park(&self, name: &str) {
        self.shown.board.set_parked(name, true);
    }
}

#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// In lower case.
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Self::of(&String::from_utf8_lossy(&bytes))
    }

    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
        Self { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Asks until it is so.
#[track_caller]
pub fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = elapsed_now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "no {what} in time");
        std::thread::sleep(Duration::from_millis(10));
    }
}
