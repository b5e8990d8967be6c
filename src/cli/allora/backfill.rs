//! `sentinel allora report --backfill`: asks the chain for the proofs and scores that are missing, and notes them in the journal.
//!
//! It writes what the node would have written, and only while no node runs: the state directory is locked.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::fact::{Awaits, Fact};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock as _, JournalStore as _, JournalWrite, NoFaults, Written, elapsed_now};
use tokio::runtime::Runtime;

use super::super::{Failure, exit};
use crate::http::Deadline;
use crate::journal::{JournalError, JournalReader, SqliteJournal, StateDir, StateError, process, require_remembered};
use crate::node::worker_report::worker_of;
use crate::system::WallClock;
use crate::venues::allora::client::{Client, ClientError};
use crate::venues::allora::proof::{Claim, Prover, Seen};

/// For what is asked about one forecast.
const ONE_MAX: Duration = Duration::from_secs(30);

/// What a backfill has found.
#[derive(Debug, Default)]
pub(super) struct Backfill {
    /// Forecasts of which something was awaited.
    awaited: u64,
    /// Noted, by code.
    noted: Vec<&'static str>,
    /// Why the chain was not asked about all of them.
    cut_short: Option<String>,
}

impl Backfill {
    pub(super) const fn is_cut_short(&self) -> bool {
        self.cut_short.is_some()
    }
}

impl fmt::Display for Backfill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} forecasts awaited something of the chain", self.awaited)?;
        for code in Fact::CODES {
            let count = self.noted.iter().filter(|noted| **noted == code).count();
            if count > 0 {
                write!(f, ", {count} {code}")?;
            }
        }
        match &self.cut_short {
            Some(why) => write!(f, "; it ended before all were asked about, because {why}: give the command again"),
            None if self.noted.is_empty() => f.write_str(", and it has nothing new"),
            None => Ok(()),
        }
    }
}

/// Asks about every live forecast that awaits something.
pub(super) fn backfill(state: &Path, client: &Client, runtime: &Runtime) -> Result<Backfill, Failure> {
    require_remembered(state)?;
    // Before anything is opened for writing: a mistyped directory must not become a node's.
    let awaiting = awaiting(&JournalReader::open(state)?)?;
    let state = StateDir::open(state).map_err(locked)?;
    let (journal, _) = SqliteJournal::open(&state, Arc::new(NoFaults))?;
    let mut filled = Backfill { awaited: awaiting.len() as u64, ..Backfill::default() };
    for mut intent in awaiting {
        let facts = match runtime.block_on(ask(client, &mut intent)) {
            Ok(facts) => facts,
            Err(error) => {
                filled.cut_short = Some(chain(&error));
                break;
            }
        };
        for fact in facts {
            let code = fact.code();
            note(&journal, &intent.key, fact, runtime)?;
            filled.noted.push(code);
        }
    }
    Ok(filled)
}

fn locked(error: StateError) -> Failure {
    match error {
        StateError::Locked { dir, pid } => Failure {
            code: exit::TEMPORARY,
            text: format!(
                "error: the node on {} is running ({})\n  what to do: nothing; it asks the chain for proofs and scores by itself. Without \
                 --backfill the report shows what it has noted",
                dir.display(),
                process(pid)
            ),
        },
        error @ StateError::Unusable { .. } => error.into(),
    }
}

fn awaiting(reader: &JournalReader) -> Result<Vec<Intent>, JournalError> {
    let mut found = Vec::new();
    reader.each_intent(None, None, |stored| {
        if stored.record.awaits.is_some() && worker_of(&stored.record).is_some() {
            found.push(stored.record);
        }
        Ok::<_, JournalError>(())
    })?;
    Ok(found)
}

/// Everything that the chain says now about one forecast, in its order.
async fn ask(client: &Client, intent: &mut Intent) -> Result<Vec<Fact>, ClientError> {
    let mut facts = Vec::new();
    let Some((worker, topic)) = worker_of(intent) else { return Ok(facts) };
    let until = Deadline::of(ONE_MAX, elapsed_now());
    let status = client.window_status(topic, &worker, until).await?;
    let (topic, params) = (client.topic(topic, until).await?, client.params(until).await?);
    let seen = Seen { status: &status, topic: &topic, epochs_kept: params.epochs_kept };
    let prover = Prover { client, worker, until };
    // Admission, storage, score: no more than one fact each.
    for _ in Awaits::ALL {
        let Some(claim) = Claim::of(intent) else { break };
        let Some(fact) = prover.ask(&claim, seen).await? else { break };
        if intent.take(&IntentEvent::Noted { fact: fact.clone() }).is_err() {
            break;
        }
        facts.push(fact);
    }
    Ok(facts)
}

fn note(journal: &SqliteJournal, key: &IntentKey, fact: Fact, runtime: &Runtime) -> Result<(), Failure> {
    let write = JournalWrite::Advance { key: key.clone(), event: IntentEvent::Noted { fact }, at: WallClock.now() };
    let written =
        runtime.block_on(journal.commit(vec![write])).map_err(|error| Failure::new(exit::IO, &error, None))?;
    if written == [Written::Done] {
        return Ok(());
    }
    Err(Failure {
        code: exit::FAILED,
        text: format!("error: the journal refused what the chain says of {key}: {written:?}"),
    })
}
