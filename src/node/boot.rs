//! What a start does before anything is wired: it is recorded, it waits after crashes, and what keeps effects here stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sentinel_actors::domain::node_view::LastEnd;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::events;
use sentinel_actors::halts::Halts;
use sentinel_actors::ports::{Chance as _, Clock as _, JournalStore as _, JournalWrite, Written};
use tracing::{error, info, warn};

use super::error::NodeError;
use super::health_reporter::HealthReporter;
use super::shutdown::Signals;
use crate::journal::{BootRecord, BootVerdict, Recovered, SqliteJournal, StateDir};
use crate::system::{SystemChance, WallClock};

/// Records this start, and waits if earlier runs crashed. Tells how the one before ended, if not in order. A failure to record never
/// stops a node.
///
/// # Errors
/// The name of the signal that ended the wait.
pub(super) async fn register_boot(
    state: &StateDir,
    health_reporter: &HealthReporter,
    signals: &mut Signals,
) -> Result<(BootVerdict, Option<LastEnd>), &'static str> {
    let (verdict, last_end) = match BootRecord::register(state, WallClock.now()) {
        Ok(record) => (record.verdict, record.ended_badly()),
        Err(error) => {
            warn!(event = "boot_record_lost", error = %chain(&error), "the record of starts cannot be written");
            (BootVerdict::default(), None)
        }
    };
    let delay = verdict.delay_max.mul_f64(SystemChance.unit());
    if !delay.is_zero() {
        warn!(
            event = "boot_backoff",
            crashes = verdict.crashes,
            delay_ms = delay.as_millis(),
            "earlier runs crashed; the node waits before it starts"
        );
        health_reporter.backing_off(verdict.crashes, delay);
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            name = signals.first() => {
                health_reporter.stopping(name);
                info!(event = "shutdown_began", why = name, "a signal ends the node while it waits to start");
                return Err(name);
            }
        }
    }
    if let Some(until) = verdict.safe_mode_until {
        error!(
            event = "safe_mode_entered",
            %until,
            "the node crashed repeatedly; it sends nothing until then, or until `sentinel resume`"
        );
    }
    Ok((verdict, last_end))
}

pub(super) async fn leave_safe_mode(state: Arc<StateDir>, safe_mode: Arc<AtomicBool>, until: UtcMs) {
    while WallClock.now() < until && !BootRecord::safe_mode_was_ended(state.path()) {
        WallClock.wait_until(until).await;
    }
    safe_mode.store(false, Ordering::Release);
    warn!(event = "safe_mode_left", "the node sends orders again");
}

/// A kill file that is there is in the journal before anything can leave. What stands is said at each start.
pub(super) async fn record_halts(journal: &SqliteJournal, halts: &Halts) -> Result<(), NodeError> {
    for halt in halts.standing().recorded() {
        events::halts::stands(halt);
    }
    halts.look_at_switch();
    for new in halts.pending() {
        let written = journal.commit(vec![JournalWrite::Raise(Box::new(new))]).await.map_err(NodeError::Halt)?;
        for written in written {
            if let Written::Halt(halt) = written {
                halts.record(*halt);
            }
        }
    }
    Ok(())
}

pub(super) fn log_journal_loss(recovered: &Recovered) {
    if let Some(loss) = &recovered.accepted_loss {
        error!(
            event = "lost_journal_accepted",
            %loss,
            "the operator accepted the loss: the node does not know what it has sent; start it without --accept-lost-journal from now on"
        );
    }
    if recovered.mark_was_missing {
        warn!(
            event = "journal_mark_missing",
            "the state directory's record of its journal was missing; it starts again from the present journal"
        );
    }
}
