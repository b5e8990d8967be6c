//! Which pipeline owns an open order. A pipeline settles only its own: those with its name, its account and its mode. After a
//! rename no pipeline would settle the rest, and their symbols would be traded regardless; so the node does not start.

use sentinel_actors::domain::intent::Intent;

use super::{NodeError, WiredPipeline};
use crate::journal::JournalReader;

/// How many orders an error names.
const NAMED_MAX: usize = 10;

/// Refuses a start that would forget an open order. Orders of a mode in which no pipeline runs are left alone: a dry run does not
/// touch a live node's orders, and the next live start checks them here.
///
/// # Errors
/// When there is such an order, or the journal cannot be read.
pub(super) fn refuse_unowned(journal: &JournalReader, pipelines: &[WiredPipeline]) -> Result<(), NodeError> {
    let mode = |pipeline: &WiredPipeline| pipeline.ports.sink.mode();
    let mut open = journal.open_intents()?;
    open.retain(|intent| {
        pipelines.iter().any(|pipeline| mode(pipeline) == intent.mode)
            && !pipelines.iter().any(|pipeline| is_of(intent, pipeline))
    });
    if open.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = open.iter().take(NAMED_MAX).map(name).collect();
    let more = open.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(NodeError::Unowned { orders: named.join("; ") + &more })
}

fn is_of(intent: &Intent, pipeline: &WiredPipeline) -> bool {
    let sink = &pipeline.ports.sink;
    (intent.pipeline.as_str(), intent.account.as_str(), intent.mode)
        == (pipeline.settings.name.as_str(), sink.account(), sink.mode())
}

fn name(intent: &Intent) -> String {
    let Intent { key, state, action, pipeline, account, mode, .. } = intent;
    format!("{key} ({state}: {action}, pipeline '{pipeline}', account '{account}', {mode})")
}
