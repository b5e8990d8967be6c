//! What a ledger says later about a forecast that it has taken up: whether it counted, and what it was worth.
//!
//! An inclusion is not yet an effect that counts: a ledger may leave a forecast out of its active set, replace it by a better
//! one before the window closes, and score it a week later. Each of these is an event of the same intent, which stays confirmed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing that the ledger says. Each names its evidence, or is its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// It is among the forecasts of its window, which is still open.
    Admitted,
    /// It was included, and never was among the forecasts of its window.
    NotAdmitted { evidence: String },
    /// It was admitted, and another one took its place before the window closed.
    Evicted { evidence: String },
    /// It is not among those that were kept when the window closed. Whether it ever was is not known.
    NotStored { evidence: String },
    /// The ledger has kept it: it counts.
    Stored {
        /// As the ledger writes it.
        value: String,
        evidence: String,
        /// How often the ledger has kept a forecast of this account by then, by its own count.
        inclusions: Option<u64>,
    },
    /// What it was worth.
    Scored {
        /// As the ledger writes it.
        score: String,
    },
    /// What it was worth cannot be known any more.
    NoScore { evidence: String },
}

impl Fact {
    /// Every code, in the order of a forecast's life.
    pub const CODES: [&'static str; 7] =
        ["admitted", "not_admitted", "evicted", "not_stored", "stored", "scored", "no_score"];

    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Admitted => "admitted",
            Self::NotAdmitted { .. } => "not_admitted",
            Self::Evicted { .. } => "evicted",
            Self::NotStored { .. } => "not_stored",
            Self::Stored { .. } => "stored",
            Self::Scored { .. } => "scored",
            Self::NoScore { .. } => "no_score",
        }
    }
}

/// For a person.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Admitted => f.write_str("it is among the forecasts of its window"),
            Self::NotAdmitted { evidence } => write!(f, "it was not admitted: {evidence}"),
            Self::Evicted { evidence } => write!(f, "another forecast took its place: {evidence}"),
            Self::NotStored { evidence } => write!(f, "it was not kept: {evidence}"),
            Self::Stored { value, evidence, .. } => write!(f, "it is stored as {value}: {evidence}"),
            Self::Scored { score } => write!(f, "it has the score {score}"),
            Self::NoScore { evidence } => write!(f, "its score cannot be known any more: {evidence}"),
        }
    }
}

/// What the ledger has still to say about a confirmed forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaits {
    /// Whether it is among the forecasts of its window.
    Admission,
    /// Whether it is kept when the window closes.
    Storage,
    /// What it was worth.
    Score,
}

impl Awaits {
    pub const ALL: [Self; 3] = [Self::Admission, Self::Storage, Self::Score];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Admission => "admission",
            Self::Storage => "storage",
            Self::Score => "score",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|awaits| awaits.code() == code)
    }

    /// What is awaited once a forecast is confirmed. Only a ledger outside the node says more: the paper book compares by itself.
    #[must_use]
    pub const fn of_confirmed(is_live: bool, is_forecast: bool) -> Option<Self> {
        if is_live && is_forecast { Some(Self::Admission) } else { None }
    }

    /// What is awaited after `fact`; `Err` when the fact answers nothing that was awaited.
    ///
    /// # Errors
    /// When it cannot be said now: it was said before, or something before it was not.
    pub const fn after(self, fact: &Fact) -> Result<Option<Self>, OutOfTurn> {
        match (self, fact) {
            (Self::Admission, Fact::Admitted) => Ok(Some(Self::Storage)),
            (Self::Admission | Self::Storage, Fact::Stored { .. }) => Ok(Some(Self::Score)),
            (Self::Admission, Fact::NotAdmitted { .. })
            | (Self::Admission | Self::Storage, Fact::Evicted { .. } | Fact::NotStored { .. })
            | (Self::Score, Fact::Scored { .. } | Fact::NoScore { .. }) => Ok(None),
            _ => Err(OutOfTurn),
        }
    }
}

/// A fact that answers nothing that was awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfTurn;

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence() -> String {
        "seen".to_owned()
    }

    fn all() -> Vec<Fact> {
        vec![
            Fact::Admitted,
            Fact::NotAdmitted { evidence: evidence() },
            Fact::Evicted { evidence: evidence() },
            Fact::NotStored { evidence: evidence() },
            Fact::Stored { value: "0.01".to_owned(), evidence: evidence(), inclusions: Some(3) },
            Fact::Scored { score: "0.5".to_owned() },
            Fact::NoScore { evidence: evidence() },
        ]
    }

    #[test]
    fn each_state_of_a_forecast_takes_only_the_facts_that_may_follow() {
        let taken = |awaits: Awaits| -> Vec<(&'static str, Option<Awaits>)> {
            let after = |fact: &Fact| awaits.after(fact).ok().map(|next| (fact.code(), next));
            all().iter().filter_map(after).collect()
        };
        let kept = ("stored", Some(Awaits::Score));
        let ended = [("evicted", None), ("not_stored", None)];
        let admission = [("admitted", Some(Awaits::Storage)), ("not_admitted", None), ended[0], ended[1], kept];
        assert_eq!(taken(Awaits::Admission), admission);
        assert_eq!(taken(Awaits::Storage), [ended[0], ended[1], kept]);
        assert_eq!(taken(Awaits::Score), [("scored", None), ("no_score", None)]);
    }

    #[test]
    fn every_fact_has_a_code_of_its_own() {
        let codes: Vec<&str> = all().iter().map(Fact::code).collect();
        assert_eq!(codes, Fact::CODES);
        for awaits in Awaits::ALL {
            assert_eq!(Awaits::from_code(awaits.code()), Some(awaits));
        }
    }
}
