use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use sentinel_actors::domain::node_view::PipelineView;
use sentinel_actors::domain::verdict::Judgement;

use super::super::incident::Sort;
use super::super::message::{MessageState, Urgency};
use super::super::outbox::Attempt;
use super::*;

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;
/// A Monday.
const BEGIN: UtcMs = UtcMs(1_704_067_200_000);

fn at(ms: i64) -> Turn {
    Turn { now: UtcMs(BEGIN.0 + ms), wall: UtcMs(BEGIN.0 + ms) }
}

/// Fields that are not about this test may come and go.
fn view(pipelines: impl IntoIterator<Item = (String, PipelineView)>, started_at: UtcMs, now: UtcMs) -> NodeView {
    let view = serde_json::json!({
        "written_at_ms": now, "started_at_ms": started_at, "pid": 1, "version": "0.1.0", "fresh_for_ms": 15_000,
        "late_after_ms": 40_000, "pipelines": {},
    });
    let view: NodeView = serde_json::from_value(view).unwrap();
    NodeView { pipelines: pipelines.into_iter().collect(), ..view }
}

fn pipeline(last_slot: Option<UtcMs>, next_due: UtcMs, faults_in_a_row: u64) -> PipelineView {
    let view = serde_json::json!({
        "wall_time": true, "last_slot_ms": last_slot, "next_due_ms": next_due, "late_ms": 0, "faults_in_a_row": faults_in_a_row,
        "last_reason": null, "accounted_ms": last_slot, "ended": false,
    });
    serde_json::from_value(view).unwrap()
}

/// One route to a server, with the node's memory between restarts.
struct World {
    state: AlertState,
    delivered: Vec<Message>,
}

impl World {
    fn new() -> Self {
        Self { state: AlertState::new("node", ["phone".to_owned()]), delivered: Vec::new() }
    }

    /// As the process does: everything is written down after each turn and each attempt.
    fn restart(&mut self) {
        let rows = self.state.rows();
        let mut state = AlertState::new("node", ["phone".to_owned()]);
        assert_eq!(state.restore(rows), 0);
        self.state = state;
    }

    fn turn(&mut self, conditions: &[Condition], view: &NodeView, turn: Turn, attempt: &Attempt) {
        self.state.turn(conditions, view, turn);
        let outbox = self.state.routes.get_mut("phone").unwrap();
        if let Some(parcel) = outbox.due("node", turn) {
            if *attempt == Attempt::Accepted {
                self.delivered.push(parcel.message.clone());
            }
            outbox.done(&parcel, attempt, turn);
        }
    }

    /// What was said of each thing, in order: the single words of all messages.
    fn words(&self) -> Vec<(i64, String)> {
        let of = |message: &Message| -> Vec<String> {
            if message.event == "several" {
                message.text.lines().filter_map(|line| Some(line.split_once("Z ")?.1.to_owned())).collect()
            } else {
                vec![message.title.clone()]
            }
        };
        let time = |message: &Message| message.at.parse::<UtcMs>().unwrap().0 - BEGIN.0;
        self.delivered
            .iter()
            .flat_map(|message| of(message).into_iter().map(move |word| (time(message), word)))
            .collect()
    }
}

fn condition(name: &str, sort: Sort, severity: Urgency) -> Condition {
    Condition {
        event: name.to_owned(),
        pipeline: String::new(),
        subject: String::new(),
        sort,
        severity,
        stops_work: sort == Sort::Level,
        since: None,
        what: name.to_owned(),
        action: String::new(),
    }
}

fn level(name: &str) -> Condition {
    condition(name, Sort::Level, Urgency::Now)
}

/// What is said while `names` are there in the given minutes, looked at every ten seconds.
fn said(until_minute: i64, there: impl Fn(i64) -> Vec<Condition>) -> Vec<(i64, String)> {
    let mut world = World::new();
    for ms in (0..until_minute * MINUTE).step_by(10_000) {
        world.turn(&there(ms), &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Accepted);
    }
    world.words().into_iter().map(|(ms, word)| (ms / MINUTE, word)).collect()
}

