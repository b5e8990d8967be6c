//! Backups of real nodes in their worst moments, and the nodes that are restored from them. The gateway's own ledger says whether
//! anything was sent twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway, ledger, order_count, requests_for_orders, shown_identity};
use super::gateway_campaign::DIALECTS;
use super::node::{Ended, Node, run};

/// Takes a backup of `state` and gives it this name.
fn backup(dir: &Path, name: &str) -> Ended {
    run(dir, ["backup", "--state", "state", "--to", name]).expect(0).says(&["Checked:"])
}

fn restore(dir: &Path, name: &str, state: &str) -> Ended {
    run(dir, ["restore", name, "--state", state]).expect(0).says(&["Halted:", "sentinel resume halt-"])
}

/// The proof of what was restored, against the paper book that was restored with it.
#[track_caller]
fn prove(dir: &Path, state: &str) {
    run(dir, ["prove", "--state", state]).expect(0).says(&["their checksums match: holds"]);
}

/// Puts the restored state where the node looks for it, and returns where the former one is.
fn change_places(site: &Site) -> PathBuf {
    let former = site.path().join("former");
    fs::rename(site.state(), &former).unwrap();
    fs::rename(site.path().join("restored"), site.state()).unwrap();
    former
}

/// Backups while parts of a node panic, hang and are killed: what was restored from each is judged.
fn backups_in_chaos(job: &str) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let args = ["demo", "--chaos", "--job", job, "--speed", "max", "--seed", "3", "--bars", "1500"];
    let mut node = Node::start(dir, args.iter().chain(&["--state", "state"]));
    let state = dir.join("state");
    node.wait_for("rows", |_| Facts::rows_so_far(&state) > 100);
    let mut names = Vec::new();
    // Several, because a copy of two files that do not agree shows only now and then.
    while names.len() < 5 && node.ended_within(Duration::ZERO).is_none() {
        let name = format!("{}.tar.gz", names.len());
        backup(dir, &name);
        names.push(name);
    }
    node.end().expect(0);
    assert!(names.len() > 1, "the demo was over too soon: {names:?}");
    for (number, name) in names.iter().enumerate() {
        let restored = format!("restored-{number}");
        restore(dir, name, &restored);
        prove(dir, &restored);
        let rows = Facts::slots(&dir.join(&restored)).len();
        assert!(rows > 100 && rows <= Facts::slots(&state).len(), "{rows} rows");
    }
}

#[test]
fn a_backup_taken_in_the_chaos_demo_restores_to_a_state_that_the_proof_accepts() {
    backups_in_chaos("order");
}

#[test]
fn a_backup_taken_in_a_chaos_of_forecasts_agrees_with_the_paper_book_in_it() {
    backups_in_chaos("forecast");
}

#[test]
fn a_node_restored_from_a_backup_sends_nothing_twice_whatever_the_other_one_sent_since() {
    for dialect in &DIALECTS {
        let port = free_port();
        let site = dialect.site(0, port);
        let _gateway = gateway(site.path(), port, &[]);
        // An order that the copy has as planned, and that the other node sends later.
        let died = site.start_live(&["--die-at", "after-plan:3"]).end();
        assert!(died.was_killed(), "{died:#?}");
        backup(site.path(), "one.tar.gz").says(&["with 1 open intents"]);
        site.start_live(&[]).end().expect(0);
        let (sent, count) = (requests_for_orders(site.path()), order_count(site.path()));
        assert!(count > 3 && sent.values().all(|times| *times == 1), "{}: {count} orders, {sent:?}", dialect.name);

        let said = restore(site.path(), "one.tar.gz", "restored");
        said.says(&["Open:", "unknown"]);
        prove(site.path(), "restored");
        let _former = change_places(&site);
        // The arm of before does not count.
        site.resume();
        site.start_as_armed(&[]).end().expect(78).complains(&["sentinel arm"]);
        let shown = site.arm_with(&[]).expect(1);
        site.arm_with(&["--yes", &shown_identity(&shown.out)]).expect(0);
        let ended = site.start_as_armed(&[]).end().expect(0);
        assert!(ended.err.contains("halt_stands"), "{}", ended.err);
        let after = (requests_for_orders(site.path()), order_count(site.path()));
        assert_eq!(after, (sent, count), "{}: a restored node has sent something", dialect.name);
        let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
        let reasons: BTreeSet<&str> = facts.slots.iter().rev().take(50).map(|slot| &*slot.reason).collect();
        // Where positions settle nothing it is held, and then that keeps its symbol still.
        let kept_here = ["halted", "intent_open"];
        assert!(kept_here.iter().any(|reason| reasons.contains(reason)), "{}: {reasons:?}", dialect.name);
        // What was planned was asked for at the gateway, and is there once.
        let asked = facts.intents.iter().find(|intent| intent.history.starts_with("planned send lost_track")).unwrap();
        let is_there = facts.orders.iter().filter(|order| order.key == asked.key).count();
        let is_open = ["unknown", "held"].contains(&&*asked.state);
        assert!(is_there == 1 && (asked.state == "acked" || is_open), "{}: {asked:?}, {is_there}", dialect.name);
    }
}

