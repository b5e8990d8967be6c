//! What the node needs from outside. Adapters in the root package implement these; the simulator implements all of them.
//!
//! An adapter keeps the deadline that it is given and returns an error value when it cannot. A call that does not return in
//! time is a hang: the supervisor ends the stage that waits for it (promise 3).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::action::Receipt;
use crate::domain::announced::{AnnouncedSlot, Announcement};
use crate::domain::bar::{Bar, CleanBars, Interval, RawBar};
use crate::domain::cycle::SlotRecord;
use crate::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, Mode};
use crate::domain::order::Position;
use crate::domain::prediction::{ModelIdentity, RawAnswer};
use crate::domain::reason::Reason;
use crate::domain::risk::Exposure;
use crate::domain::schedule::Schedule;
use crate::domain::time::UtcMs;

/// The future of a port call.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether schedule time still lets an order leave. A deadline does not see it: elapsed time stands still while a machine sleeps.
pub type MayLeave<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// The only source of elapsed time, which is monotonic. The simulator pauses and advances it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that hands out elapsed time")]
pub fn elapsed_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Schedule time of one pipeline: the wall clock, or in a replay the source's clock.
pub trait Clock: Send + Sync {
    /// Now, on the schedule.
    fn now(&self) -> UtcMs;

    /// Returns when schedule time has reached `until`, or earlier; callers check [`Clock::now`] again.
    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()>;

    /// Whether time moves only when a caller waits for it, as in a replay. A pipeline then waits only between cycles,
    /// so schedule time never overtakes the work.
    fn follows_cycles(&self) -> bool {
        false
    }

    /// A pipeline takes up its schedule, for which time has reached `reached`. A replay goes back to it: slots whose rows were
    /// lost in a crash are worked on again. Wall time ignores it.
    fn resume_at(&self, _reached: UtcMs) {}
}

/// The only source of chance.
pub trait Chance: Send + Sync {
    /// Uniform in `[0, 1)`.
    fn unit(&self) -> f64;
}

#[derive(Debug, Clone, PartialEq)]
pub struct BarRequest {
    pub symbol: String,
    pub interval: Interval,
    /// Number of newest bars wanted; a source may deliver more.
    pub count: usize,
    /// Schedule time; bars that open later are of no use.
    pub now: UtcMs,
    /// The whole call must end within this.
    pub deadline: Duration,
}

/// Why there are no bars.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// No answer inside the deadline.
    #[error("the bar source did not answer within {0:?}")]
    Timeout(Duration),
    /// It answered with an error; the text is safe to print.
    #[error("the bar source failed: {0}")]
    Failed(String),
    /// It refused the node's credentials: only an operator can change that. The text is safe to print.
    #[error("the bar source refused the node's credentials: {0}")]
    Unauthorised(String),
    /// It was asked too often.
    #[error("the bar source was asked too often{}: {text}", wait_text(*retry_after))]
    RateLimited {
        /// How long it wants not to be asked, when it said so.
        retry_after: Option<Duration>,
        /// Its answer; safe to print.
        text: String,
    },
}

fn wait_text(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!(" and wants {wait:?} of rest"))
}

pub trait BarSource: Send + Sync {
    /// Bars as delivered, in any order.
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Vec<RawBar>, SourceError>>;
}

/// Which slots of a pipeline are due.
#[derive(Clone)]
pub enum SlotFeed {
    /// A function of time.
    Grid(Schedule),
    /// Whatever is announced from outside.
    Announced(Arc<dyn Announcer>),
}

/// Question to an [`Announcer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRequest {
    /// The newest slot that was announced so far. `None`: none was yet, and what opened before `now` and is over is not due.
    pub since: Option<UtcMs>,
    /// Announced slots that have not ended.
    pub open: Vec<AnnouncedSlot>,
    /// Schedule time.
    pub now: UtcMs,
    /// The whole call must end within this.
    pub deadline: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedAnswer {
    /// At least everything that opens after `since`, also what is over by now: the node may have been down. Repeating an
    /// announcement changes nothing.
    pub announced: Vec<Announcement>,
    /// Which of the slots in `open` must not be worked on any more, by id.
    pub withdrawn: Vec<String>,
    /// When to ask again.
    pub ask_again: Duration,
}

