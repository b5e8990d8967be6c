//! What an operator has armed, for one run: the model behind each live pipeline is asked, and compared with it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{
    Arming, Clock as _, ModelError, NoArming, NoFaults, PositionBook, VenueError, elapsed_now,
};
use sentinel_actors::settings::Job;
use sentinel_actors::status::Board;
use tokio::runtime::{Builder, Runtime};

use super::wiring::{WiredPipeline, open_gateway};
use super::{NodeError, OpenWallet, open_model};
use crate::arming::{ArmOf, CountEffects, Effects, Limits, Plan, Terms, VenueSays, Watch, needs_wallet, record};
use crate::config::{Config, GatewayConfig, ModelConfig, PipelineConfig, VenueConfig};
use crate::journal::{JournalError, JournalReader};
use crate::operator::live_node::ShowArm;
use crate::system::WallClock;
use crate::venues::allora::address::Address;

/// For asking one model who it is.
const ASK_MAX: Duration = Duration::from_secs(10);

/// For asking a venue what it is. An order waits for as long.
const VENUE_MAX: Duration = Duration::from_secs(2);
/// Elapsed time between two questions to a venue that has answered.
const VENUE_EVERY: Duration = Duration::from_secs(3600);
/// The same when a loss ends the arm.
const LOSS_EVERY: Duration = Duration::from_secs(15);
/// The same for one that has not answered.
pub const VENUE_AGAIN: Duration = Duration::from_secs(5);

/// Elapsed time between two looks at an arm that nobody asks about.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The same between two reports of what is left of it. In between an effect or a venue may have ended it.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Who has armed a run.
#[derive(Debug, Clone)]
pub enum ArmedBy {
    /// An operator, in the state directory.
    Operator {
        /// What arms exactly this run; for messages.
        command: String,
    },
    /// The caller, for this run alone: the demo, which has started everything that its node reaches.
    Caller(Box<Terms>),
}

impl Default for ArmedBy {
    fn default() -> Self {
        Self::Operator { command: "sentinel arm --config FILE".to_owned() }
    }
}

