//! `sentinel report`: what a node has done, so far or in a range of time, on any state directory, running or not.
//!
//! Three forms of one thing: lines for a terminal, a document for a browser, tables for a spreadsheet. Positions and profit are those of
//! the venue's own record, where there is one; what nobody here knows is said to be unknown.

pub(in crate::cli) mod files;
pub(in crate::cli) mod gather;
mod halts;
mod holdings;
pub(in crate::cli) mod rows;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Clock as _;
use serde::Serialize;

use self::gather::Asked;
use self::halts::HaltReport;
use self::holdings::{Holdings, Orders};
use super::forecasts::{Forecasts, Periods, PeriodsOf};
use super::health::judge;
use super::proof::ProofError;
use super::prove::{Form, load};
use super::text::{cell, labelled};
use super::{Ended, Failure, StateFlag, demo, exit};
use crate::journal::{Filter, JournalReader, StateDir};
use crate::node::health;
use crate::operator::report::facts::Range;
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
    /// Only slots that were due from this time on, like 2017-06-01T13:00:00Z, and what was sent in them; positions that were closed from
    /// then on.
    #[arg(long, value_name = "TIME")]
    pub from: Option<UtcMs>,
    /// The same before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<UtcMs>,
    /// The form.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    pub format: Form,
    /// Write a document for a browser into this file: it needs no other file, no script and no network. An older one is replaced.
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    pub html: Option<PathBuf>,
    /// Write each table as a CSV file into this directory, which must not be there yet, or be empty.
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    pub csv: Option<PathBuf>,
}

impl ReportArgs {
    fn range(&self) -> Result<Range, Failure> {
        let range = Range { from: self.from, to: self.to };
        match (self.from, self.to) {
            (Some(from), Some(to)) if from >= to => Err(Failure {
                code: exit::USAGE,
                text: format!(
                    "error: --from {from} is not before --to {to}\n  what to do: a range holds its first time and not its last one"
                ),
            }),
            _ => Ok(range),
        }
    }
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

/// An order that is not final.
#[derive(Debug, Serialize)]
struct OpenOrder {
    key: String,
    state: IntentState,
    pipeline: String,
    slot: String,
    order: String,
    account: String,
    /// What decided it.
    #[serde(skip)]
    decided_by: String,
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
    /// Included.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// Excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_losses: Option<AcceptedLosses>,
    pipelines: Vec<PipelineReport>,
    intents: BTreeMap<IntentState, u64>,
    holdings: Vec<Holdings>,
    /// Of the paper book.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    forecasts: Vec<Forecasts>,
    halts: Vec<HaltReport>,
    /// The operator must settle these.
    held: Vec<OpenOrder>,
    /// The node still asks the venue about these.
    open: Vec<OpenOrder>,
}

/// Prints or writes the report.
///
/// # Errors
/// When there is no journal, or something cannot be read or written.
pub fn run(args: &ReportArgs) -> Ended {
    let range = args.range()?;
    let config = args.config.as_deref().map(load).transpose()?;
    let state = args.state.of(config.as_ref())?;
    let config = config.or_else(|| demo::config_of(&state));
    let (ledger, csv) = (args.ledger.as_deref(), args.csv.as_deref());
    let asked = Asked { state: &state, ledger, config: config.as_ref(), range, csv };
    if args.html.is_some() || csv.is_some() {
        files::write(&asked, args.html.as_deref())?;
        return Ok(exit::OK);
    }
    let report = read(&asked)?;
    match args.format {
        Form::Text => println!("{}", text(&report, &range)),
        Form::Json => println!("{}", serde_json::json!(report)),
    }
    Ok(exit::OK)
}

/// Of forecast pipelines; no configuration knows none.
fn periods(asked: &Asked<'_>) -> Result<PeriodsOf, Failure> {
    let periods = asked.config.map(Periods::of_config).transpose();
    Ok(periods.map_err(|error| Failure::new(exit::CONFIG, &error, None))?.unwrap_or_default())
}

fn read(asked: &Asked<'_>) -> Result<Report, Failure> {
    let (dir, range) = (asked.state, &asked.range);
    let periods = periods(asked)?;
    let reader = JournalReader::open(dir)?;
    let _still = reader.hold_still()?;
    let (mut states, mut orders) = (BTreeMap::new(), Orders::default());
    let (mut held, mut open) = (Vec::new(), Vec::new());
    reader.each_intent_of::<ProofError>(&Filter::default(), |stored| {
        let intent = stored.record;
        orders.add(&intent);
        if range.holds(intent.slot) {
            *states.entry(intent.state).or_default() += 1;
        }
        // What waits for somebody does so whatever is asked about.
        match intent.state {
            state if state.is_final() => {}
            IntentState::Held => held.push(OpenOrder::from(&intent)),
            _ => open.push(OpenOrder::from(&intent)),
        }
        Ok(())
    })?;
    Ok(Report {
        state: dir.display().to_string(),
        node: node(dir),
        from: range.from.map(|from| from.to_string()),
        to: range.to.map(|to| to.to_string()),
        accepted_losses: reader
            .accepted_losses()?
            .map(|(count, last)| AcceptedLosses { count, last: last.to_string() }),
        pipelines: pipelines(&reader, range)?,
        intents: states,
        holdings: holdings::read(dir, asked.ledger, &orders, range)?,
        forecasts: Forecasts::read(dir, &periods, range, |_, _, _| ())?,
        halts: halts::read(&reader, range)?,
        held,
        open,
    })
}

/// The verdict of `sentinel health`.
fn node(dir: &Path) -> String {
    let Some(pid) = StateDir::holder(dir) else { return "not running".to_owned() };
    match health::read(dir) {
        Ok(view) => judge(&view, false, WallClock.now()).unwrap_or_else(|line| line),
        Err(reason) => format!("process {pid}: {reason}"),
    }
}

fn pipelines(reader: &JournalReader, range: &Range) -> Result<Vec<PipelineReport>, ProofError> {
    let mut reports: Vec<PipelineReport> = Vec::new();
    let mut spans: Vec<(UtcMs, UtcMs)> = Vec::new();
    let filter = Filter { since: range.from, before: range.to, ..Filter::default() };
    for tally in reader.slot_tallies(&filter)? {
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
            decided_by: if intent.basis.is_of_slot() {
                format!("slot {} of {}", intent.slot, intent.pipeline)
            } else {
                format!("asked for by an operator at {} in {}", intent.slot, intent.pipeline)
            },
            confirmed_by: match intent.action {
                Action::Order(_) => "--ticket TICKET",
                Action::Forecast(_) => "--hash HASH --height HEIGHT",
            },
        }
    }
}

