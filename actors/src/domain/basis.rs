//! What an intent was decided about: a bar, a slot, or an operator's command.

use serde::{Deserialize, Serialize};

use super::time::UtcMs;

/// What was decided, once. A bar and a slot of the same time are two decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The closed bar that opened then.
    Bar(UtcMs),
    /// The slot that was due then.
    Slot(UtcMs),
    /// What an operator asked for then, between two slots. No slot reports it.
    Operator(UtcMs),
}

/// What a [`Basis`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BasisKind {
    Bar,
    Slot,
    Operator,
}

impl BasisKind {
    /// Stable code, as it stands in keys and in the journal.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Bar => "bar",
            Self::Slot => "slot",
            Self::Operator => "operator",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        [Self::Bar, Self::Slot, Self::Operator].into_iter().find(|kind| kind.code() == code)
    }
}

impl Basis {
    /// From its parts, as the journal keeps them.
    #[must_use]
    pub const fn new(kind: BasisKind, time: UtcMs) -> Self {
        match kind {
            BasisKind::Bar => Self::Bar(time),
            BasisKind::Slot => Self::Slot(time),
            BasisKind::Operator => Self::Operator(time),
        }
    }

    #[must_use]
    pub const fn kind(self) -> BasisKind {
        match self {
            Self::Bar(_) => BasisKind::Bar,
            Self::Slot(_) => BasisKind::Slot,
            Self::Operator(_) => BasisKind::Operator,
        }
    }

    /// Open time of the bar, due time of the slot, or time of the command.
    #[must_use]
    pub const fn time(self) -> UtcMs {
        match self {
            Self::Bar(time) | Self::Slot(time) | Self::Operator(time) => time,
        }
    }

    /// Whether a slot decided it, and so reports it.
    #[must_use]
    pub const fn is_of_slot(self) -> bool {
        !matches!(self, Self::Operator(_))
    }
}
