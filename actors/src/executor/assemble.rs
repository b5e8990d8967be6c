//! An Executor from its parts: that of a node, and those that live only as long as a command.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use arc_swap::ArcSwap;

use super::{Executor, ForecastStrategy, IntentProtocol, Refusals, SettledByHand, Strategy, TradeStrategy};
use crate::domain::halt::Place;
use crate::halts::Halts;
use crate::journal::JournalHandle;
use crate::meters::PipelineMeters;
use crate::ports::{Arming, Clock, DiskSpace, FaultInjector, NoArming, NoFaults, Sink, UnmeasuredDisk, elapsed_now};
use crate::settings::{Job, NodeShared, PipelineSettings};
use crate::stage::StageWork as _;
use crate::status::Holdings;

/// What an Executor is surrounded by, whatever its pipeline is.
#[derive(Clone)]
pub struct Surroundings {
    pub safe_mode: Arc<AtomicBool>,
    pub halts: Arc<Halts>,
    pub arming: Arc<dyn Arming>,
    pub disk: Arc<dyn DiskSpace>,
    pub faults: Arc<dyn FaultInjector>,
    pub settled_by_hand: Arc<AtomicU64>,
    /// As it is written in a shell command.
    pub state_dir: Arc<str>,
}

impl Surroundings {
    /// Those of a node.
    #[must_use]
    pub fn of(shared: &NodeShared) -> Self {
        Self {
            safe_mode: shared.safe_mode.clone(),
            halts: shared.halts.clone(),
            arming: shared.arming.clone(),
            disk: shared.disk.clone(),
            faults: shared.faults.clone(),
            settled_by_hand: shared.settled_by_hand.clone(),
            state_dir: shared.state_dir.clone(),
        }
    }

    /// Without a node.
    #[must_use]
    pub fn alone(halts: Arc<Halts>, state_dir: Arc<str>) -> Self {
        Self {
            safe_mode: Arc::default(),
            halts,
            arming: Arc::new(NoArming),
            disk: Arc::new(UnmeasuredDisk),
            faults: Arc::new(NoFaults),
            settled_by_hand: Arc::default(),
            state_dir,
        }
    }
}

impl Executor {
    /// The Executor of a pipeline. Refusals and holdings outlive it: its next incarnation gets the same ones.
    #[must_use]
    pub fn new(
        settings: &PipelineSettings,
        (clock, sink, job): (&Arc<dyn Clock>, &Arc<dyn Sink>, &Job),
        around: Surroundings,
        (journal, meters): (&JournalHandle, &Arc<PipelineMeters>),
        refusals: &Refusals,
        holdings: &Arc<ArcSwap<Holdings>>,
    ) -> Self {
        let protocol = IntentProtocol {
            pipeline: settings.name.clone(),
            place: Place {
                pipeline: settings.name.clone(),
                account: sink.account().to_owned(),
                symbol: settings.symbol.clone(),
            },
            path: format!("{}/{}", settings.name, Self::STAGE),
            competition: settings.competition,
            clock: clock.clone(),
            sink: sink.clone(),
            journal: journal.clone(),
            safe_mode: around.safe_mode,
            halts: around.halts,
            arming: around.arming,
            disk: around.disk,
            faults: around.faults,
            deadlines: settings.deadlines,
            venue_until: elapsed_now(),
            settled: false,
            settled_by_hand: SettledByHand::new(around.settled_by_hand),
            changes: 0,
            refusals: refusals.clone(),
            newest_at_start: None,
            asked_since: HashMap::new(),
            meters: meters.clone(),
            holdings: holdings.clone(),
            state_dir: around.state_dir,
        };
        let symbol = settings.symbol.clone();
        let strategy = match job.clone() {
            Job::Trade { policy, risk, positions, .. } => Strategy::Trade(Box::new(TradeStrategy {
                symbol,
                policy,
                risk,
                calendar: settings.freshness.calendar.clone(),
                book: positions,
                derived: None,
                acked: Vec::new(),
                unexplained: Vec::new(),
                last_price: None,
                kept: None,
                losses_in_row: 0,
                holdings: holdings.clone(),
            })),
            Job::Forecast { policy, observer, .. } => Strategy::Forecast(ForecastStrategy { symbol, policy, observer }),
        };
        Self { protocol, strategy }
    }
}
