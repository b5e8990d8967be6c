//! The process under test: a node with one live worker in one topic, until it is killed.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sentinel::cli::faults::FaultFlags;
use sentinel::http::Url;
use sentinel::journal::{SqliteJournal, StateDir};
use sentinel::system::{QuarantineDir, SystemChance, WallClock};
use sentinel::venues::allora::announcer::{AnnouncerParts, WindowAnnouncer};
use sentinel::venues::allora::broadcaster::{Broadcaster, Pace, Parts};
use sentinel::venues::allora::chain_clock::ChainClock;
use sentinel::venues::allora::client::Client;
use sentinel::venues::allora::endpoints::EndpointSettings;
use sentinel::venues::allora::fees::FeeCaps;
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::wallet::Wallet;
use sentinel::venues::allora::worker::{Way, WorkerParts, WorkerSink};
use sentinel::venues::book::{BOOK_FILE, Book};
use sentinel_actors::admission::{Admission, CYCLES_AT_WORK};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::node::{self, NodeSpec};
use sentinel_actors::ports::{FaultInjector, NoArming, UnmeasuredDisk};
use sentinel_actors::settings::NodeShared;
use sentinel_actors::supervision::watch::Progress;
use sentinel_actors::supervision::{CrashLog, Limits};

use super::ports::{ports, settings};
use super::world::{TOPIC, World};

/// A public test mnemonic, which everyone knows.
const MNEMONIC: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

/// The last blocks of a window that are left alone.
pub const MARGIN_BLOCKS: i64 = 1;

pub fn wallet() -> Wallet {
    Wallet::parse(MNEMONIC).unwrap()
}

/// A process that works until it is killed.
pub struct Worker(Child);

impl Worker {
    /// Starts it; at the n-th pass of the place it dies on its own.
    pub fn start(world: &World, place: Option<&str>, pass: usize) -> Self {
        let log = File::options().create(true).append(true).open(world.log_file()).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "worker::the_process_under_test", "--ignored", "--nocapture"])
            .env("SENTINEL_TEST_CHAIN", &world.chain_id)
            .env("SENTINEL_TEST_RPC", world.urls().join(" "))
            .env("SENTINEL_TEST_DIR", world.dir.path())
            .env_remove("SENTINEL_TEST_DIE_AT")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        if let Some(place) = place {
            command.env("SENTINEL_TEST_DIE_AT", format!("{place}:{pass}"));
        }
        Self(command.spawn().unwrap())
    }

    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// `kill -9`; whether it had died at its place before.
    pub fn end(&mut self) -> bool {
        let Some(ended) = self.0.try_wait().unwrap() else {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
            return false;
        };
        assert_eq!(ended.signal(), Some(9), "it ended otherwise: {ended}");
        true
    }
}

fn client(chain_id: &str, urls: &[String], clock: Arc<ChainClock>) -> Arc<Client> {
    let settings = EndpointSettings {
        chain_id: chain_id.to_owned(),
        rpc: urls.iter().map(|url| Url::parse(url).unwrap()).collect(),
        call_max: Duration::from_millis(500),
        stale_after: Duration::from_secs(30),
        survey_every: Duration::from_millis(50),
        cool_down: CoolDown { first: Duration::from_millis(20), max: Duration::from_millis(200) },
    };
    let client = Client::new(settings, None, Arc::new(WallClock), Arc::new(SystemChance)).unwrap();
    Arc::new(client.observed_by(Arc::new(move |tip| clock.note(tip))))
}

#[test]
#[ignore = "started by the campaign, as a process of its own"]
fn the_process_under_test() {
    let argument = |name: &str| std::env::var(name).ok();
    let Some(chain_id) = argument("SENTINEL_TEST_CHAIN") else { return };
    let urls: Vec<_> = argument("SENTINEL_TEST_RPC").unwrap().split(' ').map(str::to_owned).collect();
    let dir = argument("SENTINEL_TEST_DIR").unwrap();
    let die_at = argument("SENTINEL_TEST_DIE_AT").map(|place| place.parse().unwrap());
    let faults = FaultFlags { die_at, ..FaultFlags::default() }.injector();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(&chain_id, &urls, Path::new(&dir), faults));
}

async fn run(chain_id: &str, urls: &[String], dir: &Path, faults: Arc<dyn FaultInjector>) {
    let clock = Arc::new(ChainClock::new(Arc::new(WallClock)));
    let client = client(chain_id, urls, clock.clone());
    let (state, worker) = (StateDir::open(dir).unwrap(), wallet().address());
    let (journal, _) = SqliteJournal::open(&state, faults.clone()).unwrap();
    let book = Book::open(&dir.join(BOOK_FILE)).unwrap();
    let broadcaster = Broadcaster::open(Parts {
        client: client.clone(),
        wallet: wallet(),
        state_dir: dir,
        caps: FeeCaps { per_transaction: 1 << 40, per_day: 1 << 60, registration: 1 << 60 },
        pace: Pace { look: Duration::from_millis(30), refresh: Duration::from_millis(60) },
        clock: Arc::new(WallClock),
        faults: faults.clone(),
    });
    let broadcaster = Arc::new(broadcaster.unwrap());
    let announcer = WindowAnnouncer::new(AnnouncerParts {
        may_send: Arc::new(|| Ok(())),
        client: client.clone(),
        topic: TOPIC,
        worker,
        broadcaster: Some(broadcaster.clone()),
        competition: Window::default(),
        block: Duration::from_millis(100),
    });
    let account = format!("{chain_id}/{worker}/{TOPIC}");
    let way = Way::Live(broadcaster);
    let sink = WorkerSink::new(WorkerParts {
        client,
        topic: TOPIC,
        worker,
        account,
        margin_blocks: MARGIN_BLOCKS as u64,
        pause: Duration::from_millis(50),
        way,
    });
    let ports = ports(clock, Arc::new(sink), Arc::new(announcer), book, faults.clone());
    let handle = tokio::runtime::Handle::current();
    let running = node::start(NodeSpec {
        pipelines: vec![(settings(), ports)],
        store: Arc::new(journal),
        shared: NodeShared {
            halts: Arc::default(),
            settled_by_hand: Arc::default(),
            arming: Arc::new(NoArming),
            disk: Arc::new(UnmeasuredDisk),
            control: handle.clone(),
            workers: handle.into(),
            chance: Arc::new(SystemChance),
            faults,
            quarantine: Arc::new(QuarantineDir(dir.join("quarantine"))),
            crashes: CrashLog::install(),
            progress: Arc::new(Progress::default()),
            meters: Arc::default(),
            admission: Arc::new(Admission::new(CYCLES_AT_WORK)),
            limits: Limits::default(),
            safe_mode: Arc::new(AtomicBool::new(false)),
            clocks: Arc::default(),
            state_dir: dir.display().to_string().into(),
        },
        wall: Arc::new(WallClock),
        heartbeat_every: Duration::from_secs(3600),
        beat_every: Duration::from_secs(1),
        close_within: Duration::from_secs(5),
    });
    running.await.unwrap().ended.await.unwrap();
}
