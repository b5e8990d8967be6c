//! `kill -9` of a real process whose slots are announced: real journal, real paper book, wall clock.
//!
//! The windows follow from their number alone, so that the judge knows all of them. The process under test is this test binary
//! itself, started again for [`the_process_under_test`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a failing test should panic, and real processes need real time"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use sentinel::cli::faults::FaultFlags;
use sentinel::journal::{DueSlots, Filter, JournalError, JournalReader, SqliteJournal, StateDir, proof_of};
use sentinel::system::{QuarantineDir, SystemChance, WallClock};
use sentinel::venues::book::{BOOK_FILE, Book};
use sentinel::venues::book_reader::BookReader;
use sentinel::venues::forecasts::PaperForecasts;
use sentinel_actors::admission::{Admission, CYCLES_AT_WORK};
use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::bar::{Bar, Interval, RawBar};
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::node::{self, NodeSpec};
use sentinel_actors::ports::{
    Announcer, BarRequest, BarSource, Clock as _, Delivered, FaultInjector, FeatureSet, FeedAnswer, FeedError,
    FeedRequest, Model, ModelError, NoArming, PortFuture, SlotFeed, SourceError, UnmeasuredDisk,
};
use sentinel_actors::root_supervisor::RootMsg;
use sentinel_actors::settings::{Deadlines, Job, NodeShared, PipelinePorts, PipelineSettings};
use sentinel_actors::supervision::watch::Progress;
use sentinel_actors::supervision::{CrashLog, Limits};

const NAME: &str = "btcusd";
const HOUR: Duration = Duration::from_secs(3600);
/// A window opens this often.
const EVERY_MS: i64 = 60;
/// What opened this long before the newest known window is announced again.
const LOOK_BACK_MS: i64 = 2000;
/// Every fault point of a forecast, from the question of what is due to the row of the slot.
const PLACES: [&str; 12] = [
    "before-plan",
    "after-plan",
    "after-sent",
    "before-book-write",
    "after-book-write",
    "after-submit",
    "after-outcome",
    "before-end-slot",
    "after-end-slot",
    "before-commit",
    "after-commit",
    "slot-feed",
];

/// What is true of the window with this number.
struct TrueWindow {
    announcement: Announcement,
    published: i64,
    withdrawn: Option<i64>,
}

fn true_window(number: i64) -> TrueWindow {
    let mut rng = fastrand::Rng::with_seed(number.unsigned_abs());
    let opens = number * EVERY_MS;
    let length = rng.i64(20..900);
    let published = opens + if rng.f64() < 0.8 { -200 } else { rng.i64(0..1000) };
    let withdrawn = (rng.f64() < 0.25).then(|| published + rng.i64(0..400));
    let announcement = Announcement::new(number.to_string(), UtcMs(opens), UtcMs(opens + length)).unwrap();
    TrueWindow { announcement, published, withdrawn }
}

struct Windows;

impl Announcer for Windows {
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>> {
        Box::pin(async move {
            let now = request.now.0;
            let first = request.since.map_or(now, |since| since.0 - LOOK_BACK_MS) / EVERY_MS;
            let windows = (first..=now / EVERY_MS + 10).map(true_window);
            let announced =
                windows.filter(|window| window.published <= now).map(|window| window.announcement).collect();
            let gone = |id: &&String| true_window(id.parse().unwrap()).withdrawn.is_some_and(|at| at <= now);
            let withdrawn = request.open.iter().map(|slot| &slot.id).filter(gone).cloned().collect();
            Ok(FeedAnswer { announced, withdrawn, ask_again: Duration::from_millis(100), ..FeedAnswer::default() })
        })
    }
}

/// Bars, features and model of one constant: what they say is not in question here.
struct Constant(FeatureSetId);

impl BarSource for Constant {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>> {
        let newest = request.interval.newest_closed(request.now);
        let price = Some(50_000.0);
        let bar = move |back| RawBar {
            time: newest.minus(HOUR * back),
            open: price,
            high: price,
            low: price,
            close: price,
            volume: None,
        };
        Box::pin(async move { Ok((0..3).rev().map(bar).collect::<Vec<_>>().into()) })
    }
}

impl FeatureSet for Constant {
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

impl Model for Constant {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async { Ok(ModelIdentity { id: "constant".to_owned(), hash: "0".to_owned() }) })
    }

    fn predict<'a>(&'a self, _: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async { Ok(RawAnswer { rows: vec![vec![0.0125]] }) })
    }
}

