//! Where the orders of a pipeline go. A dry run's always go to the local paper book: nothing leaves an unarmed node.

use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::ports::{FaultInjector, Venue};

use crate::config::{Config, PipelineConfig, VenueConfig};
use crate::venues::book::Book;
use crate::venues::gateway::{Exits, GatewayAddress, GatewaySettings, GatewayVenue, link};
use crate::venues::paper::{PaperVenue, Terms};

/// The venue of a pipeline. Pipelines of one process that name the same gateway share its link.
pub(super) fn venue(
    config: &Config,
    pipeline: &PipelineConfig,
    book: &Book,
    faults: &Arc<dyn FaultInjector>,
) -> Arc<dyn Venue> {
    let who = format!("{}/executor", pipeline.name);
    match (&pipeline.venue, config.node.mode) {
        (VenueConfig::Gateway(gateway), Mode::Live) => {
            let address = GatewayAddress { host: gateway.host.clone(), port: gateway.port };
            let settings = GatewaySettings {
                account: gateway.account.clone(),
                magic: gateway.magic,
                exits: if gateway.derives_positions { Exits::ByOrders } else { Exits::AtBroker },
            };
            Arc::new(GatewayVenue::new(link(address), settings, faults.clone(), &who))
        }
        _ => {
            let terms = Terms {
                account: pipeline.paper.account.clone(),
                spread: pipeline.paper.spread,
                contract_size: pipeline.paper.contract_size,
                interval: pipeline.interval,
            };
            Arc::new(PaperVenue::new(book.clone(), terms, faults.clone(), &who))
        }
    }
}
