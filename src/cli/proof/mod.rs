//! The proof that a node's journal and its venue agree: for the demo, and for every state directory.
//!
//! It reads both and repairs nothing. The two know nothing of each other and share no code.

mod compare;
pub mod ledger;

pub use compare::compare;

use self::ledger::LedgerError;
use crate::journal::JournalError;

/// What can keep the proof from being made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The journal.
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    /// The gateway's ledger.
    #[error("the gateway's ledger cannot be read")]
    Ledger(#[from] LedgerError),
}
