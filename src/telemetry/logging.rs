//! Log lines on standard error: as logfmt, coloured only on a terminal, or one JSON object per line; and the same lines and more
//! in a file.
//!
//! The configured level is for the node's own lines on standard error; the file gets them from `debug` up. Libraries log
//! from `warn` up in both: their `info` is of no use to the operator.

use std::io::{self, IsTerminal as _};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Format, Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::cycle_span::{CycleSpans, OfCycle};
use super::file::LogFile;
use super::logfmt::Logfmt;
use super::modes::Modes;
use super::record::Recorder;
use crate::config::{LogConfig, LogFormat, LogLevel};

/// Logging was set up before.
#[derive(Debug, thiserror::Error)]
#[error("logging cannot be set up")]
pub struct LoggingError(#[from] tracing_subscriber::util::TryInitError);

/// Where lines go besides the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Console {
    /// Standard error.
    Error,
    /// Nowhere: the file alone has them.
    Silent,
}

/// Sets up logging for the whole process: to the console, the log file and the recorder.
///
/// # Errors
/// When it was done before.
pub fn init(config: &LogConfig, modes: Modes, console: Console) -> Result<Recorder, LoggingError> {
    let file = config.file.clone().map(LogFile::new);
    let in_file =
        file.clone().map(|file| lines(config.format, config.level.max(LogLevel::Debug), modes.clone(), file, false));
    let recorder = Recorder::new(file);
    let to_stderr = || lines(config.format, config.level, modes.clone(), io::stderr, io::stderr().is_terminal());
    let console = (console == Console::Error).then(to_stderr);
    tracing_subscriber::registry().with(CycleSpans).with(console).with(in_file).with(recorder.clone()).try_init()?;
    Ok(recorder)
}

/// Lines of one form, from one level up, to one place.
fn lines<S, W>(
    format: LogFormat,
    level: LogLevel,
    modes: Modes,
    writer: W,
    ansi: bool,
) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    // Fields of spans are kept by `CycleSpans`, once for all places.
    let no_fields = debug_fn(|_, _, _| Ok(()));
    let base = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi).fmt_fields(no_fields);
    match format {
        LogFormat::Pretty => base.event_format(Logfmt { modes, ansi }).with_filter(filter(level)).boxed(),
        LogFormat::Json => {
            let lines = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
            let base = base.event_format(InCycle { lines, modes });
            base.with_filter(filter(level)).boxed()
        }
    }
}

/// Puts the mode into every object, so that it is clear whether real money was involved; and in a cycle, what it is about.
struct InCycle<L> {
    lines: L,
    modes: Modes,
}

impl<S, N, L> FormatEvent<S, N> for InCycle<L>
where
    S: tracing::Subscriber + for<'s> LookupSpan<'s>,
    N: for<'f> FormatFields<'f> + 'static,
    L: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> std::fmt::Result {
        let mut line = String::new();
        self.lines.format_event(ctx, Writer::new(&mut line), event)?;
        match line.strip_prefix('{') {
            Some(rest) => {
                let cycle = OfCycle::within(ctx.event_scope());
                write!(out, "{{\"mode\":\"{}\",", self.modes.of_event(event, cycle.as_ref()))?;
                for (name, value) in cycle.iter().flat_map(|cycle| cycle.missing_in(event.metadata())) {
                    write!(out, "\"{name}\":{},", serde_json::Value::from(value))?;
                }
                out.write_str(rest)
            }
            None => out.write_str(&line),
        }
    }
}

