//! What a venue says of an account, and whether it can be believed.

use std::fmt;

use rust_decimal::Decimal;

/// What kind of money is at stake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountKind {
    Demo,
    Contest,
    Real,
}

impl fmt::Display for AccountKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Demo => "demo",
            Self::Contest => "contest",
            Self::Real => "real",
        })
    }
}

/// One thing that a venue may say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stated<T> {
    /// It has no word for it.
    Untold,
    /// It says it, and would say it in any case.
    Doubtful {
        said: T,
        why: &'static str,
    },
    Believed(T),
}

impl<T> Stated<T> {
    #[must_use]
    pub const fn believed(&self) -> Option<&T> {
        match self {
            Self::Believed(said) => Some(said),
            Self::Untold | Self::Doubtful { .. } => None,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Stated<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untold => f.write_str("not told"),
            Self::Doubtful { said, why } => write!(f, "'{said}', not to be believed: {why}"),
            Self::Believed(said) => write!(f, "{said}"),
        }
    }
}

/// What a venue says of itself. Money in account currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReport {
    /// Without open positions.
    pub balance: Option<Decimal>,
    /// With open positions.
    pub equity: Option<Decimal>,
    /// Bound by open positions; 0 without any.
    pub used_margin: Option<Decimal>,
    pub currency: Option<String>,
    pub kind: Stated<AccountKind>,
    pub server: Stated<String>,
    /// The account's number there.
    pub login: Stated<String>,
    /// What it does with an opposite order.
    pub margin_mode: Stated<String>,
}

impl AccountReport {
    /// Of a venue that says nothing.
    pub const SILENT: Self = Self {
        balance: None,
        equity: None,
        used_margin: None,
        currency: None,
        kind: Stated::Untold,
        server: Stated::Untold,
        login: Stated::Untold,
        margin_mode: Stated::Untold,
    };
}
