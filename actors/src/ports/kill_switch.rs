//! The switch that halts everything without a command: whoever can reach it need not reach the node.

use crate::domain::halt::NewHalt;

/// Asked before every effect, on a worker's thread, and once a second beside them.
pub trait KillSwitch: Send + Sync {
    /// The halt that it asks for; `None` while it is not thrown. Cheap while it is not.
    fn thrown(&self) -> Option<NewHalt>;
}

/// Of tests: there is no switch.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoKillSwitch;

impl KillSwitch for NoKillSwitch {
    fn thrown(&self) -> Option<NewHalt> {
        None
    }
}
