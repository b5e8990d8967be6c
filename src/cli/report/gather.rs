//! Collects what a report shows: one pass over the slots, one over the intents, one over what each venue has on record.

mod effects;
pub(in crate::cli) mod venues;

use std::collections::BTreeMap;
use std::path::Path;

use sentinel_actors::ports::Clock as _;

use self::effects::Effects;
use super::files::refused;
use super::{halts, node, periods, rows};
use crate::cli::forecasts::{Forecasts, Kind, Periods};
use crate::cli::text::TIED;
use crate::cli::{Failure, demo, exit};
use crate::config::Config;
use crate::journal::{Filter, JournalReader};
use crate::models::manifest::Manifest;
use crate::node::worker_report::worker_report_between;
use crate::operator::report::facts::{ErrorRow, Facts, ForecastFacts, PipelineFacts, Range, WorkerFacts};
use crate::operator::report::part::Part;
use crate::operator::report::summary::Summary;
use crate::operator::report::tables::Tables;
use crate::operator::report::thinned::Thinned;
use crate::system::WallClock;

/// What is asked about.
pub(super) struct Asked<'a> {
    pub(super) state: &'a Path,
    pub(super) ledger: Option<&'a Path>,
    pub(super) config: Option<&'a Config>,
    pub(super) range: Range,
    /// Where tables go.
    pub(super) csv: Option<&'a Path>,
}

impl Asked<'_> {
    /// Slots in the range.
    pub(super) fn filter(&self) -> Filter<'static> {
        Filter { since: self.range.from, before: self.range.to, ..Filter::default() }
    }

    /// A table could not be written.
    fn unwritten(&self, error: &std::io::Error) -> Failure {
        refused(self.csv.unwrap_or(self.state), error)
    }
}

/// By name.
type Pipelines = BTreeMap<String, PipelineFacts>;

/// Everything; each row is written to `tables` while it passes.
pub(super) fn gather(asked: &Asked<'_>, mut tables: Option<&mut Tables>) -> Result<Facts, Failure> {
    let reader = JournalReader::open(asked.state)?;
    let _still = reader.hold_still()?;
    let known = periods_by_pipeline(asked)?;
    let mut pipelines = slots(&reader, asked, &known, tables.as_deref_mut())?;
    let effects = Effects::read(&reader, asked, &known, &mut pipelines, tables.as_deref_mut())?;
    let venues = venues::read(&reader, asked, &known, &effects, tables)?;
    let lost = reader.accepted_losses()?.map(|(count, last)| {
        format!("Earlier journals were lost, {count} in all, which the operator accepted last at {last}: what they recorded is not in this report.")
    });
    Ok(Facts {
        state: asked.state.display().to_string(),
        node: node(asked.state),
        version: env!("SENTINEL_VERSION"),
        made_at: WallClock.now(),
        range: asked.range,
        lost,
        backtests: Vec::new(),
        venues,
        forecasts: forecasts(asked)?,
        workers: workers(&reader, asked)?,
        halts: halts::read(&reader, &asked.range)?.iter().map(halts::HaltReport::sentence).collect(),
        open: effects.open,
        pipelines: pipelines.into_values().collect(),
    })
}

/// What the model of each pipeline was trained on, as far as a manifest says it.
fn periods_by_pipeline(asked: &Asked<'_>) -> Result<BTreeMap<String, Periods>, Failure> {
    let Some(config) = asked.config else { return Ok(BTreeMap::new()) };
    let unread = |error: &_| Failure::new(exit::CONFIG, error, None);
    let mut known = Periods::by_pipeline(config).map_err(|error| unread(&error))?;
    if let Some(manifest) = demo::manifest_of(asked.state) {
        let periods = Periods::of(&Manifest::peek(&manifest).map_err(|error| unread(&error))?);
        for pipeline in &config.pipelines {
            known.entry(pipeline.name.clone()).or_insert(periods);
        }
    }
    Ok(known)
}

fn empty(name: &str, known: &BTreeMap<String, Periods>) -> PipelineFacts {
    PipelineFacts {
        slots: Summary::new(name, known.get(name).copied()),
        orders: BTreeMap::new(),
        forecasts: BTreeMap::new(),
        newest: Vec::new(),
        removed_until: None,
    }
}

