//! A chain whose blocks come by hand, and a worker beside it. [`Worker::ask`] does what a feeder does: what was announced is durable
//! before the next question.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel::http::Url;
use sentinel::system::{SystemChance, WallClock};
use sentinel::venues::allora::announcer::{AnnouncerParts, WindowAnnouncer};
use sentinel::venues::allora::broadcaster::{Broadcaster, Pace, Parts};
use sentinel::venues::allora::client::Client;
use sentinel::venues::allora::endpoints::EndpointSettings;
use sentinel::venues::allora::fees::FeeCaps;
use sentinel::venues::allora::health::CoolDown;
use sentinel::venues::allora::wallet::Wallet;
use sentinel::venues::allora::worker::{Rehearsal, Way, WorkerParts, WorkerSink};
use sentinel::venues::book::{BOOK_FILE, Book};
use sentinel::venues::forecasts::PaperForecasts;
use sentinel_actors::domain::action::{Action, Forecast};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::fact::{Awaits, Fact};
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    Announcer as _, Clock as _, FeedAnswer, FeedError, FeedRequest, NoFaults, Sink as _, Submission,
};
use sentinel_testbed::chain::{Asked, Chain, Genesis, Options, Reception, TopicRules, Truth};

pub const MNEMONIC: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
pub const TOPIC: u64 = 67;
pub const RICH: u128 = 1_000_000_000_000;
pub const CAPS: FeeCaps =
    FeeCaps { per_transaction: 20_000_000, per_day: 1_000_000_000, registration: 1_000_000_000_000_000 };
const DEADLINE: Duration = Duration::from_secs(5);
const DAY: i64 = 86_400_000;

pub fn wallet() -> Wallet {
    Wallet::parse(MNEMONIC).unwrap()
}

pub fn address() -> String {
    wallet().address().to_string()
}

/// The chain and the state directory; workers come and go.
pub struct Site {
    pub chain: Chain,
    pub dir: tempfile::TempDir,
    chain_id: String,
    nodes: usize,
}

impl Site {
    /// One node, a rich and registered worker. Windows open at 1005, 1025, … for ten blocks.
    pub fn new() -> Self {
        Self::with(1, |_| {})
    }

    /// The same with other rules of the topic.
    pub fn of_topic(change: impl FnOnce(&mut TopicRules)) -> Self {
        Self::with(1, |genesis| change(genesis.topics.get_mut(&TOPIC).unwrap()))
    }

    pub fn with(nodes: usize, change: impl FnOnce(&mut Genesis)) -> Self {
        Self::every(nodes, None, change)
    }

    pub fn every(nodes: usize, every: Option<Duration>, change: impl FnOnce(&mut Genesis)) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let chain_id = format!("worker-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut genesis = Genesis { chain_id: chain_id.clone(), ..Genesis::with_balance(&address(), RICH) };
        // Blocks by hand take five seconds of the chain's time and none here.
        genesis.time_ms = WallClock.now().0 - DAY;
        genesis.topics.get_mut(&TOPIC).unwrap().registered.push(address());
        change(&mut genesis);
        let chain = Chain::start(Options { nodes, every, ..Options::by_hand(genesis) }).unwrap();
        Self { chain, dir: tempfile::tempdir().unwrap(), chain_id, nodes }
    }

    pub fn truth(&self) -> Truth {
        self.chain.truth()
    }

    pub fn client(&self) -> Arc<Client> {
        let settings = EndpointSettings {
            chain_id: self.chain_id.clone(),
            rpc: (0..self.nodes).map(|node| Url::parse(&self.chain.rpc_url(node)).unwrap()).collect(),
            call_max: Duration::from_secs(2),
            stale_after: Duration::from_secs(10 * 86_400),
            survey_every: Duration::ZERO,
            cool_down: CoolDown { first: Duration::from_millis(10), max: Duration::from_millis(50) },
        };
        Arc::new(Client::new(settings, None, Arc::new(WallClock), Arc::new(SystemChance)).unwrap())
    }

