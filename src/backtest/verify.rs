//! The proof of a backtest: the same plan through the real tree, in a state directory of its own, and each row beside the walk's.
//!
//! What is compared is everything that a decision is made of and leads to. What is left out is what only a running process knows:
//! how long its stages took, how long it waited, and which start of the node wrote the row.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Model;
use sentinel_actors::root_supervisor::NodeEnd;

use super::engine::{Course, Digests, Market, Step, Visitor, walk};
use super::plan::{Plan, PlanError};
use crate::config::Config;
use crate::exit::{self, ExitError};
use crate::journal::{JournalError, JournalReader};
use crate::node::{self, NodeError, RunOptions};
use crate::venues::book::{BOOK_FILE, BookError};
use crate::venues::book_reader::{BookPosition, BookReader};
use crate::venues::forecasts::BookForecast;

/// Differences that are kept; the others are counted.
pub const LISTED: usize = 20;
/// Elapsed time that a stage of the tree may take: a busy machine must not look like a difference.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the tree could not be run on the same bars")]
    Node(#[from] NodeError),
    #[error("the tree ended early: {0}")]
    Ended(NodeEnd),
    #[error("the journal of the tree cannot be read")]
    Journal(#[from] JournalError),
    #[error("the paper book of the tree cannot be read")]
    Book(#[from] BookError),
}

impl ExitError for VerifyError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Plan(error) => error.exit_code(),
            Self::Node(error) => error.exit_code(),
            Self::Ended(_) | Self::Journal(_) | Self::Book(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Plan(error) => error.advice(),
            Self::Node(error) => error.advice(),
            Self::Ended(_) | Self::Journal(_) | Self::Book(_) => None,
        }
    }
}

/// A value that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub slot: UtcMs,
    /// Which value.
    pub field: String,
    pub backtest: String,
    pub tree: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, field, backtest, tree } = self;
        write!(f, "slot {slot}, {field}: backtest {backtest}, tree {tree}")
    }
}

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    pub slots: u64,
    pub intents: u64,
    pub positions: u64,
    pub forecasts: u64,
    /// All of them.
    pub differences: u64,
    /// Slots, positions and forecasts in which something differs.
    pub differing: u64,
    /// The first ones.
    pub first: Vec<Difference>,
}

impl Verdict {
    #[must_use]
    pub const fn agrees(&self) -> bool {
        self.differences == 0
    }

    fn add(&mut self, found: Vec<Difference>) {
        self.differing += u64::from(!found.is_empty());
        self.differences += found.len() as u64;
        let room = LISTED.saturating_sub(self.first.len());
        self.first.extend(found.into_iter().take(room));
    }
}

/// Runs a plan in the real tree, in the state directory `state`, which must be new.
///
/// # Errors
/// When the tree could not be run to its end.
pub fn run_tree(config: &Config, plan: &Plan, state: &Path) -> Result<(), VerifyError> {
    let mut config = plan.config(config, state);
    for pipeline in &mut config.pipelines {
        let deadlines = &mut pipeline.deadlines;
        for stage in [&mut deadlines.fetch, &mut deadlines.features, &mut deadlines.predict, &mut deadlines.execute] {
            *stage = PATIENCE.max(*stage);
        }
        deadlines.cycle = (PATIENCE * 5).max(deadlines.cycle);
    }
    let report = node::run(config, RunOptions::default())?;
    if report.end == NodeEnd::Finished { Ok(()) } else { Err(VerifyError::Ended(report.end)) }
}

/// Walks through a plan beside the rows that the tree has left in `state`.
///
/// # Errors
/// When either cannot be read.
pub fn compare(plan: &Plan, answers: Option<Arc<dyn Model>>, state: &Path) -> Result<Verdict, VerifyError> {
    let mut beside = Beside {
        pipeline: &plan.pipeline.name,
        reader: JournalReader::open(state)?,
        verdict: Verdict::default(),
        closed: BTreeMap::new(),
        compared: BTreeMap::new(),
        failed: None,
    };
    let rest = walk(plan, (answers, Digests::Kept), &mut beside)?;
    let Beside { reader, mut verdict, mut closed, mut compared, failed, .. } = beside;
    if let Some(error) = failed {
        return Err(error.into());
    }
    closed.extend(rest.open.into_iter().map(|open| (open.ticket, open)));
    compared.extend(rest.waiting.into_iter().map(|made| (made.key.clone(), made)));
    rows_beyond(plan, &reader, &mut verdict)?;
    compare_book(state, closed, compared, &mut verdict)?;
    Ok(verdict)
}

/// Rows of the tree that the walk has no slot for.
fn rows_beyond(plan: &Plan, reader: &JournalReader, verdict: &mut Verdict) -> Result<(), VerifyError> {
    let rows = reader.slot_count()?;
    if rows != verdict.slots {
        let last = reader.last_slot(&plan.pipeline.name)?.unwrap_or(UtcMs(0));
        let (backtest, tree) = (verdict.slots.to_string(), rows.to_string());
        verdict.add(vec![Difference { slot: last, field: "number of rows".to_owned(), backtest, tree }]);
    }
    Ok(())
}

