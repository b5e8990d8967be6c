//! Whose an open order is. A pipeline asks about its own only: those with its name, its account and its mode. After a rename
//! nobody would ask about the rest, and their symbol would be traded on over them; so the node does not start.

use sentinel_actors::domain::intent::{Intent, Mode};

use super::{NodeError, WiredPipeline};
use crate::journal::JournalReader;

/// Orders that an error names.
const NAMED_MAX: usize = 10;

/// Refuses a start that would forget an open order. Orders of the other mode are no business of this run: a dry run beside a
/// live node's orders does not touch them, and the next live start finds them here.
///
/// # Errors
/// When there is such an order, or the journal cannot be read.
pub(super) fn refuse_unowned(
    journal: &JournalReader,
    mode: Mode,
    pipelines: &[WiredPipeline],
) -> Result<(), NodeError> {
    let mut open = journal.open_intents()?;
    open.retain(|intent| intent.mode == mode && !pipelines.iter().any(|pipeline| is_of(intent, pipeline)));
    if open.is_empty() {
        return Ok(());
    }
    let named: Vec<String> = open.iter().take(NAMED_MAX).map(name).collect();
    let more = open.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(NodeError::Unowned { orders: named.join("; ") + &more })
}

fn is_of(intent: &Intent, pipeline: &WiredPipeline) -> bool {
    intent.pipeline == pipeline.settings.name && intent.account == pipeline.ports.venue.account()
}

fn name(intent: &Intent) -> String {
    let Intent { key, state, order, pipeline, account, mode, .. } = intent;
    format!(
        "{key} ({state}: {} {} {}, pipeline '{pipeline}', account '{account}', {mode})",
        order.side,
        order.volume_lots.normalize(),
        order.symbol
    )
}
