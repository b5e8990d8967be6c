//! What can be the matter, and how soon it needs a person.

/// What can be the matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NeedKind {
    NoProgress,
    ClockBehind,
    SafeMode,
    Parked,
    ScheduleUnknown,
    SlotsUnusable,
    DecisionLate,
    FaultsInARow,
    WindowsMissed,
    Overload,
    HaltedByNode,
    Held,
    InDoubt,
    ArmEnded,
    ModelChanged,
    ClockOff,
    DiskLow,
    RunwayShort,
    ArmExpiring,
    EndedBadly,
    InputQuarantined,
    PageSilent,
    AlertRouteBroken,
    BackupOld,
}

impl NeedKind {
    pub const ALL: [Self; 24] = [
        Self::NoProgress,
        Self::ClockBehind,
        Self::SafeMode,
        Self::Parked,
        Self::ScheduleUnknown,
        Self::SlotsUnusable,
        Self::DecisionLate,
        Self::FaultsInARow,
        Self::WindowsMissed,
        Self::Overload,
        Self::HaltedByNode,
        Self::Held,
        Self::InDoubt,
        Self::ArmEnded,
        Self::ModelChanged,
        Self::ClockOff,
        Self::DiskLow,
        Self::RunwayShort,
        Self::ArmExpiring,
        Self::EndedBadly,
        Self::InputQuarantined,
        Self::PageSilent,
        Self::AlertRouteBroken,
        Self::BackupOld,
    ];

    /// Its stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoProgress => "no_progress",
            Self::ClockBehind => "clock_behind",
            Self::SafeMode => "safe_mode",
            Self::Parked => "parked",
            Self::ScheduleUnknown => "schedule_unknown",
            Self::SlotsUnusable => "slots_unusable",
            Self::DecisionLate => "decision_late",
            Self::FaultsInARow => "faults_in_a_row",
            Self::Overload => "overload",
            Self::HaltedByNode => "halted_by_node",
            Self::Held => "held",
            Self::InDoubt => "in_doubt",
            Self::DiskLow => "disk_low",
            Self::WindowsMissed => "windows_missed",
            Self::ArmEnded => "arm_ended",
            Self::ModelChanged => "model_changed",
            Self::ClockOff => "clock_off",
            Self::RunwayShort => "runway_short",
            Self::ArmExpiring => "arm_expiring",
            Self::EndedBadly => "ended_badly",
            Self::InputQuarantined => "input_quarantined",
            Self::PageSilent => "page_silent",
            Self::AlertRouteBroken => "alert_route_broken",
            Self::BackupOld => "backup_old",
        }
    }

    /// While it lasts, useful work is not done. What only may end it does not: slots that fail for it count by themselves.
    #[must_use]
    pub const fn stops_work(self) -> bool {
        matches!(
            self,
            Self::NoProgress
                | Self::ClockBehind
                | Self::SafeMode
                | Self::Parked
                | Self::ScheduleUnknown
                | Self::SlotsUnusable
                | Self::DecisionLate
                | Self::FaultsInARow
                | Self::WindowsMissed
                | Self::Overload
        )
    }
}

/// When a person has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    Now,
    /// In days.
    Soon,
}

impl Severity {
    /// Its stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Soon => "soon",
        }
    }
}
