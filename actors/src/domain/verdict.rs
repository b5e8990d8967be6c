//! Whether a node is alive and useful, and what needs a person: one verdict for the page, the terminal, `health`, alerts and logs.
//!
//! Pure: it is taken from what can be seen of a node, and from the time. Promise 4: that something answers is no sign of health. It
//! is bad when a decision is late, slot after slot fails, an order waits for a person, or something keeps the node from its work; it
//! is never bad because a market is closed, or because a person has halted it.

use std::fmt;
use std::time::Duration;

use super::node_view::{NodeView, PipelineView};
use super::reason::Reason;
use super::time::UtcMs;

mod ahead;
mod kind;
mod runbook;

pub(crate) use self::ahead::is_apart;
pub use self::kind::{NeedKind, Severity};
pub use self::runbook::RunbookEntry;

/// This many slots in a row without a decision are bad.
pub const FAULTS_MAX: u64 = 5;
/// The same for announced slots: each of them is a window that does not come again.
pub const WINDOWS_MAX: u64 = 3;
/// A wall clock further than this behind the newest decided slot was set back.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(2);
/// An order may be in doubt for so long before a person has to know.
const DOUBT_MAX: Duration = Duration::from_secs(600);
/// Hundredths of the disk that are to be free.
const DISK_SOON: u64 = 10;

/// One thing that needs a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    pub kind: NeedKind,
    pub severity: Severity,
    /// `None`: it is about the whole node.
    pub pipeline: Option<String>,
    /// Tells it from others of its kind: the key of an order, the id of a halt; empty where there is only one.
    pub subject: String,
    /// `None`: not known.
    pub since: Option<UtcMs>,
    /// In one sentence without its full stop; begins with the pipeline where it is about one.
    pub what: String,
    /// The command to type or the place to look at; empty when time or the node itself ends it.
    pub action: String,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if self.action.is_empty() { Ok(()) } else { write!(f, ": {}", self.action) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Working,
    /// Useful work is done, and so many things need a person.
    NeedsYou(usize),
    NotWorking,
    /// Nothing was due yet.
    Waiting,
    /// Every slot of the competition has ended.
    Ended,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Working => f.write_str("working"),
            Self::NeedsYou(1) => f.write_str("working, but one thing needs you"),
            Self::NeedsYou(count) => write!(f, "working, but {count} things need you"),
            Self::NotWorking => f.write_str("not working"),
            Self::Waiting => f.write_str("waiting"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// The verdict with all that leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    pub verdict: Verdict,
    /// Worst first.
    pub needs: Vec<Need>,
    /// What is good to know and needs nobody.
    pub remarks: Vec<String>,
}

impl Judgement {
    #[must_use]
    pub fn of(view: &NodeView, now: UtcMs) -> Self {
        let needs = needs(view, now);
        Self { verdict: verdict(view, &needs), remarks: remarks(view), needs }
    }

    /// No useful work is done, or a person has to act now.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.verdict == Verdict::NotWorking || self.needs.iter().any(|need| need.severity == Severity::Now)
    }
}

/// The verdict and its reasons, in one line.
impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        for (at, need) in self.needs.iter().enumerate() {
            write!(f, "{}{need}", if at == 0 { ": " } else { "; " })?;
        }
        self.remarks.iter().try_for_each(|remark| write!(f, "; {remark}"))
    }
}

/// Of what needs a person, and of what can be seen.
#[must_use]
pub fn verdict(view: &NodeView, needs: &[Need]) -> Verdict {
    if needs.iter().any(|need| need.kind.stops_work()) {
        return Verdict::NotWorking;
    }
    if !needs.is_empty() {
        return Verdict::NeedsYou(needs.len());
    }
    let mut pipelines = view.pipelines.values().peekable();
    let is_empty = pipelines.peek().is_none();
    if !is_empty && pipelines.clone().all(|pipeline| pipeline.ended) {
        return Verdict::Ended;
    }
    let has_begun = pipelines.any(|pipeline| pipeline.last_slot.is_some());
    if has_begun { Verdict::Working } else { Verdict::Waiting }
}