fn text(report: &Report, range: &Range) -> String {
    let mut text = labelled("State", &report.state);
    let mut line = |line: String| {
        text.push('\n');
        text.push_str(&line);
    };
    line(labelled("Node", &report.node));
    if !range.is_all() {
        line(labelled("Range", &range.words()));
    }
    if let Some(AcceptedLosses { count, last }) = &report.accepted_losses {
        line(labelled("Lost", &format!("an earlier journal, accepted by the operator at {last} ({count} in all);")));
        line(labelled("", "what it recorded is not in this report"));
    }
    for pipeline in &report.pipelines {
        line(String::new());
        pipeline_text(pipeline).into_iter().for_each(&mut line);
    }
    if report.pipelines.is_empty() {
        line(labelled("Slots", if range.is_all() { "none yet" } else { "none in this range" }));
    }
    line(String::new());
    let states: Vec<String> = report.intents.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let what = if report.forecasts.is_empty() { "Orders" } else { "Intents" };
    line(labelled(what, &if states.is_empty() { "none".to_owned() } else { states.join(", ") }));
    report.forecasts.iter().flat_map(Forecasts::text).for_each(&mut line);
    report.holdings.iter().flat_map(holdings::text).for_each(&mut line);
    halts::text(&report.halts).into_iter().for_each(&mut line);
    for order in &report.open {
        line(labelled("Open", &format!("{} {}, {}, not settled yet", order.key, order.order, order.state)));
    }
    for order in &report.held {
        let what = format!("{} on account {}, {}", order.order, order.account, order.decided_by);
        line(labelled("HELD", &what));
        line(labelled("", "check it in the terminal, then run one of"));
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
