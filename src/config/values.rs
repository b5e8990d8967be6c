//! The kinds of values that a configuration has, on top of the reader: durations, counts, numbers, exact decimals,
//! choices, names and paths.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::time::{InvalidTime, UtcMs};
use toml::de::DeValue;

use super::problem::closest;
use super::reader::{InvalidValue, Key, Kind, Section, WhenAbsent, describe};
use super::{Origin, Setting};

const TEXT: &[Kind] = &[Kind::Text];
const INTEGER: &[Kind] = &[Kind::Integer];
const NUMBER: &[Kind] = &[Kind::Integer, Kind::Float];
const NUMBER_OR_TEXT: &[Kind] = &[Kind::Text, Kind::Integer, Kind::Float];

const SECOND: Duration = Duration::from_secs(1);
/// For what happens within a cycle: from a millisecond to an hour.
pub(super) const SHORT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
/// For what goes on over days: from a second to a year.
pub(super) const LONG: RangeInclusive<Duration> = SECOND..=Duration::from_secs(365 * 86_400);

impl Section<'_, '_> {
    /// A duration like `10s` or `1h 30m`.
    pub(super) fn duration(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let (low, high) = (humantime::format_duration(*range.start()), humantime::format_duration(*range.end()));
        let allowed = format!("a duration like 500ms, 10s or 1h, from {low} to {high}");
        self.read(&Key { name, kinds: TEXT, allowed: &allowed, when_absent }, |text| {
            let value = humantime::parse_duration(text).map_err(|_| format!("'{text}' is not a duration"))?;
            within(value, &range, text)
        })
    }

    /// A duration, or "none".
    pub(super) fn duration_or_none(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<Duration>,
    ) -> Option<Option<Duration>> {
        let (low, high) = (range.start().as_secs() / 86_400, range.end().as_secs() / 86_400);
        let allowed = format!("a duration like 90d or 2y, from {low} to {high} days, or \"none\"");
        self.read(&Key { name, kinds: TEXT, allowed: &allowed, when_absent }, |text| match text {
            "none" => Ok(None),
            text => {
                let value = humantime::parse_duration(text).map_err(|_| format!("'{text}' is not a duration"))?;
                within(value, &range, text).map(Some)
            }
        })
    }

    pub(super) fn count(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let allowed = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(&Key { name, kinds: INTEGER, allowed: &allowed, when_absent }, |text| {
            let value: i128 = text.parse().map_err(|_| format!("'{text}' is not a whole number"))?;
            match u32::try_from(value) {
                Ok(value) => within(value, &range, text),
                Err(_) => Err(format!("{text} is out of range").into()),
            }
        })
    }

    /// A whole number, or "none" for no limit.
    pub(super) fn count_or_none(
        &mut self,
        name: &'static str,
        default: &str,
        range: RangeInclusive<u32>,
    ) -> Option<Option<u32>> {
        let allowed = format!("a whole number from {} to {}, or \"none\"", range.start(), range.end());
        let key = Key { name, kinds: NUMBER_OR_TEXT, allowed: &allowed, when_absent: WhenAbsent::Default(default) };
        self.read(&key, |text| match text.parse::<u32>() {
            _ if text == "none" => Ok(None),
            Ok(value) => within(value, &range, text).map(Some),
            Err(_) => Err(format!("'{text}' is neither a whole number nor \"none\"").into()),
        })
    }

