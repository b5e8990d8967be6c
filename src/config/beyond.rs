//! What a live node says in plain text beyond this machine.

use sentinel_actors::domain::intent::Mode;

use super::endpoints::{ModelConfig, VenueConfig, is_here};
use super::{Config, JobConfig, OrderJob, PipelineConfig};

impl Config {
    /// A warning when orders or questions of a live pipeline leave this machine in plain text; `None` when none do.
    #[must_use]
    pub fn plain_beyond(&self) -> Option<String> {
        let mut places: Vec<String> = Vec::new();
        let live = self.pipelines.iter().filter(|pipeline| pipeline.mode == Mode::Live);
        for place in live.flat_map(plain_places) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        (!places.is_empty()).then(|| {
            format!(
                "in plain text beyond this machine: {}. Whoever is in between can read it, answer it, and trade; the node cannot see \
                 whether a tunnel protects it. Lead it through WireGuard or SSH, as docs/gateway.md#beyond-this-machine says",
                places.join(", ")
            )
        })
    }
}

fn plain_places(pipeline: &PipelineConfig) -> impl Iterator<Item = String> {
    let gateway = match &pipeline.job {
        JobConfig::Order(OrderJob { venue: VenueConfig::Gateway(gateway), .. }) if !is_here(&gateway.host) => {
            Some(format!("gateway {}:{}", gateway.host, gateway.port))
        }
        JobConfig::Order(_) | JobConfig::Forecast(_) => None,
    };
    let hub = match &pipeline.model {
        ModelConfig::Hub(hub) if !hub.tls && !is_here(&hub.host) => Some(format!("hub {}:{}", hub.host, hub.port)),
        ModelConfig::Hub(_) | ModelConfig::Onnx { .. } => None,
    };
    gateway.into_iter().chain(hub)
}

#[cfg(test)]
mod tests {
    /// The documents say why CURVE is not offered.
    #[test]
    fn the_zeromq_that_is_built_in_has_no_curve() {
        assert_eq!(zmq::has("curve"), Some(false));
    }
}
