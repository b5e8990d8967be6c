//! The end of a competition, by the whole node with its wiring: its last window is used, none that opens later is, and the node ends by
//! itself with 0. Blocks come as fast as the chain's time passes, on machines and at endpoints whose clocks are wrong.

use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use sentinel::arming::Limits;
use sentinel::config::{Config, Env, Flags, MNEMONIC};
use sentinel::exit;
use sentinel::journal::{IntentStep, JournalError, JournalReader, Stored};
use sentinel::node::{self, ArmedBy, ChainPace, RunOptions};
use sentinel::system::WallClock;
use sentinel::venues::allora::broadcaster::Pace;
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::wallet::Wallet;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::IntentEvent;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock, PortFuture};
use sentinel_actors::root_supervisor::NodeEnd;
use sentinel_testbed::chain::{Chain, Genesis, Options, Purpose, TopicRules, View};

use super::site::{MNEMONIC as WORDS, RICH, TOPIC, address, wallet};

/// Blocks take this long, here and by the chain's time.
const BLOCK: Duration = Duration::from_millis(150);
const BLOCK_MS: i64 = 150;
/// 2018-04-20T00:00:00Z: the demo has bars of then.
const GENESIS_MS: i64 = 1_524_182_400_000;
const FIRST_HEIGHT: i64 = 1_000;
/// A node that starts is ready before this window is over.
const FIRST_NONCE: i64 = 1_010;
const EPOCH: i64 = 26;
const WINDOW: i64 = 18;
/// The opening that most of the ends are near to.
const NONCE: i64 = FIRST_NONCE + 2 * EPOCH;

fn time_of(height: i64) -> i64 {
    GENESIS_MS + (height - FIRST_HEIGHT) * BLOCK_MS
}

/// This machine's clock.
#[derive(Debug, Clone, Copy)]
enum Machine {
    /// So many milliseconds ahead of the chain.
    Ahead(i64),
    Stopped,
    /// Of this year: the chain is of another one.
    OfToday,
}

struct MachineClock {
    chain: Arc<Chain>,
    machine: Machine,
}

impl Clock for MachineClock {
    fn now(&self) -> UtcMs {
        match self.machine {
            Machine::Ahead(by) => UtcMs(time_of(self.chain.height()) + by),
            Machine::Stopped => UtcMs(GENESIS_MS),
            Machine::OfToday => WallClock.now(),
        }
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(tokio::time::sleep(BLOCK))
    }
}

/// The last of them is over after 15 seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const MINUTES: i64 = 600_000;
const RIGHT: Machine = Machine::Ahead(0);
/// Clocks of the three endpoints.
const GOOD: [Option<i64>; 3] = [Some(0); 3];
const NONE: [Option<i64>; 3] = [None; 3];

/// One competition: when it ends, and which clocks are wrong.
#[derive(Debug, Clone, Copy)]
struct End {
    at_ms: i64,
    machine: Machine,
    endpoints: [Option<i64>; 3],
}

const fn end(height: i64, ms: i64, machine: Machine, endpoints: [Option<i64>; 3]) -> End {
    End { at_ms: GENESIS_MS + (height - FIRST_HEIGHT) * BLOCK_MS + ms, machine, endpoints }
}

const ENDS: [End; 10] = [
    // A window that opens at the very end is none of it.
    end(NONCE, 0, RIGHT, GOOD),
    end(NONCE, 1, RIGHT, GOOD),
    end(NONCE, 0, Machine::Ahead(-MINUTES), GOOD),
    end(NONCE, 1, Machine::Ahead(MINUTES), GOOD),
    end(NONCE + WINDOW / 2, 70, Machine::OfToday, GOOD),
    end(NONCE - 1, 149, Machine::Stopped, GOOD),
    end(NONCE + WINDOW, 0, Machine::Ahead(-MINUTES), [Some(MINUTES), Some(0), Some(0)]),
    end(NONCE + EPOCH - 1, 0, Machine::OfToday, [Some(0), Some(-MINUTES), Some(MINUTES)]),
    end(NONCE, 1, RIGHT, NONE),
    end(NONCE, 0, Machine::Ahead(MINUTES), [Some(-MINUTES), Some(0), Some(0)]),
];

/// The chain, and where the node keeps what it knows.
struct Place {
    chain: Arc<Chain>,
    chain_id: String,
    state: tempfile::TempDir,
}

impl Place {
    fn new(number: usize, endpoints: [Option<i64>; 3]) -> Self {
        let chain_id = format!("ends-{}-{number}", std::process::id());
        let topic = TopicRules {
            epoch_length: EPOCH,
            window: WINDOW,
            epoch_last_ended: FIRST_NONCE - EPOCH,
            registered: vec![address()],
            ..TopicRules::default()
        };
        let genesis = Genesis {
            chain_id: chain_id.clone(),
            height: FIRST_HEIGHT,
            time_ms: GENESIS_MS,
            block_ms: BLOCK_MS,
            topics: [(TOPIC, topic)].into(),
            ..Genesis::with_balance(&address(), RICH)
        };
        let options = Options { nodes: endpoints.len(), ..Options::automatic(genesis, BLOCK) };
        let chain = Arc::new(Chain::start(options).unwrap());
        for (node, date_skew_ms) in endpoints.into_iter().enumerate() {
            chain.view(node, |view| *view = View { date_skew_ms, ..View::default() });
        }
        Self { chain, chain_id, state: tempfile::tempdir().unwrap() }
    }

