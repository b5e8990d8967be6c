//! What the node makes of a gateway that refuses, fills in part, only places, or is not there; and how the operator settles what
//! asking cannot.

use super::config::{Site, demo_span};
use super::evidence::faults;
use super::facts::{Facts, Intent};
use super::gateway::{accept_live, free_port, gateway, ledger};
use super::node::run;

const BARS: usize = 250;

fn site(port: u16) -> Site {
    Site::new().with_decisions(BARS).through_gateway(port)
}

/// A whole run against a gateway in these faults.
fn run_with(faults: &[&str]) -> (Site, Facts) {
    let port = free_port();
    let site = site(port);
    let _gateway = gateway(site.path(), port, faults);
    site.start_live(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    (site, facts)
}

fn states(facts: &Facts) -> Vec<&str> {
    facts.intents.iter().map(|intent| &*intent.state).collect()
}

fn first(facts: &Facts) -> &Intent {
    facts.intents.iter().min_by_key(|intent| intent.slot_ms).unwrap()
}

#[test]
fn a_whole_run_through_the_gateway_agrees_with_its_ledger() {
    let port = free_port();
    let site = site(port);
    let _gateway = gateway(site.path(), port, &[]);
    site.start_live(&[]).end().expect(0);
    let (facts, books) = accept_live(&site, demo_span(BARS));
    assert!(books.fills >= 6 && books.held + books.open + books.absent == 0, "{books:?}");
    assert!(states(&facts).iter().all(|state| *state == "acked"));
}

#[test]
fn a_refusal_ends_the_order_and_the_next_signal_may_order_again() {
    let (_, facts) = run_with(&["refuse=10018@1"]);
    assert_eq!(first(&facts).state, "rejected");
    assert!(states(&facts).contains(&"acked"), "{:?}", states(&facts));
    let slot = facts.slots.iter().find(|slot| slot.reason == "order_rejected").unwrap();
    assert!(slot.detail.contains("market closed") && slot.detail.contains("10018"), "{slot:?}");
}

#[test]
fn three_lasting_refusals_in_a_row_stop_new_exposure() {
    let (_, facts) = run_with(&["refuse=10019"]);
    assert_eq!(states(&facts), ["rejected"; 3]);
    assert!(facts.slots.iter().filter(|slot| slot.reason == "reducing").count() > 0);
    assert!(facts.orders.is_empty());
}

#[test]
fn a_partial_fill_is_acked_with_what_was_filled_and_closed_with_no_more() {
    let (site, _) = run_with(&["partial@1"]);
    let (facts, _) = accept_live(&site, demo_span(BARS));
    assert!(states(&facts).iter().all(|state| *state == "acked"), "{:?}", states(&facts));
    let lots = |intent: &Intent| intent.volume.parse::<rust_decimal::Decimal>().unwrap();
    let close = facts.intents.iter().find(|intent| intent.role.starts_with("close")).unwrap();
    assert_eq!((lots(first(&facts)).to_string(), lots(close).normalize().to_string()), ("0.10".into(), "0.05".into()));
}

/// The paper book of a dry run knows nothing of orders that left.
#[test]
fn a_dry_run_on_the_same_state_ends_no_live_order() {
    let port = free_port();
    // Few bars: as long as the gateway is away, each one waits for it.
    let site = Site::new().with_decisions(30).through_gateway(port);
    let mut dying = gateway(site.path(), port, &["die@2"]);
    site.start_live(&[]).end().expect(0);
    dying.ended_within(super::node::LONG).unwrap();
    let before = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert_eq!(states(&before).iter().filter(|state| **state == "unknown").count(), 1, "{:?}", states(&before));

    let site = site.with("bars = 229", "bars = 289");
    site.start(&[]).end().expect(0);
    let after = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let live = |facts: &Facts| facts.intents.iter().filter(|i| i.mode == "live").cloned().collect::<Vec<_>>();
    assert_eq!(live(&after), live(&before));
    assert!(after.intents.iter().any(|intent| intent.mode == "dry_run" && intent.state == "acked"));

    let _gateway = gateway(site.path(), port, &[]);
    let site = site.with("bars = 289", "bars = 349");
    site.start_live(&[]).end().expect(0);
    let last = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert_eq!(live(&last).iter().filter(|intent| intent.state == "held").count(), 1);
}

#[test]
fn an_order_that_is_only_placed_is_held() {
    let (site, facts) = run_with(&["placed@1"]);
    assert_eq!(states(&facts), ["held"]);
    let ended = run(site.path(), ["journal", "intents", "--state", "state"]).expect(0);
    assert!(ended.out.contains("held"), "{}", ended.out);
}

/// The order left in time and waits where the node cannot take it back. It is found by its id when the gateway hears again.
#[test]
fn an_order_that_a_deaf_gateway_fills_late_is_found_and_not_sent_again() {
    let port = free_port();
    let site = site(port).with("speed = \"max\"", "speed = 60");
    let _gateway = gateway(site.path(), port, &["deaf=2s@2"]);
    site.start_live(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let faults = faults(&facts, demo_span(BARS));
    assert!(faults.is_empty(), "{faults:#?}");
    let late: Vec<&Intent> = facts.intents.iter().filter(|intent| intent.history.contains("lost_track")).collect();
    assert!(!late.is_empty() && late.iter().all(|intent| intent.state == "acked"), "{late:?}");
}

#[test]
fn without_a_gateway_no_order_leaves_and_none_arrives_when_one_comes_up_later() {
    let port = free_port();
    let site = Site::new().with_decisions(40).through_gateway(port).with("execute = \"500ms\"", "execute = \"250ms\"");
    site.start_live(&[]).end().expect(0);
    let _gateway = gateway(site.path(), port, &[]);
    let (facts, books) = accept_live(&site, demo_span(40));
    assert!(books.absent > 0 && books.fills == 0, "{books:?}");
    assert!(facts.slots.iter().any(|slot| slot.reason == "order_never_left"));
}

#[test]
fn a_held_order_blocks_its_symbol_until_an_operator_settles_it() {
    let port = free_port();
    let site = site(port);
    let mut dying = gateway(site.path(), port, &["die@1"]);
    // It forgets its ids, so asking proves nothing.
    let mut node = site.start_live(&["--die-at", "after-outcome"]);
    dying.ended_within(super::node::LONG).unwrap();
    assert!(node.ended_within(super::node::LONG).unwrap().was_killed());
    let _gateway = gateway(site.path(), port, &[]);
    site.start_live(&[]).end().expect(0);
    let (facts, _) = accept_live(&site, demo_span(BARS));
    assert_eq!(states(&facts), ["held"]);
    assert!(facts.slots.iter().any(|slot| slot.reason == "intent_open"));

    let held = first(&facts);
    let settle = format!("sentinel settle {} --absent", held.key);
    run(site.path(), ["report", "--state", "state"]).expect(0).says(&["1 held", "HELD:", &settle]);
    run(site.path(), ["journal", "intents", "--open", "--state", "state"]).expect(0).says(&[&held.key]);
    let (key, ticket) = (&held.key[..12], facts.orders[0].ticket.to_string());
    let settle = |more: &[&str]| run(site.path(), [&["settle", key, "--state", "state"], more].concat());
    settle(&["--evidence", "seen"]).expect(64).complains(&["--ticket", "--absent"]);
    settle(&["--absent", "--evidence", " "]).expect(64).complains(&["say who looked"]);
    settle(&["--ticket", &ticket, "--volume", "5", "--evidence", "seen"]).expect(64).complains(&["5 lots"]);
    settle(&["--ticket", &ticket, "--volume", "0.055", "--evidence", "seen"]).expect(64).complains(&["steps of 0.01"]);
    settle(&["--ticket", "0", "--evidence", "seen"]).expect(64).complains(&["--ticket"]);
    settle(&["--ticket", &ticket, "--evidence", "seen in the terminal"]).expect(0).says(&["acked", "start the node"]);
    settle(&["--absent", "--evidence", "seen"]).expect(1).complains(&["is acked"]);

    // The position that the person reported is there for the rest of the year.
    let site = site.with(&format!("bars = {}", BARS + 199), &format!("bars = {}", BARS + 299));
    site.start_live(&[]).end().expect(0);
    let (facts, books) = accept_live(&site, demo_span(BARS + 100));
    assert!(books.fills > 1 && books.held == 0, "{books:?}");
    let close = facts.intents.iter().find(|intent| intent.role.starts_with("close")).unwrap();
    assert_eq!(close.role, format!("close/{ticket}"));
}

/// A peer that lags by one, from the second order on, for four orders. Nine such answers were receipts once.
#[test]
fn a_reply_for_another_order_confirms_nothing_and_the_gateway_is_asked() {
    for fault in ["previous-reply@2-5", "reused-ticket@2-5"] {
        let port = free_port();
        let site = site(port);
        let _gateway = gateway(site.path(), port, &[fault]);
        let ended = site.start_live(&[]).end().expect(0);
        let (facts, books) = accept_live(&site, demo_span(BARS));
        assert!(books.fills >= 6 && books.held + books.open + books.absent == 0, "{fault}: {books:?}");
        let asked = facts.intents.iter().filter(|intent| intent.history.contains("lost_track found")).count();
        assert!(asked >= 3, "{fault}: {:?}", facts.intents);
        assert_eq!(ended.err.matches("receipt_disowned").count(), asked, "{fault}");
    }
}

/// The gateway refuses the first order, fills the second and answers it with the refusal of the first.
#[test]
fn a_refusal_that_belongs_to_another_order_loses_no_order() {
    let port = free_port();
    let site = site(port);
    let _gateway = gateway(site.path(), port, &["refuse=10018@1", "previous-reply@2"]);
    site.start_live(&[]).end().expect(0);
    let (facts, books) = accept_live(&site, demo_span(BARS));
    assert_eq!((first(&facts).state.as_str(), books.held), ("rejected", 0));
    assert!(facts.intents.iter().any(|intent| intent.history.contains("lost_track found")), "{:?}", facts.intents);
}

#[test]
fn an_order_cannot_be_settled_with_the_ticket_of_another_one() {
    let port = free_port();
    let site = site(port);
    let mut dying = gateway(site.path(), port, &["die@3"]);
    let mut node = site.start_live(&["--die-at", "after-outcome:3"]);
    dying.ended_within(super::node::LONG).unwrap();
    assert!(node.ended_within(super::node::LONG).unwrap().was_killed());
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let open = facts.intents.iter().find(|intent| intent.state == "unknown").unwrap();
    let taken = facts.intents.iter().find(|intent| intent.state == "acked").unwrap();
    let ticket = taken.ticket.clone().unwrap();
    let settle = |ticket: &str| {
        run(site.path(), ["settle", &open.key, "--state", "state", "--ticket", ticket, "--evidence", "seen"])
    };
    settle(&ticket).expect(1).complains(&[&ticket, &taken.key, "one ticket confirms one order"]);
    let after = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert_eq!(after.intents, facts.intents, "a refused word leaves no trace");
    settle(&facts.orders.last().unwrap().ticket.to_string()).expect(0);
}

/// After a rename no pipeline would ask about the order any more, and its symbol would be traded on over it.
#[test]
fn an_open_order_of_a_renamed_pipeline_stops_the_start_and_is_named() {
    let port = free_port();
    let site = site(port);
    let mut dying = gateway(site.path(), port, &["die@1"]);
    let mut node = site.start_live(&["--die-at", "after-outcome"]);
    dying.ended_within(super::node::LONG).unwrap();
    assert!(node.ended_within(super::node::LONG).unwrap().was_killed());
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert_eq!(states(&facts), ["unknown"]);
    let key = first(&facts).key.clone();
    let _gateway = gateway(site.path(), port, &[]);

    let site = site.with("account = \"test\"", "account = \"renamed\"");
    site.start_live(&[]).end().expect(78).complains(&[
        &key,
        "account 'test'",
        "restore the former name",
        "sentinel settle",
    ]);
    let site = site.with("account = \"renamed\"", "account = \"test\"").with("name = \"eurusd\"", "name = \"other\"");
    site.start_live(&[]).end().expect(78).complains(&[&key, "pipeline 'eurusd'"]);
    // A dry run sends nothing and forgets nothing: it may run beside it.
    site.start(&[]).end().expect(0);

    let site = site.with("name = \"other\"", "name = \"eurusd\"");
    site.start_live(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert_eq!(facts.intents.iter().find(|intent| intent.key == key).unwrap().state, "held");
    let site = site.with("name = \"eurusd\"", "name = \"other\"");
    site.start_live(&[]).end().expect(78).complains(&[&key, "held"]);
    run(site.path(), ["settle", &key, "--absent", "--evidence", "seen in the terminal", "--state", "state"]).expect(0);
    site.start_live(&[]).end().expect(0);
}

/// A stopped process takes the order into its socket and fills it when it goes on. Nothing can prevent that; it is logged.
#[test]
fn a_late_confirmation_of_a_frozen_gateway_is_logged_as_an_error() {
    let port = free_port();
    let site = site(port).with("speed = \"max\"", "speed = 60");
    let _gateway = gateway(site.path(), port, &["frozen=2s@2"]);
    let ended = site.start_live(&[]).end().expect(0);
    let (facts, books) = accept_live(&site, demo_span(BARS));
    assert_eq!((books.held, books.open), (0, 0), "{books:?}");
    let late: Vec<&Intent> =
        facts.intents.iter().filter(|intent| intent.history.contains("lost_track found")).collect();
    assert!(!late.is_empty(), "{:?}", facts.intents);
    for intent in late {
        let is_about = |line: &&str| line.contains("order_confirmed_late") && line.contains(&intent.key);
        let line = ended.err.lines().find(is_about).unwrap_or_else(|| panic!("{intent:?} is not logged"));
        assert!(line.contains("ERROR"), "{line}");
    }
    let frozen = facts.orders.iter().find(|order| order.ticket == 1_000_002).unwrap();
    let slot = facts.intents.iter().find(|intent| intent.key == frozen.key).unwrap().slot_ms;
    assert!(frozen.at_ms - slot >= 2_000, "filled {} ms after its slot", frozen.at_ms - slot);
}
