//! What the writer knows by itself of the rows that the node acts on next, to compare with what the file says.
//!
//! Promise kept: a row that the file no longer shows, because a byte of it or of an index was changed under the running
//! node, is missed and named. A checksum cannot do that: it covers only rows that are found. Everything here comes from
//! rows that were verified at the start, or from this process's own writes; it is as large as what is open, what was opened
//! in two days, and one slot per pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sentinel_actors::domain::account_risk::OrderTrace;
use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::{Halt, HaltId};
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Recovery;

use super::accounts::Losses;
use super::tables::{HALTS, INTENTS, RowFault, SLOTS};

/// How long openings are remembered; no limit looks back further than a day.
const OPENINGS_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// The writer's own knowledge.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) intents: i64,
    pub(super) events: i64,
    pub(super) halts: i64,
    /// Halts that stand; few.
    standing: Vec<Halt>,
    /// What losses are counted from, and how far the orders of each account have got.
    pub(super) losses: Losses,
    pipelines: BTreeMap<String, Pipeline>,
    accounts: BTreeMap<(String, String, &'static str), Account>,
}

#[derive(Debug, Default)]
struct Pipeline {
    /// Intents that are not final; few.
    open: Vec<Intent>,
    last_slot: Option<UtcMs>,
    last_decided_bar: Option<UtcMs>,
    first_intent: Option<UtcMs>,
    newest_basis: Option<UtcMs>,
    /// The newest slot that wrote intents, and them.
    newest: Option<(UtcMs, Vec<Intent>)>,
    /// Announced slots without a row.
    announced: BTreeMap<UtcMs, AnnouncedSlot>,
    newest_announced: Option<UtcMs>,
}

/// One symbol of one account in one mode.
#[derive(Debug, Default)]
struct Account {
    acked: usize,
    /// What may have left and opens a position, by slot.
    openings: BTreeSet<(UtcMs, IntentKey)>,
    /// Openings up to here were forgotten.
    forgotten: Option<UtcMs>,
    /// Who has written its intents.
    pipelines: BTreeSet<String>,
}

/// Whose intents a question is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    Pipeline(&'a str),
    Account(&'a str, &'a str, Mode),
    All,
}

impl Known {
    /// Adds a new intent.
    pub(super) fn note_planned(&mut self, intent: &Intent) {
        self.note_read(intent, 1);
    }

    /// Takes in an intent after one more event.
    pub(super) fn note_advanced(&mut self, intent: &Intent) {
        self.events += 1;
        let open = self.pipelines.get(&intent.pipeline).into_iter().flat_map(|pipeline| &pipeline.open);
        let before = open.into_iter().find(|open| open.key == intent.key).map(|open| open.state);
        self.losses.note_advanced(intent, before);
        self.note(intent);
    }

    /// Adds an intent that was read, with its number of events.
    pub(super) fn note_read(&mut self, intent: &Intent, events: i64) {
        self.intents += 1;
        self.events += events;
        self.losses.note_read(intent, events);
        self.note(intent);
    }

    fn note(&mut self, intent: &Intent) {
        if !self.pipelines.contains_key(&intent.pipeline) {
            self.pipelines.insert(intent.pipeline.clone(), Pipeline::default());
        }
        let Some(pipeline) = self.pipelines.get_mut(&intent.pipeline) else { return };
        if intent.state.is_final() {
            pipeline.open.retain(|open| open.key != intent.key);
        } else {
            keep(&mut pipeline.open, intent);
        }
        if intent.basis.is_of_slot() {
            pipeline.note_of_slot(intent);
        }
        let account = (intent.account.clone(), intent.action.symbol().to_owned(), intent.mode.code());
        let account = self.accounts.entry(account).or_default();
        if !account.pipelines.contains(&intent.pipeline) {
            account.pipelines.insert(intent.pipeline.clone());
        }
        if let Some(order) = intent.order() {
            account.note(intent, order.role);
        }
    }

    /// Takes in a row that was written.
    pub(super) fn note_slot(&mut self, record: &SlotRecord) {
        let passed = record.reason != Reason::Withdrawn;
        self.note_row(&record.pipeline, Some(record.slot).filter(|_| passed), record.decided_bar);
        self.end_announced(&record.pipeline, record.slot);
    }

