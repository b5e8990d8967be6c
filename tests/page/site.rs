//! A node as the page sees it: a board, and a journal with a week of hours, written by the test. No pipeline runs behind it, so that a
//! test decides what happens and when.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel::journal::{SqliteJournal, StateDir};
use sentinel::operator::live_node::LiveNode;
use sentinel::operator::web::WebServer;
use sentinel::operator::web::rules::Rules;
use sentinel::system::WallClock;
use sentinel_actors::domain::action::{Action, Forecast};
use sentinel_actors::domain::cycle::{SlotRecord, Weighed, WeighedRisk};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::halt::Place;
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::PipelineMeters;
use sentinel_actors::ports::{Clock as _, JournalStore as _, JournalWrite, NoFaults, Written};
use sentinel_actors::status::{Board, BoardEntry, HeldEffect, Holdings, PipelineStatus};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub const HOUR: Duration = Duration::from_secs(3600);
const ACCOUNT: &str = "mt5-demo";

pub struct Site {
    dir: TempDir,
    runtime: Runtime,
    journal: SqliteJournal,
    pub node: LiveNode,
    server: Option<WebServer>,
    pub address: SocketAddr,
}

/// The full hour `n` hours after the last one.
pub fn hour(n: i64) -> UtcMs {
    UtcMs((WallClock.now().0 / 3_600_000 + n) * 3_600_000)
}

impl Site {
    /// With a week of rows for `eurusd`, which trades, and for `btc-allora`, which forecasts; an order of two hours ago is held.
    pub fn with_a_week() -> Self {
        let site = Self::new(&["btc-allora", "eurusd"]);
        site.write(week_of_orders("eurusd"));
        site.write(week_of_forecasts("btc-allora"));
        site.hold("eurusd", order("eurusd", hour(-2), 1.178_93));
        site
    }

