//! Takes in what the node prints: for the reader of a failure, and to see that no secret is among it.

use std::fmt::Write as _;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::driver::SECRET;
use crate::world::Shared;

pub struct Capture(pub Shared);

#[derive(Default)]
struct Line {
    text: String,
    event: String,
    pipeline: Option<String>,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.text, " {}={value:?}", field.name());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "pipeline" => self.pipeline = Some(value.to_owned()),
            _ => {}
        }
        self.record_debug(field, &value);
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
        inner.log.secret_seen |= line.text.contains(SECRET);
        match line.event.as_str() {
            "pipeline_unparked" => inner.count("unparked"),
            "pipeline_parked" => inner.count("parked"),
            "cycle_rerun" => inner.count("rerun"),
            "child_stuck" => inner.count("stuck"),
            "schedule_waits" => inner.count("schedule_waits"),
            "clock_set_back" => inner.count("clock_set_back"),
            "clock_jumped" => inner.count("clock_jumped"),
            _ => {}
        }
        if let Some(pipeline) = line.pipeline.filter(|_| matches!(&*line.event, "schedule_waits" | "pipeline_parked")) {
            inner.observe(&pipeline);
        }
        if !matches!(&*line.event, "slot_ended" | "heartbeat") {
            inner.note(format!("log{}", line.text));
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