    /// Questions about the window, at each height.
    pub fn windows_asked(&self) -> Vec<Asked> {
        self.chain.log().into_iter().filter(|asked| asked.query == "GetWorkerSubmissionWindowStatus").collect()
    }

    pub fn live(&self) -> Worker<'_> {
        Worker::new(self, Setup::default())
    }

    pub fn worker(&self, setup: Setup) -> Worker<'_> {
        Worker::new(self, setup)
    }
}

/// How a worker is set up.
#[derive(Clone)]
pub struct Setup {
    pub is_live: bool,
    pub known: Vec<u64>,
    pub caps: FeeCaps,
    pub competition: Window,
    pub topic: u64,
    pub block: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        let (competition, block) = (Window::default(), Duration::from_secs(5));
        Self { is_live: true, known: Vec::new(), caps: CAPS, competition, topic: TOPIC, block }
    }
}

/// A worker, and what its journal would have.
pub struct Worker<'a> {
    site: &'a Site,
    pub announcer: WindowAnnouncer,
    pub sink: WorkerSink,
    /// What was announced before, and what is durable.
    known: BTreeSet<u64>,
    has_told: bool,
    since: Option<UtcMs>,
    /// Slots without a row.
    pub open: Vec<AnnouncedSlot>,
    /// Everything that was announced, in the order of the answers.
    pub announced: Vec<u64>,
    /// Without an outcome.
    pub unsettled: Vec<Intent>,
    pub awaiting: Vec<Intent>,
    pub facts: Vec<(u64, Fact)>,
}

impl<'a> Worker<'a> {
    fn new(site: &'a Site, setup: Setup) -> Self {
        let client = site.client();
        let (worker, topic) = (wallet().address(), setup.topic);
        let account = format!("{}/{worker}/{topic}", site.chain_id);
        let (broadcaster, way) = if setup.is_live {
            let broadcaster = Arc::new(
                Broadcaster::open(Parts {
                    client: client.clone(),
                    wallet: wallet(),
                    state_dir: site.dir.path(),
                    caps: setup.caps,
                    pace: Pace { look: Duration::from_millis(10), refresh: Duration::from_millis(20) },
                    clock: Arc::new(WallClock),
                    faults: Arc::new(NoFaults),
                })
                .unwrap(),
            );
            (Some(broadcaster.clone()), Way::Live(broadcaster))
        } else {
            let book = Book::open(&site.dir.path().join(BOOK_FILE)).unwrap();
            let paper = PaperForecasts::new(book, "paper", Arc::new(NoFaults), "btcusd/executor");
            (
                None,
                Way::DryRun {
                    rehearsal: Arc::new(Rehearsal::new(client.clone(), wallet(), setup.caps)),
                    paper: Arc::new(paper),
                },
            )
        };
        let (competition, block) = (setup.competition, setup.block);
        let parts = AnnouncerParts {
            client: client.clone(),
            topic,
            worker,
            broadcaster,
            may_send: Arc::new(|| Ok(())),
            competition,
            block,
        };
        Self {
            site,
            announcer: WindowAnnouncer::new(parts),
            sink: WorkerSink::new(WorkerParts {
                client,
                topic,
                worker,
                account,
                margin_blocks: 1,
                pause: Duration::from_millis(50),
                way,
            }),
            known: setup.known.into_iter().collect(),
            has_told: false,
            since: None,
            open: Vec::new(),
            announced: Vec::new(),
            unsettled: Vec::new(),
            awaiting: Vec::new(),
            facts: Vec::new(),
        }
    }

    pub fn request(&self) -> FeedRequest {
        FeedRequest {
            since: self.since,
            open: self.open.clone(),
            known: if self.has_told { Vec::new() } else { self.known.iter().map(u64::to_string).collect() },
            unsettled: self.unsettled.clone(),
            awaiting: self.awaiting.clone(),
            now: UtcMs(0),
            deadline: DEADLINE,
        }
    }