    /// With pipelines of these names, and no row.
    pub fn new(names: &[&str]) -> Self {
        let dir = TempDir::new().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let (journal, _) = SqliteJournal::open(&state, Arc::new(NoFaults)).unwrap();
        let entries: BTreeMap<String, BoardEntry> =
            names.iter().map(|name| ((*name).to_owned(), entry(name))).collect();
        let board = Board { entries, ..Board::default() };
        board.usage.record(Some(61_000_000_000), Some(100_000_000_000), Some(19_000_000));
        let node = LiveNode {
            board,
            state: state.path().to_owned(),
            name: "fx-allora-1".to_owned(),
            mode: Mode::Live,
            arm: Arc::new(|| Some("k4ma-72qx-hh3e".to_owned())),
            started_at: WallClock.now().minus(Duration::from_secs(554_400)),
            progress: Arc::default(),
            // Nothing notes progress here, and that is not what is looked at.
            fresh_for: Duration::from_secs(3600),
            alerts: Arc::default(),
        };
        let server = WebServer::start("127.0.0.1:0".parse().unwrap(), Rules::default(), node.clone()).unwrap();
        let address = server.address();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { dir, runtime, journal, node, server: Some(server), address }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn write(&self, writes: Vec<JournalWrite>) {
        let written = self.runtime.block_on(self.journal.commit(writes)).unwrap();
        assert!(written.iter().all(|one| *one == Written::Done), "{written:?} in {:?}", self.dir.path());
    }

    /// A slot ends: its row is written, and the board says so.
    pub fn end_slot(&self, record: SlotRecord) {
        let (name, slot, reason) = (record.pipeline.clone(), record.slot, record.reason);
        self.write(vec![JournalWrite::EndSlot(Box::new(record))]);
        self.change(&name, |status| {
            status.count_slot(reason, None);
            (status.last_slot, status.last_reason) = (Some(slot), Some(reason));
        });
    }

    /// Something about a pipeline is another.
    pub fn change(&self, name: &str, change: impl Fn(&mut PipelineStatus)) {
        self.node.board.entries[name].status.rcu(|status| {
            let mut status = PipelineStatus::clone(status);
            change(&mut status);
            status
        });
    }

    fn hold(&self, name: &str, intent: Intent) {
        let state = self.node.state.display().to_string();
        let held = vec![HeldEffect::new(Intent { state: IntentState::Held, ..intent }, &state)];
        let holdings = Holdings { held, open_positions: Some(0), ..Holdings::default() };
        self.node.board.entries[name].holdings.store(Arc::new(holdings));
    }

    /// The connection to the node is cut.
    pub fn cut(&mut self) {
        self.server = None;
    }
}

fn entry(name: &str) -> BoardEntry {
    let mut status = PipelineStatus::new(Mode::Live);
    (status.waiting_since, status.next_due, status.accounted) = (None, Some(hour(1)), Some(hour(0)));
    (status.last_slot, status.last_reason) = (Some(hour(0)), Some(Reason::BelowThreshold));
    status.outcomes = [51, 34, 14, 1];
    status.effects = 51;
    BoardEntry {
        clock: Arc::new(WallClock),
        status: Arc::new(ArcSwap::from_pointee(status)),
        holdings: Arc::default(),
        parked: Arc::default(),
        place: Place { pipeline: name.to_owned(), account: ACCOUNT.to_owned(), symbol: "EURUSD".to_owned() },
        late_after: Duration::from_secs(40),
        meters: Arc::new(PipelineMeters::new(Mode::Live, false)),
    }
}

/// A number that looks like chance and is the same in every run.
fn noise(n: i64) -> f64 {
    let mixed =
        (n.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 40) as f64 / f64::from(1 << 24)
}

/// A slot with all that a cycle leaves.
pub fn record(pipeline: &str, slot: UtcMs, reason: Reason) -> SlotRecord {
    let mut record = SlotRecord::new(pipeline, slot, Mode::Live, reason, slot.plus(Duration::from_millis(318)));
    let bar = slot.minus(HOUR);
    record.attempts = 1;
    record.started_at = Some(slot.plus(Duration::from_millis(2)));
    record.stage_us = [Some(212_000), Some(100), Some(3_800), Some(104_000)];
    record.newest_bar = Some(bar);
    record.bars = Some(200);
    record.missing_bars = Some(0);
    record.bars_digest = Some("76eaa2395e6f3bcd".to_owned());
    record.feature_set = Some("fx23".to_owned());
    record.features_digest = Some("7371874f900217f2".to_owned());
    record.model = Some(ModelIdentity { id: "model.onnx".to_owned(), hash: "f72af830a690c0ffee01".to_owned() });
    record.decided_bar = Some(bar);
    record
}

fn decided(mut record: SlotRecord, confidence: f64, signal: &str) -> SlotRecord {
    record.raw_output = Some(vec![(1.0 - confidence) * 0.6, (1.0 - confidence) * 0.4, confidence]);
    (record.signal, record.confidence) = (Some(signal.to_owned()), Some(confidence));
    let risk = WeighedRisk {
        open_positions: 0,
        max_open_positions: Some(1),
        orders_last_hour: 0,
        max_orders_per_hour: 4,
        orders_last_day: 2,
        max_orders_per_day: 24,
        open_intents: 0,
    };
    record.weighed = Some(Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 0, risk: Some(risk) });
    record
}

