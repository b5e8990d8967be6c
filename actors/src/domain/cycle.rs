//! One cycle: the record of a slot, and the pure machine that says which slot is worked on, missed or run again.
//!
//! Promise 1 lives here: every slot that the schedule makes due is the slot in flight, or leaves
//! [`SlotMachine`] in exactly one [`SlotCommand::Finish`] or [`SlotCommand::Abort`], or inside exactly one
//! [`SlotCommand::Miss`] range.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::decision::DecideOn;
use super::intent::{IntentKey, Mode};
use super::prediction::ModelIdentity;
use super::reason::{Outcome, Reason};
use super::schedule::{Schedule, Window};
use super::time::UtcMs;

/// The four stages of a cycle, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    DataFetcher,
    FeatureBuilder,
    Predictor,
    Executor,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::DataFetcher, Self::FeatureBuilder, Self::Predictor, Self::Executor];

    /// Position in the flow.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DataFetcher => "data_fetcher",
            Self::FeatureBuilder => "feature_builder",
            Self::Predictor => "predictor",
            Self::Executor => "executor",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The journal's row of one slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SlotRecord {
    pub pipeline: String,
    /// Due time.
    pub slot: UtcMs,
    pub mode: Mode,
    /// How it ended; its outcome follows.
    pub reason: Reason,
    /// For a person: what the reason does not say.
    pub detail: String,
    /// How often the cycle was started: 0 for missed slots, 2 after a re-run.
    pub attempts: u32,
    /// Schedule time at which the cycle started.
    pub started_at: Option<UtcMs>,
    /// Schedule time at which the slot ended.
    pub ended_at: UtcMs,
    /// Elapsed microseconds per stage, in the order of [`Stage::ALL`].
    pub stage_us: [Option<u64>; 4],
    /// Elapsed microseconds in which it waited: for its turn to begin, and between its stages. `None` in rows of older versions,
    /// and for slots that were never in work nor in the queue.
    pub waited_us: Option<u64>,
    /// Open time of the newest usable bar.
    pub newest_bar: Option<UtcMs>,
    /// Usable bars in the window.
    pub bars: Option<u32>,
    /// Delivered bars that were not used, by reason code: `null=3,duplicate=1`.
    pub dropped: String,
    /// Bars that should exist inside the window and do not.
    pub missing_bars: Option<u32>,
    pub bars_digest: Option<String>,
    pub feature_set: Option<String>,
    pub features_digest: Option<String>,
    pub model: Option<ModelIdentity>,
    pub raw_output: Option<Vec<f64>>,
    /// The winner, as a signal's code.
    pub signal: Option<String>,
    /// The winner's probability.
    pub confidence: Option<f64>,
    /// What a forecast counts from, when that is not the close of its bar: the time of an announced slot, floored to the minute.
    pub anchor: Option<UtcMs>,
    /// Open time of the bar that was decided; `None` when no decision was reached.
    pub decided_bar: Option<UtcMs>,
    pub intents: Vec<IntentKey>,
    /// What the decision was compared with; `None` when no decision was reached, and in rows of older versions.
    pub weighed: Option<Weighed>,
    /// Number of the node's start under which the row was written; the journal fills it in.
    pub start: Option<i64>,
}

/// The values that a decision was compared with, besides the prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weighed {
    /// Whether the bar or the slot was decided.
    pub decide_on: DecideOn,
    /// The winner had to be more probable than this.
    pub threshold: f64,
    /// Open positions of the symbol, as far as they can be known.
    pub open_positions: u32,
    /// Limits and counts of the last order that was weighed; `None` when no order was wanted.
    pub risk: Option<WeighedRisk>,
}

/// The counts that let an order pass or stopped it, each with its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeighedRisk {
    /// Open positions of the symbol right before the order.
    pub open_positions: u32,
    /// `None`: no limit.
    pub max_open_positions: Option<u32>,
    /// Orders of the last hour that may have left.
    pub orders_last_hour: u32,
    pub max_orders_per_hour: u32,
    /// Orders of the last 24 hours that may have left.
    pub orders_last_day: u32,
    pub max_orders_per_day: u32,
    /// Other intents of account and symbol that are not settled.
    pub open_intents: u32,
}

