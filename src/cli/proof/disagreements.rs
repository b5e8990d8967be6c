//! What a proof finds wrong: every case is counted, and the first ones of each kind are kept. A record that was damaged or belongs
//! to another journal can disagree in each of a year's orders.

use std::collections::BTreeMap;
use std::fmt;

/// How many of one kind are listed.
const LISTED: usize = 20;

/// In which way two records disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Both have it, with other values.
    Different,
    /// The venue has what the journal does not know.
    Lost,
    /// The venue has it twice.
    Doubled,
    /// The journal has what the venue does not know.
    Invented,
    /// Both sides count another position.
    Position,
    /// An intent's state does not follow from its events.
    State,
    /// A slot names an intent that is not there.
    Missing,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Different => "different",
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Invented => "invented",
            Self::Position => "position",
            Self::State => "state",
            Self::Missing => "missing",
        })
    }
}

/// Disagreements by kind.
#[derive(Debug, Default)]
pub struct Disagreements(BTreeMap<Kind, Found>);

#[derive(Debug, Default)]
struct Found {
    count: u64,
    first: Vec<String>,
}

impl Disagreements {
    /// Counts one, and keeps its text if it is one of the first of its kind.
    pub fn add(&mut self, kind: Kind, text: impl FnOnce() -> String) {
        let found = self.0.entry(kind).or_default();
        found.count += 1;
        if found.first.len() < LISTED {
            found.first.push(format!("{kind}: {}", text()));
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are of each kind.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(kind, found)| (kind.to_string(), found.count)).collect()
    }

    /// The first ones of each kind.
    pub fn first(&self) -> impl Iterator<Item = &str> {
        self.0.values().flat_map(|found| &found.first).map(String::as_str)
    }

    /// The same as lines for people, with how many more there are.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|(kind, found)| {
            let more = found.count - found.first.len() as u64;
            let last = (more > 0).then(|| format!("{kind}: and {more} more"));
            found.first.iter().cloned().chain(last)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_each_kind_are_listed_and_all_are_counted() {
        let mut found = Disagreements::default();
        assert!(found.is_empty());
        (1..=23).for_each(|number| found.add(Kind::Invented, || number.to_string()));
        (1..=20).for_each(|number| found.add(Kind::Lost, || number.to_string()));
        let lines: Vec<String> = found.lines().collect();
        let listed = |kind: &str| (1..=20).map(|number| format!("{kind}: {number}")).collect::<Vec<_>>();
        assert_eq!(lines, [listed("lost"), listed("invented"), vec!["invented: and 3 more".to_owned()]].concat());
        assert_eq!(found.first().count(), 40);
        assert_eq!(found.counts(), BTreeMap::from([("invented".to_owned(), 23), ("lost".to_owned(), 20)]));
    }
}
