//! What is wrong with a configuration, and how to fix it: where, which key, what, what is allowed there, and what was
//! probably meant. All problems are collected, so that one run reports them all.

use std::fmt;

use crate::exit::{self, ExitError};

/// Where a wrong value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    File,
    /// A line of the file, from 1.
    Line(usize),
    /// Outside the file: an environment variable or a flag, by name.
    Outside(String),
    /// A flag that does not go with what the file says.
    Usage(String),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub location: Location,
    /// The key's path, for example `pipeline.eurusd.model.path`; empty when it concerns the whole file.
    pub key: String,
    pub what: String,
    /// What is allowed there, when that can be said in general.
    pub allowed: Option<String>,
    pub suggestion: Option<String>,
}

/// Everything that is wrong with one configuration, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigErrors {
    file: String,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// Sorts `problems` by place.
    pub(super) fn new(file: String, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.location.cmp(&b.location));
        Self { file, problems }
    }

    /// The problems, in the order of the file; those of the environment and of flags come last.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl ExitError for ConfigErrors {
    fn exit_code(&self) -> u8 {
        let is_usage = self.problems.iter().all(|problem| matches!(problem.location, Location::Usage(_)));
        if is_usage { exit::USAGE } else { exit::CONFIG }
    }
}

impl fmt::Display for ConfigErrors {
    /// One line per problem: `file:line: key.path: what is wrong; allowed: …; did you mean '…'?`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match &problem.location {
                Location::File => write!(f, "{}: ", self.file)?,
                Location::Line(line) => write!(f, "{}:{line}: ", self.file)?,
                Location::Outside(name) | Location::Usage(name) => write!(f, "{name}: ")?,
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    /// Without its place, which only the whole knows the file of.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.what)?;
        if let Some(allowed) = &self.allowed {
            write!(f, "; allowed: {allowed}")?;
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean '{suggestion}'?")?;
        }
        Ok(())
    }
}

/// The candidate that `word` is probably a misspelling of.
pub(crate) fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.to_owned())
}
