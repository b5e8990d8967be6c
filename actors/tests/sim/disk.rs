//! The simulated journal: what is durable, in the semantics that `ports` documents, and the checks of every commit.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::domain::account_risk::{AccountBaselines, AccountRecord, OrderTrace};
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::amend::{amend_ended, amend_missed};
use sentinel_actors::domain::announced::{AnnouncedSlot, Announcement};
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, NewHalt};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Role, Ticket};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    AccountWrite, Announced, JournalAnswer, JournalFatal, JournalRead, JournalStore, JournalWrite, PortFuture,
    Recovery, Written,
};

use crate::books;
use crate::ledger::{self, Truth};
use crate::world::{Inner, Part, Shared};

const BATCH_MAX: usize = 1000;

/// What is durable.
#[derive(Default, Clone)]
pub struct Disk {
    pub rows: BTreeMap<(String, UtcMs), SlotRecord>,
    pub intents: BTreeMap<IntentKey, Stored>,
    pub announced: BTreeMap<(String, UtcMs), AnnouncedSlot>,
    pub halts: Vec<Halt>,
    /// What losses are counted from, by mode and account.
    pub baselines: BTreeMap<(&'static str, String), AccountBaselines>,
    by_slot: BTreeMap<(String, UtcMs), Vec<IntentKey>>,
    /// Keys that are not final, by pipeline.
    pub open: BTreeMap<String, Vec<IntentKey>>,
    /// Orders by the ticket that confirmed them.
    by_ticket: BTreeMap<Ticket, Vec<IntentKey>>,
    /// Rows of the newest commits, for a power cut.
    recent: Vec<Vec<(String, UtcMs)>>,
    decided: BTreeMap<String, UtcMs>,
    pub commits: u64,
    broken: bool,
    /// The commit after this many more fails, and every one after it in this life.
    pub fails_after: Option<u64>,
    /// When the store panicked, if it was not used since.
    pub panicked_at: Option<Duration>,
}

#[derive(Clone)]
pub struct Stored {
    pub intent: Intent,
    pub last: Option<IntentEvent>,
    /// Every state that it was in, in order.
    pub states: Vec<IntentState>,
}

impl Disk {
    /// The rows of the last commits were not on the platters; intents were.
    pub fn lose_rows(&mut self, commits: usize) -> usize {
        let keep = self.recent.len().saturating_sub(commits);
        let lost: Vec<_> = self.recent.drain(keep..).flatten().collect();
        for key in &lost {
            self.rows.remove(key);
        }
        self.decided.clear();
        for row in self.rows.values() {
            let decided = self.decided.entry(row.pipeline.clone()).or_default();
            *decided = (*decided).max(row.decided_bar.unwrap_or_default());
        }
        lost.len()
    }

    /// A new process has opened the file.
    pub fn reopen(&mut self) {
        self.broken = false;
        self.fails_after = None;
        self.panicked_at = None;
    }

    /// The newest receipt of a live order.
    pub fn newest_receipt(&self) -> Option<Receipt> {
        let newest = self.by_ticket.values().rev().flatten().filter_map(|key| self.intents.get(key));
        newest.map(|stored| &stored.intent).find(|intent| intent.mode == Mode::Live)?.receipt.clone()
    }

    /// Whether it waits for an operator.
    pub fn any_held(&self) -> bool {
        self.open.values().flatten().any(|key| self.intents[key].intent.state == IntentState::Held)
    }

    pub fn last_slot(&self, pipeline: &str) -> Option<UtcMs> {
        let range = (pipeline.to_owned(), UtcMs(i64::MIN))..=(pipeline.to_owned(), UtcMs(i64::MAX));
        self.rows.range(range).next_back().map(|(key, _)| key.1)
    }

    /// The newest slot with a row that was not withdrawn: those have their row before they are due.
    fn last_passed(&self, pipeline: &str) -> Option<UtcMs> {
        let range = (pipeline.to_owned(), UtcMs(i64::MIN))..=(pipeline.to_owned(), UtcMs(i64::MAX));
        let passed = self.rows.range(range).rev().find(|(_, row)| row.reason != Reason::Withdrawn);
        passed.map(|(key, _)| key.1)
    }

