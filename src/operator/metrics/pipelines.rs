//! What each pipeline is at and has done. One family after the other, each with all pipelines, because the format wants it so.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use sentinel_actors::domain::halt::{NewHalt, Standing};
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::status::BoardEntry;

use super::families::{
    ARMED_UNTIL, FAULTS, Family, HALTS, LATENESS, LATENESS_LIMIT, MODEL, MODEL_CHANGES, NEWEST_BAR, NEXT_DUE,
    OPEN_INTENTS, ORDERS, RESTARTS, RUNWAY, SLOTS, WINDOWS,
};
use super::samples::family;
use super::{ALL, LiveNode, count, is_of_all, unix_seconds};

/// As much of a model's hash as tells it apart.
const MODEL_CHARS: usize = 12;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode, now: UtcMs) -> fmt::Result {
    slots(encoder, shown)?;
    times(encoder, shown)?;
    effects(encoder, shown)?;
    halts(encoder, shown)?;
    arm(encoder, shown, now)?;
    restarts(encoder, shown)?;
    models(encoder, shown)
}

fn entries(shown: &LiveNode) -> impl Iterator<Item = (&str, &BoardEntry)> {
    shown.board.entries.iter().map(|(name, entry)| (name.as_str(), entry))
}

fn slots(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let mut samples = family(encoder, &SLOTS)?;
    for (name, entry) in entries(shown) {
        for (reason, slots) in entry.meters.slots() {
            samples.count([name, reason.outcome().code(), reason.code()], slots)?;
        }
    }
    Ok(())
}

/// Where it is in its schedule.
fn times(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let mut samples = family(encoder, &LATENESS)?;
    for (name, entry) in entries(shown) {
        // A replay's slots are due when it comes to them.
        let late =
            if entry.clock.follows_cycles() { Duration::ZERO } else { entry.status.load().lateness(entry.clock.now()) };
        samples.gauge([name], late.as_secs_f64())?;
    }
    let mut gauges = |of: &'static Family, value: &dyn Fn(&BoardEntry) -> Option<f64>| {
        let mut samples = family(encoder, of)?;
        entries(shown)
            .filter_map(|(name, entry)| Some((name, value(entry)?)))
            .try_for_each(|(name, value)| samples.gauge([name], value))
    };
    gauges(&LATENESS_LIMIT, &|entry| Some(entry.late_after.as_secs_f64()))?;
    gauges(&NEXT_DUE, &|entry| entry.status.load().next_due.map(unix_seconds))?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    gauges(&FAULTS, &|entry| {
        let status = entry.status.load();
        // Of a competition that is over nothing is bad any more.
        (!status.ended).then_some(status.faults_in_a_row as f64)
    })?;
    gauges(&RUNWAY, &|entry| Some(entry.status.load().runway?.as_secs_f64()))?;
    gauges(&NEWEST_BAR, &|entry| entry.status.load().newest_decided_bar.map(unix_seconds))
}

fn effects(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let mut samples = family(encoder, &OPEN_INTENTS)?;
    for (name, entry) in entries(shown) {
        let (meters, holdings) = (&entry.meters, entry.holdings.load());
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let states = [
            ("planned", meters.planned() as f64),
            ("sent", meters.sent() as f64),
            ("unknown", count(holdings.in_doubt.len())),
            ("held", count(holdings.held.len())),
        ];
        for (state, open) in states {
            samples.gauge([name, state], open)?;
        }
    }
    let mut samples = family(encoder, &ORDERS)?;
    for (name, entry) in entries(shown) {
        entry.meters.effects().try_for_each(|(result, effects)| samples.count([name, result], effects))?;
    }
    let mut samples = family(encoder, &WINDOWS)?;
    for (name, entry) in entries(shown) {
        entry.meters.windows().try_for_each(|(result, windows)| samples.count([name, result], windows))?;
    }
    Ok(())
}

fn halts(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let standing = shown.board.halts.standing();
    let of_all = raised(&standing).filter(|halt| is_of_all(&halt.scope)).count();
    let mut samples = family(encoder, &HALTS)?;
    samples.gauge([ALL], count(of_all))?;
    for (name, entry) in entries(shown) {
        let covers = raised(&standing).filter(|halt| !is_of_all(&halt.scope) && halt.scope.covers(&entry.place));
        samples.gauge([name], count(covers.count()))?;
    }
    Ok(())
}

/// One arm covers all live pipelines.
fn arm(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode, now: UtcMs) -> fmt::Result {
    let arm = shown.board.arm.load();
    let mut samples = family(encoder, &ARMED_UNTIL)?;
    for (name, entry) in entries(shown) {
        let until = match (entry.status.load().mode, arm.as_deref()) {
            (Mode::DryRun, _) => 0.0,
            (Mode::Live, None) => continue,
            (Mode::Live, Some(arm)) => match (arm.until, &arm.ended) {
                (until, Some(_)) => unix_seconds(until.map_or(now, |until| until.min(now))),
                (Some(until), None) => unix_seconds(until),
                (None, None) => f64::INFINITY,
            },
        };
        samples.gauge([name], until)?;
    }
    Ok(())
}

/// Those on their way to the journal count too.
fn raised(standing: &Standing) -> impl Iterator<Item = &NewHalt> {
    standing.recorded().iter().map(|halt| &halt.raised).chain(standing.pending())
}

fn restarts(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let mut samples = family(encoder, &RESTARTS)?;
    shown.board.meters.services().try_for_each(|(part, restarts)| samples.count([ALL, part], restarts))?;
    for (name, entry) in entries(shown) {
        entry.meters.restarts().try_for_each(|(part, restarts)| samples.count([name, part], restarts))?;
    }
    Ok(())
}

fn models(encoder: &mut DescriptorEncoder<'_>, shown: &LiveNode) -> fmt::Result {
    let mut samples = family(encoder, &MODEL)?;
    for (name, entry) in entries(shown) {
        let status = entry.status.load();
        let Some(hash) = status.model.now() else { continue };
        let hash: String = hash.chars().take(MODEL_CHARS).collect();
        samples.gauge([name, &hash], 1.0)?;
    }
    let mut samples = family(encoder, &MODEL_CHANGES)?;
    entries(shown).try_for_each(|(name, entry)| samples.count([name], entry.status.load().model.changes))
}
