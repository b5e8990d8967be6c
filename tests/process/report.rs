//! `sentinel report` and `sentinel prove` on what real runs leave, beside a running node too.

use std::path::Path;

use rusqlite::Connection;
use rustix::process::Signal;

use super::config::Site;
use super::facts::Facts;
use super::node::{Ended, Node, run};

/// Both commands in JSON, as one reads them.
fn json(ended: &Ended) -> serde_json::Value {
    serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:#?}"))
}

#[track_caller]
fn fits_a_terminal(ended: &Ended) {
    let wide: Vec<&str> = ended.out.lines().filter(|line| line.chars().count() > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
}

fn change(file: &Path, sql: &str) {
    let changed = Connection::open(file).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql} changed nothing");
}

#[test]
fn report_and_prove_work_while_a_demo_runs_and_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut demo = Node::start(folder.path(), ["demo", "--speed", "150", "--bars", "400", "--state", "state"]);
    demo.wait_for("order", |_| Facts::rows_so_far(&state) > 150);
    for _ in 0..10 {
        let proof = run(folder.path(), ["prove", "--state", "state"]).expect(0);
        fits_a_terminal(&proof.says(&["due =", "ledger and journal one to one: holds"]));
        let report = run(folder.path(), ["report", "--state", "state"]).expect(0);
        fits_a_terminal(&report.says(&[&format!("process {}", demo.id()), "market_closed", "Positions:", "Profit:"]));
    }
    demo.signal(Signal::TERM);
    // Only a path may be longer than a line.
    let mut said = demo.end().expect(0);
    said.out = said.out.lines().filter(|line| !line.contains("/sentinel ")).collect::<Vec<_>>().join("\n");
    fits_a_terminal(&said);

    let report = json(&run(folder.path(), ["report", "--state", "state", "--format", "json"]).expect(0));
    let facts = Facts::read(&state);
    assert_eq!(report["pipelines"][0]["slots"], facts.slots.len());
    assert_eq!(report["intents"]["acked"], facts.intents.len());
    assert_eq!(report["node"], "not running");
    let positions = report["holdings"][0]["positions"].as_array().unwrap();
    assert_eq!(positions.is_empty(), facts.net_lots.unwrap().is_zero());
    let proof = json(&run(folder.path(), ["prove", "--state", "state", "--format", "json"]).expect(0));
    assert_eq!((&proof["holds"], &proof["pipelines"][0]["by_schedule"]), (&true.into(), &true.into()));
}

/// Each change is one that the other side must notice.
#[test]
fn prove_ends_1_when_the_ledger_or_the_journal_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (journal, ledger) = (state.join("journal.db"), state.join("gateway.db"));
    run(folder.path(), ["demo", "--speed", "max", "--bars", "250", "--state", "state"]).expect(0);
    let prove = |code: i32| run(folder.path(), ["prove", "--state", "state"]).expect(code);
    prove(0).says(&["ledger and journal one to one: holds"]);

    let newest = "(SELECT max(ticket) FROM orders)";
    change(&ledger, &format!("UPDATE orders SET side = iif(side = 'buy', 'sell', 'buy') WHERE ticket = {newest}"));
    fits_a_terminal(&prove(1).says(&["one to one: DOES NOT HOLD", "different:", "in side:"]));
    change(&ledger, &format!("UPDATE orders SET side = iif(side = 'buy', 'sell', 'buy') WHERE ticket = {newest}"));
    for (column, what) in [("volume", "volume"), ("filled", "filled volume"), ("symbol", "symbol")] {
        let saved = format!("UPDATE orders SET {column} = 'GBPUSD' WHERE ticket = {newest}");
        let other = format!("UPDATE orders SET {column} = '0.09' WHERE ticket = {newest}");
        let back = format!("UPDATE orders SET {column} = '0.10' WHERE ticket = {newest}");
        change(&ledger, if column == "symbol" { &saved } else { &other });
        prove(1).says(&["different:", &format!("in {what}")]);
        change(&ledger, &if column == "symbol" { saved.replace("GBPUSD", "EURUSD") } else { back });
        prove(0);
    }
    change(&ledger, &format!("DELETE FROM orders WHERE ticket = {newest}"));
    prove(1).says(&["invented:"]);

    change(
        &journal,
        "DELETE FROM slots WHERE slot_ms = (SELECT slot_ms FROM slots ORDER BY slot_ms LIMIT 1 OFFSET 20)",
    );
    prove(1).says(&["without a row 1"]);
    change(&journal, "UPDATE intents SET state = 'held' WHERE slot_ms = (SELECT min(slot_ms) FROM intents)");
    prove(1).says(&["1 are damaged", "state: ", "is held, but its"]);
}