fn compare_book(
    state: &Path,
    mut positions: BTreeMap<Ticket, BookPosition>,
    mut forecasts: BTreeMap<IntentKey, BookForecast>,
    verdict: &mut Verdict,
) -> Result<(), VerifyError> {
    let book = BookReader::open(&state.join(BOOK_FILE))?;
    for tree in book.positions()? {
        verdict.positions += 1;
        let own = positions.remove(&tree.ticket);
        let name = format!("position {}", tree.ticket);
        let field = |what: &str| format!("{name}, {what}");
        let found = match &own {
            None => vec![missing_here(tree.opened_at, name, &tree)],
            Some(own) => of_position(own, &tree, field),
        };
        verdict.add(found);
    }
    for own in positions.into_values() {
        verdict.add(vec![missing_there(own.opened_at, format!("position {}", own.ticket), &own)]);
    }
    for tree in book.forecasts()? {
        verdict.forecasts += 1;
        let name = format!("forecast {}", tree.key);
        let found = match forecasts.remove(&tree.key) {
            None => vec![missing_here(tree.at, name, &tree)],
            Some(own) => differing(tree.at, &name, &own, &tree).into_iter().collect(),
        };
        verdict.add(found);
    }
    for own in forecasts.into_values() {
        verdict.add(vec![missing_there(own.at, format!("forecast {}", own.key), &own)]);
    }
    Ok(())
}

fn of_position(own: &BookPosition, tree: &BookPosition, field: impl Fn(&str) -> String) -> Vec<Difference> {
    let opened = |of: &BookPosition| BookPosition { closing: None, ..of.clone() };
    let ended = own.closing.as_ref().or(tree.closing.as_ref()).map_or(tree.opened_at, |closing| closing.at);
    let entry = differing(tree.opened_at, &field("entry"), &opened(own), &opened(tree));
    let end = differing(ended, &field("exit"), &own.closing, &tree.closing);
    entry.into_iter().chain(end).collect()
}

fn missing_here(slot: UtcMs, field: String, tree: &impl Debug) -> Difference {
    Difference { slot, field, backtest: "has none".to_owned(), tree: format!("{tree:?}") }
}

fn missing_there(slot: UtcMs, field: String, own: &impl Debug) -> Difference {
    Difference { slot, field, backtest: format!("{own:?}"), tree: "has none".to_owned() }
}

/// Floats are compared by what they print as: the shortest text that reads back as the same bits.
fn differing<T: Debug + ?Sized>(slot: UtcMs, field: &str, own: &T, tree: &T) -> Option<Difference> {
    let (backtest, tree) = (format!("{own:?}"), format!("{tree:?}"));
    (backtest != tree).then(|| Difference { slot, field: field.to_owned(), backtest, tree })
}

/// Reads the tree's row of each slot while the walk passes it.
struct Beside<'a> {
    pipeline: &'a str,
    reader: JournalReader,
    verdict: Verdict,
    closed: BTreeMap<Ticket, BookPosition>,
    compared: BTreeMap<IntentKey, BookForecast>,
    /// The first failure; nothing is compared after it.
    failed: Option<JournalError>,
}

impl Visitor for Beside<'_> {
    fn begin(&mut self, _: Course) {}

    fn step(&mut self, step: Step, _: &Market<'_>) {
        if self.failed.is_some() {
            return;
        }
        self.verdict.slots += 1;
        self.verdict.intents += step.intents.len() as u64;
        match self.differences(&step) {
            Ok(found) => self.verdict.add(found),
            Err(error) => self.failed = Some(error),
        }
        self.closed.extend(step.closed.into_iter().map(|position| (position.ticket, position)));
        self.compared.extend(step.compared.into_iter().map(|made| (made.key.clone(), made)));
    }
}

impl Beside<'_> {
    fn differences(&self, step: &Step) -> Result<Vec<Difference>, JournalError> {
        let own = &step.record;
        let Some(row) = self.reader.slot(self.pipeline, own.slot)? else {
            return Ok(vec![missing_there(own.slot, "row".to_owned(), &own.reason)]);
        };
        let mut found = of_rows(own, &row.record);
        let tree = self.reader.intents_between(self.pipeline, own.slot, own.slot)?;
        let mut tree: BTreeMap<IntentKey, Intent> =
            tree.into_iter().map(|stored| (stored.record.key.clone(), stored.record)).collect();
        for intent in &step.intents {
            let name = format!("intent {}", intent.action.role());
            match tree.remove(&intent.key) {
                None => found.push(missing_there(own.slot, name, intent)),
                Some(tree) => found.extend(differing(own.slot, &name, intent, &tree)),
            }
        }
        let only_tree = tree.into_values();
        found.extend(only_tree.map(|tree| missing_here(own.slot, format!("intent {}", tree.action.role()), &tree)));
        Ok(found)
    }
}

fn of_rows(own: &SlotRecord, tree: &SlotRecord) -> Vec<Difference> {
    macro_rules! fields {
        ($($field:ident),*) => {
            [$(differing(own.slot, stringify!($field), &own.$field, &tree.$field)),*]
        };
    }
    // All fields but those that only a running process knows.
    let found = fields![
        pipeline,
        slot,
        mode,
        reason,
        detail,
        attempts,
        started_at,
        ended_at,
        newest_bar,
        bars,
        dropped,
        missing_bars,
        bars_digest,
        feature_set,
        features_digest,
        model,
        raw_output,
        signal,
        confidence,
        anchor,
        decided_bar,
        intents,
        weighed
    ];
    found.into_iter().flatten().collect()
}