    fn before_first_intent(&self, pipeline: &str) -> Option<UtcMs> {
        let range = (pipeline.to_owned(), UtcMs(i64::MIN))..=(pipeline.to_owned(), UtcMs(i64::MAX));
        self.by_slot.range(range).next().map(|(key, _)| UtcMs(key.1.0 - 1))
    }

    pub fn intents_of(&self, pipeline: &str, slot: UtcMs) -> Vec<Intent> {
        let keys = self.by_slot.get(&(pipeline.to_owned(), slot)).into_iter().flatten();
        keys.filter_map(|key| self.intents.get(key)).map(|stored| stored.intent.clone()).collect()
    }

    fn trace(&self, account: &str, mode: Mode) -> OrderTrace {
        let is_there = |stored: &&Stored| {
            (stored.intent.account.as_str(), stored.intent.mode) == (account, mode) && stored.intent.order().is_some()
        };
        let stored = self.intents.values().filter(is_there);
        let has_left = stored.filter(|stored| stored.states.contains(&IntentState::Sent));
        let steps = has_left.clone().map(|stored| stored.states.len() as u64 - 1).sum();
        OrderTrace { steps, is_under_way: has_left.into_iter().any(|stored| !stored.intent.state.is_final()) }
    }

    fn open_intents(&self, pipeline: &str) -> Vec<Intent> {
        let keys = self.open.get(pipeline).into_iter().flatten();
        let mut intents: Vec<Intent> =
            keys.filter_map(|key| self.intents.get(key)).map(|stored| stored.intent.clone()).collect();
        intents.sort_by(|a, b| (a.slot, &a.key).cmp(&(b.slot, &b.key)));
        intents
    }

    /// Announced slots overlap, so that a later slot may decide an earlier bar.
    fn newest_basis(&self, pipeline: &str) -> Option<UtcMs> {
        self.of_pipeline(pipeline).take(50).map(|intent| intent.basis.time()).max()
    }

    /// Newest first.
    fn of_pipeline(&self, pipeline: &str) -> impl Iterator<Item = &Intent> {
        let range = (pipeline.to_owned(), UtcMs(i64::MIN))..=(pipeline.to_owned(), UtcMs(i64::MAX));
        let keys = self.by_slot.range(range).rev().flat_map(|(_, keys)| keys);
        keys.filter_map(|key| self.intents.get(key)).map(|stored| &stored.intent)
    }
}

pub struct SimStore {
    pub world: Shared,
}

impl SimStore {
    async fn write(&self, batch: Vec<JournalWrite>) -> Result<Vec<Written>, JournalFatal> {
        let _guard = self.world.enter("journal store", None);
        let world = &self.world;
        if batch.len() > BATCH_MAX {
            world.lock().violation(format!("a batch of {} writes", batch.len()));
        }
        world.lock().disk.panicked_at = None;
        if world.lock().disk.broken {
            return Err(JournalFatal("the disk is still broken".to_owned()));
        }
        let fault = world.pick("commit", "node", if world.options.node_faults { FAULTS } else { &[] });
        let early = world.chance("early", "node") < 0.5;
        let latency = match fault {
            Some("journal_slow") => world.millis("latency", "node", 200, 8000),
            Some("journal_busy") => Duration::from_millis(5000),
            Some("journal_stalls") => Duration::from_millis(9000),
            _ => world.work(Part::Journal, world.millis("latency", "node", 1, 6), Duration::from_millis(500)),
        };
        let fails_now = {
            let mut inner = world.lock();
            let left = inner.disk.fails_after;
            inner.disk.fails_after = left.map(|left| left.saturating_sub(1));
            left == Some(0)
        };
        let fault = if fails_now { Some("journal_error") } else { fault };
        match fault {
            Some("journal_error") => {
                tokio::time::sleep(latency).await;
                // What a failed fsync left on the disk is not known.
                if early {
                    apply(&mut world.lock(), batch);
                }
                world.lock().disk.broken = true;
                return Err(JournalFatal("injected".to_owned()));
            }
            Some("journal_panic") => {
                {
                    let mut inner = world.lock();
                    inner.disk.panicked_at = Some(inner.elapsed());
                }
                panic!("injected in the store");
            }
            Some("journal_hang") => {
                // The process's watchdog ends what a hanging disk stops.
                tokio::time::sleep(Duration::from_secs(20)).await;
                world.lock().count("watchdog");
                world.kill_process("watchdog").await;
            }
            Some("crash_before_commit") => world.kill_process("before a commit").await,
            Some("crash_after_commit") => {
                apply(&mut world.lock(), batch);
                world.kill_process("after a commit").await;
                return Err(JournalFatal("dead".to_owned()));
            }
            _ => {}
        }
        if early {
            // A caller that is killed while waiting does not know that it is durable.
            let written = apply(&mut world.lock(), batch);
            tokio::time::sleep(latency).await;
            return Ok(written);
        }
        tokio::time::sleep(latency).await;
        Ok(apply(&mut world.lock(), batch))
    }

