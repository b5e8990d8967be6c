//! Under which mode a log line stands: that of the pipeline that it is about, else the node's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use tracing::Event;
use tracing::field::{Field, Visit};

use super::cycle_span::OfCycle;
use crate::config::Config;

/// The modes of a node and its pipelines.
#[derive(Debug, Clone)]
pub struct Modes {
    node: Mode,
    /// Pipelines in another mode than the node's.
    others: Arc<BTreeMap<String, Mode>>,
}

impl Modes {
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let node = config.node.mode;
        let others = config.pipelines.iter().filter(|pipeline| pipeline.mode != node);
        Self { node, others: Arc::new(others.map(|pipeline| (pipeline.name.clone(), pipeline.mode)).collect()) }
    }

    /// The mode of a line about this event, which belongs to a cycle or to none.
    pub(super) fn of_event(&self, event: &Event<'_>, cycle: Option<&OfCycle>) -> Mode {
        if self.others.is_empty() {
            return self.node;
        }
        let mut named = Named(cycle.map(|cycle| cycle.pipeline.clone()).unwrap_or_default());
        event.record(&mut named);
        self.others.get(&named.0).copied().unwrap_or(self.node)
    }
}

/// The pipeline that an event names.
struct Named(String);

impl Visit for Named {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "pipeline" {
            value.clone_into(&mut self.0);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "pipeline" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
impl Modes {
    pub(super) fn new(node: Mode, others: impl IntoIterator<Item = (&'static str, Mode)>) -> Self {
        let others = others.into_iter().map(|(name, mode)| (name.to_owned(), mode));
        Self { node, others: Arc::new(others.collect()) }
    }
}
