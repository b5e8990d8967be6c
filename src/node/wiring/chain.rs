//! The chain of the node's topics: one client, one clock and one wallet for all of them.
//!
//! A live wallet has one broadcaster, which signs for every topic in turn. A dry run has none: nothing of it can leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Upstream;
use sentinel_actors::ports::{Announcer, Arming as _, Clock, Sink, elapsed_now};
use tokio::runtime::Builder;

use super::{NodeError, RunOptions};
use crate::arming::Watch;
use crate::config::{AlloraConfig, Config, PipelineConfig, TopicConfig};
use crate::http::Deadline;
use crate::journal::StateDir;
use crate::system::SystemChance;
use crate::venues::allora::address::Address;
use crate::venues::allora::announcer::{AnnouncerParts, MaySend, WindowAnnouncer};
use crate::venues::allora::broadcaster::{Broadcaster, Pace, Parts};
use crate::venues::allora::chain_clock::ChainClock;
use crate::venues::allora::client::{Client, ClientError};
use crate::venues::allora::endpoints::EndpointSettings;
use crate::venues::allora::health::{CoolDown, Tip};
use crate::venues::allora::wallet::Wallet;
use crate::venues::allora::worker::{Rehearsal, Way, WorkerParts, WorkerSink};
use crate::venues::forecasts::PaperForecasts;

/// For the question of a single run.
const ONCE_MAX: Duration = Duration::from_secs(20);

/// How often a chain is looked at. Tests and the demo have faster blocks than any real chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainPace {
    /// Between two questions to each endpoint how it is.
    pub survey_every: Duration,
    /// Of the broadcaster.
    pub broadcaster: Pace,
    /// Time from block to block until it is measured.
    pub block: Duration,
    /// How long endpoints rest after failures.
    pub cool_down: CoolDown,
    /// How far ahead of elapsed time one block may be and is believed.
    pub jump_max: Duration,
}

impl ChainPace {
    /// A block takes 5.6 to 6 seconds.
    #[must_use]
    pub fn live() -> Self {
        Self {
            survey_every: EndpointSettings::SURVEY_EVERY,
            broadcaster: Pace::LIVE,
            block: Duration::from_millis(5_800),
            cool_down: CoolDown::default(),
            jump_max: Duration::from_secs(120),
        }
    }
}

/// What the pipelines with a topic share.
pub(super) struct Chain {
    client: Arc<Client>,
    clock: Arc<ChainClock>,
    address: Address,
    broadcaster: Option<Arc<Broadcaster>>,
    rehearsal: Option<Arc<Rehearsal>>,
    pace: ChainPace,
    /// Asks before a single run. Its connections end with the runtime of the question, and are nobody else's.
    once: Option<Client>,
    watch: Option<Arc<Watch>>,
    safe_mode: Arc<AtomicBool>,
}

/// What a pipeline has of its topic.
pub(super) struct Worker {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) announcer: Arc<dyn Announcer>,
    /// The only slot of a single run.
    pub(super) only: Option<UtcMs>,
}

impl Chain {
    /// `None`: no pipeline has a topic.
    ///
    /// # Errors
    /// When there is no wallet, or another process has it.
    pub(super) fn open(
        config: &Config,
        state: &StateDir,
        options: &RunOptions,
        (watch, safe_mode): (Option<&Arc<Watch>>, &Arc<AtomicBool>),
    ) -> Result<Option<Self>, NodeError> {
        let topics = || config.pipelines.iter().filter(|pipeline| pipeline.topic().is_some());
        let Some(allora) = config.allora.as_ref().filter(|_| topics().next().is_some()) else { return Ok(None) };
        let clock = Arc::new(ChainClock::new(options.clock.clone()).with_jumps_up_to(options.chain_pace.jump_max));
        let shared = Arc::new(client(allora, options, clock.clone())?);
        shared.endpoints().count_in(options.meters.calls(Upstream::Chain));
        let open = || options.wallet.as_ref().ok_or(NodeError::NoWallet)?().map_err(NodeError::Wallet);
        let wallet: Wallet = open()?;
        let address = wallet.address();
        let has = |mode| topics().any(|pipeline| pipeline.mode == mode);
        let rehearsal =
            if has(Mode::DryRun) { Some(Arc::new(Rehearsal::new(shared.clone(), open()?, allora.caps))) } else { None };
        let broadcaster = if has(Mode::Live) {
            let parts = Parts {
                client: shared.clone(),
                wallet,
                state_dir: state.path(),
                caps: allora.caps,
                pace: options.chain_pace.broadcaster,
                // Caps count by this machine's clock: the day before a start is known by no other.
                clock: options.clock.clone(),
                faults: options.faults.clone(),
            };
            Some(Arc::new(Broadcaster::open(parts).map_err(|error| NodeError::Broadcaster(Box::new(error)))?))
        } else {
            None
        };
        let (watch, safe_mode) = (watch.cloned(), safe_mode.clone());
        let own_client = || client(allora, options, clock.clone());
        let once = if options.once { Some(own_client()?) } else { None };
        let pace = options.chain_pace;
        Ok(Some(Self { client: shared, clock, address, broadcaster, rehearsal, pace, once, watch, safe_mode }))
    }

