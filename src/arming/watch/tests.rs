//! What ends the arm of a running node, and what does not.

use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sentinel_actors::ports::{Arming as _, PortFuture, Taken};

use super::*;
use crate::arming::Limits;
use crate::arming::tests::{limited, model, plan, terms};

const NOW: UtcMs = UtcMs(1_800_000_000_000);

fn clock() -> Arc<dyn Clock> {
    Arc::new(SetClock(AtomicI64::new(NOW.0)))
}

struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> UtcMs {
        UtcMs(self.0.load(Ordering::Relaxed))
    }

    fn wait_until(&self, _: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

fn record(dir: &Path, terms: Terms) -> PathBuf {
    record::write(dir, Armed { terms, at: NOW, effects: Effects::default(), equity: BTreeMap::new() }).unwrap()
}

fn new(arm_of: ArmOf, clock: Arc<dyn Clock>, left: u64) -> Watch {
    let count = Box::new(move || Ok(Effects { left, ..Effects::default() }));
    let watch = Watch::new(plan(), arm_of, "sentinel arm".to_owned(), clock, count);
    watch.count();
    watch.begin();
    watch
}

fn watch(dir: &Path) -> Watch {
    new(ArmOf::Recorded(record::file_of(dir)), clock(), 0)
}

fn permits(watch: &Watch, hash: &str) -> bool {
    watch.permits("eurusd", Some(&model(hash)), NOW).is_ok()
}

fn take(watch: &Watch) -> Result<Taken, String> {
    watch.take("eurusd", Some(&model("aa")), NOW).map_err(|error| error.to_string())
}

#[test]
fn the_last_of_its_orders_ends_the_arm_and_a_restart_forgets_none() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { max_orders: Some(3), ..Limits::default() };
    let file = record(dir.path(), limited(limits.clone()));
    let one = new(ArmOf::Recorded(file.clone()), clock(), 0);
    let taken: Vec<Taken> = (0..3).map(|_| take(&one).unwrap()).collect();
    assert_eq!(take(&one).unwrap_err(), "its 3 orders have left; `sentinel arm` shows it and arms it again");
    assert_eq!(one.left().unwrap(), "ended: its 3 orders have left");
    assert!(permits(&one, "aa"), "the last one is on its way");
    one.give_back(taken[0]);
    assert!(take(&one).is_ok() && take(&one).is_err());
    let next = new(ArmOf::Recorded(file.clone()), clock(), 2);
    assert_eq!(next.left().unwrap(), "1 of 3 orders left");
    assert!(take(&next).is_ok() && take(&next).is_err());
    let last = new(ArmOf::Recorded(file.clone()), clock(), 3);
    assert!(last.armed().is_ok() && !permits(&last, "aa") && take(&last).is_err(), "it starts, to close what is open");
    let unknown = Watch::new(plan(), ArmOf::Recorded(file), String::new(), clock(), Box::new(|| Err("?".to_owned())));
    unknown.count();
    assert!(unknown.armed().is_ok() && take(&unknown).is_err());
}

/// Another arm has not counted what was taken from the one before.
#[test]
fn what_was_taken_from_one_arm_neither_leaves_under_the_next_nor_is_given_back_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { max_orders: Some(1), ..Limits::default() };
    let file = record(dir.path(), limited(limits.clone()));
    let watch = new(ArmOf::Recorded(file), clock(), 0);
    let may_leave = |taken| watch.still_permits(taken, "eurusd", Some(&model("aa")), NOW);
    let before = take(&watch).unwrap();
    assert!(may_leave(before).is_ok());
    record(dir.path(), limited(limits));
    let refused = may_leave(before).unwrap_err().to_string();
    assert!(refused.contains("armed again"), "{refused}");
    let after = take(&watch).unwrap();
    watch.give_back(before);
    assert!(may_leave(after).is_ok() && take(&watch).is_err(), "one order, and not two");
    watch.give_back(after);
    assert!(take(&watch).is_ok());
}

