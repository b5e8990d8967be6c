//! Under which mode a log line stands: that of the pipeline that it is about, else the node's.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sentinel_actors::domain::intent::Mode;
use tracing::Event;
use tracing::field::{Field, Visit};

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

    /// The mode of a line about this event.
    pub(super) fn of_event(&self, event: &Event<'_>) -> Mode {
        let mut found = Found { modes: self, mode: None };
        if !self.others.is_empty() {
            event.record(&mut found);
        }
        found.mode.unwrap_or(self.node)
    }
}

/// Looks for the pipeline of an event.
struct Found<'m> {
    modes: &'m Modes,
    mode: Option<Mode>,
}

impl Visit for Found<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "pipeline" {
            self.mode = self.modes.others.get(value).copied();
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "pipeline" {
            self.record_str(field, &format!("{value:?}"));
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
