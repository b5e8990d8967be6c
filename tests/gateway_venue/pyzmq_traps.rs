//! The traps of `command` and of the advisors, played by another implementation: `gateway.py` with pyzmq.

use std::sync::Arc;

use sentinel::venues::gateway::values::req_id;
use sentinel::venues::gateway::{Exits, GatewayVenue};
use sentinel_actors::domain::order::{Order, Role, Side, Ticket};
use sentinel_actors::ports::{Evidence, NoFaults, PositionBook as _, Positions, Sink as _, Submission};

use super::pyzmq::Gateway;
use super::{NOW, SHORT, SOON, acked, intent, intent_of, key, order, settle, submit, undecidable, unknown};

/// A gateway of pyzmq in this dialect, and a venue on it.
fn playing(dialect: &str, arguments: &[&str]) -> (Gateway, GatewayVenue) {
    let gateway = Gateway::start(&[&["0"], arguments].concat());
    let venue = super::speaking(dialect, gateway.port, Exits::ByOrders, Arc::new(NoFaults));
    (gateway, venue)
}

fn command(arguments: &[&str]) -> (Gateway, GatewayVenue) {
    playing("command", &[&["command"], arguments].concat())
}

async fn close(venue: &GatewayVenue, ticket: Ticket) -> Submission {
    let close = Order { role: Role::Close(ticket), side: Side::Sell, ..order() };
    venue.submit(&intent_of(&key(20), close), SOON, &|| true).await
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn pyzmq_opens_lists_and_closes_a_position_by_its_ticket() {
    let (gateway, venue) = command(&[]);
    let ticket = acked(submit(&venue, &key(9), SOON).await).ticket;
    let Ok(Positions::Reported(open)) = venue.positions("EURUSD", NOW, SOON).await else { panic!("not reported") };
    assert_eq!((open[0].ticket, open[0].side, open[0].volume_lots), (ticket, Side::Buy, order().volume_lots));
    acked(close(&venue, ticket).await);
    assert_eq!(venue.positions("EURUSD", NOW, SOON).await, Ok(Positions::Reported(Vec::new())));
    assert_eq!(gateway.orders().len(), 2);
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn an_order_whose_reply_pyzmq_lost_shows_in_the_positions_and_is_never_doubled() {
    let (gateway, venue) = playing("command", &["swallow", "command"]);
    unknown(submit(&venue, &key(9), SHORT).await);
    let after_restart = super::speaking("command", gateway.port, Exits::ByOrders, Arc::new(NoFaults));
    let Evidence::Positions(open) = after_restart.settle(&intent(&key(9)), SOON).await else { panic!("no positions") };
    assert_eq!(open.iter().map(|position| position.ticket).collect::<Vec<_>>(), [Ticket(70_001)]);
    assert_eq!(gateway.orders(), [format!("order {} 70001", req_id(&key(9)))]);
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn no_trap_of_the_public_service_confirms_an_order_that_was_not_filled() {
    for trap in ["inner-error", "hollow", "stranger"] {
        let (gateway, venue) = command(&[trap]);
        let submission = submit(&venue, &key(9), SOON).await;
        let is_right = match trap {
            "inner-error" => matches!(submission, Submission::Rejected { code: None, lasting: true, .. }),
            _ => matches!(submission, Submission::Unknown(_)),
        };
        assert!(is_right, "{trap}: {submission:?}");
        assert_eq!(gateway.orders().len(), usize::from(trap == "stranger"));
    }
    let (_gateway, venue) = command(&["stub"]);
    assert!(acked(submit(&venue, &key(9), SOON).await).text.contains("stub mode"));
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn what_a_blind_or_handless_service_says_of_positions_and_account_is_not_believed() {
    let (_gateway, venue) = command(&["blind"]);
    acked(submit(&venue, &key(9), SOON).await);
    assert!(venue.positions("EURUSD", NOW, SOON).await.unwrap_err().0.contains("proves nothing"));
    let (_gateway, venue) = command(&["cannot-close"]);
    let ticket = acked(submit(&venue, &key(9), SOON).await).ticket;
    let refused = close(&venue, ticket).await;
    assert!(matches!(refused, Submission::Rejected { lasting: true, .. }), "{refused:?}");
    let (_gateway, venue) = command(&["constants"]);
    let report = venue.account_report(NOW, SOON).await.unwrap();
    assert!(report.balance.is_some() && report.kind.believed().is_none() && report.server.believed().is_none());
}

#[tokio::test]
#[cfg_attr(not(has_program = "pyzmq"), ignore = "needs pyzmq: see CONTRIBUTING.md")]
async fn an_advisor_of_pyzmq_is_judged_by_ticket_and_code_and_hears_nothing_but_orders() {
    let (advisor, venue) = playing("expert-advisor", &["advisor"]);
    assert_eq!(acked(submit(&venue, &key(9), SOON).await).ticket, Ticket(80_001));
    undecidable(settle(&venue, &key(9), SOON).await);
    assert_eq!(venue.positions("EURUSD", NOW, SOON).await, Ok(Positions::Derived));
    assert_eq!(advisor.orders(), ["order BUY 0.10"]);
    let (_advisor, venue) = playing("expert-advisor", &["advisor", "any-code"]);
    let refused = submit(&venue, &key(9), SOON).await;
    assert!(matches!(refused, Submission::Rejected { code: Some(10018), lasting: false, .. }), "{refused:?}");
    let (_advisor, venue) = playing("expert-advisor", &["advisor", "hollow"]);
    unknown(submit(&venue, &key(9), SOON).await);
}
