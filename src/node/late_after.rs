//! When a decision counts as late: as the deadlines of its pipeline say.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::settings::Deadlines;

use crate::config::Config;

/// How late a decision may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateAfter {
    pub node: Duration,
    /// Where it is another than the node's.
    pub of_pipelines: BTreeMap<String, Duration>,
}

impl LateAfter {
    /// As far as the deadlines reach.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let late = |deadlines: Deadlines| deadlines.lateness + deadlines.cycle;
        let node = late(config.deadlines);
        let own = config.pipelines.iter().map(|pipeline| (pipeline.name.clone(), late(pipeline.deadlines)));
        Self { node, of_pipelines: own.filter(|(_, own)| *own != node).collect() }
    }
}
