//! How surely it is known what became of an effect.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Weaker before stronger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Grade {
    /// A position appeared, or went, that nothing else explains. Another hand could have done the same.
    #[serde(rename = "position delta")]
    PositionDelta,
    /// The venue shows an order with the number and the comment of this one.
    #[serde(rename = "magic and comment")]
    MagicAndComment,
    /// The venue was asked by the effect's own id.
    #[serde(rename = "id")]
    Id,
    /// A person looked.
    #[serde(rename = "operator")]
    Operator,
}

impl Grade {
    pub const ALL: [Self; 4] = [Self::PositionDelta, Self::MagicAndComment, Self::Id, Self::Operator];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::PositionDelta => "position delta",
            Self::MagicAndComment => "magic and comment",
            Self::Id => "id",
            Self::Operator => "operator",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grade| grade.code() == code)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