#[test]
fn time_that_is_over_stays_over_whatever_the_clock_shows() {
    let dir = tempfile::tempdir().unwrap();
    let terms = limited(Limits { until: "8h".parse().ok(), ..Limits::default() });
    let file = record(dir.path(), terms.clone());
    let clock = Arc::new(SetClock(AtomicI64::new(NOW.0)));
    let show = |hours: i64| clock.0.store(NOW.0 + hours * 3_600_000, Ordering::Relaxed);
    let start = || new(ArmOf::Recorded(file.clone()), clock.clone(), 0);
    show(6);
    let first = start();
    assert!(permits(&first, "aa"));
    first.look_around();
    show(1);
    assert!(start().left().unwrap().ends_with(", in 2h"), "set back while the node was down: {:?}", start().left());
    show(8);
    let said = first.permits("eurusd", Some(&model("aa")), NOW).unwrap_err().to_string();
    assert!(said.starts_with("its time is over: it was armed until 2027-"), "{said}");
    show(1);
    assert!(!permits(&first, "aa") && !permits(&start(), "aa") && start().armed().is_ok());
    fs::write(seen::file_beside(&file), "").unwrap();
    assert!(start().left().unwrap().contains("not known how long"));
    record::write(
        dir.path(),
        Armed { terms, at: NOW.plus(Duration::from_secs(1)), effects: Effects::default(), equity: BTreeMap::new() },
    )
    .unwrap();
    assert!(permits(&first, "aa"), "armed again while it runs");
}

#[test]
fn a_disk_that_hangs_while_a_time_is_kept_delays_nobody_who_asks() {
    let dir = tempfile::tempdir().unwrap();
    let file = record(dir.path(), limited(Limits { until: "8h".parse().ok(), ..Limits::default() }));
    let watch = watch(dir.path());
    // Whoever writes into it waits for a reader.
    let pipe = seen::file_beside(&file).with_extension("seen.new");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    watch.state().note_seen(NOW, None);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| watch.keep_seen());
        let until = elapsed_now() + Duration::from_secs(10);
        let is_free = || watch.state.try_lock().is_ok_and(|state| state.unkept.is_none());
        let mut has_begun = is_free();
        while !has_begun && elapsed_now() < until {
            std::thread::yield_now();
            has_begun = is_free();
        }
        let is_permitted = has_begun && !writer.is_finished() && permits(&watch, "aa");
        let _reader = fs::File::open(&pipe);
        assert!(is_permitted);
    });
}

#[test]
fn a_schedule_that_reaches_the_end_ends_it_for_all() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), limited(Limits { until: "8h".parse().ok(), ..Limits::default() }));
    let watch = watch(dir.path());
    let end = NOW.plus(Duration::from_secs(8 * 3600));
    assert!(watch.permits("eurusd", Some(&model("aa")), end.before()).is_ok());
    assert!(watch.permits("eurusd", Some(&model("aa")), end).is_err());
    assert!(watch.permits("gbpusd", Some(&model("bb")), NOW).is_err());
}

#[test]
fn another_model_ends_the_arm_for_all_until_it_is_typed_again() {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path(), terms());
    let watch = watch(dir.path());
    assert!(permits(&watch, "aa") && watch.permits("gbpusd", Some(&model("bb")), NOW).is_ok());
    let said = watch.permits("eurusd", Some(&model("cc")), NOW).unwrap_err().to_string();
    assert_eq!(
        said,
        "the model of the pipeline eurusd is model.onnx cc, and armed was model.onnx aa; `sentinel arm` shows it and arms it again"
    );
    assert!(!permits(&watch, "aa"), "it is back, and was not armed again");
    assert!(watch.permits("gbpusd", Some(&model("bb")), NOW).is_err() && watch.permits("gbpusd", None, NOW).is_err());
    record(dir.path(), terms());
    assert!(permits(&watch, "aa") && !permits(&watch, "cc"));
    record(dir.path(), plan().with_models(vec![model("cc"), model("bb")], Limits::default()));
    assert!(permits(&watch, "cc") && !permits(&watch, "aa"));
}

