//! A whole node through a gateway that speaks `command`, and through one that plays the traps of the public one.

use super::config::Site;
use super::facts::{Facts, Intent};
use super::gateway::{free_port, gateway, ledger};
use super::node::run;

const BARS: usize = 120;

/// A node on a gateway with these faults and traps; `more` are lines of its venue.
fn run_with(faults: &[&str], more: &str) -> (Site, Facts) {
    let (site, facts, _) = logged_run_with(faults, more);
    (site, facts)
}

/// The same, with the node's log.
fn logged_run_with(faults: &[&str], more: &str) -> (Site, Facts, String) {
    let port = free_port();
    let site = site(port, more);
    let _gateway = gateway(site.path(), port, faults);
    let log = site.start_live(&[]).end().expect(0).err;
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    (site, facts, log)
}

fn site(port: u16, more: &str) -> Site {
    let venue = format!("replay = true\ndialect = \"command\"\n{more}");
    // Four questions to a gateway belong to one order here, and a busy machine takes its time for each.
    Site::new()
        .with_decisions(BARS)
        .through_gateway(port)
        .with("replay = true\n", &venue)
        .with("execute = \"500ms\"", "execute = \"2s\"")
        .with("cycle = \"3500ms\"", "cycle = \"5s\"")
}

const DELTA: &str = "least_evidence = \"position delta\"\n";

fn first(facts: &Facts) -> &Intent {
    facts.intents.iter().min_by_key(|intent| intent.slot_ms).unwrap()
}

fn ended(facts: &Facts, reason: &str) -> usize {
    facts.slots.iter().filter(|slot| slot.reason == reason).count()
}

/// Each confirmed order is one in the ledger, and there is no other.
fn assert_one_to_one(facts: &Facts) {
    let mut confirmed: Vec<String> = facts.intents.iter().filter_map(|intent| intent.ticket.clone()).collect();
    let mut traded: Vec<String> = facts.orders.iter().map(|order| order.ticket.to_string()).collect();
    confirmed.sort();
    traded.sort();
    assert_eq!(confirmed, traded);
}

#[test]
fn a_whole_run_in_the_dialect_command_opens_and_closes_by_ticket() {
    let (site, facts) = run_with(&[], "");
    assert!(facts.intents.len() >= 4, "{:?}", facts.intents);
    assert!(facts.intents.iter().all(|intent| intent.state == "acked" && intent.history == "planned send_after acked"));
    assert!(facts.intents.iter().any(|intent| intent.role.starts_with("close/")));
    assert_one_to_one(&facts);
    run(site.path(), ["prove", "--state", "state", "--ledger", "gateway.db"]).expect(0);
}

/// What is open is settled first, over the new connection.
#[test]
fn after_a_gateway_was_away_its_order_is_settled_before_the_next_decision() {
    let (site, facts) = run_with(&["away=2500ms@1"], DELTA);
    assert_eq!(first(&facts).history, "planned send_after lost_track found");
    assert_one_to_one(&facts);
    run(site.path(), ["prove", "--state", "state", "--ledger", "gateway.db"]).expect(0);
}

#[test]
fn a_lost_order_is_found_by_its_position_where_the_operator_says_so() {
    let (site, facts) = run_with(&["lost-reply@1"], DELTA);
    assert_eq!(first(&facts).history, "planned send_after lost_track found");
    assert!(facts.intents.len() > 1 && facts.intents.iter().all(|intent| intent.state == "acked"));
    assert_one_to_one(&facts);
    let shown = run(site.path(), ["journal", "intents", "--format", "json", "--state", "state"]).expect(0);
    assert!(shown.out.contains(r#""evidence":"position delta""#), "{}", shown.out);
}

#[test]
fn a_lost_order_is_held_where_another_hand_could_have_traded() {
    let (site, facts, log) = logged_run_with(&["lost-reply@1"], "");
    assert_eq!((facts.intents.len(), facts.orders.len()), (1, 1));
    assert_eq!(first(&facts).state, "held");
    let shown = run(site.path(), ["journal", "intents", "--open", "--state", "state"]).expect(0);
    assert!(shown.out.contains("held"), "{}", shown.out);
    let named = log.matches("\"event\":\"position_unexplained\"").count();
    assert_eq!(named, 1, "its position is named once, whoever it belongs to");
    assert!(ended(&facts, "intent_open") > 0);
}

#[test]
fn a_refusal_that_the_gateway_reports_as_a_success_is_no_fill() {
    let (_, facts) = run_with(&["trap hides-refusals", "refuse=10019@1"], DELTA);
    assert_eq!((facts.intents.len(), facts.orders.len()), (1, 0));
    assert_eq!(first(&facts).ticket, None);
    assert!(["unknown", "held"].contains(&first(&facts).state.as_str()), "{:?}", first(&facts));
}

#[test]
fn a_gateway_that_lost_its_terminal_gets_no_order() {
    let port = free_port();
    let site = site(port, DELTA);
    {
        let _gateway = gateway(site.path(), port, &[]);
        site.arm();
    }
    let _blind = gateway(site.path(), port, &["trap blind"]);
    site.start_as_armed(&[]).end().expect(0);
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    assert!(facts.intents.is_empty() && facts.orders.is_empty(), "{:?}", facts.intents);
    assert!(ended(&facts, "venue_unavailable") > 0);
}

#[test]
fn what_cannot_be_closed_is_refused_and_nothing_is_opened_beside_it() {
    let (_, facts) = run_with(&["trap cannot-close"], "");
    let closes: Vec<&Intent> = facts.intents.iter().filter(|intent| intent.role.starts_with("close/")).collect();
    assert!(!closes.is_empty() && closes.iter().all(|intent| intent.state == "rejected"), "{closes:?}");
    assert_eq!(facts.orders.len(), 1, "the position stays");
}

#[test]
fn two_orders_with_the_ticket_of_a_stub_never_both_confirm() {
    let (site, facts) = run_with(&["trap stub"], "");
    let confirmed = facts.intents.iter().filter(|intent| intent.ticket.is_some()).count();
    assert!(confirmed <= 1 && facts.orders.is_empty(), "{:?}", facts.intents);
    assert!(facts.intents.iter().any(|intent| intent.state != "acked"), "{:?}", facts.intents);
    let status = run(site.path(), ["status", "--state", "state"]).expect(0);
    status.says(&["halt-1 halted since", "EURUSD on account test", "of two orders that they have the same ticket"]);
    assert_eq!(facts.intents.len(), 2, "nothing left after it: {:?}", facts.intents);
}
