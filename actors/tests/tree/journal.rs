//! The journal of these tests: it is in memory, keeps the order of states, and its disk may hang.

use std::time::Duration;

use sentinel_actors::domain::account_risk::{AccountRecord, OrderTrace};
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentState};
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::ports::{
    AccountWrite, Announced, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite, PortFuture,
    Recovery, Written,
};

use crate::halts;
use crate::harness::{Inner, World};

impl JournalStore for World {
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>> {
        Box::pin(async move {
            self.disk().await;
            let mut inner = self.lock();
            inner.transactions.push(batch.iter().map(JournalWrite::rows).sum());
            Ok(batch.into_iter().map(|write| inner.apply(write)).collect())
        })
    }

    fn read(&self, question: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>> {
        Box::pin(async move {
            self.disk().await;
            Ok(self.lock().answer(&question))
        })
    }
}

impl World {
    /// Answers when the disk does.
    async fn disk(&self) {
        while self.lock().disk_hangs {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Inner {
    fn apply(&mut self, write: JournalWrite) -> Written {
        match write {
            JournalWrite::EndSlot(record) => {
                self.rows.entry(record.slot).or_insert(*record);
            }
            JournalWrite::MissSlots { pipeline, mode, schedule, after, until, reason, noted_at } => {
                for slot in schedule.slots(after, until) {
                    let row = SlotRecord::new(&pipeline, slot, mode, reason, noted_at);
                    self.rows.entry(slot).or_insert(row);
                }
            }
            JournalWrite::Announce { announced, at, .. } => {
                for new in announced {
                    if self.announced.values().all(|old| old.id != new.id()) {
                        let (slot, closes) = (new.opens(), new.closes());
                        let slot = AnnouncedSlot { slot, closes, id: new.id().to_owned(), announced_at: at };
                        self.announced.insert(slot.slot, slot);
                    }
                }
            }
            JournalWrite::Plan(intent) => {
                if let Some(existing) = self.intents.get(&intent.key) {
                    return Written::Exists(Box::new(existing.clone()));
                }
                self.intents.insert(intent.key.clone(), *intent);
            }
            JournalWrite::Advance { key, event, .. } => {
                self.steps += 1;
                if event.is_send() {
                    self.offset_ms += self.jump_ms.in_commit_of_sent;
                    self.switch = self.thrown_after_send.take().or(self.switch.take());
                }
                let before = &self.intents[&key];
                let receipt = event.receipt().filter(|_| !before.is_seen_closed(&event));
                if let Some(ticket) = receipt.and_then(Receipt::ticket) {
                    let confirmed: Vec<Intent> = self.intents.values().chain(&self.earlier).cloned().collect();
                    if let Some(owner) = before.ticket_owner(ticket, &confirmed) {
                        return Written::TicketTaken(owner.key.clone());
                    }
                }
                let intent = self.intents.get_mut(&key).unwrap();
                if let Err(illegal) = intent.take(&event) {
                    return Written::Refused(illegal.to_string());
                }
            }
            JournalWrite::Raise(new) => return Written::Halt(Box::new(halts::raise(&mut self.halted, *new))),
            JournalWrite::Account(write) => {
                let AccountWrite { from, baselines, halt, .. } = *write;
                if self.baselines.as_ref() != Some(&baselines) {
                    if self.baselines.as_ref().map(|stored| stored.revision) != from {
                        return Written::Refused("it has others".to_owned());
                    }
                    self.baselines = Some(baselines);
                }
                if let Some(halt) = halt {
                    return Written::Halt(Box::new(halts::raise(&mut self.halted, halt)));
                }
            }
            JournalWrite::Lift { id, lifted } => return halts::lift(&mut self.halted, id, lifted),
        }
        Written::Done
    }

    fn answer(&self, question: &JournalRead) -> JournalAnswer {
        let chosen = |wanted: &dyn Fn(&Intent) -> bool| -> Vec<Intent> {
            self.intents.values().filter(|intent| wanted(intent)).cloned().collect()
        };
        match question {
            JournalRead::Recovery { .. } => JournalAnswer::Recovery(Recovery {
                last_slot: self.rows.keys().next_back().copied(),
                last_decided_bar: self.rows.values().filter_map(|row| row.decided_bar).max(),
                newest_intent_basis: self.intents.values().map(|intent| intent.basis.time()).max(),
                newest_intent_slot: self.intents.values().map(|intent| intent.slot).max(),
            }),
            JournalRead::Announced { .. } => JournalAnswer::Announced(Announced {
                newest: self.announced.keys().next_back().copied(),
                open: self.announced.values().filter(|slot| !self.rows.contains_key(&slot.slot)).cloned().collect(),
            }),
            JournalRead::AnnouncedIds { .. } => {
                JournalAnswer::Ids(self.announced.values().map(|slot| slot.id.clone()).collect())
            }
            JournalRead::AwaitingIntents { account, .. } => {
                JournalAnswer::Intents(chosen(&|intent| intent.awaits.is_some() && intent.account == *account))
            }
            JournalRead::Exposure { .. } => JournalAnswer::Exposure(Exposure {
                open_intents: chosen(&|intent| !intent.state.is_final()),
                orders_last_hour: 0,
                orders_last_day: 0,
            }),
            JournalRead::Account { .. } => {
                let is_under_way = |intent: &Intent| {
                    intent.state.may_have_left() && !intent.state.is_final() && intent.order().is_some()
                };
                let orders = OrderTrace { steps: self.steps, is_under_way: self.intents.values().any(is_under_way) };
                JournalAnswer::Account(Box::new(AccountRecord { baselines: self.baselines.clone(), orders }))
            }
            JournalRead::OpenIntents { .. } => JournalAnswer::Intents(chosen(&|intent| !intent.state.is_final())),
            JournalRead::AckedIntents { .. } => {
                let mut acked = self.earlier.clone();
                acked.extend(chosen(&|intent| intent.state == IntentState::Acked));
                JournalAnswer::Intents(acked)
            }
            JournalRead::ExistingIntents { basis, slot, .. } => JournalAnswer::Intents(chosen(&|intent| {
                intent.basis == *basis || intent.slot == *slot && intent.basis.kind() != basis.kind()
            })),
        }
    }
}
