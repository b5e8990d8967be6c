//! What reaches a person and is about no need: a digest, a test, and what the dead-man service says.
//!
//! With the needs of the verdict these are all the alerts that there are; `docs/runbook.md` is made of both.

use sentinel_actors::domain::verdict::RunbookEntry;

/// What reaches a person beside a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The event of a message about several things.
    Several,
    /// The event of a message that somebody has asked for.
    Test,
    /// The ping that says that something is wrong.
    Fail,
    /// No ping at all.
    Silence,
    /// The last ping of a competition that is over.
    LastPing,
}

impl Notice {
    pub const ALL: [Self; 5] = [Self::Several, Self::Test, Self::Fail, Self::Silence, Self::LastPing];

    /// How a person meets it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Several => "several",
            Self::Test => "test",
            Self::Fail => "/fail",
            Self::Silence => "no ping",
            Self::LastPing => "ended, pause this check",
        }
    }

    /// Its entry of the runbook.
    #[must_use]
    pub const fn runbook(self) -> RunbookEntry {
        match self {
            Self::Several => SEVERAL,
            Self::Test => TEST,
            Self::Fail => FAIL,
            Self::Silence => SILENCE,
            Self::LastPing => LAST_PING,
        }
    }
}

const SEVERAL: RunbookEntry = RunbookEntry {
    meaning: "A message about several things: more than three began within a minute, the day's messages of a route were used up, or \
              messages had to wait. Each line of it is one thing, with its time; \"over\" says that it has ended.",
    remedy: "`sentinel status` shows what still lasts. Take each under its own name in this document, the urgent ones first.",
};

const TEST: RunbookEntry = RunbookEntry {
    meaning: "Somebody has typed `sentinel alert test ROUTE`. Nothing is the matter.",
    remedy: "Nothing.",
};

const FAIL: RunbookEntry = RunbookEntry {
    meaning: "The node has told the dead-man service that it does no useful work, or that something needs you now. The sentence of the \
              ping is the verdict.",
    remedy: "Read the sentence, and `sentinel status`. No ping follows until the node works again, so the service goes on alarming until \
             then.",
};

const SILENCE: RunbookEntry = RunbookEntry {
    meaning: "The dead-man service has heard nothing for its period and its grace: the machine, its network or the process is gone, or \
              the check was not paused when somebody stopped the node.",
    remedy: "Look whether the machine answers, then whether the service runs; the exit code of the last run says what to do. When the \
             node works and only the ping fails, `sentinel alert test dead-man` says why.",
};

const LAST_PING: RunbookEntry = RunbookEntry {
    meaning: "The competition is over, and the node has ended with 0 or is about to.",
    remedy: "Pause the check: no further ping comes.",
};
