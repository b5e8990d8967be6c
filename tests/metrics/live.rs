//! A node to look at, without one that runs.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel::operator::alerts::counters::{AlertCounters, AlertResult};
use sentinel::operator::live_node::LiveNode;
use sentinel_actors::domain::action::{Action, Forecast};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::halt::{Halt, HaltId, NewHalt, Place, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::node_view::{ArmView, BackupView};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::{Called, PipelineMeters, Upstream};
use sentinel_actors::ports::{Clock, PortFuture};
use sentinel_actors::status::{Board, BoardEntry, HeldEffect, Holdings, PipelineStatus};

pub const NOW: UtcMs = UtcMs(1_700_000_000_000);

pub struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> UtcMs {
        NOW
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Of a board with nothing else on it.
pub fn node(board: Board) -> LiveNode {
    LiveNode {
        board,
        state: "state".into(),
        name: "node".to_owned(),
        mode: Mode::Live,
        arm: Arc::new(|| None),
        started_at: UtcMs(NOW.0 - 3_600_000),
        progress: Arc::default(),
        fresh_for: Duration::from_secs(15),
        alerts: Arc::default(),
    }
}

/// A pipeline that has done nothing.
pub fn pipeline(name: &str, has_windows: bool) -> BoardEntry {
    BoardEntry {
        clock: Arc::new(Stopped),
        status: Arc::new(ArcSwap::from_pointee(PipelineStatus::new(Mode::Live))),
        holdings: Arc::default(),
        parked: Arc::new(AtomicBool::new(false)),
        place: Place { pipeline: name.to_owned(), account: "1".to_owned(), symbol: "EURUSD".to_owned() },
        late_after: Duration::from_secs(40),
        meters: Arc::new(PipelineMeters::new(Mode::Live, has_windows)),
    }
}

/// One that has done something of everything.
pub fn busy(name: &str) -> BoardEntry {
    let entry = pipeline(name, true);
    let mut status = PipelineStatus::new(Mode::Live);
    (status.next_due, status.newest_decided_bar) = (Some(UtcMs(NOW.0 - 41_000)), Some(UtcMs(NOW.0 - 7_200_000)));
    (status.faults_in_a_row, status.runway) = (2, Some(Duration::from_secs(86_400)));
    for hash in ["0123456789abcdef", "fedcba9876543210"] {
        status.model.used(hash, NOW);
    }
    entry.status.store(Arc::new(status));
    let text = || "seen".to_owned();
    let meters = &entry.meters;
    for reason in [Reason::OrderAcked, Reason::Hold, Reason::MarketClosed, Reason::StaleData, Reason::NodeDown] {
        meters.count_slots(reason, 3);
    }
    meters.count_event(&IntentEvent::FoundAbsent { evidence: text() });
    meters.count_event(&IntentEvent::Noted { fact: Fact::Scored { score: text() } });
    meters.count_restart(Some("predictor"));
    let held = HeldEffect::new(intent(name), "state");
    let in_doubt = vec![(held.intent.key.clone(), NOW)];
    entry.holdings.store(Arc::new(Holdings { held: vec![held], in_doubt, open_positions: Some(1) }));
    entry
}

fn intent(pipeline: &str) -> Intent {
    let basis = Basis::Slot(NOW);
    let action = Action::Forecast(Forecast {
        symbol: "BTCUSD".to_owned(),
        log_return: "0.01".parse().unwrap(),
        horizon_s: 3_600,
        reference_price: "50000".parse().unwrap(),
        reference_time: NOW,
    });
    Intent {
        key: IntentKey::derive(Mode::Live, "1", pipeline, basis, "forecast"),
        mode: Mode::Live,
        account: "1".to_owned(),
        pipeline: pipeline.to_owned(),
        slot: NOW,
        announced_as: None,
        basis,
        action,
        state: IntentState::Held,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

/// A node with something in every metric.
pub fn busy_node(pipelines: &[&str]) -> LiveNode {
    let mut board = Board::default();
    for name in pipelines {
        board.entries.insert((*name).to_owned(), busy(name));
    }
    for scope in [Scope::All, Scope::Account { account: "1".to_owned() }] {
        board.halts.record(halt(scope));
    }
    board.usage.record(Some(20_000_000_000), Some(100_000_000_000), Some(20_000_000));
    board.arm.store(Some(Arc::new(ArmView { until: Some(UtcMs(NOW.0 + 3_600_000)), ..ArmView::default() })));
    board.backup.store(Some(Arc::new(BackupView { newest: Some(NOW), since: NOW })));
    board.clocks.note_bounds("hub", -5_000, -3_000, NOW);
    let mut row = SlotRecord::new("p", NOW, Mode::Live, Reason::Hold, NOW);
    row.stage_us = [Some(1_000), Some(20), Some(3_000_000), None];
    board.meters.count_stages(&row);
    board.meters.commits.count(Duration::from_millis(4));
    board.meters.count_service("heartbeat");
    board.meters.calls(Upstream::Hub).count(Called::Timeout);
    let alerts = AlertCounters::new(["phone".to_owned()]);
    alerts.add("phone", AlertResult::Sent, 1);
    alerts.pinged(NOW);
    LiveNode { alerts: Arc::new(alerts), ..node(board) }
}

fn halt(scope: Scope) -> Halt {
    let id = if scope == Scope::All { 1 } else { 2 };
    let raised = NewHalt {
        request: format!("request {id}"),
        scope,
        state: TradingState::Halted,
        by: RaisedBy::Operator,
        who: "uid 0".to_owned(),
        why: "a test".to_owned(),
        evidence: String::new(),
        since: NOW,
    };
    Halt { id: HaltId(id), raised, lifted: None }
}
