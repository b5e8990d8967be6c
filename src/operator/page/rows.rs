//! What the journal says, as far as the page shows it. Each question has a limit, so that a page of a node that has run for years costs
//! what the first one did.

use std::collections::BTreeMap;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;

use super::CHARTS;
use super::asked::Asked;
use super::facts::Node;
use crate::journal::{JournalError, JournalReader, Newest, Stored};

/// Slots in the list.
pub const LISTED: usize = 100;
/// Slots in the list of a page with many charts or pipelines, so that it stays below 64 KB.
const LISTED_BESIDE_CHARTS: usize = 60;
const LISTED_OF_MANY: usize = 24;
/// More pipelines than this are many.
pub const MANY: usize = 12;
/// Slots of a pipeline in its row.
pub const CELLS: u32 = 24;
/// Slots in a chart: a week of hours.
pub const CHARTED: u32 = 168;
/// Halts that were lifted.
const LIFTED: usize = 2;
const HALTS: u32 = 20;

/// The journal, or why it cannot be read.
type Opened = Result<JournalReader, JournalError>;

/// The rows behind one page.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    /// Why the journal said less than it should.
    pub error: Option<String>,
    /// Pipelines that are shown, the worst first.
    pub names: Vec<String>,
    /// How many others fit the question.
    pub others: usize,
    /// How the newest slots ended, oldest first.
    pub cells: BTreeMap<String, Vec<(UtcMs, Reason)>>,
    pub charts: Vec<Charted>,
    /// Newest first.
    pub listed: Vec<Stored<SlotRecord>>,
    /// How many slots there are in the list at most.
    pub limit: usize,
    /// The newest slots of all outcomes, by reason: what there is to choose from.
    pub reasons: BTreeMap<Reason, usize>,
    /// Halts that were lifted, newest first.
    pub lifted: Vec<Halt>,
    pub journal_mb: Option<u64>,
}

/// A pipeline's newest slots and what it did in them, oldest first.
#[derive(Debug, Clone)]
pub struct Charted {
    pub name: String,
    pub slots: Vec<SlotRecord>,
    pub intents: Vec<Intent>,
}

impl Rows {
    /// For the first page.
    #[must_use]
    pub fn of_node(journal: Opened, node: &Node, asked: &Asked) -> Self {
        let names = node.worst(|name| asked.wants(name));
        let fitting = node.pipelines.keys().filter(|name| asked.wants(name)).count();
        let charted: Vec<String> =
            if node.pipelines.len() <= CHARTS { node.pipelines.keys().cloned().collect() } else { Vec::new() };
        let others = fitting - names.len().min(fitting);
        Self::read(journal, names.into_iter().map(str::to_owned).collect(), &charted, asked, others)
    }

    /// For the page of one pipeline.
    #[must_use]
    pub fn of_pipeline(journal: Opened, asked: &Asked, name: &str) -> Self {
        let names = vec![name.to_owned()];
        Self::read(journal, names.clone(), &names, asked, 0)
    }

    fn read(journal: Opened, names: Vec<String>, charted: &[String], asked: &Asked, others: usize) -> Self {
        let limit = Self::limit(names.len(), charted.len());
        let mut rows = Self { names, others, limit, ..Self::default() };
        // What it cannot say now is not shown: the board's part is as true.
        if let Err(error) = journal.and_then(|journal| rows.fill(&journal, charted, asked)) {
            rows.error = Some(chain(&error));
        }
        rows
    }

    /// How many slots are listed beside so many pipelines and charts.
    pub(super) const fn limit(pipelines: usize, charts: usize) -> usize {
        match (pipelines, charts) {
            (0..=MANY, 0..=2) => LISTED,
            (0..=MANY, _) => LISTED_BESIDE_CHARTS,
            _ => LISTED_OF_MANY,
        }
    }

    fn fill(&mut self, reader: &JournalReader, charted: &[String], asked: &Asked) -> Result<(), JournalError> {
        let bytes = std::fs::metadata(reader.path()).ok().map(|file| file.len());
        self.journal_mb = bytes.map(|bytes| bytes.div_ceil(1_000_000));
        let lifted = reader.newest_halts(HALTS)?.into_iter().filter(|halt| !halt.stands());
        self.lifted = lifted.take(LIFTED).collect();
        for name in &self.names {
            let mut cells = reader.newest_reasons(name, CELLS)?;
            cells.reverse();
            self.cells.insert(name.clone(), cells);
        }
        let newest = newest(reader, &self.names, self.limit, &Asked::default())?;
        for slot in &newest {
            *self.reasons.entry(slot.record.reason).or_default() += 1;
        }
        self.listed = if asked.filters_rows() { self::newest(reader, &self.names, self.limit, asked)? } else { newest };
        for name in charted {
            self.charts.push(Charted::of(reader, name)?);
        }
        Ok(())
    }

    /// How many of the newest slots ended so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.reasons.iter().filter(|(reason, _)| reason.outcome() == outcome).map(|(_, count)| count).sum()
    }
}

impl Charted {
    fn of(reader: &JournalReader, name: &str) -> Result<Self, JournalError> {
        let newest = reader.newest_slots(name, Newest { count: CHARTED, ..Newest::default() })?;
        let mut slots: Vec<SlotRecord> = newest.into_iter().map(|slot| slot.record).collect();
        slots.reverse();
        let intents = match (slots.first(), slots.last()) {
            (Some(first), Some(last)) => reader.intents_between(name, first.slot, last.slot)?,
            _ => Vec::new(),
        };
        Ok(Self { name: name.to_owned(), slots, intents: intents.into_iter().map(|intent| intent.record).collect() })
    }
}

/// The newest slots of some pipelines together, newest first. Few are asked for at first: most of the time pipelines take turns.
fn newest(
    reader: &JournalReader,
    names: &[String],
    limit: usize,
    asked: &Asked,
) -> Result<Vec<Stored<SlotRecord>>, JournalError> {
    let mut each = (2 * limit).div_ceil(names.len().max(1)).clamp(4, limit);
    loop {
        let wanted =
            Newest { count: u32::try_from(each).unwrap_or(u32::MAX), outcome: asked.outcome, reason: asked.reason };
        let mut all = Vec::new();
        // Of a pipeline that has more, nothing is known before its oldest slot.
        let mut known_from = UtcMs(i64::MIN);
        for name in names {
            let slots = reader.newest_slots(name, wanted)?;
            if slots.len() >= each {
                known_from = known_from.max(slots.last().map_or(UtcMs(i64::MIN), |slot| slot.record.slot));
            }
            all.extend(slots);
        }
        all.sort_by(|a, b| (b.record.slot, &a.record.pipeline).cmp(&(a.record.slot, &b.record.pipeline)));
        all.truncate(limit);
        let is_complete =
            each >= limit || all.last().is_none_or(|oldest| all.len() == limit && oldest.record.slot >= known_from);
        if is_complete || known_from.0 == i64::MIN {
            return Ok(all);
        }
        each = (each * 2).min(limit);
    }
}
