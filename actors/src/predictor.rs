//! Predictor: validates the model every cycle, asks for a prediction, validates the answer. A failed check never becomes a HOLD.

use std::sync::Arc;
use std::time::Duration;

use crate::cycle_flow::{Cycle, ExecutorInput};
use crate::domain::bar::CleanBars;
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::feature::FeatureFrame;
use crate::domain::prediction::{ExpectedAnswer, Prediction};
use crate::domain::reason::{Ending, Reason};
use crate::ports::{FaultPoint, Model, ModelError, PortFuture, elapsed_now};
use crate::stage::StageWork;

pub struct Predictor {
    pub model: Arc<dyn Model>,
    pub expected: ExpectedAnswer,
    /// Deadline of validation and question together.
    pub deadline: Duration,
}

impl StageWork for Predictor {
    type Load = (Arc<CleanBars>, FeatureFrame);
    type Next = ExecutorInput;
    const STAGE: Stage = Stage::Predictor;
    const FAULT_POINT: FaultPoint = FaultPoint::PredictorHandle;

    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        (bars, frame): Self::Load,
    ) -> PortFuture<'a, Result<Self::Next, Ending>> {
        Box::pin(async move {
            let until = elapsed_now() + self.deadline.min(cycle.time_left());
            let time_left = || until.saturating_duration_since(elapsed_now());
            let ending = |error: ModelError| {
                if matches!(error, ModelError::Changed(_)) {
                    cycle.tracker.set_changed_model();
                }
                ending(&error)
            };
            record.model = Some(self.model.validate(time_left()).await.map_err(ending)?);
            let answer = self.model.predict(&frame, time_left()).await.map_err(ending)?;
            record.raw_output = answer.rows.first().cloned();
            let prediction = Prediction::check(&answer, self.expected)
                .map_err(|fault| Ending::new(fault.reason(), fault.to_string()))?;
            Ok(ExecutorInput::Prediction(bars, prediction))
        })
    }
}

fn ending(error: &ModelError) -> Ending {
    let reason = match error {
        ModelError::Invalid(_) | ModelError::Changed(_) => Reason::ModelInvalid,
        ModelError::Unavailable(_) => Reason::ModelUnavailable,
        ModelError::Timeout(_) => Reason::ModelTimeout,
        ModelError::Status { .. } => Reason::AnswerStatus,
        ModelError::Unparseable(_) => Reason::AnswerUnparseable,
    };
    Ending::new(reason, error.to_string())
}