#[test]
fn a_restored_directory_is_refused_when_its_files_were_put_there_by_hand() {
    let site = Site::new().with_bars(210);
    run(site.path(), site.args()).expect(0);
    backup(site.path(), "one.tar.gz");
    fs::remove_dir_all(site.state()).unwrap();
    fs::create_dir(site.state()).unwrap();
    let unpacked = std::process::Command::new("tar").args(["xzf", "../one.tar.gz"]).current_dir(site.state()).status();
    assert!(unpacked.unwrap().success());
    run(site.path(), site.args()).expect(78).complains(&["and", "were made", "--accept-lost-journal"]);
}

/// The archive with one bit turned, at the first byte from this one on where that changes what is unpacked. Within a run of equal
/// bytes it may not: there another distance copies the same.
fn damaged(whole: &[u8], from: usize) -> Vec<u8> {
    let unpacked = |archive: &[u8]| {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(archive).read_to_end(&mut bytes).ok().map(|_| bytes)
    };
    let sound = unpacked(whole);
    assert!(sound.is_some());
    let turned = |at: usize| {
        let mut archive = whole.to_vec();
        archive[at] ^= 1;
        archive
    };
    (from..whole.len()).map(turned).find(|archive| unpacked(archive) != sound).unwrap()
}

#[test]
fn a_backup_says_what_is_wrong_and_leaves_nothing_behind() {
    let site = Site::new().with_bars(210);
    let backup = |to: &str| run(site.path(), ["backup", "--state", "state", "--to", to]);
    backup("one.tar.gz").expect(78).complains(&["there is no journal"]);
    run(site.path(), site.args()).expect(0);
    for inside in ["state", "state/one.tar.gz"] {
        backup(inside).expect(1).complains(&["inside of the state directory"]);
    }
    backup("one.tar.gz").expect(0);
    backup("one.tar.gz").expect(1).complains(&["is there already"]);
    backup("nowhere/one.tar.gz").expect(74).complains(&["nowhere"]);
    fs::create_dir(site.path().join("many")).unwrap();
    backup("many").expect(0);
    let files: Vec<_> =
        fs::read_dir(site.path().join("many")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(files.len() == 1 && files[0].to_str().unwrap().starts_with("sentinel-backup-"), "{files:?}");

    restore(site.path(), "one.tar.gz", "restored");
    run(site.path(), ["restore", "one.tar.gz", "--state", "restored"]).expect(1).complains(&["is not empty"]);
    let whole = fs::read(site.path().join("one.tar.gz")).unwrap();
    for from in [whole.len() / 3, whole.len() / 2, whole.len() - 9] {
        fs::write(site.path().join("damaged.tar.gz"), damaged(&whole, from)).unwrap();
        run(site.path(), ["restore", "damaged.tar.gz", "--state", "other"]).expect(78).complains(&["damaged"]);
        assert!(!site.path().join("other").exists(), "from byte {from}");
    }
    let is_partial = |name: &str| name.contains("partial");
    let names = fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| is_partial(name)).count(), 0);
}

#[test]
fn a_node_takes_its_daily_backup_beside_its_work_and_keeps_the_newest() {
    let mut site = Site::new().with("speed = \"max\"", "speed = 100").with("level = \"warn\" ", "level = \"info\" ");
    site.text.push_str("\n[backup]\ndaily_at = \"03:30\"\ndir = \"kept\"\nkeep = 2\n");
    // Two backups of this journal, long ago, and one of another.
    run(site.path(), site.args_and(&["--once"]));
    backup(site.path(), "now.tar.gz");
    let kept = site.path().join("kept");
    fs::create_dir(&kept).unwrap();
    let id = journal_id(&site);
    for name in
        [format!("{id}-20200101T033000Z"), format!("{id}-20200102T033000Z"), "other-20200101T033000Z".to_owned()]
    {
        fs::copy(site.path().join("now.tar.gz"), kept.join(format!("sentinel-backup-{name}.tar.gz"))).unwrap();
    }
    let mut node = site.start(&[]);
    node.wait_for("backup", |node| node.said().1.contains("event=backup_taken"));
    let names = || fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    node.wait_for("clean-up", |_| !names().any(|name| name.contains("20200101") && name.contains(&id)));
    node.signal(rustix::process::Signal::TERM);
    node.end().expect(0);
    let names: BTreeSet<String> = names().collect();
    assert_eq!(names.len(), 3, "the newest two and the one of another journal: {names:?}");
    assert!(names.iter().any(|name| name.contains("other")) && names.iter().any(|name| name.contains("20200102")));
    let newest = names.iter().filter(|name| name.contains(&id)).max().unwrap();
    restore(site.path(), &format!("kept/{newest}"), "restored");
    prove(site.path(), "restored");
}

fn journal_id(site: &Site) -> String {
    let journal = rusqlite::Connection::open(site.state().join("journal.db")).unwrap();
    journal.query_row("SELECT value FROM meta WHERE name = 'journal_id'", [], |row| row.get(0)).unwrap()
}