    /// A number that is measured, not counted in money.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<f64>,
    ) -> Option<f64> {
        let allowed = format!("a number from {} to {}", range.start(), range.end());
        self.read(&Key { name, kinds: NUMBER, allowed: &allowed, when_absent }, |text| {
            let value: f64 = text.parse().map_err(|_| format!("'{text}' is not a number"))?;
            within(value, &range, text)
        })
    }

    /// An exact decimal, written as a number or as a string.
    pub(super) fn decimal(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<Decimal>,
    ) -> Option<Decimal> {
        let allowed = decimal_range(&range);
        self.read(&Key { name, kinds: NUMBER_OR_TEXT, allowed: &allowed, when_absent }, |text| exact(text, &range))
    }

    /// An exact decimal or the word `none`.
    pub(super) fn decimal_or_none(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        range: RangeInclusive<Decimal>,
    ) -> Option<Option<Decimal>> {
        let allowed = format!("{}, or \"none\"", decimal_range(&range));
        let key = Key { name, kinds: NUMBER_OR_TEXT, allowed: &allowed, when_absent };
        self.read(&key, |text| if text == "none" { Ok(None) } else { exact(text, &range).map(Some) })
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let allowed = words_of(choices);
        self.read(&Key { name, kinds: TEXT, allowed: &allowed, when_absent }, |text| chosen(text, choices))
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &'static str, when_absent: WhenAbsent<'_>) -> Option<bool> {
        self.read(&Key { name, kinds: &[Kind::Bool], allowed: "true or false", when_absent }, |text| Ok(text == "true"))
    }

    /// A text of a domain type, whose own error says what is wrong.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        allowed: &str,
    ) -> Option<T> {
        self.parsed_by(name, when_absent, allowed, |text| text.parse().map_err(|error: T::Err| error.to_string()))
    }

    /// A text that `parse` understands.
    pub(super) fn parsed_by<T>(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        allowed: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.read(&Key { name, kinds: TEXT, allowed, when_absent }, |text| parse(text).map_err(InvalidValue::from))
    }

    /// An instant, written as a string or as a date of TOML, with its offset from UTC.
    pub(super) fn instant(&mut self, name: &'static str) -> Option<UtcMs> {
        let key = Key { name, kinds: &[Kind::Text, Kind::Date], allowed: "", when_absent: WhenAbsent::Optional };
        self.read(&key, |text| text.parse().map_err(|error: InvalidTime| error.to_string().into()))
    }

    pub(super) fn name(&mut self, name: &'static str, when_absent: WhenAbsent<'_>) -> Option<String> {
        self.parsed_by(name, when_absent, "1 to 32 of a-z, 0-9, _ and -", |text| {
            if is_name(text) { Ok(text.to_owned()) } else { Err(format!("'{text}' is not a name")) }
        })
    }

    /// A file that must exist, relative to the configuration.
    pub(super) fn file(&mut self, name: &'static str) -> Option<PathBuf> {
        let base = self.reading.base.clone();
        self.parsed_by(name, WhenAbsent::Required, "the path of a file, relative to this configuration", |text| {
            let path = beside(&base, Path::new(text));
            if path.is_file() { Ok(path) } else { Err(format!("there is no file '{}'", path.display())) }
        })
    }

    /// A file that must exist when it is named, relative to the configuration.
    pub(super) fn optional_file(&mut self, name: &'static str) -> Option<PathBuf> {
        let base = self.reading.base.clone();
        self.parsed_by(name, WhenAbsent::Optional, "the path of a file, relative to this configuration", |text| {
            let path = beside(&base, Path::new(text));
            if path.is_file() { Ok(path) } else { Err(format!("there is no file '{}'", path.display())) }
        })
    }

    /// `"max"` or a positive number.
    pub(super) fn max_or_number(
        &mut self,
        name: &'static str,
        when_absent: WhenAbsent<'_>,
        high: f64,
    ) -> Option<Option<f64>> {
        let allowed = format!("\"max\" or a number above 0, up to {high}");
        self.read(&Key { name, kinds: NUMBER_OR_TEXT, allowed: &allowed, when_absent }, |text| {
            if text == "max" {
                return Ok(None);
            }
            let value: f64 = text.parse().map_err(|_| format!("'{text}' is neither"))?;
            if value > 0.0 && value <= high { Ok(Some(value)) } else { Err(format!("{text} is out of range").into()) }
        })
    }

    /// A list of words, each at most once.
    pub(super) fn words<T: Copy>(
        &mut self,
        name: &'static str,
        default: &str,
        choices: &[(&'static str, T)],
    ) -> Option<Vec<T>> {
        let allowed = format!("a list, each word at most once, of {}", words_of(choices));
        self.list(name, default, &allowed, |word| chosen(word, choices))
    }

    /// A list of texts that `parse` understands, each at most once.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        default: &str,
        allowed: &str,
        parse: impl Fn(&str) -> Result<T, InvalidValue>,
    ) -> Option<Vec<T>> {
        let path = self.path_of(name);
        let Some(value) = self.take(name) else {
            self.reading.settings.push(Setting { key: path, value: default.to_owned(), origin: Origin::Default });
            return default.split(", ").map(|word| parse(word).ok()).collect();
        };
        let location = self.reading.line(value.span().start);
        let DeValue::Array(array) = value.get_ref() else {
            let what = format!("is {}, not a list", describe(value.get_ref()));
            self.refuse(location, path, what.into(), allowed);
            return None;
        };
        let mut seen: Vec<&str> = Vec::new();
        let mut values = Some(Vec::new());
        for item in array.iter() {
            let result = match item.get_ref() {
                DeValue::String(word) if seen.contains(&word.as_ref()) => {
                    Err(format!("'{word}' is there twice").into())
                }
                DeValue::String(word) => {
                    seen.push(word);
                    parse(word)
                }
                other => Err(format!("{} is not a word", describe(other)).into()),
            };
            match result {
                Ok(value) => {
                    if let Some(values) = &mut values {
                        values.push(value);
                    }
                }
                Err(wrong) => {
                    let location = self.reading.line(item.span().start);
                    self.refuse(location, path.clone(), wrong, allowed);
                    values = None;
                }
            }
        }
        if seen.is_empty() && values.is_some() {
            self.refuse(location, path, "is empty".into(), allowed);
            return None;
        }
        self.reading.settings.push(Setting { key: path, value: seen.join(", "), origin: Origin::File });
        values
    }
}

