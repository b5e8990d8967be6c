//! Whether an operator has armed what is about to leave.

use crate::domain::prediction::ModelIdentity;
use crate::domain::time::UtcMs;

/// Why a new effect may not leave: what has changed since an operator armed the node, or which limit of the arm was reached, and the
/// command that arms it again. For a slot's row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotArmed(pub String);

/// One effect that an arm allows, and which arm that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taken(pub u64);

/// What an operator has armed. Asked before every new effect of a live pipeline; what only closes a position, and what becomes of
/// an effect that has left, is not its matter.
pub trait Arming: Send + Sync {
    /// Whether a pipeline may have new effects of this model. Without one, of effects that no model decides.
    ///
    /// Cheap: it is asked several times per effect, on a worker's thread.
    ///
    /// # Errors
    /// When something that the operator confirmed has changed, or the arm's time is over at `now`, schedule time, or by any other
    /// clock.
    fn permits(&self, pipeline: &str, model: Option<&ModelIdentity>, now: UtcMs) -> Result<(), NotArmed>;

    /// As [`Self::permits`], and takes one of the effects that the arm allows. Asked once for each new effect, before it is planned.
    ///
    /// # Errors
    /// Also when none is left.
    fn take(&self, pipeline: &str, model: Option<&ModelIdentity>, now: UtcMs) -> Result<Taken, NotArmed> {
        self.permits(pipeline, model, now).map(|()| Taken::default())
    }

    /// Whether what was taken may still leave: as [`Self::permits`], and under the arm that it was taken from, because another one has
    /// not counted it. As cheap.
    ///
    /// # Errors
    /// Also when the node was armed again since.
    fn still_permits(
        &self,
        _taken: Taken,
        pipeline: &str,
        model: Option<&ModelIdentity>,
        now: UtcMs,
    ) -> Result<(), NotArmed> {
        self.permits(pipeline, model, now)
    }

    /// What was taken may have left: it is used up.
    fn use_up(&self, _taken: Taken) {}

    /// What was taken has certainly not left.
    fn give_back(&self, _taken: Taken) {}

    /// What is left of the arm, or what ended it, for a person; `None` where nothing needs one.
    fn left(&self) -> Option<String> {
        None
    }
}

/// Of a node without live pipelines, and of tests: nothing needs an arm.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoArming;

impl Arming for NoArming {
    fn permits(&self, _: &str, _: Option<&ModelIdentity>, _: UtcMs) -> Result<(), NotArmed> {
        Ok(())
    }
}
