//! What needs a person although the node works on: what is about to end it, what has changed under it, and what it has come through.

use std::time::Duration;

use super::super::node_view::{ArmView, ClockView, ModelChange, NodeView, PipelineView};
use super::super::time::UtcMs;
use super::{CLOCK_TOLERANCE, Need, NeedKind, Severity, whole_seconds};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Clocks that differ by more than this are worth a person's time.
const CLOCK_APART_MS: u64 = 2_000;
/// So long, because a clock that is being put right differs for a moment.
const CLOCK_APART_FOR: Duration = Duration::from_secs(300);
/// One answer may come from a server whose own clock is wrong.
const CLOCK_ANSWERS: u32 = 2;
/// A clock that shows the same for so long does not move.
const CLOCK_STANDS: Duration = Duration::from_secs(15);
/// The thread of the page shows a sign of life every few seconds.
const PAGE_SILENT: Duration = Duration::from_secs(15);
/// A backup that is older.
const BACKUP_OLD: Duration = Duration::from_secs(26 * 3600);
/// An account that lasts for less.
const RUNWAY_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
const RUNWAY_NOW: Duration = DAY;

pub(super) fn of_node(view: &NodeView, now: UtcMs) -> Vec<Need> {
    let arm = view.arm.as_ref().and_then(|arm| of_arm(arm, now));
    let clocks = view.clocks.iter().filter_map(|clock| apart(clock, now));
    let routes = view.broken_routes.iter().map(|route| route_broken(route));
    let others = [ended_badly(view, now), page_silent(view), backup_old(view, now)];
    arm.into_iter().chain(others.into_iter().flatten()).chain(routes).chain(clocks).collect()
}

fn node_need(kind: NeedKind, severity: Severity, since: Option<UtcMs>, what: String, action: String) -> Need {
    Need { kind, severity, pipeline: None, subject: String::new(), since, what, action }
}

/// An arm that ends as it was to end was ended by a person, so that nothing is bad; whether it goes on is asked in time.
fn of_arm(arm: &ArmView, now: UtcMs) -> Option<Need> {
    let action = format!("`{}` shows it and arms it again", arm.command);
    if let Some(why) = &arm.ended {
        let severity = if arm.as_intended { Severity::Soon } else { Severity::Now };
        let what = format!("the arm has ended, and no new order or forecast leaves: {why}");
        return Some(node_need(NeedKind::ArmEnded, severity, None, what, action));
    }
    let left = arm.until?.since(now);
    let what = || format!("the arm ends in {}", whole_seconds(left));
    (left < DAY).then(|| node_need(NeedKind::ArmExpiring, Severity::Soon, None, what(), action))
}

/// Until the node has decided something since; afterwards it is worth a look, for a day.
fn ended_badly(view: &NodeView, now: UtcMs) -> Option<Need> {
    let end = view.ended_badly.filter(|end| now.since(end.at) < DAY)?;
    let severity =
        if view.pipelines.values().any(|pipeline| pipeline.decisions > 0) { Severity::Soon } else { Severity::Now };
    let what = format!("the run before ended with {} at {}", end.code, end.at);
    let action = "its last log lines say why".to_owned();
    Some(node_need(NeedKind::EndedBadly, severity, Some(end.at), what, action))
}

fn apart(clock: &ClockView, now: UtcMs) -> Option<Need> {
    let since = clock.off_since.filter(|since| now.since(*since) >= CLOCK_APART_FOR)?;
    if clock.answers < CLOCK_ANSWERS || clock.certain_ms().unsigned_abs() <= CLOCK_APART_MS {
        return None;
    }
    let by = Duration::from_millis(clock.certain_ms().unsigned_abs());
    let side = if clock.certain_ms() < 0 { "behind" } else { "ahead of" };
    let what = format!("this machine's clock is at least {} {side} that of {}", whole_seconds(by), clock.source);
    let action = "compare it with a third one, and set it, for example with chrony".to_owned();
    let need = node_need(NeedKind::ClockOff, Severity::Now, Some(since), what, action);
    Some(Need { subject: clock.source.clone(), ..need })
}

