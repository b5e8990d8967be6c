//! Takes in what the node prints: for the reader of a failure, and to see that no secret is among it (I12).

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::driver::SECRET;
use crate::world::Shared;

pub struct Capture(pub Shared);

#[derive(Default)]
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Capture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Resolving the symbols of a backtrace takes longer than the cycle that it came from.
        let is_backtrace = metadata.fields().field("backtrace").is_some();
        metadata.target().starts_with("sentinel") && *metadata.level() <= Level::INFO && !is_backtrace
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let mut inner = self.0.lock();
        inner.log.secret_seen |= line.0.contains(SECRET);
        if line.0.contains("pipeline_unparked") {
            inner.count("unparked");
        }
        if line.0.contains("pipeline_parked") {
            inner.count("parked");
        }
        if line.0.contains("cycle_rerun") {
            inner.count("rerun");
        }
        if line.0.contains("child_stuck") {
            inner.count("stuck");
        }
        if !line.0.contains("slot_ended") && !line.0.contains("heartbeat") {
            inner.note(format!("log{}", line.0));
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
