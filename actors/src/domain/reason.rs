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
    ($($variant:ident, $code:literal, $outcome:ident, $short:literal, $meaning:literal;)*) => {
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

            /// The same in at most 32 characters, for a row of a table.
            #[must_use]
            pub const fn short(self) -> &'static str {
                match self { $(Self::$variant => $short,)* }
            }

            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.code() == code)
            }
        }
    };
}

reasons! {
    OrderAcked, "order_acked", Acted, "The venue confirmed it", "The order was sent and the venue confirmed it.";
    OrderUnknown, "order_unknown", Acted, "Sent, fate not known", "The order was sent and what became of it was not known when the slot ended; the intent stays open until evidence or an operator settles it. The row stands; what became known afterwards is computed when it is read: acted, later confirmed, or acted, later proven absent.";
    OrderRejected, "order_rejected", Acted, "The venue refused it", "The order was sent and the venue refused it.";
    ForecastAcked, "forecast_acked", Acted, "Stored by its ledger", "The forecast was sent and its ledger took it up.";
    ForecastUnknown, "forecast_unknown", Acted, "Sent, fate not known", "The forecast was sent and what became of it was not known when the slot ended; the intent stays open until evidence or an operator settles it.";
    ForecastRejected, "forecast_rejected", Acted, "Its ledger refused it", "The forecast was sent and its ledger refused it.";

    Hold, "hold", NoAction, "The model says hold", "The model's winning class is HOLD.";
    BelowThreshold, "below_threshold", NoAction, "Not confident enough", "The winning class is not more confident than the threshold.";
    AlreadyDecided, "bar_already_decided", NoAction, "Bar decided before", "The newest closed bar was decided in an earlier slot.";
    OppositeIgnored, "opposite_ignored", NoAction, "Opposite position is open", "A position in the other direction is open and on_opposite is 'ignore'.";

    MarketClosed, "market_closed", Skipped, "Market closed", "The market was closed for the due bar and no bar exists.";
    StaleData, "stale_data", Skipped, "The newest bar is too old", "The newest usable bar is too old, or the due bar was delivered unusable.";
    Gap, "gap", Skipped, "Too many bars are missing", "More bars are missing inside the window than max_missing_bars allows.";
    InsufficientHistory, "insufficient_history", Skipped, "Too few bars for the features", "There are fewer usable bars than the features need.";
    SourceTimeout, "source_timeout", Skipped, "No bars in time", "The bar source did not answer inside its deadline.";
    SourceFailed, "source_failed", Skipped, "Bar source answered an error", "The bar source answered with an error.";
    SourceUnauthorised, "source_unauthorised", Skipped, "Bar source refused the key", "The bar source refused the node's credentials.";
    SourceRateLimited, "source_rate_limited", Skipped, "Bar source asked too often", "The bar source was asked too often.";
    ClockOff, "clock_off", Skipped, "Clock differs from bar source", "This machine's clock differs from that of the bar source so much that a forming bar could pass for a closed one; set the clock.";
    UndefinedFeature, "undefined_feature", Skipped, "A feature is undefined", "A feature cell is undefined or not finite.";
    ModelInvalid, "model_invalid", Skipped, "The model is not valid", "The model did not pass this cycle's validation.";
    ModelUnavailable, "model_unavailable", Skipped, "The model could not be asked", "The model could not be asked.";
    ModelTimeout, "model_timeout", Skipped, "Model did not answer in time", "The model did not answer inside its deadline.";
    AnswerStatus, "answer_status", Skipped, "Model server answered an error", "The model's server answered with an error.";
    AnswerUnparseable, "answer_unparseable", Skipped, "Model answer is not readable", "The model's answer could not be read.";
    AnswerRows, "answer_rows", Skipped, "Model answer: not one row", "The model's answer does not have exactly one row.";
    AnswerClasses, "answer_classes", Skipped, "Model answer: wrong classes", "The model's answer has the wrong number of classes.";
    AnswerNotFinite, "answer_not_finite", Skipped, "Model answer: not a number", "The model's answer holds NaN or infinity.";
    AnswerRange, "answer_range", Skipped, "Model answer: out of range", "A probability lies outside [0, 1].";
    AnswerValues, "answer_values", Skipped, "Model answer: not one number", "A regression model's answer is not exactly one number.";
    AnswerSum, "answer_sum", Skipped, "Model answer: sum is not 1", "The probabilities do not add up to 1 within 0.001.";
    RiskMaxPositions, "risk_max_positions", Skipped, "Enough positions are open", "max_open_positions positions are open already.";
    RiskPositionSize, "risk_position_size", Skipped, "More lots than allowed", "More lots than max_position_lots would be open in one direction.";
    RiskHours, "risk_hours", Skipped, "Not at this hour", "New exposure is not allowed at this hour, by risk.hours.";
    RiskOrdersPerHour, "risk_orders_per_hour", Skipped, "Orders of the hour used up", "max_orders_per_hour orders were sent in the last hour.";
    RiskOrdersPerDay, "risk_orders_per_day", Skipped, "Orders of the day used up", "max_orders_per_day orders were sent in the last 24 hours.";
    RiskCoolDown, "risk_cool_down", Skipped, "Cooling down after losses", "As many trades in a row as cool_down_after_losses have lost, so new exposure waits for cool_down; the row says until when.";
    OrderTooLarge, "order_too_large", Skipped, "Order above volume_lots", "The order would be larger than volume_lots, because an open position is; nothing was sent.";
    LevelNotPositive, "level_not_positive", Skipped, "Stop or target not above 0", "The stop or the target would lie at or below 0, which a gateway takes for none; nothing was sent.";
    Reducing, "reducing", Skipped, "A halt lets only closes leave", "A halt stands that lets only closing orders leave, as after three orders or forecasts in a row that were refused for a reason that only an operator can change; `sentinel resume` with its id lifts it.";
    Halted, "halted", Skipped, "A halt lets nothing leave", "A halt stands that lets nothing leave, not even a closing order; `sentinel resume` with its id lifts it.";
    ForecastOutOfBounds, "forecast_out_of_bounds", Skipped, "Forecast above max_abs", "The model's value is larger than max_abs; nothing was sent.";
    ForecastZero, "forecast_zero", Skipped, "Forecast too near to zero", "The model's value is nearer to zero than 0.000001, which no working model answers; nothing was sent.";
    IntentOpen, "intent_open", Skipped, "An earlier intent is not settled", "An earlier intent of this symbol is not settled, so there is no new exposure, and on a grid no new forecast.";
    UnexplainedPosition, "unexplained_position", Skipped, "A position nobody can explain", "The venue lists a position of this symbol that no confirmed order explains, or more of one than was ordered, so there is no new exposure. The row names it; the node never closes it. Close it in the terminal, or settle the order that it belongs to.";
    IntentStands, "intent_stands", Skipped, "Decided before, nothing sent", "An intent for this decision exists already and ended without an order; a repeated cycle acts on nothing.";
    OrderNeverLeft, "order_never_left", Skipped, "The order never left", "The order provably never left the node; nothing was traded.";
    ForecastNeverLeft, "forecast_never_left", Skipped, "The forecast never left", "The forecast provably never left the node.";
    NotPermitted, "not_permitted", Skipped, "Account not allowed on topic", "The account is not on the whitelist of the topic, or not registered there; nothing was sent, and it is tried again with each window.";
    Unfunded, "unfunded", Skipped, "Account cannot pay", "The account cannot pay for the transaction; nothing was sent, and it is tried again with each window.";
    FeeCap, "fee_cap", Skipped, "Fee above its cap", "The transaction would cost more than the cap of one transaction or of a day allows; nothing was sent.";
    WindowClosed, "window_closed", Skipped, "Window closed too early", "The window was closed, or too near to its end, when the forecast was about to leave; nothing was sent.";
    LedgerUnavailable, "ledger_unavailable", Skipped, "The chain could not be asked", "The chain could not be asked before the forecast was to leave; nothing was sent.";
    VenueUnavailable, "venue_unavailable", Skipped, "The venue could not be asked", "The venue could not say which positions are open, so nothing was decided; or what the account has, so nothing was opened.";
    DeadlineExceeded, "deadline_exceeded", Skipped, "Out of time before acting", "The cycle ran out of time before it could act.";
    DecisionExpired, "decision_expired", Skipped, "Too late to send", "Schedule time was no longer (or not yet) near the slot when its order was about to leave, as after a suspend or when the clock was set; nothing was sent.";
    CompetitionOver, "competition_over", Skipped, "The competition is over", "The competition ended before the cycle could act.";
    Withdrawn, "withdrawn", Skipped, "Withdrawn by its announcer", "What had announced the slot withdrew it before anything left.";
    SafeMode, "safe_mode", Skipped, "Safe mode: nothing is sent", "The node is in safe mode after repeated crashes and takes no effects.";
    NotArmed, "not_armed", Skipped, "Not armed for this", "Something that the operator confirmed with `sentinel arm` has changed, or a limit of the arm was reached, so no new exposure and no forecast was sent. Closing orders still leave, and open intents are still settled.";
    DiskLow, "disk_low", Skipped, "The disk is nearly full", "Less than 5 % of the disk with the state directory is free, so no new exposure and no forecast was sent: what leaves must be recorded. Closing orders still leave, and it goes on when there is room again.";
    JournalUnavailable, "journal_unavailable", Skipped, "Journal could not be written", "The intent could not be written, so nothing was sent.";
    StageCrashed, "stage_crashed", Skipped, "A stage crashed or hung", "A stage crashed or hung and the cycle could not be run again in time.";
    PoisonInput, "poison_input", Skipped, "The input crashed a stage twice", "The same input ended a stage twice; it is kept in quarantine/.";

    NodeDown, "node_down", Missed, "The node was not running", "The node was not running when the slot was due.";
    PipelineDown, "pipeline_down", Missed, "The pipeline was not running", "The pipeline was restarting or parked when the slot was due.";
    Overrun, "overrun", Missed, "The cycle before still ran", "The previous cycle was still running when the slot was due.";
    Overload, "overload", Missed, "Too many slots at one time", "Too many slots were due at the same time: its turn to be worked on did not come before it was too late. Nothing was done for it.";
    FeedSilent, "feed_silent", Missed, "The announcer did not answer", "The slot was announced earlier, and what announces slots did not answer after the start until it was over, so that the slot could have been withdrawn.";
    Late, "late", Missed, "Noticed too late to act", "The slot was noticed too late to act on (suspend, clock jump, or an announcement after its end).";
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
                    | Self::RiskPositionSize
                    | Self::RiskHours
                    | Self::RiskOrdersPerHour
                    | Self::RiskOrdersPerDay
                    | Self::RiskCoolDown
                    // It was decided, and somebody wants it to stay here.
                    | Self::Halted
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

    #[test]
    fn the_short_form_of_each_reason_fits_into_a_row_of_a_table() {
        for reason in Reason::ALL {
            let short = reason.short();
            assert!(!short.is_empty() && short.chars().count() <= 32 && !short.ends_with('.'), "{reason}: {short}");
        }
    }
}
