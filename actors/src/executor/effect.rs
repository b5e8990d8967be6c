//! What each order results in, and how the slot ends because of it. Pure, except for a counter.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::action::{Action, EffectEnd};
use crate::domain::intent::{Intent, IntentEvent, IntentState};
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::journal::JournalUnavailable;
use crate::ports::Submission;

/// Lasting refusals in a row. Shared by the incarnations of one Executor; a new process starts at 0.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<AtomicU32>);

impl Refusals {
    /// With this many, no new exposure is opened: an operator has to correct something.
    const MAX: u32 = 3;

    /// Counts the result of one more order. Says whether it is one refusal too many; the next row begins then.
    pub(super) fn record(&self, submission: &Submission) -> bool {
        match submission {
            Submission::Rejected { lasting: true, .. } => {
                let are_too_many = self.0.fetch_add(1, Ordering::Relaxed) + 1 >= Self::MAX;
                if are_too_many {
                    self.0.store(0, Ordering::Relaxed);
                }
                are_too_many
            }
            Submission::Acked(_) => {
                self.0.store(0, Ordering::Relaxed);
                false
            }
            _ => false,
        }
    }
}

/// What an order resulted in.
pub(super) enum Effect {
    /// It left the node, or may have.
    Acted(Reason, String),
    /// It left in an earlier slot, and is recorded in that slot's row.
    ActedEarlier {
        /// Which intent, and its state.
        text: String,
        /// The venue has confirmed it.
        is_acked: bool,
    },
    /// Nothing left the node.
    Nothing(Ending),
}

/// What an existing intent means for its order in `slot`; `None` when it was only planned and may be sent.
pub(super) fn existing_effect(existing: &Intent, slot: UtcMs) -> Option<Effect> {
    let text = format!("the intent {} stands as {}", existing.key, existing.state);
    let reason = match existing.state {
        IntentState::Planned => return None,
        IntentState::Absent => return Some(Effect::Nothing(Ending::new(Reason::IntentStands, text))),
        IntentState::Acked => existing.action.reason(EffectEnd::Acked),
        IntentState::Rejected => existing.action.reason(EffectEnd::Rejected),
        IntentState::Sent | IntentState::Unknown | IntentState::Held => existing.action.reason(EffectEnd::Unknown),
    };
    if existing.slot == slot {
        return Some(Effect::Acted(reason, text));
    }
    let text = format!("{text}, from the slot {}", existing.slot);
    Some(Effect::ActedEarlier { text, is_acked: existing.state == IntentState::Acked })
}

/// How a slot ends, after the orders so far.
pub(super) struct Tally {
    pub(super) ended: Ending,
    pub(super) acted: bool,
}

impl Tally {
    /// Adds the next order. Breaks when the orders after it depend on it and it was not confirmed.
    pub(super) fn add(&mut self, effect: Effect) -> ControlFlow<()> {
        match effect {
            Effect::Acted(reason, text) => {
                let detail = if self.acted { format!("{}; {text}", self.ended.detail) } else { text };
                self.ended = Ending::new(reason, detail);
                self.acted = true;
                if is_acked(reason) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Effect::ActedEarlier { text, is_acked } => {
                if !self.acted {
                    self.ended = Ending::new(Reason::AlreadyDecided, text);
                }
                if is_acked { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
            Effect::Nothing(ending) if self.acted => {
                self.ended.detail = format!("{}; then {}: {}", self.ended.detail, ending.reason, ending.detail);
                ControlFlow::Break(())
            }
            Effect::Nothing(ending) => {
                self.ended = ending;
                ControlFlow::Break(())
            }
        }
    }
}

/// What a venue's answer means: for the intent, and for the slot.
pub(super) fn outcome(intent: &Intent, submission: Submission) -> (IntentEvent, Effect) {
    let action = &intent.action;
    match submission {
        Submission::Acked(receipt) => {
            let text = format!("{action}: {receipt}");
            (IntentEvent::Acked { receipt }, Effect::Acted(action.reason(EffectEnd::Acked), text))
        }
        Submission::Rejected { code, text, .. } => {
            let detail = format!("{action}: {text}");
            (IntentEvent::Rejected { code, text }, Effect::Acted(action.reason(EffectEnd::Rejected), detail))
        }
        Submission::NeverLeft(evidence) => {
            let ending = Ending::new(action.reason(EffectEnd::NeverLeft), format!("{action}: {evidence}"));
            (IntentEvent::NeverLeft { evidence }, Effect::Nothing(ending))
        }
        Submission::Withheld { why, text } => {
            let ending = Ending::new(why.reason(), format!("{action}: {text}"));
            let evidence = format!("{}: {text}", why.reason());
            (IntentEvent::NeverLeft { evidence }, Effect::Nothing(ending))
        }
        Submission::Unknown(evidence) => {
            let detail = format!("{action}: {evidence}");
            (IntentEvent::LostTrack { evidence }, Effect::Acted(action.reason(EffectEnd::Unknown), detail))
        }
    }
}

/// The effect when its outcome could not be recorded: the order counts as unknown, because only the journal, which knows the
/// tickets of all orders, can tell whether the answer was its receipt.
pub(super) fn unrecorded(action: &Action, effect: Effect, error: &JournalUnavailable) -> Effect {
    match effect {
        Effect::Acted(_, text) => {
            Effect::Acted(action.reason(EffectEnd::Unknown), format!("{text}; not recorded: {error}"))
        }
        other => other,
    }
}

const fn is_acked(reason: Reason) -> bool {
    matches!(reason, Reason::OrderAcked | Reason::ForecastAcked)
}
