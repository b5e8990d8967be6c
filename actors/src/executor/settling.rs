//! Settling: finds out what became of intents that an earlier run, or a lost reply, left open. Only evidence ends one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::IntentProtocol;
use crate::domain::action::Receipt;
use crate::domain::evidence::Grade;
use crate::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use crate::domain::order::Position;
use crate::domain::position_delta::{Seen, seen};
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::JournalUnavailable;
use crate::ports::{Evidence, Written, elapsed_now};

/// A venue that lists positions shows that of an order within this, or a person has to look.
const APPEARS_WITHIN: Duration = Duration::from_secs(60);
/// Intents whose first question is remembered.
const ASKED_MAX: usize = 1_024;

/// [`Evidence`], as far as it counts.
enum Weighed {
    Found(Receipt, Grade),
    Refused { code: Option<i64>, text: String },
    Absent(String),
    NotNow(String),
    Undecidable(String),
}

/// Tells an Executor that an operator has settled an intent while the node runs: what it knows of its own is out of date.
#[derive(Debug)]
pub struct SettledByHand {
    all: Arc<AtomicU64>,
    seen: u64,
}

impl SettledByHand {
    /// `all`: of the node; it grows with each.
    #[must_use]
    pub fn new(all: Arc<AtomicU64>) -> Self {
        Self { seen: all.load(Ordering::Acquire), all }
    }

    pub(super) fn has_grown(&self) -> bool {
        self.all.load(Ordering::Acquire) != self.seen
    }

    /// Whether it has grown since the last time.
    pub(super) fn take(&mut self) -> bool {
        let all = self.all.load(Ordering::Acquire);
        std::mem::replace(&mut self.seen, all) != all
    }
}

impl IntentProtocol {
    /// Asks the venue about every open intent of this pipeline. A planned intent of `slot`, the cycle in hand,
    /// is left for that cycle to send. Any other planned one never left and is abandoned, because its slot has ended. Without a
    /// cycle in hand planned intents wait: the cycle that wrote one may be about to run again. What an operator asked for does not.
    pub(super) async fn settle(&mut self, slot: Option<UtcMs>) -> Result<(), JournalUnavailable> {
        let mut all_settled = true;
        let mut open = self.journal.open_intents(&self.pipeline).await?;
        open.retain(|intent| self.is_ours(intent));
        let (mut held, mut in_doubt, mut planned) = (Vec::new(), Vec::new(), 0);
        for intent in open {
            match intent.state {
                IntentState::Planned if slot.is_some_and(|slot| slot != intent.slot) || !intent.basis.is_of_slot() => {
                    self.journal.advance(&intent.key, IntentEvent::Abandon, self.clock.now()).await?;
                }
                IntentState::Planned => {
                    all_settled = false;
                    planned += 1;
                }
                IntentState::Sent | IntentState::Unknown => match Box::pin(self.ask(&intent)).await? {
                    Some(IntentState::Held) => held.push(Intent { state: IntentState::Held, ..intent }),
                    Some(_) => {}
                    None => {
                        all_settled = false;
                        in_doubt.push((intent.key, intent.slot));
                    }
                },
                IntentState::Held => held.push(intent),
                _ => {}
            }
        }
        // An earlier incarnation may have ended while an answer was awaited: that one is in doubt now.
        self.meters.set_sent(false);
        self.meters.set_planned(planned);
        self.show_open(held, in_doubt);
        self.settled = all_settled;
        self.changes += 1;
        Ok(())
    }

    /// Asks the venue about one intent and returns its new state; `None` when it must be asked again.
    async fn ask(&mut self, intent: &Intent) -> Result<Option<IntentState>, JournalUnavailable> {
        let answer = self.sink.settle(intent, self.venue_time()).await;
        let evidence = self.weigh(intent, answer).await?;
        let now = self.clock.now();
        let lost_track = |text: &str| IntentEvent::LostTrack { evidence: text.to_owned() };
        let (through_unknown, event) = match evidence {
            Weighed::Found(receipt, _) if !receipt.fits(&intent.action) => {
                self.sink.disown(&intent.key);
                (Some(lost_track(&format!("the answer is about something else: {receipt}"))), None)
            }
            Weighed::Found(receipt, grade) => (None, Some((IntentEvent::Found { receipt, grade }, IntentState::Acked))),
            Weighed::Refused { code, text } => {
                (None, Some((IntentEvent::Rejected { code, text }, IntentState::Rejected)))
            }
            Weighed::Absent(evidence) => {
                (Some(lost_track(&evidence)), Some((IntentEvent::FoundAbsent { evidence }, IntentState::Absent)))
            }
            Weighed::Undecidable(evidence) => {
                (Some(lost_track(&evidence)), Some((IntentEvent::Hold { evidence }, IntentState::Held)))
            }
            Weighed::NotNow(evidence) => (Some(lost_track(&evidence)), None),
        };
        if let Some(event) = through_unknown.filter(|_| intent.state == IntentState::Sent) {
            self.journal.advance(&intent.key, event, now).await?;
        }
        match event {
            Some((event, state)) => self.settle_as(intent, event, state).await.map(Some),
            None => Ok(None),
        }
    }