#[test]
fn a_file_that_is_removed_changed_or_of_another_configuration_ends_the_arm() {
    let dir = tempfile::tempdir().unwrap();
    let path = record(dir.path(), terms());
    let whole = fs::read(&path).unwrap();
    let watch = watch(dir.path());
    let spoil: [fn(&Path); 4] = [
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, "{}").unwrap(),
        |path| fs::write(path, fs::read_to_string(path).unwrap().replace("5555", "5556")).unwrap(),
        |path| {
            let mut other = terms();
            other.config.push('0');
            record(path.parent().unwrap(), other);
        },
    ];
    for (nth, spoil) in spoil.into_iter().enumerate() {
        assert!(permits(&watch, "aa"), "before {nth}");
        spoil(&path);
        assert!(!permits(&watch, "aa") && !permits(&watch, "aa"), "after {nth}");
        crate::files::replace(&path, crate::files::Durability::None, |file| std::io::Write::write_all(file, &whole))
            .unwrap();
    }
    assert!(permits(&watch, "aa"), "as it was");
}

#[test]
fn a_file_is_read_only_when_its_stamp_changes() {
    let dir = tempfile::tempdir().unwrap();
    let path = record(dir.path(), terms());
    let watch = watch(dir.path());
    // The same stamp, and another content: nobody looks. Only this test can do that.
    fs::write(&path, "{}").unwrap();
    watch.state().stamp = Stamp::of(&path);
    assert!(permits(&watch, "aa"));
}

#[test]
fn an_arm_that_is_given_counts_for_what_it_names_and_needs_no_file() {
    let new = |terms: Terms| new(ArmOf::Given(Box::new(terms)), clock(), 0);
    assert_eq!(new(terms()).armed().unwrap(), terms().id());
    assert!(permits(&new(terms()), "aa") && !permits(&new(terms()), "cc"));
    let mut other = terms();
    other.pipelines[0].place.goes_to.push('0');
    assert!(new(other).armed().unwrap_err().what.contains("orders of the pipeline eurusd go to"));
}

#[test]
fn a_node_begins_with_what_is_armed_and_not_with_less() {
    let dir = tempfile::tempdir().unwrap();
    let none = watch(dir.path()).armed().unwrap_err();
    assert!(none.what.starts_with("nothing is armed") && none.command == "sentinel arm", "{none:?}");
    record(dir.path(), Terms { pipelines: vec![terms().pipelines.remove(0)], ..terms() });
    assert_eq!(watch(dir.path()).armed().unwrap_err().what, "the pipeline gbpusd was not armed");
}

fn report(equity: i64, server: &str) -> AccountReport {
    use sentinel_actors::domain::account::Stated;
    let server = Stated::Believed(server.to_owned());
    AccountReport { equity: Some(equity.into()), server, ..AccountReport::SILENT }
}

fn armed_with_account(max_loss: Option<i64>) -> Armed {
    let mut terms = limited(Limits { max_loss: max_loss.map(Into::into), ..Limits::default() });
    terms.pipelines[0].venue_says = VenueSays::of(&report(0, "demo"));
    let equity = BTreeMap::from([("eurusd".to_owned(), 1000.into())]);
    Armed { terms, at: NOW, effects: Effects::default(), equity }
}

