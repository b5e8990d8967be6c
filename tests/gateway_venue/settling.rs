//! What becomes of orders that were interrupted: by this process's own memory, by the gateway's, or by the operator.

use std::sync::Arc;

use sentinel::venues::gateway::Exits;
use sentinel::venues::gateway::values::comment;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::order::Ticket;
use sentinel_actors::ports::{Evidence, FaultInjector, FaultPoint, InjectedFault, NoFaults, Sink as _, Submission};

use super::peer::{Peer, SILENCE, say};
use super::{
    MAGIC, SHORT, SOON, acked, cached, failed, filled, intent_of, key, never_left, not_now, order, settle, submit,
    undecidable, unknown, venue, venue_with,
};

/// Hangs at one point; the caller that waits there is then dropped, as the supervisor does it.
struct HangAt(FaultPoint);

impl FaultInjector for HangAt {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        if point == self.0 { InjectedFault::Hang } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn a_prepared_order_is_absent_without_asking_and_is_never_sent() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue(gateway.port);
    venue.prepare(&key(1), crate::LIFE);
    for _ in 0..2 {
        assert!(matches!(settle(&venue, &key(1), SOON).await, Evidence::Absent(_)));
    }
    never_left(submit(&venue, &key(1), SOON).await);
    assert_eq!(gateway.heard().len(), 0);
}

#[tokio::test]
async fn what_another_process_prepared_has_to_be_asked_about() {
    let gateway = Peer::start(|number, _| say(number, cached(5)));
    let (before, after) = (venue(gateway.port), venue(gateway.port));
    before.prepare(&key(1), crate::LIFE);
    assert!(matches!(settle(&after, &key(1), SOON).await, Evidence::Found(_)));
}

#[tokio::test]
async fn an_order_interrupted_before_sending_is_absent_and_after_it_is_asked() {
    for (place, heard) in [(FaultPoint::BeforeBookWrite, 0), (FaultPoint::AfterBookWrite, 3)] {
        let gateway = Peer::start(|number, _| say(number, if number == 0 { filled(5) } else { cached(5) }));
        let venue = venue_with(gateway.port, Exits::ByOrders, Arc::new(HangAt(place)));
        assert!(tokio::time::timeout(SHORT, submit(&venue, &key(1), SOON)).await.is_err());
        match settle(&venue, &key(1), SOON).await {
            Evidence::Absent(_) => assert_eq!(heard, 0),
            Evidence::Found(Receipt::Fill(receipt)) => assert_eq!((receipt.ticket, heard), (Ticket(5), 3)),
            other => panic!("{other:?}"),
        }
        assert_eq!(gateway.heard().len(), heard);
    }
}

#[tokio::test]
async fn a_key_is_handed_over_once_in_the_life_of_a_process() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue(gateway.port);
    acked(submit(&venue, &key(1), SOON).await);
    unknown(submit(&venue, &key(1), SOON).await);
    assert_eq!(gateway.heard().len(), 1);
}

#[tokio::test]
async fn what_the_gateway_cannot_answer_says_what_the_operator_should_check() {
    let gateway = Peer::start(|number, _| {
        let placed = r#"{"error":true,"ticket":815,"msg":"Order placed","retcode":10008}"#;
        say(number, if number == 0 { placed.to_owned() } else { failed(-2, "Missing action") })
    });
    let venue = venue(gateway.port);
    let evidence = unknown(submit(&venue, &key(1), SOON).await);
    assert!(evidence.contains("placed as ticket 815"), "{evidence}");
    let advice = undecidable(settle(&venue, &key(1), SOON).await);
    for clue in ["buy of 0.1 EURUSD", &comment(&key(1)), &MAGIC.to_string(), "ticket 815", "Missing action"] {
        assert!(advice.contains(clue), "{advice}");
    }
}

#[tokio::test]
async fn only_a_remembered_order_with_a_ticket_is_found() {
    let answers = [
        filled(5), // a gateway that knows the action, or trades on anything
        cached(0),
        r#"{"error":true,"ticket":5,"msg":"Cached result","retcode":10009}"#.to_owned(),
        r#"{"error":true,"ticket":5,"msg":"Cached result","retcode":10008}"#.to_owned(),
        failed(10018, "Cached result"),
        failed(-4, "Internal error"),
    ];
    let count = answers.len();
    let gateway = Peer::start(move |number, _| say(number, answers[number / 2].clone()));
    let venue = venue(gateway.port);
    for _ in 0..count {
        undecidable(settle(&venue, &key(1), SOON).await);
    }
    assert_eq!(gateway.heard().len(), 2 * count, "each is asked twice");
}

#[tokio::test]
async fn a_question_without_a_readable_answer_is_asked_again_later() {
    let gateway = Peer::start(|number, _| match number {
        0 => say(0, "garbage"),
        1 => SILENCE,
        _ => say(number, cached(5)),
    });
    let venue = venue(gateway.port);
    not_now(settle(&venue, &key(1), SOON).await);
    not_now(settle(&venue, &key(1), SHORT).await);
    assert!(matches!(settle(&venue, &key(1), SOON).await, Evidence::Found(_)));
}

#[tokio::test]
async fn what_the_dialect_has_no_words_for_stays_here() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let refused = |exits, edit: fn(&mut sentinel_actors::domain::order::Order)| {
        let venue = venue_with(gateway.port, exits, Arc::new(NoFaults));
        async move {
            let mut order = order();
            edit(&mut order);
            let submission = venue.submit(&intent_of(&key(1), order), SOON, &|| true).await;
            assert!(matches!(submission, Submission::NeverLeft(_)), "{submission:?}");
        }
    };
    refused(Exits::ByOrders, |order| order.volume_lots = super::d("0.125")).await;
    refused(Exits::ByOrders, |order| order.stop_price = Some(super::d("1.09"))).await;
    refused(Exits::AtBroker, |order| order.role = sentinel_actors::domain::order::Role::Close(Ticket(5))).await;
    assert_eq!(gateway.heard().len(), 0);
}

/// Without its journal a node derives an old key for a new order. The gateway's first ticket is not a receipt for it.
#[tokio::test]
async fn an_order_answered_from_the_id_memory_is_never_confirmed() {
    let gateway = Peer::start(|number, _| say(number, cached(4711)));
    let venue = venue(gateway.port);
    let evidence = unknown(submit(&venue, &key(1), SOON).await);
    assert!(evidence.contains("knew this id before"), "{evidence}");
    undecidable(settle(&venue, &key(1), SOON).await);
    assert_eq!(gateway.heard().len(), 1, "asking would only bring the same ticket again");
}
