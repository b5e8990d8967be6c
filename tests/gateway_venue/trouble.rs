//! Gateways that are absent, deaf, late, garbled or dead. What they leave behind is never taken for an answer, and what did
//! not leave in time never leaves.

use std::io::Read as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel::venues::gateway::Exits;
use sentinel::venues::gateway::values::req_id;
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::ports::{Evidence, FaultInjector, FaultPoint, InjectedFault, Sink as _, Submission, elapsed_now};

use super::peer::{Act, Peer, SILENCE, anything_arrives, free_port, say};
use super::{
    SHORT, SOON, acked, cached, filled, intent, key, never_left, not_now, settle, submit, undecidable, unknown, until,
    venue, venue_with,
};

/// Time for a stale order to arrive: libzmq tries to connect ten times in it.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_lost_reply_leaves_the_order_unknown_until_the_same_id_is_asked() {
    let gateway = Peer::start(|number, _| if number == 0 { SILENCE } else { say(number, cached(4711)) });
    let venue = venue(gateway.port);
    let evidence = unknown(submit(&venue, &key(9), SHORT).await);
    assert!(evidence.contains("did not reply within"), "{evidence}");
    let Evidence::Found(Receipt::Fill(receipt)) = settle(&venue, &key(9), SOON).await else { panic!("not found") };
    assert_eq!((receipt.ticket.0, receipt.volume_lots), (4711, super::d("0.1")));

    let heard: Vec<_> = gateway.heard().iter().map(|heard| heard.json()).collect();
    assert_eq!(heard.len(), 3, "asked twice");
    assert_eq!((&heard[1]["action"], &heard[1]["req_id"]), (&"ORDER_STATUS".into(), &heard[0]["req_id"]));
    assert_eq!(heard[1]["payload"], serde_json::json!({}), "what names no order cannot be carried out");
}

#[tokio::test]
async fn a_late_reply_never_becomes_the_answer_to_the_next_request() {
    // The late one comes before the next request is sent, between it and its answer, and twice.
    for ahead in [true, false] {
        let gateway = Peer::start(move |number, _| match (number, ahead) {
            (0, _) => SILENCE,
            (_, true) => say(number, filled(222)),
            (_, false) => {
                [say(0, filled(111)), say(0, filled(111)), say(number, filled(222))].into_iter().flatten().collect()
            }
        });
        let venue = venue(gateway.port);
        unknown(submit(&venue, &key(1), SHORT).await);
        if ahead {
            gateway.say(0, filled(111));
        }
        assert_eq!(acked(submit(&venue, &key(2), SOON).await).ticket.0, 222);
        assert_eq!(acked(submit(&venue, &key(3), SOON).await).ticket.0, 222);
    }
}

