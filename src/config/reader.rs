//! A typed reader over a parsed TOML table. It records what is wrong and goes on, so that one run reports everything.
//!
//! Every value is parsed from its *text*, a number's too: `0.0050` never passes through a binary float on its way to an
//! exact decimal. Defaults are texts for the same parser; they are stated once, at the call that reads the key. Each
//! read also notes the key's effective value, which is what the node prints at its start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::env::{Env, Override};
use super::problem::{Location, Problem, closest};
use super::{Origin, Setting};

/// The state of one reading of a configuration.
pub(super) struct Reading {
    /// Byte offsets at which lines begin.
    line_starts: Vec<usize>,
    /// Where keys may be.
    pub(super) env: Env,
    overrides: BTreeMap<&'static str, Override>,
    /// Overrides that found their key.
    used: BTreeSet<&'static str>,
    /// Paths in the file are relative to this.
    pub(super) base: PathBuf,
    pub(super) problems: Vec<Problem>,
    pub(super) settings: Vec<Setting>,
    /// Paths of all keys that were asked for.
    known: Vec<String>,
}

impl Reading {
    pub(super) fn new(text: &str, base: PathBuf, env: Env, overrides: BTreeMap<&'static str, Override>) -> Self {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        Self {
            line_starts,
            env,
            overrides,
            used: BTreeSet::new(),
            base,
            problems: Vec::new(),
            settings: Vec::new(),
            known: Vec::new(),
        }
    }

    /// The line of a byte offset.
    pub(super) fn line(&self, offset: usize) -> Location {
        Location::Line(self.line_starts.partition_point(|start| *start <= offset))
    }

    /// Whether the environment or a flag replaces this key.
    pub(super) fn is_overridden(&self, key: &str) -> bool {
        self.overrides.contains_key(key)
    }

    /// What replaces the value at `path`; a path below a pipeline is looked up as that of every pipeline.
    fn outside(&mut self, path: &str) -> Option<Override> {
        let general = match path.split('.').collect::<Vec<_>>().as_slice() {
            ["pipeline", _, rest @ ..] => format!("pipeline.*.{}", rest.join(".")),
            // One without a usable name goes by its number.
            [first, rest @ ..] if first.starts_with("pipeline[") => format!("pipeline.*.{}", rest.join(".")),
            _ => path.to_owned(),
        };
        let (key, value) = self.overrides.get_key_value(general.as_str())?;
        self.used.insert(key);
        Some(value.clone())
    }

    /// Reports every override that matched no key.
    pub(super) fn report_unused(&mut self) {
        let unused: Vec<_> = self.overrides.iter().filter(|(key, _)| !self.used.contains(*key)).collect();
        let problems = unused.into_iter().map(|(key, value)| Problem {
            location: Location::Outside(value.origin.clone()),
            key: (*key).to_owned(),
            what: "no pipeline has this key, so it would change nothing".to_owned(),
            allowed: None,
            suggestion: None,
        });
        let problems: Vec<_> = problems.collect();
        self.problems.extend(problems);
    }

    pub(super) fn report(&mut self, location: Location, key: String, what: String) {
        self.problems.push(Problem { location, key, what, allowed: None, suggestion: None });
    }
}

/// What a missing key means.
#[derive(Debug, Clone, Copy)]
pub(super) enum WhenAbsent<'d> {
    Required,
    Optional,
    Default(&'d str),
}

/// How a value may be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Text,
    Integer,
    Float,
    Bool,
    Date,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::Float => "a decimal number",
            Self::Bool => "true or false",
            Self::Date => "a date",
        }
    }
}

/// How a key is read.
pub(super) struct Key<'k> {
    pub(super) name: &'static str,
    pub(super) kinds: &'static [Kind],
    pub(super) allowed: &'k str,
    pub(super) when_absent: WhenAbsent<'k>,
}

/// Why a text is no value of its key.
pub(super) struct InvalidValue {
    pub(super) what: String,
    pub(super) suggestion: Option<String>,
}

impl<T: Into<String>> From<T> for InvalidValue {
    fn from(what: T) -> Self {
        Self { what: what.into(), suggestion: None }
    }
}

/// One table of the file, or an absent one, whose keys all have their defaults.
pub(super) struct Section<'w, 't> {
    pub(super) reading: &'w mut Reading,
    path: String,
    location: Location,
    entries: Option<&'t DeTable<'t>>,
    known: Vec<&'static str>,
}