/// Why it is not known what would go live.
#[derive(Debug, thiserror::Error)]
pub enum UnknownModel {
    #[error(transparent)]
    Unusable(Box<NodeError>),
    #[error("the model of the pipeline {} cannot be asked who it is", pipeline.name)]
    Silent { pipeline: Box<PipelineConfig>, source: ModelError },
    #[error("the venue of the pipeline {pipeline} does not say what it is")]
    SilentVenue { pipeline: String, source: VenueError },
    #[error("the orders of the pipeline {pipeline} could not be executed: {}", obstacles.join("; "))]
    Obstructed { pipeline: String, obstacles: Vec<String> },
    #[error("no runtime could be started")]
    Runtime(#[source] std::io::Error),
}

/// What a configuration would do live, with the models and venues that are there now and what ends it.
///
/// # Errors
/// As [`look`].
pub fn live_terms(config: &Config, worker: Option<&Address>, limits: Limits) -> Result<Terms, UnknownModel> {
    Ok(look(config, worker, limits)?.0)
}

/// The same, and what the accounts are worth, by pipeline.
///
/// # Errors
/// When a model or a venue cannot be used, does not answer in time, or says that it would execute none of the orders.
pub fn look(
    config: &Config,
    worker: Option<&Address>,
    limits: Limits,
) -> Result<(Terms, BTreeMap<String, Decimal>), UnknownModel> {
    let runtime = runtime()?;
    let live = || config.pipelines.iter().filter(|pipeline| pipeline.mode == Mode::Live);
    let models: Vec<ModelIdentity> = live().map(|pipeline| ask(&runtime, pipeline)).collect::<Result<_, _>>()?;
    let mut terms = Plan::of(config, worker).with_models(models, limits);
    let mut equity = BTreeMap::new();
    for (live, pipeline) in terms.pipelines.iter_mut().zip(live()) {
        let (Some(gateway), Some(order)) = (telling_gateway(pipeline), pipeline.order()) else { continue };
        let venue = open_gateway(gateway, Arc::new(NoFaults), &pipeline.name);
        let told = runtime.block_on(async {
            let report = venue.account_report(WallClock.now(), VENUE_MAX).await?;
            Ok((report, venue.obstacles(&pipeline.symbol, order.policy.volume_lots, VENUE_MAX).await?))
        });
        let (report, obstacles) =
            told.map_err(|source| UnknownModel::SilentVenue { pipeline: pipeline.name.clone(), source })?;
        if !obstacles.is_empty() {
            return Err(UnknownModel::Obstructed { pipeline: pipeline.name.clone(), obstacles });
        }
        live.venue_says = VenueSays::of(&report);
        equity.extend(report.equity.map(|equity| (pipeline.name.clone(), equity)));
    }
    Ok((terms, equity))
}

/// The gateway of a live pipeline whose dialect tells what the account is.
pub(super) fn telling_gateway(pipeline: &PipelineConfig) -> Option<&GatewayConfig> {
    match &pipeline.order()?.venue {
        VenueConfig::Gateway(gateway) if pipeline.mode == Mode::Live && gateway.dialect.tells_account => Some(gateway),
        VenueConfig::Gateway(_) | VenueConfig::Paper => None,
    }
}

/// The venues of live pipelines that tell what the account is, by pipeline.
pub(super) fn telling_venues(config: &Config, wired: &[WiredPipeline]) -> Vec<(String, Arc<dyn PositionBook>)> {
    let all = config.pipelines.iter().zip(wired).filter(|(pipeline, _)| telling_gateway(pipeline).is_some());
    let book = |(pipeline, wired): (&PipelineConfig, &WiredPipeline)| match &wired.ports.job {
        Job::Trade { positions, .. } => Some((pipeline.name.clone(), positions.clone())),
        Job::Forecast { .. } => None,
    };
    all.filter_map(book).collect()
}

/// The arm of a run, and the venues that are compared with it.
pub(super) struct Watched {
    pub(super) watch: Arc<Watch>,
    /// By pipeline.
    pub(super) venues: Vec<(String, Arc<dyn PositionBook>)>,
}

/// Asks venues what they are: at once, until each has answered, and every hour; more often when a loss ends the arm. One that has not
/// answered is asked `again` after that long.
pub(super) async fn listen(watch: Arc<Watch>, venues: Vec<(String, Arc<dyn PositionBook>)>, again: Duration) {
    while !venues.is_empty() {
        let mut pause = if watch.watches_loss() { LOSS_EVERY } else { VENUE_EVERY };
        for (pipeline, book) in &venues {
            match book.account_report(WallClock.now(), VENUE_MAX).await {
                Ok(report) => watch.hear(pipeline, &report),
                // What it does not say is not compared; while nothing was heard nothing new leaves.
                Err(_) => pause = pause.min(again),
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// The arm of a run; `None` when every pipeline stays in dry run.
///
/// # Errors
/// When something else, or nothing, was armed.
pub(super) fn watch(
    config: &Config,
    state: &Path,
    by: &ArmedBy,
    wallet: Option<&OpenWallet>,
) -> Result<Option<Arc<Watch>>, NodeError> {
    let worker = if needs_wallet(config) {
        Some(wallet.ok_or(NodeError::NoWallet)?().map_err(NodeError::Wallet)?.address())
    } else {
        None
    };
    let plan = Plan::of(config, worker.as_ref());
    if plan.is_dry() {
        return Ok(None);
    }
    let (arm_of, command) = match by {
        ArmedBy::Operator { command } => (ArmOf::Recorded(record::file_of(state)), command.clone()),
        ArmedBy::Caller(terms) => (ArmOf::Given(terms.clone()), "start it again".to_owned()),
    };
    let watch = new_watch(plan, arm_of, state, command);
    watch.armed()?;
    Ok(Some(Arc::new(watch)))
}

/// The arm that a state directory has for a plan. `command` arms it.
#[must_use]
pub fn watch_of(plan: Plan, state: &Path, command: String) -> Watch {
    new_watch(plan, ArmOf::Recorded(record::file_of(state)), state, command)
}

fn new_watch(plan: Plan, arm_of: ArmOf, state: &Path, command: String) -> Watch {
    let state = state.to_owned();
    let count: CountEffects = Box::new(move || live_effects(&state).map_err(|error| chain(&error)));
    Watch::new(plan, arm_of, command, Arc::new(WallClock), count)
}

/// What the journal of a state directory knows of effects that need an arm.
///
/// # Errors
/// When it cannot be read.
pub fn live_effects(state: &Path) -> Result<Effects, JournalError> {
    // An operator arms the new version before its first start, which upgrades the journal.
    let reader = match JournalReader::open_before_upgrade(state) {
        Err(JournalError::Missing { .. }) => return Ok(Effects::default()),
        reader => reader?,
    };
    let (left, in_doubt) = reader.live_effects()?;
    let losses = reader.accepted_losses()?.map_or(0, |(losses, _)| losses);
    Ok(Effects { journal: reader.id()?, losses, left: left.into(), in_doubt: in_doubt.into() })
}

/// Keeps the arm of a running node in view: so that its end is said when it comes, and not with the next effect.
pub(super) async fn keep_in_view(watch: Arc<Watch>, board: Board) {
    let mut next_look = elapsed_now() + LOOK_EVERY;
    loop {
        let is_due = elapsed_now() >= next_look;
        if is_due {
            next_look = elapsed_now() + LOOK_EVERY;
        }
        let (watch, told) = (watch.clone(), board.arm.clone());
        let look = move || {
            if is_due {
                watch.look_around();
            }
            told.store(Some(Arc::new(watch.standing())));
        };
        // On a thread of its own, because both may wait for the disk.
        let _ = tokio::task::spawn_blocking(look).await;
        tokio::time::sleep(TELL_EVERY).await;
    }
}

/// Compares the models with those that were armed. A server that does not answer now is compared when it does: at a start it may
/// well come up later than the node, and until then nothing is decided anyway.
///
/// # Errors
/// When a model is not the one that was armed.
pub(super) fn compare_models(config: &Config, wired: &[WiredPipeline], watch: &Watch) -> Result<(), NodeError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(NodeError::Runtime)?;
    for (pipeline, wired) in config.pipelines.iter().zip(wired) {
        if pipeline.mode == Mode::DryRun {
            continue;
        }
        let identity = match &pipeline.model {
            ModelConfig::Onnx { .. } => runtime.block_on(wired.ports.model.validate(ASK_MAX)).ok(),
            // By a client of its own: connections of this runtime end with it.
            ModelConfig::Hub(_) => ask(&runtime, pipeline).ok(),
        };
        if let Some(identity) = identity {
            // The arm says below what is wrong with it.
            watch.note_model(&pipeline.name, &identity);
        }
    }
    watch.armed()?;
    Ok(())
}

/// What an operator is shown of the arm.
pub(super) fn shown(watch: Option<Arc<Watch>>) -> ShowArm {
    Arc::new(move || {
        Some(match watch.as_ref()?.armed() {
            Ok(id) => id.to_string(),
            Err(ended) => format!("ended: {}", ended.what),
        })
    })
}

/// What the tree asks before every effect.
pub(super) fn port(watch: Option<&Arc<Watch>>) -> Arc<dyn Arming> {
    match watch {
        Some(watch) => {
            watch.begin();
            watch.clone()
        }
        None => Arc::new(NoArming),
    }
}

/// The model behind one pipeline.
///
/// # Errors
/// As [`live_terms`].
pub fn live_model(pipeline: &PipelineConfig) -> Result<ModelIdentity, UnknownModel> {
    ask(&runtime()?, pipeline)
}

/// Who stands behind a pipeline.
fn ask(runtime: &Runtime, pipeline: &PipelineConfig) -> Result<ModelIdentity, UnknownModel> {
    // Nothing is decided by it, so that it may take longer than an answer in a cycle.
    let mut patient = pipeline.clone();
    patient.deadlines.predict = ASK_MAX;
    let (model, _) =
        open_model(&patient, Arc::new(NoFaults)).map_err(|error| UnknownModel::Unusable(Box::new(error)))?;
    let answer = runtime.block_on(async { tokio::time::timeout(ASK_MAX, model.validate(ASK_MAX)).await });
    answer
        .unwrap_or(Err(ModelError::Timeout(ASK_MAX)))
        .map_err(|source| UnknownModel::Silent { pipeline: Box::new(pipeline.clone()), source })
}

fn runtime() -> Result<Runtime, UnknownModel> {
    Builder::new_current_thread().enable_all().build().map_err(UnknownModel::Runtime)
}
