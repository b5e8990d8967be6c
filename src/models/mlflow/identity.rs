//! Who answers. A hub does not say which model it serves, so a model is known by its answers to a few probe rows.
//!
//! The first plausible answers of this process are the recorded ones. Other answers later mean another model: it may be a good
//! one, but nobody here can tell, so nothing acts on it until the recorded one is back or somebody restarts the node.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sentinel_actors::domain::prediction::RawAnswer;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

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
pub(super) enum Finding {
    /// The first ones: recorded.
    Recorded,
    /// The same model as before.
    Same,
    /// The recorded model after another one.
    Back,
}

/// When the probes were answered as recorded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    pub at: Instant,
    /// Connections made until then.
    pub connects: u64,
}

/// What is known of the model behind a hub.
#[derive(Debug, Default)]
pub(super) struct Identity {
    recorded: Option<Vec<Vec<f64>>>,
    checked: Option<Checked>,
    /// Another model was seen and the recorded one not since.
    differs: bool,
}

impl Identity {
    /// Whether the probes are due: nothing is known, the last probes told of nothing good, a connection was made since, or it
    /// is long ago.
    pub(super) fn due(&self, now: Instant, connects: u64, every: Duration) -> bool {
        match self.checked {
            Some(checked) => checked.connects != connects || now.duration_since(checked.at) >= every,
            None => true,
        }
    }

    /// The probes are about to be asked: whatever becomes of that, only their answers end the doubt.
    pub(super) fn doubt(&mut self) {
        self.checked = None;
    }

    /// Judges the answers to all probes, one per probe.
    ///
    /// # Errors
    /// When no cycle may act on this model. The first time after it was recorded is worth an alert; [`Identity::differs`]
    /// tells.
    pub(super) fn judge(
        &mut self,
        answers: &[RawAnswer],
        classes: usize,
        checked: Checked,
    ) -> Result<Finding, IdentityFault> {
        let rows = match recognisable(answers, classes) {
            Ok(rows) => rows,
            Err(fault) => {
                // Not the recorded answers either, then.
                self.differs = self.recorded.is_some();
                return Err(fault);
            }
        };
        let finding = match &self.recorded {
            None => {
                self.recorded = Some(rows);
                Finding::Recorded
            }
            Some(recorded) if !recorded.iter().zip(&rows).all(|(recorded, row)| same(recorded, row)) => {
                self.differs = true;
                return Err(IdentityFault::Changed);
            }
            Some(_) if self.differs => Finding::Back,
            Some(_) => Finding::Same,
        };
        self.differs = false;
        self.checked = Some(checked);
        Ok(finding)
    }

    /// Whether another model was seen and the recorded one not since.
    pub(super) fn differs(&self) -> bool {
        self.differs
    }

    /// SHA-256 of the recorded answers, hex; nothing is recorded before the first success.
    pub(super) fn hash(&self) -> Option<String> {
        self.recorded.as_deref().map(hash)
    }
}

/// Answers that a cycle could act on, and that tell a model from others.
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

/// Over the numbers rounded to the tolerance, as text: machines that differ in the last bits mostly agree on it. Nothing is
/// decided by it; it names the model in the journal.
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
    use sentinel_actors::ports::elapsed_now;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn answers(shift: f64) -> Vec<RawAnswer> {
        [0.1, 0.2, 0.3].map(|sell| RawAnswer { rows: vec![vec![sell + shift, 0.5, 0.5 - sell]] }).to_vec()
    }

    fn checked(at: Instant) -> Checked {
        Checked { at, connects: 1 }
    }

    #[test]
    fn the_first_answers_are_recorded_and_others_are_refused_until_the_recorded_ones_are_back() {
        let now = elapsed_now();
        let mut identity = Identity::default();
        assert_eq!(identity.judge(&answers(0.0), 3, checked(now)), Ok(Finding::Recorded));
        assert_eq!(identity.judge(&answers(0.9e-9), 3, checked(now)), Ok(Finding::Same), "within the tolerance");
        let hash = identity.hash();
        for _ in 0..2 {
            identity.doubt();
            assert_eq!(identity.judge(&answers(1.2e-9), 3, checked(now)), Err(IdentityFault::Changed));
            assert!(identity.differs() && identity.due(now, 1, HOUR), "it stays in doubt");
        }
        assert_eq!(identity.judge(&answers(0.0), 3, checked(now)), Ok(Finding::Back));
        assert!(!identity.differs() && !identity.due(now, 1, HOUR));
        assert_eq!((identity.hash(), identity.hash().unwrap().len()), (hash, 64));
    }

    #[test]
    fn the_probes_are_due_at_first_after_a_connection_and_after_a_while() {
        let now = elapsed_now();
        let mut identity = Identity::default();
        assert!(identity.due(now, 1, HOUR));
        identity.judge(&answers(0.0), 3, checked(now)).unwrap();
        assert!(!identity.due(now + HOUR - Duration::from_nanos(1), 1, HOUR));
        assert!(identity.due(now + HOUR, 1, HOUR));
        assert!(identity.due(now, 2, HOUR), "another connection");
        identity.doubt();
        assert!(identity.due(now, 1, HOUR), "the probes were asked and not answered");
    }

    #[test]
    fn answers_that_no_cycle_could_act_on_are_never_recorded() {
        let judge = |answers: &[RawAnswer]| {
            let mut identity = Identity::default();
            let fault = identity.judge(answers, 3, checked(elapsed_now())).unwrap_err();
            assert!(identity.hash().is_none() && identity.due(elapsed_now(), 1, HOUR));
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
