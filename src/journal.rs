//! The SQLite journal and the state directory around it.
//!
//! Promises kept here: each slot has one row and each effect a durable intent before it happens (1 and 2 of the node); one
//! node per directory; what cannot be understood is refused and never overwritten. Nothing here decides anything: rules
//! about slots and intents live in `sentinel_actors::domain`. Nothing here reads a clock.
//!
//! ```text
//! state/
//!   lock          held by the running node
//!   journal.db    slots, intents, their events, starts: WAL, synchronous=FULL
//!   journal.mark  which journal this is, and how far it had come
//!   telemetry.db  crash reports, restarts, incidents of the alerts: WAL, synchronous=NORMAL; may be deleted
//!   last_exit     how the last run ended
//!   boots         starts, to recognise a crash loop
//!   quarantine/   inputs that ended a stage twice
//! ```

mod accounts;
mod alert_memory;
mod announced;
mod apply;
mod audit;
pub mod boot;
mod copies;
mod error;
mod frozen;
mod halts;
mod held;
mod known;
mod mark;
mod meta;
mod opening;
mod proof;
mod queries;
mod reader;
mod retention;
mod rows;
mod schema;
mod slice;
mod starts;
mod state;
mod store;
mod tables;
mod telemetry;
mod usable;

pub use accounts::KeptAccount;
pub use alert_memory::{AlertMemory, AlertRow};
pub use boot::{BootRecord, BootVerdict, LastExit, keep_last_exit, read_last_exit, write_last_exit};
pub use copies::{CopiedJournal, check_copy, mark_ahead_of};
pub use error::{JournalError, Loss, StateError, how_to_stop, process};
pub use mark::MARK_FILE;
pub use opening::require_remembered;
pub use proof::{DueSlots, Proof, Proven, proof, proof_of};
pub use reader::{Filter, IntentTally, JournalReader, Newest, SlotTally, Snapshot, Stored, Verified};
pub use retention::Removed;
pub use rows::IntentStep;
pub use schema::{Recovered, SCHEMA_VERSION};
pub use slice::slice;
pub use starts::Start;
pub use state::StateDir;
pub use store::{SqliteJournal, StoreOptions};
pub use telemetry::{Telemetry, TelemetryEvent};
pub use usable::check_state_dir;

const LOCK_FILE: &str = "lock";
/// The journal's file in the state directory.
pub const JOURNAL_FILE: &str = "journal.db";
/// The file of crash reports, and of what the alerts remember.
pub const TELEMETRY_FILE: &str = "telemetry.db";
/// How the last run ended.
pub const LAST_EXIT_FILE: &str = "last_exit";
const BOOTS_FILE: &str = "boots";
const QUARANTINE_DIR: &str = "quarantine";
