//! Invariants over many events: checked regularly, after the end of each process, and at the end.

use std::time::Duration;

use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::root_supervisor::NodeEnd;
use sentinel_actors::status::Board;

use crate::driver::LifeEnd;
use crate::feed;
use crate::options::{PipelineOptions, SimOptions};
use crate::world::Inner;

const MINUTE: Duration = Duration::from_secs(60);
/// What keeps a pipeline from its slots is logged once an hour, up to ten minutes late, and checked here as often.
const SILENCE_MAX: Duration = Duration::from_secs(3600 + 600 + 600 + 180);
const DAY: Duration = Duration::from_secs(86_400);
const CHILDREN: [&str; 5] = ["data_fetcher", "feature_builder", "predictor", "executor", "slot_feed"];

/// Budgets and tasks.
pub fn while_it_runs(inner: &mut Inner, options: &SimOptions) {
    let starts = |inner: &Inner, who: &str, within| inner.recent_starts(who, within);
    // One more than the restarts that the limit allows: the first start is no restart.
    if starts(inner, "journal", MINUTE) > 3 {
        inner.violation("the journal was started more often than its budget allows".to_owned());
    }
    // At least one row is written per minute.
    let now = inner.elapsed();
    if inner.disk.panicked_at.is_some_and(|at| now > at.max(inner.stops_until) + 4 * MINUTE) {
        inner.violation("the journal does not come back after its store panicked".to_owned());
    }
    for service in ["heartbeat", "competition_clock"] {
        if starts(inner, service, MINUTE) > 6 {
            inner.violation(format!("{service} was started more often than its budget allows"));
        }
    }
    for pipeline in &options.pipelines {
        // Two restarts, and the probe of a parked one, which comes later.
        if starts(inner, &pipeline.name, 10 * MINUTE) > 3 {
            inner.violation(format!("{} was started more often than its budget allows", pipeline.name));
        }
        for stage in CHILDREN {
            // Its own budget, once for each incarnation of its pipeline.
            let owners = 1 + starts(inner, &pipeline.name, MINUTE);
            let who = format!("{}/{stage}", pipeline.name);
            if starts(inner, &who, MINUTE) > 6 * owners {
                inner.violation(format!("{who} was started more often than its budget allows"));
            }
        }
    }
    let wall = inner.now();
    for pipeline in &options.pipelines {
        let heard = inner.heard.get(&pipeline.name).copied().unwrap_or_default();
        if !pipeline.window.contains(wall) || has_ended(inner, pipeline) {
            inner.observe(&pipeline.name);
        } else if now > heard.max(inner.stops_until) + SILENCE_MAX {
            inner.violation(format!("no event of {} for {:?}", pipeline.name, now - heard));
        }
    }
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let bound = 60 + 40 * options.pipelines.len();
    if tasks > bound {
        inner.violation(format!("{tasks} tasks are alive"));
    }
}

/// Every slot of its competition has its row; a clock that is set back makes none of them due again.
fn has_ended(inner: &Inner, pipeline: &PipelineOptions) -> bool {
    if pipeline.is_announced {
        return feed::has_ended(inner, pipeline);
    }
    let last = pipeline.window.end.map(|end| pipeline.schedule().newest_due(UtcMs(end.0 - 1)));
    last.is_some_and(|last| inner.disk.last_slot(&pipeline.name).is_some_and(|row| row >= last))
}

/// A meltdown must have a cause that the budgets name.
pub fn after_life(inner: &mut Inner, options: &SimOptions, end: &LifeEnd) {
    crate::books::judge_all(inner, options);
    match end {
        LifeEnd::Ended(NodeEnd::Meltdown(why)) => {
            inner.count("meltdown");
            let recent = |who: &str| inner.recent_starts(who, MINUTE + Duration::from_secs(30));
            let services = recent("heartbeat") + recent("competition_clock") + recent("journal");
            let fast = recent("journal") >= 2 || recent("heartbeat").max(recent("competition_clock")) >= 5;
            let slow =
                ["heartbeat", "competition_clock", "journal"].iter().any(|who| inner.recent_starts(who, DAY) >= 20);
            // The third failure parks a pipeline; its first start may lie long ago.
            let parked = options.pipelines.iter().filter(|p| inner.recent_starts(&p.name, 21 * MINUTE) >= 2).count();
            if !fast && services < 10 && !slow && parked < 3 {
                inner.violation(format!("a meltdown without a cause: {why}"));
            }
        }
        LifeEnd::Ended(NodeEnd::JournalFailed(_)) => inner.count("journal_failed"),
        LifeEnd::Ended(NodeEnd::Finished) => {
            inner.count("finished");
            let now = inner.now();
            let open = options.pipelines.iter().find(|pipeline| !pipeline.window.is_over(now));
            if let Some(open) = open {
                inner.violation(format!("the node is finished, and the competition of {} is not", open.name));
            }
            // No process comes after this one to account for them.
            if let Some(open) = options.pipelines.iter().find(|pipeline| !has_ended(inner, pipeline)) {
                let last = inner.disk.last_slot(&open.name);
                inner.violation(format!("the node is finished, and the last row of {} is {last:?}", open.name));
            }
        }
        LifeEnd::RootDied => inner.count("root_died"),
        _ => {}
    }
}

