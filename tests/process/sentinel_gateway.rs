//! A whole node through the gateway of `tools/mt5-gateway`, before a fake terminal: real processes, of which the gateway is killed. The
//! terminal's own record of what the broker did is the judge.
//!
//! `SENTINEL_PYTHON` names an interpreter that has pyzmq, if `python3` has none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::config::Site;
use super::facts::{Facts, Intent};
use super::gateway::free_port;
use super::node::{Node, program, run};

const BARS: usize = 60;
/// All waits of gateway and terminal, as a part of the true ones.
const TIME_FACTOR: &str = "0.01";
/// A gateway that was started again waits until an order can no longer leave, and then five minutes, three seconds here.
const SETTLING_MAX: Duration = Duration::from_secs(120);

fn tool() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/mt5-gateway")
}

fn python() -> OsString {
    std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| "python3".into())
}

/// A program of the tool; it is there when it listens.
fn started(dir: &Path, args: &[&str], kill_at: &str) -> Node {
    let mut path = tool().into_os_string();
    path.push(":");
    path.push(tool().join("tests/fake"));
    let mut command = program(&python().to_string_lossy(), dir);
    command.arg("-m").args(args).env("PYTHONPATH", path).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("FAKE_MT5_SOCKET", dir.join("s")).env("SENTINEL_GATEWAY_KILL_AT", kill_at);
    let mut started = Node::spawn(dir, &mut command);
    started.wait_for("listening program", |node| node.said().0.contains("listening on"));
    started
}

fn terminal(dir: &Path, more: &[&str]) -> Node {
    let args = ["fake_terminal", "--socket", "s", "--truth", "truth.db", "--seed", "1", "--time-factor", TIME_FACTOR];
    started(dir, &[&args, more].concat(), "")
}

struct World {
    site: Site,
    dir: tempfile::TempDir,
    terminal: Node,
}

impl World {
    fn new() -> Self {
        let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
        let site = Site::new()
            .with_decisions(BARS)
            .through_gateway(port)
            // An hour takes 50 ms, so that the lists of the terminal can follow the replay.
            .with("speed = \"max\"", "speed = 20")
            .with("account_mode = \"netting\"\n", "account_mode = \"hedging\"\ndialect = \"sentinel\"\n");
        let terminal = terminal(dir.path(), &[]);
        let config = format!(
            "[gateway]\nbind = \"tcp://127.0.0.1:{port}\"\nstate = \"state\"\n[terminal]\nlogin = 5012345\nserver = \"Broker-Demo\"\n\
             [time]\nwinter_s = 7200\ndst = \"none\"\n"
        );
        std::fs::write(dir.path().join("gateway.toml"), config).unwrap();
        Self { site, dir, terminal }
    }

    /// Another terminal in the place of this one, with another account in it.
    fn replace_terminal(&mut self, more: &[&str]) {
        let _ = std::mem::replace(&mut self.terminal, terminal(self.dir.path(), more));
    }

    /// A gateway that dies at this place, and has listed the account by now.
    fn gateway(&self, kill_at: &str) -> Node {
        let args = ["sentinel_gateway", "serve", "--config", "gateway.toml", "--time-factor", TIME_FACTOR];
        started(self.dir.path(), &args, kill_at)
    }

    /// The magic number and ticket of each order that the broker took.
    fn taken(&self) -> Vec<(i64, u64)> {
        let truth = Connection::open_with_flags(self.dir.path().join("truth.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let truth = truth.unwrap();
        let mut statement = truth.prepare("SELECT data FROM truth WHERE kind = 'accepted' ORDER BY seq").unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
        rows.map(|row| serde_json::from_str::<serde_json::Value>(&row.unwrap()).unwrap())
            .map(|order| (order["magic_sent"].as_i64().unwrap(), order["ticket"].as_u64().unwrap()))
            .collect()
    }

    fn facts(&self) -> Facts {
        Facts::read(&self.site.state())
    }

    /// Starts the node until it knows of each order: a gateway that was started again looks for one for a while.
    fn settle(&self) {
        let until = Instant::now() + SETTLING_MAX;
        while Instant::now() < until {
            self.site.start_live(&[]).end().expect(0);
            if self
                .facts()
                .intents
                .iter()
                .all(|intent| ["acked", "absent", "rejected"].contains(&intent.state.as_str()))
            {
                return;
            }
        }
        panic!("not settled: {:?}", self.facts().intents);
    }

    /// Each confirmed order is one of the broker's, under the id that it was given, and there is no other.
    fn assert_one_to_one(&self) -> Vec<Intent> {
        let (mut intents, taken) = (self.facts().intents, self.taken());
        let mut carriers: Vec<i64> = taken.iter().map(|(carrier, _)| *carrier).collect();
        carriers.sort_unstable();
        carriers.dedup();
        assert_eq!(carriers.len(), taken.len(), "an order was taken twice: {taken:?}");
        let mut confirmed: Vec<(i64, u64)> = intents
            .iter()
            .filter_map(|intent| Some((carrier(&intent.key), intent.ticket.as_ref()?.parse().unwrap())))
            .collect();
        confirmed.sort_unstable();
        let mut broker = taken;
        broker.sort_unstable();
        assert_eq!(confirmed, broker);
        intents.sort_by_key(|intent| intent.slot_ms);
        intents
    }
}

/// Worked out anew: 32 bits of the key above 31 bits of the pipeline's number.
fn carrier(key: &str) -> i64 {
    let bytes = data_encoding::BASE32_NOPAD.decode(key.to_uppercase().as_bytes()).unwrap();
    let tag = u32::from_be_bytes(bytes[..4].try_into().unwrap());
    (i64::from(tag) << 31) | 7
}

#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn a_whole_run_through_the_gateway_opens_and_closes_by_ticket() {
    let world = World::new();
    let _gateway = world.gateway("");
    world.site.start_live(&[]).end().expect(0);
    let intents = world.assert_one_to_one();
    assert!(intents.len() >= 2, "{intents:?}");
    assert!(intents.iter().all(|intent| intent.state == "acked" && intent.history == "planned send_after acked"));
    assert!(intents.iter().any(|intent| intent.role.starts_with("close/")));
    run(world.site.path(), ["prove", "--state", "state"]).expect(0);
}

#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn an_order_whose_gateway_was_killed_before_its_reply_is_found_by_its_id_and_not_doubled() {
    let world = World::new();
    let dying = world.gateway("completed");
    let node = world.site.start_live(&[]);
    let killed = dying.end();
    assert!(!killed.status.success(), "{killed:?}");
    let _again = world.gateway("");
    node.end().expect(0);
    let intents = world.assert_one_to_one();
    assert_eq!(intents[0].history, "planned send_after lost_track found", "{intents:?}");
    assert!(intents.iter().all(|intent| intent.state == "acked"), "{intents:?}");
}