    fn config(&self, end: UtcMs) -> Config {
        let rpc: Vec<String> = (0..3).map(|node| self.chain.rpc_url(node)).collect();
        let text = include_str!("../../config/demo/allora.toml")
            .replace("\"allora-demo\"", &format!("{:?}", self.chain_id))
            .replace("[\"http://127.0.0.1:26657/\"]", &format!("{rpc:?}"))
            .replace("start = ", "# start = ")
            .replace("end = \"2018-04-21T06:00:00Z\"", &format!("end = \"{end}\""));
        let flags = Flags { state: Some(self.state.path().display().to_string()), live: true, ..Flags::default() };
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/demo");
        Config::from_str_at(&text, "ends.toml", &demo, &Env::default(), &flags).unwrap()
    }

    /// The nonces whose forecasts are stored, as the node has noted it.
    fn proven(&self) -> Vec<i64> {
        let reader = JournalReader::open(self.state.path()).unwrap();
        let mut intents = Vec::new();
        let all = reader.each_intent(Some("btcusd"), None, |intent| {
            intents.push(intent.record);
            Ok::<_, JournalError>(())
        });
        all.unwrap();
        let is_noted = |step: Stored<IntentStep>| {
            matches!(step.record.event, Some(IntentEvent::Noted { fact: Fact::Stored { .. } }))
        };
        intents.retain(|intent| reader.steps(&intent.key).unwrap().into_iter().any(is_noted));
        let mut nonces: Vec<_> =
            intents.into_iter().map(|intent| intent.announced_as.unwrap().parse().unwrap()).collect();
        nonces.sort_unstable();
        nonces
    }
}

fn run(place: &Place, machine: Machine, end: UtcMs) -> node::RunReport {
    let config = place.config(end);
    let terms = node::live_terms(&config, Some(&wallet().address()), Limits::default()).unwrap();
    let env: Env = [(MNEMONIC, WORDS)].into_iter().collect();
    let options = RunOptions {
        armed_by: ArmedBy::Caller(Box::new(terms)),
        wallet: Some(Box::new(move || Wallet::open(&env))),
        clock: Arc::new(MachineClock { chain: place.chain.clone(), machine }),
        chain_pace: ChainPace {
            survey_every: BLOCK / 4,
            broadcaster: Pace { look: BLOCK / 4, refresh: BLOCK },
            block: BLOCK,
            cool_down: CoolDown { first: BLOCK, max: BLOCK * 4 },
            ..ChainPace::live()
        },
        ..RunOptions::default()
    };
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(node::run(config, options)));
    ended.recv_timeout(PATIENCE).expect("the node ends by itself").unwrap()
}

/// The windows of the competition are used from the first one that the node has met, and no other one is.
fn check(number: usize, End { at_ms, machine, endpoints }: End) {
    let place = Place::new(number, endpoints);
    let report = run(&place, machine, UtcMs(at_ms));
    let truth = place.chain.truth();
    let facts = format!("end {number}, of {:?}: {report:?}", ENDS[number]);
    assert!(report.end == NodeEnd::Finished && report.exit_code() == exit::OK, "{facts}");
    let used: Vec<i64> = truth.stored.iter().filter(|kept| kept.worker == address()).map(|kept| kept.nonce).collect();
    let first = *used.first().unwrap_or_else(|| panic!("no window was used: {facts}"));
    let of_competition: Vec<i64> =
        (FIRST_NONCE..).step_by(EPOCH as usize).take_while(|nonce| time_of(*nonce) < at_ms).collect();
    assert!(first == FIRST_NONCE || first == FIRST_NONCE + EPOCH, "{used:?}: {facts}");
    assert!(of_competition.ends_with(&used), "{used:?} of {of_competition:?} were used: {facts}");
    assert_eq!(place.proven(), used, "{facts}");
    for sent in truth.broadcasts {
        let Purpose::Submission { nonce, .. } = sent.purpose else { continue };
        assert!(of_competition.contains(&nonce), "{nonce}: {facts}");
    }
}

#[test]
fn ten_competitions_end_after_their_last_window_whatever_clocks_show() {
    let ends = ENDS.into_iter().enumerate();
    let threads: Vec<_> = ends.map(|(number, end)| thread::spawn(move || check(number, end))).collect();
    let ended: Vec<_> = threads.into_iter().map(thread::JoinHandle::join).collect();
    assert!(ended.iter().all(Result::is_ok));
}