/// Faults stopped a while ago: everything works, and no intent is open.
pub fn liveness(inner: &mut Inner, options: &SimOptions, board: &Board) {
    let now = inner.now();
    for (index, pipeline) in options.pipelines.iter().enumerate() {
        if let Some(entry) = board.entries.get(&pipeline.name) {
            let late = entry.status.load().lateness(now);
            if late > MINUTE && pipeline.window.contains(now) {
                inner.violation(format!("the next decision of {} is {late:?} late", pipeline.name));
            }
        }
        if pipeline.is_announced {
            feed::liveness(inner, options, index);
            continue;
        }
        let schedule = pipeline.schedule();
        let mut slot = UtcMs(schedule.newest_due(now).0 - 60_000);
        for _ in 0..3 {
            if pipeline.window.contains(slot) {
                let reason = inner.disk.rows.get(&(pipeline.name.clone(), slot)).map(|row| row.reason);
                if !reason.is_some_and(works) {
                    inner
                        .violation(format!("without faults the slot {slot} of {} ends with {reason:?}", pipeline.name));
                }
            }
            slot = UtcMs(slot.0 - 60_000);
        }
    }
    let is_through =
        |pipeline: &PipelineOptions| pipeline.window.is_over(now.minus(5 * MINUTE)) && has_ended(inner, pipeline);
    if options.pipelines.iter().all(is_through) {
        inner.violation("nothing is left to do, and the node does not end".to_owned());
    }
    let open: Vec<String> = inner
        .disk
        .intents
        .values()
        .filter(|stored| !stored.intent.state.is_final() && stored.intent.state != IntentState::Held)
        .filter(|stored| {
            let pipeline = options.pipelines.iter().find(|p| p.name == stored.intent.pipeline);
            pipeline.is_some_and(|p| p.window.contains(now) && !waits_for_its_bar(p, stored.intent.state))
        })
        .map(|stored| format!("{} {} {}", stored.intent.pipeline, stored.intent.slot, stored.intent.state))
        .collect();
    if !open.is_empty() {
        inner.violation(format!("still open after the faults stopped: {open:?}"));
    }
}

/// What a pipeline that works may end its slots with.
pub fn works(reason: Reason) -> bool {
    matches!(reason.outcome(), Outcome::Acted | Outcome::NoAction)
        || matches!(
            reason,
            Reason::RiskMaxPositions
                | Reason::RiskOrdersPerHour
                | Reason::RiskOrdersPerDay
                | Reason::IntentOpen
                // After lasting refusals, or when two orders were given one ticket, it waits for an operator, who starts it again.
                | Reason::Reducing
                | Reason::Halted
        )
}

/// A planned intent has not left; it waits for the next decision, which may be a bar away.
fn waits_for_its_bar(pipeline: &PipelineOptions, state: IntentState) -> bool {
    state == IntentState::Planned && pipeline.decide_on == DecideOn::Bar && pipeline.interval > MINUTE
}

/// Rows, intents and orders of the whole simulation.
pub fn at_the_end(inner: &mut Inner, options: &SimOptions) {
    let keys: Vec<_> = inner.disk.intents.iter().map(|(key, stored)| (key.clone(), stored.intent.state)).collect();
    for (key, state) in keys {
        crate::ledger::judge_ending(inner, &key, state);
    }
    for (index, pipeline) in options.pipelines.iter().enumerate() {
        if pipeline.is_announced {
            let rows = feed::at_the_end(inner, options, index) as u64;
            inner.log.counts.entry("slots").and_modify(|n| *n += rows).or_insert(rows);
            continue;
        }
        let range = (pipeline.name.clone(), UtcMs(i64::MIN))..=(pipeline.name.clone(), UtcMs(i64::MAX));
        let rows: Vec<(UtcMs, Reason)> = inner.disk.rows.range(range).map(|(key, row)| (key.1, row.reason)).collect();
        let first_intent =
            inner.disk.intents.values().filter(|s| s.intent.pipeline == pipeline.name).map(|s| s.intent.slot).min();
        let Some(first) = rows.first().map(|row| row.0).into_iter().chain(first_intent).min() else { continue };
        let now = inner.now();
        let newest_due = match pipeline.window.end {
            Some(end) if end <= now => pipeline.schedule().newest_due(UtcMs(end.0 - 1)),
            // The last one may have come while the node was asked to end.
            _ => UtcMs(pipeline.schedule().newest_due(now).0 - 60_000),
        };
        let last = rows.last().map_or(first, |row| row.0).max(newest_due);
        // Counted from the grid alone.
        let mut due = 0;
        let mut slot = UtcMs((first.0 - 58_000).div_euclid(60_000) * 60_000 + 58_000);
        let mut index = 0;
        while slot <= last {
            if pipeline.window.contains(slot) {
                due += 1;
                match rows.get(index) {
                    Some(row) if row.0 == slot => index += 1,
                    _ => {
                        inner.violation(format!("the slot {slot} of {} has no row", pipeline.name));
                        return;
                    }
                }
            }
            slot = UtcMs(slot.0 + 60_000);
        }
        if index != rows.len() {
            inner.violation(format!("{} has {} rows for {due} due slots", pipeline.name, rows.len()));
        }
        let sum: usize = Outcome::ALL.iter().map(|o| rows.iter().filter(|row| row.1.outcome() == *o).count()).sum();
        if sum != due {
            inner.violation(format!("{sum} outcomes of {} for {due} due slots", pipeline.name));
        }
        // A correlated failure ends the node with all its pipelines, on purpose.
        if pipeline.sheltered && !inner.log.counts.contains_key("meltdown") {
            let bad = rows.iter().find(|row| !works(row.1));
            if let Some((slot, reason)) = bad {
                inner.violation(format!("{} had no fault, and {slot} ends with {reason}", pipeline.name));
            }
        }
        inner.log.counts.entry("slots").and_modify(|n| *n += due as u64).or_insert(due as u64);
    }
    if inner.log.secret_seen {
        inner.violation("a secret was printed".to_owned());
    }
}
