//! Every metric: its name, type, labels and meaning. docs/metrics.md is made from this table, and nothing else is ever exported.

use prometheus_client::metrics::MetricType;

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// As it is scraped.
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    /// One sentence for a person, without its full stop.
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    pub(super) const fn as_type(self) -> MetricType {
        match self {
            Self::Counter => MetricType::Counter,
            Self::Gauge => MetricType::Gauge,
            Self::Histogram => MetricType::Histogram,
        }
    }
}

impl Family {
    /// The name that the encoder is given: it adds the ending of a counter itself.
    pub(super) fn base(&self) -> &'static str {
        self.name.strip_suffix("_total").filter(|_| self.kind == Kind::Counter).unwrap_or(self.name)
    }
}

macro_rules! families {
    ($($constant:ident, $kind:ident, $name:literal, [$($label:literal),*], $help:literal;)*) => {
        $(pub(super) const $constant: Family =
            Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help };)*
        /// All of them, in the order in which they are shown.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
}

families! {
    BUILD, Gauge, "sentinel_build_info", ["version", "commit"], "1, with the version that runs";
    PROCESS_START, Gauge, "process_start_time_seconds", [], "When the pipelines of this process were started, as Unix time";
    PROCESS_MEMORY, Gauge, "process_resident_memory_bytes", [], "Memory of the process that is in RAM";
    PROCESS_FDS, Gauge, "process_open_fds", [], "Files and connections that the process has open";
    PROCESS_CPU, Counter, "process_cpu_seconds_total", [], "Processor time that the process has used";
    VERDICT, Gauge, "sentinel_verdict", ["verdict"], "1 for the verdict on the node that every surface shows, 0 for the others";
    NEEDS, Gauge, "sentinel_needs", ["need", "severity"], "Things that need a person, as every surface shows them";
    PROGRESS, Gauge, "sentinel_progress_timestamp_seconds", ["part"], "When a part of the node was last seen to work, as Unix time: what the watchdog sees";
    SLOTS, Counter, "sentinel_slots_total", ["pipeline", "outcome", "reason"], "Slots that ended";
    LATENESS, Gauge, "sentinel_decision_lateness_seconds", ["pipeline"], "How late the next decision is; 0 until it is due, and of a replay";
    LATENESS_LIMIT, Gauge, "sentinel_decision_lateness_limit_seconds", ["pipeline"], "How late a decision may be: as far as the deadlines reach";
    NEXT_DUE, Gauge, "sentinel_next_due_timestamp_seconds", ["pipeline"], "When the next slot is due, as schedule time";
    FAULTS, Gauge, "sentinel_faults_in_a_row", ["pipeline"], "Newest slots in a row that a fault kept from a decision";
    NEWEST_BAR, Gauge, "sentinel_newest_bar_timestamp_seconds", ["pipeline"], "Time of the newest bar that was decided";
    STAGE, Histogram, "sentinel_stage_duration_seconds", ["stage"], "How long a stage worked on a cycle";
    OPEN_INTENTS, Gauge, "sentinel_open_intents", ["pipeline", "state"], "Orders and forecasts that are not settled";
    ORDERS, Counter, "sentinel_orders_total", ["pipeline", "result"], "Orders and forecasts that came to their end";
    HALTS, Gauge, "sentinel_halts_active", ["pipeline"], "Halts that stand and cover a pipeline; * is the halt of all of them";
    ARMED_UNTIL, Gauge, "sentinel_armed_until_timestamp_seconds", ["pipeline"], "When the arm of a live pipeline ends, as Unix time; +Inf when time does not end it, in the past when something else has, 0 in dry run";
    RESTARTS, Counter, "sentinel_restarts_total", ["pipeline", "part"], "Parts that were replaced; * is a service of the whole node";
    PARKED, Gauge, "sentinel_pipelines_parked", [], "Pipelines beyond their restart budget, which do not run";
    SAFE_MODE, Gauge, "sentinel_safe_mode", [], "1 while nothing is sent after repeated crashes";
    MODEL, Gauge, "sentinel_model_info", ["pipeline", "model"], "1, with the beginning of the SHA-256 of the model that was last asked";
    MODEL_CHANGES, Counter, "sentinel_model_changes_total", ["pipeline"], "How often another model answered than before";
    UPSTREAM, Counter, "sentinel_upstream_requests_total", ["upstream", "result"], "Calls to what the node asks";
    WINDOWS, Counter, "sentinel_windows_total", ["pipeline", "result"], "What became of announced windows";
    RUNWAY, Gauge, "sentinel_wallet_runway_seconds", ["pipeline"], "For how long the balance of the account lasts at its present spending";
    COMMIT, Histogram, "sentinel_journal_commit_duration_seconds", [], "How long a commit of the journal took, fsync included";
    CLOCK, Gauge, "sentinel_clock_offset_seconds", ["source"], "How far this machine's clock is certainly ahead of another one, or behind it; 0 while the answers allow that they agree";
    ALERTS, Counter, "sentinel_alerts_total", ["route", "result"], "Messages to a route of alerts: taken, failed at one attempt, or given up";
    DEADMAN, Gauge, "sentinel_deadman_ping_timestamp_seconds", [], "When the dead-man service last took a ping, as Unix time";
    BACKUP, Gauge, "sentinel_backup_timestamp_seconds", [], "When the newest backup was taken that was read back, as Unix time; absent without [backup], and before the first one";
    DISK_FREE, Gauge, "sentinel_disk_free_ratio", [], "Free part of the disk with the state directory";
}