    fn end_announced(&mut self, pipeline: &str, slot: UtcMs) {
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.announced.remove(&slot);
        }
    }

    /// The same, of a row that was read; without a slot, of rows that were removed and of withdrawn ones, which may lie ahead.
    pub(super) fn note_row(&mut self, pipeline: &str, slot: Option<UtcMs>, decided_bar: Option<UtcMs>) {
        // A bar opens before its slot.
        let decided_bar = decided_bar.filter(|bar| slot.is_none_or(|slot| *bar < slot));
        if !self.pipelines.contains_key(pipeline) {
            self.pipelines.insert(pipeline.to_owned(), Pipeline::default());
        }
        if let Some(pipeline) = self.pipelines.get_mut(pipeline) {
            pipeline.last_slot = pipeline.last_slot.max(slot);
            pipeline.last_decided_bar = pipeline.last_decided_bar.max(decided_bar);
        }
    }

    /// Takes in an announced slot; it is open when it has no row.
    pub(super) fn note_announced(&mut self, pipeline: &str, slot: AnnouncedSlot, is_open: bool) {
        let pipeline = self.pipelines.entry(pipeline.to_owned()).or_default();
        pipeline.newest_announced = pipeline.newest_announced.max(Some(slot.slot));
        if is_open {
            pipeline.announced.insert(slot.slot, slot);
        }
    }

    /// The newest announced slot of a pipeline, and those without a row, oldest first.
    pub(super) fn announced(&self, pipeline: &str) -> (Option<UtcMs>, Vec<AnnouncedSlot>) {
        let pipeline = self.pipelines.get(pipeline);
        pipeline.map_or((None, Vec::new()), |pipeline| {
            (pipeline.newest_announced, pipeline.announced.values().cloned().collect())
        })
    }

    /// Takes in a halt that was written or read.
    pub(super) fn note_halt(&mut self, halt: &Halt) {
        self.halts += 1;
        if halt.stands() {
            self.standing.push(halt.clone());
        }
    }

    /// A halt was lifted.
    pub(super) fn note_lifted(&mut self, id: HaltId) {
        self.standing.retain(|halt| halt.id != id);
    }

    /// Halts that stand.
    pub(super) fn standing(&self) -> &[Halt] {
        &self.standing
    }

    /// Compares a halt that was found with what must be there.
    pub(super) fn agree_halt(&self, found: &Halt) -> Result<(), RowFault> {
        let known = self.standing.iter().find(|halt| halt.id == found.id);
        let agrees = if found.stands() { known == Some(found) } else { known.is_none() };
        let what = || RowFault::damaged(format!("{} {}", HALTS.name, found.id.0), "it is not what was written");
        if agrees { Ok(()) } else { Err(what()) }
    }

    /// Whether no halt has this id.
    pub(super) fn require_no_halt(&self, id: HaltId) -> Result<(), RowFault> {
        if i64::from(id.0) > self.halts {
            return Ok(());
        }
        Err(RowFault::damaged(format!("{} {}", HALTS.name, id.0), "it was written, and is not found"))
    }

    /// How far the orders of an account have got.
    pub(super) fn trace(&self, account: &str, mode: Mode) -> OrderTrace {
        let mut open = self.pipelines.values().flat_map(|pipeline| &pipeline.open);
        let is_under_way = open.any(|intent| {
            let is_there = intent.mode == mode && intent.account == account && intent.order().is_some();
            is_there && intent.state.may_have_left()
        });
        OrderTrace { steps: self.losses.steps(account, mode), is_under_way }
    }

    /// How many intents wait to be settled.
    pub(super) fn open_count(&self) -> usize {
        self.pipelines.values().map(|pipeline| pipeline.open.len()).sum()
    }

    /// Whether no other intent of its pipeline, which is part of the key, has this key or makes this decision.
    pub(super) fn require_new(&self, intent: &Intent) -> Result<(), RowFault> {
        let decision = |of: &Intent| (of.basis, of.action.role(), of.mode);
        let same = |known: &Intent| {
            known.key == intent.key || known.account == intent.account && decision(known) == decision(intent)
        };
        match self.of(Of::Pipeline(&intent.pipeline)).into_iter().find(|known| same(known)) {
            None => Ok(()),
            Some(known) => Err(vanished(&known.key)),
        }
    }

    /// Compares the intents that were found for a question with those that must be among them.
    pub(super) fn agree(
        &self,
        found: &[Intent],
        of: Of<'_>,
        belongs: impl Fn(&Intent) -> bool,
    ) -> Result<(), RowFault> {
        for known in self.of(of).into_iter().filter(|known| belongs(known)) {
            match found.iter().find(|found| found.key == known.key) {
                None => return Err(vanished(&known.key)),
                Some(found) if found != known => {
                    return Err(changed(&known.key, format!("it was {} when last written", known.state)));
                }
                Some(_) => {}
            }
        }
        let is_open = |found: &Intent| {
            self.pipelines
                .get(&found.pipeline)
                .is_some_and(|pipeline| pipeline.open.iter().any(|open| open.key == found.key))
        };
        match found.iter().find(|found| !found.state.is_final() && !is_open(found)) {
            Some(reopened) => Err(changed(&reopened.key, "it was settled when last written".to_owned())),
            None => Ok(()),
        }
    }

    /// Compares the confirmed intents of an account and symbol.
    pub(super) fn agree_acked(
        &self,
        found: &[Intent],
        (account, symbol, mode): (&str, &str, Mode),
    ) -> Result<(), RowFault> {
        let known = self.account(account, symbol, mode).map_or(0, |account| account.acked);
        if known == found.len() {
            return Ok(());
        }
        let what = format!("{} confirmed orders of {account} {symbol} are found, {known} were written", found.len());
        Err(RowFault::damaged(INTENTS.name, what))
    }

    /// Compares the intents that count as opened after `after`.
    pub(super) fn agree_openings(
        &self,
        found: &[Intent],
        (account, symbol, mode): (&str, &str, Mode),
        after: UtcMs,
    ) -> Result<(), RowFault> {
        let Some(known) = self.account(account, symbol, mode) else {
            return found.first().map_or(Ok(()), |extra| Err(changed(&extra.key, "nothing was opened".to_owned())));
        };
        if known.forgotten.is_some_and(|forgotten| forgotten > after) {
            return Ok(());
        }
        let known: BTreeSet<&IntentKey> =
            known.openings.iter().filter(|(slot, _)| *slot > after).map(|(_, key)| key).collect();
        let found: BTreeSet<&IntentKey> = found.iter().map(|intent| &intent.key).collect();
        match known.symmetric_difference(&found).next() {
            None => Ok(()),
            Some(key) if known.contains(key) => Err(vanished(key)),
            Some(key) => Err(changed(key, "it was not sent when last written".to_owned())),
        }
    }

    /// Compares where a pipeline stands.
    pub(super) fn agree_recovery(&self, pipeline: &str, found: &Recovery) -> Result<(), RowFault> {
        let known = self.recovery(pipeline);
        if known == *found {
            return Ok(());
        }
        let newest = known.last_slot.or(found.last_slot).map_or(0, |slot| slot.0);
        let what = "what the file says of the pipeline's newest rows is not what was written";
        Err(RowFault::damaged(format!("{} {pipeline} {newest}", SLOTS.name), what))
    }

    fn recovery(&self, pipeline: &str) -> Recovery {
        let Some(known) = self.pipelines.get(pipeline) else { return Recovery::default() };
        Recovery {
            last_slot: known.last_slot.or(known.first_intent.map(|slot| UtcMs(slot.0 - 1))),
            last_decided_bar: known.last_decided_bar,
            newest_intent_basis: known.newest_basis,
            newest_intent_slot: known.newest.as_ref().map(|(slot, _)| *slot),
        }
    }

    fn account(&self, account: &str, symbol: &str, mode: Mode) -> Option<&Account> {
        self.accounts.get(&(account.to_owned(), symbol.to_owned(), mode.code()))
    }

    /// Intents that are open, or of the newest slot of their pipeline. Some are named twice.
    fn of(&self, of: Of<'_>) -> Vec<&Intent> {
        let pipelines: Vec<&Pipeline> = match of {
            Of::Pipeline(name) => self.pipelines.get(name).into_iter().collect(),
            Of::Account(account, symbol, mode) => {
                let names = self.account(account, symbol, mode).into_iter().flat_map(|account| &account.pipelines);
                names.filter_map(|name| self.pipelines.get(name)).collect()
            }
            Of::All => self.pipelines.values().collect(),
        };
        let intents = pipelines.into_iter().flat_map(|pipeline| {
            let newest = pipeline.newest.iter().flat_map(|(_, intents)| intents);
            pipeline.open.iter().chain(newest)
        });
        intents.collect()
    }
}

