//! Answers that belong to another order: the dialect carries no id, so a peer that lags by one looks well.

use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::ports::{Evidence, Sink as _, Submission};

use super::peer::{Peer, say};
use super::{SOON, acked, cached, failed, filled, key, not_now, settle, submit, unknown, venue};

/// Answers each request with what the one before it should have got; the first with a refusal.
fn lagging(mut truth: impl FnMut(usize) -> String + Send + 'static) -> Peer {
    let mut late = failed(-2, "Missing field: action");
    Peer::start(move |number, _| say(number, std::mem::replace(&mut late, truth(number))))
}

#[tokio::test]
async fn a_refusal_that_belongs_to_another_order_is_found_out_by_asking() {
    let gateway = lagging(|number| if number == 0 { filled(7) } else { cached(7) });
    let venue = venue(gateway.port);
    let evidence = unknown(submit(&venue, &key(1), SOON).await);
    assert!(evidence.contains("asked about it the gateway says done"), "{evidence}");
    let Evidence::Found(Receipt::Fill(receipt)) = settle(&venue, &key(1), SOON).await else { panic!("not found") };
    assert_eq!(receipt.ticket, Ticket(7));
}

#[tokio::test]
async fn a_refusal_stands_where_the_gateway_knows_no_such_order() {
    let gateway = Peer::start(|number, _| {
        say(number, if number == 0 { failed(10018, "Market is closed") } else { failed(-2, "Missing field: action") })
    });
    let submission = submit(&venue(gateway.port), &key(1), SOON).await;
    assert!(matches!(submission, Submission::Rejected { code: Some(10018), .. }), "{submission:?}");
    assert_eq!(gateway.heard().len(), 2);
}

/// Two questions about two orders: the answer about the first one comes as the answer about the second.
#[tokio::test]
async fn two_answers_to_one_question_that_differ_prove_nothing() {
    let gateway = lagging(|number| cached(if number < 4 { 7 } else { 8 }));
    let venue = venue(gateway.port);
    for (hour, ticket) in [(1, 7), (2, 8)] {
        not_now(settle(&venue, &key(hour), SOON).await);
        let Evidence::Found(Receipt::Fill(receipt)) = settle(&venue, &key(hour), SOON).await else {
            panic!("not found")
        };
        assert_eq!(receipt.ticket, Ticket(ticket));
    }
}

#[tokio::test]
async fn a_disowned_receipt_costs_the_socket_and_its_ticket_is_no_clue() {
    let gateway =
        Peer::start(|number, _| say(number, if number < 2 { filled(7) } else { failed(-2, "Missing field: action") }));
    let venue = venue(gateway.port);
    for hour in [1, 2] {
        assert_eq!(acked(submit(&venue, &key(hour), SOON).await).ticket, Ticket(7));
    }
    venue.disown(&key(2));
    let advice = super::undecidable(settle(&venue, &key(2), SOON).await);
    assert!(!advice.contains("ticket 7"), "{advice}");
    let heard = gateway.heard();
    assert_eq!(heard[0].from, heard[1].from);
    assert_ne!(heard[1].from, heard[2].from, "the socket that brought it was used again");
}

#[tokio::test]
async fn a_reply_that_names_another_order_confirms_nothing() {
    let echo = |id: &str, data: &str| {
        format!(r#"{{"error":false,"ticket":7,"msg":"ok","retcode":10009,"req_id":{id},"data":{data}}}"#)
    };
    let own = format!("\"{}\"", sentinel::venues::gateway::values::req_id(&key(9)));
    let others = [
        ("\"00000000-0000-0000-0000-000000000000\"", "null"),
        ("null", r#"{"symbol":"GBPUSD"}"#),
        ("null", r#"{"type":"OP_SELL"}"#),
        ("null", r#"{"side":"SELL"}"#),
    ];
    let fitting =
        [(own.as_str(), r#"{"symbol":"EURUSD.m","type":"OP_BUY"}"#), ("null", r#"{"symbol":"eurusd","side":0}"#)];
    let replies: Vec<String> = others.iter().chain(&fitting).map(|(id, data)| echo(id, data)).collect();
    for (number, reply) in replies.into_iter().enumerate() {
        let gateway = Peer::start(move |number, _| say(number, reply.clone()));
        let submission = submit(&venue(gateway.port), &key(9), SOON).await;
        assert_eq!(matches!(submission, Submission::Acked(_)), number >= others.len(), "{submission:?}");
        assert!(matches!(submission, Submission::Acked(_) | Submission::Unknown(_)));
    }
}