fn minutes(ms: i64, from: i64, to: i64, name: &str) -> Option<Condition> {
    (from * MINUTE..to * MINUTE).contains(&ms).then(|| level(name))
}

#[test]
fn a_condition_is_told_after_a_minute_and_its_end_after_half_an_hour() {
    let words = said(120, |ms| minutes(ms, 10, 20, "late").into_iter().collect());
    assert_eq!(words, [(11, "late".to_owned()), (50, "over: late".to_owned())]);
    assert_eq!(said(120, |ms| minutes(ms, 10, 11, "late").into_iter().collect()), []);
}

#[test]
fn what_comes_back_within_half_an_hour_is_the_same_incident() {
    let there =
        |ms| [(10, 20), (45, 46), (70, 75)].iter().filter_map(|(from, to)| minutes(ms, *from, *to, "late")).collect();
    assert_eq!(said(180, there), [(11, "late".to_owned()), (105, "over: late".to_owned())]);
    let anew = |ms| [(10, 20), (60, 65)].iter().filter_map(|(from, to)| minutes(ms, *from, *to, "late")).collect();
    assert_eq!(
        said(180, anew).iter().map(|(_, word)| word.as_str()).collect::<Vec<_>>(),
        ["late", "over: late", "late", "over: late"]
    );
}

#[test]
fn what_lasts_is_told_again_once_a_day() {
    let words = said(3 * 1440, |ms| minutes(ms, 0, 3 * 1440, "late").into_iter().collect());
    let still = "still: late".to_owned();
    assert_eq!(words, [(1, "late".to_owned()), (1441, still.clone()), (2881, still)]);
}

#[test]
fn an_order_that_is_held_is_told_at_once_and_soon_over() {
    let held = |ms| {
        let held = condition("held", Sort::Fact, Urgency::Now);
        (10 * MINUTE..20 * MINUTE).contains(&ms).then_some(held).into_iter().collect()
    };
    assert_eq!(said(60, held), [(10, "held".to_owned()), (21, "over: held".to_owned())]);
}

#[test]
fn more_than_three_within_a_minute_are_one_message_and_one_all_clear() {
    let mut world = World::new();
    for ms in (0..100 * MINUTE).step_by(10_000) {
        // Each begins ten seconds after the one before.
        let there: Vec<_> = (0..5_i64)
            .filter(|n| (n * 10_000..20 * MINUTE).contains(&ms))
            .map(|n| level(&format!("late-{n}")))
            .collect();
        world.turn(&there, &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Accepted);
    }
    let told: Vec<_> = world.delivered.iter().map(|message| (message.state, message.count)).collect();
    assert_eq!(told, [(MessageState::Digest, 5), (MessageState::Resolved, 5)], "{:#?}", world.delivered);
}

#[test]
fn what_becomes_urgent_is_told_again_and_its_words_are_one_line() {
    let mut world = World::new();
    for ms in (0..10 * MINUTE).step_by(10_000) {
        let severity = if ms < 5 * MINUTE { Urgency::Soon } else { Urgency::Now };
        let mut disk = condition("disk", Sort::Level, severity);
        disk.what = "dis\u{202e}k\n<script>".to_owned();
        world.turn(&[disk], &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Accepted);
    }
    let told: Vec<_> = world.delivered.iter().map(|message| (message.severity, message.title.as_str())).collect();
    assert_eq!(told, [(Urgency::Soon, "dis k <script>"), (Urgency::Now, "still: dis k <script>")]);
}

#[test]
fn a_broken_route_is_told_by_the_others_only() {
    let mut state = AlertState::new("node", ["phone", "ops"].map(str::to_owned));
    let mut broken = condition("alert_route_broken", Sort::Fact, Urgency::Soon);
    broken.subject = "ops".to_owned();
    state.turn(&[broken], &view([], BEGIN, BEGIN), at(0));
    assert_eq!((state.routes["phone"].len(), state.routes["ops"].len()), (1, 0));
}

