//! The real tree with one pipeline, on paused time, between fakes that a test controls.
//!
//! The simulator does everything at random; here one thing happens, and a test checks which orders were sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::admission::{Admission, CYCLES_AT_WORK};
use sentinel_actors::domain::account_risk::{AccountBaselines, AccountReading};
use sentinel_actors::domain::action::{Action, Forecast, Inclusion};
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::bar::{Bar, CleanBars, RawBar};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::halt::{Halt, NewHalt};
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::made_bars::IncompleteBar;
use sentinel_actors::domain::node_view::DiskView;
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Ticket};
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::halts::Halts;
use sentinel_actors::node::{self, NodeSpec, RunningNode};
use sentinel_actors::ports::{
    Announcer, BarObserver, BarRequest, BarSource, Chance, Clock, Delivered, Evidence, FeatureSet, FeedAnswer,
    FeedError, FeedRequest, MayLeave, Model, ModelError, PortFuture, PositionBook, Positions, Quarantine, Sink,
    SlotFeed, SourceError, Submission, VenueError, elapsed_now,
};
use sentinel_actors::settings::{Job, NodeShared, PipelinePorts};
use sentinel_actors::supervision::watch::Progress;
use sentinel_actors::supervision::{CrashLog, Limits};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::test_pipeline::TestPipeline;

/// A Monday, half an hour before the first slot.
pub const START: UtcMs = UtcMs::from_secs(1_772_409_600 + 1800);
pub const HOUR: Duration = Duration::from_secs(3600);
const WINDOW: usize = 3;