#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn an_order_that_the_killed_gateway_never_took_up_is_absent_and_never_arrives_later() {
    let world = World::new();
    // It has answered the questions before the order by then.
    let dying = world.gateway("checked");
    let node = world.site.start_live(&[]);
    let _ = dying.end();
    let _again = world.gateway("");
    node.end().expect(0);
    world.settle();
    let intents = world.assert_one_to_one();
    assert_eq!(intents[0].history, "planned send_after lost_track found_absent", "{intents:?}");
}

/// The node that asks knows nothing but what was written before the order left.
#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn node_and_gateway_killed_around_an_order_agree_on_it_afterwards() {
    for place in ["checked", "completed"] {
        let world = World::new();
        let dying = world.gateway(place);
        let node = world.site.start_live(&[]);
        let _ = dying.end();
        node.killed_after(Duration::ZERO);
        let _again = world.gateway("");
        world.settle();
        let intents = world.assert_one_to_one();
        let ends = |state: &str| intents[0].state == state;
        assert!(if place == "completed" { ends("acked") } else { ends("absent") }, "{place}: {intents:?}");
    }
}

/// The account is part of what is armed: `arm` shows it, and another one in the terminal gets nothing.
#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn a_terminal_with_another_kind_of_account_gets_no_order_before_it_is_armed_again() {
    let mut world = World::new();
    {
        let _gateway = world.gateway("");
        world.site.arm();
    }
    let shown = world.site.state().join("arm.json");
    let armed = std::fs::read_to_string(&shown).unwrap();
    assert!(armed.contains("server Broker-Demo; demo or real: demo"), "{armed}");
    assert!(armed.contains("login 5012345; margin mode hedging"), "{armed}");
    world.replace_terminal(&["--margin-mode", "netting"]);
    let _gateway = world.gateway("");
    let log = world.site.start_as_armed(&[]).end().expect(0).err;
    assert_eq!((world.facts().intents.len(), world.taken().len()), (0, 0));
    assert!(log.contains("margin mode netting") && log.contains("and armed was"), "{log}");
}

/// What is open is on the account of the orders; the one that the terminal is on now would list nothing.
#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn another_account_in_the_terminal_is_not_flat_because_the_nodes_positions_are_on_the_older_one() {
    let mut world = World::new();
    {
        let _gateway = world.gateway("");
        world.site.start_live(&[]).end().expect(0);
    }
    assert!(world.facts().intents.iter().any(|intent| intent.state == "acked"));
    world.replace_terminal(&["--trade-mode", "contest"]);
    let _gateway = world.gateway("");
    let flatten = ["flatten", "eurusd", "--config", "node.toml", "--yes", "EURUSD@test"];
    let ended = run(world.site.path(), flatten).expect(1);
    ended.complains(&[
        "the terminal is on the account 5012345 at Broker-Demo, contest",
        "log the terminal in there again",
    ]);
}

#[test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
fn a_gateway_that_cannot_trade_the_configuration_is_a_problem_of_the_doctor_and_is_not_armed() {
    let World { site, dir, terminal } = World::new();
    let site = site.with("account_mode = \"hedging\"", "account_mode = \"netting\"");
    let world = World { site, dir, terminal };
    let _gateway = world.gateway("");
    let check = [&["check".to_owned()], &world.site.args_and(&["--probe", "--live"])[1..]].concat();
    let ended = run(world.site.path(), check);
    ended.says(&["PROBLEM", "its margin mode is hedging, and account_mode is \"netting\""]);
    let refused = world.site.arm_with(&[]).expect(78);
    refused.complains(&["account_mode is \"netting\"", "Nothing was armed"]);
}
