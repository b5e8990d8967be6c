//! What the node needs from outside. Adapters in the root package implement these; the simulator implements all of them.
//!
//! An adapter keeps the deadline that it is given and returns an error value when it cannot. A call that does not return in
//! time is a hang: the supervisor ends the stage that waits for it (promise 3).

mod arming;
mod disk;
mod faults;
mod journal;
mod kill_switch;
mod slots;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::domain::account::AccountReport;
use crate::domain::account_risk::AccountReading;
use crate::domain::action::Receipt;
use crate::domain::bar::{Bar, CleanBars, Cleaning, Interval, RawBar, clean};
use crate::domain::evidence::Grade;
use crate::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use crate::domain::intent::{Intent, IntentKey, Mode};
use crate::domain::made_bars::IncompleteBar;
use crate::domain::order::Position;
use crate::domain::prediction::{ModelIdentity, RawAnswer};
use crate::domain::reason::Reason;
use crate::domain::time::UtcMs;

pub use self::arming::{Arming, NoArming, NotArmed, Taken};
pub use self::disk::{DiskSpace, UnmeasuredDisk};
pub use self::faults::{FaultInjector, FaultPoint, InjectedFault, NoFaults, inject_fault};
pub use self::journal::{
    AccountWrite, Announced, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite, Recovery, Written,
};
pub use self::kill_switch::{KillSwitch, NoKillSwitch};
pub use self::slots::{Announcer, FeedAnswer, FeedError, FeedRequest, SlotFeed};

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

    /// Whether it shows the right time only once the feed of the pipeline's slots has answered, as a chain's clock does.
    fn learns_time(&self) -> bool {
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
    /// The clocks differ so much that a forming bar could pass for a closed one.
    #[error(
        "this machine's clock is {} s {} that of the bar source: set it, for example with chrony",
        ahead_ms.unsigned_abs() / 1000,
        if *ahead_ms < 0 { "behind" } else { "ahead of" }
    )]
    ClockOff { ahead_ms: i64 },
}

fn wait_text(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!(", and is not asked again for {} s", wait.as_secs()))
}

/// What a source has.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Delivered {
    /// Bars as delivered, in any order. A source that serves a thousand pipelines gives all of them the same ones.
    pub bars: Arc<[RawBar]>,
    /// Bars that could not be made for want of parts.
    pub incomplete: Vec<IncompleteBar>,
}

impl From<Vec<RawBar>> for Delivered {
    fn from(bars: Vec<RawBar>) -> Self {
        Self { bars: bars.into(), incomplete: Vec::new() }
    }
}

/// What a source has, cleaned.
#[derive(Debug, Clone, PartialEq)]
pub struct Cleaned {
    pub bars: CleanBars,
    /// As [`Delivered::incomplete`].
    pub incomplete: Vec<IncompleteBar>,
}

pub trait BarSource: Send + Sync {
    fn fetch<'a>(&'a self, request: &'a BarRequest) -> PortFuture<'a, Result<Delivered, SourceError>>;

    /// The same, cleaned as [`clean`] does it. A source that has all of its bars beforehand need not look at each of them for every
    /// window.
    fn fetch_clean<'a>(
        &'a self,
        request: &'a BarRequest,
        how: &'a Cleaning,
    ) -> PortFuture<'a, Result<Cleaned, SourceError>> {
        Box::pin(async move {
            let Delivered { bars, incomplete } = self.fetch(request).await?;
            Ok(Cleaned { bars: clean(&bars, how), incomplete })
        })
    }
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
    /// Another model has taken the place of the one that was there first, or the same one answers differently.
    #[error("the model failed validation: {0}")]
    Changed(String),
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
    /// The sink did not let it out, for a reason that may pass by itself or that an operator can end. It is asked again with the
    /// next slot.
    Withheld {
        why: Withheld,
        /// What is the matter, and what to do.
        text: String,
    },
    /// Anything else.
    Unknown(String),
}

/// Why a sink lets nothing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The account may not do it there.
    NotPermitted,
    /// The account cannot pay.
    Unfunded,
    /// It would cost more than is allowed.
    FeeCap,
    /// Its window is closed, or too near to its end.
    WindowClosed,
    /// The other side cannot be asked.
    LedgerUnavailable,
}

impl Withheld {
    pub const ALL: [Self; 5] =
        [Self::NotPermitted, Self::Unfunded, Self::FeeCap, Self::WindowClosed, Self::LedgerUnavailable];

    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::NotPermitted => Reason::NotPermitted,
            Self::Unfunded => Reason::Unfunded,
            Self::FeeCap => Reason::FeeCap,
            Self::WindowClosed => Reason::WindowClosed,
            Self::LedgerUnavailable => Reason::LedgerUnavailable,
        }
    }
}

/// What the other side answered about an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Evidence {
    /// By the effect's own id.
    Found(Receipt),
    /// The venue cannot be asked about an effect. These are the positions of its symbol that are open now.
    Positions(Vec<Position>),
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
    /// orders can then prove that this process never handed it over. The effect ends `within` this time: no deadline of
    /// [`Sink::submit`] is later. Returns what becomes [`Intent::venue_note`]; only a venue that reports positions may have one.
    fn prepare(&self, _key: &IntentKey, _within: Duration) -> Option<String> {
        None
    }

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

    /// Whether it can be asked about an effect by the effect's own id. Where it can, a reply that names another order's ticket may be
    /// that order's, come late; where it cannot, nothing will ever tell.
    fn asks_by_id(&self) -> bool {
        true
    }

    /// Evidence that is weaker than this leaves an intent for an operator.
    fn least_evidence(&self) -> Grade {
        Grade::PositionDelta
    }

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
    /// Positions of a symbol that are open at `slot`. A replay that was killed repeats slots whose bars the book may have been
    /// shown already: what a later bar ended is still open there.
    fn positions<'a>(
        &'a self,
        symbol: &'a str,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Positions, VenueError>>;

    /// Whether it closes one position out of several by its ticket.
    ///
    /// # Errors
    /// Why not, and what to do instead, for a person.
    fn closes_by_ticket(&self) -> Result<(), String> {
        Err("its venue closes no position by its ticket".to_owned())
    }

    /// What the venue says of the account, and whether it can be believed.
    fn account_report(&self, _now: UtcMs, _deadline: Duration) -> PortFuture<'_, Result<AccountReport, VenueError>> {
        Box::pin(std::future::ready(Ok(AccountReport::SILENT)))
    }

    /// Whether it tells balance, equity and open positions of the account.
    fn tells_account(&self) -> bool {
        false
    }

    /// Balance, equity and open positions of the account at one instant, as far as a replay has got at `slot`. `None`: it does not
    /// tell them.
    fn account_reading(
        &self,
        _slot: UtcMs,
        _deadline: Duration,
    ) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Keeps inputs on which a stage failed twice.
pub trait Quarantine: Send + Sync {
    /// Stores the input of a slot and returns where, or why not.
    fn keep(&self, pipeline: &str, slot: UtcMs, stage: &str, bars: Option<&CleanBars>) -> String;
}
