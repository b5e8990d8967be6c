//! Announced slots: a feed that repeats, withdraws, delays and fails, and the judge of what the node makes of them.
//!
//! Every window follows from the seed alone, so that the judge knows all of them, also those that nobody told the node about.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::announced::{AnnouncedSlot, Announcement};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Announcer, FeedAnswer, FeedError, FeedRequest, PortFuture, SlotFeed};

use crate::checks::works;
use crate::options::{PipelineOptions, SimOptions};
use crate::world::{Inner, Shared, fnv};

const MINUTE_MS: i64 = 60_000;
/// A window that is announced late may open before one that is known.
const LOOK_BACK: Duration = Duration::from_secs(600);
const ASK_AGAIN: Duration = Duration::from_secs(20);
/// After this long without a fault everything that was announced is known and done.
const SETTLED: Duration = Duration::from_secs(300);
/// Within this a withdrawal that was told reaches the executor.
const WITHDRAWN_WITHIN: Duration = Duration::from_secs(60);

const FAULTS: &[(&str, f64)] = &[
    ("feed_error", 0.01),
    ("feed_hang", 0.001),
    ("feed_slow", 0.005),
    ("feed_panic", 0.001),
    ("feed_repeats", 0.05),
    ("feed_delays", 0.05),
];

/// When the decisions of a pipeline are due.
pub fn slots(world: &Shared, index: usize) -> SlotFeed {
    let options = &world.options.pipelines[index];
    if options.is_announced {
        let who = format!("{}/slot_feed", options.name);
        return SlotFeed::Announced(Arc::new(SimAnnouncer { world: world.clone(), index, who }));
    }
    SlotFeed::Grid(options.schedule())
}

/// What is true of one window.
struct Window {
    announcement: Announcement,
    published: UtcMs,
    withdrawn: Option<UtcMs>,
}

/// The window of a minute.
fn window(options: &SimOptions, index: usize, minute: i64) -> Window {
    let mut rng = fastrand::Rng::with_seed(fnv(options.seed, &format!("window {index} {minute}")));
    let opens = UtcMs(minute * MINUTE_MS + rng.i64(0..20_000));
    let length = if rng.f64() < 0.15 { rng.i64(0..10_000) } else { rng.i64(20_000..180_000) };
    let on_time = opens.0 - 30_000;
    let published = match rng.f64() {
        p if p < 0.8 => on_time,
        p if p < 0.95 => on_time + rng.i64(0..length + 30_000),
        // It has closed by then.
        _ => opens.0 + length + rng.i64(1..60_000),
    };
    let closes = UtcMs(opens.0 + length);
    let withdrawn = (rng.f64() < 0.05).then(|| UtcMs(rng.i64(published..published.max(closes.0) + 1)));
    let announcement = Announcement::new(minute.to_string(), opens, closes).unwrap();
    Window { announcement, published: UtcMs(published), withdrawn }
}

/// All windows that open in `(after, until]`.
fn windows(options: &SimOptions, index: usize, after: UtcMs, until: UtcMs) -> impl Iterator<Item = Window> {
    let minutes = after.0.div_euclid(MINUTE_MS)..=until.0.div_euclid(MINUTE_MS);
    let all = minutes.map(move |minute| window(options, index, minute));
    all.filter(move |window| window.announcement.opens() > after && window.announcement.opens() <= until)
}

struct SimAnnouncer {
    world: Shared,
    index: usize,
    who: String,
}

impl SimAnnouncer {
    async fn answer(&self, request: &FeedRequest) -> Result<FeedAnswer, FeedError> {
        let world = &self.world;
        let options = &world.options.pipelines[self.index];
        let _guard = world.enter(&self.who, None);
        let fault = world.pick("feed", &self.who, FAULTS).unwrap_or("");
        let out = {
            let inner = world.lock();
            inner.faults_on && inner.outage.get(&options.name).is_some_and(|until| inner.elapsed() < *until)
        };
        match fault {
            "feed_error" => return Err(FeedError("injected".to_owned())),
            _ if out => return Err(FeedError("an outage".to_owned())),
            "feed_hang" => std::future::pending().await,
            "feed_slow" => tokio::time::sleep(request.deadline.mul_f64(0.9)).await,
            "feed_panic" => panic!("injected in the feed"),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        let mut inner = world.lock();
        // What is outside does not forget when the node's clock is set back.
        let now = inner.feed_time.max(inner.now());
        inner.feed_time = now;
        let seen = if fault == "feed_delays" { now.minus(Duration::from_secs(90)) } else { now };
        let since = match request.since {
            Some(since) => since.minus(LOOK_BACK),
            None => now.minus(Duration::from_secs(240)),
        };
        let since = if fault == "feed_repeats" { since.minus(Duration::from_secs(3600)) } else { since };
        let is_due = |window: &Window| request.since.is_some() || window.announcement.closes() >= now;
        let ahead = seen.plus(Duration::from_secs(60));
        let published = windows(&world.options, self.index, since, ahead).filter(|window| window.published <= seen);
        let announced: Vec<Announcement> = published.filter(is_due).map(|window| window.announcement).collect();
        let open = request.open.iter().filter_map(|slot| slot.id.parse().ok());
        let gone = |minute: &i64| {
            let withdrawn = window(&world.options, self.index, *minute).withdrawn;
            withdrawn.is_some_and(|at| at <= seen)
        };
        let withdrawn: Vec<String> = open.filter(gone).map(|minute: i64| minute.to_string()).collect();
        let elapsed = inner.elapsed();
        for id in &withdrawn {
            inner.withdrawn_told.entry((options.name.clone(), id.clone())).or_insert(elapsed);
        }
        inner.count("feed_answers");
        Ok(FeedAnswer { announced, withdrawn, ask_again: ASK_AGAIN, ..FeedAnswer::default() })
    }
}

impl Announcer for SimAnnouncer {
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>> {
        Box::pin(self.answer(request))
    }
}

/// An effect of an announced slot leaves: it must be durable, open, and not known to be withdrawn.
pub fn judge_effect(inner: &mut Inner, pipeline: &str, slot: UtcMs, announced_as: Option<&str>) {
    let now = inner.now();
    let Some(known) = inner.disk.announced.get(&(pipeline.to_owned(), slot)).cloned() else {
        inner.violation(format!("an effect of {pipeline} leaves for {slot}, which was not announced"));
        return;
    };
    if announced_as != Some(known.id.as_str()) {
        inner.violation(format!("an effect of {pipeline} {slot} was announced as {}: {announced_as:?}", known.id));
    }
    if now > known.closes || now < slot.minus(crate::driver::LATENESS) {
        inner.violation(format!("an effect of {pipeline} {slot} leaves at {now}; it closes at {}", known.closes));
    }
    let told = inner.withdrawn_told.get(&(pipeline.to_owned(), known.id)).copied();
    let stalled = inner.alive.owner_stalled_at.contains_key(pipeline) || inner.stops_until > Duration::ZERO;
    if told.is_some_and(|at| inner.elapsed() > at + WITHDRAWN_WITHIN) && !stalled {
        inner.violation(format!("an effect of {pipeline} {slot} leaves, which was withdrawn at {told:?}"));
    }
}

/// Whether the competition is over and every announced slot has its row; a clock that is set back makes none of them due again.
pub fn has_ended(inner: &Inner, pipeline: &PipelineOptions) -> bool {
    let newest = inner.feed_time.max(inner.now());
    pipeline.window.is_over(newest) && open(inner, &pipeline.name).next().is_none()
}

fn all<'a>(inner: &'a Inner, pipeline: &str) -> impl Iterator<Item = &'a AnnouncedSlot> {
    let range = (pipeline.to_owned(), UtcMs(i64::MIN))..=(pipeline.to_owned(), UtcMs(i64::MAX));
    inner.disk.announced.range(range).map(|(_, slot)| slot)
}

