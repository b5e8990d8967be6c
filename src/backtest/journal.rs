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
            JournalRead::OpenIntents { .. } => JournalAnswer::Intents(in_order(open())),
            JournalRead::ExistingIntents { basis, slot, .. } => {
                let is_of = |intent: &&Intent| {
                    let is_other = intent.basis.kind() != basis.kind() && intent.basis.is_of_slot();
                    intent.basis == *basis || is_other && intent.slot == *slot
                };
                JournalAnswer::Intents(in_order(self.intents.iter().filter(is_of)))
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
        Exposure { open_intents: in_order(open), orders_last_hour, orders_last_day }
    }
}

/// As the journal lists them.
fn in_order<'i>(intents: impl Iterator<Item = &'i Intent>) -> Vec<Intent> {
    let mut intents: Vec<Intent> = intents.cloned().collect();
    intents.sort_by(|one, other| (one.slot, one.key.as_str()).cmp(&(other.slot, other.key.as_str())));
    intents
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rust_decimal::Decimal;
    use sentinel_actors::domain::action::Action;
    use sentinel_actors::domain::intent::{Basis, Mode};
    use sentinel_actors::domain::order::{Fill, Order, Side, Ticket};
    use sentinel_actors::ports::NoFaults;

    use super::*;
    use crate::journal::{SqliteJournal, StateDir};

    const HOUR_MS: i64 = 3_600_000;

    fn intent(slot: UtcMs, role: Role) -> Intent {
        let basis = Basis::Bar(UtcMs(slot.0 - HOUR_MS));
        let order = Order {
            role,
            symbol: "EURUSD".to_owned(),
            side: Side::Buy,
            volume_lots: Decimal::ONE,
            stop_price: None,
            target_price: None,
            reference_price: Decimal::TWO,
        };
        Intent {
            key: IntentKey::derive(Mode::DryRun, "paper", "eurusd", basis, role),
            mode: Mode::DryRun,
            account: "paper".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot,
            announced_as: None,
            basis,
            action: Action::from(order),
            state: IntentState::Planned,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    fn event(rng: &mut fastrand::Rng) -> IntentEvent {
        let text = || "for a test".to_owned();
        match rng.u32(0..6) {
            0 => IntentEvent::NeverLeft { evidence: text() },
            1 => IntentEvent::Rejected { code: Some(400), text: text() },
            2 => IntentEvent::LostTrack { evidence: text() },
            3 => IntentEvent::Abandon,
            _ => {
                let fill = Fill { ticket: Ticket(rng.u64(1..9)), volume_lots: Decimal::ONE, price: None, text: text() };
                IntentEvent::Acked { receipt: fill.into() }
            }
        }
    }

    /// What a slot asks: the journal on the disk says the same.
    async fn compare(memory: &MemoryJournal, disk: &SqliteJournal, slot: UtcMs) {
        let (account, pipeline, symbol, mode) =
            ("paper".to_owned(), "eurusd".to_owned(), "EURUSD".to_owned(), Mode::DryRun);
        for query in [
            JournalRead::Exposure { account: account.clone(), symbol, mode, now: slot },
            JournalRead::OpenIntents { pipeline: pipeline.clone() },
            JournalRead::Account { account, mode },
            JournalRead::ExistingIntents { pipeline, basis: Basis::Bar(UtcMs(slot.0 - HOUR_MS)), slot },
        ] {
            let answers = (memory.read(query.clone()).await.unwrap(), disk.read(query.clone()).await.unwrap());
            assert_eq!(answers.0, answers.1, "{query:?}");
        }
    }

    async fn write(memory: &MemoryJournal, disk: &SqliteJournal, write: JournalWrite) {
        let written = (memory.commit(vec![write.clone()]).await, disk.commit(vec![write.clone()]).await);
        assert_eq!(written.0.unwrap(), written.1.unwrap(), "{write:?}");
    }

    #[tokio::test]
    async fn a_journal_in_memory_answers_what_the_one_on_the_disk_answers() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(&dir.path().join("state")).unwrap();
        let (disk, _) = SqliteJournal::open(&state, Arc::new(NoFaults)).unwrap();
        let memory = MemoryJournal::default();
        let mut rng = fastrand::Rng::with_seed(18);
        let mut slot = UtcMs(1_000 * HOUR_MS);
        for _ in 0..300 {
            slot = UtcMs(slot.0 + HOUR_MS * i64::from(rng.u8(1..4)));
            let roles = [Role::Close(Ticket(rng.u64(1..9))), Role::Open];
            for role in roles {
                if rng.u32(0..3) == 0 {
                    continue;
                }
                let planned = intent(slot, role);
                write(&memory, &disk, JournalWrite::Plan(Box::new(planned.clone()))).await;
                compare(&memory, &disk, slot).await;
                if rng.u32(0..10) == 0 {
                    write(&memory, &disk, JournalWrite::Plan(Box::new(planned.clone()))).await;
                }
                let state_of =
                    |key: &IntentKey| memory.lock().intents.iter().find(|own| own.key == *key).unwrap().state;
                for step in 0..4 {
                    let event = match (step, state_of(&planned.key)) {
                        (0, _) => IntentEvent::Send,
                        // A walk says nothing twice; the journal takes a repeated word for the one that it has.
                        (_, state) if state.is_final() => break,
                        (1, _) => event(&mut rng),
                        (_, IntentState::Unknown) => IntentEvent::FoundAbsent { evidence: "for a test".to_owned() },
                        _ => IntentEvent::Rejected { code: None, text: "for a test".to_owned() },
                    };
                    write(&memory, &disk, JournalWrite::Advance { key: planned.key.clone(), event, at: slot }).await;
                    compare(&memory, &disk, slot).await;
                }
            }
            assert!(memory.take_fresh().iter().all(|fresh| fresh.slot == slot));
        }
        let kept = memory.lock().intents.iter().filter(|own| own.state.is_final()).count();
        assert!(kept < 80, "{kept} of hundreds are kept: a day of them is enough");
    }
}
