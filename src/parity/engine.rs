//! Computes the recorded slots of a pipeline again, one after the other, and keeps nothing that grows with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Model, ModelError, PortFuture};
use sentinel_actors::walk::{Digests, Walk};
use tokio::runtime::Builder;

use super::limits::{Depth, MadeOf, Why, may_be_of_lateness, take_over};
use crate::arming::short;
use crate::backtest::journal::MemoryJournal;
use crate::backtest::plan::{PlanError, grid};
use crate::backtest::verify::{Difference, Verdict, differing, missing_here, of_rows};
use crate::config::{PipelineConfig, SlotsConfig};
use crate::exit::{self, ExitError};
use crate::journal::{JournalError, JournalReader, Stored};
use crate::models::onnx::OnnxEngine;
use crate::node::{NodeError, Recalled, recall};

/// Rows that are read at a time.
const PAGE: u32 = 256;
/// For asking a local model who it is; how fast this machine is, is no matter.
const ANY_TIME: Duration = Duration::from_secs(86_400);

/// Why nothing was computed again.
#[derive(Debug, thiserror::Error)]
pub enum ParityError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error("the model of the pipeline {pipeline} cannot be used")]
    Model { pipeline: String, source: ModelError },
    #[error("no runtime could be started")]
    Runtime(#[source] std::io::Error),
}

impl ExitError for ParityError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Node(error) => error.exit_code(),
            Self::Plan(error) => error.exit_code(),
            Self::Model { .. } => exit::CONFIG,
            Self::Runtime(_) => exit::SOFTWARE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.advice(),
            Self::Node(error) => error.advice(),
            Self::Plan(error) => error.advice(),
            Self::Model { .. } | Self::Runtime(_) => None,
        }
    }
}

/// What a pipeline's slots came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The first and the last of them.
    pub range: Option<(UtcMs, UtcMs)>,
    pub slots: u64,
    /// Slots of which anything was compared; all of their values that follow from bars and model.
    pub compared: u64,
    /// Of these, those with a frame, with an answer that was asked for again, and with a decision.
    pub frames: u64,
    pub answers: u64,
    pub decisions: u64,
    /// Orders and forecasts that were compared.
    pub effects: u64,
    /// Slots that were not compared.
    pub apart: BTreeMap<Why, u64>,
    /// Slots of which a part was not compared.
    pub partly: BTreeMap<Why, u64>,
    /// What differs.
    pub verdict: Verdict,
    /// Of the slots in which something differs, those that another effective configuration has written.
    pub of_other_configuration: u64,
    /// The model whose answers were asked for again, or the newest one on a server that the rows name.
    pub model: Option<ModelIdentity>,
}

/// Computes the slots of `range` again. `config`: the digest of the effective configuration.
///
/// # Errors
/// When journal, bars or model cannot be used.
pub fn recompute(pipeline: &PipelineConfig, state: &Path, range: Window, config: &str) -> Result<Found, ParityError> {
    let mut result = Ok(Found::default());
    // A local model is asked on the thread that its runtime knows, as in a backtest.
    OnnxEngine::on_its_thread(|| {
        result = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ParityError::Runtime)
            .and_then(|runtime| runtime.block_on(recompute_here(pipeline, state, range, config)));
    });
    result
}

async fn recompute_here(
    pipeline: &PipelineConfig,
    state: &Path,
    range: Window,
    config: &str,
) -> Result<Found, ParityError> {
    let reader = JournalReader::open(state)?;
    let (mut next, end) = (range.start.unwrap_or(UtcMs(i64::MIN)), range.end.unwrap_or(UtcMs(i64::MAX)));
    let Some(Stored { record: oldest, .. }) = reader.slots_from(&pipeline.name, next, end, 1)?.pop() else {
        return Ok(Found::default());
    };
    let schedule = match &pipeline.slots {
        SlotsConfig::Grid(schedule) => schedule.clone(),
        SlotsConfig::WorkerWindows => grid(pipeline)?,
    };
    let recalled = recall(pipeline, &schedule, state, oldest.slot)?;
    let local = match recalled.model() {
        Some(model) => {
            let told = model.validate(ANY_TIME).await;
            let name = || pipeline.name.clone();
            let identity = told.map_err(|source| ParityError::Model { pipeline: name(), source })?;
            Some((model.clone(), identity))
        }
        None => None,
    };
    let mut again = Again {
        pipeline,
        recalled,
        config,
        starts: BTreeMap::new(),
        decided: reader.decided_before(&pipeline.name, oldest.slot)?,
        found: Found { model: local.as_ref().map(|(_, identity)| identity.clone()), ..Found::default() },
        local,
        reader,
    };
    loop {
        let rows = again.reader.slots_from(&pipeline.name, next, end, PAGE)?;
        let Some(last) = rows.last() else { break };
        next = UtcMs(last.record.slot.0.saturating_add(1));
        for row in rows {
            again.slot(row).await?;
        }
    }
    Ok(again.found)
}