/// The announcer could not be asked. The text is safe to print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what announces slots cannot be asked: {0}")]
pub struct FeedError(pub String);

/// Announces slots from outside, such as the windows that a chain opens.
pub trait Announcer: Send + Sync {
    /// What is announced, and what of it was withdrawn.
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>>;
}

/// Turns bars into what a model is asked about. One implementation for live, replay and export.
pub trait FeatureSet: Send + Sync {
    fn id(&self) -> &FeatureSetId;

    /// Names of the columns in a frame's row.
    fn columns(&self) -> &[&'static str];

    /// The frame of the newest bar. `bars` is sorted and clean, at most the window.
    ///
    /// # Errors
    /// When history is short or a cell is undefined.
    fn build(&self, bars: &[Bar]) -> Result<FeatureFrame, FeatureError>;
}

/// Why a model did not answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// It is not the configured model, or it failed a probe.
    #[error("the model failed validation: {0}")]
    Invalid(String),
    /// It cannot be reached now.
    #[error("the model is not available: {0}")]
    Unavailable(String),
    /// No answer inside the deadline.
    #[error("the model did not answer within {0:?}")]
    Timeout(Duration),
    /// Its server answered with an error; the text is shortened and safe to print.
    #[error("the model's server answered {status}: {text}")]
    Status {
        /// The protocol's status code.
        status: u16,
        text: String,
    },
    /// The answer could not be read.
    #[error("the model's answer could not be read: {0}")]
    Unparseable(String),
}

pub trait Model: Send + Sync {
    /// This cycle's validation; takes up a changed model when it passes all checks.
    fn validate(&self, deadline: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>>;

    /// The model's answer for one frame, unchecked.
    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>>;
}

/// What became of a submitted effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Submission {
    Acked(Receipt),
    Rejected {
        code: Option<i64>,
        /// Its text, shortened.
        text: String,
        /// The same effect would be refused again until an operator changes something.
        lasting: bool,
    },
    /// No byte left; the text is the proof.
    NeverLeft(String),
    /// Anything else.
    Unknown(String),
}

/// What the other side answered about an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    Found(Receipt),
    Refused {
        code: Option<i64>,
        text: String,
    },
    /// The venue provably does not have it and will not get it; the text is the proof.
    Absent(String),
    /// Not answered now; ask again later.
    NotNow(String),
    /// The venue cannot settle it: an operator must.
    Undecidable(String),
}

/// Which positions are open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Positions {
    /// The venue's own answer.
    Reported(Vec<Position>),
    /// The venue cannot report them. On a netting account whose orders are all the node's own, and without stops and targets, the
    /// journal's confirmed orders add up to the position.
    Derived,
    /// They cannot be known: the venue closes positions without reporting it.
    Untracked,
}

/// The venue could not be asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the venue cannot be asked: {0}")]
pub struct VenueError(pub String);

/// Takes effects. It knows nothing of what an account holds: that is [`PositionBook`]'s. Every call keeps its deadline.
pub trait Sink: Send + Sync {
    fn mode(&self) -> Mode;

    /// The account, part of every intent key.
    fn account(&self) -> &str;

    /// Called before `sent` is written for a key that was only planned until now. A venue that cannot be asked about its
    /// orders can then prove that this process never handed it over.
    fn prepare(&self, _key: &IntentKey) {}

    /// Hands over the effect of an intent. Called at most once per key, after `sent` is durable. A sink that waits before it
    /// leaves, for its turn or for a connection, asks `may_leave` again right before.
    fn submit<'a>(
        &'a self,
        intent: &'a Intent,
        deadline: Duration,
        may_leave: MayLeave<'a>,
    ) -> PortFuture<'a, Submission>;

    /// The venue's answer about this key belonged to another order. The connection that carried it is not to be used for the next
    /// answer.
    fn disown(&self, _key: &IntentKey) {}

    /// Asks what became of an intent; sends nothing.
    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence>;
}

