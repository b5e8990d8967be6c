//! For servers that another process started: they must not outlive it.

use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// The flag of such a server.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ParentFlag {
    /// End when the process that started this one ends, however that happens.
    #[arg(long, hide = true)]
    pub end_with_parent: bool,
}

impl ParentFlag {
    /// Asks the kernel for a SIGTERM when the parent ends; `false` when it has ended already.
    #[must_use]
    pub fn arm(self) -> bool {
        if !self.end_with_parent {
            return true;
        }
        let before = getppid();
        let armed = set_parent_process_death_signal(Some(Signal::TERM)).is_ok();
        // The parent may have ended in between: then no signal will come.
        armed && getppid() == before && before.is_some_and(|parent| !parent.is_init())
    }
}
