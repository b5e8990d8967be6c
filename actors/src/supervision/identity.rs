//! Which child, which incarnation of it, what its failure costs, and how it ended.

use std::sync::Arc;

use super::crash::CrashReport;

/// Names a child inside its supervisor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(Arc<str>);

impl ChildId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ChildId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for ChildId {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for ChildId {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

/// Numbers the incarnations of a child, from 1, across restarts of its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which restart budget a child has, and what happens beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildClass {
    /// Runs until the node ends; ending by itself is a failure.
    Worker,
    /// A worker without which the node cannot work.
    Critical,
    /// Beyond its budget it is parked and probed. When it ends normally it has finished.
    Pipeline,
}

/// How an incarnation ended.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ChildEnd {
    /// A panic, in its start or later.
    #[error("{0}")]
    Panicked(CrashReport),
    /// It returned an error.
    #[error("failed: {0}")]
    Failed(String),
    /// Killed, or its task cancelled, by something other than its supervisor.
    #[error("was killed")]
    Killed,
    /// Killed by the supervisor, because it did not answer.
    #[error("hung: {0}")]
    Hung(String),
    #[error("did not start: {0}")]
    StartFailed(String),
    /// It ended normally, by itself.
    #[error("ended by itself")]
    Finished,
    /// It ended because the supervisor asked for it.
    #[error("was stopped")]
    Stopped,
}