/// What the fakes share. A test changes it before or while the node runs.
pub struct Inner {
    began: Instant,
    /// Wall time minus what it would be without jumps, in milliseconds.
    pub offset_ms: i64,
    /// What the model answers.
    pub answer: Result<Vec<f64>, ModelError>,
    /// Wall time jumps by this much while the model is asked, while the venue is asked which positions are open, and while
    /// `sent` is committed.
    pub jump_ms: Jumps,
    /// Hash of the model that is served.
    pub served: &'static str,
    /// Hash of the model that is armed, and how many more times the arm is found valid.
    pub armed: (&'static str, usize),
    /// How many effects were taken from the arm and not given back.
    pub taken: i32,
    /// Of the disk with the state directory; `None`: it is not measured.
    pub disk: Option<DiskView>,
    /// How long the source takes.
    pub fetches_for: Duration,
    /// How long the model thinks.
    pub thinks_for: Duration,
    /// How long it keeps its thread busy then.
    pub blocks_for: Duration,
    pub source_error: Option<SourceError>,
    /// Bars that open earlier do not exist.
    pub no_bars_before: Option<UtcMs>,
    /// Waits are not cut short by a look at the clock.
    pub waits_blindly: bool,
    /// Close of every bar.
    pub price: f64,
    /// Open times of bars that the source delivers besides the right ones.
    pub stray_bars: Vec<UtcMs>,
    /// The market is open then: no other bars exist. `None`: always.
    pub hours: Option<fn(UtcMs) -> bool>,
    /// Bars that the source cannot make.
    pub incomplete: Vec<IncompleteBar>,
    /// `None`: the venue cannot report them, and they are derived.
    pub positions: Option<Vec<Position>>,
    /// Orders that left, with wall time and slot.
    pub left: Vec<(Order, UtcMs, UtcMs)>,
    /// Confirmed orders from before the test.
    pub earlier: Vec<Intent>,
    pub asked_for_positions: usize,
    /// How often the model was asked.
    pub asked_for_models: usize,
    /// Forecasts that left, with their slot.
    pub forecasts: Vec<(Forecast, UtcMs)>,
    /// What the venue says to the next orders or forecasts; then it confirms.
    pub replies: Vec<Submission>,
    /// The venue says that it does not have what it is asked about; else it says nothing.
    pub is_absent: bool,
    /// What it is asked about is answered by its positions.
    pub settles_by_positions: bool,
    pub least_evidence: Grade,
    pub closes_by_ticket: bool,
    pub asks_by_id: bool,
    tickets: u64,
    pub rows: BTreeMap<UtcMs, SlotRecord>,
    /// What the announcer says when it is asked.
    pub feed: Result<FeedAnswer, FeedError>,
    /// What it was asked.
    pub feed_requests: Vec<FeedRequest>,
    /// Announced slots, as the journal keeps them.
    pub announced: BTreeMap<UtcMs, AnnouncedSlot>,
    pub intents: BTreeMap<IntentKey, Intent>,
    /// Rows of each transaction.
    pub transactions: Vec<u64>,
    /// Schedule time of a replay, which moves only when it is waited for; `None`: wall time.
    pub replay: Option<UtcMs>,
    /// The venue answers nothing.
    pub venue_hangs: bool,
    /// What announces slots answers nothing.
    pub feed_hangs: bool,
    /// What its clock shows does not change any more.
    pub clock_stands_at: Option<UtcMs>,
    /// A part whose path ends so panics at each start.
    pub dead: Option<&'static str>,
    /// A part with this path does not handle its next message.
    pub hung: Option<&'static str>,
    /// Elapsed time between two beats, and between two pings.
    pub beat_every: Duration,
    /// The journal's disk answers nothing, neither a commit nor a question.
    pub disk_hangs: bool,
    /// A stage that is asked to end does not.
    pub stages_hang_at_their_end: bool,
    /// The pipeline's clock and the machine's, when they are not the world's.
    pub clocks: Option<(Arc<dyn Clock>, Arc<dyn Clock>)>,
    pub admission: Arc<Admission>,
    /// What the watchdog looks at.
    pub progress: Arc<Progress>,
    /// What stands in this process.
    pub halts: Arc<Halts>,
    /// Grows when an operator has settled something.
    pub settled_by_hand: Arc<AtomicU64>,
    /// What the journal has of halts.
    pub halted: Vec<Halt>,
    /// What the journal has of the account.
    pub baselines: Option<AccountBaselines>,
    /// Steps of orders in the journal.
    pub steps: u64,
    /// What the venue says of the account; `None`: it does not tell it.
    pub account: Option<Result<AccountReading, VenueError>>,
    /// A kill switch asks for this.
    pub switch: Option<NewHalt>,
    /// It asks for this once the next `sent` is durable.
    pub thrown_after_send: Option<NewHalt>,
}

#[derive(Default, Clone, Copy)]
pub struct Jumps {
    pub in_predict: i64,
    pub in_positions: i64,
    /// While an order waits for a connection to the venue.
    pub in_submit: i64,
    pub in_commit_of_sent: i64,
}

#[derive(Clone)]
pub struct World(Arc<Mutex<Inner>>);

impl World {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Inner {
            began: elapsed_now(),
            offset_ms: 0,
            answer: Ok(vec![0.1, 0.2, 0.7]),
            jump_ms: Jumps::default(),
            served: "0",
            armed: ("0", usize::MAX),
            taken: 0,
            disk: None,
            fetches_for: Duration::ZERO,
            thinks_for: Duration::from_millis(5),
            blocks_for: Duration::ZERO,
            source_error: None,
            no_bars_before: None,
            waits_blindly: false,
            price: 1.1,
            stray_bars: Vec::new(),
            hours: None,
            incomplete: Vec::new(),
            positions: Some(Vec::new()),
            left: Vec::new(),
            earlier: Vec::new(),
            asked_for_positions: 0,
            asked_for_models: 0,
            forecasts: Vec::new(),
            replies: Vec::new(),
            is_absent: false,
            settles_by_positions: false,
            least_evidence: Grade::Id,
            closes_by_ticket: true,
            asks_by_id: true,
            tickets: 100,
            rows: BTreeMap::new(),
            feed: Ok(FeedAnswer::default()),
            feed_requests: Vec::new(),
            announced: BTreeMap::new(),
            intents: BTreeMap::new(),
            transactions: Vec::new(),
            replay: None,
            venue_hangs: false,
            feed_hangs: false,
            clock_stands_at: None,
            dead: None,
            hung: None,
            beat_every: Duration::from_secs(1),
            disk_hangs: false,
            stages_hang_at_their_end: false,
            clocks: None,
            admission: Arc::new(Admission::new(CYCLES_AT_WORK)),
            progress: Arc::default(),
            halts: Arc::default(),
            settled_by_hand: Arc::default(),
            halted: Vec::new(),
            baselines: None,
            steps: 0,
            account: None,
            switch: None,
            thrown_after_send: None,
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        change(&mut self.lock());
        self
    }

