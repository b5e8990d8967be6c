//! What an operator has to type before anything goes live, and what ends that.

use std::fs;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway, ledger, order_count, shown_identity};
use super::node::{Ended, program, run};

/// Nobody listens there: nothing in these tests may want to connect.
fn site() -> Site {
    Site::new().with_decisions(30).through_gateway(free_port())
}

fn arm_file(site: &Site) -> std::path::PathBuf {
    site.state().join("arm.json")
}

fn armed_now(site: &Site) -> String {
    fs::read_to_string(arm_file(site)).unwrap()
}

/// Replaces the model by one that decides the same, and is another file.
fn change_model(site: &Site) {
    let (model, manifest) = (site.path().join("model.onnx"), site.path().join("model.json"));
    // ModelProto.doc_string = "x"
    let bytes = [fs::read(&model).unwrap(), vec![0x32, 1, b'x']].concat();
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
    json["sha256"] = HEXLOWER.encode(&Sha256::digest(&bytes)).into();
    for (path, bytes) in [(manifest, json.to_string().into_bytes()), (model, bytes)] {
        let new = path.with_extension("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, path).unwrap();
    }
}

fn refused(site: &Site, more: &[&str], words: &[&str]) -> Ended {
    site.start_as_armed(more).end().expect(78).complains(words)
}

#[test]
fn a_live_run_that_nobody_armed_ends_with_78_and_the_command() {
    let site = site();
    let file = site.path().join("node.toml").display().to_string();
    for (more, command) in [
        (vec![], format!("sentinel arm --config {file}\n")),
        (vec!["--once"], format!("sentinel arm --config {file}\n")),
        (
            vec!["--threshold", "0.5", "--gtw-port", "5555", "--state", "other state"],
            format!("sentinel arm --config {file} --gtw-port 5555 --threshold 0.5 --state 'other state'\n"),
        ),
    ] {
        refused(&site, &more, &["this run was not armed: nothing is armed", &command]);
    }
    assert!(!site.state().join("journal.db").exists(), "nothing was begun");
    site.start(&[]).end().expect(0);
}

#[test]
fn only_the_identity_of_what_is_shown_arms_and_a_wrong_one_changes_nothing() {
    let site = site();
    let ended = site.arm_with(&[]).expect(1);
    let hash = serde_json::from_str::<serde_json::Value>(&fs::read_to_string(site.path().join("model.json")).unwrap());
    let hash = hash.unwrap()["sha256"].as_str().unwrap().to_owned();
    let ended = ended.says(&[
        "pipeline eurusd",
        "orders",
        "gateway 127.0.0.1:",
        "venue.account test",
        "source.path",
        "max_orders_per_hour",
        "threshold 0.45",
        "model.onnx",
        &hash,
        "digest",
    ]);
    let id = shown_identity(&ended.out);
    ended.complains(&["nothing was changed", &format!("--yes {id}")]);
    for wrong in ["", "yes", "aaaa-aaaa-aaaa", &id[..13]] {
        site.arm_with(&["--yes", wrong]).expect(1).complains(&[&format!("--yes {id}")]);
    }
    assert!(!site.state().exists(), "not even a directory");
    site.arm_with(&["--yes", &id]).expect(0).says(&["armed as", "run --config", "--live"]);
    // Typed, as a person does it.
    let mut typed = program(super::node::SENTINEL, site.path());
    let input = site.path().join("typed");
    fs::write(&input, id.to_uppercase()).unwrap();
    typed.args(["arm", "--config"]).arg(site.path().join("node.toml")).stdin(fs::File::open(&input).unwrap());
    let typed = typed.output().unwrap();
    assert!(typed.status.success(), "{typed:?}");
    site.start_as_armed(&[]).end().expect(0);
}

#[test]
fn every_change_of_what_was_confirmed_refuses_the_next_live_run() {
    let site = site();
    site.arm();
    for (more, part) in [
        (["--threshold", "0.5"], "decision of the pipeline eurusd: decision.threshold is 0.5, and armed was 0.45"),
        (["--gtw-port", "6666"], "venue of the pipeline eurusd: venue.port is 6666, and armed was "),
        (["--state", "state2"], "nothing is armed"),
    ] {
        refused(&site, &more, &["this run was not armed", part]);
    }
    let mut env = program(super::node::SENTINEL, site.path());
    env.args(site.args_and(&["--live"])).env("SENTINEL_LOG_LEVEL", "warn");
    let output = env.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(
        said.contains("log of the node: level is warn, and armed was debug")
            && said.contains("SENTINEL_LOG_LEVEL=warn sentinel arm"),
        "{said}"
    );
    // Another configuration in the same state directory.
    let whole = armed_now(&site);
    let site = site.with("threshold = 0.45", "threshold = 0.46");
    refused(&site, &[], &["decision of the pipeline eurusd: decision.threshold is 0.46, and armed was 0.45"]);
    let site = site.with("threshold = 0.46", "threshold = 0.45");
    // Another model.
    let old = ["model.onnx", "model.json"].map(|name| fs::read(site.path().join(name)).unwrap());
    change_model(&site);
    refused(&site, &[], &["the model of the pipeline eurusd is model.onnx"]);
    for (name, bytes) in ["model.onnx", "model.json"].iter().zip(&old) {
        fs::write(site.path().join(name), bytes).unwrap();
    }
    // A record that somebody has changed, or that is cut off.
    for text in [
        whole.replace("\"venue.account\": \"test\"", "\"venue.account\": \"real\""),
        whole[..whole.len() / 2].to_owned(),
        String::new(),
    ] {
        fs::write(arm_file(&site), text).unwrap();
        refused(&site, &[], &["damaged or was changed by hand"]);
    }
    fs::write(arm_file(&site), &whole).unwrap();
    run(site.path(), ["check", "--config", "node.toml", "--live"])
        .expect(0)
        .says(&["configuration is valid", "armed as"]);
    fs::remove_file(arm_file(&site)).unwrap();
    run(site.path(), ["check", "--config", "node.toml", "--live"])
        .expect(0)
        .says(&["not armed: nothing is armed", "sentinel arm --config node.toml"]);
}

fn events(ended: &str, event: &str) -> usize {
    ended.lines().filter(|line| line.contains(&format!("\"event\":\"{event}\""))).count()
}

/// Replay at a speed that leaves time for it: bars per second.
fn while_it_trades(change: impl Fn(&Site), word: &str) {
    let port = free_port();
    let site = Site::new().with_decisions(900).through_gateway(port).with("speed = \"max\"", "speed = 60");
    let _gateway = gateway(site.path(), port, &[]);
    let mut node = site.start_live(&[]);
    node.wait_for("orders", |_| order_count(site.path()) >= 3);
    change(&site);
    node.wait_for("end of the arm", |node| node.said().1.contains("\"event\":\"arm_ended\""));
    node.wait_for("slots without an arm", |node| node.said().1.matches("\"reason\":\"not_armed\"").count() >= 3);
    let opened = opening_orders(site.path());
    node.wait_for("more of them", |node| node.said().1.matches("\"reason\":\"not_armed\"").count() >= 6);
    assert_eq!(opening_orders(site.path()), opened, "nothing new left");
    let err = node.said().1;
    assert_eq!(events(&err, "arm_ended"), 1, "one line, and not one per slot");
    let line = err.lines().find(|line| line.contains("arm_ended")).unwrap();
    assert!(line.contains(word) && line.contains("sentinel arm --config"), "{line}");
    // Armed again while it runs, for what runs now.
    let id = shown_identity(&site.arm_with(&[]).expect(1).says(&["A node runs there"]).out);
    site.arm_with(&["--yes", &id]).expect(0);
    node.wait_for("new orders", |_| opening_orders(site.path()) > opened);
    assert_eq!(events(&node.said().1, "armed_again"), 1);
    node.signal(rustix::process::Signal::TERM);
    node.end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert!(facts.intents.iter().all(|intent| !matches!(&*intent.state, "sent" | "unknown" | "held")));
}

fn opening_orders(dir: &Path) -> usize {
    let facts = Facts::with_ledger(&dir.join("state"), &ledger(dir));
    facts.intents.iter().filter(|intent| intent.mode == "live" && intent.role == "open").count()
}

#[test]
fn a_model_that_changes_while_the_node_trades_ends_the_arm() {
    while_it_trades(change_model, "the model of the pipeline eurusd is model.onnx");
}

#[test]
fn an_arm_that_is_taken_away_while_the_node_trades_has_ended() {
    while_it_trades(|site| fs::remove_file(arm_file(site)).unwrap(), "nothing is armed");
}

#[test]
fn an_arm_of_another_configuration_ends_that_of_the_running_node() {
    let change = |site: &Site| {
        let id = shown_identity(&site.arm_with(&["--threshold", "0.9"]).expect(1).out);
        let said = site.arm_with(&["--threshold", "0.9", "--yes", &id]).expect(0);
        said.says(&["A node runs there", "takes the place of that one"]);
    };
    while_it_trades(change, "decision of the pipeline eurusd: decision.threshold is 0.45, and armed was 0.9");
}

/// Neither by the node that runs, nor by one that starts after it: only another arm lets more leave.
#[test]
fn after_the_last_of_its_orders_an_arm_lets_nothing_more_open_and_a_restart_forgets_none() {
    let port = free_port();
    let site = Site::new().with_decisions(900).through_gateway(port).with("speed = \"max\"", "speed = 60");
    let _gateway = gateway(site.path(), port, &[]);
    let limits = ["--max-orders", "3", "--until", "8h"];
    let shown = site.arm_with(&limits).expect(1).says(&["until 8h after it is armed; at most 3 orders that open"]);
    let id = shown_identity(&shown.out);
    shown.complains(&[&format!("--until 8h --max-orders 3 --yes {id}")]);
    site.arm_with(&["--max-orders", "4", "--until", "8h", "--yes", &id]).expect(1);
    site.arm_with(&[&limits[..], &["--yes", &id]].concat()).expect(0);
    let check = || run(site.path(), ["check", "--config", "node.toml", "--live"]).expect(0);
    check().says(&[&format!("armed as {id}, until "), "; 3 of 3 orders left"]);
    let mut node = site.start_as_armed(&[]);
    node.wait_for("the end of the arm", |node| node.said().1.contains("\"event\":\"arm_ended\""));
    node.wait_for("slots without an arm", |node| node.said().1.matches("\"reason\":\"not_armed\"").count() >= 3);
    node.signal(rustix::process::Signal::KILL);
    let first = node.end().err;
    assert!(first.contains("\"arm_left\":\"until ") && first.contains("its 3 orders have left"), "{first}");
    assert_eq!(events(&first, "arm_ended"), 1);
    assert_eq!(opening_orders(site.path()), 3);
    check().says(&[&format!("armed as {id}, which has ended: its 3 orders have left"), "sentinel arm"]);
    // It starts all the same: what is open is closed.
    site.resume();
    let mut next = site.start_as_armed(&[]);
    next.wait_for("slots without an arm", |node| node.said().1.matches("\"reason\":\"not_armed\"").count() >= 3);
    let closed =
        Facts::with_ledger(&site.state(), &ledger(site.path())).intents.iter().filter(|one| one.role != "open").count();
    assert!(closed > 0, "what was open was closed");
    assert_eq!((opening_orders(site.path()), events(&next.said().1, "arm_ended")), (3, 1));
    site.arm_with(&[&limits[..], &["--yes", &id]].concat()).expect(0);
    next.wait_for("more orders", |_| opening_orders(site.path()) > 3);
    next.signal(rustix::process::Signal::TERM);
    next.end().expect(0);
    assert!(opening_orders(site.path()) <= 6);
}

#[test]
fn an_arm_cannot_end_before_it_begins() {
    let site = site();
    site.arm_with(&["--until", "2017-06-01T13:00:00Z"]).expect(64).complains(&["2017-06-01T13:00:00Z has passed"]);
    for wrong in [["--until", "soon"], ["--until", "0s"], ["--max-orders", "0"]] {
        site.arm_with(&wrong).expect(64);
    }
    assert!(!site.state().exists());
}

#[test]
fn an_arm_whose_time_is_over_ends_while_the_node_trades() {
    let change = |site: &Site| {
        let id = shown_identity(&site.arm_with(&["--until", "1s"]).expect(1).out);
        site.arm_with(&["--until", "1s", "--yes", &id]).expect(0);
    };
    while_it_trades(change, "its time is over: it was armed until 2");
}

#[test]
fn a_model_server_that_cannot_be_asked_is_not_armed() {
    let model = format!("[pipeline.model]\nkind = \"mlflow\"\nport = {}\n", free_port());
    let site = site();
    let (before, rest) = site.text.split_once("[pipeline.model]\n").unwrap();
    let rest = rest.split_once("\n\n").unwrap().1;
    let text = format!("{before}{model}\n{rest}");
    let mut site = site;
    site.text = text;
    site.arm_with(&[]).expect(69).complains(&[
        "the model of the pipeline eurusd cannot be asked",
        "start the model's server",
        "Nothing was armed",
    ]);
    assert!(!site.state().exists());
}

#[test]
fn where_nothing_goes_live_nothing_is_armed_and_nothing_needs_it() {
    let site = site().with("name = \"eurusd\"", "name = \"eurusd\"\nmode = \"dry_run\"");
    site.arm_with(&[]).expect(1).complains(&["there is nothing to arm"]);
    site.start_as_armed(&[]).end().expect(0);
}