struct Again<'a> {
    pipeline: &'a PipelineConfig,
    recalled: Recalled,
    config: &'a str,
    /// Digests of configurations, by the number of the start.
    starts: BTreeMap<i64, Option<String>>,
    /// Newest bar that an earlier row has decided.
    decided: Option<UtcMs>,
    local: Option<(Arc<dyn Model>, ModelIdentity)>,
    reader: JournalReader,
    found: Found,
}

/// A slot beside its row.
struct Compared {
    /// What was computed.
    own: SlotRecord,
    found: Vec<Difference>,
    /// Orders and forecasts that were compared.
    effects: u64,
}

impl Again<'_> {
    async fn slot(&mut self, row: Stored<SlotRecord>) -> Result<(), ParityError> {
        let Stored { record: row, is_intact } = row;
        self.found.slots += 1;
        self.found.range = Some((self.found.range.map_or(row.slot, |(first, _)| first), row.slot));
        if self.local.is_none() && row.model.is_some() {
            self.found.model.clone_from(&row.model);
        }
        let decided = self.decided;
        // A recovered slot that decided itself has its own time there.
        self.decided = decided.max(row.decided_bar.filter(|bar| *bar < row.slot));
        let mut differences = Vec::new();
        if !is_intact {
            let wrong = "the row is not what the node has written";
            differences.extend(differing(row.slot, "checksum", "fits", wrong));
        }
        match self.why_apart(&row) {
            Some(why) => self.leave(why),
            None => self.compare(&row, decided, &mut differences).await?,
        }
        if !differences.is_empty() {
            self.found.of_other_configuration += u64::from(self.is_of_other_configuration(&row)?);
        }
        self.found.verdict.add(differences);
        Ok(())
    }

    fn leave(&mut self, why: Why) {
        *self.found.apart.entry(why).or_default() += 1;
    }

    /// Why nothing of a slot can be compared.
    fn why_apart(&self, row: &SlotRecord) -> Option<Why> {
        let is_of_bars = MadeOf::of(row) == MadeOf::Bars;
        if Depth::of(row) == Depth::Nothing {
            // What was decided before needs no bars.
            return (!is_of_bars).then_some(Why::Recorded(row.reason));
        }
        if let Err(uncovered) = self.recalled.covers(row.slot) {
            return Some(uncovered.into());
        }
        let features = self.recalled.feature_set();
        if let Some(then) = row.feature_set.as_ref().filter(|then| **then != features) {
            return Some(Why::OtherFeatures(then.clone()));
        }
        let basis = self.basis();
        row.weighed.as_ref().filter(|weighed| weighed.decide_on != basis).map(|_| Why::OtherBasis)
    }

    fn basis(&self) -> DecideOn {
        match &self.pipeline.job {
            crate::config::JobConfig::Order(order) => order.policy.decide_on,
            crate::config::JobConfig::Forecast(forecast) => forecast.policy.decide_on,
        }
    }

    /// The threshold with which a row was decided, when it is not the configured one.
    fn other_threshold(&self, row: &SlotRecord) -> Option<f64> {
        let configured = self.pipeline.order()?.policy.threshold;
        let then = row.weighed.as_ref()?.threshold;
        (then.to_bits() != configured.to_bits()).then_some(then)
    }

    async fn compare(
        &mut self,
        row: &SlotRecord,
        decided: Option<UtcMs>,
        differences: &mut Vec<Difference>,
    ) -> Result<(), ParityError> {
        let depth = Depth::of(row);
        let (answers, why) = self.answers(row);
        let mut compared = self.differences(row, decided, (answers.clone(), false)).await?;
        if !compared.found.is_empty() && self.recalled.may_be_unfilled(row.slot, row.ended_at) {
            compared = self.differences(row, decided, (answers, true)).await?;
            if !compared.found.is_empty() {
                self.leave(Why::FilledLater);
                return Ok(());
            }
        }
        let Compared { own, found, effects } = compared;
        if !found.is_empty() && self.recalled.is_live() && may_be_of_lateness(&own, row) {
            self.leave(Why::Recorded(row.reason));
            return Ok(());
        }
        let is_asked_again = why.is_none();
        let ended_early = MadeOf::of(row) == MadeOf::Circumstances && depth < Depth::Decision;
        let threshold = self.other_threshold(row).map(|then| Why::OtherThreshold(then.to_string()));
        let why = why.filter(|_| depth >= Depth::Answer);
        for why in why.into_iter().chain(threshold).chain(ended_early.then_some(Why::Recorded(row.reason))) {
            *self.found.partly.entry(why).or_default() += 1;
        }
        self.found.compared += 1;
        self.found.frames += u64::from(depth >= Depth::Frame);
        self.found.answers += u64::from(depth >= Depth::Answer && is_asked_again);
        self.found.decisions += u64::from(depth == Depth::Decision);
        self.found.effects += effects;
        differences.extend(found);
        Ok(())
    }

    /// A row beside the same slot computed again. `is_unfilled`: with those bars without a price that may have had none.
    async fn differences(
        &self,
        row: &SlotRecord,
        decided: Option<UtcMs>,
        (answers, is_unfilled): (Arc<dyn Model>, bool),
    ) -> Result<Compared, ParityError> {
        let (mut own, planned) = self.compute(row, decided, (answers, is_unfilled)).await;
        let has_other_threshold = self.other_threshold(row).is_some();
        take_over(&mut own, row, has_other_threshold);
        let mut found = of_rows(&own, row);
        let mut effects = 0;
        if Depth::of(row) == Depth::Decision && !has_other_threshold {
            let compared = self.effects(row, &planned)?;
            effects = compared.len() as u64;
            found.extend(compared.into_iter().flatten());
        }
        Ok(Compared { own, found, effects })
    }

    /// Who answers for a row, and why that is not the configured model.
    fn answers(&self, row: &SlotRecord) -> (Arc<dyn Model>, Option<Why>) {
        let recorded = || Arc::new(RecordedAnswer { model: row.model.clone(), row: row.raw_output.clone() });
        match (&self.local, &row.model) {
            (None, _) => (recorded(), Some(Why::OnServer)),
            (Some((_, identity)), Some(then)) if identity.hash != then.hash => {
                (recorded(), Some(Why::OtherModel(short(&then.hash).to_owned())))
            }
            (Some((model, _)), _) => (model.clone(), None),
        }
    }

    /// The row that a node would write which has nothing behind it but the bars that were decided, and what it would have sent.
    async fn compute(
        &self,
        row: &SlotRecord,
        decided: Option<UtcMs>,
        (answers, is_unfilled): (Arc<dyn Model>, bool),
    ) -> (SlotRecord, Vec<Intent>) {
        let (settings, ports) = self.recalled.bench(row.slot, (row.ended_at, is_unfilled), answers);
        let journal = Arc::new(MemoryJournal::default());
        let mut walk = Walk::begin(settings, ports, journal.clone(), Digests::Kept).await;
        walk.remember(decided);
        let (own, _) = walk.slot(row.slot).await;
        (own, journal.take_fresh())
    }

    /// What the slot has opened or forecast, beside what it would: for each whether it is another one. What only closes follows from
    /// the account.
    fn effects(&self, row: &SlotRecord, planned: &[Intent]) -> Result<Vec<Option<Difference>>, ParityError> {
        let recorded = self.reader.intents_between(&self.pipeline.name, row.slot, row.slot)?;
        let new = recorded.into_iter().map(|stored| stored.record).filter(|intent| {
            // What an operator or an exit asked for is none of the decision's.
            intent.basis.is_of_slot() && !intent.action.only_closes()
        });
        let compared = new.map(|recorded| {
            let role = recorded.action.role();
            let name = format!("intent {role}");
            match planned.iter().find(|own| own.action.role() == role) {
                Some(own) => differing(row.slot, &name, &own.action, &recorded.action),
                None => Some(missing_here(row.slot, name, &recorded.action)),
            }
        });
        Ok(compared.collect())
    }

    fn is_of_other_configuration(&mut self, row: &SlotRecord) -> Result<bool, ParityError> {
        let Some(number) = row.start else { return Ok(false) };
        if !self.starts.contains_key(&number) {
            let start = self.reader.start(number)?;
            self.starts.insert(number, start.map(|stored| stored.record.config_digest));
        }
        let then = self.starts.get(&number).and_then(Option::as_deref);
        Ok(then.is_some_and(|then| then != self.config))
    }
}

/// Answers what was answered then.
struct RecordedAnswer {
    model: Option<ModelIdentity>,
    row: Option<Vec<f64>>,
}

impl Model for RecordedAnswer {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        let none = || ModelError::Unavailable("its row names no model".to_owned());
        Box::pin(std::future::ready(self.model.clone().ok_or_else(none)))
    }

    fn predict<'a>(&'a self, _: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        let none = || ModelError::Unavailable("its row has no answer".to_owned());
        Box::pin(std::future::ready(self.row.clone().map(|row| RawAnswer { rows: vec![row] }).ok_or_else(none)))
    }
}
