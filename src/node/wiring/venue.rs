//! Where the orders and forecasts of a pipeline go. Those of a pipeline in dry run always go to the local paper book: nothing
//! leaves that was not armed.

use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Upstream;
use sentinel_actors::ports::{FaultInjector, PositionBook, Sink, SlotFeed};
use sentinel_actors::settings::Job;

use super::chain::{Chain, Worker};
use super::{NodeError, RunOptions};
use crate::config::{ForecastVenue, GatewayConfig, JobConfig, OrderJob, PipelineConfig, SlotsConfig, VenueConfig};
use crate::venues::book::Book;
use crate::venues::forecasts::PaperForecasts;
use crate::venues::gateway::{self, Exits, GatewayAddress, GatewaySettings, Venue, link};
use crate::venues::paper::{PaperVenue, Terms};

/// What a pipeline does, and where.
pub(super) struct Wired {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) job: Job,
    /// The only slot of a single run that goes by windows.
    pub(super) only: Option<UtcMs>,
}

/// The sink and the job of a pipeline. Pipelines of one process that name the same
/// gateway share its link, and those of one chain its wallet.
///
/// # Errors
/// When a single run has no open window.
pub(super) fn sink_and_job(
    pipeline: &PipelineConfig,
    book: &Book,
    chain: Option<&Chain>,
    options: &RunOptions,
) -> Result<Wired, NodeError> {
    let who = format!("{}/executor", pipeline.name);
    match (&pipeline.job, &pipeline.slots) {
        (JobConfig::Order(order), SlotsConfig::Grid(schedule)) => {
            let (sink, job) = order_job(pipeline, (order, schedule), book, options, &who);
            Ok(Wired { sink, job, only: None })
        }
        (JobConfig::Forecast(forecast), slots) => {
            let paper = Arc::new(PaperForecasts::new(book.clone(), &forecast.account, options.faults.clone(), &who));
            let (policy, observer) = (forecast.policy.clone(), paper.clone());
            match (slots, forecast.venue, chain) {
                (SlotsConfig::WorkerWindows, ForecastVenue::Topic(topic), Some(chain)) => {
                    let Worker { sink, announcer, only } = chain.worker(pipeline, topic, paper)?;
                    let slots = SlotFeed::Announced(announcer);
                    Ok(Wired { sink, job: Job::Forecast { slots, policy, observer }, only })
                }
                (SlotsConfig::Grid(schedule), ..) => {
                    let slots = SlotFeed::Grid(schedule.clone());
                    Ok(Wired { sink: paper, job: Job::Forecast { slots, policy, observer }, only: None })
                }
                _ => unreachable!("the configuration gives windows to pipelines with a topic, and them a chain"),
            }
        }
        (JobConfig::Order(_), SlotsConfig::WorkerWindows) => unreachable!("the configuration gives orders a grid"),
    }
}

fn order_job(
    pipeline: &PipelineConfig,
    (order, schedule): (&OrderJob, &Schedule),
    book: &Book,
    options: &RunOptions,
    who: &str,
) -> (Arc<dyn Sink>, Job) {
    match (&order.venue, pipeline.mode) {
        (VenueConfig::Gateway(gateway), Mode::Live) => {
            let venue = open_gateway(gateway, options.faults.clone(), who);
            venue.count_in(options.meters.calls(Upstream::Gateway).clone());
            trading(schedule, order, venue.clone(), venue)
        }
        (VenueConfig::Gateway(_), Mode::DryRun) | (VenueConfig::Paper, Mode::DryRun | Mode::Live) => {
            let terms = paper_terms(pipeline, order);
            let venue = Arc::new(PaperVenue::new(book.clone(), terms, options.faults.clone(), who));
            trading(schedule, order, venue.clone(), venue)
        }
    }
}

/// What the dry run of a pipeline assumes.
pub(super) fn paper_terms(pipeline: &PipelineConfig, order: &OrderJob) -> Terms {
    Terms {
        account: order.paper.account.clone(),
        spread: order.paper.spread,
        contract_size: order.paper.contract_size,
        balance: order.paper.balance,
        interval: pipeline.interval,
    }
}

/// The gateway of a pipeline.
#[must_use]
pub fn open_gateway(gateway: &GatewayConfig, faults: Arc<dyn FaultInjector>, who: &str) -> Arc<dyn Venue> {
    let address = GatewayAddress { host: gateway.host.clone(), port: gateway.port };
    let settings = GatewaySettings {
        dialect: gateway.dialect,
        account: gateway.account.clone(),
        magic: gateway.magic,
        least_evidence: gateway.least_evidence,
        is_hedging: gateway.is_hedging,
        max_spread: gateway.max_spread,
        exits: if gateway.derives_positions { Exits::ByOrders } else { Exits::AtBroker },
    };
    gateway::open(link(address), settings, faults, who)
}

pub(super) fn trading(
    schedule: &Schedule,
    order: &OrderJob,
    sink: Arc<dyn Sink>,
    positions: Arc<dyn PositionBook>,
) -> (Arc<dyn Sink>, Job) {
    let job =
        Job::Trade { schedule: schedule.clone(), policy: order.policy.clone(), risk: order.risk.clone(), positions };
    (sink, job)
}
