//! What is asked and answered on the control socket. A field that is not known is refused: what it meant would be left undone.

use serde::{Deserialize, Serialize};

use crate::operator::settling::Seen;

pub const STATUS: &str = "/status";
pub const METRICS: &str = "/metrics";
pub const HALT: &str = "/halt";
pub const RESUME: &str = "/resume";
pub const SETTLE: &str = "/settle";
pub const FLATTEN: &str = "/flatten";

/// Halts one pipeline, or all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskHalt {
    /// Names the action: repeating it is done once.
    pub id: String,
    pub pipeline: Option<String>,
    pub reason: String,
}

/// Lifts a halt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskResume {
    /// Names the action: repeating it is done once.
    pub id: String,
    /// Like `halt-3`.
    pub halt: String,
    pub reason: String,
}

/// Settles an intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskSettle {
    /// Names the action: repeating it is done once.
    pub id: String,
    pub seen: Seen,
}

/// Closes everything that is open of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskFlatten {
    /// Names the action: repeating it is done once.
    pub id: String,
    pub pipeline: String,
    /// What an operator has typed, see [`phrase`](crate::operator::flattening::phrase).
    pub confirmed: String,
}

/// What was done, or why not, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub text: String,
    /// What to do about a refusal.
    #[serde(default)]
    pub advice: Option<String>,
    /// What the command ends with.
    #[serde(default)]
    pub exit: u8,
}
