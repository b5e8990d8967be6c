//! Log lines as `key=value` pairs (logfmt): readable for people and for log collectors.
//!
//! Promise kept: one event is one line, whatever its texts hold. A value with a space, a quote, an equals sign or anything
//! unprintable is quoted and escaped, and no key comes twice. Every line begins with the mode, so that it is clear
//! whether real money was involved.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::cycle_span::OfCycle;
use super::modes::Modes;

pub(super) struct Logfmt {
    pub(super) modes: Modes,
    /// Colours the level, for a terminal.
    pub(super) ansi: bool,
}

impl<S, N> FormatEvent<S, N> for Logfmt
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'f> FormatFields<'f> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let cycle = OfCycle::within(ctx.event_scope());
        write!(out, "mode={} ts=", self.modes.of_event(event, cycle.as_ref()))?;
        SystemTime.format_time(&mut out)?;
        let level = *event.metadata().level();
        match self.ansi.then(|| colour(level)) {
            Some(colour) => write!(out, " level=\u{1b}[{colour}m{level}\u{1b}[0m")?,
            None => write!(out, " level={level}")?,
        }
        match fields.event.is_empty() {
            // A library's line.
            true => write!(out, " target={}", Value(event.metadata().target()))?,
            false => write!(out, " event={}", Value(&fields.event))?,
        }
        write!(out, " msg={}", Value(&fields.message))?;
        for (name, value) in cycle.iter().flat_map(|cycle| cycle.missing_in(event.metadata())) {
            write!(out, " {name}={}", Value(value))?;
        }
        writeln!(out, "{}", fields.rest)
    }
}

const fn colour(level: Level) -> u8 {
    match level {
        Level::ERROR => 31,
        Level::WARN => 33,
        Level::INFO => 32,
        _ => 2,
    }
}

/// The fields of an event: its name and its sentence come first, the others in their order.
#[derive(Default)]
struct Fields {
    event: String,
    message: String,
    rest: String,
    names: Vec<&'static str>,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "event" => value.clone_into(&mut self.event),
            "message" => value.clone_into(&mut self.message),
            // Already at the beginning of the line.
            "mode" | "ts" | "level" | "msg" | "target" => self.add(&format!("field_{}", field.name()), value),
            name => {
                if !self.names.contains(&name) {
                    self.names.push(name);
                    self.add(name, value);
                }
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        self.rest.push(' ');
        let key = |byte: char| if byte.is_ascii_alphanumeric() || "_.-".contains(byte) { byte } else { '_' };
        self.rest.extend(name.chars().map(key));
        let _ = write!(self.rest, "={}", Value(value));
    }
}

/// A value, quoted and escaped where it must be.
struct Value<'t>(&'t str);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"=\\".contains(&byte);
        if !self.0.is_empty() && self.0.bytes().all(is_plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
                other => f.write_char(other)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_quoted_only_when_it_must_be() {
        let cases = [
            ("order_acked", "order_acked"),
            ("2017-01-12T06:00:02Z", "2017-01-12T06:00:02Z"),
            ("state/logs", "state/logs"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a=b", "\"a=b\""),
            ("say \"no\"", r#""say \"no\"""#),
            ("C:\\bars", r#""C:\\bars""#),
            ("one\ntwo\u{7}", r#""one\ntwo\u0007""#),
            ("Grüße", "\"Grüße\""),
        ];
        for (value, expected) in cases {
            assert_eq!(Value(value).to_string(), expected);
        }
    }
}
