//! Where the orders and forecasts of a pipeline go. Those of a pipeline in dry run always go to the local paper book: nothing
//! leaves that was not armed.

use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::ports::{FaultInjector, PositionBook, Sink, SlotFeed};
use sentinel_actors::settings::Job;

use crate::config::{ForecastJob, JobConfig, OrderJob, PipelineConfig, VenueConfig};
use crate::venues::book::Book;
use crate::venues::forecasts::PaperForecasts;
use crate::venues::gateway::dialect::Protocol;
use crate::venues::gateway::{Exits, GatewayAddress, GatewaySettings, GatewayVenue, link};
use crate::venues::paper::{PaperVenue, Terms};

/// The sink of a pipeline, and its job. Pipelines of one process that name the same gateway share its link.
pub(super) fn sink_and_job(
    pipeline: &PipelineConfig,
    book: &Book,
    faults: &Arc<dyn FaultInjector>,
) -> (Arc<dyn Sink>, Job) {
    let who = format!("{}/executor", pipeline.name);
    match &pipeline.job {
        JobConfig::Order(order) => order_job(pipeline, order, book, faults, &who),
        JobConfig::Forecast(ForecastJob { policy, account }) => {
            let paper = Arc::new(PaperForecasts::new(book.clone(), account, faults.clone(), &who));
            let slots = SlotFeed::Grid(pipeline.schedule.clone());
            (paper.clone(), Job::Forecast { slots, policy: policy.clone(), observer: paper })
        }
    }
}

fn order_job(
    pipeline: &PipelineConfig,
    order: &OrderJob,
    book: &Book,
    faults: &Arc<dyn FaultInjector>,
    who: &str,
) -> (Arc<dyn Sink>, Job) {
    match (&order.venue, pipeline.mode) {
        (VenueConfig::Gateway(gateway), Mode::Live) => {
            let address = GatewayAddress { host: gateway.host.clone(), port: gateway.port };
            let settings = GatewaySettings {
                account: gateway.account.clone(),
                magic: gateway.magic,
                exits: if gateway.derives_positions { Exits::ByOrders } else { Exits::AtBroker },
            };
            match gateway.dialect.protocol {
                Protocol::OrderSend => {
                    trading(&pipeline.schedule, order, GatewayVenue::new(link(address), settings, faults.clone(), who))
                }
            }
        }
        (VenueConfig::Gateway(_), Mode::DryRun) | (VenueConfig::Paper, Mode::DryRun | Mode::Live) => {
            let terms = Terms {
                account: order.paper.account.clone(),
                spread: order.paper.spread,
                contract_size: order.paper.contract_size,
                interval: pipeline.interval,
            };
            trading(&pipeline.schedule, order, PaperVenue::new(book.clone(), terms, faults.clone(), who))
        }
    }
}

fn trading(schedule: &Schedule, order: &OrderJob, venue: impl Sink + PositionBook + 'static) -> (Arc<dyn Sink>, Job) {
    let venue = Arc::new(venue);
    let job = Job::Trade {
        schedule: schedule.clone(),
        policy: order.policy.clone(),
        risk: order.risk,
        positions: venue.clone(),
    };
    (venue, job)
}
