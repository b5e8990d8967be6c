//! What `sentinel allora report` sums up from a journal, and what it refuses beside a running node.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use sentinel::cli::{self, Cli};
use sentinel::exit;
use sentinel::node::worker_report::worker_report;
use sentinel::venues::allora::report::{Ending, Miss};
use sentinel_actors::domain::action::{Action, Forecast, Inclusion};
use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::ports::{JournalWrite, Written};
use tempfile::TempDir;

use crate::support::*;

const ACCOUNT: &str = "allora-testnet-1/allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv/67";

fn window(n: i64) -> JournalWrite {
    let announced = vec![Announcement::new((n * 700).to_string(), minute(n), minute(n + 1)).unwrap()];
    JournalWrite::Announce { pipeline: "eurusd".into(), announced, at: minute(n) }
}

fn forecast(n: i64) -> Intent {
    let action = Action::Forecast(Forecast {
        symbol: "EURUSD".into(),
        log_return: "-0.0125".parse().unwrap(),
        horizon_s: 604_800,
        reference_price: "1.12345".parse().unwrap(),
        reference_time: minute(n - 60),
    });
    let like = intent(n, Role::Open);
    let (account, basis) = (ACCOUNT.to_owned(), Basis::Slot(like.slot));
    let key = IntentKey::derive(Mode::Live, &account, &like.pipeline, basis, action.role());
    let announced_as = Some((n * 700).to_string());
    Intent { key, mode: Mode::Live, account, basis, announced_as, action, ..like }
}

/// A window, a forecast in a block, and what the chain says of it.
fn used(n: i64, facts: Vec<Fact>) -> Vec<JournalWrite> {
    let intent = forecast(n);
    let inclusion = Inclusion { hash: format!("AB{n}"), height: 100, text: "code 0".into() };
    let acked = IntentEvent::Acked { receipt: inclusion.into() };
    let mut writes = vec![window(n), JournalWrite::Plan(Box::new(intent.clone()))];
    let noted = facts.into_iter().map(|fact| IntentEvent::Noted { fact });
    for event in [IntentEvent::Send, acked].into_iter().chain(noted) {
        writes.push(JournalWrite::Advance { key: intent.key.clone(), event, at: minute(n) });
    }
    writes.push(end(ended(n, Reason::ForecastAcked)));
    writes
}

#[tokio::test]
async fn the_report_of_a_running_worker_counts_each_announced_window_once() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let stored = || Fact::Stored { value: "-0.0125".into(), evidence: "seen".into(), inclusions: Some(1) };
    let mut writes = used(1, vec![stored(), Fact::Scored { score: "0.25".into() }]);
    writes.extend(used(2, vec![Fact::Admitted, stored()]));
    writes.extend(used(3, vec![Fact::NotAdmitted { evidence: "seen".into() }]));
    writes.extend(used(4, vec![]));
    writes.extend([window(5), end(ended(5, Reason::StaleData)), window(6)]);
    // A row that nobody announced is of another schedule.
    writes.push(end(ended(7, Reason::Hold)));
    assert!(node.write(writes).await.iter().all(|written| *written == Written::Done));

    let report = worker_report(dir.path(), "eurusd").unwrap();
    let counts = [Ending::Stored, Ending::NotAdmitted, Ending::Unproven].map(|ending| report.tally.count(ending));
    assert_eq!((report.tally.windows(), counts), (5, [2, 1, 1]), "{report:?}");
    assert_eq!(report.tally.missed(), [(Miss::Slot(Reason::StaleData), 1)]);
    assert_eq!(
        (report.topic, report.tally.scores.known, report.tally.scores.newest_pending),
        (Some(67), 1, Some(1400))
    );
    let lines = report.lines(None);
    assert_eq!(lines[0].1, "5 = 2 stored + 0 evicted + 1 not admitted + 1 included and not proven yet + 1 missed");
    assert_eq!(worker_report(dir.path(), "another").unwrap().tally.windows(), 0);
}

#[test]
fn a_backfill_beside_a_running_node_is_refused_and_the_report_is_not() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let text = fs::read_to_string(root.join("forecast.toml")).unwrap();
    let text = text.replace("demo/", &format!("{}/demo/", root.display()));
    let file = dir.path().join("node.toml");
    fs::write(&file, format!("{text}\n[allora]\nnetwork = \"testnet\"\nrpc = [\"http://127.0.0.1:9/\"]\n")).unwrap();
    let run = |more: &[&str]| {
        let (config, state) = (file.display().to_string(), dir.path().display().to_string());
        let words = ["sentinel", "allora", "report", "--config", &config, "--state", &state];
        cli::run(Cli::try_parse_from(words.iter().chain(more)).unwrap())
    };
    let refused = run(&["--backfill"]).unwrap_err();
    assert_eq!(refused.code, exit::TEMPORARY, "{}", refused.text);
    assert!(refused.text.contains("it asks the chain for proofs and scores by itself"), "{}", refused.text);
    assert_eq!(run(&[]).unwrap(), exit::OK);
    drop(node);
    assert_eq!(run(&["--backfill"]).unwrap(), exit::OK, "nothing is awaited, so the chain is not asked");
}