    fn answer(inner: &mut Inner, question: JournalRead) -> JournalAnswer {
        let disk = &inner.disk;
        match question {
            JournalRead::Recovery { pipeline } => JournalAnswer::Recovery(Recovery {
                last_slot: disk.last_passed(&pipeline).or_else(|| disk.before_first_intent(&pipeline)),
                last_decided_bar: disk.decided.get(&pipeline).copied().filter(|bar| bar.0 > 0),
                newest_intent_basis: disk.newest_basis(&pipeline),
                newest_intent_slot: disk.of_pipeline(&pipeline).next().map(|intent| intent.slot),
            }),
            JournalRead::Announced { pipeline } => {
                let range = (pipeline.clone(), UtcMs(i64::MIN))..=(pipeline, UtcMs(i64::MAX));
                let all = disk.announced.range(range);
                let newest = all.clone().next_back().map(|(key, _)| key.1);
                let open = all.filter(|(key, _)| !disk.rows.contains_key(key)).map(|(_, slot)| slot.clone());
                JournalAnswer::Announced(Announced { newest, open: open.collect() })
            }
            JournalRead::AnnouncedIds { pipeline, limit } => {
                let range = (pipeline.clone(), UtcMs(i64::MIN))..=(pipeline, UtcMs(i64::MAX));
                let newest = disk.announced.range(range).rev().take(limit as usize).map(|(_, slot)| slot.id.clone());
                let mut ids: Vec<String> = newest.collect();
                ids.reverse();
                JournalAnswer::Ids(ids)
            }
            // The simulated ledger says nothing about forecasts after it has confirmed them.
            JournalRead::AwaitingIntents { .. } => JournalAnswer::Intents(Vec::new()),
            JournalRead::ExistingIntents { pipeline, basis, slot } => {
                let stands = |intent: &&Intent| {
                    intent.basis == basis || intent.slot == slot && intent.basis.kind() != basis.kind()
                };
                let mut intents: Vec<Intent> = disk.of_pipeline(&pipeline).filter(stands).cloned().collect();
                intents.sort_by(|a, b| (a.slot, &a.key).cmp(&(b.slot, &b.key)));
                JournalAnswer::Intents(intents)
            }
            JournalRead::AckedIntents { account, symbol, mode } => {
                let acked = |intent: &&Intent| {
                    intent.account == account
                        && intent.action.symbol() == symbol
                        && intent.mode == mode
                        && intent.state == IntentState::Acked
                };
                let stored = disk.intents.values().map(|stored| &stored.intent);
                let mut intents: Vec<Intent> = stored.filter(acked).cloned().collect();
                intents.sort_by(|a, b| (a.slot, &a.key).cmp(&(b.slot, &b.key)));
                ledger::judge_count(inner, &symbol, &intents);
                JournalAnswer::Intents(intents)
            }
            JournalRead::Account { account, mode } => {
                let baselines = disk.baselines.get(&(mode.code(), account.clone())).cloned();
                JournalAnswer::Account(Box::new(AccountRecord { baselines, orders: disk.trace(&account, mode) }))
            }
            JournalRead::OpenIntents { pipeline } => JournalAnswer::Intents(disk.open_intents(&pipeline)),
            JournalRead::Exposure { account, symbol, mode, now } => {
                let mine = |intent: &&Intent| {
                    intent.account == account && intent.action.symbol() == symbol && intent.mode == mode
                };
                let opened = |age: u64| {
                    let since = now.minus(Duration::from_secs(age));
                    let counts = |intent: &&Intent| {
                        mine(intent)
                            && intent.slot > since
                            && intent.order().is_some_and(|order| order.role == Role::Open)
                            && intent.state.may_have_left()
                    };
                    let pipeline = ledger::pipeline_of(&symbol);
                    let range = (pipeline.clone(), since)..=(pipeline, UtcMs(i64::MAX));
                    let keys = disk.by_slot.range(range).flat_map(|(_, keys)| keys);
                    let all = keys.filter_map(|key| disk.intents.get(key)).map(|stored| &stored.intent);
                    u32::try_from(all.filter(counts).count()).unwrap()
                };
                let open = disk.open.values().flatten().filter_map(|key| disk.intents.get(key));
                let mut open_intents: Vec<Intent> = open.map(|stored| &stored.intent).filter(mine).cloned().collect();
                open_intents.sort_by(|a, b| (a.slot, &a.key).cmp(&(b.slot, &b.key)));
                JournalAnswer::Exposure(Exposure {
                    open_intents,
                    orders_last_hour: opened(3600),
                    orders_last_day: opened(86_400),
                })
            }
        }
    }
}

const FAULTS: &[(&str, f64)] = &[
    ("journal_slow", 0.002),
    ("journal_busy", 0.0005),
    ("journal_stalls", 0.0002),
    ("journal_error", 0.000_1),
    ("journal_panic", 0.000_1),
    ("journal_hang", 0.000_1),
    ("crash_before_commit", 0.000_1),
    ("crash_after_commit", 0.000_1),
];

impl JournalStore for SimStore {
    fn commit(&self, batch: Vec<JournalWrite>) -> PortFuture<'_, Result<Vec<Written>, JournalFatal>> {
        Box::pin(self.write(batch))
    }

