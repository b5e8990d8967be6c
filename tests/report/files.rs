//! What is written where, and what is refused.

use std::fs;

use crate::config::Site;
use crate::node::run;
use crate::read::{says, table, text_of};

/// A dry run of 60 slots.
fn site() -> Site {
    let site = Site::new().with_bars(260);
    run(site.path(), site.args()).expect(0);
    site
}

fn names(site: &Site) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    // What was printed is kept beside the rest.
    names.retain(|name| !name.ends_with(".out") && !name.ends_with(".err"));
    names.sort();
    names
}

#[test]
fn a_directory_with_anything_in_it_is_refused_and_stays_as_it_is() {
    let site = site();
    let report = |dir: &str| run(site.path(), ["report", "--state", "state", "--csv", dir]);
    fs::create_dir(site.path().join("kept")).unwrap();
    fs::write(site.path().join("kept/notes.txt"), "mine").unwrap();
    let before = names(&site);
    report("kept").expect(64).complains(&["kept is not empty, so no table was written", "name a new directory"]);
    report("model.json").expect(74).complains(&["cannot be written to model.json"]);
    report("no/where").expect(74).complains(&["no/where", "is the directory that it goes into there"]);
    assert_eq!((names(&site), fs::read_dir(site.path().join("kept")).unwrap().count()), (before, 1));
    fs::create_dir(site.path().join("empty")).unwrap();
    report("empty/").expect(0);
    assert_eq!(fs::read_dir(site.path().join("empty")).unwrap().count(), 11);
    report("empty").expect(64);
}

#[test]
fn a_journal_that_cannot_be_read_leaves_no_part_of_a_report() {
    let site = site();
    let before = names(&site);
    let journal = rusqlite::Connection::open(site.state().join("journal.db")).unwrap();
    let changed =
        journal.execute("UPDATE slots SET reason = 'nonsense' WHERE slot_ms = (SELECT max(slot_ms) FROM slots)", []);
    assert_eq!(changed.unwrap(), 1);
    drop(journal);
    let ended = run(site.path(), ["report", "--state", "state", "--csv", "tables", "--html", "report.html"]);
    assert_ne!(ended.status.code(), Some(0), "{ended:?}");
    ended.complains(&["nonsense"]);
    assert_eq!(names(&site), before, "nothing was left");
}

#[test]
fn a_range_holds_its_first_slot_and_not_its_last_in_every_form() {
    let site = site();
    let all: Vec<String> = {
        run(site.path(), ["report", "--state", "state", "--csv", "all"]).expect(0);
        table(&site.path().join("all"), "slots").into_iter().map(|row| row["slot"].clone()).collect()
    };
    let (from, to) = (all[10].as_str(), all[25].as_str());
    let range = ["--state", "state", "--from", from, "--to", to];
    let report = |more: &[&str]| run(site.path(), ["report"].iter().chain(&range).chain(more));
    report(&["--csv", "part", "--html", "part.html"]).expect(0);
    let part: Vec<String> =
        table(&site.path().join("part"), "slots").into_iter().map(|row| row["slot"].clone()).collect();
    assert_eq!(part, all[10..25]);
    says(&text_of(&site.path().join("part.html")), &["15 slots:", &format!("from {from} to before {to}")]);
    report(&[]).expect(0).says(&["Slots:     15 =", &format!("Range:     from {from} to before {to}")]);
    let json: serde_json::Value = serde_json::from_str(&report(&["--format", "json"]).expect(0).out).unwrap();
    assert_eq!(
        (&json["pipelines"][0]["slots"], json["from"].as_str(), json["to"].as_str()),
        (&15.into(), Some(from), Some(to))
    );
    let turned = run(site.path(), ["report", "--state", "state", "--from", to, "--to", from]).expect(64);
    turned.complains(&["is not before --to"]);
    let empty = ["report", "--state", "state", "--from", "2030-01-01T00:00:00Z", "--html", "none.html"];
    run(site.path(), empty).expect(0);
    says(&text_of(&site.path().join("none.html")), &["No slot has ended in this range.", "no slot was missed"]);
}

#[test]
fn a_document_replaces_the_older_one_and_is_the_same_for_the_same_rows() {
    let site = site();
    let write = || {
        run(site.path(), ["report", "--state", "state", "--html", "report.html"]).expect(0);
        let html = fs::read_to_string(site.path().join("report.html")).unwrap();
        html.split_once("made at ").unwrap().1.split_once("</span>").unwrap().1.to_owned()
    };
    fs::write(site.path().join("report.html"), "old").unwrap();
    assert_eq!(write(), write());
}