    /// Schedule time of everything that goes by this chain.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// What a pipeline needs for its topic. A dry run's forecasts go to `paper`.
    ///
    /// # Errors
    /// When a single run has no open window.
    pub(super) fn worker(
        &self,
        pipeline: &PipelineConfig,
        topic: TopicConfig,
        paper: Arc<PaperForecasts>,
    ) -> Result<Worker, NodeError> {
        let only = self.once.as_ref().map(|client| self.open_window(client, &pipeline.name, topic)).transpose()?;
        let is_live = pipeline.mode == Mode::Live;
        let account = if is_live {
            format!("{}/{}/{}", self.client.endpoints().chain_id(), self.address, topic.id)
        } else {
            pipeline.paper_account().to_owned()
        };
        let way = match (&self.broadcaster, &self.rehearsal) {
            (Some(broadcaster), _) if is_live => Way::Live(broadcaster.clone()),
            (_, Some(rehearsal)) => Way::DryRun { rehearsal: rehearsal.clone(), paper },
            _ => unreachable!("there is a way for each mode that a pipeline has"),
        };
        let sink = WorkerSink::new(WorkerParts {
            client: self.client.clone(),
            topic: topic.id,
            worker: self.address,
            account,
            margin_blocks: topic.margin_blocks,
            pause: self.pace.broadcaster.look,
            way,
        });
        let announcer = WindowAnnouncer::new(AnnouncerParts {
            client: self.client.clone(),
            topic: topic.id,
            worker: self.address,
            broadcaster: self.broadcaster.clone().filter(|_| is_live),
            may_send: self.may_send(&pipeline.name),
            competition: pipeline.window,
            block: self.pace.block,
        });
        Ok(Worker { sink: Arc::new(sink), announcer: Arc::new(announcer), only })
    }

    /// What an effect needs that no intent stands for, as a registration is.
    fn may_send(&self, pipeline: &str) -> MaySend {
        let (watch, safe_mode, pipeline) = (self.watch.clone(), self.safe_mode.clone(), pipeline.to_owned());
        let clock = self.clock.clone();
        Arc::new(move || {
            if safe_mode.load(Ordering::Acquire) {
                return Err("the node is in safe mode after repeated crashes".to_owned());
            }
            let Some(watch) = &watch else { return Ok(()) };
            watch.permits(&pipeline, None, clock.now()).map_err(|error| error.to_string())
        })
    }

    /// When the window opened that is open now.
    fn open_window(&self, client: &Client, pipeline: &str, topic: TopicConfig) -> Result<UtcMs, NodeError> {
        let unasked =
            |source: ClientError| NodeError::Chain { pipeline: pipeline.to_owned(), source: Box::new(source) };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(NodeError::Runtime)?;
        let until = Deadline::of(ONCE_MAX, elapsed_now());
        let asked = async {
            let status = client.window_status(topic.id, &self.address, until).await?;
            let is_open = status.is_open && status.height + topic.margin_blocks < status.end;
            let opened = if is_open {
                Some(client.endpoints().header(status.nonce, until).await.map_err(ClientError::from)?.time)
            } else {
                None
            };
            Ok((status, opened))
        };
        let (status, opened) = runtime.block_on(asked).map_err(unasked)?;
        opened.ok_or_else(|| NodeError::NoWindow {
            pipeline: pipeline.to_owned(),
            topic: topic.id,
            height: status.height,
            next: status.next_start,
            in_about: self
                .pace
                .block
                .saturating_mul(u32::try_from(status.next_start.saturating_sub(status.height)).unwrap_or(u32::MAX)),
        })
    }
}

fn client(allora: &AlloraConfig, options: &RunOptions, chain_clock: Arc<ChainClock>) -> Result<Client, NodeError> {
    let (pace, clock) = (&options.chain_pace, options.clock.clone());
    let settings = EndpointSettings {
        chain_id: allora.chain_id.clone(),
        rpc: allora.rpc.clone(),
        call_max: allora.call_timeout,
        stale_after: allora.stale_after,
        survey_every: pace.survey_every,
        cool_down: pace.cool_down,
    };
    let (clocks, machine, stale_after) = (options.clocks.clone(), clock.clone(), allora.stale_after);
    let observer = Arc::new(move |tip: Tip| {
        chain_clock.note(tip);
        let now = machine.now();
        // The newest block may be as old as an endpoint may be, so that it tells mostly a clock that is behind.
        let at_most = now.0.saturating_sub(tip.time.0);
        let stale = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
        clocks.note_bounds("the chain", at_most.saturating_sub(stale), at_most, now);
    });
    let client =
        Client::new(settings, allora.emissions, clock, Arc::new(SystemChance)).map_err(NodeError::ChainClient)?;
    Ok(client.observed_by(observer))
}
