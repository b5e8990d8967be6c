//! `sentinel report`: what a node has done so far, on any state directory, running or not.
//!
//! Positions and profit are those of the venue's own record, where there is one. Where there is none, positions are derived
//! from the node's confirmed orders, as the node does it, and profit is unknown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::netting::net_position;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;
use serde::Serialize;

use super::forecasts::{Forecasts, Periods, PeriodsOf};
use super::proof::ProofError;
use super::proof::ledger::Realised;
use super::proof::venue::{OpenPosition, Venue};
use super::prove::{Form, load};
use super::text::{cell, labelled};
use super::{Ended, Failure, StateFlag, demo, exit};
use crate::journal::{Filter, JournalReader, StateDir};
use crate::node::health::Health;
use crate::system::WallClock;

/// Shows what a node has done.
#[derive(Debug, Clone, clap::Args)]
pub struct ReportArgs {
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
    /// The node's configuration: beside its models are their manifests, which say on what bars they were trained. The demo's
    /// are known.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The ledger of the paper gateway that the orders went to.
    #[arg(long, value_name = "FILE")]
    pub ledger: Option<PathBuf>,
    /// The form.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub format: Form,
}

/// Slots of one pipeline.
#[derive(Debug, Serialize)]
struct PipelineReport {
    pipeline: String,
    first: String,
    last: String,
    slots: u64,
    outcomes: BTreeMap<Outcome, u64>,
    reasons: Vec<ReasonCount>,
}

#[derive(Debug, Serialize)]
struct ReasonCount {
    reason: Reason,
    outcome: Outcome,
    slots: u64,
    last: String,
}

/// Positions and profit from one venue's record, or derived from confirmed orders.
#[derive(Debug, Serialize)]
struct Holdings {
    by: &'static str,
    file: Option<String>,
    mode: Mode,
    positions: Vec<OpenPosition>,
    /// `None` without a venue's own record.
    realised: Option<Realised>,
    /// Why the list of positions is incomplete, when it is.
    unknown: Option<String>,
}

/// An order that is not final.
#[derive(Debug, Serialize)]
struct OpenOrder {
    key: String,
    state: IntentState,
    pipeline: String,
    slot: String,
    order: String,
    account: String,
    #[serde(skip)]
    confirmed_by: &'static str,
}

/// Records of an earlier journal are missing, and the operator accepted that.
#[derive(Debug, Serialize)]
struct AcceptedLosses {
    count: i64,
    last: String,
}

#[derive(Debug, Serialize)]
struct Report {
    state: String,
    node: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_losses: Option<AcceptedLosses>,
    pipelines: Vec<PipelineReport>,
    intents: BTreeMap<IntentState, u64>,
    holdings: Vec<Holdings>,
    /// Of the paper book.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forecasts: Vec<Forecasts>,
    /// The operator must settle these.
    held: Vec<OpenOrder>,
    /// The node still asks the venue about these.
    open: Vec<OpenOrder>,
}

/// Prints the report.
///
/// # Errors
/// When there is no journal, or something cannot be read.
pub fn run(args: &ReportArgs) -> Ended {
    let config = args.config.as_deref().map(load).transpose()?;
    let state = args.state.of(config.as_ref())?;
    let config = config.or_else(|| demo::config_of(&state));
    let periods = config.as_ref().map(Periods::of_config).transpose();
    let periods = periods.map_err(|error| Failure::new(exit::CONFIG, &error, None))?.unwrap_or_default();
    let report = read(&state, args.ledger.as_deref(), &periods)?;
    match args.format {
        Form::Text => println!("{}", text(&report)),
        Form::Json => println!("{}", serde_json::json!(report)),
    }
    Ok(exit::OK)
}

fn read(dir: &Path, ledger: Option<&Path>, periods: &PeriodsOf) -> Result<Report, ProofError> {
    let reader = JournalReader::open(dir)?;
    let _still = reader.hold_still()?;
    let mut intents = Vec::new();
    reader.each_intent_of::<ProofError>(&Filter::default(), |stored| {
        intents.push(stored.record);
        Ok(())
    })?;
    let mut states = BTreeMap::new();
    intents.iter().for_each(|intent| *states.entry(intent.state).or_default() += 1);
    let not_final = |held: bool| {
        let open = intents.iter().filter(|intent| !intent.state.is_final());
        open.filter(|intent| (intent.state == IntentState::Held) == held).map(OpenOrder::from).collect()
    };
    Ok(Report {
        state: dir.display().to_string(),
        node: node(dir),
        accepted_losses: reader
            .accepted_losses()?
            .map(|(count, last)| AcceptedLosses { count, last: last.to_string() }),
        pipelines: pipelines(&reader)?,
        intents: states,
        holdings: holdings(dir, ledger, &intents)?,
        forecasts: Forecasts::read(dir, periods)?,
        held: not_final(true),
        open: not_final(false),
    })
}

