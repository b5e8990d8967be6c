//! Which values of a row can be computed again. What cannot be is counted apart with its reason, and never passed over.

use std::fmt;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::reason::Reason;

use crate::node::Uncovered;

/// Why a slot, or a part of it, is not compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The row itself says that the running node was kept from it.
    Recorded(Reason),
    /// The bar cache has forgotten some of its bars.
    Forgotten,
    /// The bar file does not reach it.
    NotInFile,
    /// A bar had no price when it came, and was filled later.
    FilledLater,
    /// It was computed with another feature set than is configured.
    OtherFeatures(String),
    /// It decided slots where bars are decided now, or the reverse.
    OtherBasis,
    /// It was decided with another threshold than is configured.
    OtherThreshold(String),
    /// Its model is on a server, whose answers are those of another day.
    OnServer,
    /// Another model than the configured one has answered.
    OtherModel(String),
}

impl From<Uncovered> for Why {
    fn from(uncovered: Uncovered) -> Self {
        match uncovered {
            Uncovered::Cache => Self::Forgotten,
            Uncovered::File => Self::NotInFile,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorded(reason) => write!(f, "{reason} ({})", reason.short()),
            Self::Forgotten => f.write_str("the bar cache does not have all of its bars any more"),
            Self::NotInFile => f.write_str("the bar file does not reach it"),
            Self::FilledLater => f.write_str("a bar came without a price and was filled later"),
            Self::OtherFeatures(set) => {
                write!(f, "computed with the feature set {set}, which is not the configured one")
            }
            Self::OtherBasis => f.write_str("decided with another decide_on than is configured"),
            Self::OtherThreshold(then) => {
                write!(f, "decided with the threshold {then}, which is not the configured one")
            }
            Self::OnServer => f.write_str("the model is on a server, so that its recorded answer was decided again"),
            Self::OtherModel(hash) => {
                write!(
                    f,
                    "answered by the model {hash}, which is not the configured one: its recorded answer was decided again"
                )
            }
        }
    }
}

/// What the end of a slot follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeOf {
    /// Bars, model and configuration, and which bars were decided before.
    Bars,
    /// What happened on the account, at the venue, or to the running node.
    Circumstances,
}

impl MadeOf {
    /// What this row's reason follows from.
    #[must_use]
    pub const fn of(row: &SlotRecord) -> Self {
        use Reason as R;
        match row.reason {
            R::Hold
            | R::BelowThreshold
            | R::MarketClosed
            | R::StaleData
            | R::Gap
            | R::InsufficientHistory
            | R::UndefinedFeature
            | R::AnswerClasses
            | R::AnswerNotFinite
            | R::AnswerRange
            | R::AnswerValues
            | R::AnswerSum
            | R::ForecastOutOfBounds
            | R::ForecastZero => Self::Bars,
            // With a decision it was an intent of an earlier run that decided before.
            R::AlreadyDecided if row.decided_bar.is_none() => Self::Bars,
            R::AlreadyDecided
            | R::OrderAcked
            | R::OrderUnknown
            | R::OrderRejected
            | R::ForecastAcked
            | R::ForecastUnknown
            | R::ForecastRejected
            | R::OppositeIgnored
            | R::SourceTimeout
            | R::SourceFailed
            | R::SourceUnauthorised
            | R::SourceRateLimited
            | R::ClockOff
            | R::ModelInvalid
            | R::ModelUnavailable
            | R::ModelTimeout
            | R::AnswerStatus
            | R::AnswerUnparseable
            // Only the first of its rows is recorded.
            | R::AnswerRows
            | R::RiskMaxPositions
            | R::RiskPositionSize
            | R::RiskHours
            | R::RiskOrdersPerHour
            | R::RiskOrdersPerDay
            | R::RiskCoolDown
            | R::OrderTooLarge
            | R::LevelNotPositive
            | R::Reducing
            | R::Halted
            | R::IntentOpen
            | R::UnexplainedPosition
            | R::IntentStands
            | R::OrderNeverLeft
            | R::ForecastNeverLeft
            | R::NotPermitted
            | R::Unfunded
            | R::FeeCap
            | R::WindowClosed
            | R::LedgerUnavailable
            | R::VenueUnavailable
            | R::DeadlineExceeded
            | R::DecisionExpired
            | R::CompetitionOver
            | R::Withdrawn
            | R::SafeMode
            | R::NotArmed
            | R::DiskLow
            | R::JournalUnavailable
            | R::StageCrashed
            | R::PoisonInput
            | R::NodeDown
            | R::PipelineDown
            | R::Overrun
            | R::Overload
            | R::FeedSilent
            | R::Late => Self::Circumstances,
        }
    }
}

/// Whether a slot may have ended so because its bars came later than now can be seen: its reason is one of them, and it had others than
/// `own`, the same slot computed again. That the same bars had other prices has nothing to do with it.
#[must_use]
pub fn may_be_of_lateness(own: &SlotRecord, row: &SlotRecord) -> bool {
    let had = |of: &SlotRecord| (of.reason, of.newest_bar, of.bars, of.missing_bars, of.dropped.clone());
    matches!(row.reason, Reason::StaleData | Reason::Gap | Reason::MarketClosed | Reason::InsufficientHistory)
        && had(own) != had(row)
}

