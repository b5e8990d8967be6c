//! How times, durations and texts of others are written.

use std::time::Duration;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::time::UtcMs;

/// Of texts from outside, more is cut.
const TEXT_MAX: usize = 400;

/// A text of somebody else, as text and nothing more: characters that nobody sees, or that turn the order of those around them, are
/// written as what they are.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for (count, char) in text.chars().enumerate() {
        if count == TEXT_MAX {
            plain.push('…');
            break;
        }
        let turns = matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}');
        match char {
            '\n' | '\r' | '\t' => plain.push(' '),
            hidden if hidden.is_control() || turns => plain.extend(hidden.escape_unicode()),
            shown => plain.push(shown),
        }
    }
    plain
}

/// A slot's time, as short as it is clear at `now`.
#[must_use]
pub fn when(at: UtcMs, now: UtcMs) -> String {
    let distance = at.0.abs_diff(now.0);
    let date = match distance {
        0..518_400_000 => "%a",
        518_400_000..25_920_000_000 => "%-d %b",
        _ => "%Y-%m-%d",
    };
    let seconds = if at.0.rem_euclid(60_000) == 0 { "" } else { ":%S" };
    written(at, &format!("{date} %H:%M{seconds}"))
}

/// Day and time to the second.
#[must_use]
pub fn clock(at: UtcMs) -> String {
    written(at, "%a %-d %b, %H:%M:%S UTC")
}

/// A day without its time.
#[must_use]
pub fn day(at: UtcMs) -> String {
    written(at, "%a %-d")
}

/// A day of a year.
#[must_use]
pub fn date(at: UtcMs) -> String {
    written(at, "%-d %b")
}

/// A month of any year.
#[must_use]
pub fn month(at: UtcMs) -> String {
    written(at, "%b %Y")
}

/// Hours and minutes.
#[must_use]
pub fn hour(at: UtcMs) -> String {
    written(at, "%H:%M")
}

fn written(at: UtcMs, format: &str) -> String {
    at.timestamp().strftime(format).to_string()
}

/// A duration for a person: two units at most.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes:02} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

/// What is left until then, as the script writes it too.
#[must_use]
pub fn countdown(left: Duration) -> String {
    let seconds = left.as_secs();
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, minutes, seconds) => format!("{minutes:02}:{seconds:02}"),
        (hours, minutes, seconds) if hours < 48 => format!("{hours}:{minutes:02}:{seconds:02}"),
        (hours, ..) => format!("{} d {} h", hours / 24, hours % 24),
    }
}

/// A measured duration.
#[must_use]
pub fn took(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1_000, us / 100 % 10),
        10_000..10_000_000 => format!("{} ms", grouped(us / 1_000)),
        _ => format!("{} s", us / 1_000_000),
    }
}

/// How long all stages of a slot worked; `None`: none did.
#[must_use]
pub fn worked_us(record: &SlotRecord) -> Option<u64> {
    let worked: Vec<u64> = record.stage_us.iter().flatten().copied().collect();
    (!worked.is_empty()).then(|| worked.iter().sum())
}

/// What the model said: the winner and its confidence, or the value.
#[must_use]
pub fn answer(record: &SlotRecord) -> String {
    match (&record.signal, record.confidence, record.raw_output.as_deref()) {
        (Some(signal), Some(confidence), _) => format!("{} {confidence:.3}", plain(signal)),
        (Some(signal), None, _) => plain(signal),
        (None, _, Some([value])) => signed(*value),
        _ => String::new(),
    }
}

/// With its sign, a minus that is as wide as a plus.
#[must_use]
pub fn signed(value: f64) -> String {
    let sign = if value < 0.0 { '−' } else { '+' };
    format!("{sign}{:.4}", value.abs())
}

/// With a comma between thousands.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// MB or GB of 10^6 and 10^9 bytes.
#[must_use]
pub fn size(mb: u64) -> String {
    if mb < 10_000 { format!("{} MB", grouped(mb)) } else { format!("{} GB", grouped(mb / 1_000)) }
}

/// One or more of something.
#[must_use]
pub fn count(number: u64, one: &str) -> String {
    format!("{} {one}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// With a capital letter and a full stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut chars = text.trim_end_matches('.').chars();
    let first: String = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_nobody_sees_or_that_turn_the_order_are_written_out() {
        assert_eq!(plain("a\u{202e}b\u{0}c\nd\u{200b}"), "a\\u{202e}b\\u{0}c d\\u{200b}");
        assert_eq!(plain("<script>\"'&"), "<script>\"'&");
        assert_eq!(plain(&"x".repeat(500)).chars().count(), 401);
    }

    #[test]
    fn times_and_durations_are_as_short_as_they_are_clear() {
        let now: UtcMs = "2026-11-24T14:02:31Z".parse().unwrap();
        let told = |text: &str| when(text.parse().unwrap(), now);
        assert_eq!(told("2026-11-24T14:00:02Z"), "Tue 14:00:02");
        assert_eq!(told("2026-11-19T07:00:00Z"), "Thu 07:00");
        assert_eq!(told("2026-10-01T07:00:00Z"), "1 Oct 07:00");
        assert_eq!(told("2017-06-01T13:00:00Z"), "2017-06-01 13:00");
        let spans = [5, 65, 7_320, 554_400].map(|seconds| span(Duration::from_secs(seconds)));
        assert_eq!(spans, ["5 s", "1 min 5 s", "2 h 02 min", "6 d 10 h"]);
        assert_eq!(
            [59, 3_329, 4_000, 200_000].map(|s| countdown(Duration::from_secs(s))),
            ["00:59", "55:29", "1:06:40", "2 d 7 h"]
        );
        assert_eq!([120, 212_000, 5_109_000, 12_000_000].map(took), ["0.1 ms", "212 ms", "5,109 ms", "12 s"]);
        assert_eq!((signed(-0.0017), signed(0.001)), ("−0.0017".to_owned(), "+0.0010".to_owned()));
    }
}