impl Pipeline {
    /// Takes in an intent that a slot decided.
    fn note_of_slot(&mut self, intent: &Intent) {
        self.first_intent = Some(self.first_intent.map_or(intent.slot, |first| first.min(intent.slot)));
        self.newest_basis = self.newest_basis.max(Some(intent.basis.time()));
        match &mut self.newest {
            Some((slot, _)) if *slot > intent.slot => {}
            Some((slot, intents)) if *slot == intent.slot => keep(intents, intent),
            newest => *newest = Some((intent.slot, vec![intent.clone()])),
        }
    }
}

impl Account {
    fn note(&mut self, intent: &Intent, role: Role) {
        self.acked += usize::from(intent.state == IntentState::Acked);
        if role != Role::Open {
            return;
        }
        let opening = (intent.slot, intent.key.clone());
        if !intent.state.may_have_left() {
            self.openings.remove(&opening);
            return;
        }
        if self.openings.insert(opening)
            && let Some((newest, _)) = self.openings.last()
        {
            let floor = newest.minus(OPENINGS_KEPT);
            while self.openings.first().is_some_and(|(slot, _)| *slot <= floor) {
                self.forgotten = self.openings.pop_first().map(|(slot, _)| slot).max(self.forgotten);
            }
        }
    }
}

/// Puts an intent in the place of its earlier state. A list takes less than a tree for the one or two that a pipeline has.
fn keep(intents: &mut Vec<Intent>, intent: &Intent) {
    match intents.iter_mut().find(|known| known.key == intent.key) {
        Some(known) => *known = intent.clone(),
        None => {
            intents.reserve_exact(1);
            intents.push(intent.clone());
        }
    }
}

fn vanished(key: &IntentKey) -> RowFault {
    changed(key, "it was written, and is not found where it belongs".to_owned())
}

fn changed(key: &IntentKey, what: String) -> RowFault {
    RowFault::damaged(format!("{} {key}", INTENTS.name), what)
}