#[tokio::test]
async fn replies_that_cannot_be_read_confirm_and_refuse_nothing() {
    let replies: [Vec<Vec<u8>>; 7] = [
        vec![b"\xff\xfe\x00garbage".to_vec()],
        vec![Vec::new()],
        vec![br#"{"error":false,"ticket":1,"msg":"ok","retcode":10009"#.to_vec()],
        vec![br#"[false,1,"ok",10009]"#.to_vec()],
        vec![br#"{"error":false,"ticket":1,"msg":"ok"}"#.to_vec()],
        vec![filled(1).into_bytes(), filled(2).into_bytes()],
        vec![format!("{}{}", filled(1), " ".repeat(1 << 20)).into_bytes()],
    ];
    let count = replies.len();
    let gateway = Peer::start(move |number, _| match replies.get(number / 2) {
        Some(reply) if number % 2 == 0 => vec![Act::Say(number, reply.clone())],
        _ => say(number, filled(7)),
    });
    let venue = venue(gateway.port);
    for number in 0..i64::try_from(count).unwrap() {
        unknown(submit(&venue, &key(number), SHORT).await);
        assert_eq!(acked(submit(&venue, &key(100 + number), SOON).await).ticket.0, 7);
    }
}

#[tokio::test]
async fn an_order_to_an_absent_gateway_never_leaves_even_when_one_comes_up_later() {
    let port = free_port();
    let (venue, began) = (venue(port), elapsed_now());
    let proof = never_left(submit(&venue, &key(1), SHORT).await);
    assert!(proof.contains("did not take it within"), "{proof}");
    assert!(began.elapsed() < SHORT * 4);
    assert!(!anything_arrives(port, LONG_ENOUGH));
    assert_eq!(
        settle(&venue, &key(1), SHORT).await,
        Evidence::Absent("this process never handed it over to the gateway".to_owned())
    );

    let gateway = Peer::start_at(port, |number, _| say(number, filled(2)));
    acked(submit(&venue, &key(2), SOON).await);
    let heard = gateway.heard();
    assert_eq!(heard.len(), 1);
    assert!(heard[0].text.contains(&req_id(&key(2)).to_string()));
}

#[tokio::test]
async fn an_order_that_becomes_too_old_while_it_waits_for_a_gateway_never_leaves() {
    let (port, is_young) = (free_port(), AtomicBool::new(true));
    let (venue, intent) = (venue(port), intent(&key(1)));
    venue.prepare(&intent.key, crate::LIFE);
    let may_leave = || is_young.load(Ordering::Acquire);
    let mut waiting = venue.submit(&intent, SOON, &may_leave);
    tokio::select! {
        submission = &mut waiting => panic!("nobody listens, and it did not wait: {submission:?}"),
        () = tokio::task::yield_now() => {}
    }
    is_young.store(false, Ordering::Release);
    let gateway = Peer::start_at(port, |number, _| say(number, filled(1)));
    let proof = never_left(waiting.await);
    assert!(proof.contains("became too old"), "{proof}");
    assert!(gateway.heard().is_empty());
}

#[tokio::test]
async fn an_order_on_a_kept_socket_of_a_gone_gateway_is_never_delivered() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue(gateway.port);
    acked(submit(&venue, &key(1), SOON).await);
    let port = gateway.gone();
    let submission = submit(&venue, &key(2), SHORT).await;
    // The farewell travels through a thread of libzmq; before it arrives, nothing is proven.
    assert!(matches!(submission, Submission::NeverLeft(_) | Submission::Unknown(_)), "{submission:?}");
    never_left(submit(&venue, &key(3), SHORT).await);
    assert!(!anything_arrives(port, LONG_ENOUGH));
}

#[tokio::test]
async fn a_gateway_that_comes_up_in_time_still_gets_the_order() {
    let port = free_port();
    let venue = venue(port);
    let one = key(1);
    let (submission, gateway) = tokio::join!(submit(&venue, &one, SOON), async {
        tokio::time::sleep(SHORT).await; // the first attempts to connect have to fail
        Peer::start_at(port, |number, _| say(number, filled(1)))
    });
    acked(submission);
    assert_eq!(gateway.heard().len(), 1);
}

#[tokio::test]
async fn a_listener_of_another_protocol_gets_nothing_of_the_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let got = Arc::new(Mutex::new(None));
    let noted = Arc::clone(&got);
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes); // until the venue closes it
        *noted.lock().unwrap() = Some(bytes);
    });
    never_left(submit(&venue(port), &key(1), SHORT).await);
    until(|| got.lock().unwrap().is_some()).await;
    thread.join().unwrap();
    let bytes = got.lock().unwrap().take().unwrap();
    assert!(!bytes.is_empty(), "it was not even greeted");
    assert!(!String::from_utf8_lossy(&bytes).contains("ORDER"), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test]
async fn an_order_in_a_dying_gateway_is_unknown_until_the_gateway_is_back() {
    let gateway = Peer::start(|_, _| vec![Act::Leave]);
    let venue = venue(gateway.port);
    unknown(submit(&venue, &key(1), SHORT).await);
    assert_eq!(gateway.heard().len(), 1);
    let port = gateway.gone();
    not_now(settle(&venue, &key(1), SHORT).await);
    not_now(settle(&venue, &key(1), SHORT).await);

    // Its id memory died with it: what it says now proves nothing.
    let back = Peer::start_at(port, |number, _| say(number, super::failed(-2, "Missing field: action")));
    let advice = undecidable(settle(&venue, &key(1), SOON).await);
    assert!(advice.contains("proves nothing"), "{advice}");
    let heard = back.heard();
    assert_eq!(heard.len(), 2, "only the question that it was there for, twice");
    assert_eq!(heard[0].json()["action"], "ORDER_STATUS");
}

/// Holds an order back right before its bytes go, as a blocked thread would.
struct HeldBack(Duration);

impl FaultInjector for HeldBack {
    fn at(&self, point: FaultPoint, _: &str) -> InjectedFault {
        if point == FaultPoint::BeforeBookWrite { InjectedFault::Block(self.0) } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn an_order_that_was_held_back_beyond_its_deadline_does_not_leave() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue_with(gateway.port, Exits::ByOrders, Arc::new(HeldBack(SHORT * 2)));
    never_left(submit(&venue, &key(1), SHORT).await);
    assert!(gateway.heard().is_empty(), "a stale order left");
}
