//! What orders come to, and what a slot ends with because of them. Pure, but for a counter.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::domain::freshness::Ending;
use crate::domain::intent::{Intent, IntentEvent, IntentState};
use crate::domain::reason::Reason;
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
    /// Nothing left.
    Nothing(Ending),
}

/// What an intent that stands already says about its order; `None` when it was only planned and is ours to send.
pub(super) fn standing_effect(standing: &Intent) -> Option<Effect> {
    let text = format!("the intent {} stands as {}", standing.key, standing.state);
    match standing.state {
        IntentState::Planned => None,
        IntentState::Acked => Some(Effect::Acted(Reason::OrderAcked, text)),
        IntentState::Rejected => Some(Effect::Acted(Reason::OrderRejected, text)),
        IntentState::Sent | IntentState::Unknown | IntentState::Held => Some(Effect::Acted(Reason::OrderUnknown, text)),
        IntentState::Absent => Some(Effect::Nothing(Ending::new(Reason::IntentStands, text))),
    }
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
