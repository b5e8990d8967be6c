//! Many rules on one look at the bars: bars, features and answers once, decisions as often as there are rules.
//!
//! Nothing is decided by other code. Each rule has an executor, an intent table and a paper book of its own, the ones of a backtest.
//! What is left out are slots in which an executor would only end the slot, and who says so is the node's own policy
//! ([`Decider::would_idle`]). A rule that does not reach a decision where the others do is walked through alone.

mod result;

use std::mem::take;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Model;
use sentinel_actors::walk::{Decider, Lookout, Seen};
use tokio::runtime::{Builder, Runtime};

use self::result::Running;
pub use self::result::{Day, Outcome};
use super::engine::{Course, Digests, Market, Step, Visitor, walk};
use super::journal::MemoryJournal;
use super::plan::{Plan, PlanError};
use crate::config::{JobConfig, PipelineConfig};
use crate::models::onnx::OnnxEngine;
use crate::node::{Effects, MemoryBook, NodeError, Rehearsed, effects, rehearse};
use crate::operator::report::part::Periods;
use crate::venues::memory::MemoryVenue;

/// Slots that are looked at before the rules decide on them.
const BLOCK: usize = 256;
/// Blocks that may wait for the slowest of the rules.
const WAITING: usize = 2;

type Block = Arc<Vec<Seen>>;

/// Is told how far it is.
pub trait Watcher: Send {
    /// Before the first slot.
    fn begin(&mut self, course: Course);
    fn step(&mut self);
}

/// What each of `rules` comes to on the slots of a plan; they are its pipeline with other rules. `answers`: what answers in place of the
/// configured model.
///
/// # Errors
/// When bars or model cannot be used, there is no slot, or a rule is none for orders.
pub fn sweep(
    plan: &Plan,
    rules: &[PipelineConfig],
    answers: Option<Arc<dyn Model>>,
    periods: Option<Periods>,
    watcher: &mut impl Watcher,
) -> Result<Vec<Outcome>, PlanError> {
    let mut result = None;
    OnnxEngine::on_its_thread(|| result = Some(sweep_here(plan, rules, answers.clone(), periods, watcher)));
    let no_slots = || PlanError::NoSlots { pipeline: plan.pipeline.name.clone() };
    let outcomes = result.ok_or_else(no_slots)??;
    let alone = |(outcome, rule): (Option<Outcome>, &PipelineConfig)| match outcome {
        Some(outcome) => Ok(outcome),
        None => single(plan, rule, answers.clone(), periods),
    };
    outcomes.into_iter().zip(rules).map(alone).collect()
}

/// What one rule comes to by a backtest of its own.
///
/// # Errors
/// As [`walk`].
pub fn single(
    plan: &Plan,
    rule: &PipelineConfig,
    answers: Option<Arc<dyn Model>>,
    periods: Option<Periods>,
) -> Result<Outcome, PlanError> {
    let plan = Plan { pipeline: rule.clone(), ..plan.clone() };
    let mut alone =
        Alone(Running::new(rule, periods).ok_or_else(|| PlanError::NoOrders { pipeline: rule.name.clone() })?);
    let rest = walk(&plan, (answers, Digests::LeftOut), &mut alone)?;
    Ok(alone.0.finish(rest.open.len(), rest.halts.len()))
}

/// A backtest of one rule, measured as those of a sweep are.
struct Alone(Running);

impl Visitor for Alone {
    fn begin(&mut self, _: Course) {}

    fn step(&mut self, step: Step, market: &Market<'_>) {
        let (open, unrealised) = market.open();
        self.0.acted(&step.record, &step.intents);
        step.closed.iter().for_each(|closed| self.0.closed(closed));
        self.0.end_slot(&step.record, open, unrealised);
    }
}