fn settings() -> PipelineSettings {
    PipelineSettings {
        name: NAME.to_owned(),
        symbol: "BTCUSD".to_owned(),
        window: Window::default(),
        competition: Window::default(),
        first_slot: None,
        freshness: Freshness {
            interval: Interval::new(HOUR).unwrap(),
            calendar: MarketCalendar::always(),
            max_age: HOUR * 2,
            max_missing_bars: 0,
            settle: Duration::ZERO,
        },
        tick: 0.01,
        deadlines: Deadlines {
            fetch: Duration::from_secs(2),
            features: Duration::from_secs(2),
            predict: Duration::from_secs(2),
            execute: Duration::from_secs(5),
            cycle: Duration::from_secs(10),
            lateness: Duration::from_secs(5),
        },
    }
}

fn ports(book: &Book, faults: &Arc<dyn FaultInjector>) -> PipelinePorts {
    let constant = || Arc::new(Constant(FeatureSetId { name: "constant".to_owned(), window: 3, made_from: None }));
    let paper = Arc::new(PaperForecasts::new(book.clone(), "paper", faults.clone(), "btcusd/executor"));
    PipelinePorts {
        clock: Arc::new(WallClock),
        source: constant(),
        features: constant(),
        model: constant(),
        sink: paper.clone(),
        job: Job::Forecast {
            slots: SlotFeed::Announced(Arc::new(Windows)),
            policy: ForecastPolicy { horizon: HOUR, max_abs: 1.5, decide_on: DecideOn::Slot },
            observer: paper,
        },
    }
}

/// A node on the directory, until it has run for `time`; with the fault that the environment asks for.
#[test]
#[ignore = "a process of its own, which the campaign starts"]
fn the_process_under_test() {
    let argument = |name: &str| std::env::vars().find(|(key, _)| key == name).map(|(_, value)| value);
    let Some(dir) = argument("SENTINEL_TEST_STATE") else { return };
    let time = Duration::from_millis(argument("SENTINEL_TEST_MS").unwrap().parse().unwrap());
    let die_at = argument("SENTINEL_TEST_DIE_AT").map(|place| place.parse().unwrap());
    let faults = FaultFlags { die_at, ..FaultFlags::default() }.injector();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let state = StateDir::open(Path::new(&dir)).unwrap();
        let (journal, _) = SqliteJournal::open(&state, faults.clone()).unwrap();
        let book = Book::open(&state.path().join(BOOK_FILE)).unwrap();
        let handle = tokio::runtime::Handle::current();
        let running = node::start(NodeSpec {
            pipelines: vec![(settings(), ports(&book, &faults))],
            store: Arc::new(journal),
            shared: NodeShared {
                control: handle.clone(),
                workers: handle.into(),
                chance: Arc::new(SystemChance),
                faults: faults.clone(),
                quarantine: Arc::new(QuarantineDir(state.path().join("quarantine"))),
                crashes: CrashLog::install(),
                progress: Arc::new(Progress::default()),
                meters: Arc::default(),
                admission: Arc::new(Admission::new(CYCLES_AT_WORK)),
                limits: Limits::default(),
                safe_mode: Arc::new(AtomicBool::new(false)),
                halts: Arc::default(),
                settled_by_hand: Arc::default(),
                arming: Arc::new(NoArming),
                disk: Arc::new(UnmeasuredDisk),
                clocks: Arc::default(),
                state_dir: dir.as_str().into(),
            },
            wall: Arc::new(WallClock),
            heartbeat_every: HOUR,
            beat_every: Duration::from_secs(1),
            close_within: Duration::from_secs(5),
        });
        let running = running.await.unwrap();
        tokio::time::sleep(time).await;
        running.root.cast(RootMsg::Shutdown("the time is over".to_owned())).unwrap();
        running.done.await.unwrap();
        running.ended.await.unwrap();
    });
}