fn slots(
    reader: &JournalReader,
    asked: &Asked<'_>,
    known: &BTreeMap<String, Periods>,
    mut tables: Option<&mut Tables>,
) -> Result<Pipelines, Failure> {
    let mut pipelines = Pipelines::new();
    reader.each_slot_of::<Failure>(&asked.filter(), |stored| {
        let (record, is_intact) = (stored.record, stored.is_intact);
        let name = record.pipeline.clone();
        let pipeline = pipelines.entry(name.clone()).or_insert_with(|| empty(&name, known));
        if let Some(tables) = tables.as_deref_mut() {
            let part = pipeline.slots.part_of(&record);
            rows::slot(tables, &record, part, is_intact).map_err(|error| asked.unwritten(&error))?;
        }
        let outage = pipeline.slots.add(record, is_intact);
        if let (Some(tables), Some(outage)) = (tables.as_deref_mut(), outage) {
            rows::outage(tables, &name, &outage).map_err(|error| asked.unwritten(&error))?;
        }
        Ok(())
    })?;
    for (name, pipeline) in &mut pipelines {
        if let (Some(outage), Some(tables)) = (pipeline.slots.end(), tables.as_deref_mut()) {
            rows::outage(tables, name, &outage).map_err(|error| asked.unwritten(&error))?;
        }
        let removed = reader.removed(name)?.map(|removed| removed.until);
        pipeline.removed_until = removed.filter(|until| asked.range.from.is_none_or(|from| from <= *until));
        let drawn = pipeline.slots.newest.front().zip(pipeline.slots.newest.back());
        let Some((first, last)) = drawn.map(|(first, last)| (first.slot, last.slot)) else { continue };
        let newest = reader.intents_between(name, first, last)?;
        pipeline.newest = newest.into_iter().map(|stored| stored.record).collect();
    }
    Ok(pipelines)
}

/// Those of the paper book, with what came true.
fn forecasts(asked: &Asked<'_>) -> Result<Vec<ForecastFacts>, Failure> {
    let periods = periods(asked)?;
    let mut points: BTreeMap<Kind, Thinned<(f64, f64, Part)>> = BTreeMap::new();
    let all = Forecasts::read(asked.state, &periods, &asked.range, |kind, made, part| {
        let pair =
            made.came_true.and_then(|truth| Some((made.forecast.log_return.try_into().ok()?, truth.try_into().ok()?)));
        if let Some((said, truth)) = pair {
            points.entry(kind.clone()).or_default().add((said, truth, part));
        }
    })?;
    Ok(all.iter().map(|forecasts| shown(forecasts, points.remove(&forecasts.kind).unwrap_or_default())).collect())
}

/// The figures of some forecasts.
pub(in crate::cli) fn shown(forecasts: &Forecasts, points: Thinned<(f64, f64, Part)>) -> ForecastFacts {
    let Kind { account, symbol, .. } = &forecasts.kind;
    let parts = forecasts.parts.iter().flat_map(|parts| {
        [(Part::Training, parts.trained), (Part::Unseen, parts.unseen), (Part::Neither, parts.neither)]
    });
    let rows = parts.map(|(part, errors)| (Some(part), errors)).chain([(None, forecasts.errors)]);
    let rows = rows.map(|(part, errors)| ErrorRow {
        part,
        made: errors.made,
        compared: errors.compared,
        independent: errors.independent,
        rmse: errors.rmse,
        rmse_of_zero: errors.rmse_of_zero,
    });
    let notes = forecasts.overlap().into_iter().chain([forecasts.verdict()]);
    ForecastFacts {
        what: format!("{symbol}, {} ahead, account {account}", forecasts.reach()),
        rows: rows.collect(),
        notes: notes.map(|note| note.replace(TIED, " ")).collect(),
        points,
    }
}

/// What became of announced windows.
fn workers(reader: &JournalReader, asked: &Asked<'_>) -> Result<Vec<WorkerFacts>, Failure> {
    let (from, to) = asked.range.ends();
    let mut workers = Vec::new();
    for pipeline in reader.pipelines()? {
        if reader.announced_between(&pipeline, from, to.before())?.is_empty() {
            continue;
        }
        let report = worker_report_between(asked.state, &pipeline, (from, to))?;
        let lines = report.lines(None).into_iter().map(|(label, text)| (label.to_owned(), text)).collect();
        workers.push(WorkerFacts { pipeline, lines });
    }
    Ok(workers)
}