    /// Elapsed time counts from now, on the runtime that the node will run on.
    pub fn with_fresh_time(&self) {
        self.lock().began = elapsed_now();
    }

    /// What its clock shows, which is right.
    pub fn now(&self) -> UtcMs {
        self.lock().now()
    }

    /// How the slots ended, oldest first.
    pub fn reasons(&self) -> Vec<Reason> {
        self.lock().rows.values().map(|row| row.reason).collect()
    }

    /// How many orders left.
    pub fn left(&self) -> usize {
        self.lock().left.len()
    }

    pub fn states(&self) -> Vec<IntentState> {
        self.lock().intents.values().map(|intent| intent.state).collect()
    }

    /// Starts a node on this world and lets this much time pass.
    pub async fn run(&self, settings: TestPipeline, time: Duration) -> RunningNode {
        let node = self.start(settings).await;
        tokio::time::sleep(time).await;
        node
    }

    pub async fn start(&self, settings: TestPipeline) -> RunningNode {
        self.start_on(settings, Handle::current()).await
    }

    /// Starts a node whose stages work on `workers`.
    pub async fn start_on(&self, settings: TestPipeline, workers: Handle) -> RunningNode {
        node::start(self.spec(settings, workers)).await.unwrap()
    }

    fn spec(&self, settings: TestPipeline, workers: Handle) -> NodeSpec {
        let control = Handle::current();
        let world = || Arc::new(self.clone());
        let (admission, halts, settled_by_hand, beat_every) = {
            let inner = self.lock();
            (inner.admission.clone(), inner.halts.clone(), inner.settled_by_hand.clone(), inner.beat_every)
        };
        let (clock, wall) = self.lock().clocks.clone().unwrap_or_else(|| (world(), world()));
        let TestPipeline { settings, slots, policy, risk, forecasts } = settings;
        let job = match forecasts {
            Some(policy) => Job::Forecast { slots, policy, observer: world() },
            None => {
                let SlotFeed::Grid(schedule) = slots else { panic!("orders have a grid") };
                Job::Trade { schedule, policy, risk, positions: world() }
            }
        };
        NodeSpec {
            pipelines: vec![(
                settings,
                PipelinePorts { clock, source: world(), features: features(), model: world(), sink: world(), job },
            )],
            store: world(),
            shared: NodeShared {
                control,
                workers: workers.into(),
                chance: Arc::new(Half),
                faults: world(),
                quarantine: Arc::new(Half),
                crashes: CrashLog::install(),
                meters: Arc::default(),
                progress: self.lock().progress.clone(),
                admission,
                limits: Limits { ping_every: beat_every * 10, ..Limits::default() },
                safe_mode: Arc::new(AtomicBool::new(false)),
                halts,
                settled_by_hand,
                arming: world(),
                disk: world(),
                clocks: Arc::default(),
                state_dir: "state".into(),
            },
            wall,
            heartbeat_every: HOUR,
            beat_every,
            close_within: Duration::from_secs(10),
        }
    }
}

impl Inner {
    /// The venue lists these positions, and an earlier order of the node opened each.
    pub fn holds(&mut self, positions: Vec<Position>) {
        self.earlier = positions.iter().map(opener).collect();
        self.positions = Some(positions);
    }

    pub fn now(&self) -> UtcMs {
        let moving = || UtcMs(START.plus(elapsed_now().duration_since(self.began)).0 + self.offset_ms);
        self.clock_stands_at.or(self.replay).unwrap_or_else(moving)
    }
}

impl Clock for World {
    fn now(&self) -> UtcMs {
        self.lock().now()
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        let longest = if self.lock().waits_blindly { Duration::MAX } else { Duration::from_secs(5) };
        Box::pin(async move {
            if let Some(now) = &mut self.lock().replay {
                *now = until.max(*now);
                return;
            }
            tokio::time::sleep(until.since(self.now()).min(longest)).await;
        })
    }

