//! What a log line within a cycle is about: the pipeline and the slot of the cycle's span. An adapter knows neither of them, and
//! its lines say both.

use std::fmt;

use sentinel_actors::events::CYCLE_SPAN;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, Scope};

/// Pipeline and slot of a cycle, as its span has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OfCycle {
    pub(super) pipeline: String,
    pub(super) slot: String,
}

impl OfCycle {
    /// Of the innermost span that is a cycle's.
    pub(super) fn within<'s, S>(scope: Option<Scope<'s, S>>) -> Option<Self>
    where
        S: for<'l> LookupSpan<'l>,
    {
        scope?.find_map(|span| span.extensions().get::<Self>().cloned())
    }

    /// What an event with these fields does not say itself.
    pub(super) fn missing_in(&self, event: &Metadata<'_>) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("pipeline", self.pipeline.as_str()), ("slot", self.slot.as_str())];
        all.into_iter().filter(|(name, _)| event.fields().field(name).is_none())
    }
}

impl Visit for OfCycle {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "pipeline" => value.clone_into(&mut self.pipeline),
            "slot" => value.clone_into(&mut self.slot),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Keeps what each span of a cycle is about.
pub(super) struct CycleSpans;

impl<S> Layer<S> for CycleSpans
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_new_span(&self, span: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if span.metadata().name() == CYCLE_SPAN
            && let Some(kept) = ctx.span(id)
        {
            let mut of_cycle = OfCycle::default();
            span.record(&mut of_cycle);
            kept.extensions_mut().insert(of_cycle);
        }
    }
}
