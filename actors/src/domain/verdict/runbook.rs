//! What each need means and what to do about it, for a person who has never met it: `docs/runbook.md` is made of these texts.
//!
//! A [`Need`](super::Need) says the same of one case, in one line. A new kind without an entry here does not compile.

use super::NeedKind;

/// An entry of the runbook, in Markdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunbookEntry {
    /// What is the matter, and what the node does and leaves undone meanwhile.
    pub meaning: &'static str,
    /// What a person does, first things first.
    pub remedy: &'static str,
}

impl NeedKind {
    /// Its entry of the runbook.
    #[must_use]
    pub const fn runbook(self) -> RunbookEntry {
        match self {
            Self::NoProgress => NO_PROGRESS,
            Self::ClockBehind => CLOCK_BEHIND,
            Self::SafeMode => SAFE_MODE,
            Self::Parked => PARKED,
            Self::ScheduleUnknown => SCHEDULE_UNKNOWN,
            Self::SlotsUnusable => SLOTS_UNUSABLE,
            Self::DecisionLate => DECISION_LATE,
            Self::FaultsInARow => FAULTS_IN_A_ROW,
            Self::WindowsMissed => WINDOWS_MISSED,
            Self::Overload => OVERLOAD,
            Self::HaltedByNode => HALTED_BY_NODE,
            Self::Held => HELD,
            Self::InDoubt => IN_DOUBT,
            Self::ArmEnded => ARM_ENDED,
            Self::ModelChanged => MODEL_CHANGED,
            Self::ClockOff => CLOCK_OFF,
            Self::DiskLow => DISK_LOW,
            Self::RunwayShort => RUNWAY_SHORT,
            Self::ArmExpiring => ARM_EXPIRING,
            Self::EndedBadly => ENDED_BADLY,
            Self::InputQuarantined => INPUT_QUARANTINED,
            Self::PageSilent => PAGE_SILENT,
            Self::AlertRouteBroken => ALERT_ROUTE_BROKEN,
            Self::BackupOld => BACKUP_OLD,
        }
    }
}

const NO_PROGRESS: RunbookEntry = RunbookEntry {
    meaning: "The process shows no progress: a part of it stands still, or it has ended. Or this machine's clock has jumped. Nothing \
              is decided.",
    remedy: "Wait half a minute: a node without progress ends itself with 134, and its service manager starts it again. When it lasts, \
             look whether the process is there. If it is not, its exit code says what to do; if it is, read the end of its log and \
             start it again.",
};

const CLOCK_BEHIND: RunbookEntry = RunbookEntry {
    meaning: "This machine's clock stands still, or was set back behind a slot that was decided. No slot is worked on twice, so the \
              schedule waits until the clock has passed it.",
    remedy: "Set the clock, for example with chrony. The node notices within ten seconds and needs no restart. If the clock had been far \
             ahead before, so that the journal has slots of the future, compare the account by hand and give the node a new state \
             directory.",
};

const SAFE_MODE: RunbookEntry = RunbookEntry {
    meaning: "The process crashed five times in ten minutes without a worked slot. Slots are decided and written down, and nothing is \
              sent, for half an hour.",
    remedy: "Read the last log lines before each end, and the crash reports among them. When the cause is gone, `sentinel resume` ends \
             the safe mode early.",
};

const PARKED: RunbookEntry = RunbookEntry {
    meaning: "A pipeline has failed so often that its restarts are used up. Its slots end as missed, the other pipelines work on, and \
              it is tried again every quarter of an hour.",
    remedy: "Read the lines `child_down` before it: their `cause` says what failed. It goes on by itself when that is gone. Report a \
             panic, with its crash report.",
};

const SCHEDULE_UNKNOWN: RunbookEntry = RunbookEntry {
    meaning: "A pipeline has not learned in time which slots are due: the journal cannot be read, or what announces its slots does not \
              answer.",
    remedy: "Look for `recovery_waits` (the journal: look at the disk) and `feed_failed` (what announces the slots: look at its \
             endpoints) in the log.",
};

const SLOTS_UNUSABLE: RunbookEntry = RunbookEntry {
    meaning: "Slots are announced and cannot be used. The line says why, for example that the wallet is empty or the worker is not on a \
              list.",
    remedy: "Do what the line says. The node looks again each minute and goes on by itself.",
};

const DECISION_LATE: RunbookEntry = RunbookEntry {
    meaning: "A decision is overdue: its time and all its deadlines have passed, and nothing was decided. The node is alive and does \
              not do its work.",
    remedy: "Look at `sentinel status` and at the end of the log. A stage that hangs is replaced by itself within its deadline. What \
             stays late is as a rule the disk, a machine with too much to do, or one that has slept.",
};

const FAULTS_IN_A_ROW: RunbookEntry = RunbookEntry {
    meaning: "Five slots in a row had no decision because of a fault, such as bars that are stale or a model that does not answer. A \
              closed market is no fault.",
    remedy: "`sentinel why` with the pipeline and the slot shows the last one, and its reason. `sentinel check --probe` asks everything \
             that a decision needs, and says of each what to do.",
};

const WINDOWS_MISSED: RunbookEntry = RunbookEntry {
    meaning: "Three announced slots in a row ended without a forecast because of a fault. None of these windows comes again.",
    remedy: "`sentinel why` shows the last one. `sentinel check --probe` asks everything that a forecast needs, and says of each what \
             to do.",
};

