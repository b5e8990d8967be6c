//! Where the effects of a configuration's live pipelines go.

use sentinel_actors::domain::intent::Mode;
use serde::{Deserialize, Serialize};

use super::parts::{ACCOUNT, Parts};
use crate::config::{Config, ForecastJob, ForecastVenue, JobConfig, OrderJob, PipelineConfig, VenueConfig};
use crate::venues::allora::address::Address;

/// Where the effects of one live pipeline go. Two places with the same text are the same place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Its name.
    pub pipeline: String,
    /// `orders` or `forecasts`.
    pub job: String,
    /// Whatever tells it from every other place, for a person.
    pub goes_to: String,
    /// All that the configuration says of the pipeline.
    pub settings: Parts,
}

/// The places of every pipeline that is live, in the order of the configuration; none when all stay in dry run. `worker`: the address
/// of the wallet that signs for topics, when there is one.
#[must_use]
pub fn live_places(config: &Config, worker: Option<&Address>) -> Vec<Place> {
    let chain_id = config.allora.as_ref().map_or("", |allora| allora.chain_id.as_str());
    let live = config.pipelines.iter().filter(|pipeline| pipeline.mode == Mode::Live);
    live.map(|pipeline| {
        let mut settings = Parts::of_pipeline(&config.settings, &pipeline.name);
        if let (Some(_), Some(worker)) = (pipeline.topic(), worker) {
            settings.set(ACCOUNT, "wallet", &worker.to_string());
        }
        place(pipeline, settings, chain_id, worker)
    })
    .collect()
}

/// Whether a live pipeline has a topic, and so needs a wallet.
#[must_use]
pub fn needs_wallet(config: &Config) -> bool {
    config.pipelines.iter().any(|pipeline| pipeline.mode == Mode::Live && pipeline.topic().is_some())
}

fn place(pipeline: &PipelineConfig, settings: Parts, chain_id: &str, worker: Option<&Address>) -> Place {
    let (job, goes_to) = match &pipeline.job {
        JobConfig::Order(OrderJob { venue: VenueConfig::Gateway(gateway), .. }) => {
            let at = format!("gateway {}:{}", gateway.host, gateway.port);
            let (dialect, account, magic) = (gateway.dialect.name, &gateway.account, gateway.magic);
            ("orders", format!("{at}, dialect {dialect}, account {account}, magic {magic}"))
        }
        // The configuration refuses to be live with these.
        JobConfig::Order(OrderJob { venue: VenueConfig::Paper, .. }) => ("orders", "the local paper book".to_owned()),
        JobConfig::Forecast(ForecastJob { venue: ForecastVenue::Topic(topic), .. }) => {
            let wallet = worker.map_or_else(|| "no wallet".to_owned(), |worker| format!("wallet {worker}"));
            ("forecasts", format!("topic {} of {chain_id}, {wallet}", topic.id))
        }
        JobConfig::Forecast(ForecastJob { venue: ForecastVenue::Paper, .. }) => {
            ("forecasts", "the local paper book".to_owned())
        }
    };
    Place { pipeline: pipeline.name.clone(), job: job.to_owned(), goes_to, settings }
}