/// Is shown closed bars.
pub trait BarObserver: Send + Sync {
    /// Shows it closed bars, so that a paper book can apply stops and targets, or compare forecasts with what came true.
    /// Repeating a bar changes nothing.
    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>>;
}

/// Knows what an account holds; bars may end a position.
pub trait PositionBook: BarObserver {
    /// Open positions of a symbol.
    fn positions<'a>(&'a self, symbol: &'a str, deadline: Duration) -> PortFuture<'a, Result<Positions, VenueError>>;
}

/// One change of the journal. A batch of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalWrite {
    /// The end of a slot. Writing the same slot again changes nothing: the first row is kept.
    EndSlot(Box<SlotRecord>),
    /// Every slot of `schedule` in `(after, until]` that has no row ends as missed. Slots that have an intent get the
    /// intent's ending instead: an order that was sent is never reported as missed.
    MissSlots {
        pipeline: String,
        mode: Mode,
        schedule: Schedule,
        /// Exclusive.
        after: UtcMs,
        /// Inclusive.
        until: UtcMs,
        reason: Reason,
        /// Schedule time of the note.
        noted_at: UtcMs,
    },
    /// Announced slots. The first announcement of an id stands, and so does the row of a slot that has ended.
    Announce { pipeline: String, announced: Vec<Announcement> },
    /// A new intent in state `planned`.
    Plan(Box<Intent>),
    /// A transition of an intent.
    Advance { key: IntentKey, event: IntentEvent, at: UtcMs },
}

impl JournalWrite {
    /// How many rows it adds or changes.
    #[must_use]
    pub fn rows(&self) -> u64 {
        match self {
            Self::MissSlots { schedule, after, until, .. } => schedule.count(*after, *until),
            Self::Announce { announced, .. } => announced.len() as u64,
            Self::EndSlot(_) | Self::Plan(_) | Self::Advance { .. } => 1,
        }
    }
}

/// The result of one write, once its batch is durable.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    Done,
    /// The key exists already, with this intent.
    Exists(Box<Intent>),
    /// The intent's state does not allow this event; nothing was changed.
    Refused(String),
    /// The receipt's ticket already confirmed the order of this key, so it confirms nothing; nothing was changed.
    TicketTaken(IntentKey),
}

/// A query to the journal. Reads see every write that was queued before them.
#[derive(Debug, Clone, PartialEq)]
pub enum JournalRead {
    /// What a pipeline has to know at its start.
    Recovery { pipeline: String },
    /// Announced slots of a pipeline.
    Announced { pipeline: String },
    /// Open intents and recent orders of an account and symbol.
    Exposure { account: String, symbol: String, mode: Mode, now: UtcMs },
    /// Intents of a pipeline that are not final.
    OpenIntents { pipeline: String },
    /// Confirmed orders of an account and symbol, oldest first: what a position is derived from.
    AckedIntents { account: String, symbol: String, mode: Mode },
    /// Intents of one decision, in any state, written by an earlier run of the same cycle. Includes those that the cycle of the
    /// same slot wrote with the other kind of basis: a slot acts once, even if the configuration changed in between.
    ExistingIntents {
        pipeline: String,
        /// Decided bar or slot.
        basis: Basis,
        /// Slot of the cycle that asks.
        slot: UtcMs,
    },
}

/// What a pipeline reads from the journal at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Every slot of a grid up to and including this instant is accounted for: the newest slot that has a row, but for withdrawn
    /// ones, whose row may come before they are due. Without any row it is the instant before the first slot that has an intent,
    /// so that sent orders get their row.
    pub last_slot: Option<UtcMs>,
    /// Newest bar that was decided.
    pub last_decided_bar: Option<UtcMs>,
    /// Newest time of a decision (bar or slot) that has an intent.
    pub newest_intent_basis: Option<UtcMs>,
    /// Newest slot whose cycle wrote an intent.
    pub newest_intent_slot: Option<UtcMs>,
}