    fn read(&self, question: JournalRead) -> PortFuture<'_, Result<JournalAnswer, JournalFatal>> {
        Box::pin(async move {
            let _guard = self.world.enter("journal store", None);
            self.world.lock().disk.panicked_at = None;
            if self.world.lock().disk.broken {
                return Err(JournalFatal("the disk is still broken".to_owned()));
            }
            Ok(Self::answer(&mut self.world.lock(), question))
        })
    }
}

/// One transaction, with the checks of each change.
pub fn apply(inner: &mut Inner, batch: Vec<JournalWrite>) -> Vec<Written> {
    inner.disk.commits += 1;
    inner.disk.recent.push(Vec::new());
    if inner.disk.recent.len() > 16 {
        inner.disk.recent.remove(0);
    }
    batch.into_iter().map(|write| one(inner, write)).collect()
}

fn one(inner: &mut Inner, write: JournalWrite) -> Written {
    match write {
        JournalWrite::EndSlot(record) => end_slot(inner, *record),
        JournalWrite::MissSlots { pipeline, mode, schedule, after, until, reason, noted_at } => {
            for slot in schedule.slots(after, until) {
                let mut record = SlotRecord::new(&pipeline, slot, mode, reason, noted_at);
                amend_missed(&mut record, &inner.disk.intents_of(&pipeline, slot));
                insert(inner, record);
            }
            Written::Done
        }
        JournalWrite::Announce { pipeline, announced, at } => announce(inner, &pipeline, announced, at),
        JournalWrite::Plan(intent) => plan(inner, *intent),
        JournalWrite::Advance { key, event, at: _ } => advance(inner, &key, event),
        JournalWrite::Account(write) => keep_account(inner, *write),
        JournalWrite::Raise(new) => Written::Halt(Box::new(raise(inner, *new))),
        // Here the operator lifts halts while the node is down.
        JournalWrite::Lift { id, .. } => Written::Refused(format!("nobody asked to lift {id}")),
    }
}

