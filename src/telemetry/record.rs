//! Keeps every warning and error, backtraces included, in the telemetry file, for questions after the console has scrolled
//! away.

use std::fmt::{self, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sentinel_actors::ports::Clock as _;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use super::cycle_span::OfCycle;
use super::file::LogFile;
use crate::journal::{StateDir, Telemetry, TelemetryEvent};
use crate::system::WallClock;

/// Sends log lines to the telemetry file and the log file. Nothing is written until a state
/// directory is attached, which is locked only after logging began.
#[derive(Clone, Default)]
pub struct Recorder {
    telemetry: Arc<OnceLock<Telemetry>>,
    file: Option<LogFile>,
}

impl Recorder {
    /// With a log file, whose lines do not come through here.
    #[must_use]
    pub fn new(file: Option<LogFile>) -> Self {
        Self { file, ..Self::default() }
    }

    /// From now on, into the files of this state directory. Only the first call counts.
    pub fn attach(&self, state: &StateDir) {
        let _ = self.telemetry.set(Telemetry::open(state));
        if let Some(file) = &self.file {
            file.start(state.path());
        }
    }

    /// Waits until the log file has all lines so far, but not longer than `within`: before the process ends.
    pub fn flush(&self, within: Duration) {
        if let Some(file) = &self.file {
            file.flush(within);
        }
    }
}

impl<S> Layer<S> for Recorder
where
    S: Subscriber + for<'l> LookupSpan<'l>,
{
    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let Some(telemetry) = self.telemetry.get().filter(|_| *event.metadata().level() <= Level::WARN) else { return };
        let of_cycle = OfCycle::within(ctx.event_scope(event)).unwrap_or_default();
        let mut fields = Fields { pipeline: of_cycle.pipeline, ..Fields::default() };
        event.record(&mut fields);
        let (kind, pipeline) = (fields.event, fields.pipeline);
        telemetry.note(TelemetryEvent { at: WallClock.now(), kind, pipeline, text: fields.text });
    }
}

#[derive(Default)]
struct Fields {
    event: String,
    pipeline: String,
    text: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "pipeline" => value.clone_into(&mut self.pipeline),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let separator = if self.text.is_empty() { "" } else { " " };
        let _ = match field.name() {
            "message" => write!(self.text, "{separator}{value:?}"),
            name => write!(self.text, "{separator}{name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn warnings_are_kept_with_their_fields_and_chatter_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let recorder = Recorder::default();
        recorder.attach(&state);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(recorder), || {
            tracing::info!(event = "slot_ended", "a slot ended");
            tracing::error!(event = "child_down", pipeline = "eurusd", child = "eurusd/predictor", "a part ended");
        });
        // The recorder, and with it the file's thread, ended with its subscriber.
        let kept = Telemetry::newest(dir.path(), 10).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].kind.as_str(), kept[0].pipeline.as_str()), ("child_down", "eurusd"));
        assert_eq!(kept[0].text, "a part ended child=eurusd/predictor");
    }
}
