//! Which model a pipeline has seen, and whether it is still the first one of this run.

use crate::domain::node_view::ModelChange;
use crate::domain::time::UtcMs;

/// By the identity that each cycle's validation gives. Written by its Pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelSeen {
    first: Option<Box<str>>,
    /// The newest one that was used.
    now: Option<Box<str>>,
    /// Present while another one answers than the first.
    pub change: Option<Box<ModelChange>>,
    /// How often another model answered than before.
    pub changes: u64,
}

impl ModelSeen {
    /// A cycle was decided with the model that has this hash.
    pub fn used(&mut self, hash: &str, at: UtcMs) {
        let was_refused = self.change.as_ref().is_some_and(|change| change.refused);
        if !was_refused && self.now.as_deref() == Some(hash) {
            return;
        }
        self.changes += u64::from(self.now.as_deref().is_some_and(|before| before != hash));
        let is_first = **self.first.get_or_insert_with(|| hash.into()) == *hash;
        let what = || format!("decides with another model than at its start: {}", short(hash));
        self.change = (!is_first).then(|| Box::new(ModelChange { since: at, what: what(), refused: false }));
        self.now = Some(hash.into());
    }

    /// Another one answers, and nothing is decided with it. `how` is for a person.
    pub fn refused(&mut self, how: &str, at: UtcMs) {
        if self.change.as_ref().is_some_and(|change| change.refused) {
            return;
        }
        let what = format!("decides nothing, because another model answers than at its start: {how}");
        self.change = Some(Box::new(ModelChange { since: at, what, refused: true }));
        self.changes += 1;
    }

    /// The SHA-256 of the newest one that was used, hex.
    #[must_use]
    pub fn now(&self) -> Option<&str> {
        self.now.as_deref()
    }
}

/// As much of a hash as tells it apart.
fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_lasts_until_the_first_model_answers_again() {
        let mut seen = ModelSeen::default();
        seen.used("a", UtcMs(1));
        seen.used("a", UtcMs(2));
        assert_eq!(seen.change, None);
        seen.used("b", UtcMs(3));
        seen.used("b", UtcMs(4));
        let change = seen.change.clone().unwrap();
        assert_eq!((change.since, change.refused), (UtcMs(3), false));
        seen.used("a", UtcMs(5));
        assert_eq!((seen.change.clone(), seen.changes, seen.now()), (None, 2, Some("a")));
    }

    #[test]
    fn a_refused_model_is_one_change_however_often_it_answers() {
        let mut seen = ModelSeen::default();
        seen.used("a", UtcMs(1));
        seen.refused("probe 1 differs", UtcMs(2));
        seen.refused("probe 1 differs", UtcMs(3));
        let change = seen.change.clone().unwrap();
        assert_eq!((change.since, change.refused), (UtcMs(2), true));
        seen.used("a", UtcMs(4));
        assert_eq!((seen.change, seen.changes), (None, 1), "the recorded one is back");
    }

    #[test]
    fn a_model_that_was_taken_up_stays_a_change_when_another_one_was_refused_since() {
        let mut seen = ModelSeen::default();
        seen.used("a", UtcMs(1));
        seen.used("b", UtcMs(2));
        seen.refused("c", UtcMs(3));
        seen.used("b", UtcMs(4));
        assert!(seen.change.is_some_and(|change| !change.refused));
    }
}
