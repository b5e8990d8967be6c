//! `[deadlines]` and `[pipeline.deadlines]`: how long each stage of a cycle may take, in the node and where one pipeline differs.
//! The defaults stand here and nowhere else.

use std::time::Duration;

use sentinel_actors::settings::Deadlines;

use super::reader::{Section, WhenAbsent};
use super::values::SHORT;

/// `[deadlines]`: those of every pipeline that says nothing else.
pub(super) fn of_node(mut s: Section<'_, '_>) -> Option<Deadlines> {
    use WhenAbsent::Default;
    let fetch = s.duration("fetch", Default("10s"), SHORT);
    let features = s.duration("features", Default("2s"), SHORT);
    let predict = s.duration("predict", Default("1s"), SHORT);
    let execute = s.duration("execute", Default("5s"), SHORT);
    let lateness = s.duration("slot_lateness", Default("20s"), SHORT);
    let cycle = s.duration("cycle", Default("20s"), SHORT);
    if let (Some(cycle), [Some(fetch), Some(features), Some(predict), Some(execute)]) =
        (cycle, [fetch, features, predict, execute])
    {
        refuse_short_cycle(&mut s, cycle, fetch + features + predict + execute, "");
    }
    s.finish();
    Some(Deadlines {
        fetch: fetch?,
        features: features?,
        predict: predict?,
        execute: execute?,
        lateness: lateness?,
        cycle: cycle?,
    })
}

/// A transaction is in a block after six seconds, or after twelve, and more of them may have to be signed.
const EXECUTE_ON_CHAIN: Duration = Duration::from_secs(60);

/// What a pipeline that goes by a chain's windows has unless it says otherwise: the node's, with time for a block.
pub(super) fn on_chain(node: Deadlines) -> Deadlines {
    let execute = node.execute.max(EXECUTE_ON_CHAIN);
    let stages = node.fetch + node.features + node.predict + execute;
    Deadlines { execute, cycle: node.cycle.max(stages), ..node }
}

/// `[pipeline.deadlines]`: each key that is absent is the node's. `None` also when the node's own are wrong.
pub(super) fn of_pipeline(mut s: Section<'_, '_>, node: Option<Deadlines>) -> Option<Deadlines> {
    let problems = s.reading.problems.len();
    let mut own = |key| s.duration(key, WhenAbsent::Optional, SHORT);
    let [fetch, features, predict, execute, lateness, cycle] =
        ["fetch", "features", "predict", "execute", "slot_lateness", "cycle"].map(&mut own);
    let differs = [fetch, features, predict, execute, lateness, cycle].iter().any(Option::is_some);
    let all = node.map(|node| Deadlines {
        fetch: fetch.unwrap_or(node.fetch),
        features: features.unwrap_or(node.features),
        predict: predict.unwrap_or(node.predict),
        execute: execute.unwrap_or(node.execute),
        lateness: lateness.unwrap_or(node.lateness),
        cycle: cycle.unwrap_or(node.cycle),
    });
    // A value that is wrong is absent here; nothing follows from what stands in for it.
    if let Some(all) = all
        && differs
        && s.reading.problems.len() == problems
    {
        let stages = all.fetch + all.features + all.predict + all.execute;
        let cycle = humantime::format_duration(all.cycle);
        let hint = format!("; it is {cycle}, and what is not written here is as in [deadlines]");
        refuse_short_cycle(&mut s, all.cycle, stages, &hint);
    }
    s.finish();
    all
}

fn refuse_short_cycle(s: &mut Section<'_, '_>, cycle: Duration, stages: Duration, hint: &str) {
    if cycle < stages {
        let stages = humantime::format_duration(stages);
        s.report("cycle", format!("is shorter than fetch, features, predict and execute together, {stages}{hint}"));
    }
}