fn keep_account(inner: &mut Inner, write: AccountWrite) -> Written {
    let AccountWrite { mode, account, from, baselines, halt } = write;
    let stored = inner.disk.baselines.get(&(mode.code(), account.clone()));
    if stored != Some(&baselines) {
        if stored.map(|stored| stored.revision) != from {
            inner.count("baselines_refused");
            return Written::Refused("the account has other baselines by now".to_owned());
        }
        inner.disk.baselines.insert((mode.code(), account), baselines);
    }
    halt.map_or(Written::Done, |halt| Written::Halt(Box::new(raise(inner, halt))))
}

fn raise(inner: &mut Inner, new: NewHalt) -> Halt {
    if let Some(halt) = inner.disk.halts.iter().find(|halt| halt.raised.request == new.request) {
        return halt.clone();
    }
    let halt = Halt { id: HaltId(u32::try_from(inner.disk.halts.len()).unwrap() + 1), raised: new, lifted: None };
    inner.count("halt_raised");
    inner.tracker(format!("raised {}", halt.id));
    inner.disk.halts.push(halt.clone());
    halt
}

/// An operator has looked, and lifts what stands.
pub fn lift_halts(inner: &mut Inner) {
    let at = inner.now();
    let who = "the operator of the simulation".to_owned();
    let lifted = Lifted { request: "by hand".to_owned(), who, why: String::new(), at };
    let standing = inner.disk.halts.iter_mut().filter(|halt| halt.stands());
    let lifted = standing.map(|halt| halt.lifted = Some(lifted.clone())).count();
    for _ in 0..lifted {
        inner.count("halt_lifted");
    }
}

fn announce(inner: &mut Inner, pipeline: &str, announced: Vec<Announcement>, at: UtcMs) -> Written {
    for new in announced {
        // The same window opens at the same time again.
        let range = (pipeline.to_owned(), new.opens())..=(pipeline.to_owned(), UtcMs(new.opens().0 + 1000));
        if inner.disk.announced.range(range).any(|(_, known)| known.id == new.id()) {
            inner.count("announced_again");
            continue;
        }
        let mut slot = new.opens();
        while inner.disk.announced.contains_key(&(pipeline.to_owned(), slot)) {
            slot = UtcMs(slot.0 + 1);
        }
        inner.count("announced");
        inner.tracker(format!("announced {pipeline} {slot} {}", new.id()));
        let kept = AnnouncedSlot { slot, closes: new.closes(), id: new.id().to_owned(), announced_at: at };
        inner.disk.announced.insert((pipeline.to_owned(), slot), kept);
    }
    Written::Done
}

fn end_slot(inner: &mut Inner, mut record: SlotRecord) -> Written {
    if record.attempts > 2 {
        inner.violation(format!("{} {} was attempted {} times", record.pipeline, record.slot, record.attempts));
    }
    let intents = inner.disk.intents_of(&record.pipeline, record.slot);
    amend_ended(&mut record, &intents);
    insert(inner, record);
    Written::Done
}

fn insert(inner: &mut Inner, record: SlotRecord) {
    let key = (record.pipeline.clone(), record.slot);
    if inner.disk.rows.contains_key(&key) {
        inner.note(format!("row {} {} stands", record.pipeline, record.slot));
        return;
    }
    if let Some(last) = inner.disk.last_slot(&record.pipeline)
        && last >= record.slot
        && !inner.disk.announced.contains_key(&key)
    {
        inner.violation(format!("a row of {} for {} comes after that for {last}", record.pipeline, record.slot));
    }
    books::judge_row(inner, &record);
    inner.observe(&record.pipeline);
    inner.tracker(format!("row {} {} {} x{}", record.pipeline, record.slot, record.reason, record.attempts));
    inner.count(record.reason.code());
    if record.attempts == 2 && record.outcome() == Outcome::Acted {
        inner.count("rerun_acted");
    }
    if let Some(bar) = record.decided_bar {
        let decided = inner.disk.decided.entry(record.pipeline.clone()).or_default();
        *decided = (*decided).max(bar);
    }
    if let Some(recent) = inner.disk.recent.last_mut() {
        recent.push(key.clone());
    }
    inner.disk.rows.insert(key, record);
}