/// What needs a person, worst first.
#[must_use]
pub fn needs(view: &NodeView, now: UtcMs) -> Vec<Need> {
    let mut needs: Vec<Need> = of_node(view, now);
    needs.extend(ahead::of_node(view, now));
    for (name, pipeline) in &view.pipelines {
        let late_after = Duration::from_millis(pipeline.late_after_ms.unwrap_or(view.late_after_ms));
        needs.extend(idle(name, pipeline, late_after, now));
        needs.extend(orders(name, pipeline, now));
        needs.extend(ahead::of_pipeline(name, pipeline, view, now));
    }
    needs.sort_by_key(|need| (need.severity, need.kind));
    needs
}

fn remarks(view: &NodeView) -> Vec<String> {
    let failing = |(name, pipeline): (&String, &PipelineView)| {
        let is_need = pipeline.windows_missed >= WINDOWS_MAX;
        (!pipeline.ended && !is_need && (1..FAULTS_MAX).contains(&pipeline.faults_in_a_row))
            .then(|| format!("{name} {}", failing(pipeline)))
    };
    let by_person = view.halts.iter().filter(|halt| !halt.by_node).map(|halt| halt.text.clone());
    view.pipelines.iter().filter_map(failing).chain(by_person).collect()
}

fn of_node(view: &NodeView, now: UtcMs) -> Vec<Need> {
    let need = |kind, severity, since, what: String, action: &str| Need {
        kind,
        severity,
        pipeline: None,
        subject: String::new(),
        since,
        what,
        action: action.to_owned(),
    };
    let mut needs = Vec::new();
    if let Some(what) = no_progress(view, now) {
        needs.push(need(NeedKind::NoProgress, Severity::Now, Some(view.at), what, ""));
    }
    if let Some(what) = ahead::clock_fault(view, now) {
        let action = "set this machine's clock, for example with chrony";
        needs.push(need(NeedKind::ClockBehind, Severity::Now, None, what, action));
    }
    if view.safe_mode {
        let what = "it is in safe mode after repeated crashes, and nothing is sent".to_owned();
        needs.push(need(NeedKind::SafeMode, Severity::Now, None, what, "`sentinel resume` ends it early"));
    }
    if let Some(overload) = &view.overload {
        let what = format!("it sheds load: {overload}");
        needs.push(need(NeedKind::Overload, Severity::Now, Some(overload.since), what, ""));
    }
    if let Some(disk) = view.disk.filter(|disk| disk.free_percent() < DISK_SOON) {
        let severity = if disk.is_nearly_full() { Severity::Now } else { Severity::Soon };
        let what = format!("the disk is nearly full: {} MB of {} MB are free", disk.free_mb, disk.size_mb);
        needs.push(need(NeedKind::DiskLow, severity, None, what, "make room: the node ends when it cannot write"));
    }
    for halt in view.halts.iter().filter(|halt| halt.by_node) {
        let action = format!("`sentinel resume {}` lifts it", halt.id);
        let halted = need(NeedKind::HaltedByNode, Severity::Now, halt.since, halt.text.clone(), &action);
        needs.push(Need { subject: halt.id.clone(), ..halted });
    }
    needs
}

/// Why the node must be taken to stand still; `None` while every part of it makes progress.
#[must_use]
pub fn no_progress(view: &NodeView, now: UtcMs) -> Option<String> {
    let (age, fresh_for) = (now.since(view.at), Duration::from_millis(view.fresh_for_ms));
    if age > fresh_for {
        return Some(format!("process {} has shown no progress for {}", view.pid, whole_seconds(age)));
    }
    let is_ahead = view.at.since(now) > fresh_for;
    is_ahead.then(|| format!("process {} last showed progress at {}, which is in the future", view.pid, view.at))
}

