//! Intents: the durable record of each effect, and the state machine that keeps an unknown result unknown.
//!
//! Promise 2: no effect without a durable intent, at most one effect per key. An order whose result is not known
//! stays `unknown` until evidence or an operator settles it; no event is a timer or a count of retries.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::action::{Action, Receipt};
pub use super::basis::{Basis, BasisKind};
use super::evidence::Grade;
use super::fact::{Awaits, Fact, OutOfTurn};
use super::order::{Order, Position, Role, Ticket};
use super::time::UtcMs;

/// Bumped when the derivation of keys changes; keys of different versions never meet. Version 1 did not distinguish a
/// bar from a slot. Its keys stay valid: an existing intent is found by its decision and keeps its key.
const KEY_VERSION: &str = "sentinel-intent-2";

/// Derived identity of one effect: the same decision derives the same key on every run, after any crash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IntentKey(String);

/// Whether effects are real. Dry runs derive their keys in a namespace of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Effects go to a local book only.
    DryRun,
    /// Effects leave the node.
    Live,
}

impl Mode {
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::DryRun => "dry_run",
            Self::Live => "live",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl IntentKey {
    /// Derives the key of a decision that has no intent yet. `role` is that of the [`Action`] within the decision.
    #[must_use]
    pub fn derive(mode: Mode, account: &str, pipeline: &str, basis: Basis, role: impl fmt::Display) -> Self {
        let mut hash = Sha256::new();
        let (kind, time) = (basis.kind().code(), basis.time().0.to_string());
        for part in [KEY_VERSION, mode.code(), account, pipeline, kind, &time, &role.to_string()] {
            // Length-prefixed: ("ab", "c") and ("a", "bc") are different keys.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Self(data_encoding::BASE32_NOPAD.encode(&hash.finalize()[..20]).to_ascii_lowercase())
    }

    /// A key read back from the journal.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// 32 base32 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IntentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Written; nothing has left the node.
    Planned,
    /// About to leave, or left; from here on the venue may have it.
    Sent,
    /// The venue confirmed it.
    Acked,
    /// The venue refused it.
    Rejected,
    /// Left; what became of it is not known. Blocks new exposure in its symbol.
    Unknown,
    /// Provably not at the venue.
    Absent,
    /// The venue cannot settle it; it waits for an operator. Blocks new exposure in its symbol.
    Held,
}

impl IntentState {
    pub const ALL: [Self; 7] =
        [Self::Planned, Self::Sent, Self::Acked, Self::Rejected, Self::Unknown, Self::Absent, Self::Held];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
            Self::Held => "held",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// Whether nothing can change it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Acked | Self::Rejected | Self::Absent)
    }

    /// Whether the venue may have received it.
    #[must_use]
    pub const fn may_have_left(self) -> bool {
        !matches!(self, Self::Planned | Self::Absent)
    }

    /// The state after `event`.
    ///
    /// # Errors
    /// When there is no such transition: the caller has a bug or an outdated view, and nothing may change.
    pub fn after(self, event: &IntentEvent) -> Result<Self, IllegalTransition> {
        use IntentEvent as E;
        let next = match (self, event) {
            (Self::Planned, E::Send | E::SendAfter { .. }) => Self::Sent,
            (Self::Planned, E::Abandon) => Self::Absent,
            (Self::Sent, E::NeverLeft { .. }) => Self::Absent,
            (Self::Sent | Self::Unknown, E::Acked { .. } | E::Found { .. }) => Self::Acked,
            (Self::Sent | Self::Unknown, E::Rejected { .. }) => Self::Rejected,
            (Self::Sent, E::LostTrack { .. }) => Self::Unknown,
            (Self::Unknown, E::FoundAbsent { .. }) => Self::Absent,
            (Self::Unknown, E::Hold { .. }) => Self::Held,
            (Self::Held, E::SettledAcked { .. }) => Self::Acked,
            (Self::Held, E::SettledAbsent { .. }) => Self::Absent,
            (Self::Acked, E::Noted { .. }) => Self::Acked,
            _ => return Err(IllegalTransition { from: self, event: event.name() }),
        };
        Ok(next)
    }
}

impl fmt::Display for IntentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What can happen to an intent. Each names its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum IntentEvent {
    /// The node is about to hand the bytes over.
    Send,
    /// The same, at a venue that lists positions: these were open before.
    SendAfter {
        listed: Vec<Position>,
        /// As [`Intent::venue_note`].
        #[serde(skip_serializing_if = "Option::is_none", default)]
        venue_note: Option<String>,
    },
    /// Planned, and will not be sent: the node knows that nothing left.
    Abandon,
    /// The transport proves that no byte left.
    NeverLeft { evidence: String },
    /// Its own reply confirmed it.
    Acked { receipt: Receipt },
    /// There was no reply, and the venue shows that it was done.
    Found { receipt: Receipt, grade: Grade },
    Rejected {
        /// Its code, when it has one.
        code: Option<i64>,
        /// Its text, shortened.
        text: String,
    },
    /// No usable answer: it is not known what became of it.
    LostTrack {
        /// What is known.
        evidence: String,
    },
    /// The venue was asked and provably does not have it.
    FoundAbsent { evidence: String },
    /// The venue cannot settle it; an operator must.
    Hold {
        /// Why not.
        evidence: String,
    },
    /// An operator found it at the venue.
    SettledAcked {
        /// What the venue shows of it.
        receipt: Receipt,
        /// Who looked, and what they saw.
        evidence: String,
    },
    /// An operator found that the venue does not have it.
    SettledAbsent {
        /// Who looked, and what they saw.
        evidence: String,
    },
    /// Its ledger says what became of a confirmed forecast. The state stays.
    Noted {
        #[serde(flatten)]
        fact: Fact,
    },
}

impl IntentEvent {
    /// What confirms it, as the venue or an operator reported it.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Receipt> {
        match self {
            Self::Acked { receipt } | Self::Found { receipt, .. } | Self::SettledAcked { receipt, .. } => Some(receipt),
            _ => None,
        }
    }