fn intent(pipeline: &str, slot: UtcMs, action: Action) -> Intent {
    let basis = Basis::Bar(slot.minus(HOUR));
    Intent {
        key: IntentKey::derive(Mode::Live, ACCOUNT, pipeline, basis, action.role()),
        mode: Mode::Live,
        account: ACCOUNT.to_owned(),
        pipeline: pipeline.to_owned(),
        slot,
        announced_as: None,
        basis,
        action,
        state: IntentState::Planned,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

pub fn order(pipeline: &str, slot: UtcMs, price: f64) -> Intent {
    let side = if slot.0 / 3_600_000 % 2 == 0 { Side::Buy } else { Side::Sell };
    let order = Order {
        role: Role::Open,
        symbol: "EURUSD".to_owned(),
        side,
        volume_lots: "0.10".parse().unwrap(),
        stop_price: None,
        target_price: None,
        reference_price: format!("{price:.5}").parse().unwrap(),
    };
    intent(pipeline, slot, order.into())
}

/// Hours with quiet runs, a weekend, faults, orders, and one that is held.
fn week_of_orders(pipeline: &str) -> Vec<JournalWrite> {
    let mut writes = Vec::new();
    let mut price = 1.195;
    for n in -167..=0_i64 {
        let slot = hour(n);
        price += (noise(n) - 0.52) * 0.002;
        let confidence = 0.36 + noise(n * 7) * 0.4;
        let mut record = record(pipeline, slot, Reason::BelowThreshold);
        record.reason = match n {
            -100..-52 => Reason::MarketClosed,
            -150 => Reason::NodeDown,
            -20 => Reason::SourceTimeout,
            -11 | -10 => Reason::ModelTimeout,
            -2 => Reason::OrderUnknown,
            -1 | 0 => Reason::IntentOpen,
            _ if confidence > 0.68 => Reason::OrderAcked,
            _ if noise(n * 13) > 0.8 => Reason::Hold,
            _ => Reason::BelowThreshold,
        };
        let signal = if slot.0 / 3_600_000 % 2 == 0 { "buy" } else { "sell" };
        match record.reason {
            Reason::NodeDown => record = SlotRecord::new(pipeline, slot, Mode::Live, Reason::NodeDown, slot.plus(HOUR)),
            Reason::MarketClosed | Reason::SourceTimeout | Reason::ModelTimeout => {
                (record.decided_bar, record.stage_us) = (None, [Some(10_004_000), None, None, None]);
            }
            Reason::Hold => record = decided(record, confidence.min(0.59), "hold"),
            Reason::BelowThreshold => record = decided(record, confidence.min(0.59), signal),
            _ => record = decided(record, confidence.max(0.63), signal),
        }
        if matches!(record.reason, Reason::OrderAcked | Reason::OrderUnknown) {
            let intent = order(pipeline, slot, price);
            record.intents = vec![intent.key.clone()];
            let key = intent.key.clone();
            let at = slot.plus(Duration::from_millis(220));
            let mut advance = |event| writes.push(JournalWrite::Advance { key: key.clone(), event, at });
            let events = if record.reason == Reason::OrderAcked {
                let ticket = Ticket((1_000_000 + n).unsigned_abs());
                let fill = Fill { ticket, volume_lots: "0.10".parse().unwrap(), price: None, text: "done".to_owned() };
                vec![IntentEvent::Send, IntentEvent::Acked { receipt: fill.into() }]
            } else {
                let lost = IntentEvent::LostTrack { evidence: "no reply within 5 s".to_owned() };
                let hold =
                    IntentEvent::Hold { evidence: "the gateway was restarted and cannot find an order".to_owned() };
                vec![IntentEvent::Send, lost, hold]
            };
            events.into_iter().for_each(&mut advance);
            let planned = writes.len() - if record.reason == Reason::OrderAcked { 2 } else { 3 };
            writes.insert(planned, JournalWrite::Plan(Box::new(intent)));
        }
        writes.push(JournalWrite::EndSlot(Box::new(record)));
    }
    writes
}

/// Hours with a forecast each, but for some.
fn week_of_forecasts(pipeline: &str) -> Vec<JournalWrite> {
    let mut writes = Vec::new();
    let mut price = 112_000.0;
    for n in -167..=0_i64 {
        let slot = UtcMs(hour(n).0 - 120_000);
        price += (noise(n * 3) - 0.5) * 900.0;
        let value = ((n as f64) / 17.0).sin() * 0.012 + (noise(n * 5) - 0.5) * 0.004;
        let mut record = record(pipeline, slot, Reason::ForecastAcked);
        record.raw_output = Some(vec![value]);
        if matches!(n, -140 | -90 | -89 | -30) {
            record.reason = if n == -140 { Reason::NodeDown } else { Reason::WindowClosed };
            writes.push(JournalWrite::EndSlot(Box::new(record)));
            continue;
        }
        let forecast = Forecast {
            symbol: "BTCUSD".to_owned(),
            log_return: format!("{value:.6}").parse().unwrap(),
            horizon_s: 604_800,
            reference_price: format!("{price:.1}").parse().unwrap(),
            reference_time: slot.minus(HOUR),
        };
        let intent = intent(pipeline, slot, forecast.into());
        record.intents = vec![intent.key.clone()];
        let key = intent.key.clone();
        let hash = format!("{n:064}").replace('-', "A");
        let receipt = sentinel_actors::domain::action::Inclusion {
            hash,
            height: (8_412_000 + n).unsigned_abs(),
            text: String::new(),
        };
        let at = slot.plus(Duration::from_millis(220));
        writes.push(JournalWrite::Plan(Box::new(intent)));
        writes.push(JournalWrite::Advance { key: key.clone(), event: IntentEvent::Send, at });
        writes.push(JournalWrite::Advance { key, event: IntentEvent::Acked { receipt: receipt.into() }, at });
        writes.push(JournalWrite::EndSlot(Box::new(record)));
    }
    writes
}
