//! Who answers. A hub does not say which model it serves, so a model is known by its answers to a few probe rows. They come
//! with every answer that is decided on, so that nothing is decided by a model that took its place a moment ago.
//!
//! The first plausible answers of this process are the recorded ones. Other answers later mean another model: it may be a
//! good one, but that cannot be known here, so nothing acts on it until the recorded one is back or the node is restarted.

use data_encoding::HEXLOWER;
use sentinel_actors::domain::prediction::RawAnswer;
use sha2::{Digest as _, Sha256};

/// Two answers differ when a number differs by more.
pub(super) const TOLERANCE: f64 = 1e-9;

/// Why probe answers are not those of a model that can be used, or not of the model that was there before.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum IdentityFault {
    #[error("it answers probe row {probe} with {have} rows, not one: serve a model that gives one row per row")]
    Rows { probe: usize, have: usize },
    #[error("it answers probe row {probe} with {have} classes, {want} are configured: correct `classes`, or the model")]
    Classes { probe: usize, have: usize, want: usize },
    #[error("it answers probe row {probe} with {value} for class {class}, which is not a finite number")]
    NotFinite { probe: usize, class: usize, value: f64 },
    #[error("it is constant: it gives the same answer to every probe row; serve a model that has learned something")]
    Constant,
    #[error(
        "the hub answers the probe rows differently than at the start of the node; restart the node when that is intended"
    )]
    Changed,
}

/// What the probes brought to light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeResult {
    /// The first ones: recorded.
    Recorded,
    /// The same model as before.
    Same,
    /// The recorded model after another one.
    Back,
}

/// What is known of the model behind a hub.
#[derive(Debug, Default)]
pub(super) struct Identity {
    recorded: Option<Vec<Vec<f64>>>,
    /// Of the recorded answers.
    hash: Option<String>,
    /// The newest probe answers were the recorded ones.
    confirmed: bool,
    /// Another model was seen and the recorded one not since.
    differs: bool,
}

impl Identity {
    /// Whether the newest probe answers were the recorded ones.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether there is anything to compare with.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded.is_some()
    }

    /// The probes are about to be asked: until they are answered, the model is not confirmed.
    pub(super) fn unconfirm(&mut self) {
        self.confirmed = false;
    }

    /// Whether these are the recorded answers.
    pub(super) fn are_recorded(&self, rows: &[Vec<f64>]) -> bool {
        let recorded = self.recorded.as_deref().unwrap_or_default();
        recorded.len() == rows.len() && recorded.iter().zip(rows).all(|(recorded, row)| same(recorded, row))
    }

    /// The probe answers that came with an answer are not the recorded ones.
    pub(super) fn change(&mut self) -> IdentityFault {
        (self.confirmed, self.differs) = (false, true);
        IdentityFault::Changed
    }

    /// Judges the answers to all probes, one per probe.
    ///
    /// # Errors
    /// When no cycle may act on this model. The first time after it was recorded is worth an alert, see
    /// [`Identity::differs`].
    pub(super) fn judge(&mut self, answers: &[RawAnswer], classes: usize) -> Result<ProbeResult, IdentityFault> {
        let rows = match recognisable(answers, classes) {
            Ok(rows) => rows,
            Err(fault) => {
                // Not the recorded answers either, then.
                self.differs = self.recorded.is_some();
                return Err(fault);
            }
        };
        let result = match &self.recorded {
            None => {
                self.hash = Some(hash(&rows));
                self.recorded = Some(rows);
                ProbeResult::Recorded
            }
            Some(_) if !self.are_recorded(&rows) => return Err(self.change()),
            Some(_) if self.differs => ProbeResult::Back,
            Some(_) => ProbeResult::Same,
        };
        self.differs = false;
        self.confirmed = true;
        Ok(result)
    }

    /// Whether another model was seen and the recorded one not since.
    pub(super) fn differs(&self) -> bool {
        self.differs
    }

    /// SHA-256 of the recorded answers, hex; nothing is recorded before the first success.
    pub(super) fn hash(&self) -> Option<String> {
        self.hash.clone()
    }
}

/// Answers that a cycle could act on, and that distinguish a model from others.
fn recognisable(answers: &[RawAnswer], classes: usize) -> Result<Vec<Vec<f64>>, IdentityFault> {
    let rows = answers.iter().enumerate().map(|(probe, answer)| plausible(probe, answer, classes));
    let rows: Vec<Vec<f64>> = rows.collect::<Result<_, _>>()?;
    if rows.windows(2).all(|pair| same(&pair[0], &pair[1])) {
        return Err(IdentityFault::Constant);
    }
    Ok(rows)
}

