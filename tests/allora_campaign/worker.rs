//! The process under test: it submits in each window, and settles what an earlier one has left.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use sentinel::cli::faults::FaultFlags;
use sentinel::http::{Deadline, Url};
use sentinel::system::{SystemChance, WallClock};
use sentinel::venues::allora::broadcaster::{Broadcaster, Message, Outcome, Pace, Parts, Request};
use sentinel::venues::allora::client::Client;
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::endpoints::EndpointSettings;
use sentinel::venues::allora::fees::FeeCaps;
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::signing::WorkerData;
use sentinel::venues::allora::wallet::Wallet;
use sentinel_actors::ports::{FaultInjector, NoFaults, elapsed_now};

use super::world::{TOPIC, World};

/// A public test mnemonic, which everyone knows.
const MNEMONIC: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const SUBMIT: Duration = Duration::from_secs(2);

pub fn wallet() -> Wallet {
    Wallet::parse(MNEMONIC).unwrap()
}

fn key_of(nonce: u64) -> String {
    format!("nonce {nonce}")
}

pub fn nonce_of(key: &str) -> i64 {
    key.strip_prefix("nonce ").unwrap().parse().unwrap()
}

fn until(allowed: Duration) -> Deadline {
    Deadline::of(allowed, elapsed_now())
}

fn client(chain_id: &str, urls: &[String]) -> Arc<Client> {
    let settings = EndpointSettings {
        chain_id: chain_id.to_owned(),
        rpc: urls.iter().map(|url| Url::parse(url).unwrap()).collect(),
        call_max: Duration::from_millis(300),
        stale_after: Duration::from_secs(30),
        survey_every: Duration::from_millis(20),
        cool_down: CoolDown { first: Duration::from_millis(20), max: Duration::from_millis(200) },
    };
    Arc::new(Client::new(settings, None, Arc::new(WallClock), Arc::new(SystemChance)).unwrap())
}

fn broadcaster(client: Arc<Client>, state_dir: &Path, faults: Arc<dyn FaultInjector>) -> Broadcaster {
    let caps = FeeCaps { per_transaction: 1 << 40, per_day: 1 << 60, registration: 1 << 60 };
    let pace = Pace { look: Duration::from_millis(10), refresh: Duration::from_millis(30) };
    let clock = Arc::new(WallClock);
    Broadcaster::open(Parts { client, wallet: wallet(), state_dir, caps, pace, clock, faults }).unwrap()
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
            .stdout(Stdio::null())
            .stderr(log);
        if let Some(place) = place {
            command.env("SENTINEL_TEST_DIE_AT", format!("{place}:{pass}"));
        }
        Self(command.spawn().unwrap())
    }

    pub fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// `kill -9`, if it has not died before.
    pub fn end(&mut self) -> Died {
        let Some(ended) = self.0.try_wait().unwrap() else {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
            return Died::Killed;
        };
        if ended.signal() == Some(9) { Died::AtItsPlace } else { Died::Otherwise(ended) }
    }
}

/// How a process came to its end.
pub enum Died {
    Killed,
    AtItsPlace,
    Otherwise(ExitStatus),
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = client(&chain_id, &urls);
        let broadcaster = broadcaster(client.clone(), Path::new(&dir), faults);
        work(&client, &broadcaster, &Path::new(&dir).join("keys")).await;
    });
}

/// One submission for each window, until the process dies.
async fn work(client: &Client, broadcaster: &Broadcaster, keys: &Path) {
    let address = wallet().address();
    let (mut settled_nonce, mut begun) = (0, 0);
    loop {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let Ok(window) = client.window_status(TOPIC, &address, until(SUBMIT)).await else { continue };
        if !window.is_open || window.nonce == settled_nonce {
            continue;
        }
        let key = key_of(window.nonce);
        if begun != window.nonce {
            // Durable before anything is signed for it, as an intent is.
            let mut file = File::options().create(true).append(true).open(keys).unwrap();
            writeln!(file, "{key}").unwrap();
            file.sync_all().unwrap();
            begun = window.nonce;
        }
        let nonce = i64::try_from(window.nonce).unwrap();
        let value = Dec::parse(&format!("0.{nonce}")).unwrap();
        let data = WorkerData::of_value(TOPIC, nonce, value);
        let request = Request { key: &key, message: Message::Worker(&data), last_height: window.end };
        match broadcaster.submit(&request, until(SUBMIT)).await {
            Outcome::Included(_) | Outcome::Failed { .. } | Outcome::Refused { .. } => settled_nonce = window.nonce,
            outcome @ (Outcome::NotSent(_) | Outcome::Unknown { .. } | Outcome::Unproven { .. }) => {
                eprintln!("{key}: {outcome:?}")
            }
        }
    }
}

/// What is known of each submission in the end, when all goes well.
pub fn settle_everything(world: &World) -> BTreeMap<String, Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broadcaster = broadcaster(client(&world.chain_id, &world.urls()), world.dir.path(), Arc::new(NoFaults));
        let mut outcomes = BTreeMap::new();
        for key in std::fs::read_to_string(world.keys_file()).unwrap().lines() {
            let settled = tokio::time::timeout(Duration::from_secs(30), async {
                loop {
                    let outcome = broadcaster.settle(key, until(SUBMIT)).await;
                    if !matches!(outcome, Outcome::Unknown { .. }) {
                        break outcome;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            outcomes.insert(key.to_owned(), settled.await.expect("its last block has passed long ago"));
        }
        outcomes
    })
}
