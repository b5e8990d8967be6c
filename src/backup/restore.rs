//! A state directory from a backup.
//!
//! Promise kept: a restored node sends nothing twice. The node that the copy is of may have gone on, and its newest orders are not in
//! the copy. So
//!
//! * the copy's mark is one commit ahead of its journal: a node on files that were put in place by hand is refused;
//! * the restored journal gets an id of its own and notes the loss, so that no arm of before counts;
//! * it has a halt: nothing leaves before an operator has compared the account with it. A slot that ends while the halt stands is never
//!   decided again, so what the other node has sent meanwhile is not repeated after it either;
//! * a live order that was planned is taken for one that was sent and lost: its id is asked for at the venue. A live forecast that
//!   was not settled is held for an operator, because the record of transactions is a copy too and cannot say that there was none.
//!
//! The files lie in a directory within the new one until they are complete, the mark comes into its place first and the journal last:
//! before that, a node would be refused there.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use sentinel_actors::domain::halt::{Halt, NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentState, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalStore as _, JournalWrite, NoFaults, Written};

use super::staging::Staging;
use super::{BackupError, Manifest, archive};
use crate::files::{create_private_dir, sync_names};
use crate::journal::{JOURNAL_FILE, JournalReader, MARK_FILE, SqliteJournal, StateDir, StoreOptions, check_copy};

/// Where the files lie until they are complete.
const STAGING: &str = ".restoring";

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    /// Keeps everything here until an operator lifts it.
    pub halt: Halt,
    /// Intents that are not settled.
    pub open: Vec<Intent>,
}

/// Restores the backup `file` as the new state directory `dir`, at wall time `now`; `who` asks for it.
///
/// # Errors
/// When the archive is not what was written, or `dir` has anything in it.
pub fn restore(file: &Path, dir: &Path, who: &str, now: UtcMs) -> Result<Restored, BackupError> {
    super::check(file)?;
    create_private_dir(dir).map_err(BackupError::io(dir, "creating it"))?;
    let mut there = fs::read_dir(dir).map_err(BackupError::io(dir, "reading it"))?;
    if there.next().is_some() {
        return Err(BackupError::NotEmpty { dir: dir.to_owned() });
    }
    let staging = Staging::new(dir.join(STAGING))?;
    let manifest = archive::read(file, Some(staging.path()))?;
    check_copy(&staging.path().join(JOURNAL_FILE))?;
    let halt = settle_in(staging.path(), &manifest, who, now)?;
    let open = JournalReader::open(staging.path())?.open_intents()?;
    put_in_place(staging.path(), dir, &manifest)?;
    Ok(Restored { manifest, halt, open })
}

/// Makes the copy in `dir` a journal of its own that knows what it cannot know.
fn settle_in(dir: &Path, manifest: &Manifest, who: &str, now: UtcMs) -> Result<Halt, BackupError> {
    let open = JournalReader::open(dir)?.open_intents()?;
    let mut writes = vec![JournalWrite::Raise(Box::new(halt(manifest, &open, who, now)))];
    for intent in open.iter().filter(|intent| intent.mode == Mode::Live) {
        let events = doubts(intent, manifest);
        writes.extend(events.into_iter().map(|event| JournalWrite::Advance {
            key: intent.key.clone(),
            event,
            at: now,
        }));
    }
    let state = StateDir::open(dir)?;
    let options = StoreOptions { accept_lost: Some(now), ..StoreOptions::default() };
    let (journal, _) = SqliteJournal::open_with(&state, Arc::new(NoFaults), options)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(BackupError::io(dir, "starting a runtime"))?;
    let written = runtime.block_on(journal.commit(writes))?;
    journal.close()?;
    let mut raised = None;
    for written in written {
        match written {
            Written::Done => {}
            Written::Halt(halt) => raised = Some(*halt),
            other => return Err(BackupError::Refused(format!("{other:?}"))),
        }
    }
    raised.ok_or_else(|| BackupError::Refused("it has no halt".to_owned()))
}

fn halt(manifest: &Manifest, open: &[Intent], who: &str, now: UtcMs) -> NewHalt {
    let taken = &manifest.taken_at;
    NewHalt {
        request: crate::system::random_id(),
        scope: Scope::All,
        state: TradingState::Halted,
        by: RaisedBy::Operator,
        who: who.to_owned(),
        why: format!(
            "restored from a backup of {taken}: what was sent after it is not in this journal; stop the other node, compare the \
             account, settle what is open, then resume"
        ),
        evidence: format!("commit {} of journal {}, {} open", manifest.commits, manifest.journal_id, open.len()),
        since: now,
    }
}

/// What has to be said of an open live intent that another node may have carried on with.
fn doubts(intent: &Intent, manifest: &Manifest) -> Vec<IntentEvent> {
    let evidence = format!("restored from a backup of {}: the node that went on may have sent it", manifest.taken_at);
    let lost = IntentEvent::LostTrack { evidence: evidence.clone() };
    let mut events = match intent.state {
        IntentState::Planned => vec![IntentEvent::Send, lost],
        IntentState::Sent => vec![lost],
        _ => Vec::new(),
    };
    let is_held = intent.state == IntentState::Held;
    if intent.action.forecast().is_some() && !is_held {
        events.push(IntentEvent::Hold { evidence });
    }
    events
}

/// The mark first: without its journal a node is refused. The journal last.
fn put_in_place(from: &Path, to: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    let others = manifest.files.iter().map(|entry| entry.name.as_str());
    let others = others.filter(|name| ![MARK_FILE, JOURNAL_FILE].contains(name));
    for name in std::iter::once(MARK_FILE).chain(others).chain([JOURNAL_FILE]) {
        let place = to.join(name);
        fs::rename(from.join(name), &place).map_err(BackupError::io(&place, "putting it in place"))?;
        if name == MARK_FILE {
            sync(to)?;
        }
    }
    sync(to)
}

fn sync(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| sync_names(&dir)).map_err(BackupError::io(dir, "syncing it"))
}
