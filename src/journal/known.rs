//! What the writer knows by itself of the rows that the node acts on next, to compare with what the file says.
//!
//! Promise kept: a row that the file no longer shows, because a byte of it or of an index was changed under the running
//! node, is missed and named. A checksum cannot do that: it covers only rows that are found. Everything here comes from
//! rows that were verified at the start, or from this process's own writes; it is as large as what is open, what was opened
//! in two days, and one slot per pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sentinel_actors::domain::announced::AnnouncedSlot;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Recovery;

use super::tables::{INTENTS, RowFault, SLOTS};

/// How long openings are remembered; no limit looks back further than a day.
const OPENINGS_KEPT: Duration = Duration::from_secs(2 * 86_400);

/// The writer's own knowledge.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) intents: i64,
    pub(super) events: i64,
    /// Intents that are not final.
    open: BTreeMap<IntentKey, Intent>,
    pipelines: BTreeMap<String, Pipeline>,
    accounts: BTreeMap<(String, String, &'static str), Account>,
}

#[derive(Debug, Default)]
struct Pipeline {
    last_slot: Option<UtcMs>,
    last_decided_bar: Option<UtcMs>,
    first_intent: Option<UtcMs>,
    newest_basis: Option<UtcMs>,
    /// The newest slot that wrote intents, and them.
    newest: Option<(UtcMs, BTreeMap<IntentKey, Intent>)>,
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
}

impl Known {
    /// Adds a new intent.
    pub(super) fn note_planned(&mut self, intent: &Intent) {
        self.note_read(intent, 1);
    }

    /// Takes in an intent after one more event.
    pub(super) fn note_advanced(&mut self, intent: &Intent) {
        self.events += 1;
        self.note(intent);
    }

    /// Adds an intent that was read, with its number of events.
    pub(super) fn note_read(&mut self, intent: &Intent, events: i64) {
        self.intents += 1;
        self.events += events;
        self.note(intent);
    }

    fn note(&mut self, intent: &Intent) {
        let key = || intent.key.clone();
        if intent.state.is_final() {
            self.open.remove(&intent.key);
        } else {
            self.open.insert(key(), intent.clone());
        }
        let pipeline = self.pipelines.entry(intent.pipeline.clone()).or_default();
        pipeline.first_intent = Some(pipeline.first_intent.map_or(intent.slot, |first| first.min(intent.slot)));
        pipeline.newest_basis = pipeline.newest_basis.max(Some(intent.basis.time()));
        match &mut pipeline.newest {
            Some((slot, _)) if *slot > intent.slot => {}
            Some((slot, intents)) if *slot == intent.slot => drop(intents.insert(key(), intent.clone())),
            newest => *newest = Some((intent.slot, BTreeMap::from([(key(), intent.clone())]))),
        }
        let account = (intent.account.clone(), intent.action.symbol().to_owned(), intent.mode.code());
        if let Some(order) = intent.order() {
            self.accounts.entry(account).or_default().note(intent, order.role);
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

    /// How many intents wait to be settled.
    pub(super) fn open_count(&self) -> usize {
        self.open.len()
    }

    /// Whether no other intent has this key or makes this decision.
    pub(super) fn require_new(&self, intent: &Intent) -> Result<(), RowFault> {
        let decision = |of: &Intent| (of.basis, of.action.role(), of.mode);
        let same = |known: &Intent| {
            let place = (&known.pipeline, &known.account) == (&intent.pipeline, &intent.account);
            known.key == intent.key || place && decision(known) == decision(intent)
        };
        match self.of(same).next() {
            None => Ok(()),
            Some(known) => Err(vanished(&known.key)),
        }
    }

    /// Compares the intents that were found for a question with those that must be among them.
    pub(super) fn agree(&self, found: &[Intent], belongs: impl Fn(&Intent) -> bool) -> Result<(), RowFault> {
        for known in self.of(belongs) {
            match found.iter().find(|found| found.key == known.key) {
                None => return Err(vanished(&known.key)),
                Some(found) if found != known => {
                    return Err(changed(&known.key, format!("it was {} when last written", known.state)));
                }
                Some(_) => {}
            }
        }
        match found.iter().find(|found| !found.state.is_final() && !self.open.contains_key(&found.key)) {
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

    fn of(&self, belongs: impl Fn(&Intent) -> bool) -> impl Iterator<Item = &Intent> {
        let newest = self.pipelines.values().filter_map(|pipeline| pipeline.newest.as_ref());
        let newest = newest.flat_map(|(_, intents)| intents.values());
        self.open.values().chain(newest).filter(move |intent| belongs(intent))
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

fn vanished(key: &IntentKey) -> RowFault {
    changed(key, "it was written, and is not found where it belongs".to_owned())
}

fn changed(key: &IntentKey, what: String) -> RowFault {
    RowFault::damaged(format!("{} {key}", INTENTS.name), what)
}
