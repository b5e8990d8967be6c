//! Nodes, and rows that fit them, with as much trouble as a test wants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::cycle::{SlotRecord, Weighed};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::halt::TradingState;
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::node_view::{NodeView, PipelineView};
use sentinel_actors::domain::order::{Order, Role, Side};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::Judgement;
use sentinel_actors::status::HeldEffect;

use crate::journal::Stored;
use crate::operator::page::facts::{Node, Pipeline};
use crate::operator::page::rows::{CELLS, Charted, Rows};

/// Tue 24 Nov 2026, 14:02:31.
pub const NOW: UtcMs = UtcMs(1_795_528_951_000);

/// The full hour `n` hours after the last one.
pub fn hour(n: i64) -> UtcMs {
    UtcMs((NOW.0 / 3_600_000 + n) * 3_600_000)
}

/// A node that works, with pipelines of these names.
pub fn node(names: &[&str]) -> Node {
    let view = NodeView {
        at: NOW.minus(Duration::from_millis(400)),
        started_at: NOW.minus(Duration::from_secs(554_400)),
        pid: 4711,
        version: "0.1.0 (0123456789ab)".to_owned(),
        fresh_for_ms: 15_000,
        late_after_ms: 40_000,
        pipelines: names.iter().map(|name| ((*name).to_owned(), view())).collect(),
        ..NodeView::default()
    };
    let pipeline = || Pipeline {
        mode: Mode::Live,
        account: "mt5-demo".to_owned(),
        symbol: "EURUSD".to_owned(),
        state: TradingState::Active,
        schedule_now: NOW,
        outcomes: [51, 34, 14, 1],
        effects: 51,
        restarts: 0,
        reruns: 0,
        replaced: Vec::new(),
        open_positions: Some(0),
        held: Vec::new(),
        closes: Some(Arc::new((-168..0).map(|n| (hour(n), 1.18 + (n * 37 % 91) as f64 * 1e-4)).collect())),
        next_expected: None,
    };
    let pipelines = names.iter().map(|name| ((*name).to_owned(), pipeline())).collect();
    judged(Node {
        name: "fx-1".to_owned(),
        mode: Mode::Live,
        arm: None,
        now: NOW,
        judgement: Judgement::of(&view, NOW),
        view,
        memory_mb: Some(19),
        pipelines,
    })
}

fn judged(node: Node) -> Node {
    Node { judgement: Judgement::of(&node.view, NOW), ..node }
}

fn view() -> PipelineView {
    PipelineView {
        wall_time: true,
        last_slot: Some(hour(0)),
        next_due: Some(hour(1)),
        last_reason: Some(Reason::BelowThreshold),
        accounted: Some(hour(0)),
        ..PipelineView::default()
    }
}

/// The decisions of some pipelines are overdue.
pub fn with_late(mut node: Node, names: &[&str]) -> Node {
    for name in names {
        let view = node.view.pipelines.get_mut(*name).unwrap();
        (view.next_due, view.late_ms) = (Some(hour(0)), 151_000);
    }
    judged(node)
}

/// A pipeline holds an order of two hours ago.
pub fn with_held(mut node: Node, name: &str) -> Node {
    let intent = Intent { state: IntentState::Held, ..intent(name, hour(-2)) };
    node.view.pipelines.get_mut(name).unwrap().held = vec![intent.key.to_string()];
    node.pipelines.get_mut(name).unwrap().held = vec![HeldEffect::new(intent, "state")];
    judged(node)
}

fn intent(pipeline: &str, slot: UtcMs) -> Intent {
    let basis = Basis::Bar(slot.minus(Duration::from_secs(3600)));
    let price = 117_893 + (slot.0 / 3_600_000 % 97) * 13;
    Intent {
        key: IntentKey::derive(Mode::Live, "mt5-demo", pipeline, basis, Role::Open),
        mode: Mode::Live,
        account: "mt5-demo".to_owned(),
        pipeline: pipeline.to_owned(),
        slot,
        announced_as: None,
        basis,
        action: Action::Order(Order {
            role: Role::Open,
            symbol: "EURUSD".to_owned(),
            side: if slot.0 / 3_600_000 % 2 == 0 { Side::Buy } else { Side::Sell },
            volume_lots: "0.10".parse().unwrap(),
            stop_price: None,
            target_price: None,
            reference_price: rust_decimal::Decimal::new(price, 5),
        }),
        state: IntentState::Acked,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

/// A slot that ended for this reason, with all that a decision leaves.
pub fn record(pipeline: &str, slot: UtcMs, reason: Reason) -> Stored<SlotRecord> {
    let mut record = SlotRecord::new(pipeline, slot, Mode::Live, reason, slot.plus(Duration::from_millis(318)));
    record.stage_us = [Some(212_000), Some(100), Some(3_800), Some(104_000)];
    record.newest_bar = Some(slot.minus(Duration::from_secs(3600)));
    record.bars = Some(200);
    record.model = Some(ModelIdentity { id: "model.onnx".to_owned(), hash: "f72af830a690c0ffee".to_owned() });
    record.signal = Some("sell".to_owned());
    record.confidence = Some(0.4 + (slot.0 / 3_600_000 % 31) as f64 / 100.0);
    record.weighed = Some(Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 0, risk: None });
    Stored { record, is_intact: true }
}

/// Rows of a node, `hours` of each chart; outcomes take turns, so that nothing can be folded.
pub fn rows(node: &Node, hours: i64) -> Rows {
    let reasons =
        [Reason::OrderAcked, Reason::IntentOpen, Reason::BelowThreshold, Reason::NodeDown, Reason::MarketClosed];
    let reason = |n: i64| reasons[n.rem_euclid(5) as usize];
    let names: Vec<String> = node.worst(|_| true).into_iter().map(str::to_owned).collect();
    let limit = Rows::limit(names.len(), if names.len() <= 4 { names.len() } else { 0 });
    let slots = |name: &str, from: i64| (from..=0).map(|n| record(name, hour(n), reason(n))).collect::<Vec<_>>();
    let mut listed: Vec<Stored<SlotRecord>> = names.iter().flat_map(|name| slots(name, -99)).collect();
    listed.sort_by_key(|slot| std::cmp::Reverse(slot.record.slot));
    listed.truncate(limit);
    let charted = |name: &String| {
        let intents = (1 - hours..=0).filter(|n| reason(*n) == Reason::OrderAcked).map(|n| intent(name, hour(n)));
        let slots = slots(name, 1 - hours).into_iter().map(|slot| slot.record).collect();
        Charted { name: name.clone(), slots, intents: intents.collect() }
    };
    let cells = |_: &String| (1 - i64::from(CELLS)..=0).map(|n| (hour(n), reason(n))).collect();
    let mut counted = BTreeMap::new();
    for slot in &listed {
        *counted.entry(slot.record.reason).or_default() += 1;
    }
    Rows {
        error: None,
        others: node.pipelines.len() - names.len(),
        cells: names.iter().map(|name| (name.clone(), cells(name))).collect(),
        charts: if names.len() <= 4 && hours > 0 { names.iter().map(charted).collect() } else { Vec::new() },
        listed,
        limit,
        reasons: counted,
        lifted: Vec::new(),
        journal_mb: Some(12),
        names,
    }
}