fn sweep_here(
    plan: &Plan,
    rules: &[PipelineConfig],
    answers: Option<Arc<dyn Model>>,
    periods: Option<Periods>,
    watcher: &mut impl Watcher,
) -> Result<Vec<Option<Outcome>>, PlanError> {
    let Rehearsed { settings, ports, schedule, first, last, .. } =
        rehearse(&plan.pipeline, (&plan.csv, &plan.schedule), answers)?;
    let slots = schedule.count(first.before(), last);
    if slots == 0 {
        return Err(PlanError::NoSlots { pipeline: plan.pipeline.name.clone() });
    }
    watcher.begin(Course { first, last, slots });
    let runtime = here()?;
    let tried = |rule| runtime.block_on(Tried::new(plan, rule, periods, first));
    let mut tried = rules.iter().map(tried).collect::<Result<Vec<Tried>, PlanError>>()?;
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = rules.len().div_ceil(cores).max(1);
    let runtimes = tried.chunks(share).map(|_| here()).collect::<Result<Vec<Runtime>, PlanError>>()?;
    thread::scope(|scope| {
        let mut desks: Vec<SyncSender<Block>> = Vec::new();
        for (rules, runtime) in tried.chunks_mut(share).zip(runtimes) {
            let (desk, blocks) = sync_channel(WAITING);
            desks.push(desk);
            scope.spawn(move || decide(rules, &blocks, &runtime));
        }
        let mut lookout = Lookout::new(settings, &ports, Digests::LeftOut);
        let mut block = Vec::with_capacity(BLOCK);
        for slot in schedule.slots(first.before(), last) {
            block.push(runtime.block_on(lookout.see(slot)));
            watcher.step();
            if block.len() == BLOCK {
                hand_out(&desks, take(&mut block));
            }
        }
        hand_out(&desks, block);
    });
    Ok(tried.into_iter().map(Tried::finish).collect())
}

fn here() -> Result<Runtime, PlanError> {
    Builder::new_current_thread().enable_all().build().map_err(|error| PlanError::Node(NodeError::Runtime(error)))
}

/// A thread that is gone has panicked, which its scope says.
fn hand_out(desks: &[SyncSender<Block>], block: Vec<Seen>) {
    let block = Arc::new(block);
    for desk in desks {
        let _ = desk.send(block.clone());
    }
}

/// One rule after the other on each block: what a rule needs stays near the processor.
fn decide(rules: &mut [Tried], blocks: &Receiver<Block>, runtime: &Runtime) {
    while let Ok(block) = blocks.recv() {
        runtime.block_on(async {
            for rule in &mut *rules {
                for seen in block.iter() {
                    rule.slot(seen).await;
                }
            }
        });
    }
}

/// A rule on its way through the slots.
struct Tried {
    decider: Decider,
    journal: Arc<MemoryJournal>,
    venue: Arc<MemoryVenue>,
    result: Running,
    /// It has not decided where it was expected to.
    is_odd: bool,
}

impl Tried {
    async fn new(
        plan: &Plan,
        rule: &PipelineConfig,
        periods: Option<Periods>,
        first: UtcMs,
    ) -> Result<Self, PlanError> {
        let Effects { settings, clock, sink, job, book } = effects(rule, &plan.schedule, first);
        let no_orders = || PlanError::NoOrders { pipeline: rule.name.clone() };
        let (MemoryBook::Orders(venue), JobConfig::Order(_)) = (book, &rule.job) else { return Err(no_orders()) };
        let result = Running::new(rule, periods).ok_or_else(no_orders)?;
        let journal = Arc::new(MemoryJournal::default());
        let decider = Decider::begin(&settings, (&clock, &sink, &job), journal.clone()).await;
        Ok(Self { decider, journal, venue, result, is_odd: false })
    }

    async fn slot(&mut self, seen: &Seen) {
        if self.is_odd {
            return;
        }
        let Self { decider, journal, venue, result, is_odd } = self;
        if result.wants_equity(seen.record.slot) {
            result.take_equity(venue.unrealised());
        }
        // What a bar ends is ended before anything is decided, as an executor begins with it.
        let bars = seen.bars.as_ref().filter(|_| seen.answer.is_ok());
        let glance = venue.glance(bars.map(|bars| &**bars), |open| decider.would_idle(seen, open));
        if glance.idles {
            decider.pass(seen);
            if !glance.has_ended && result.may_pass(glance.open, glance.worth) {
                result.pass(&seen.record, glance.open);
                return;
            }
        } else {
            let record = decider.decide_on(seen).await;
            *is_odd = seen.price.is_some() && record.decided_bar.is_none();
            result.acted(&record, &journal.take_fresh());
        }
        venue.take_ended().iter().for_each(|closed| result.closed(closed));
        result.end_slot(&seen.record, venue.open_count(), venue.unrealised());
    }

    fn finish(mut self) -> Option<Outcome> {
        self.result.take_equity(self.venue.unrealised());
        let Self { journal, venue, result, is_odd, .. } = self;
        (!is_odd).then(|| result.finish(venue.open_count(), journal.halts().len()))
    }
}
