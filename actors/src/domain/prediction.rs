//! What a model answered, and the checks that an answer must pass before it is decided on.
//!
//! A failed check skips the cycle; it never becomes a HOLD.

use serde::{Deserialize, Serialize};

use super::reason::Reason;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelIdentity {
    /// Human name, for example the file's name or the hub's address.
    pub id: String,
    /// SHA-256 of the model file or of its answers to the probe rows, hex.
    pub hash: String,
}

/// An answer as it came: rows of numbers, unchecked.
#[derive(Debug, Clone, PartialEq)]
pub struct RawAnswer {
    /// One inner vector per row of the answer.
    pub rows: Vec<Vec<f64>>,
}

/// What a model must answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedAnswer {
    /// Probabilities of this many classes.
    Classes(usize),
    /// One number.
    Value,
}

impl ExpectedAnswer {
    /// How many numbers its row has.
    #[must_use]
    pub const fn width(self) -> usize {
        match self {
            Self::Classes(classes) => classes,
            Self::Value => 1,
        }
    }
}

/// An answer that passed all checks.
#[derive(Debug, Clone, PartialEq)]
pub enum Prediction {
    Classes(Probabilities),
    /// Finite.
    Value(f64),
}

impl Prediction {
    /// Checks an answer.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(answer: &RawAnswer, expected: ExpectedAnswer) -> Result<Self, AnswerFault> {
        match expected {
            ExpectedAnswer::Classes(classes) => Probabilities::check(answer, classes).map(Self::Classes),
            ExpectedAnswer::Value => {
                let [row] = answer.rows.as_slice() else { return Err(AnswerFault::Rows(answer.rows.len())) };
                match row.as_slice() {
                    [value] if value.is_finite() => Ok(Self::Value(*value)),
                    [_] => Err(AnswerFault::NotFinite(0)),
                    values => Err(AnswerFault::Values(values.len())),
                }
            }
        }
    }
}

/// Class probabilities that passed all checks, in the model's class order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probabilities(Vec<f64>);

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnswerFault {
    /// Not exactly one row.
    #[error("the answer has {0} rows, not one")]
    Rows(usize),
    /// Another number of classes than configured.
    #[error("the answer has {have} classes, not {want}")]
    Classes { have: usize, want: usize },
    /// A regression model answers with one number.
    #[error("the answer has {0} numbers, not one")]
    Values(usize),
    /// NaN or infinity.
    #[error("value {0} is not a finite number")]
    NotFinite(usize),
    /// Outside `[0, 1]`.
    #[error("class {class} has probability {value}, outside [0, 1]")]
    Range {
        /// Index of the class.
        class: usize,
        value: f64,
    },
    /// Does not add up to one.
    #[error("the probabilities add up to {0}, not 1")]
    Sum(f64),
}

impl AnswerFault {
    /// The slot's reason for this fault.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Rows(_) => Reason::AnswerRows,
            Self::Classes { .. } => Reason::AnswerClasses,
            Self::Values(_) => Reason::AnswerValues,
            Self::NotFinite(_) => Reason::AnswerNotFinite,
            Self::Range { .. } => Reason::AnswerRange,
            Self::Sum(_) => Reason::AnswerSum,
        }
    }
}

/// Probabilities may miss a sum of one by this much: servers round.
pub const SUM_TOLERANCE: f64 = 1e-3;

impl Probabilities {
    /// Checks a classifier's answer.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn check(answer: &RawAnswer, classes: usize) -> Result<Self, AnswerFault> {
        let [row] = answer.rows.as_slice() else { return Err(AnswerFault::Rows(answer.rows.len())) };
        if row.len() != classes {
            return Err(AnswerFault::Classes { have: row.len(), want: classes });
        }
        for (class, value) in row.iter().copied().enumerate() {
            if !value.is_finite() {
                return Err(AnswerFault::NotFinite(class));
            }
            if !(0.0..=1.0).contains(&value) {
                return Err(AnswerFault::Range { class, value });
            }
        }
        let sum: f64 = row.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(AnswerFault::Sum(sum));
        }
        Ok(Self(row.clone()))
    }

    /// The probabilities, in the model's class order.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    /// Index and probability of the winning class; the first of equals.
    #[must_use]
    pub fn winner(&self) -> (usize, f64) {
        let mut best = (0, f64::NEG_INFINITY);
        for (class, value) in self.0.iter().copied().enumerate() {
            if value > best.1 {
                best = (class, value);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rows: Vec<Vec<f64>>) -> Result<Probabilities, AnswerFault> {
        Probabilities::check(&RawAnswer { rows }, 3)
    }

    #[test]
    fn each_fault_of_an_answer_has_its_own_reason() {
        for (rows, reason) in [
            (vec![], Reason::AnswerRows),
            (vec![vec![0.2, 0.3, 0.5]; 2], Reason::AnswerRows),
            (vec![vec![0.25; 4]], Reason::AnswerClasses),
            (vec![vec![f64::NAN, 0.5, 0.5]], Reason::AnswerNotFinite),
            (vec![vec![f64::INFINITY, 0.5, 0.5]], Reason::AnswerNotFinite),
            (vec![vec![-0.1, 0.6, 0.5]], Reason::AnswerRange),
            (vec![vec![0.9, 0.9, 0.95]], Reason::AnswerSum),
        ] {
            assert_eq!(check(rows).unwrap_err().reason(), reason);
        }
    }

    #[test]
    fn a_regression_answers_with_exactly_one_finite_number() {
        let check =
            |rows| Prediction::check(&RawAnswer { rows }, ExpectedAnswer::Value).map_err(|fault| fault.reason());
        assert_eq!(check(vec![vec![-0.25]]), Ok(Prediction::Value(-0.25)));
        for (rows, reason) in [
            (vec![], Reason::AnswerRows),
            (vec![vec![0.1]; 2], Reason::AnswerRows),
            (vec![vec![]], Reason::AnswerValues),
            (vec![vec![0.1, 0.2]], Reason::AnswerValues),
            (vec![vec![f64::NAN]], Reason::AnswerNotFinite),
        ] {
            assert_eq!(check(rows), Err(reason));
        }
    }

    #[test]
    fn a_rounded_answer_passes_and_its_winner_is_named() {
        assert_eq!(check(vec![vec![0.1, 0.2, 0.7004]]).unwrap().winner(), (2, 0.7004));
    }
}
