//! A state directory of schema version 2 whose node was killed in the middle of a slot goes on under this program.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use super::config::Site;
use super::facts::{Facts, Intent};
use super::gateway::{free_port, gateway, gateway_for, ledger};

/// 2017-01-12T07:00:02Z, the slot whose order is under way in the old journals.
const SLOT_MS: i64 = 1_484_204_402_000;

/// One pipeline of tests/data/state-v2, as it was configured then, with its part of the journal: every other one's open orders
/// would want their pipelines too.
fn of_version_2(pipeline: &str, port: u16) -> Site {
    let site = Site::new()
        .with("name = \"eurusd\"", &format!("name = \"{pipeline}\""))
        .with_bars(209)
        .through_gateway(port)
        .with("account = \"test\"", &format!("account = \"{pipeline}\""));
    fs::create_dir(site.state()).unwrap();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/state-v2/journal.db");
    fs::copy(old, site.state().join("journal.db")).unwrap();
    let journal = Connection::open(site.state().join("journal.db")).unwrap();
    let others = "DELETE FROM intent_events WHERE key IN (SELECT key FROM intents WHERE pipeline <> ?1)";
    for delete in [others, "DELETE FROM intents WHERE pipeline <> ?1", "DELETE FROM slots WHERE pipeline <> ?1"] {
        journal.execute(delete, [pipeline]).unwrap();
    }
    site
}

/// Runs on, and says which intents the slot has then.
fn run_on(site: &Site, pipeline: &str, port: u16) -> (Vec<Intent>, Facts) {
    let _gateway = gateway_for(site.path(), port, pipeline, "netting", &[]);
    site.start_live(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    (facts.intents.iter().filter(|intent| intent.slot_ms == SLOT_MS).cloned().collect(), facts)
}

#[test]
fn a_planned_order_of_version_2_is_sent_once_under_its_old_key() {
    let port = free_port();
    let (intents, facts) = run_on(&of_version_2("begun", port), "begun", port);
    let [intent] = &intents[..] else { panic!("one order of the slot: {intents:#?}") };
    assert_eq!((&*intent.key, &*intent.state), ("j5322yl4tsh5e7z6acdlwegnr3f54jrx", "acked"));
    assert_eq!(facts.orders.iter().filter(|order| order.key == intent.key).count(), 1);
}

#[test]
fn a_sent_order_of_version_2_is_not_sent_again_after_the_upgrade() {
    let port = free_port();
    let (intents, facts) = run_on(&of_version_2("cut", port), "cut", port);
    let [intent] = &intents[..] else { panic!("one order of the slot: {intents:#?}") };
    assert_eq!(&*intent.key, "svpp26wkw2qesi7q2d32oqqx3rur5ozy");
    assert!(["held", "absent"].contains(&&*intent.state), "{intent:?}");
    assert!(facts.orders.iter().all(|order| order.key != intent.key), "{:?}", facts.orders);
}

/// The slot's cycle wrote its order for a bar; now it would decide the slot, under another key.
#[test]
fn a_changed_decide_on_sends_no_second_order_for_a_slot() {
    let port = free_port();
    let site = of_version_2("cut", port).adding("[pipeline.decision]", "decide_on = \"slot\"");
    let (intents, facts) = run_on(&site, "cut", port);
    assert_eq!(intents.iter().map(|intent| &*intent.key).collect::<Vec<_>>(), ["svpp26wkw2qesi7q2d32oqqx3rur5ozy"]);
    assert!(facts.orders.iter().all(|order| order.key != intents[0].key), "{:?}", facts.orders);
}

#[test]
fn a_changed_decide_on_does_not_retry_a_refused_order() {
    let port = free_port();
    let site = Site::new().with_bars(209).through_gateway(port);
    let _gateway = gateway(site.path(), port, &["refuse=10018@1"]);
    assert!(site.start_live(&["--die-at", "after-outcome:1"]).end().was_killed());
    let site = site.adding("[pipeline.decision]", "decide_on = \"slot\"");
    site.start_live(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let of_slot: Vec<&Intent> = facts.intents.iter().filter(|intent| intent.slot_ms == SLOT_MS).collect();
    assert_eq!(of_slot.iter().map(|intent| &*intent.state).collect::<Vec<_>>(), ["rejected"], "{of_slot:#?}");
    let slot = facts.slots.iter().find(|slot| slot.at_ms == SLOT_MS).unwrap();
    assert_eq!((&*slot.outcome, &*slot.reason), ("acted", "order_rejected"));
    assert!(facts.intents.iter().any(|intent| intent.state == "acked"), "later slots trade: {:#?}", facts.intents);
}

#[test]
fn each_start_is_kept_with_the_digest_of_what_it_was_started_with() {
    let site = Site::new().with_decisions(4);
    site.start(&["--once"]).end().expect(0);
    site.start(&["--once", "--threshold", "0.7"]).end().expect(0);
    let journal = Connection::open(site.state().join("journal.db")).unwrap();
    let starts =
        "SELECT s.slot_ms, s.start, t.config_digest FROM slots s JOIN starts t ON t.number = s.start ORDER BY 1";
    let mut query = journal.prepare(starts).unwrap();
    let rows = query.query_map([], |row| Ok((row.get::<_, i64>(1)?, row.get::<_, String>(2)?))).unwrap();
    let rows: Vec<(i64, String)> = rows.map(Result::unwrap).collect();
    let [(1, first), (2, second)] = &rows[..] else { panic!("{rows:?}") };
    assert_ne!(first, second);
    let log = fs::read_to_string(site.state().join("logs/sentinel.log")).unwrap();
    for digest in [first, second] {
        assert!(log.lines().any(|line| line.contains("start_kept") && line.contains(&**digest)), "{digest} in:\n{log}");
    }
}
