//! A worker of the Allora network as people run it: armed, started, stopped, or run once; on a chain that judges it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use sentinel::journal::JournalReader;
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::fact::Awaits;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::time::UtcMs;
use sentinel_testbed::chain::{Chain, Genesis, Options, TopicRules};
use tempfile::TempDir;

use super::config::demo_file;
use super::gateway::shown_identity;
use super::node::{Ended, Node, run};

const WORDS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
pub const ADDRESS: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
/// Another test mnemonic that everyone knows.
const OTHER_WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
pub const TOPIC: u64 = 67;

pub struct Site {
    dir: TempDir,
    pub chain: Chain,
}

impl Site {
    /// A funded worker on a chain of 2018, whose bars the demo has.
    pub fn new(every: Option<Duration>) -> Self {
        Self::at(1_524_175_200_000, every)
    }

    /// On a chain that begins at this time, in Unix milliseconds.
    fn at(time_ms: i64, every: Option<Duration>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // The wallet's lock is one for each chain and machine.
        let chain_id = format!("chain{}", dir.path().file_name().unwrap().to_str().unwrap().replace('.', "-"));
        let topic = TopicRules { epoch_length: 20, window: 12, epoch_last_ended: 985, ..TopicRules::default() };
        let genesis = Genesis {
            chain_id: chain_id.clone(),
            time_ms,
            block_ms: 500,
            topics: [(TOPIC, topic)].into(),
            ..Genesis::with_balance(ADDRESS, 10_u128.pow(18))
        };
        let chain = Chain::start(Options { every, ..Options::by_hand(genesis) }).unwrap();
        for file in ["btcusd_1h.csv", "btcusd.onnx", "btcusd.json"] {
            fs::copy(demo_file(file), dir.path().join(file)).unwrap();
        }
        let config = include_str!("../../config/demo/allora.toml")
            .replace("\"allora-demo\"", &format!("{chain_id:?}"))
            .replace("http://127.0.0.1:26657/", &chain.rpc_url(0))
            .replace("start = ", "# start = ")
            .replace("end = ", "# end = ")
            .replace("name = \"demo\"", "name = \"demo\"\nstate = \"state\"");
        fs::write(dir.path().join("node.toml"), config).unwrap();
        let site = Self { dir, chain };
        site.wallet(WORDS);
        site
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn wallet(&self, words: &str) {
        let file = self.path().join("words.txt");
        fs::write(&file, words).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(self.path().join(".env"), "ALLORA_MNEMONIC_FILE=words.txt\n").unwrap();
    }

    fn run(&self, args: &[&str]) -> Ended {
        run(self.path(), [args, &["--config", "node.toml"]].concat())
    }

    fn arm(&self) {
        let id = shown_identity(&self.run(&["arm"]).expect(1).out);
        self.run(&["arm", "--yes", &id]).expect(0).says(&["topic 67 of chain", ADDRESS]);
    }

    /// Windows whose forecast the chain has stored, by the journal. One that has its score awaits nothing any more; so would one that
    /// was not stored, of which the chain's truth tells.
    fn stored(&self) -> usize {
        let Ok(reader) = JournalReader::open(&self.path().join("state")) else { return 0 };
        let mut stored = 0;
        let counted = reader.each_intent(Some("btcusd"), None, |intent| {
            let (state, awaits) = (intent.record.state, intent.record.awaits);
            stored += usize::from(state == IntentState::Acked && matches!(awaits, Some(Awaits::Score) | None));
            Ok::<_, sentinel::journal::JournalError>(())
        });
        counted.map_or(0, |()| stored)
    }
}

#[test]
fn an_armed_worker_registers_uses_its_windows_and_ends_with_a_signal() {
    let site = Site::new(Some(Duration::from_millis(500)));
    let refused = site.run(&["run", "--live"]).expect(78);
    refused.complains(&["this run was not armed", "sentinel arm --config node.toml"]);
    site.arm();
    let mut node = Node::start(site.path(), ["run", "--live", "--config", "node.toml"]);
    node.wait_for("two windows are stored", |_| site.stored() >= 2);
    println!("resident: {} kB", resident_kb(node.id()));
    node.signal(Signal::TERM);
    let ended = node.end().expect(0);
    assert!(!ended.err.contains("abandon") && !ended.out.contains("abandon"), "the words are printed");
    let truth = site.chain.truth();
    assert!(truth.paid_twice().is_empty() && truth.done_twice().is_empty(), "{:?}", truth.paid_twice());
    assert!(truth.stored.iter().filter(|kept| kept.worker == ADDRESS).count() >= 2);
    site.run(&["allora", "report"]).expect(0).says(&["stored", "topic 67"]);
    // The same configuration with another wallet is not what was armed.
    site.wallet(OTHER_WORDS);
    site.run(&["run", "--live"]).expect(78).complains(&["account of the pipeline btcusd: wallet is "]);
}

fn resident_kb(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_single_run_takes_the_open_window_or_names_the_next_one() {
    let site = Site::new(None);
    site.chain.register(TOPIC, ADDRESS);
    site.arm();
    let once = ["run", "--once", "--live"];
    site.run(&once).expect(69).complains(&["no window that is open", "expected at block 1005", "start it again then"]);
    assert!(site.chain.truth().broadcasts.is_empty());
    site.chain.blocks_to(1_006);
    let node = Node::start(site.path(), [&once[..], &["--config", "node.toml"]].concat());
    while site.chain.truth().broadcasts.is_empty() {
        std::thread::park_timeout(Duration::from_millis(50));
    }
    site.chain.block();
    node.end().expect(0).says(&["forecast_acked"]);
    let submission = site.chain.truth().submission(ADDRESS, TOPIC, 1_005).effects;
    assert_eq!(submission, 1);
    // The window is used: another run finds what it has done, and does nothing.
    let again = site.run(&once);
    assert_eq!(site.chain.truth().submission(ADDRESS, TOPIC, 1_005).included.len(), 1, "{}", again.out);
}

#[test]
fn a_dry_run_does_everything_but_the_broadcast() {
    let site = Site::new(None);
    site.chain.register(TOPIC, ADDRESS);
    site.chain.blocks_to(1_006);
    site.run(&["run", "--once"]).expect(0).says(&["forecast_acked"]);
    let truth = site.chain.truth();
    assert!(truth.broadcasts.is_empty() && truth.included.is_empty());
    let simulated = site.chain.log().iter().any(|asked| format!("{asked:?}").contains("Simulate"));
    assert!(simulated, "nothing was simulated");
}

/// Its nonces and how they ended, oldest first.
pub fn endings(site: &Site) -> Vec<(String, &'static str)> {
    let Ok(reader) = JournalReader::open(&site.path().join("state")) else { return Vec::new() };
    let slots = reader.announced_between("btcusd", UtcMs(i64::MIN), UtcMs(i64::MAX)).unwrap_or_default();
    let row = |slot: AnnouncedSlot| Some((slot.id, reader.slot("btcusd", slot.slot).ok()??.record.reason.code()));
    slots.into_iter().filter_map(row).collect()
}

/// The chain is of 2033: by this machine's clock, no window of it has begun.
#[test]
fn windows_that_pass_while_the_node_is_down_say_so_whatever_this_machine_s_clock_shows() {
    let site = Site::at(2_000_000_000_000, None);
    site.chain.register(TOPIC, ADDRESS);
    site.chain.blocks_to(1_006);
    for (until, windows) in [(1_064, 1), (1_066, 3)] {
        let mut node = Node::start(site.path(), ["run", "--config", "node.toml"]);
        node.wait_for("each window has its row", |_| endings(&site).len() >= windows);
        node.signal(Signal::TERM);
        node.end().expect(0);
        site.chain.blocks_to(until);
    }
    let passed = ["1025", "1045"].map(|nonce| (nonce.to_owned(), "node_down"));
    assert_eq!(endings(&site)[1..3], passed, "{:?}", endings(&site));
}
