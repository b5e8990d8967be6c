//! The log lines of the tree, one function per event. Names and fields are stable: docs/events.md, alerts and searches rely on
//! them.

pub mod halts;
mod summaries;

pub use self::summaries::{final_summary, heartbeat, heartbeat_pipeline};

use std::time::Duration;

use tracing::{Span, debug, error, error_span, info, trace, warn};

use crate::domain::action::{Action, Receipt};
use crate::domain::announced::AnnouncedSlot;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::explained::Unexplained;
use crate::domain::fact::Fact;
use crate::domain::intent::{Intent, IntentKey};
use crate::domain::order::{Fill, Order, Position};
use crate::domain::overload::Overload;
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;
use crate::status::{HeldEffect, PipelineStatus};
use crate::supervision::ChildEnd;

/// Name of the span in which a stage works on a cycle.
pub const CYCLE_SPAN: &str = "cycle";

/// Says in every line of a cycle, also in those of adapters, which pipeline and slot it is about. Of the highest level, so that no
/// log level keeps it from a line that is logged.
pub(crate) fn cycle_span(pipeline: &str, slot: UtcMs) -> Span {
    error_span!(CYCLE_SPAN, pipeline, %slot)
}

/// A slot ended, the `cycle`th of its pipeline since the process started. `undecided`: why it had no decision although a position
/// was closed. A warning when it ended with a fault or with an order that was refused or is unknown. After the first slot of a
/// closed market the others are logged at level debug. Slots that are shed are too many for a line each: see [`overload_began`].
pub fn slot_ended(
    record: &SlotRecord,
    cycle: u64,
    next_slot: Option<UtcMs>,
    before: Option<Reason>,
    undecided: Option<Reason>,
) {
    let fault = record.reason.is_fault() || undecided.is_some_and(Reason::is_fault);
    macro_rules! log {
        ($level:ident) => {
            $level!(
                event = "slot_ended",
                pipeline = record.pipeline,
                cycle,
                slot = %record.slot,
                outcome = %record.outcome(),
                reason = %record.reason,
                signal = record.signal.as_deref(),
                confidence = record.confidence,
                attempts = record.attempts,
                detail = (!record.detail.is_empty()).then_some(record.detail.as_str()),
                next_slot = text(next_slot),
                "the slot ended"
            )
        };
    }
    if record.reason == Reason::Overload {
        log!(trace);
    } else if fault
        || matches!(
            record.reason,
            Reason::OrderUnknown | Reason::OrderRejected | Reason::ForecastUnknown | Reason::ForecastRejected
        )
    {
        log!(warn);
    } else if record.reason == Reason::MarketClosed && before == Some(Reason::MarketClosed) {
        log!(debug);
    } else {
        log!(info);
    }
}

pub fn slots_missed(pipeline: &str, after: UtcMs, until: UtcMs, count: u64, reason: Reason) {
    warn!(event = "slots_missed", pipeline, %after, %until, count, %reason, "slots were missed");
}

/// More slots are due than the node can work on in time.
pub fn overload_began(overload: &Overload) {
    warn!(
        event = "overload_began",
        slots = overload.slots,
        slowest = overload.slowest.map(Stage::name),
        slowest_ms = overload.slowest_ms,
        "more slots are due than the node can work on in time; each that cannot begin ends as missed, with the reason overload"
    );
}

pub fn overload_lasts(overload: &Overload) {
    warn!(
        event = "overload_lasts",
        slots = overload.slots,
        since = %overload.since,
        slowest = overload.slowest.map(Stage::name),
        slowest_ms = overload.slowest_ms,
        "the node still misses slots that it cannot begin in time"
    );
}

pub fn overload_ended(overload: &Overload) {
    warn!(
        event = "overload_ended",
        slots = overload.slots,
        since = %overload.since,
        slowest = overload.slowest.map(Stage::name),
        slowest_ms = overload.slowest_ms,
        "the node works on all slots again; so many were missed"
    );
}

pub fn pipeline_recovered(pipeline: &str, last_slot: Option<UtcMs>, next_due: Option<UtcMs>) {
    let (last, next) = (text(last_slot), text(next_due));
    info!(
        event = "pipeline_recovered",
        pipeline,
        last_slot = last,
        next_due = next,
        "the pipeline takes up its schedule"
    );
}

pub fn clock_set_back(by: Duration, steps: u32) {
    error!(
        event = "clock_set_back",
        by_s = by.as_secs(),
        steps,
        "the wall clock was set back; the schedule waits for it"
    );
}

pub fn clock_jumped(by: Duration, steps: u32) {
    warn!(
        event = "clock_jumped",
        by_s = by.as_secs(),
        steps,
        "the wall clock jumped: the machine slept, or the clock was set"
    );
}

pub fn schedule_waits(pipeline: &str, accounted: UtcMs, now: UtcMs, behind: Duration) {
    error!(
        event = "schedule_waits",
        pipeline,
        %accounted,
        %now,
        behind_s = behind.as_secs(),
        "the clock shows a time whose slots have their end already; the schedule waits until it has caught up"
    );
}

