//! The intents of a backtest, in memory: what a journal answers, without a disk and for one pipeline that is alone on its account.
//!
//! An intent moves as its machine allows, and a key has one intent, as in the journal. What has ended a day before is forgotten:
//! no limit counts it any more.

use std::collections::VecDeque;
use std::mem::take;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::account_risk::{AccountBaselines, AccountRecord, OrderTrace};
use sentinel_actors::domain::halt::{Halt, HaltId, NewHalt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    AccountWrite, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite, PortFuture, Recovery, Written,
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// The journal of a backtest.
#[derive(Debug, Default)]
pub struct MemoryJournal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// In the order of their slots.
    intents: VecDeque<Intent>,
    /// Of them, those that were planned since they were taken last.
    fresh: usize,
    halts: Vec<Halt>,
    baselines: Option<AccountBaselines>,
    /// Steps of orders that may have left.
    steps: u64,
}

impl MemoryJournal {
    /// The intents that were planned since the last call, as they are now.
    #[must_use]
    pub fn take_fresh(&self) -> Vec<Intent> {
        let mut kept = self.lock();
        let fresh = take(&mut kept.fresh);
        let known = kept.intents.len().saturating_sub(fresh);
        kept.intents.range(known..).cloned().collect()
    }

    /// The halts that were raised.
    #[must_use]
    pub fn halts(&self) -> Vec<Halt> {
        self.lock().halts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn write(&mut self, write: JournalWrite) -> Result<Written, JournalFatal> {
        Ok(match write {
            JournalWrite::Plan(intent) => self.plan(*intent),
            JournalWrite::Advance { key, event, .. } => self.advance(&key, &event),
            JournalWrite::Raise(new) => self.raise(*new),
            JournalWrite::Account(write) => self.keep_account(*write),
            JournalWrite::EndSlot(_)
            | JournalWrite::MissSlots { .. }
            | JournalWrite::Announce { .. }
            | JournalWrite::Lift { .. } => return Err(not_asked("a write")),
        })
    }

    fn plan(&mut self, mut intent: Intent) -> Written {
        if let Some(existing) = self.intents.iter().rev().find(|existing| existing.key == intent.key) {
            return Written::Exists(Box::new(existing.clone()));
        }
        (intent.state, intent.receipt, intent.awaits) = (IntentState::Planned, None, None);
        (intent.grade, intent.listed, intent.venue_note) = (None, None, None);
        let since = intent.slot.minus(DAY);
        while self.intents.len() > self.fresh
            && self.intents.front().is_some_and(|oldest| oldest.slot <= since && oldest.state.is_final())
        {
            self.intents.pop_front();
        }
        self.intents.push_back(intent);
        self.fresh += 1;
        Written::Done
    }

    fn advance(&mut self, key: &IntentKey, event: &IntentEvent) -> Written {
        let Some(intent) = self.intents.iter_mut().rev().find(|intent| intent.key == *key) else {
            return Written::Refused(format!("there is no intent {key}"));
        };
        let before = intent.state;
        if let Err(illegal) = intent.take(event) {
            return Written::Refused(illegal.to_string());
        }
        let never_left = (before, intent.state) == (IntentState::Planned, IntentState::Absent);
        self.steps += u64::from(intent.order().is_some() && !never_left);
        Written::Done
    }

    fn raise(&mut self, new: NewHalt) -> Written {
        if let Some(halt) = self.halts.iter().find(|halt| halt.raised.request == new.request) {
            return Written::Halt(Box::new(halt.clone()));
        }
        let number = u32::try_from(self.halts.len()).unwrap_or(u32::MAX).saturating_add(1);
        let halt = Halt { id: HaltId(number), raised: new, lifted: None };
        self.halts.push(halt.clone());
        Written::Halt(Box::new(halt))
    }

    fn keep_account(&mut self, write: AccountWrite) -> Written {
        let AccountWrite { from, baselines, halt, .. } = write;
        if self.baselines.as_ref() != Some(&baselines) {
            if self.baselines.as_ref().map(|stored| stored.revision) != from {
                return Written::Refused("the account has other baselines by now".to_owned());
            }
            self.baselines = Some(baselines);
        }
        halt.map_or(Written::Done, |halt| self.raise(halt))
    }

    fn read(&self, query: &JournalRead) -> Result<JournalAnswer, JournalFatal> {
        let open = || self.intents.iter().filter(|intent| !intent.state.is_final());
        Ok(match query {
            // A backtest begins from nothing, and asks once.
            JournalRead::Recovery { .. } => JournalAnswer::Recovery(Recovery::default()),
            JournalRead::Exposure { now, .. } => JournalAnswer::Exposure(self.exposure(*now)),
            JournalRead::Account { .. } => JournalAnswer::Account(Box::new(AccountRecord {
                baselines: self.baselines.clone(),
                orders: OrderTrace {
                    steps: self.steps,
                    is_under_way: open().any(|intent| intent.order().is_some() && intent.state.may_have_left()),
                },
            })),
            JournalRead::OpenIntents { .. } => JournalAnswer::Intents(open().cloned().collect()),
            JournalRead::ExistingIntents { basis, slot, .. } => {
                let is_of = |intent: &&Intent| {
                    let is_other = intent.basis.kind() != basis.kind() && intent.basis.is_of_slot();
                    intent.basis == *basis || is_other && intent.slot == *slot
                };
                JournalAnswer::Intents(self.intents.iter().filter(is_of).cloned().collect())
            }
            JournalRead::Announced { .. }
            | JournalRead::AnnouncedIds { .. }
            | JournalRead::AwaitingIntents { .. }
            | JournalRead::AckedIntents { .. } => return Err(not_asked("a query")),
        })
    }

    /// Whatever may have left counts against the limits; closing a position does not.
    fn exposure(&self, now: UtcMs) -> Exposure {
        let (since, an_hour_ago) = (now.minus(DAY), now.minus(HOUR));
        let of_today = self.intents.iter().rev().take_while(|intent| intent.slot > since);
        let (mut orders_last_hour, mut orders_last_day) = (0, 0);
        for intent in of_today {
            let is_opening = intent.order().is_some_and(|order| order.role == Role::Open);
            if is_opening && !matches!(intent.state, IntentState::Planned | IntentState::Absent) {
                orders_last_day += 1;
                orders_last_hour += u32::from(intent.slot > an_hour_ago);
            }
        }
        let open = self.intents.iter().filter(|intent| !intent.state.is_final() && intent.order().is_some());
        Exposure { open_intents: open.cloned().collect(), orders_last_hour, orders_last_day }
    }
}

/// A bug: a walk asks nothing else.
fn not_asked(what: &str) -> JournalFatal {
    JournalFatal(format!("a backtest was asked for {what} that it has no answer to"))
}

impl JournalStore for MemoryJournal {
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>> {
        let mut kept = self.lock();
        let written = batch.into_iter().map(|write| kept.write(write)).collect();
        Box::pin(std::future::ready(written))
    }

    fn read(&self, query: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>> {
        Box::pin(std::future::ready(self.lock().read(&query)))
    }
}