fn plan(inner: &mut Inner, mut intent: Intent) -> Written {
    if let Some(existing) = inner.disk.intents.get(&intent.key) {
        let existing = existing.intent.clone();
        inner.count("intent_met_again");
        return Written::Exists(Box::new(existing));
    }
    if inner.disk.rows.contains_key(&(intent.pipeline.clone(), intent.slot)) {
        inner.violation(format!("{} plans for {} after that slot has ended", intent.pipeline, intent.slot));
    }
    inner.tracker(format!("plan {} {} {}", intent.pipeline, intent.slot, intent.action.role()));
    (intent.state, intent.receipt, intent.awaits) = (IntentState::Planned, None, None);
    inner.disk.open.entry(intent.pipeline.clone()).or_default().push(intent.key.clone());
    let slot = (intent.pipeline.clone(), intent.slot);
    inner.disk.by_slot.entry(slot).or_default().push(intent.key.clone());
    inner.disk.intents.insert(intent.key.clone(), Stored { intent, last: None, states: vec![IntentState::Planned] });
    Written::Done
}

pub fn advance(inner: &mut Inner, key: &IntentKey, event: IntentEvent) -> Written {
    let Some(stored) = inner.disk.intents.get(key) else {
        return Written::Refused(format!("there is no intent {key}"));
    };
    let before = stored.intent.state;
    let mut after = stored.intent.clone();
    let next = match after.take(&event) {
        Ok(()) => after.state,
        Err(_) if stored.last.as_ref().is_some_and(|last| repeats(last, &event)) => return Written::Done,
        Err(illegal) => {
            let line = format!("refused {key}: {illegal}");
            inner.count("advance_refused");
            inner.note(line);
            return Written::Refused(illegal.to_string());
        }
    };
    if let Some(ticket) = event.receipt().and_then(Receipt::ticket) {
        let keys = inner.disk.by_ticket.get(&ticket).into_iter().flatten();
        let confirmed: Vec<Intent> = keys.map(|key| inner.disk.intents[key].intent.clone()).collect();
        if let Some(owner) = stored.intent.ticket_owner(ticket, &confirmed) {
            inner.count("ticket_taken");
            return Written::TicketTaken(owner.key.clone());
        }
        inner.disk.by_ticket.entry(ticket).or_default().push(key.clone());
    }
    let pipeline = stored.intent.pipeline.clone();
    let slot = stored.intent.slot;
    inner.tracker(format!("intent {pipeline} {slot} {before} -> {next}"));
    match next {
        IntentState::Held => inner.count("held"),
        IntentState::Unknown => inner.count("unknown"),
        _ => {}
    }
    if next.is_final() {
        inner.disk.open.entry(pipeline).or_default().retain(|open| open != key);
    }
    let Some(stored) = inner.disk.intents.get_mut(key) else { return Written::Done };
    stored.intent = after;
    stored.states.push(next);
    stored.last = Some(event.clone());
    let intent = stored.intent.clone();
    ledger::judge_step(inner, &intent, &event, next);
    Written::Done
}

/// A second `send` is no repetition: it would be the licence to submit twice.
fn repeats(last: &IntentEvent, event: &IntentEvent) -> bool {
    match event {
        IntentEvent::Send | IntentEvent::SendAfter { .. } => false,
        IntentEvent::Acked { .. } | IntentEvent::Found { .. } | IntentEvent::Rejected { .. } => last == event,
        _ => last.name() == event.name(),
    }
}

/// Settles what only an operator can, by what really happened.
pub fn settle_held(inner: &mut Inner) {
    let open = inner.disk.open.values().flatten().cloned();
    let held: Vec<IntentKey> = open.filter(|key| inner.disk.intents[key].intent.state == IntentState::Held).collect();
    for key in held {
        let evidence = "an operator looked".to_owned();
        let event = match ledger::truth(inner, &key) {
            Truth::Confirmed => {
                let Some(receipt) = ledger::receipt(inner, &key) else { continue };
                IntentEvent::SettledAcked { receipt, evidence }
            }
            Truth::Nothing | Truth::Refused => IntentEvent::SettledAbsent { evidence },
            Truth::Open => continue,
        };
        inner.count("settled_by_hand");
        advance(inner, &key, event);
    }
}
