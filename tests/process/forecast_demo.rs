//! `sentinel demo --job forecast` as a process: what it shows, what it needs, and that it goes on where it stopped.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use sentinel::venues::book::BOOK_FILE;
use sentinel::venues::book_reader::BookReader;
use sentinel::venues::forecasts::BookForecast;

use super::config::demo_file;
use super::node::{Ended, Node, run};

/// The default of the job.
const STATE: &str = "state/demo-forecast";

fn forecasts(dir: &Path, state: &str) -> Vec<BookForecast> {
    BookReader::open(&dir.join(state).join(BOOK_FILE)).map_or_else(|_| Vec::new(), |book| book.forecasts().unwrap())
}

fn demo(dir: &Path, more: &[&str]) -> Ended {
    run(dir, [&["demo", "--job", "forecast", "--speed", "max"], more].concat())
}

/// Every slot of the schedule has its row, and journal and book agree.
#[track_caller]
fn proves(dir: &Path, state: &str, slots: usize) {
    let proven = run(dir, ["prove", "--state", state, "--format", "json"]).expect(0);
    let proof: serde_json::Value = serde_json::from_str(&proven.out).unwrap();
    let pipeline = &proof["pipelines"][0];
    let found = (proof["holds"].as_bool(), pipeline["by_schedule"].as_bool(), pipeline["due"].as_u64());
    assert_eq!(found, (Some(true), Some(true), u64::try_from(slots).ok()), "{proof}");
}

/// The errors of these forecasts and of forecasting zero, from the bar file alone, as they are printed.
fn errors(made: &[BookForecast]) -> String {
    let text = fs::read_to_string(demo_file("btcusd_1h.csv")).unwrap();
    let closes: Vec<f64> = text.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse().unwrap()).collect();
    let (mut sum, mut sum_of_zero, mut count) = (0.0, 0.0, 0.0);
    for (made, bar) in made.iter().zip(199..).take(made.len() - 168) {
        let came_true = (closes[bar + 168] / closes[bar]).ln();
        let value: f64 = made.forecast.log_return.to_string().parse().unwrap();
        (sum, sum_of_zero) = (sum + (value - came_true).powi(2), sum_of_zero + came_true.powi(2));
        count += 1.0;
    }
    let root = |sum: f64| (sum / count).sqrt();
    format!("{:.5}, zero {:.5} in training bars ({count} compared)", root(sum), root(sum_of_zero))
}

#[test]
fn a_demo_of_forecasts_shows_its_errors_and_proves_its_slots() {
    let folder = tempfile::tempdir().unwrap();
    let ended = demo(folder.path(), &["--bars", "300"]).expect(0);
    let made = forecasts(folder.path(), STATE);
    assert_eq!(made.len(), 300);
    let said = ended.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "in one process",
        "By its manifest the model errs more than forecasting zero: it shows no skill (0.09885 and 0.09094",
        "This run: 300 slots in",
        "300 forecasts, 0 restarts",
        "300 made, 132 compared",
        errors(&made).as_str(),
        "none made in unseen bars",
        "of these 132 forecasts at most 1 can be independent",
        "The bars that the model never saw begin at 2018-04-18T07:00:00Z, and none of them is forecast here",
        "Without --bars the demo goes on",
        "300 due = 300 acted + 0 no_action + 0 skipped + 0 missed: holds",
        "paper book of forecasts and journal one to one: holds",
    ] {
        assert!(said.contains(words), "not said: '{words}' in {said}");
    }
    // Only a command that is to be copied may be longer than a line.
    let mut lines = ended.out.lines().filter(|line| !line.contains("/sentinel "));
    assert!(lines.all(|line| line.chars().count() <= 80), "{}", ended.out);
    proves(folder.path(), STATE, 300);
    run(folder.path(), ["report", "--state", STATE]).expect(0).says(&[&errors(&made), "2018-04-18T07:00:00Z"]);
    let words = ["Nothing was left to do: this state has decided 300 bars", "This run:  0 slots"];
    demo(folder.path(), &["--bars", "300"]).expect(0).says(&words).says(&[&errors(&made)]);
}