    /// How surely it is known. A reply of its own needs none.
    #[must_use]
    pub const fn grade(&self) -> Option<Grade> {
        match self {
            Self::Found { grade, .. } => Some(*grade),
            Self::SettledAcked { .. } => Some(Grade::Operator),
            _ => None,
        }
    }

    /// Whether the effect leaves after it.
    #[must_use]
    pub const fn is_send(&self) -> bool {
        matches!(self, Self::Send | Self::SendAfter { .. })
    }

    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Send | Self::SendAfter { .. } => "send",
            Self::Abandon => "abandon",
            Self::NeverLeft { .. } => "never_left",
            Self::Acked { .. } => "acked",
            Self::Found { .. } => "found",
            Self::Rejected { .. } => "rejected",
            Self::LostTrack { .. } => "lost_track",
            Self::FoundAbsent { .. } => "found_absent",
            Self::Hold { .. } => "hold",
            Self::SettledAcked { .. } => "settled_acked",
            Self::SettledAbsent { .. } => "settled_absent",
            Self::Noted { .. } => "noted",
        }
    }
}

/// A transition that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an intent that is {from} cannot take the event '{event}'")]
pub struct IllegalTransition {
    /// State that was kept.
    pub from: IntentState,
    /// Name of the refused event.
    pub event: &'static str,
}

/// One effect, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Derived key; unique.
    pub key: IntentKey,
    /// Namespace of the key.
    pub mode: Mode,
    /// Account that it trades on.
    pub account: String,
    /// Pipeline that decided it.
    pub pipeline: String,
    /// Slot whose cycle wrote it first; of what an operator asked for, the time of the command.
    pub slot: UtcMs,
    /// What that slot was announced as, such as a nonce; `None` on a grid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced_as: Option<String>,
    /// What was decided.
    pub basis: Basis,
    /// What is done; a re-run that would do something else does not replace it.
    #[serde(flatten)]
    pub action: Action,
    pub state: IntentState,
    /// The confirmation, once acked.
    pub receipt: Option<Receipt>,
    /// What its ledger has still to say about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub awaits: Option<Awaits>,
    /// How surely it is known that it was done; `None`: by its own reply, or it is not known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grade: Option<Grade>,
    /// The positions of the symbol that the venue listed before it left.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listed: Option<Vec<Position>>,
    /// What the venue has to be told again when it is asked about the effect, in words of its own. Written with `sent`, so that it
    /// outlives the process that sent it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub venue_note: Option<String>,
}

impl Intent {
    /// State, confirmation and what is awaited after `event`.
    ///
    /// # Errors
    /// When there is no such transition; nothing was changed then.
    pub fn take(&mut self, event: &IntentEvent) -> Result<(), IllegalTransition> {
        let state = self.state.after(event)?;
        let out_of_turn = |OutOfTurn| IllegalTransition { from: self.state, event: event.name() };
        self.awaits = match event {
            IntentEvent::Noted { fact } => {
                self.awaits.ok_or(OutOfTurn).and_then(|awaits| awaits.after(fact)).map_err(out_of_turn)?
            }
            IntentEvent::Acked { .. } | IntentEvent::Found { .. } | IntentEvent::SettledAcked { .. } => {
                Awaits::of_confirmed(self.mode == Mode::Live, self.action.forecast().is_some())
            }
            _ => self.awaits,
        };
        self.state = state;
        if let Some(receipt) = event.receipt() {
            self.receipt = Some(receipt.clone());
            self.grade = event.grade();
        }
        if let IntentEvent::SendAfter { listed, venue_note } = event {
            self.listed = Some(listed.clone());
            self.venue_note.clone_from(venue_note);
        }
        Ok(())
    }

    /// The order, when it is one.
    #[must_use]
    pub const fn order(&self) -> Option<&Order> {
        self.action.order()
    }

    /// Whether `event` says that the position which this order closes is gone, as the venue's list shows it or, at a venue with such
    /// a list, as a person has seen it. It has no ticket of its own then.
    #[must_use]
    pub fn is_seen_closed(&self, event: &IntentEvent) -> bool {
        let receipt = match event {
            IntentEvent::Found { receipt, grade: Grade::PositionDelta } => receipt,
            IntentEvent::SettledAcked { receipt, .. } if self.listed.is_some() => receipt,
            _ => return false,
        };
        let role = self.order().map(|order| order.role);
        receipt.ticket().is_some_and(|ticket| role == Some(Role::Close(ticket)))
    }

    /// The other order of the same account that `ticket` confirmed already, among `confirmed`. An answer that names it is
    /// about that order and no receipt for this one.
    ///
    /// A broker gives each order a ticket of its own, one that closes a position too. Only live orders are judged: the paper
    /// book of a dry run names positions, so that a close carries the ticket of its open, and it may be started again from empty.
    #[must_use]
    pub fn ticket_owner<'a>(&self, ticket: Ticket, confirmed: &'a [Self]) -> Option<&'a Self> {
        confirmed.iter().find(|other| {
            self.mode == Mode::Live
                && (other.mode, &other.account) == (self.mode, &self.account)
                && other.key != self.key
                && other.receipt.as_ref().and_then(Receipt::ticket) == Some(ticket)
        })
    }
}
