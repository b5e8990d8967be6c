//! What orders come to, and what a slot ends with because of them. Pure, but for a counter.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::intent::{Intent, IntentEvent, IntentState};
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::journal::JournalUnavailable;
use crate::ports::Submission;

/// Lasting refusals in a row. Shared by the incarnations of one Executor; a new process starts anew.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Arc<AtomicU32>);

impl Refusals {
    /// At so many, new exposure stops: something is wrong that only a person can put right.
    const MAX: u32 = 3;

    /// Counts what became of one more order.
    pub(super) fn note(&self, submission: &Submission) {
        match submission {
            Submission::Rejected { lasting: true, .. } => drop(self.0.fetch_add(1, Ordering::Relaxed)),
            Submission::Acked(_) => self.0.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Whether a person has to look before anything is opened.
    pub(super) fn are_too_many(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= Self::MAX
    }
}

/// What an order came to.
pub(super) enum Effect {
    /// Bytes left, or may have.
    Acted(Reason, String),
    /// It left in an earlier slot, whose row speaks for it.
    ActedEarlier {
        /// Which intent, and how it stands.
        text: String,
        /// The venue has confirmed it.
        is_acked: bool,
    },
    /// Nothing left.
    Nothing(Ending),
}

/// What an intent that stands already says about its order in `slot`; `None` when it was only planned and is ours to send.
pub(super) fn existing_effect(existing: &Intent, slot: UtcMs) -> Option<Effect> {
    let text = format!("the intent {} stands as {}", existing.key, existing.state);
    let reason = match existing.state {
        IntentState::Planned => return None,
        IntentState::Absent => return Some(Effect::Nothing(Ending::new(Reason::IntentStands, text))),
        IntentState::Acked => Reason::OrderAcked,
        IntentState::Rejected => Reason::OrderRejected,
        IntentState::Sent | IntentState::Unknown | IntentState::Held => Reason::OrderUnknown,
    };
    if existing.slot == slot {
        return Some(Effect::Acted(reason, text));
    }
    let text = format!("{text}, from the slot {}", existing.slot);
    Some(Effect::ActedEarlier { text, is_acked: existing.state == IntentState::Acked })
}

/// What a slot ends with, as its orders come in.
pub(super) struct Tally {
    pub(super) ended: Ending,
    pub(super) acted: bool,
}

impl Tally {
    /// Breaks when what comes after this order counts on it.
    pub(super) fn add(&mut self, effect: Effect) -> ControlFlow<()> {
        match effect {
            Effect::Acted(reason, text) => {
                let detail = if self.acted { format!("{}; {text}", self.ended.detail) } else { text };
                self.ended = Ending::new(reason, detail);
                self.acted = true;
                if reason == Reason::OrderAcked { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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

/// The intent's event and the slot's part of what a venue said.
pub(super) fn outcome(intent: &Intent, submission: Submission) -> (IntentEvent, Effect) {
    let order = &intent.order;
    let what = format!("{} {} {} ({})", order.side, order.volume_lots.normalize(), order.symbol, order.role);
    match submission {
        Submission::Acked(receipt) => {
            let text = format!("{what}: ticket {}", receipt.ticket);
            (IntentEvent::Acked { receipt }, Effect::Acted(Reason::OrderAcked, text))
        }
        Submission::Rejected { code, text, .. } => {
            let detail = format!("{what}: {text}");
            (IntentEvent::Rejected { code, text }, Effect::Acted(Reason::OrderRejected, detail))
        }
        Submission::NeverLeft(evidence) => {
            let ending = Ending::new(Reason::OrderNeverLeft, format!("{what}: {evidence}"));
            (IntentEvent::NeverLeft { evidence }, Effect::Nothing(ending))
        }
        Submission::Unknown(evidence) => {
            let detail = format!("{what}: {evidence}");
            (IntentEvent::LostTrack { evidence }, Effect::Acted(Reason::OrderUnknown, detail))
        }
    }
}

/// What is left of an effect whose outcome could not be written down: whether the answer was a receipt is for the journal to
/// judge, which knows the tickets of all orders.
pub(super) fn unwritten(effect: Effect, error: &JournalUnavailable) -> Effect {
    match effect {
        Effect::Acted(_, text) => Effect::Acted(Reason::OrderUnknown, format!("{text}; not written down: {error}")),
        other => other,
    }
}
