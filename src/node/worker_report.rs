//! The windows of a pipeline that submits to a topic, summed up from the journal and the outbox. It only reads, beside a running
//! node too.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Intent, IntentEvent};
use sentinel_actors::domain::time::UtcMs;

use crate::journal::{Filter, JournalError, JournalReader};
use crate::venues::allora::address::Address;
use crate::venues::allora::outbox::{OUTBOX_FILE, OutboxError, read_all};
use crate::venues::allora::queries::Topic;
use crate::venues::allora::report::{Fees, Tally};

/// What a worker has done in one topic.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WorkerReport {
    /// `None`: nothing was submitted yet that would name it.
    pub topic: Option<u64>,
    pub tally: Tally,
    pub fees: Fees,
    /// Windows up to this one were removed by retention, and are in no figure here.
    pub removed_until: Option<UtcMs>,
}

/// The report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum WorkerReportError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

impl WorkerReport {
    /// For people, each line with its label; `topic`: what the chain says of the topic, when that is known.
    #[must_use]
    pub fn lines(&self, topic: Option<&Topic>) -> Vec<(&'static str, String)> {
        let mut lines = self.tally.lines(&self.fees, topic);
        if let Some(until) = self.removed_until {
            lines.insert(1, ("", format!("without those up to {until}, which node.retention has removed")));
        }
        lines
    }
}

/// The worker's address and topic in the account of a live intent, `CHAIN/ADDRESS/TOPIC`.
#[must_use]
pub fn worker_of(intent: &Intent) -> Option<(Address, u64)> {
    let mut parts = intent.account.rsplit('/');
    let topic = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, topic))
}

/// Sums up the announced slots of `pipeline` in the state directory `dir` that have their row.
///
/// # Errors
/// When journal or outbox cannot be read.
pub fn worker_report(dir: &Path, pipeline: &str) -> Result<WorkerReport, WorkerReportError> {
    worker_report_between(dir, pipeline, (UtcMs(i64::MIN), UtcMs(i64::MAX)))
}

/// The same of the announced slots that were due from the first time on and before the second one. Fees of registrations belong to
/// every range.
///
/// # Errors
/// When journal or outbox cannot be read.
pub fn worker_report_between(
    dir: &Path,
    pipeline: &str,
    (from, to): (UtcMs, UtcMs),
) -> Result<WorkerReport, WorkerReportError> {
    let reader = JournalReader::open(dir)?;
    let _still = reader.hold_still()?;
    let announced = reader.announced_between(pipeline, from, to.before())?;
    let filter = Filter { pipeline: Some(pipeline), since: Some(from), before: Some(to), ..Filter::default() };
    let announced: BTreeSet<UtcMs> = announced.into_iter().map(|slot| slot.slot).collect();
    let mut forecasts: BTreeMap<UtcMs, (Intent, Vec<Fact>)> = BTreeMap::new();
    reader.each_intent_of(&filter, |stored| {
        let intent = stored.record;
        if intent.action.forecast().is_some() {
            let facts = facts(&reader, &intent)?;
            forecasts.insert(intent.slot, (intent, facts));
        }
        Ok::<_, JournalError>(())
    })?;
    let removed_until = reader.removed(pipeline)?.map(|removed| removed.until);
    let topic = forecasts.values().rev().find_map(|(intent, _)| worker_of(intent)).map(|(_, topic)| topic);
    let mut report = WorkerReport { topic, removed_until, ..WorkerReport::default() };
    reader.each_slot_of(&filter, |row| {
        let row = row.record;
        if announced.contains(&row.slot) {
            let forecast = forecasts.get(&row.slot).map(|(intent, facts)| (intent, facts.as_slice()));
            report.tally.add(&row, forecast);
        }
        Ok::<_, JournalError>(())
    })?;
    let registration = topic.map(Fees::registration_prefix);
    let own: BTreeSet<&str> = forecasts.values().map(|(intent, _)| intent.key.as_str()).collect();
    for sent in read_all(&dir.join(OUTBOX_FILE))? {
        let is_registration = registration.as_ref().is_some_and(|prefix| sent.key.starts_with(prefix));
        if is_registration || own.contains(sent.key.as_str()) {
            report.fees.add(&sent, is_registration);
        }
    }
    Ok(report)
}

/// What the ledger has said about an intent, oldest first.
fn facts(reader: &JournalReader, intent: &Intent) -> Result<Vec<Fact>, JournalError> {
    let noted = |event| match event {
        IntentEvent::Noted { fact } => Some(fact),
        _ => None,
    };
    Ok(reader.steps(&intent.key)?.into_iter().filter_map(|step| step.record.event.and_then(noted)).collect())
}