/// What announces slots named new ones.
pub fn slots_announced(pipeline: &str, count: usize, newest: &AnnouncedSlot) {
    info!(
        event = "slots_announced",
        pipeline,
        count,
        id = newest.id,
        slot = %newest.slot,
        closes = %newest.closes,
        "slots were announced; the newest is named"
    );
}

pub fn feed_failed(pipeline: &str, error: &str) {
    warn!(event = "feed_failed", pipeline, error, "it is not known which slots are announced; asking again");
}

pub fn feed_answers_again(pipeline: &str) {
    info!(event = "feed_answers_again", pipeline, "what announces slots answers again");
}

pub fn slots_unusable(pipeline: &str, waits_for: &str) {
    warn!(event = "slots_unusable", pipeline, waits_for, "no announced slot can be used at present; looking again");
}

pub fn slots_usable(pipeline: &str) {
    info!(event = "slots_usable", pipeline, "announced slots can be used again");
}

/// A forecast that was included and does not count is worth a warning.
pub fn forecast_noted(pipeline: &str, key: &IntentKey, fact: &Fact) {
    let (code, what) = (fact.code(), fact.to_string());
    match fact {
        Fact::Admitted | Fact::Stored { .. } | Fact::Scored { .. } => {
            info!(event = "forecast_noted", pipeline, %key, fact = code, %what, "the ledger says what became of a forecast");
        }
        Fact::NotAdmitted { .. } | Fact::Evicted { .. } | Fact::NotStored { .. } | Fact::NoScore { .. } => {
            warn!(event = "forecast_does_not_count", pipeline, %key, fact = code, %what, "a forecast was included, and does not count");
        }
    }
}

pub fn recovery_waits(pipeline: &str, error: &str) {
    warn!(event = "recovery_waits", pipeline, error, "the pipeline waits for the journal");
}

pub fn child_down(path: &str, cause: &ChildEnd) {
    error!(event = "child_down", child = path, %cause, "a part of the node ended and will be replaced");
    if let ChildEnd::Panicked(report) = cause
        && let Some(backtrace) = &report.backtrace
    {
        warn!(event = "crash_report", child = path, location = report.location, %backtrace, "where it panicked");
    }
}

pub fn child_up(path: &str, generation: u64) {
    debug!(event = "child_up", child = path, generation, "a part of the node is up");
}

pub fn child_restarting(path: &str, after: Duration) {
    debug!(
        event = "child_restarting",
        child = path,
        after_ms = after.as_millis(),
        "a part of the node will be restarted"
    );
}

pub fn child_stuck(path: &str) {
    error!(
        event = "child_stuck",
        child = path,
        "a part of the node is blocked and cannot be ended; it is not replaced"
    );
}

pub fn pipeline_parked(pipeline: &str, probe_after: Duration) {
    error!(
        event = "pipeline_parked",
        pipeline,
        probe_after_s = probe_after.as_secs(),
        "the pipeline fails again and again; it is parked and will be probed"
    );
}

pub fn pipeline_unparked(pipeline: &str) {
    info!(event = "pipeline_unparked", pipeline, "the parked pipeline works again");
}

pub fn cycle_rerun(pipeline: &str, slot: UtcMs) {
    warn!(event = "cycle_rerun", pipeline, %slot, "the cycle in flight is run again");
}

pub fn input_quarantined(pipeline: &str, slot: UtcMs, kept_at: &str) {
    error!(event = "input_quarantined", pipeline, %slot, kept_at, "the same input ended a stage twice and was put aside");
}

pub fn settling_postponed(pipeline: &str, error: &str) {
    warn!(event = "settling_postponed", pipeline, error, "open intents will be settled before the next effect");
}

pub fn comparing_postponed(pipeline: &str, error: &str) {
    warn!(
        event = "comparing_postponed",
        pipeline, error, "earlier forecasts are compared with what came true in a later slot"
    );
}

pub fn effect_confirmed(intent: &Intent, receipt: &Receipt) {
    match (&intent.action, receipt) {
        (Action::Order(order), Receipt::Fill(fill)) => order_confirmed(intent, order, fill),
        (Action::Forecast(forecast), Receipt::Inclusion(inclusion)) => info!(
            event = "forecast_confirmed",
            pipeline = intent.pipeline,
            key = intent.key.as_str(),
            account = intent.account,
            symbol = forecast.symbol,
            log_return = %forecast.log_return.normalize(),
            horizon_s = forecast.horizon_s,
            hash = inclusion.hash,
            height = inclusion.height,
            slot = %intent.slot,
            "the ledger took up the forecast"
        ),
        // Such a receipt was turned away before it came here.
        (Action::Order(_), Receipt::Inclusion(_)) | (Action::Forecast(_), Receipt::Fill(_)) => {}
    }
}

