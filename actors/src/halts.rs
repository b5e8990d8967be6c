//! The halts that stand, as all parts of the node share them.
//!
//! Promises kept: a halt counts from the moment that it is asked for, before the journal has it; only what the journal says lifts one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::halt::{Cover, Halt, NewHalt, Place, Standing, TradingState};
use crate::events::halts::{lifted as log_lifted, raised as log_raised};
use crate::journal::{JournalHandle, JournalUnavailable};
use crate::ports::{KillSwitch, NoKillSwitch};

pub struct Halts {
    standing: Mutex<Standing>,
    switch: Arc<dyn KillSwitch>,
}

impl Default for Halts {
    fn default() -> Self {
        Self::new(Vec::new(), Arc::new(NoKillSwitch))
    }
}

impl Halts {
    /// `recorded`: what the journal has.
    #[must_use]
    pub fn new(recorded: Vec<Halt>, switch: Arc<dyn KillSwitch>) -> Self {
        Self { standing: Mutex::new(Standing::new(recorded)), switch }
    }

    /// The strictest halt that covers a place, after a look at the kill switch.
    #[must_use]
    pub fn of(&self, place: &Place) -> Option<Cover> {
        self.look_at_switch();
        self.lock().strictest(place)
    }

    #[must_use]
    pub fn state_of(&self, place: &Place) -> TradingState {
        self.of(place).map(|cover| cover.state).unwrap_or_default()
    }

    /// Whether the halt of a request stands.
    #[must_use]
    pub fn has(&self, request: &str) -> bool {
        self.lock().has(request)
    }

    #[must_use]
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// A halt counts from now on; [`Self::record_pending`] makes it durable.
    pub fn propose(&self, new: NewHalt) {
        self.lock().propose(new);
    }

    /// A halt that was proposed is not called for any more, and the journal has refused it.
    pub fn withdraw(&self, request: &str) {
        self.lock().withdraw(request);
    }

    /// What the journal has of a halt now: that it was raised, or lifted.
    pub fn record(&self, halt: Halt) {
        if !self.lock().record(halt.clone()) {
            return;
        }
        match &halt.lifted {
            Some(lifted) => log_lifted(&halt, lifted),
            None => log_raised(&halt),
        }
    }

    /// Proposes the halt of a kill switch that is thrown.
    pub fn look_at_switch(&self) {
        if self.lock().has_kill_file() {
            return;
        }
        let Some(new) = self.switch.thrown() else { return };
        // Another thread may have looked meanwhile.
        let mut standing = self.lock();
        if !standing.has_kill_file() {
            standing.propose(new);
        }
    }

    /// Halts that the journal does not have yet.
    #[must_use]
    pub fn pending(&self) -> Vec<NewHalt> {
        self.lock().pending().to_vec()
    }

    /// Makes them durable. Doing so twice, or on two threads, raises each once.
    ///
    /// # Errors
    /// When the journal does not answer: they count all the same, and are tried again.
    pub async fn record_pending(&self, journal: &JournalHandle) -> Result<(), JournalUnavailable> {
        for new in self.pending() {
            self.record(journal.halt(new).await?);
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::domain::halt::{RaisedBy, Scope};
    use crate::domain::time::UtcMs;

    /// Cannot tell whether it is thrown: each look is a request of its own.
    struct Blind(AtomicU32);

    impl KillSwitch for Blind {
        fn thrown(&self) -> Option<NewHalt> {
            Some(NewHalt {
                request: format!("look {}", self.0.fetch_add(1, Ordering::Relaxed)),
                scope: Scope::All,
                state: TradingState::Halted,
                by: RaisedBy::KillFile,
                who: "the switch".to_owned(),
                why: "it cannot be told".to_owned(),
                evidence: String::new(),
                since: UtcMs(0),
            })
        }
    }

    #[test]
    fn a_switch_raises_one_halt_however_often_it_is_looked_at() {
        let halts = Halts::new(Vec::new(), Arc::new(Blind(AtomicU32::new(0))));
        (0..3).for_each(|_| halts.look_at_switch());
        assert_eq!(halts.pending().len(), 1);
    }
}