/// How far a row goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    Nothing,
    Bars,
    Frame,
    Answer,
    Decision,
}

impl Depth {
    #[must_use]
    pub const fn of(row: &SlotRecord) -> Self {
        if row.bars_digest.is_none() {
            Self::Nothing
        } else if row.features_digest.is_none() {
            Self::Bars
        } else if row.raw_output.is_none() {
            Self::Frame
        } else if row.decided_bar.is_none() {
            Self::Answer
        } else {
            Self::Decision
        }
    }
}

/// Takes over from the record what is not computed again: the account's part of the decision, and what only the running node knew.
pub fn take_over(own: &mut SlotRecord, row: &SlotRecord, has_other_threshold: bool) {
    own.mode = row.mode;
    (own.attempts, own.started_at, own.ended_at, own.anchor) = (row.attempts, row.started_at, row.ended_at, row.anchor);
    own.intents.clone_from(&row.intents);
    if let (Some(own), Some(row)) = (&mut own.weighed, &row.weighed) {
        (own.open_positions, own.risk) = (row.open_positions, row.risk);
        if has_other_threshold {
            own.threshold = row.threshold;
        }
    } else if row.weighed.is_none() && row.decided_bar.is_some() {
        // Rows of older versions have none.
        own.weighed = None;
    }
    let made_of = MadeOf::of(row);
    if made_of == MadeOf::Circumstances || has_other_threshold {
        own.reason = row.reason;
        own.detail.clone_from(&row.detail);
    }
    if made_of == MadeOf::Bars {
        return;
    }
    // It ended there, so that there is nothing to compare beyond.
    let depth = Depth::of(row);
    if depth < Depth::Frame {
        own.feature_set.clone_from(&row.feature_set);
        own.features_digest.clone_from(&row.features_digest);
        own.missing_bars = row.missing_bars;
    }
    if depth < Depth::Answer {
        own.model.clone_from(&row.model);
        own.raw_output.clone_from(&row.raw_output);
    }
    if depth < Depth::Decision {
        own.signal.clone_from(&row.signal);
        own.weighed.clone_from(&row.weighed);
        (own.confidence, own.decided_bar) = (row.confidence, row.decided_bar);
    }
}

#[cfg(test)]
mod tests {
    use sentinel_actors::domain::cycle::Weighed;
    use sentinel_actors::domain::decision::DecideOn;
    use sentinel_actors::domain::intent::Mode;
    use sentinel_actors::domain::prediction::ModelIdentity;
    use sentinel_actors::domain::time::UtcMs;

    use super::*;

    fn whole(reason: Reason) -> SlotRecord {
        let weighed = Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 0, risk: None };
        SlotRecord {
            bars_digest: Some("bars".to_owned()),
            feature_set: Some("set".to_owned()),
            features_digest: Some("frame".to_owned()),
            model: Some(ModelIdentity { id: "m".to_owned(), hash: "h".to_owned() }),
            raw_output: Some(vec![0.5, 0.5]),
            signal: Some("buy".to_owned()),
            confidence: Some(0.5),
            decided_bar: Some(UtcMs(1)),
            weighed: Some(weighed),
            ..SlotRecord::new("p", UtcMs(2), Mode::DryRun, reason, UtcMs(2))
        }
    }

    #[test]
    fn a_reason_that_is_none_of_bars_and_a_stage_that_was_not_reached_are_left_to_the_record() {
        let mut row = whole(Reason::ModelTimeout);
        (row.raw_output, row.model, row.signal, row.confidence) = (None, None, None, None);
        (row.decided_bar, row.weighed) = (None, None);
        let mut own = whole(Reason::Hold);
        own.features_digest = Some("another frame".to_owned());
        take_over(&mut own, &row, false);
        assert_eq!(own.features_digest.as_deref(), Some("another frame"), "it was reached, and is compared");
        own.features_digest.clone_from(&row.features_digest);
        assert_eq!(own, row);
    }

    #[test]
    fn of_a_decision_only_what_the_account_adds_is_left_to_the_record() {
        let mut row = whole(Reason::RiskMaxPositions);
        row.weighed.as_mut().unwrap().open_positions = 3;
        let mut own = whole(Reason::OrderAcked);
        own.confidence = Some(0.7);
        take_over(&mut own, &row, false);
        assert_eq!((own.reason, own.weighed.clone()), (row.reason, row.weighed.clone()));
        assert_eq!(own.confidence, Some(0.7), "it is compared");
    }

    #[test]
    fn an_end_that_follows_from_the_bars_is_compared() {
        let row = whole(Reason::Hold);
        let mut own = whole(Reason::BelowThreshold);
        take_over(&mut own, &row, false);
        assert_eq!(own.reason, Reason::BelowThreshold);
    }
}