impl<'t> Section<'_, 't> {
    pub(super) fn new<'w>(
        reading: &'w mut Reading,
        path: &str,
        location: Location,
        entries: &'t DeTable<'t>,
    ) -> Section<'w, 't> {
        Section { reading, path: path.to_owned(), location, entries: Some(entries), known: Vec::new() }
    }

    pub(super) fn location(&self) -> Location {
        self.location.clone()
    }

    /// The place of a key, or of the table when the key is absent.
    pub(super) fn location_of(&self, key: &str) -> Location {
        self.entries
            .and_then(|entries| entries.get_key_value(key))
            .map_or_else(|| self.location(), |(name, _)| self.reading.line(name.span().start))
    }

    /// Whether the file has the key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Whether the file, the environment or a flag has the key.
    pub(super) fn is_given(&self, key: &str) -> bool {
        self.has(key) || self.reading.is_overridden(&self.path_of(key))
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Reports a problem with `key` that only shows together with other keys.
    pub(super) fn report(&mut self, key: &str, what: impl Into<String>) {
        let (location, path) = (self.location_of(key), self.path_of(key));
        self.reading.report(location, path, what.into());
    }

    /// The table `key` in this one.
    pub(super) fn child(&mut self, key: &'static str) -> Section<'_, 't> {
        let value = self.take(key);
        let path = self.path_of(key);
        let (location, entries) = match value.map(|value| (value, value.get_ref())) {
            None => (self.location(), None),
            Some((value, DeValue::Table(table))) => (self.reading.line(value.span().start), Some(table)),
            Some((value, other)) => {
                let location = self.reading.line(value.span().start);
                let what = format!("is {}, not a table", describe(other));
                self.reading.report(location.clone(), path.clone(), what);
                (location, None)
            }
        };
        Section { reading: &mut *self.reading, path, location, entries, known: Vec::new() }
    }

    /// The value of `key` as it stands in the file, and a note that the key is known.
    pub(super) fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.known.push(key);
        self.reading.known.push(self.path_of(key));
        self.entries.and_then(|entries| entries.get(key))
    }

    /// A key that is understood and never offered: why, when it stands there.
    pub(super) fn never(&mut self, key: &'static str, why: &str) {
        if self.entries.is_some_and(|entries| entries.contains_key(key)) {
            self.known.push(key);
            self.report(key, why);
        }
    }

    /// Reads one value; `None` when it is absent without a default, or wrong and noted.
    pub(super) fn read<T>(&mut self, key: &Key<'_>, parse: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let value = self.take(key.name);
        let path = self.path_of(key.name);
        let (location, origin, text) = if let Some(outside) = self.reading.outside(&path) {
            (Location::Outside(outside.origin.clone()), Origin::Outside(outside.origin), outside.value)
        } else if let Some(value) = value {
            let location = self.reading.line(value.span().start);
            match scalar(value.get_ref()).filter(|(kind, _)| key.kinds.contains(kind)) {
                Some((_, text)) => (location, Origin::File, text),
                None => {
                    let wanted: Vec<&str> = key.kinds.iter().map(|kind| kind.name()).collect();
                    let what = format!("is {}, not {}", describe(value.get_ref()), wanted.join(" or "));
                    self.refuse(location, path, what.into(), key.allowed);
                    return None;
                }
            }
        } else {
            match key.when_absent {
                WhenAbsent::Optional => return None,
                WhenAbsent::Default(text) => (self.location(), Origin::Default, text.to_owned()),
                WhenAbsent::Required => {
                    self.refuse(self.location(), path, "is missing and has no default".into(), key.allowed);
                    return None;
                }
            }
        };
        match parse(&text) {
            Ok(parsed) => {
                self.reading.settings.push(Setting { key: path, value: text, origin });
                Some(parsed)
            }
            Err(wrong) => {
                self.refuse(location, path, wrong, key.allowed);
                None
            }
        }
    }

    pub(super) fn refuse(&mut self, location: Location, key: String, wrong: InvalidValue, allowed: &str) {
        let allowed = (!allowed.is_empty()).then(|| allowed.to_owned());
        self.reading.problems.push(Problem { location, key, what: wrong.what, allowed, suggestion: wrong.suggestion });
    }

    /// A key of a table in this one that `word` may be meant for.
    fn deeper(&self, word: &str) -> Option<String> {
        let inside = self.reading.known.iter().filter_map(|path| path.strip_prefix(&self.path)?.strip_prefix('.'));
        let tables: Vec<&str> = inside.filter(|path| path.contains('.')).collect();
        let last = |path: &&str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
        let key = closest(word, tables.iter().map(last).collect::<Vec<_>>().iter().map(String::as_str))?;
        tables.into_iter().find(|path| last(path) == key).map(str::to_owned)
    }

    /// Reports every key that was not read.
    pub(super) fn finish(self) {
        let Some(entries) = self.entries else { return };
        for (name, _) in entries.iter().filter(|(name, _)| !self.known.contains(&name.get_ref().as_ref())) {
            let problem = Problem {
                location: self.reading.line(name.span().start),
                key: self.path_of(name.get_ref()),
                what: "unknown key".to_owned(),
                allowed: Some(self.known.join(", ")),
                suggestion: closest(name.get_ref(), self.known.iter().copied()).or_else(|| self.deeper(name.get_ref())),
            };
            self.reading.problems.push(problem);
        }
    }
}

/// A scalar's kind and text; a number's text is the one in the file, without underscores.
fn scalar(value: &DeValue<'_>) -> Option<(Kind, String)> {
    match value {
        DeValue::String(text) => Some((Kind::Text, text.clone().into_owned())),
        DeValue::Integer(number) if number.radix() == 10 => Some((Kind::Integer, number.as_str().to_owned())),
        DeValue::Float(number) => Some((Kind::Float, number.as_str().to_owned())),
        DeValue::Boolean(value) => Some((Kind::Bool, value.to_string())),
        DeValue::Datetime(date) => Some((Kind::Date, date.to_string())),
        _ => None,
    }
}

/// What a value is, with its text when that is short.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match (value, scalar(value)) {
        (_, Some((Kind::Text, text))) => format!("the string '{text}'"),
        (_, Some((Kind::Bool, text))) => text,
        (_, Some((Kind::Date, text))) => format!("the date {text}"),
        (_, Some((_, text))) => format!("the number {text}"),
        (DeValue::Integer(_), None) => "a number that is not decimal".to_owned(),
        (DeValue::Array(_), None) => "an array".to_owned(),
        _ => "a table".to_owned(),
    }
}
