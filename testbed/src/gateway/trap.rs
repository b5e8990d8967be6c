//! How the public gateways differ from what their dialects promise, in every message and not only in some orders.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// `command`: a refusal of the terminal is a success with ticket 0 and volume 0.
    HidesRefusals,
    /// `command`: no position is listed, and the account is an error, as when the terminal is gone.
    Blind,
    /// `command`: a close is an error, and the kill switch counts what it did not close.
    CannotClose,
    /// `command`: a close is a success, and nothing is closed.
    SaysClosed,
    /// `command`: a position is closed, and there is no reply.
    LostClose,
    /// `command`: every account is real, on a server called UNKNOWN.
    Constants,
    /// Every order is filled as ticket 12345, and nothing is traded.
    Stub,
}

impl Trap {
    const ALL: [Self; 7] = [
        Self::HidesRefusals,
        Self::Blind,
        Self::CannotClose,
        Self::SaysClosed,
        Self::LostClose,
        Self::Constants,
        Self::Stub,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HidesRefusals => "hides-refusals",
            Self::Blind => "blind",
            Self::CannotClose => "cannot-close",
            Self::SaysClosed => "says-closed",
            Self::LostClose => "lost-close",
            Self::Constants => "constants",
            Self::Stub => "stub",
        }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("'{0}' is no trap; there are hides-refusals, blind, cannot-close, says-closed, lost-close, constants and stub")]
pub struct NoTrap(String);

impl FromStr for Trap {
    type Err = NoTrap;

    fn from_str(text: &str) -> Result<Self, NoTrap> {
        Self::ALL.into_iter().find(|trap| trap.name() == text).ok_or_else(|| NoTrap(text.to_owned()))
    }
}