#[test]
fn a_run_that_ended_badly_is_told_at_once_and_again_after_half_an_hour_at_the_earliest() {
    let mut world = World::new();
    for ms in (0..200 * MINUTE).step_by(10_000) {
        let crashed = [0, 10, 60].into_iter().rev().find(|minute| ms >= minute * MINUTE);
        if [0, 10, 60].contains(&(ms / MINUTE)) && ms % MINUTE == 0 {
            world.restart();
        }
        let mut ended = condition("ended_badly", Sort::Sudden, Urgency::Now);
        ended.since = crashed.map(|minute| at(minute * MINUTE).wall);
        let there: Vec<_> = (ms < 100 * MINUTE).then_some(ended).into_iter().collect();
        world.turn(&there, &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Accepted);
    }
    let told: Vec<_> = world.delivered.iter().map(|message| (message.state, message.count)).collect();
    assert_eq!(told, [(MessageState::Firing, 1), (MessageState::Firing, 3), (MessageState::Resolved, 3)]);
}

/// A node whose feeds fail for a day: what its pipelines show. Two have a slot each minute, two each hour.
fn outage(ms: i64, outage: std::ops::Range<i64>, started: i64) -> NodeView {
    let of = |(name, every): (&str, i64)| {
        let last = ms.div_euclid(every) * every;
        // Faults are counted from the start of the process.
        let first_bad = outage.start.max(started);
        let bad = if outage.contains(&last) {
            (last - (first_bad + every - 1).div_euclid(every) * every) / every + 1
        } else {
            0
        };
        let has_slot = last >= started;
        let last_slot = if has_slot { at(last).wall } else { at(last - every).wall };
        (name.to_owned(), pipeline(Some(last_slot), at(last + every).wall, u64::try_from(bad.max(0)).unwrap()))
    };
    let pipelines = [("btc", MINUTE), ("eth", MINUTE), ("eurusd", HOUR), ("gbpusd", HOUR)].map(of);
    view(pipelines, at(started).wall, at(ms).wall)
}

fn day_of_outage(reachable: bool, restarts: &[i64]) -> World {
    let mut world = World::new();
    let bad = 2 * HOUR..26 * HOUR;
    let mut started = 0;
    for ms in (0..60 * HOUR).step_by(10_000) {
        if restarts.contains(&ms) {
            world.restart();
            started = ms;
        }
        let view = outage(ms, bad.clone(), started);
        let judgement = Judgement::of(&view, at(ms).wall);
        let conditions = Condition::of(&judgement.needs);
        let attempt =
            if bad.contains(&ms) && !reachable { Attempt::Failed { retry_after: None } } else { Attempt::Accepted };
        world.turn(&conditions, &view, at(ms), &attempt);
    }
    world
}

#[test]
fn a_day_without_anything_outside_is_five_messages_at_most_and_one_all_clear() {
    for reachable in [false, true] {
        for restarts in [vec![], vec![14 * HOUR], vec![3 * HOUR, 14 * HOUR + 20 * MINUTE, 26 * HOUR + 5 * MINUTE]] {
            let world = day_of_outage(reachable, &restarts);
            let told = &world.delivered;
            let cleared = told.iter().filter(|message| message.state == MessageState::Resolved).count();
            assert!((2..=5).contains(&told.len()) && cleared == 1, "{reachable} {restarts:?}: {told:#?}");
            let clear = told.iter().find(|message| message.state == MessageState::Resolved).unwrap();
            assert_eq!(clear.count, 4, "{clear:#?}");
            let ids: BTreeSet<_> = told.iter().map(|message| &message.id).collect();
            assert_eq!(ids.len(), told.len(), "nothing is repeated");
        }
    }
}