#[test]
fn a_demo_of_forecasts_is_one_process_and_goes_on_where_it_was_stopped() {
    let whole = tempfile::tempdir().unwrap();
    demo(whole.path(), &["--bars", "150"]).expect(0);
    let folder = tempfile::tempdir().unwrap();
    let args = ["demo", "--job", "forecast", "--speed", "50", "--bars", "150", "--state", "state"];
    let mut node = Node::start(folder.path(), args);
    node.wait_for("forecast", |_| forecasts(folder.path(), "state").len() > 20);
    let threads = fs::read_dir(format!("/proc/{}/task", node.id())).unwrap();
    // A thread may end while it is looked at; the first one does not.
    assert!(Path::new(&format!("/proc/{0}/task/{0}/children", node.id())).exists());
    let children =
        threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default());
    assert_eq!(children.collect::<String>().trim(), "", "it started a process beside it");
    node.signal(Signal::TERM);
    node.end().expect(0).says(&["Interrupted after", "goes on from there", "paper book of forecasts"]);
    let before = forecasts(folder.path(), "state").len();
    assert!(before < 150, "it was over before the signal");
    let rest = format!("{} forecasts", 150 - before);
    demo(folder.path(), &["--bars", "150", "--state", "state"]).expect(0).says(&["150 due = 150 acted", &rest]);
    assert_eq!(forecasts(folder.path(), "state"), forecasts(whole.path(), STATE));
    proves(folder.path(), "state", 150);
}

#[test]
fn a_chaos_costs_no_slot_and_invents_no_forecast() {
    let (whole, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    demo(whole.path(), &["--bars", "400"]).expect(0);
    let ended = demo(folder.path(), &["--bars", "400", "--chaos", "--seed", "2"]).expect(0);
    ended.says(&["400 due = ", "journal one to one: holds", "Chaos with seed 2"]);
    proves(folder.path(), STATE, 400);
    let (made, possible) = (forecasts(folder.path(), STATE), forecasts(whole.path(), STATE));
    let is_possible =
        |made: &BookForecast| possible.iter().any(|other| (&other.key, &other.forecast) == (&made.key, &made.forecast));
    assert!(made.iter().all(is_possible), "another forecast was made");
    let log = fs::read_to_string(folder.path().join(STATE).join("logs/sentinel.log")).unwrap();
    // Dozens of kills, half of them at its stages; which of the four is chance.
    let hit =
        log.lines().filter(|line| line.contains("child=btcusd/") && line.contains("cause=\"was killed\"")).count();
    assert!(hit > 0, "no kill hit a stage of the pipeline");
}

#[test]
fn a_demo_leaves_the_state_of_the_other_job_alone() {
    let folder = tempfile::tempdir().unwrap();
    let order = ["demo", "--speed", "max", "--bars", "20", "--state"];
    run(folder.path(), [&order[..], &["orders"]].concat()).expect(0);
    demo(folder.path(), &["--bars", "20", "--state", "forecasts"]).expect(0);
    demo(folder.path(), &["--bars", "30", "--state", "orders"])
        .expect(78)
        .complains(&["orders holds a demo with --job order", "another --state"]);
    run(folder.path(), [&order[..], &["forecasts"]].concat())
        .expect(78)
        .complains(&["forecasts holds a demo with --job forecast", "another --state"]);
    assert!(!folder.path().join("orders/files/btcusd.onnx").exists());
    assert!(!folder.path().join("forecasts/files/model.onnx").exists());
    assert_eq!(forecasts(folder.path(), "forecasts").len(), 20);
    for (state, record) in [("orders", "ledger"), ("forecasts", "paper book of forecasts")] {
        run(folder.path(), ["prove", "--state", state]).expect(0).says(&["20 due = ", record]);
    }
}