fn open<'a>(inner: &'a Inner, pipeline: &'a str) -> impl Iterator<Item = &'a AnnouncedSlot> {
    all(inner, pipeline).filter(move |slot| !inner.disk.rows.contains_key(&(pipeline.to_owned(), slot.slot)))
}

/// Without faults a window that was announced in time and left open long enough is used.
pub fn liveness(inner: &mut Inner, options: &SimOptions, index: usize) {
    let (pipeline, now) = (&options.pipelines[index], inner.now());
    let (after, until) = (now.minus(SETTLED), now.minus(Duration::from_secs(120)));
    for window in windows(options, index, after, until) {
        let (opens, closes) = (window.announcement.opens(), window.announcement.closes());
        let in_time = window.published.plus(Duration::from_secs(30)) <= opens && closes < now;
        let is_long = closes.since(opens) > Duration::from_secs(60);
        let is_due = pipeline.window.contains(opens) && !pipeline.window.is_over(closes);
        if !in_time || !is_long || !is_due || window.withdrawn.is_some() {
            continue;
        }
        let slot = all(inner, &pipeline.name).find(|slot| slot.id == window.announcement.id()).map(|slot| slot.slot);
        let row = slot.and_then(|slot| inner.disk.rows.get(&(pipeline.name.clone(), slot)));
        let reason = row.map(|row| row.reason);
        if !reason.is_some_and(works) {
            let (name, id) = (&pipeline.name, window.announcement.id());
            inner.violation(format!("without faults the slot {id} ({opens}) of {name} ends with {reason:?}"));
        }
    }
}

/// Every window that was announced is known and has exactly one row, and nothing else has one. Returns the number of rows.
pub fn at_the_end(inner: &mut Inner, options: &SimOptions, index: usize) -> usize {
    let pipeline = &options.pipelines[index];
    let name = &pipeline.name;
    let rows: BTreeSet<UtcMs> =
        inner.disk.rows.keys().filter(|(pipeline, _)| pipeline == name).map(|(_, slot)| *slot).collect();
    let known: Vec<AnnouncedSlot> = all(inner, name).cloned().collect();
    let mut found = Vec::new();
    if let Some(stray) = rows.iter().find(|row| known.iter().all(|slot| slot.slot != **row)) {
        found.push(format!("{name} has a row for {stray}, which was not announced"));
    }
    let settled = inner.now().minus(SETTLED);
    let until = pipeline.window.end.map_or(settled, |end| end.min(settled));
    for slot in known.iter().filter(|slot| slot.closes < settled && !rows.contains(&slot.slot)) {
        found.push(format!("the announced slot {} of {name} has no row", slot.slot));
    }
    if let Some(first) = known.first() {
        let due = windows(options, index, first.slot, until)
            .filter(|window| window.published <= until && pipeline.window.contains(window.announcement.opens()));
        let ids: BTreeSet<&str> = known.iter().map(|slot| slot.id.as_str()).collect();
        for window in due.filter(|window| !ids.contains(window.announcement.id())) {
            found.push(format!("the window {} of {name} was never noticed", window.announcement.id()));
        }
    }
    for slot in &known {
        let reason = inner.disk.rows.get(&(name.clone(), slot.slot)).map(|row| row.reason);
        let truth = slot.id.parse().map(|minute| window(options, index, minute));
        if reason == Some(Reason::Withdrawn) && truth.is_ok_and(|window| window.withdrawn.is_none()) {
            found.push(format!("{name} {} ends as withdrawn, and was not", slot.slot));
        }
    }
    found.into_iter().take(3).for_each(|text| inner.violation(text));
    rows.len()
}