/// Why a pipeline does no useful work; `None` when it does some.
fn idle(name: &str, pipeline: &PipelineView, late_after: Duration, now: UtcMs) -> Option<Need> {
    if pipeline.ended {
        return None;
    }
    let need = |kind, since, what: String, action: &str| Need {
        kind,
        severity: Severity::Now,
        pipeline: Some(name.to_owned()),
        subject: String::new(),
        since,
        what: format!("{name} {what}"),
        action: action.to_owned(),
    };
    if pipeline.parked {
        let what = "is parked: it failed repeatedly and is tried again only from time to time".to_owned();
        return Some(need(NeedKind::Parked, None, what, ""));
    }
    let waiting = pipeline.waiting_ms.map(Duration::from_millis).filter(|waiting| *waiting > late_after);
    if let Some(waiting) = waiting {
        let what = format!("has not known which slots are due for {}", whole_seconds(waiting));
        return Some(need(NeedKind::ScheduleUnknown, None, what, ""));
    }
    if let Some(waits_for) = &pipeline.waits_for {
        return Some(need(NeedKind::SlotsUnusable, None, format!("waits: {waits_for}"), ""));
    }
    if pipeline.faults_in_a_row >= FAULTS_MAX {
        let last = pipeline.last_slot.map(|slot| format!("`sentinel why {name} {slot}` shows the last one"));
        return Some(need(NeedKind::FaultsInARow, None, failing(pipeline), &last.unwrap_or_default()));
    }
    if pipeline.windows_missed >= WINDOWS_MAX {
        let what = format!("has missed its last {} windows ({})", pipeline.windows_missed, last_fault(pipeline));
        let last = pipeline.last_slot.map(|slot| format!("`sentinel why {name} {slot}` shows the last one"));
        return Some(need(NeedKind::WindowsMissed, None, what, &last.unwrap_or_default()));
    }
    let behind =
        pipeline.accounted.filter(|_| pipeline.wall_time).map_or(Duration::ZERO, |accounted| accounted.since(now));
    if behind > CLOCK_TOLERANCE {
        let behind = whole_seconds(behind);
        let what = format!("waits for the clock, which is {behind} behind its newest decided slot");
        return Some(need(NeedKind::ClockBehind, None, what, "set this machine's clock, for example with chrony"));
    }
    let due = pipeline.next_due.filter(|due| pipeline.wall_time && now.since(*due) > late_after)?;
    let what = format!("decision of {due} overdue since {}", whole_seconds(now.since(due)));
    Some(need(NeedKind::DecisionLate, Some(due), what, ""))
}

/// Those that wait for a person.
fn orders(name: &str, pipeline: &PipelineView, now: UtcMs) -> Vec<Need> {
    let need = |kind, key: &String, since, what: &str, action: String| Need {
        kind,
        severity: Severity::Now,
        pipeline: Some(name.to_owned()),
        subject: key.clone(),
        since,
        what: format!("{name} {what} {key}"),
        action,
    };
    let held = pipeline.held.iter().map(|key| {
        let action = format!("check it at the venue, then `sentinel settle {key}`");
        need(NeedKind::Held, key, None, "holds the order", action)
    });
    // A replay's slots are of another time.
    let in_doubt = pipeline.in_doubt.iter().filter(|doubt| pipeline.wall_time && now.since(doubt.slot) > DOUBT_MAX);
    let in_doubt = in_doubt.map(|doubt| {
        let action = format!("look at its venue; it is asked again with every slot since {}", doubt.slot);
        need(NeedKind::InDoubt, &doubt.key, Some(doubt.slot), "does not know what became of the order", action)
    });
    held.chain(in_doubt).collect()
}

/// What kept its newest slots from a decision.
fn failing(pipeline: &PipelineView) -> String {
    let fault = last_fault(pipeline);
    match pipeline.faults_in_a_row {
        1 => format!("did not decide its last slot ({fault})"),
        faults => format!("decided none of its last {faults} slots ({fault})"),
    }
}

fn last_fault(pipeline: &PipelineView) -> &'static str {
    pipeline.last_fault.or(pipeline.last_reason).map_or("unknown", Reason::code)
}

fn whole_seconds(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, ..) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests;