fn start(state: &Path, time: Duration, die_at: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["the_process_under_test", "--exact", "--ignored", "--nocapture"]);
    command.env("SENTINEL_TEST_STATE", state).env("SENTINEL_TEST_MS", time.as_millis().to_string());
    if let Some(place) = die_at {
        command.env("SENTINEL_TEST_DIE_AT", place);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn intents(reader: &JournalReader) -> Vec<Intent> {
    let mut all = Vec::new();
    let visit = |intent: sentinel::journal::Stored<Intent>| {
        all.push(intent.record);
        Ok(())
    };
    reader.each_intent_of::<JournalError>(&Filter::default(), visit).unwrap();
    all
}

/// Every window that was announced has one row, and journal and book agree forecast by forecast. Returns the reasons.
fn accept(state: &Path, until: UtcMs) -> BTreeMap<&'static str, usize> {
    let reader = JournalReader::open(state).unwrap();
    let announced = reader.announced_between(NAME, UtcMs(0), UtcMs(i64::MAX)).unwrap();
    let ids: BTreeMap<UtcMs, String> = announced.iter().map(|slot| (slot.slot, slot.id.clone())).collect();
    let numbers: BTreeSet<i64> = ids.values().map(|id| id.parse().unwrap()).collect();
    assert_eq!(numbers.len(), announced.len(), "a window is announced once");
    for number in *numbers.first().unwrap()..until.0 / EVERY_MS {
        let window = true_window(number);
        let was_told = window.published < until.0 - 1000;
        assert!(!was_told || numbers.contains(&number), "the window {number} was never noticed");
    }

    let mut rows: BTreeMap<UtcMs, Reason> = BTreeMap::new();
    reader
        .each_slot_of::<JournalError>(&Filter::default(), |row| {
            assert!(row.is_intact);
            rows.insert(row.record.slot, row.record.reason);
            Ok(())
        })
        .unwrap();
    for slot in &announced {
        let must_have_row = slot.closes.max(slot.announced_at).0 < until.0 - 1000;
        assert!(!must_have_row || rows.contains_key(&slot.slot), "the window {} has no row", slot.id);
    }
    assert!(rows.keys().all(|slot| ids.contains_key(slot)), "nothing else has a row");
    let proof = proof_of(&reader, NAME, DueSlots::Announced, UtcMs(0), UtcMs(i64::MAX)).unwrap();
    assert!(proof.holds(), "{proof:?}");
    assert_eq!(proof.due, rows.len() as u64);

    let made = BookReader::open(&state.join(BOOK_FILE)).unwrap();
    assert_eq!(made.double_submits().unwrap(), 0);
    let in_book: BTreeSet<_> = made.forecasts().unwrap().into_iter().map(|forecast| forecast.key).collect();
    let mut slots = BTreeSet::new();
    for intent in intents(&reader) {
        assert_eq!(intent.announced_as.as_ref(), ids.get(&intent.slot), "an intent knows its window");
        assert!(slots.insert(intent.slot), "{} has two forecasts", intent.slot);
        let is_acked = intent.state == IntentState::Acked;
        assert_eq!(is_acked, in_book.contains(&intent.key), "{} is {}", intent.key, intent.state);
        let acted = rows.get(&intent.slot).is_some_and(|reason| reason.outcome() == Outcome::Acted);
        assert!(!is_acked || acted, "the row of {} does not say that it acted", intent.slot);
    }
    assert_eq!(in_book.len() as u64, proof.forecasts, "the book has no forecast that nobody made");
    let mut reasons = BTreeMap::new();
    for reason in rows.values() {
        *reasons.entry(reason.code()).or_default() += 1;
    }
    reasons
}

/// Kills one process after the other, and lets the last one end by itself.
fn campaign(kills: usize, mut next: impl FnMut(usize) -> (Option<String>, Duration)) {
    let state = tempfile::tempdir().unwrap();
    for kill in 0..kills {
        let (die_at, after) = next(kill);
        let mut child = start(state.path(), Duration::from_secs(30), die_at.as_deref());
        let died = match die_at {
            Some(_) => child.wait().unwrap(),
            None => {
                std::thread::sleep(after);
                child.kill().unwrap();
                child.wait().unwrap()
            }
        };
        assert!(!died.success(), "it was to be killed: {die_at:?}");
    }
    // It takes no new slot once its time is over, however long its end takes. A busy machine needs more than one to see everything.
    let mut missing = Vec::new();
    for _ in 0..10 {
        let (began, time) = (WallClock.now(), Duration::from_secs(2));
        let last = start(state.path(), time, None).wait().unwrap();
        assert!(last.success(), "the last process ends by itself");
        let reasons = accept(state.path(), began.plus(time));
        println!("{kills} kills: {reasons:?}");
        missing = [Reason::ForecastAcked, Reason::Withdrawn, Reason::NodeDown]
            .into_iter()
            .filter(|reason| !reasons.contains_key(reason.code()))
            .collect();
        if missing.is_empty() {
            return;
        }
    }
    panic!("this proves little, because it was not seen: {missing:?}");
}

#[test]
fn killed_at_any_place_each_announced_window_ends_once_and_is_used_at_most_once() {
    let places: Vec<String> = PLACES.iter().flat_map(|place| [1, 4].map(|pass| format!("{place}:{pass}"))).collect();
    campaign(places.len(), |kill| (Some(places[kill].clone()), Duration::ZERO));
}

#[test]
fn killed_at_random_moments_each_announced_window_ends_once_and_is_used_at_most_once() {
    let kills = std::env::vars().find(|(name, _)| name == "SENTINEL_KILLS").and_then(|(_, value)| value.parse().ok());
    let mut rng = fastrand::Rng::new();
    campaign(kills.unwrap_or(12), |_| (None, Duration::from_millis(rng.u64(10..600))));
}