fn order_confirmed(intent: &Intent, order: &Order, fill: &Fill) {
    info!(
        event = "order_confirmed",
        pipeline = intent.pipeline,
        key = intent.key.as_str(),
        account = intent.account,
        symbol = order.symbol,
        side = %order.side,
        role = %order.role,
        volume_lots = %fill.volume_lots.normalize(),
        price = fill.price.map(|price| price.normalize().to_string()),
        ticket = %fill.ticket,
        slot = %intent.slot,
        "the venue confirmed the order"
    );
}

pub fn intent_settled(pipeline: &str, key: &str, by: &str, receipt: Option<&Receipt>) {
    let ticket = receipt.and_then(Receipt::ticket).map(|ticket| ticket.to_string());
    info!(event = "intent_settled", pipeline, key, by, ticket, "an open intent was settled by evidence");
}

pub fn effect_held(held: &HeldEffect) {
    let intent = &held.intent;
    match &intent.action {
        Action::Order(order) => order_held(held, order),
        Action::Forecast(forecast) => error!(
            event = "forecast_held",
            pipeline = intent.pipeline,
            key = intent.key.as_str(),
            account = intent.account,
            symbol = forecast.symbol,
            log_return = %forecast.log_return.normalize(),
            slot = %intent.slot,
            if_included = held.if_confirmed,
            if_absent = held.if_absent,
            "it cannot be known what became of this forecast; the pipeline forecasts nothing more until an operator has looked \
             it up, stopped the node and settled it"
        ),
    }
}

fn order_held(held: &HeldEffect, order: &Order) {
    let intent = &held.intent;
    error!(
        event = "order_held",
        pipeline = intent.pipeline,
        key = intent.key.as_str(),
        account = intent.account,
        symbol = order.symbol,
        side = %order.side,
        volume_lots = %order.volume_lots.normalize(),
        role = %order.role,
        slot = %intent.slot,
        if_filled = held.if_confirmed,
        if_absent = held.if_absent,
        "the venue cannot settle this order; its symbol takes no new exposure until an operator has checked the venue, \
         stopped the node and settled the order"
    );
}

pub fn effect_confirmed_late(intent: &Intent, receipt: &Receipt, after: Duration) {
    let (key, after_s) = (&intent.key, after.as_secs());
    match (&intent.action, receipt) {
        (Action::Order(order), Receipt::Fill(fill)) => error!(
            event = "order_confirmed_late",
            pipeline = intent.pipeline,
            %key,
            slot = %intent.slot,
            after_s,
            ticket = %fill.ticket,
            price = fill.price.map(|price| price.to_string()),
            reference_price = %order.reference_price.normalize(),
            "an order was confirmed after its deadline; it may have been filled late, at another price"
        ),
        _ => warn!(
            event = "forecast_confirmed_late",
            pipeline = intent.pipeline,
            %key,
            slot = %intent.slot,
            after_s,
            %receipt,
            "a forecast was confirmed after its deadline"
        ),
    }
}

pub fn receipt_disowned(pipeline: &str, key: &IntentKey, receipt: &Receipt, owner: &IntentKey) {
    let ticket = receipt.ticket().map(|ticket| ticket.to_string());
    error!(
        event = "receipt_disowned",
        pipeline,
        %key,
        ticket,
        %owner,
        "the venue answered with the ticket of another order; it confirms nothing"
    );
}

pub fn position_unexplained(pipeline: &str, account: &str, other: &Unexplained) {
    let Position { ticket, side, volume_lots, symbol, .. } = &other.position;
    error!(
        event = "position_unexplained",
        pipeline,
        account,
        symbol,
        %ticket,
        %side,
        volume_lots = %volume_lots.normalize(),
        explained_lots = other.explained_lots.map(|lots| lots.normalize().to_string()),
        "no confirmed order explains this position; the symbol takes no new exposure until it is gone, and the node leaves it alone"
    );
}

pub fn competition_opened(pipeline: &str) {
    info!(event = "competition_opened", pipeline, "the competition is open");
}

pub fn competition_waits(pipeline: &str, start: UtcMs) {
    info!(event = "competition_waits", pipeline, %start, "the competition has not begun");
}

pub fn competition_ended(pipeline: &str, status: &PipelineStatus) {
    info!(
        event = "competition_ended",
        pipeline,
        slots = status.slots(),
        effects = status.effects,
        "the pipeline has no slot left; no new effect happens"
    );
}

pub fn shutdown_began(why: &str) {
    info!(event = "shutdown_began", why, "the node is ending in order");
}

pub fn meltdown(why: &str) {
    error!(event = "meltdown", why, "the node gives up and ends, to be started afresh");
}

pub fn journal_failed(error: &str) {
    error!(event = "journal_failed", error, "the journal cannot be written; nothing may act any more");
}

fn text(time: Option<UtcMs>) -> Option<String> {
    time.map(|time| time.to_string())
}