#[test]
fn a_node_that_was_just_started_does_not_take_a_lasting_incident_for_over() {
    let mut world = World::new();
    let mut started = 0;
    for ms in (0..12 * HOUR).step_by(10_000) {
        if ms == 8 * HOUR {
            world.restart();
            started = ms;
        }
        let view = outage(ms, 0..20 * HOUR, started);
        let conditions = Condition::of(&Judgement::of(&view, at(ms).wall).needs);
        world.turn(&conditions, &view, at(ms), &Attempt::Accepted);
    }
    // Four hours after the restart the hourly pipelines have not failed five times again.
    assert!(world.delivered.iter().all(|message| message.state != MessageState::Resolved), "{:#?}", world.delivered);
    assert_eq!(world.delivered.len(), 4);
}

#[test]
fn rows_that_are_damaged_or_of_a_route_that_is_gone_are_left_out() {
    let mut world = World::new();
    for ms in (0..5 * MINUTE).step_by(10_000) {
        world.turn(&[level("late")], &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Failed { retry_after: None });
    }
    let mut rows = world.state.rows();
    assert_eq!(rows.len(), 3);
    let mut state = AlertState::new("node", ["other".to_owned()]);
    assert_eq!(state.restore(rows.clone()), 0);
    assert!(state.routes["other"].is_empty());
    for row in &mut rows {
        row.text.truncate(9);
    }
    let mut state = AlertState::new("node", ["phone".to_owned()]);
    assert_eq!(state.restore(rows), 3);
    assert_eq!(state, AlertState::new("node", ["phone".to_owned()]));
}

/// When a thing is there: minutes in which it begins and ends by turns.
fn spans() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(1..300_i64, 0..12).prop_map(|gaps| {
        gaps.into_iter()
            .scan(0, |now, gap| {
                Some({
                    *now += gap;
                    *now
                })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_word_is_repeated_and_each_end_is_told_once_whenever_the_node_restarts(
        things in prop::collection::vec(spans(), 1..7),
        restarts in prop::collection::btree_set(0..2880_i64, 0..8),
        down in spans(),
    ) {
        let mut world = World::new();
        let inside = |spans: &[i64], minute: i64| spans.iter().filter(|edge| **edge <= minute).count() % 2 == 1;
        for ms in (0..2880 * MINUTE).step_by(20_000) {
            let minute = ms / MINUTE;
            if ms % MINUTE == 0 && restarts.contains(&minute) {
                world.restart();
            }
            let there = things.iter().enumerate().filter(|(_, spans)| inside(spans, minute));
            let there: Vec<_> = there.map(|(n, _)| level(&format!("thing-{n}"))).collect();
            let attempt = if inside(&down, minute) { Attempt::Failed { retry_after: None } } else { Attempt::Accepted };
            world.turn(&there, &view([], BEGIN, at(ms).wall), at(ms), &attempt);
        }
        let ids: BTreeSet<_> = world.delivered.iter().map(|message| &message.id).collect();
        prop_assert_eq!(ids.len(), world.delivered.len());
        // By thing: whether it was told, and when last.
        let mut told: BTreeMap<String, i64> = BTreeMap::new();
        for (ms, word) in world.words() {
            if let Some(thing) = word.strip_prefix("over: ") {
                if thing.starts_with("thing") {
                    prop_assert!(told.remove(thing).is_some(), "{} is over twice: {:?}", thing, world.words());
                }
            } else if let Some(thing) = word.strip_prefix("still: ") {
                let before = told.insert(thing.to_owned(), ms);
                prop_assert!(before.is_some(), "{} was not told", thing);
            } else if word.starts_with("thing") {
                prop_assert!(told.insert(word.clone(), ms).is_none(), "{} is told twice: {:?}", word, world.words());
            }
        }
    }
}

#[test]
fn a_turn_takes_no_time_with_a_thousand_things() {
    let mut world = World::new();
    let things: Vec<_> = (0..3000).map(|n| level(&format!("thing-{n}"))).collect();
    for ms in (0..10 * MINUTE).step_by(10_000) {
        world.turn(&things, &view([], BEGIN, at(ms).wall), at(ms), &Attempt::Accepted);
    }
    assert_eq!(world.delivered.len(), 1);
    assert!(world.delivered[0].text.chars().count() <= 3000 && world.delivered[0].chat().chars().count() <= 4096);
}
