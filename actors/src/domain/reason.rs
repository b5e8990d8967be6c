//! How a slot can end: four outcomes, and a stable code for each reason.
//!
//! Every due slot ends with exactly one reason, and each reason belongs to exactly one outcome (promise 1). The codes are
//! a contract: they stand in the journal, in logs and in docs/reasons.md, which a test generates from this file.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What became of a slot. `due = acted + no_action + skipped + missed`, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// An order or a forecast left the node.
    Acted,
    /// A decision was made, and it was to do nothing.
    NoAction,
    /// No decision could be made or acted upon.
    Skipped,
    /// The slot was never worked on.
    Missed,
}

impl Outcome {
    /// All outcomes, in the order of the equation.
    pub const ALL: [Self; 4] = [Self::Acted, Self::NoAction, Self::Skipped, Self::Missed];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Acted => "acted",
            Self::NoAction => "no_action",
            Self::Skipped => "skipped",
            Self::Missed => "missed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

macro_rules! reasons {
    ($($variant:ident, $code:literal, $outcome:ident, $meaning:literal;)*) => {
        /// Why a slot ended as it did.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Reason {
            $(#[doc = $meaning] #[serde(rename = $code)] $variant,)*
        }

        impl Reason {
            /// Every reason, grouped by outcome.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Stable code, as it stands in the journal and in logs.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// The outcome that this reason belongs to.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$variant => Outcome::$outcome,)* }
            }

            /// One sentence for a person.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    OrderAcked, "order_acked", Acted, "The order was sent and the venue confirmed it.";
    OrderUnknown, "order_unknown", Acted, "The order was sent and what became of it was not known when the slot ended; the intent stays open until evidence or an operator settles it. The row stands; what became known afterwards is computed when it is read: acted, later confirmed, or acted, later proven absent.";
    OrderRejected, "order_rejected", Acted, "The order was sent and the venue refused it.";
    ForecastAcked, "forecast_acked", Acted, "The forecast was sent and its ledger took it up.";
    ForecastUnknown, "forecast_unknown", Acted, "The forecast was sent and what became of it was not known when the slot ended; the intent stays open until evidence or an operator settles it.";
    ForecastRejected, "forecast_rejected", Acted, "The forecast was sent and its ledger refused it.";

    Hold, "hold", NoAction, "The model's winning class is HOLD.";
    BelowThreshold, "below_threshold", NoAction, "The winning class is not more confident than the threshold.";
    AlreadyDecided, "bar_already_decided", NoAction, "The newest closed bar was decided in an earlier slot.";
    OppositeIgnored, "opposite_ignored", NoAction, "A position in the other direction is open and on_opposite is 'ignore'.";

    MarketClosed, "market_closed", Skipped, "The market was closed for the due bar and no bar exists.";
    StaleData, "stale_data", Skipped, "The newest usable bar is too old, or the due bar was delivered unusable.";
    Gap, "gap", Skipped, "More bars are missing inside the window than max_missing_bars allows.";
    InsufficientHistory, "insufficient_history", Skipped, "There are fewer usable bars than the features need.";
    SourceTimeout, "source_timeout", Skipped, "The bar source did not answer inside its deadline.";
    SourceFailed, "source_failed", Skipped, "The bar source answered with an error.";
    SourceUnauthorised, "source_unauthorised", Skipped, "The bar source refused the node's credentials.";
    SourceRateLimited, "source_rate_limited", Skipped, "The bar source was asked too often.";
    ClockOff, "clock_off", Skipped, "This machine's clock differs from that of the bar source so much that a forming bar could pass for a closed one; set the clock.";
    UndefinedFeature, "undefined_feature", Skipped, "A feature cell is undefined or not finite.";
    ModelInvalid, "model_invalid", Skipped, "The model did not pass this cycle's validation.";
    ModelUnavailable, "model_unavailable", Skipped, "The model could not be asked.";
    ModelTimeout, "model_timeout", Skipped, "The model did not answer inside its deadline.";
    AnswerStatus, "answer_status", Skipped, "The model's server answered with an error.";
    AnswerUnparseable, "answer_unparseable", Skipped, "The model's answer could not be read.";
    AnswerRows, "answer_rows", Skipped, "The model's answer does not have exactly one row.";
    AnswerClasses, "answer_classes", Skipped, "The model's answer has the wrong number of classes.";
    AnswerNotFinite, "answer_not_finite", Skipped, "The model's answer holds NaN or infinity.";
    AnswerRange, "answer_range", Skipped, "A probability lies outside [0, 1].";
    AnswerValues, "answer_values", Skipped, "A regression model's answer is not exactly one number.";
    AnswerSum, "answer_sum", Skipped, "The probabilities do not add up to 1 within 0.001.";
    RiskMaxPositions, "risk_max_positions", Skipped, "max_open_positions positions are open already.";
    RiskOrdersPerHour, "risk_orders_per_hour", Skipped, "max_orders_per_hour orders were sent in the last hour.";
    RiskOrdersPerDay, "risk_orders_per_day", Skipped, "max_orders_per_day orders were sent in the last 24 hours.";
    OrderTooLarge, "order_too_large", Skipped, "The order would be larger than volume_lots, because an open position is; nothing was sent.";
    LevelNotPositive, "level_not_positive", Skipped, "The stop or the target would lie at or below 0, which a gateway takes for none; nothing was sent.";
    Reducing, "reducing", Skipped, "Three orders or forecasts in a row were refused for a reason that only an operator can change; until the next start only closing orders are sent.";
    ForecastOutOfBounds, "forecast_out_of_bounds", Skipped, "The model's value is larger than max_abs; nothing was sent.";
    ForecastZero, "forecast_zero", Skipped, "The model's value is nearer to zero than 0.000001, which no working model answers; nothing was sent.";
    IntentOpen, "intent_open", Skipped, "An earlier intent of this symbol is not settled, so there is no new exposure and no new forecast.";
    IntentStands, "intent_stands", Skipped, "An intent for this decision exists already and ended without an order; a repeated cycle acts on nothing.";
    OrderNeverLeft, "order_never_left", Skipped, "The order provably never left the node; nothing was traded.";
    ForecastNeverLeft, "forecast_never_left", Skipped, "The forecast provably never left the node.";
    VenueUnavailable, "venue_unavailable", Skipped, "The venue could not say which positions are open, so nothing was decided.";
    DeadlineExceeded, "deadline_exceeded", Skipped, "The cycle ran out of time before it could act.";
    DecisionExpired, "decision_expired", Skipped, "Schedule time was no longer (or not yet) near the slot when its order was about to leave, as after a suspend or when the clock was set; nothing was sent.";
    CompetitionOver, "competition_over", Skipped, "The competition ended before the cycle could act.";
    Withdrawn, "withdrawn", Skipped, "What had announced the slot withdrew it before anything left.";
    SafeMode, "safe_mode", Skipped, "The node is in safe mode after repeated crashes and takes no effects.";
    JournalUnavailable, "journal_unavailable", Skipped, "The intent could not be written, so nothing was sent.";
    StageCrashed, "stage_crashed", Skipped, "A stage crashed or hung and the cycle could not be run again in time.";
    PoisonInput, "poison_input", Skipped, "The same input ended a stage twice; it is kept in quarantine/.";

    NodeDown, "node_down", Missed, "The node was not running when the slot was due.";
    PipelineDown, "pipeline_down", Missed, "The pipeline was restarting or parked when the slot was due.";
    Overrun, "overrun", Missed, "The previous cycle was still running when the slot was due.";
    Overload, "overload", Missed, "Too many slots were due at the same time: its turn to be worked on did not come before it was too late. Nothing was done for it.";
    FeedSilent, "feed_silent", Missed, "The slot was announced earlier, and what announces slots did not answer after the start until it was over, so that the slot could have been withdrawn.";
    Late, "late", Missed, "The slot was noticed too late to act on (suspend, clock jump, or an announcement after its end).";
}

impl Reason {
    /// Whether something that should work kept the slot from a decision. A node whose slots all end so does no useful work,
    /// however punctual it is (promise 4).
    #[must_use]
    pub const fn is_fault(self) -> bool {
        match self.outcome() {
            Outcome::Missed => true,
            Outcome::Acted | Outcome::NoAction => false,
            Outcome::Skipped => !matches!(
                self,
                Self::MarketClosed
                    | Self::RiskMaxPositions
                    | Self::RiskOrdersPerHour
                    | Self::RiskOrdersPerDay
                    | Self::CompetitionOver
                    | Self::Withdrawn
            ),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why a stage ends its cycle, with the detail for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub reason: Reason,
    /// One or more sentences for a person; may be empty.
    pub detail: String,
}

impl Ending {
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_lead_back_to_their_reason() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
        }
    }
}