impl SlotRecord {
    /// An empty record; `reason` stands until the cycle says otherwise.
    #[must_use]
    pub fn new(pipeline: &str, slot: UtcMs, mode: Mode, reason: Reason, ended_at: UtcMs) -> Self {
        Self {
            pipeline: pipeline.to_owned(),
            slot,
            mode,
            reason,
            detail: String::new(),
            attempts: 0,
            started_at: None,
            ended_at,
            stage_us: [None; 4],
            waited_us: None,
            newest_bar: None,
            bars: None,
            dropped: String::new(),
            missing_bars: None,
            bars_digest: None,
            feature_set: None,
            features_digest: None,
            model: None,
            raw_output: None,
            signal: None,
            confidence: None,
            anchor: None,
            decided_bar: None,
            intents: Vec::new(),
            weighed: None,
            start: None,
        }
    }

    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        self.reason.outcome()
    }
}

/// What the machine is asked to react to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotEvent {
    /// Schedule time is `now`.
    Tick { now: UtcMs },
    /// The cycle of this slot and attempt reported its end.
    Ended {
        slot: UtcMs,
        /// Attempt that ended.
        attempt: u32,
    },
    /// The turn of this slot did not come in time: nothing was done for it.
    NotBegun { slot: UtcMs },
    /// The stage that held the cycle crashed, hung or was killed.
    StageFailed {
        slot: UtcMs,
        /// Attempt that it held.
        attempt: u32,
        /// Whether the elapsed deadline leaves room for another attempt.
        time_left: bool,
        /// Whether the attempt before failed in the same stage on the same input.
        same_input: bool,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotCommand {
    /// Start a cycle; `attempt` is 1 or 2.
    Begin {
        slot: UtcMs,
        /// 1, or 2 for the re-run.
        attempt: u32,
    },
    /// The slot's record is complete: write what the cycle reported.
    Finish { slot: UtcMs },
    /// The slot ends with this reason without a report.
    Abort { slot: UtcMs, reason: Reason },
    /// All slots in `(after, until]` end as missed.
    Miss {
        /// Exclusive.
        after: UtcMs,
        /// Inclusive.
        until: UtcMs,
        reason: Reason,
    },
    /// One slot ends with this reason without a cycle.
    End { slot: UtcMs, reason: Reason },
    /// The slot in flight was withdrawn: no effect of it may leave any more.
    Withdraw { slot: UtcMs },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    pub slot: UtcMs,
    /// 1 or 2.
    pub attempt: u32,
}

/// The attempt that a pipeline works on: at most one, run again at most once.
#[derive(Debug, Clone)]
pub struct CycleInFlight(Option<InFlight>);

impl CycleInFlight {
    /// Nothing is in flight.
    pub const NONE: Self = Self(None);

    #[must_use]
    pub const fn get(&self) -> Option<InFlight> {
        self.0
    }

    /// The first attempt at `slot`.
    #[must_use]
    pub const fn begin(&mut self, slot: UtcMs) -> SlotCommand {
        self.0 = Some(InFlight { slot, attempt: 1 });
        SlotCommand::Begin { slot, attempt: 1 }
    }

    /// Reacts to what became of an attempt; one that was given up changes nothing. A cycle is not run again when `given_up` says
    /// why.
    #[must_use]
    pub fn on(&mut self, event: SlotEvent, given_up: Option<Reason>) -> Vec<SlotCommand> {
        match event {
            SlotEvent::Ended { slot, attempt } if self.0 == Some(InFlight { slot, attempt }) => {
                self.0 = None;
                vec![SlotCommand::Finish { slot }]
            }
            SlotEvent::NotBegun { slot } if self.0 == Some(InFlight { slot, attempt: 1 }) => {
                self.0 = None;
                vec![SlotCommand::Abort { slot, reason: given_up.unwrap_or(Reason::Overload) }]
            }
            SlotEvent::StageFailed { slot, attempt, time_left, same_input }
                if self.0 == Some(InFlight { slot, attempt }) =>
            {
                if attempt == 1 && time_left && given_up.is_none() {
                    self.0 = Some(InFlight { slot, attempt: 2 });
                    return vec![SlotCommand::Begin { slot, attempt: 2 }];
                }
                self.0 = None;
                let crashed = if same_input { Reason::PoisonInput } else { Reason::StageCrashed };
                vec![SlotCommand::Abort { slot, reason: given_up.unwrap_or(crashed) }]
            }
            _ => Vec::new(),
        }
    }
}

/// Which slots of a grid are accounted for and which one is in flight. Knows no clock: time comes in events.
#[derive(Debug, Clone)]
pub struct SlotMachine {
    schedule: Schedule,
    window: Window,
    /// A slot that is noticed later than this is missed.
    lateness: Duration,
    /// Every slot up to and including this one has been handed out.
    accounted: UtcMs,
    /// Slots up to and including this one were due before this pipeline (or node) was up.
    down_until: UtcMs,
    down_reason: Reason,
    in_flight: CycleInFlight,
}

impl SlotMachine {
    /// A machine that has accounted for every slot up to and including `accounted`. Slots in `(accounted, down_until]` passed
    /// while it did not run and end with `down_reason`, except the newest one if it is still fresh.
    #[must_use]
    pub fn new(
        schedule: Schedule,
        window: Window,
        lateness: Duration,
        accounted: UtcMs,
        down_until: UtcMs,
        down_reason: Reason,
    ) -> Self {
        Self { schedule, window, lateness, accounted, down_until, down_reason, in_flight: CycleInFlight::NONE }
    }

    #[must_use]
    pub const fn in_flight(&self) -> Option<InFlight> {
        self.in_flight.get()
    }

    /// Every slot up to and including this one has been handed out.
    #[must_use]
    pub const fn accounted(&self) -> UtcMs {
        self.accounted
    }

    /// The next slot that will become due; `None` after the window's end.
    #[must_use]
    pub fn next_due(&self) -> Option<UtcMs> {
        let floor = self.window.start.map_or(self.accounted, |start| self.accounted.max(start.before()));
        let next = self.schedule.after(floor);
        (!self.window.is_over(next)).then_some(next)
    }

    /// Whether every slot of the window has its end.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.in_flight().is_none() && self.next_due().is_none()
    }

    #[must_use]
    pub fn on(&mut self, event: SlotEvent) -> Vec<SlotCommand> {
        match event {
            SlotEvent::Tick { now } => self.tick(now),
            other => self.in_flight.on(other, None),
        }
    }

    fn tick(&mut self, now: UtcMs) -> Vec<SlotCommand> {
        let mut commands = Vec::new();
        let Some(first) = self.next_due().filter(|first| *first <= now) else { return commands };
        // Slots after the window's end are not due.
        let until = match self.window.end {
            Some(end) if end <= now => end.before(),
            _ => now,
        };
        let newest = self.schedule.newest_due(until);
        let before_newest = newest.before();
        self.accounted = self.accounted.max(first.before());

        let passing_reason = if self.in_flight().is_some() { Reason::Overrun } else { Reason::Late };
        self.miss_until(self.down_until.min(before_newest), self.down_reason, &mut commands);
        self.miss_until(before_newest, passing_reason, &mut commands);
        if self.in_flight().is_some() {
            self.miss_until(newest, Reason::Overrun, &mut commands);
        } else if now.since(newest) > self.lateness {
            let reason = if newest <= self.down_until { self.down_reason } else { Reason::Late };
            self.miss_until(newest, reason, &mut commands);
        } else {
            self.accounted = newest;
            commands.push(self.in_flight.begin(newest));
        }
        commands
    }

    fn miss_until(&mut self, until: UtcMs, reason: Reason, commands: &mut Vec<SlotCommand>) {
        if self.schedule.count(self.accounted, until) == 0 {
            return;
        }
        commands.push(SlotCommand::Miss { after: self.accounted, until, reason });
        self.accounted = until;
    }
}