    /// What an answer is worth: evidence that is weaker than the operator wants leaves the intent to the operator.
    async fn weigh(&mut self, intent: &Intent, answer: Evidence) -> Result<Weighed, JournalUnavailable> {
        let (receipt, grade) = match answer {
            Evidence::Found(receipt) => (receipt, Grade::Id),
            Evidence::Positions(now) => match self.look_at(intent, &now).await? {
                Seen::Done(fill) => (fill.into(), Grade::PositionDelta),
                Seen::Nothing(text) if !self.is_overdue(&intent.key) => return Ok(Weighed::NotNow(text)),
                Seen::Nothing(text) | Seen::Undecidable(text) => return Ok(Weighed::Undecidable(text)),
            },
            Evidence::Refused { code, text } => return Ok(Weighed::Refused { code, text }),
            Evidence::Absent(text) => return Ok(Weighed::Absent(text)),
            Evidence::NotNow(text) => return Ok(Weighed::NotNow(text)),
            Evidence::Undecidable(text) => return Ok(Weighed::Undecidable(text)),
        };
        let least = self.sink.least_evidence();
        if grade < least {
            let text = receipt.text();
            return Ok(Weighed::Undecidable(format!(
                "{receipt} was found ({text}); that is only the evidence '{grade}', and least_evidence is '{least}'"
            )));
        }
        Ok(Weighed::Found(receipt, grade))
    }

    async fn look_at(&mut self, intent: &Intent, now: &[Position]) -> Result<Seen, JournalUnavailable> {
        let acked = self.journal.acked_intents(&intent.account, intent.action.symbol(), intent.mode).await?;
        Ok(seen(intent, now, &acked))
    }

    /// Whether a venue has shown nothing of an order for so long that a person should look. That ends no order.
    fn is_overdue(&mut self, key: &IntentKey) -> bool {
        let now = elapsed_now();
        // Far more than can be open at a time.
        if self.asked_since.len() > ASKED_MAX {
            self.asked_since.clear();
        }
        now.saturating_duration_since(*self.asked_since.entry(key.clone()).or_insert(now)) >= APPEARS_WITHIN
    }

    /// Records what evidence says about an open intent, and returns its new state.
    async fn settle_as(
        &mut self,
        intent: &Intent,
        event: IntentEvent,
        state: IntentState,
    ) -> Result<IntentState, JournalUnavailable> {
        let (name, receipt, now) = (event.name(), event.receipt().cloned(), self.clock.now());
        match (self.journal.advance(&intent.key, event, now).await?, receipt) {
            (Written::TicketTaken(owner), Some(receipt)) => {
                let evidence = self.disown(intent, &receipt, &owner);
                if intent.state == IntentState::Sent {
                    let lost_track = IntentEvent::LostTrack { evidence: evidence.clone() };
                    self.journal.advance(&intent.key, lost_track, now).await?;
                }
                // The venue was asked about this very order, and has answered wrongly: only an operator can find out which order
                // it belongs to, and what else it says.
                let halt = self.one_ticket_twice(intent, &evidence);
                Box::pin(self.advance_with(intent, IntentEvent::Hold { evidence }, Some(halt))).await?;
                return Ok(IntentState::Held);
            }
            // Held orders are logged by `show_open`, with the commands that settle them.
            _ if state == IntentState::Held => {}
            (_, receipt) => {
                // The venue does not report the time of the fill. It counts as late when its order may not leave any more.
                if let Some(receipt) = receipt.as_ref().filter(|_| !self.deadlines.may_leave(intent.slot, None, now)) {
                    self.log_late_confirmation(intent, receipt);
                }
                events::intent_settled(&self.pipeline, intent.key.as_str(), name, receipt.as_ref());
            }
        }
        Ok(state)
    }
}