const OVERLOAD: RunbookEntry = RunbookEntry {
    meaning: "More slots are due than the node can work on. Each that cannot begin in time ends as missed; the others are decided in \
              time.",
    remedy: "The line names the stage that takes longest. Take fewer pipelines or rarer slots, or a faster disk, model server or \
             machine.",
};

const HALTED_BY_NODE: RunbookEntry = RunbookEntry {
    meaning: "A rule of the node has raised a halt, and the line says which: losses have reached their limit, a balance has changed that \
              no order explains, one ticket was given to two orders, or three orders in a row were refused for a reason that only a \
              person can change. Slots are decided and written down; what the halt covers does not leave. It is urgent.",
    remedy: "Look at the account, and find out what it was. Then `sentinel resume` with the halt's id lifts it. Nothing else does: no \
             restart, no time, no change of the file.",
};

const HELD: RunbookEntry = RunbookEntry {
    meaning: "Asking the venue cannot settle what became of an order or a forecast, so only a person can. Its symbol, or the pipeline \
              of a forecast, sends nothing new meanwhile. It is never sent again. It is urgent.",
    remedy: "Look it up at the venue. Then say what is there with `sentinel settle`: the log line `order_held` or `forecast_held` has \
             both commands, for done and for absent, ready to type.",
};

const IN_DOUBT: RunbookEntry = RunbookEntry {
    meaning: "For ten minutes it has not been known what became of an order. Its venue is asked with every slot; until it is known \
              nothing new of its symbol is sent. It is urgent.",
    remedy: "Look whether the venue, or the gateway before it, runs and answers. When asking cannot settle it, the order becomes `held`.",
};

const ARM_ENDED: RunbookEntry = RunbookEntry {
    meaning: "Something is not as it was armed, or a limit of the arm was reached. Nothing that opens a position and no forecast leaves, \
              of any pipeline. What closes a position still leaves. It is urgent unless the arm has ended as it was meant to.",
    remedy: "Read what has changed. If the change was meant, give `sentinel arm` again with the node's configuration, and type the \
             identity. If not, put back what was there and find out who has changed it.",
};

const MODEL_CHANGED: RunbookEntry = RunbookEntry {
    meaning: "Another model answers than before. Urgent: it was refused and nothing is decided with it, or it has ended the arm. Else a \
              dry run has taken it up and decides with it; that is said for a day.",
    remedy: "Find out who has changed it. If it is the right one, start the node again, or arm it. If not, serve the former one: \
             decisions go on by themselves.",
};

const CLOCK_OFF: RunbookEntry = RunbookEntry {
    meaning: "For five minutes, and by two answers in a row, this machine's clock has differed by more than two seconds from the one that \
              the line names, even if the whole way of an answer and the second to which it is rounded are taken off. It is urgent.",
    remedy: "Compare both with a third clock, because a server's may be wrong too. Set this machine's, for example with chrony.",
};

const DISK_LOW: RunbookEntry = RunbookEntry {
    meaning: "Less than a tenth of the disk is free; below a twentieth it is urgent, and no order that opens and no forecast leaves any \
              more. A node that cannot write its journal sends nothing and ends with 74.",
    remedy: "Look for old logs and backups on the same disk, and make room: it goes on by itself. `node.retention` keeps a journal from \
             growing.",
};

const RUNWAY_SHORT: RunbookEntry = RunbookEntry {
    meaning: "At the present price the account pays for less than seven days of forecasts; below one day it is urgent. What it cannot \
              pay is not sent.",
    remedy: "Send funds to its account. The next look at the balance ends this.",
};

const ARM_EXPIRING: RunbookEntry = RunbookEntry {
    meaning: "The arm ends within 24 hours. Then nothing new is opened. It has time until then.",
    remedy: "Nothing, if it is meant to end. Else give `sentinel arm` with a new limit before that, and type the identity.",
};

const ENDED_BADLY: RunbookEntry = RunbookEntry {
    meaning: "The run before this one ended with 70 (parts of it failed again and again), 74 (the disk) or 134 (no progress). It is \
              urgent until this run has decided something, and is said for a day.",
    remedy: "Read the last log lines of that run. After 74 look at the disk. Report 70 and 134, with the crash reports.",
};

const INPUT_QUARANTINED: RunbookEntry = RunbookEntry {
    meaning: "The same bars have ended a stage twice. They are kept in `quarantine/` in the state directory, and their slot was \
              skipped; the node works on. It is not urgent, and is said for a day.",
    remedy: "Keep the file and report it: it reproduces a bug.",
};

const PAGE_SILENT: RunbookEntry = RunbookEntry {
    meaning: "The thread of the page has not moved for 15 seconds. Page, metrics and probes may not answer; the node works on. It is not urgent.",
    remedy: "Use `sentinel status`, which shows the same. Start the node again when it suits, and report it.",
};

const ALERT_ROUTE_BROKEN: RunbookEntry = RunbookEntry {
    meaning: "A route of the alerts refuses what it is told, as with a wrong address or token. What it was to tell waits for a day; the \
              other routes are told. It is not urgent, as long as one of them reaches you.",
    remedy: "`sentinel alert test ROUTE` sends one message and prints the answer. Correct the address or the token, and \
             start the node again.",
};

const BACKUP_OLD: RunbookEntry = RunbookEntry {
    meaning: "The newest backup of the day that was read back is older than 26 hours. What was sent since is in no copy of the journal. The \
              node works on.",
    remedy: "The log says why in `backup_failed`: mostly a disk that is full or gone. It is tried again every quarter of an hour. \
             `sentinel backup --to DIR` takes one by hand.",
};
