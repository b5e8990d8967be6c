//! Settling: finds out what became of intents that an earlier run, or a lost reply, left open. Only evidence ends one.

use super::IntentProtocol;
use crate::domain::intent::{Intent, IntentEvent, IntentState};
use crate::domain::time::UtcMs;
use crate::events;
use crate::journal::JournalUnavailable;
use crate::ports::{Evidence, Written};

impl IntentProtocol {
    /// Asks the venue about every open intent of this pipeline. A planned intent of `slot`, the cycle in hand,
    /// is left for that cycle to send. Any other planned one never left and is abandoned, because its slot has ended. Without a
    /// cycle in hand planned intents wait: the cycle that wrote one may be about to run again.
    pub(super) async fn settle(&mut self, slot: Option<UtcMs>) -> Result<(), JournalUnavailable> {
        let mut all_settled = true;
        let mut open = self.journal.open_intents(&self.pipeline).await?;
        open.retain(|intent| self.is_ours(intent));
        let mut held = Vec::new();
        for intent in open {
            match intent.state {
                IntentState::Planned if slot.is_some_and(|slot| slot != intent.slot) => {
                    self.journal.advance(&intent.key, IntentEvent::Abandon, self.clock.now()).await?;
                }
                IntentState::Planned => all_settled = false,
                IntentState::Sent | IntentState::Unknown => match self.ask(&intent).await? {
                    Some(IntentState::Held) => held.push(Intent { state: IntentState::Held, ..intent }),
                    settled => all_settled &= settled.is_some(),
                },
                IntentState::Held => held.push(intent),
                _ => {}
            }
        }
        self.show_held(held);
        self.settled = all_settled;
        self.changes += 1;
        Ok(())
    }

    /// Asks the venue about one intent and returns its new state; `None` when it must be asked again.
    async fn ask(&mut self, intent: &Intent) -> Result<Option<IntentState>, JournalUnavailable> {
        let evidence = self.sink.settle(intent, self.venue_time()).await;
        let now = self.clock.now();
        let lost_track = |text: &str| IntentEvent::LostTrack { evidence: text.to_owned() };
        let (through_unknown, event) = match evidence {
            Evidence::Found(receipt) if !receipt.fits(&intent.action) => {
                self.sink.disown(&intent.key);
                (Some(lost_track(&format!("the answer is about something else: {receipt}"))), None)
            }
            Evidence::Found(receipt) => (None, Some((IntentEvent::Acked { receipt }, IntentState::Acked))),
            Evidence::Refused { code, text } => {
                (None, Some((IntentEvent::Rejected { code, text }, IntentState::Rejected)))
            }
            Evidence::Absent(evidence) => {
                (Some(lost_track(&evidence)), Some((IntentEvent::FoundAbsent { evidence }, IntentState::Absent)))
            }
            Evidence::Undecidable(evidence) => {
                (Some(lost_track(&evidence)), Some((IntentEvent::Hold { evidence }, IntentState::Held)))
            }
            Evidence::NotNow(evidence) => (Some(lost_track(&evidence)), None),
        };
        if let Some(event) = through_unknown.filter(|_| intent.state == IntentState::Sent) {
            self.journal.advance(&intent.key, event, now).await?;
        }
        match event {
            Some((event, state)) => self.settle_as(intent, event, state).await.map(Some),
            None => Ok(None),
        }
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
                // The venue has answered, and wrongly: only an operator can find out which order it belongs to.
                self.journal.advance(&intent.key, IntentEvent::Hold { evidence }, now).await?;
                return Ok(IntentState::Held);
            }
            // Held orders are logged by `show_held`, with the commands that settle them.
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