/// Whether a text is a name: safe in keys, file names and metrics.
pub(super) fn is_name(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    (1..=32).contains(&text.len()) && text.chars().all(safe)
}

fn within<T: PartialOrd>(value: T, range: &RangeInclusive<T>, text: &str) -> Result<T, InvalidValue> {
    if range.contains(&value) { Ok(value) } else { Err(format!("{text} is out of range").into()) }
}

/// `path` as seen from `base`, without steps back through a directory that it has just gone into. A symbolic link is never
/// taken for the directory that it lies in.
pub(super) fn beside(base: &Path, path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in base.join(path).components() {
        let is_inside = matches!(tidy.components().next_back(), Some(Component::Normal(_)));
        match part {
            Component::CurDir => {}
            Component::ParentDir if is_inside && tidy.symlink_metadata().is_ok_and(|found| found.is_dir()) => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
    }
    if tidy.as_os_str().is_empty() { PathBuf::from(".") } else { tidy }
}

fn exact(text: &str, range: &RangeInclusive<Decimal>) -> Result<Decimal, InvalidValue> {
    // A text with more digits than a decimal holds is refused, not rounded.
    let value = Decimal::from_str_exact(text).map_err(|_| format!("'{text}' is not an exact decimal"))?;
    within(value, range, text)
}

fn decimal_range(range: &RangeInclusive<Decimal>) -> String {
    format!("a decimal like 0.0050, from {} to {}", range.start(), range.end())
}

fn words_of<T>(choices: &[(&'static str, T)]) -> String {
    choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ")
}

fn chosen<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, InvalidValue> {
    choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value).ok_or_else(|| InvalidValue {
        what: format!("'{text}' is not known"),
        suggestion: closest(text, choices.iter().map(|(word, _)| *word)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_without_dot_dot_and_leads_to_the_same_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("conf/deep")).unwrap();
        std::os::unix::fs::symlink(dir.path().join("conf/deep"), dir.path().join("link")).unwrap();
        let path = |base: &str, path: &str| {
            let found = beside(&dir.path().join(base), Path::new(path));
            found.strip_prefix(dir.path()).unwrap().display().to_string()
        };
        assert_eq!(path("conf", "../state"), "state");
        assert_eq!(path("conf/deep", "./../../bars.csv"), "bars.csv");
        assert_eq!(path("link", "../state"), "link/../state", "that is conf/state");
        assert_eq!(path("conf", "not-there/../state"), "conf/not-there/../state");
        assert_eq!(beside(Path::new(""), Path::new("../state")), Path::new("../state"));
        assert_eq!(beside(Path::new(""), Path::new("state")), Path::new("state"));
        assert_eq!(beside(Path::new("/etc"), Path::new("/srv/state")), Path::new("/srv/state"));
    }
}