    pub async fn try_ask(&mut self) -> Result<FeedAnswer, FeedError> {
        let answer = self.announcer.ask(&self.request()).await?;
        self.has_told = answer.announced.is_empty();
        for new in &answer.announced {
            let nonce: u64 = new.id().parse().unwrap();
            self.known.insert(nonce);
            if !self.announced.contains(&nonce) {
                self.announced.push(nonce);
                let (slot, closes, id) = (new.opens(), new.closes(), new.id().to_owned());
                self.open.push(AnnouncedSlot { slot, closes, id, announced_at: UtcMs(0) });
            }
            self.since = self.since.max(Some(new.opens()));
        }
        for (key, fact) in &answer.facts {
            let intent = self.awaiting.iter_mut().find(|intent| intent.key == *key).unwrap();
            intent.awaits = intent.awaits.and_then(|awaits| awaits.after(fact).unwrap());
            self.facts.push((intent.announced_as.as_deref().unwrap().parse().unwrap(), fact.clone()));
        }
        self.awaiting.retain(|intent| intent.awaits.is_some());
        Ok(answer)
    }

    pub async fn ask(&mut self) -> FeedAnswer {
        self.try_ask().await.unwrap()
    }

    /// Asks with blocks that come while something waits in a mempool.
    pub async fn ask_with_blocks(&mut self) -> FeedAnswer {
        let site = self.site;
        let ask = self.try_ask();
        tokio::pin!(ask);
        loop {
            tokio::select! {
                answer = &mut ask => return answer.unwrap(),
                () = tokio::time::sleep(Duration::from_millis(5)) => block_if_pending(&site.chain),
            }
        }
    }

    pub async fn ask_at(&mut self, height: i64) -> FeedAnswer {
        self.site.chain.blocks_to(height);
        self.ask().await
    }

    pub fn intent(&self, nonce: u64) -> Intent {
        let slot = UtcMs(i64::try_from(nonce).unwrap());
        let (mode, account) = (self.sink.mode(), self.sink.account());
        Intent {
            key: IntentKey::derive(mode, account, "btc", Basis::Slot(slot), Forecast::ROLE),
            mode,
            account: account.to_owned(),
            pipeline: "btc".to_owned(),
            slot,
            announced_as: Some(nonce.to_string()),
            basis: Basis::Slot(slot),
            action: Action::Forecast(Forecast {
                symbol: "BTCUSD".to_owned(),
                log_return: Decimal::new(-381_357, 7),
                horizon_s: 604_800,
                reference_price: Decimal::from(60_000),
                reference_time: UtcMs(0),
            }),
            state: IntentState::Sent,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    /// Hands a forecast for the nonce over; a block comes whenever something waits in a mempool.
    pub async fn submit(&mut self, nonce: u64) -> Submission {
        self.submit_within(nonce, Duration::from_secs(30), true).await
    }

    pub async fn submit_within(&mut self, nonce: u64, deadline: Duration, makes_blocks: bool) -> Submission {
        let intent = self.intent(nonce);
        let submit = self.sink.submit(&intent, deadline, &|| true);
        tokio::pin!(submit);
        let submission = loop {
            tokio::select! {
                submission = &mut submit => break submission,
                () = tokio::time::sleep(Duration::from_millis(5)), if makes_blocks => block_if_pending(&self.site.chain),
            }
        };
        self.open.retain(|slot| slot.id != nonce.to_string());
        if let Submission::Acked(receipt) = &submission
            && self.sink.mode() == Mode::Live
        {
            let (receipt, awaits) = (Some(receipt.clone()), Some(Awaits::Admission));
            self.awaiting.push(Intent { state: IntentState::Acked, receipt, awaits, ..self.intent(nonce) });
        }
        submission
    }

    pub fn codes(&self) -> Vec<(u64, &'static str)> {
        self.facts.iter().map(|(nonce, fact)| (*nonce, fact.code())).collect()
    }
}

fn block_if_pending(chain: &Chain) {
    if !chain.truth().pending.is_empty() {
        chain.block();
    }
}

/// Broadcasts that a node took or refused.
pub fn receptions(site: &Site) -> Vec<Reception> {
    site.truth().broadcasts.into_iter().map(|broadcast| broadcast.reception).collect()
}