    fn follows_cycles(&self) -> bool {
        self.lock().replay.is_some()
    }

    fn resume_at(&self, reached: UtcMs) {
        if let Some(now) = &mut self.lock().replay {
            *now = reached.min(*now);
        }
    }
}

/// The confirmed order that opened a position.
fn opener(position: &Position) -> Intent {
    let basis = Basis::Bar(START.minus(HOUR * 2));
    let order = Order {
        role: Role::Open,
        symbol: position.symbol.clone(),
        side: position.side,
        volume_lots: position.volume_lots,
        stop_price: None,
        target_price: None,
        reference_price: position.open_price,
    };
    let fill = Fill { ticket: position.ticket, volume_lots: position.volume_lots, price: None, text: String::new() };
    Intent {
        key: IntentKey::stored(format!("opener of {}", position.ticket)),
        mode: Mode::Live,
        account: "account".to_owned(),
        pipeline: "eurusd".to_owned(),
        slot: START.minus(HOUR * 2),
        announced_as: None,
        basis,
        action: order.into(),
        state: IntentState::Acked,
        receipt: Some(fill.into()),
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

struct Half;

impl Chance for Half {
    fn unit(&self) -> f64 {
        0.5
    }
}

impl Quarantine for Half {
    fn keep(&self, _: &str, _: UtcMs, _: &str, _: Option<&CleanBars>) -> String {
        "nowhere".to_owned()
    }
}

impl BarSource for World {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        Box::pin(async move {
            let fetches_for = self.lock().fetches_for;
            tokio::time::sleep(fetches_for).await;
            let inner = self.lock();
            if let Some(error) = &inner.source_error {
                return Err(error.clone());
            }
            let newest = request.interval.newest_closed(request.now);
            let price = Some(inner.price);
            let bar = |time: UtcMs| RawBar { time, open: price, high: price, low: price, close: price, volume: None };
            let right = (0..u32::try_from(request.count).unwrap()).rev();
            let right = right.map(|back| newest.minus(request.interval.length() * back));
            let right = right.filter(|time| inner.no_bars_before.is_none_or(|first| *time >= first));
            let right = right.filter(|time| inner.hours.is_none_or(|is_open| is_open(*time)));
            let right = right.filter(|time| !inner.incomplete.iter().any(|bar| bar.time == *time));
            let bars: Vec<RawBar> = right.chain(inner.stray_bars.iter().copied()).map(bar).collect();
            Ok(Delivered { bars: bars.into(), incomplete: inner.incomplete.clone() })
        })
    }
}

struct Features(FeatureSetId);

fn features() -> Arc<dyn FeatureSet> {
    Arc::new(Features(FeatureSetId { name: "test".to_owned(), window: WINDOW, made_from: None }))
}

impl FeatureSet for Features {
    fn id(&self) -> &FeatureSetId {
        &self.0
    }

    fn columns(&self) -> &[&'static str] {
        &["close"]
    }

    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError> {
        let newest = bars.last().unwrap();
        let row = vec![newest.close];
        Ok(FeatureFrame { set: self.0.clone(), newest: newest.time, row, sequence: None, volume_absent: true })
    }
}

impl Announcer for World {
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>> {
        Box::pin(async move {
            if self.lock().feed_hangs {
                std::future::pending::<()>().await;
            }
            let mut inner = self.lock();
            inner.feed_requests.push(request.clone());
            inner.feed.clone()
        })
    }
}

impl Model for World {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        let hash = self.lock().served.to_owned();
        Box::pin(async { Ok(ModelIdentity { id: "test".to_owned(), hash }) })
    }

    fn predict<'a>(&'a self, _: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            let thinks_for = {
                let mut inner = self.lock();
                inner.asked_for_models += 1;
                inner.thinks_for
            };
            tokio::time::sleep(thinks_for).await;
            let blocks_for = std::mem::take(&mut self.lock().blocks_for);
            std::thread::sleep(blocks_for);
            let mut inner = self.lock();
            inner.offset_ms += inner.jump_ms.in_predict;
            inner.answer.clone().map(|row| RawAnswer { rows: vec![row] })
        })
    }
}

