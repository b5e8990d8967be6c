//! Where the orders of a pipeline go. Those of a pipeline in dry run always go to the local paper book: nothing leaves that
//! was not armed.

use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::ports::{FaultInjector, PositionBook, Sink};

use crate::config::{PipelineConfig, VenueConfig};
use crate::venues::book::Book;
use crate::venues::gateway::dialect::Protocol;
use crate::venues::gateway::{Exits, GatewayAddress, GatewaySettings, GatewayVenue, link};
use crate::venues::paper::{PaperVenue, Terms};

/// A venue in its two parts.
pub(super) struct Venue {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) positions: Arc<dyn PositionBook>,
}

impl Venue {
    fn new(venue: impl Sink + PositionBook + 'static) -> Self {
        let venue = Arc::new(venue);
        Self { sink: venue.clone(), positions: venue }
    }
}

/// The venue of a pipeline. Pipelines of one process that name the same gateway share its link.
pub(super) fn venue(pipeline: &PipelineConfig, book: &Book, faults: &Arc<dyn FaultInjector>) -> Venue {
    let who = format!("{}/executor", pipeline.name);
    match (&pipeline.venue, pipeline.mode) {
        (VenueConfig::Gateway(gateway), Mode::Live) => {
            let address = GatewayAddress { host: gateway.host.clone(), port: gateway.port };
            let settings = GatewaySettings {
                account: gateway.account.clone(),
                magic: gateway.magic,
                exits: if gateway.derives_positions { Exits::ByOrders } else { Exits::AtBroker },
            };
            match gateway.dialect.protocol {
                Protocol::OrderSend => Venue::new(GatewayVenue::new(link(address), settings, faults.clone(), &who)),
            }
        }
        (VenueConfig::Gateway(_), Mode::DryRun) | (VenueConfig::Paper, Mode::DryRun | Mode::Live) => {
            let terms = Terms {
                account: pipeline.paper.account.clone(),
                spread: pipeline.paper.spread,
                contract_size: pipeline.paper.contract_size,
                interval: pipeline.interval,
            };
            Venue::new(PaperVenue::new(book.clone(), terms, faults.clone(), &who))
        }
    }
}
