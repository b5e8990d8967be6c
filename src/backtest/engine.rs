//! Walks through the slots of a plan and shows each row to whoever wants it. It keeps nothing that grows with the slots.

use std::sync::Arc;

use rust_decimal::Decimal;
use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Model;
pub use sentinel_actors::walk::Digests;
use sentinel_actors::walk::Walk;
use tokio::runtime::Builder;

use super::journal::MemoryJournal;
use super::plan::{Plan, PlanError};
use crate::models::onnx::OnnxEngine;
use crate::node::{MemoryBook, NodeError, Rehearsed, rehearse};
use crate::venues::book_reader::BookPosition;
use crate::venues::forecasts::BookForecast;

/// What one slot brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub record: SlotRecord,
    /// The newest usable bar of its window.
    pub bar: Option<Bar>,
    /// What it sent, in that order.
    pub intents: Vec<Intent>,
    /// Positions that its bars or its orders ended.
    pub closed: Vec<BookPosition>,
    /// Earlier forecasts whose horizon ended with its bars.
    pub compared: Vec<BookForecast>,
}

/// What is left after the last slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rest {
    pub open: Vec<BookPosition>,
    /// Forecasts whose horizon reaches beyond the bars.
    pub waiting: Vec<BookForecast>,
    /// What it would have halted for.
    pub halts: Vec<Halt>,
}

/// The slots of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    pub first: UtcMs,
    pub last: UtcMs,
    pub slots: u64,
}

/// Is shown each slot.
pub trait Visitor {
    /// Before the first one.
    fn begin(&mut self, course: Course);
    fn step(&mut self, step: Step, market: &Market<'_>);
}

/// What is open, for those who ask.
pub struct Market<'a>(&'a MemoryBook);

impl Market<'_> {
    /// Open positions and what they would earn if they were closed at the newest price.
    #[must_use]
    pub fn open(&self) -> (usize, Option<Decimal>) {
        match self.0 {
            MemoryBook::Orders(venue) => (venue.open_count(), venue.unrealised()),
            MemoryBook::Forecasts(_) => (0, Some(Decimal::ZERO)),
        }
    }
}

/// Walks through all slots of a plan. `answers`: what answers in place of the configured model.
///
/// # Errors
/// When bars or model cannot be used, or there is no slot.
pub fn walk(
    plan: &Plan,
    (answers, digests): (Option<Arc<dyn Model>>, Digests),
    visitor: &mut (impl Visitor + Send),
) -> Result<Rest, PlanError> {
    let mut result = None;
    // A local model is asked on the thread that its runtime knows, without a change of threads for each row.
    OnnxEngine::on_its_thread(|| {
        let runtime = Builder::new_current_thread().enable_all().build();
        result = Some(match runtime {
            Ok(runtime) => runtime.block_on(walk_here(plan, (answers, digests), visitor)),
            Err(error) => Err(PlanError::Node(NodeError::Runtime(error))),
        });
    });
    result.unwrap_or_else(|| Err(PlanError::NoSlots { pipeline: plan.pipeline.name.clone() }))
}

async fn walk_here(
    plan: &Plan,
    (answers, digests): (Option<Arc<dyn Model>>, Digests),
    visitor: &mut impl Visitor,
) -> Result<Rest, PlanError> {
    let Rehearsed { settings, ports, book, schedule, first, last } =
        rehearse(&plan.pipeline, (&plan.csv, &plan.schedule), answers)?;
    let slots = schedule.count(first.before(), last);
    if slots == 0 {
        return Err(PlanError::NoSlots { pipeline: plan.pipeline.name.clone() });
    }
    visitor.begin(Course { first, last, slots });
    let journal = Arc::new(MemoryJournal::default());
    let mut walk = Walk::begin(settings, ports, journal.clone(), digests).await;
    for slot in schedule.slots(first.before(), last) {
        let (record, bar) = walk.slot(slot).await;
        let (closed, compared) = match &book {
            MemoryBook::Orders(venue) => (venue.take_ended(), Vec::new()),
            MemoryBook::Forecasts(made) => (Vec::new(), made.take_ended()),
        };
        let step = Step { record, bar, intents: journal.take_fresh(), closed, compared };
        visitor.step(step, &Market(&book));
    }
    let (open, waiting) = match &book {
        MemoryBook::Orders(venue) => (venue.open(), Vec::new()),
        MemoryBook::Forecasts(made) => (Vec::new(), made.take_waiting()),
    };
    Ok(Rest { open, waiting, halts: journal.halts() })
}