/// The verdict of `sentinel health`.
fn node(dir: &Path) -> String {
    let Some(pid) = StateDir::holder(dir) else { return "not running".to_owned() };
    match Health::read(dir).and_then(|health| health.judge(WallClock.now())) {
        Ok(line) => line,
        Err(reason) => format!("process {pid}, not healthy: {reason}"),
    }
}

fn pipelines(reader: &JournalReader) -> Result<Vec<PipelineReport>, ProofError> {
    let mut reports: Vec<PipelineReport> = Vec::new();
    let mut spans: Vec<(UtcMs, UtcMs)> = Vec::new();
    for tally in reader.slot_tallies(&Filter::default())? {
        if reports.last().is_none_or(|report| report.pipeline != tally.pipeline) {
            let (pipeline, outcomes) = (tally.pipeline, BTreeMap::new());
            let (first, last, reasons) = (String::new(), String::new(), Vec::new());
            reports.push(PipelineReport { pipeline, first, last, slots: 0, outcomes, reasons });
            spans.push((tally.first, tally.last));
        }
        let (Some(report), Some(span)) = (reports.last_mut(), spans.last_mut()) else { continue };
        *span = (span.0.min(tally.first), span.1.max(tally.last));
        (report.first, report.last) = (span.0.to_string(), span.1.to_string());
        report.slots += tally.count;
        let outcome = tally.reason.outcome();
        *report.outcomes.entry(outcome).or_default() += tally.count;
        let last = tally.last.to_string();
        report.reasons.push(ReasonCount { reason: tally.reason, outcome, slots: tally.count, last });
    }
    Ok(reports)
}

fn holdings(dir: &Path, ledger: Option<&Path>, intents: &[Intent]) -> Result<Vec<Holdings>, ProofError> {
    let mut all = Vec::new();
    for venue in Venue::all(dir, ledger)? {
        let (positions, (realised, _)) = (venue.open_positions()?, venue.realised(UtcMs(i64::MAX))?);
        let mode = venue.mode();
        let has_orders = intents.iter().any(|intent| intent.mode == mode && intent.order().is_some());
        let is_used = !positions.is_empty() || has_orders;
        if is_used {
            let file = Some(venue.file().display().to_string());
            all.push(Holdings { by: venue.kind(), file, mode, positions, realised: Some(realised), unknown: None });
        }
    }
    let is_live = |intent: &&Intent| intent.mode == Mode::Live;
    if !all.iter().any(|holdings| holdings.mode == Mode::Live)
        && intents.iter().any(|intent| is_live(&intent) && intent.order().is_some())
    {
        all.push(derived(intents.iter().filter(is_live)));
    }
    Ok(all)
}

/// Positions as the node derives them from confirmed orders where the venue cannot report them.
fn derived<'i>(live: impl Iterator<Item = &'i Intent>) -> Holdings {
    let acked: Vec<&Intent> =
        live.filter(|intent| intent.state == IntentState::Acked && intent.order().is_some()).collect();
    let symbols: BTreeSet<(&str, &str)> =
        acked.iter().map(|intent| (intent.account.as_str(), intent.action.symbol())).collect();
    let (mut positions, mut unknown) = (Vec::new(), Vec::new());
    for (account, symbol) in symbols {
        let own = acked.iter().filter(|intent| intent.account == account && intent.action.symbol() == symbol);
        let own: Vec<Intent> = own.copied().cloned().collect();
        match net_position(&own) {
            Ok(net) => positions.extend(net.map(|net| OpenPosition {
                ticket: net.ticket.0,
                symbol: net.symbol,
                side: net.side.code().to_owned(),
                volume_lots: net.volume_lots,
                open_price: net.open_price,
                opened_at: net.opened_at.unwrap_or_default(),
            })),
            Err(fault) => unknown.push(format!("{account} {symbol}: {fault}")),
        }
    }
    let unknown = (!unknown.is_empty()).then(|| unknown.join("; "));
    Holdings { by: "confirmed orders", file: None, mode: Mode::Live, positions, realised: None, unknown }
}