/// The newest row was taken for the last due slot.
#[test]
fn prove_misses_rows_at_the_end_of_a_run_that_is_through() {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path(), ["demo", "--speed", "max", "--bars", "250", "--state", "state"]).expect(0);
    let prove = |code: i32| run(folder.path(), ["prove", "--state", "state"]).expect(code);
    prove(0);
    let newest = "SELECT slot_ms FROM slots ORDER BY slot_ms DESC LIMIT 3";
    change(&folder.path().join("state/journal.db"), &format!("DELETE FROM slots WHERE slot_ms IN ({newest})"));
    prove(1).says(&["without a row 3"]);
}

#[test]
fn a_dry_run_is_proven_against_its_paper_book_and_by_its_schedule() {
    let site = Site::new().with_bars(500);
    run(site.path(), site.args()).expect(0);
    let config = site.args()[2].clone();
    let words = ["paper book and journal one to one: holds", "rows =", "--config FILE"];
    run(site.path(), ["prove", "--state", "state"]).expect(0).says(&words);
    let proven = run(site.path(), ["prove", "--state", "state", "--config", &config]).expect(0);
    fits_a_terminal(&proven.says(&["due ="]));
    run(site.path(), ["report", "--state", "state"]).expect(0).says(&["by paper book", "quote currency"]);

    change(&site.state().join("paper.db"), "UPDATE orders SET key = 'x' WHERE number = 1");
    run(site.path(), ["prove", "--state", "state"]).expect(1).says(&["lost:", "invented:"]);
}

/// A book that belongs to another journal disagrees in every order.
#[test]
fn prove_lists_twenty_of_each_kind_and_counts_them_all() {
    let site = Site::new().with_bars(500).with("threshold = 0.6", "threshold = 0.4");
    run(site.path(), site.args()).expect(0);
    let orders = Facts::orders_in_book(&site.state());
    assert!(orders > 20, "{orders} orders are too few");
    change(&site.state().join("paper.db"), "UPDATE orders SET key = 'x' || number");
    let said = run(site.path(), ["prove", "--state", "state"]).expect(1);
    fits_a_terminal(&said);
    for kind in ["lost:", "invented:"] {
        let lines: Vec<&str> = said.out.lines().map(str::trim).filter(|line| line.starts_with(kind)).collect();
        assert_eq!((lines.len(), lines[20]), (21, &*format!("{kind} and {} more", orders - 20)));
    }
    let proof = json(&run(site.path(), ["prove", "--state", "state", "--format", "json"]).expect(1));
    let venue = &proof["venues"][0];
    assert_eq!(venue["disagreement_counts"], serde_json::json!({ "lost": orders, "invented": orders }));
    assert_eq!(venue["disagreements"].as_array().unwrap().len(), 40);
}

#[test]
fn a_directory_without_a_journal_is_refused_by_report_and_prove() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["report", "prove"] {
        run(folder.path(), [command, "--state", "nowhere"]).expect(78).complains(&["there is no journal", "--state"]);
    }
}

#[test]
fn a_demo_on_a_finished_state_says_so_and_counts_its_slots() {
    let folder = tempfile::tempdir().unwrap();
    let demo = |bars: &str| {
        let args = ["demo", "--speed", "max", "--bars", bars, "--state", "state"];
        run(folder.path(), args).expect(0)
    };
    demo("250");
    let slots = Facts::read(&folder.path().join("state")).slots.len();
    let all = format!("{slots} due = ");
    let same = demo("250").says(&["Nothing was left to do: this state has decided 250 bars", "larger --bars", &all]);
    assert!(!same.out.contains("finished") && !same.out.contains("remove"), "{}", same.out);
    demo("100").says(&["further than 100 bars", "about all of it", &all, "This run:  0 slots"]);
    let more = demo("260");
    assert!(!more.out.contains("Nothing was left to do"), "{}", more.out);
    let new = Facts::read(&folder.path().join("state")).slots.len() - slots;
    more.says(&[&format!("This run:  {new} slots in")]);
}

#[test]
fn a_run_of_one_slot_logs_the_slot_and_no_competition() {
    let site = Site::new();
    run(site.path(), site.args_and(&["--once"])).expect(0);
    let log = std::fs::read_to_string(site.state().join("logs/sentinel.log")).unwrap();
    assert!(log.contains("every slot that was to be run has its end"), "{log}");
    assert!(log.contains("node_ended") && !log.contains("all competitions have ended"), "{log}");
}