impl Recovery {
    /// The newest slot that schedule time had reached for certain: all are accounted for up to `accounted`, and an intent may have
    /// become an order of a later one. A market that has seen an order sees no time before its slot.
    #[must_use]
    pub fn reached(&self, accounted: UtcMs) -> UtcMs {
        self.newest_intent_slot.map_or(accounted, |slot| slot.max(accounted))
    }
}

/// The announced slots of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announced {
    /// The newest one, with or without a row.
    pub newest: Option<UtcMs>,
    /// Those without a row, oldest first.
    pub open: Vec<AnnouncedSlot>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum JournalAnswer {
    Recovery(Recovery),
    Announced(Announced),
    Exposure(Exposure),
    /// To [`JournalRead::OpenIntents`], [`JournalRead::AckedIntents`] and [`JournalRead::ExistingIntents`].
    Intents(Vec<Intent>),
}

/// The journal's disk failed. After this no order may leave: the page cache may show data that is not on the disk.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the journal cannot be written: {0}")]
pub struct JournalFatal(pub String);

/// The journal's storage. One caller at a time; the Journal actor groups writes into batches.
pub trait JournalStore: Send + Sync {
    /// Applies a batch in order, in one transaction, and returns when it is durable.
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>>;

    /// Reads from what is committed.
    fn read(&self, query: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>>;
}

/// Keeps inputs on which a stage failed twice.
pub trait Quarantine: Send + Sync {
    /// Stores the input of a slot and returns where, or why not.
    fn keep(&self, pipeline: &str, slot: UtcMs, stage: &str, bars: Option<&CleanBars>) -> String;
}

/// Named places in the code where the simulator, the chaos demo and the kill tests inject a fault. None is injected in
/// production.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultPoint {
    PreStart,
    PostStart,
    PostStop,
    SupervisorEvent,
    FetcherHandle,
    FeaturesHandle,
    PredictorHandle,
    ExecutorHandle,
    HeartbeatHandle,
    CompetitionClockHandle,
    SlotFeedHandle,
    JournalHandle,
    PipelineHandle,
    BeforePlan,
    AfterPlan,
    AfterSent,
    AfterSubmit,
    AfterOutcome,
    BeforeEndSlot,
    AfterEndSlot,
    BeforeCommit,
    AfterCommit,
    BeforeBookWrite,
    AfterBookWrite,
    BeforeModelSwap,
    BeforeSettle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InjectedFault {
    /// No fault: always, in production.
    None,
    Panic,
    /// Await without end.
    Hang,
    /// Block the thread for this long.
    Block(Duration),
    /// Await for this long.
    Delay(Duration),
}

/// Decides which fault, if any, happens at each point.
pub trait FaultInjector: Send + Sync {
    /// `who` is the child's path, for example `eurusd/executor`.
    fn at(&self, point: FaultPoint, who: &str) -> InjectedFault;
}

#[derive(Debug, Clone, Copy, Default)]
pub struct NoFaults;

impl FaultInjector for NoFaults {
    fn at(&self, _: FaultPoint, _: &str) -> InjectedFault {
        InjectedFault::None
    }
}

/// Carries out the fault that the injector has for this point.
///
/// # Panics
/// When the injected fault is one.
pub async fn inject_fault(faults: &dyn FaultInjector, point: FaultPoint, who: &str) {
    match faults.at(point, who) {
        InjectedFault::None => {}
        InjectedFault::Panic => injected_panic(point, who),
        InjectedFault::Hang => std::future::pending::<()>().await,
        InjectedFault::Block(duration) => std::thread::sleep(duration),
        InjectedFault::Delay(duration) => tokio::time::sleep(duration).await,
    }
}

#[expect(clippy::panic, reason = "the injected fault is a panic")]
fn injected_panic(point: FaultPoint, who: &str) -> ! {
    panic!("injected at {point:?} in {who}")
}