/// Why its own clock cannot be right; schedules that go by it wait.
pub(super) fn clock_fault(view: &NodeView, now: UtcMs) -> Option<String> {
    let (stands, behind) = (Duration::from_millis(view.clock_stands_ms), view.clock_shown?.since(now));
    if stands >= CLOCK_STANDS {
        return Some(format!("this machine's clock has stood still for {}", whole_seconds(stands)));
    }
    let was_set_back = behind > CLOCK_TOLERANCE;
    was_set_back.then(|| format!("this machine's clock was set back: it has shown {} more", whole_seconds(behind)))
}

/// Nothing else needs it.
fn page_silent(view: &NodeView) -> Option<Need> {
    let silent = view.page_silent_ms.map(Duration::from_millis).filter(|silent| *silent > PAGE_SILENT)?;
    let what = format!("the page has not moved for {}", whole_seconds(silent));
    let action = "`sentinel status` shows the same; a restart of the node brings it back".to_owned();
    Some(node_need(NeedKind::PageSilent, Severity::Soon, None, what, action))
}

/// One a day, and two hours for a day on which it takes long.
fn backup_old(view: &NodeView, now: UtcMs) -> Option<Need> {
    let backup = view.backup?;
    let since = backup.newest.unwrap_or(backup.since);
    let age = now.since(since);
    let what = match backup.newest {
        _ if age <= BACKUP_OLD => return None,
        Some(newest) => format!("the newest backup is that of {newest}, {} old", whole_seconds(age)),
        None => format!("there has been no backup for {}", whole_seconds(age)),
    };
    let action = "the log says why in `backup_failed`; `sentinel backup --to DIR` takes one by hand".to_owned();
    Some(node_need(NeedKind::BackupOld, Severity::Soon, Some(since), what, action))
}

/// What it was to say waits.
fn route_broken(route: &str) -> Need {
    let what = format!("the alert route {route} refuses what it is told");
    let action = format!("look at its address and token: `sentinel alert test {route}` tries it");
    let need = node_need(NeedKind::AlertRouteBroken, Severity::Soon, None, what, action);
    Need { subject: route.to_owned(), ..need }
}

/// Whether an answer says for certain that the clocks differ by so much that a person has to know.
#[must_use]
pub(crate) const fn is_apart(certain_ms: i64) -> bool {
    certain_ms.unsigned_abs() > CLOCK_APART_MS
}

pub(super) fn of_pipeline(name: &str, pipeline: &PipelineView, view: &NodeView, now: UtcMs) -> Vec<Need> {
    if pipeline.ended {
        return Vec::new();
    }
    let need = |kind, severity, since, what: String, action: &str| Need {
        kind,
        severity,
        pipeline: Some(name.to_owned()),
        subject: String::new(),
        since,
        what: format!("{name} {what}"),
        action: action.to_owned(),
    };
    let mut needs = Vec::new();
    if let Some(change) = &pipeline.model_change
        && let Some(severity) = of_change(change, pipeline.live, view, now)
    {
        let since = pipeline.wall_time.then_some(change.since);
        let action = "when it is the right one, start the node again, or arm it; else serve the former one";
        needs.push(need(NeedKind::ModelChanged, severity, since, change.what.clone(), action));
    }
    if let Some(left) = pipeline.runway_s.map(Duration::from_secs).filter(|left| *left < RUNWAY_SOON) {
        let severity = if left < RUNWAY_NOW { Severity::Now } else { Severity::Soon };
        let what = format!("can pay for {} more", whole_seconds(left));
        needs.push(need(NeedKind::RunwayShort, severity, None, what, "send funds to its account"));
    }
    if let Some(slot) = pipeline.quarantined.filter(|slot| now.since(*slot) < DAY) {
        let what = format!("failed twice on the input of {slot}, which is in quarantine/");
        let action = format!("`sentinel why {name} {slot}` shows it");
        let quarantined = need(NeedKind::InputQuarantined, Severity::Soon, Some(slot), what, &action);
        needs.push(Need { subject: slot.to_string(), ..quarantined });
    }
    needs
}

/// Nothing is decided with a refused one. One that was taken up ends an arm; without one it is news for a day.
fn of_change(change: &ModelChange, is_live: bool, view: &NodeView, now: UtcMs) -> Option<Severity> {
    let ended = view.arm.as_ref().is_some_and(|arm| arm.ended.is_some() && !arm.as_intended);
    if change.refused || is_live && ended {
        return Some(Severity::Now);
    }
    (now.since(change.since) < DAY).then_some(Severity::Soon)
}

#[cfg(test)]
mod tests;