impl From<&Intent> for OpenOrder {
    fn from(intent: &Intent) -> Self {
        Self {
            key: intent.key.to_string(),
            state: intent.state,
            pipeline: intent.pipeline.clone(),
            slot: intent.slot.to_string(),
            order: match &intent.action {
                Action::Order(order) => {
                    format!("{} {} lots of {} ({})", order.side, order.volume_lots, order.symbol, order.role)
                }
                action @ Action::Forecast(_) => action.to_string(),
            },
            account: intent.account.clone(),
            confirmed_by: match intent.action {
                Action::Order(_) => "--ticket TICKET",
                Action::Forecast(_) => "--hash HASH --height HEIGHT",
            },
        }
    }
}

fn text(report: &Report) -> String {
    let mut text = labelled("State", &report.state);
    let mut line = |line: String| {
        text.push('\n');
        text.push_str(&line);
    };
    line(labelled("Node", &report.node));
    if let Some(AcceptedLosses { count, last }) = &report.accepted_losses {
        line(labelled("Lost", &format!("an earlier journal, accepted by the operator at {last} ({count} in all);")));
        line(labelled("", "what it recorded is not in this report"));
    }
    for pipeline in &report.pipelines {
        line(String::new());
        pipeline_text(pipeline).into_iter().for_each(&mut line);
    }
    if report.pipelines.is_empty() {
        line(labelled("Slots", "none yet"));
    }
    line(String::new());
    let states: Vec<String> = report.intents.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let what = if report.forecasts.is_empty() { "Orders" } else { "Intents" };
    line(labelled(what, &if states.is_empty() { "none".to_owned() } else { states.join(", ") }));
    report.forecasts.iter().flat_map(Forecasts::text).for_each(&mut line);
    report.holdings.iter().flat_map(holdings_text).for_each(&mut line);
    for order in &report.open {
        line(labelled("Open", &format!("{} {}, {}, not settled yet", order.key, order.order, order.state)));
    }
    for order in &report.held {
        let what = format!("{} on account {}, slot {} of {}", order.order, order.account, order.slot, order.pipeline);
        line(labelled("HELD", &what));
        line(labelled("", "check it in the terminal, stop the node, then run one of"));
        for seen in [order.confirmed_by, "--absent"] {
            line(format!("  sentinel settle {} {seen} \\", order.key));
            line(format!("    --evidence 'WHO LOOKED, WHERE, WHAT WAS SEEN' --state {}", report.state));
        }
    }
    text
}

fn pipeline_text(report: &PipelineReport) -> Vec<String> {
    let mut lines = vec![labelled("Pipeline", &report.pipeline)];
    let outcomes: Vec<String> = Outcome::ALL
        .iter()
        .map(|outcome| format!("{} {outcome}", report.outcomes.get(outcome).copied().unwrap_or_default()))
        .collect();
    lines.push(labelled("Slots", &format!("{} = {}", report.slots, outcomes.join(" + "))));
    lines.push(labelled("", &format!("from {} to {}", report.first, report.last)));
    lines.push(format!("  {:>9} {:<10} {:<26} {}", "slots", "outcome", "reason", "newest"));
    for row in &report.reasons {
        let (outcome, reason) = (row.outcome.code(), cell(row.reason.code(), 26));
        lines.push(format!("  {:>9} {outcome:<10} {reason} {}", row.slots, row.last));
    }
    lines
}

fn holdings_text(holdings: &Holdings) -> Vec<String> {
    let mut by = format!("by {} ({})", holdings.by, holdings.mode);
    if let Some(file) = &holdings.file {
        let _ = write!(by, ", {file}");
    }
    let count = holdings.positions.len();
    let mut lines = vec![labelled("Positions", &format!("{count} open, {by}"))];
    if !holdings.positions.is_empty() {
        lines.push(format!("  {:<20} {:<10} {:<4} {:>8} {:>10} opened", "ticket", "symbol", "side", "lots", "price"));
    }
    for open in &holdings.positions {
        let (ticket, symbol) = (open.ticket, cell(&open.symbol, 10));
        let (side, lots, price) = (&open.side, open.volume_lots.to_string(), open.open_price.to_string());
        let opened_at = UtcMs::from_secs(open.opened_at.secs()); // milliseconds would not fit beside the rest
        lines.push(format!("  {ticket:<20} {symbol} {side:<4} {lots:>8} {price:>10} {opened_at}"));
    }
    if let Some(unknown) = &holdings.unknown {
        lines.push(labelled("", &format!("cannot be derived: {unknown}")));
    }
    lines.push(match &holdings.realised {
        Some(realised) => {
            let Realised { profit, closed, won } = realised;
            labelled("Profit", &format!("{profit:+.2} in quote currency ({closed} positions closed, {won} won)"))
        }
        None => labelled("Profit", "not known here: ask the venue, or name its ledger with --ledger"),
    });
    lines
}
