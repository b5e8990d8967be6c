//! What the doctor asks of a trade gateway: first the one question that no known gateway or advisor trades on, and then only what the
//! dialect that has answered it tells without an effect.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::position_delta::listing;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, NoFaults, Positions};
use tokio::runtime::Runtime;

use super::super::probe_gateway;
use super::Finding;
use crate::arming::VenueSays;
use crate::config::{GatewayConfig, OrderJob, PipelineConfig, VenueConfig};
use crate::node;
use crate::venues::gateway::GatewayAddress;
use crate::venues::gateway::dialect::DIALECTS;
use crate::venues::gateway::identify::{Identity, question};

/// For each answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Where the orders of a pipeline go. Nothing is tried there.
pub(super) fn orders(pipeline: &PipelineConfig, job: &OrderJob, clock: &dyn Clock, runtime: &Runtime) -> Finding {
    match (&job.venue, pipeline.mode) {
        (VenueConfig::Gateway(gateway), Mode::Live) => ask(gateway, (pipeline, job), clock, runtime),
        (VenueConfig::Gateway(_), Mode::DryRun) => Finding::Good(
            "not tried: in dry run they stay in the paper book; --probe --live asks the gateway what it is".to_owned(),
        ),
        (VenueConfig::Paper, _) => Finding::Good("not tried: they stay in the paper book".to_owned()),
    }
}

fn ask(
    gateway: &GatewayConfig,
    (pipeline, job): (&PipelineConfig, &OrderJob),
    clock: &dyn Clock,
    runtime: &Runtime,
) -> Finding {
    let address = GatewayAddress { host: gateway.host.clone(), port: gateway.port };
    let name = gateway.dialect.name;
    let Some(question) = question(&pipeline.symbol) else {
        let text = format!("{address} is not asked: {} has a word that an advisor trades on", pipeline.symbol);
        return Finding::Good(text);
    };
    match probe_gateway::ask(&address, &question, runtime) {
        Err(why) => {
            Finding::Bad(format!("{address} was asked nothing ({why}): start the gateway, or correct its address"))
        }
        Ok(Identity::Unclear(why)) => Finding::Good(format!(
            "what listens at {address} cannot be told without risk ({why}), so it was asked nothing more; see for yourself that it speaks \
             {name}"
        )),
        Ok(Identity::Spoken(dialect)) if dialect.name == name && dialect.reports_positions => {
            account(&address, gateway, (pipeline, job), clock, runtime)
        }
        Ok(Identity::Spoken(dialect)) if dialect.name == name => {
            Finding::Good(format!("{address} speaks {name}, which tells nothing of the account"))
        }
        // It speaks all of them, and can say one.
        Ok(Identity::Spoken(dialect)) if gateway.replay && dialect == &DIALECTS[0] => Finding::Good(format!(
            "{address} says {}, as the paper gateway does that speaks {name} too; it was asked nothing more",
            dialect.name
        )),
        Ok(Identity::Spoken(dialect)) => another(&address, name, dialect.name),
        Ok(Identity::Foreign(dialect)) => another(&address, name, dialect),
    }
}

fn another(address: &GatewayAddress, configured: &str, spoken: &str) -> Finding {
    Finding::Bad(format!(
        "{address} speaks {spoken}, and dialect is \"{configured}\": correct it before anything is sent there; it was asked nothing more"
    ))
}

/// What it says of the account, what is open, and what would keep the pipeline from trading there.
fn account(
    address: &GatewayAddress,
    gateway: &GatewayConfig,
    (pipeline, job): (&PipelineConfig, &OrderJob),
    clock: &dyn Clock,
    runtime: &Runtime,
) -> Finding {
    let venue = node::open_gateway(gateway, Arc::new(NoFaults), &pipeline.name);
    let told = runtime.block_on(async {
        let introduction = venue.introduction(&pipeline.symbol, ANSWER_MAX).await?;
        let report = venue.account_report(clock.now(), ANSWER_MAX).await?;
        let says = match introduction {
            Some(text) => format!("{}; of itself: {text}", VenueSays::of(&report)),
            None => VenueSays::of(&report).to_string(),
        };
        let obstacles = venue.obstacles(&pipeline.symbol, job.policy.volume_lots, ANSWER_MAX).await?;
        if !obstacles.is_empty() {
            return Ok((says, Err(obstacles)));
        }
        Ok((says, Ok(venue.positions(&pipeline.symbol, clock.now(), ANSWER_MAX).await?)))
    });
    let name = gateway.dialect.name;
    match told {
        Ok((says, Err(obstacles))) => Finding::Bad(format!(
            "{address} speaks {name}, and {} could not be traded there: {}; it says of the account: {says}",
            pipeline.symbol,
            obstacles.join("; ")
        )),
        Ok((says, Ok(Positions::Reported(open)))) => Finding::Good(format!(
            "{address} speaks {name} and says of the account: {says}; open in {} is {}",
            pipeline.symbol,
            listing(&open)
        )),
        Ok((says, Ok(_))) => Finding::Good(format!("{address} says of the account: {says}")),
        Err::<_, sentinel_actors::ports::VenueError>(error) => Finding::Bad(format!(
            "{address} speaks {name}, and does not tell what is open ({}): look whether its terminal is connected",
            chain(&error)
        )),
    }
}
