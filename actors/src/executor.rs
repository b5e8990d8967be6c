//! Executor: decides, checks risk, writes the intent, acts, records the receipt.
//!
//! Two parts: [`IntentProtocol`] takes one effect from its plan to its receipt and settles what an earlier run left open, whatever
//! the effect is. The [`Strategy`] says which effects are wanted. Promise 2 is kept in the protocol.

mod account;
mod assemble;
mod effect;
mod exits;
mod flatten;
mod forecasting;
mod holdings;
mod positions;
mod protocol;
mod settling;
mod trade;

use std::convert::Infallible;

pub use self::assemble::Surroundings;
pub use self::effect::Refusals;
pub use self::flatten::require_closable;
pub use self::forecasting::ForecastStrategy;
pub use self::protocol::IntentProtocol;
pub use self::settling::SettledByHand;
pub use self::trade::TradeStrategy;
use crate::cycle_flow::{Cycle, ExecutorInput, Undecided};
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::prediction::Prediction;
use crate::domain::reason::{Ending, Reason};
use crate::events;
use crate::messages::Flatten;
use crate::ports::{FaultPoint, PortFuture, elapsed_now, inject_fault};
use crate::stage::{StageWork, WARM_UP_TIMEOUT};

/// Fifths of the stage's deadline that are for calls of the venue; the rest is for recording its answers.
const VENUE_FIFTHS: u32 = 4;
/// Fifths of it that settling between cycles may take: a cycle that arrives meanwhile has to wait.
const WARM_UP_FIFTHS: u32 = 2;

pub struct Executor {
    pub protocol: IntentProtocol,
    pub strategy: Strategy,
}

/// What a prediction is made into.
pub enum Strategy {
    Trade(Box<TradeStrategy>),
    Forecast(ForecastStrategy),
}

impl StageWork for Executor {
    type Load = ExecutorInput;
    type Next = Infallible;
    const STAGE: Stage = Stage::Executor;
    const FAULT_POINT: FaultPoint = FaultPoint::ExecutorHandle;

    fn warm_up(&mut self) -> PortFuture<'_, ()> {
        Box::pin(async move {
            let protocol = &mut self.protocol;
            // What is settled below is read afresh.
            protocol.settled_by_hand.take();
            let venue_time = (protocol.deadlines.execute * WARM_UP_FIFTHS / 5).min(WARM_UP_TIMEOUT / 2);
            protocol.venue_until = elapsed_now() + venue_time;
            protocol.journal.give_up_at(elapsed_now() + WARM_UP_TIMEOUT * 4 / 5);
            inject_fault(&*protocol.faults, FaultPoint::BeforeSettle, &protocol.path).await;
            // On failure nothing is lost: the next cycle settles before it acts.
            if let Err(error) = protocol.settle(None).await {
                events::settling_postponed(&protocol.pipeline, &error.to_string());
            }
        })
    }

    /// For hours no cycle may reach this stage: the bar is already decided, or the market is closed.
    fn is_unfinished(&self) -> bool {
        !self.protocol.settled || self.protocol.settled_by_hand.has_grown()
    }

    fn flatten(&mut self, asked: Flatten) -> PortFuture<'_, ()> {
        Box::pin(async move {
            if flatten::is_wanted(&asked) {
                let answer = Self::flatten(self, asked.until).await;
                let _ = asked.reply.send(answer);
            }
        })
    }

    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        findings: Self::Load,
    ) -> PortFuture<'a, Result<Infallible, Ending>> {
        // As the Pipeline counts: from the beginning of the work, whatever came before it.
        let since = cycle.tracker.holder().since;
        let execute = self.protocol.deadlines.execute;
        self.protocol.venue_until = since + execute * VENUE_FIFTHS / 5;
        self.protocol.journal.give_up_at(since + execute);
        if self.protocol.settled_by_hand.take() {
            self.protocol.settled = false;
        }
        let Self { protocol, strategy } = self;
        Box::pin(async move {
            Err(match (strategy, findings) {
                (Strategy::Trade(trade), ExecutorInput::Prediction(bars, Prediction::Classes(probabilities))) => {
                    trade.execute(protocol, cycle, record, &bars, &probabilities).await
                }
                (Strategy::Forecast(forecast), ExecutorInput::Prediction(bars, Prediction::Value(value))) => {
                    forecast.execute(protocol, cycle, record, &bars, value).await
                }
                (Strategy::Trade(trade), ExecutorInput::NoPrediction(undecided)) => {
                    trade.end_undecided(protocol, cycle, record, undecided).await
                }
                (Strategy::Forecast(_), ExecutorInput::NoPrediction(Undecided(why))) => why,
                // The Predictor checks what its job expects.
                (_, ExecutorInput::Prediction(..)) => {
                    Ending::new(Reason::ModelInvalid, "its answer is of another kind than this job needs")
                }
            })
        })
    }
}