#[test]
fn a_venue_that_says_something_else_of_itself_ends_the_arm_and_nothing_leaves_before_it_has_spoken() {
    let dir = tempfile::tempdir().unwrap();
    record::write(dir.path(), armed_with_account(None)).unwrap();
    let watch = watch(dir.path());
    let said = watch.permits("eurusd", Some(&model("aa")), NOW).unwrap_err().to_string();
    assert!(said.starts_with("the venue of the pipeline eurusd has not said yet"), "{said}");
    assert!(watch.permits("gbpusd", Some(&model("bb")), NOW).is_ok(), "its venue tells nothing");
    watch.hear("eurusd", &report(900, "demo"));
    assert!(permits(&watch, "aa"), "a loss is no change");
    watch.hear("eurusd", &report(1000, "real"));
    let said = watch.permits("eurusd", Some(&model("aa")), NOW).unwrap_err().to_string();
    assert!(said.contains("says of itself: server real; ") && said.contains("armed was: server demo; "), "{said}");
    watch.hear("eurusd", &report(1000, "demo"));
    assert!(!permits(&watch, "aa"), "it is back, and was not armed again");
    record::write(dir.path(), Armed { at: NOW.plus(Duration::from_secs(1)), ..armed_with_account(None) }).unwrap();
    assert!(permits(&watch, "aa"));
    let mut other = armed_with_account(None);
    other.terms.pipelines[0].venue_says = VenueSays::of(&report(0, "real"));
    record::write(dir.path(), other).unwrap();
    assert!(!permits(&watch, "aa"), "armed for a venue that it is not");
}

#[test]
fn a_loss_that_is_reached_ends_the_arm_and_a_later_profit_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    record::write(dir.path(), armed_with_account(Some(50))).unwrap();
    let first = watch(dir.path());
    assert!(!permits(&first, "aa"), "not known yet");
    first.hear("eurusd", &report(960, "demo"));
    assert!(permits(&first, "aa") && first.watches_loss());
    assert_eq!(first.left().unwrap(), "40 lost of at most 50");
    first.hear("eurusd", &report(950, "demo"));
    let said = first.permits("eurusd", Some(&model("aa")), NOW).unwrap_err().to_string();
    assert!(
        said.starts_with("the account of the pipeline eurusd has lost 50 since it was armed, of at most 50"),
        "{said}"
    );
    first.hear("eurusd", &report(2000, "demo"));
    assert!(!permits(&first, "aa"));
    let next = watch(dir.path());
    next.hear("eurusd", &report(2000, "demo"));
    assert!(!permits(&next, "aa") && next.armed().is_ok(), "a restart forgets nothing");
}

#[test]
fn what_is_left_of_an_arm_tells_an_end_that_was_meant_from_one_that_nobody_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { until: "8h".parse().ok(), max_orders: Some(1), ..Limits::default() };
    let file = record(dir.path(), limited(limits));
    let of = |clock, left| new(ArmOf::Recorded(file.clone()), clock, left).standing();
    let armed = of(clock(), 0);
    assert_eq!((armed.until, armed.ended), (Some(NOW.plus(Duration::from_secs(8 * 3600))), None));
    let spent = of(clock(), 1);
    assert_eq!((spent.ended.as_deref(), spent.as_intended), (Some("its 1 orders have left"), true));
    let late: Arc<dyn Clock> = Arc::new(SetClock(AtomicI64::new(NOW.plus(Duration::from_secs(8 * 3600)).0)));
    let over = of(late, 0);
    assert!(over.ended.is_some_and(|what| what.contains("its time is over")) && over.as_intended);
    let watch = watch(dir.path());
    watch.note_model("eurusd", &model("cc"));
    let changed = watch.standing();
    assert!(changed.ended.is_some_and(|what| what.contains("model")) && !changed.as_intended);
    assert_eq!(changed.command, "sentinel arm");
}

#[test]
fn a_loss_that_ends_an_arm_is_not_meant_before_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    record::write(dir.path(), armed_with_account(Some(50))).unwrap();
    let first = watch(dir.path());
    first.hear("eurusd", &report(950, "demo"));
    for standing in [first.standing(), watch(dir.path()).standing()] {
        assert!(standing.ended.is_some_and(|what| what.contains("has lost 50")) && !standing.as_intended);
    }
}