fn plausible(probe: usize, answer: &RawAnswer, classes: usize) -> Result<Vec<f64>, IdentityFault> {
    let [row] = answer.rows.as_slice() else {
        return Err(IdentityFault::Rows { probe, have: answer.rows.len() });
    };
    if row.len() != classes {
        return Err(IdentityFault::Classes { probe, have: row.len(), want: classes });
    }
    match row.iter().copied().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((class, value)) => Err(IdentityFault::NotFinite { probe, class, value }),
        None => Ok(row.clone()),
    }
}

fn same(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= TOLERANCE)
}

/// Over the numbers rounded to the tolerance, as text: machines that differ in the last bits mostly agree on it. It names
/// the model in the journal, and an operator arms the model of this name: machines that do not agree have to be armed again.
fn hash(rows: &[Vec<f64>]) -> String {
    let mut hash = Sha256::new();
    for row in rows {
        for value in row {
            hash.update(format!("{:.0},", (value / TOLERANCE).round() + 0.0)); // + 0.0: there is no minus zero
        }
        hash.update("\n");
    }
    HEXLOWER.encode(&hash.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(shift: f64) -> Vec<RawAnswer> {
        [0.1, 0.2, 0.3].map(|sell| RawAnswer { rows: vec![vec![sell + shift, 0.5, 0.5 - sell]] }).to_vec()
    }

    #[test]
    fn only_the_first_recorded_answers_are_accepted() {
        let mut identity = Identity::default();
        assert_eq!(identity.judge(&answers(0.0), 3), Ok(ProbeResult::Recorded));
        assert_eq!(identity.judge(&answers(0.9e-9), 3), Ok(ProbeResult::Same), "within the tolerance");
        let hash = identity.hash();
        for _ in 0..2 {
            identity.unconfirm();
            assert_eq!(identity.judge(&answers(1.2e-9), 3), Err(IdentityFault::Changed));
            assert!(identity.differs() && !identity.is_confirmed(), "it stays in doubt");
        }
        assert_eq!(identity.judge(&answers(0.0), 3), Ok(ProbeResult::Back));
        assert!(!identity.differs() && identity.is_confirmed());
        assert_eq!((identity.hash(), identity.hash().unwrap().len()), (hash, 64));
    }

    #[test]
    fn probe_answers_beside_a_prediction_are_compared_row_by_row() {
        let mut identity = Identity::default();
        let rows = |shift| answers(shift).into_iter().flat_map(|answer| answer.rows).collect::<Vec<_>>();
        assert!(!identity.is_confirmed() && !identity.are_recorded(&rows(0.0)), "nothing is recorded yet");
        identity.judge(&answers(0.0), 3).unwrap();
        assert!(identity.is_confirmed() && identity.are_recorded(&rows(0.9e-9)));
        assert!(!identity.are_recorded(&rows(1.2e-9)) && !identity.are_recorded(&rows(0.0)[..2]));
        assert_eq!(identity.change(), IdentityFault::Changed);
        assert!(!identity.is_confirmed() && identity.differs());
    }

    #[test]
    fn answers_that_no_cycle_could_act_on_are_never_recorded() {
        let judge = |answers: &[RawAnswer]| {
            let mut identity = Identity::default();
            let fault = identity.judge(answers, 3).unwrap_err();
            assert!(identity.hash().is_none() && !identity.is_confirmed());
            fault
        };
        let with = |rows: Vec<Vec<f64>>| {
            let mut answers = answers(0.0);
            answers[2].rows = rows;
            answers
        };
        assert_eq!(judge(&with(vec![])), IdentityFault::Rows { probe: 2, have: 0 });
        assert_eq!(judge(&with(vec![vec![0.3; 3]; 2])), IdentityFault::Rows { probe: 2, have: 2 });
        assert_eq!(judge(&with(vec![vec![0.5; 2]])), IdentityFault::Classes { probe: 2, have: 2, want: 3 });
        assert!(matches!(
            judge(&with(vec![vec![0.5, f64::NAN, 0.5]])),
            IdentityFault::NotFinite { probe: 2, class: 1, .. }
        ));
        assert_eq!(judge(&vec![answers(0.0).remove(0); 3]), IdentityFault::Constant);
    }

    #[test]
    fn the_hash_names_the_answers_and_not_their_last_bits() {
        assert_eq!(hash(&[vec![0.1 + 0.2, -0.0]]), hash(&[vec![0.3, 0.0]]));
        assert_eq!(hash(&[vec![-1e-12]]), hash(&[vec![0.0]]));
        assert_ne!(hash(&[vec![0.1, 0.2]]), hash(&[vec![0.1], vec![0.2]]));
        assert_ne!(hash(&[vec![0.1]]), hash(&[vec![0.1 + 3e-9]]));
    }
}