fn filter(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // A target begins with its crate's name.
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("sentinel", own)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use sentinel_actors::domain::intent::Mode;
    use sentinel_actors::events::CYCLE_SPAN;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(level: LogLevel, format: LogFormat) -> String {
        written(level, format, Modes::new(Mode::DryRun, []), || {
            tracing::info!(target: "sentinel::node", slot = 7, "the slot ended");
            tracing::debug!(target: "sentinel::node", "a detail");
            tracing::info!(target: "library", "chatter");
            tracing::warn!(target: "library", "trouble");
        })
    }

    fn written(level: LogLevel, format: LogFormat, modes: Modes, what: impl FnOnce()) -> String {
        let sink = Lines::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::registry().with(CycleSpans).with(lines(
            format,
            level,
            modes,
            move || writer.clone(),
            false,
        ));
        tracing::subscriber::with_default(subscriber, what);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_node_is_heard_at_its_level_and_libraries_from_warn_up() {
        let text = logged(LogLevel::Info, LogFormat::Pretty);
        assert!(text.contains("the slot ended") && text.contains("trouble"), "{text}");
        assert!(!text.contains("a detail") && !text.contains("chatter"), "{text}");
        assert!(!text.contains('\u{1b}'), "no colours outside a terminal: {text}");
        assert!(text.lines().all(|line| line.starts_with("mode=dry_run ts=")), "{text}");
        assert!(text.contains(" level=WARN target=library msg=trouble\n"), "{text}");
    }

    #[test]
    fn a_line_about_a_dry_run_pipeline_of_a_live_node_says_so() {
        for (format, live, dry) in [
            (LogFormat::Pretty, "mode=live ", "mode=dry_run "),
            (LogFormat::Json, "{\"mode\":\"live\",", "{\"mode\":\"dry_run\","),
        ] {
            let text = written(LogLevel::Info, format, Modes::new(Mode::Live, [("shadow", Mode::DryRun)]), || {
                tracing::info!(target: "sentinel::node", "of the node");
                tracing::info!(target: "sentinel::node", pipeline = "eurusd", "of a live one");
                let name = "shadow";
                tracing::info!(target: "sentinel::node", pipeline = %name, "of a dry one");
                tracing::info!(target: "sentinel::node", pipeline = name, "of a dry one");
            });
            let begins: Vec<bool> = text.lines().map(|line| line.starts_with(dry)).collect();
            assert_eq!(begins, [false, false, true, true], "{text}");
            assert!(text.lines().take(2).all(|line| line.starts_with(live)), "{text}");
        }
    }

    #[test]
    fn a_line_in_a_cycle_says_pipeline_and_slot_once_and_its_own_first() {
        let modes = || Modes::new(Mode::Live, [("shadow", Mode::DryRun)]);
        let within = || {
            let span = tracing::error_span!(CYCLE_SPAN, pipeline = "shadow", slot = %"12:00");
            span.in_scope(|| {
                tracing::warn!(target: "sentinel::models", hub = 1, "of an adapter");
                tracing::warn!(target: "sentinel::node", slot = %"11:00", "of an older slot");
                tracing::warn!(target: "sentinel::node", pipeline = "eurusd", slot = %"10:00", "of another");
                tracing::error_span!("request", pipeline = "no").in_scope(|| tracing::warn!(target: "library", "deep"));
            });
            tracing::warn!(target: "sentinel::node", "outside");
        };
        let expected = [
            ("dry_run", Some("shadow"), Some("12:00")),
            ("dry_run", Some("shadow"), Some("11:00")),
            ("live", Some("eurusd"), Some("10:00")),
            ("dry_run", Some("shadow"), Some("12:00")),
            ("live", None, None),
        ];
        // The least that is logged has the span too.
        let text = written(LogLevel::Warn, LogFormat::Pretty, modes(), within);
        for (line, (mode, pipeline, slot)) in text.lines().zip(expected) {
            let of = |key: &str| line.split(' ').filter_map(|pair| pair.strip_prefix(key)).collect::<Vec<_>>();
            assert_eq!(of("mode="), [mode], "{line}");
            assert_eq!((of("pipeline="), of("slot=")), (Vec::from_iter(pipeline), Vec::from_iter(slot)), "{line}");
        }
        let text = written(LogLevel::Warn, LogFormat::Json, modes(), within);
        for (line, (mode, pipeline, slot)) in text.lines().zip(expected) {
            let object: serde_json::Value = serde_json::from_str(line).unwrap();
            let has = (object["mode"].as_str(), object["pipeline"].as_str(), object["slot"].as_str());
            assert_eq!(has, (Some(mode), pipeline, slot), "{line}");
            assert!(line.matches("\"slot\"").count() <= 1 && line.matches("\"pipeline\"").count() <= 1, "{line}");
            assert!(object.get("spans").is_none(), "{line}");
        }
        assert_eq!(text.lines().count(), expected.len());
    }

    #[test]
    fn json_is_one_object_per_line_with_the_fields_beside_the_message() {
        let text = logged(LogLevel::Error, LogFormat::Json);
        assert_eq!(text, "");
        let text = logged(LogLevel::Debug, LogFormat::Json);
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!((&lines[0]["message"], &lines[0]["slot"]), (&"the slot ended".into(), &7.into()));
    }
}