impl Sink for World {
    fn mode(&self) -> Mode {
        Mode::Live
    }

    fn account(&self) -> &str {
        "account"
    }

    fn submit<'a>(&'a self, intent: &'a Intent, _: Duration, may_leave: MayLeave<'a>) -> PortFuture<'a, Submission> {
        let (key, action, slot) = (&intent.key, &intent.action, intent.slot);
        Box::pin(async move {
            {
                let mut inner = self.lock();
                inner.offset_ms += inner.jump_ms.in_submit;
            }
            if !may_leave() {
                return Submission::NeverLeft("it became too old while it waited".to_owned());
            }
            let mut inner = self.lock();
            assert_eq!(inner.intents[key].state, IntentState::Sent, "it leaves only when that is durable");
            let now = inner.now();
            match action {
                Action::Order(order) => inner.left.push((order.clone(), now, slot)),
                Action::Forecast(forecast) => inner.forecasts.push((forecast.clone(), slot)),
            }
            if let Some(reply) = inner.replies.pop() {
                return reply;
            }
            inner.tickets += 1;
            let Action::Order(order) = action else {
                let inclusion = Inclusion { hash: key.to_string(), height: inner.tickets, text: String::new() };
                return Submission::Acked(inclusion.into());
            };
            let ticket = Ticket(inner.tickets);
            if let Some(positions) = &mut inner.positions {
                match order.role {
                    Role::Close(ticket) => positions.retain(|position| position.ticket != ticket),
                    Role::Open => positions.push(Position {
                        ticket,
                        symbol: order.symbol.clone(),
                        side: order.side,
                        volume_lots: order.volume_lots,
                        open_price: order.reference_price,
                        opened_at: Some(slot),
                    }),
                }
            }
            let fill = Fill { ticket, volume_lots: order.volume_lots, price: None, text: String::new() };
            Submission::Acked(fill.into())
        })
    }

    fn asks_by_id(&self) -> bool {
        self.lock().asks_by_id
    }

    fn least_evidence(&self) -> Grade {
        self.lock().least_evidence
    }

    fn settle<'a>(&'a self, _: &'a Intent, _: Duration) -> PortFuture<'a, Evidence> {
        let inner = self.lock();
        let answer = match &inner.positions {
            Some(positions) if inner.settles_by_positions => Evidence::Positions(positions.clone()),
            _ if inner.is_absent => Evidence::Absent("not there".to_owned()),
            _ => Evidence::NotNow("not asked here".to_owned()),
        };
        Box::pin(std::future::ready(answer))
    }
}

impl PositionBook for World {
    fn positions<'a>(&'a self, _: &'a str, _: UtcMs, _: Duration) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            if self.lock().venue_hangs {
                std::future::pending::<()>().await;
            }
            let mut inner = self.lock();
            inner.asked_for_positions += 1;
            inner.offset_ms += inner.jump_ms.in_positions;
            Ok(inner.positions.clone().map_or(Positions::Derived, Positions::Reported))
        })
    }

    fn closes_by_ticket(&self) -> Result<(), String> {
        if self.lock().closes_by_ticket { Ok(()) } else { Err("close it in the terminal".to_owned()) }
    }

    fn tells_account(&self) -> bool {
        self.lock().account.is_some()
    }

    fn account_reading(&self, _: UtcMs, _: Duration) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        Box::pin(async move {
            let inner = self.lock();
            let open = inner.positions.iter().flatten().map(|position| position.ticket).collect();
            inner.account.clone().map(|told| told.map(|money| AccountReading { open, ..money })).transpose()
        })
    }
}

impl BarObserver for World {
    fn observe<'a>(&'a self, _: &'a str, _: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async { Ok(()) })
    }
}
