//! The link by itself: who gets the socket, which one, and until when.

use std::sync::Arc;
use std::time::Duration;

use sentinel::venues::gateway::GatewayAddress;
use sentinel::venues::gateway::link::Exchange;
use sentinel::venues::gateway::values::req_id;
use sentinel_actors::ports::{Sink as _, elapsed_now};

use super::logged::Log;
use super::peer::{Peer, SILENCE, free_port, say};
use super::{SHORT, SOON, acked, filled, intent, key, link_to, never_left, submit, unknown, venue};

#[tokio::test]
async fn a_socket_is_kept_after_a_complete_exchange_and_only_then() {
    let gateway = Peer::start(|number, _| match number {
        2 => say(2, "no reply of any dialect"),
        4 => SILENCE,
        _ => say(number, filled(1)),
    });
    let venue = venue(gateway.port);
    acked(submit(&venue, &key(0), SOON).await);
    acked(submit(&venue, &key(1), SOON).await);
    unknown(submit(&venue, &key(2), SOON).await);
    acked(submit(&venue, &key(3), SOON).await);
    unknown(submit(&venue, &key(4), SHORT).await);
    acked(submit(&venue, &key(5), SOON).await);
    let heard = gateway.heard();
    let same: Vec<bool> = heard.windows(2).map(|pair| pair[0].from == pair[1].from).collect();
    assert_eq!(same, [true, true, false, true, false]);
}

#[test]
fn pipelines_that_name_the_same_endpoint_share_its_link() {
    let port = free_port();
    let held = link_to(port);
    assert!(Arc::ptr_eq(&held, &link_to(port)));
    assert!(!Arc::ptr_eq(&held, &link_to(port.wrapping_sub(1))));
}

#[test]
fn an_endpoint_is_written_as_zeromq_reads_it() {
    let text = |host: &str| GatewayAddress { host: host.to_owned(), port: 5555 }.to_string();
    assert_eq!(text("gateway.example"), "tcp://gateway.example:5555");
    assert_eq!(text("::1"), "tcp://[::1]:5555");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_on_one_endpoint_strictly_alternate() {
    let gateway = Peer::start(|_, _| SILENCE);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        let link = link_to(gateway.port);
        callers.spawn(async move {
            for round in 0..5 {
                let request = format!("{caller}/{round}");
                let reply = link.exchange(request.as_bytes(), SOON, &|| true, |_| true).await;
                assert_eq!(reply, Exchange::Reply(request.into_bytes()));
            }
        });
    }
    for number in 0..20 {
        let heard = gateway.hears(number + 1).await;
        // As long as this one has no answer, no other request may be sent.
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(gateway.heard().len(), number + 1);
        gateway.say(number, heard[number].text.as_str());
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    let heard = gateway.heard();
    assert!(heard.iter().all(|one| one.from == heard[0].from), "they share one socket");
}

#[tokio::test]
async fn a_request_that_waited_too_long_for_its_turn_is_not_sent() {
    let gateway = Peer::start(|_, _| SILENCE);
    let (first, second) = (venue(gateway.port), venue(gateway.port));
    let (one, two) = (key(1), key(2));
    let (held, (waited, left_after)) = tokio::join!(submit(&first, &one, SHORT * 3), async {
        gateway.hears(1).await;
        let began = elapsed_now();
        (never_left(submit(&second, &two, SHORT).await), began.elapsed())
    });
    unknown(held);
    assert!(waited.contains("other requests occupied the link"), "{waited}");
    assert!(left_after < SHORT * 2, "it waited {left_after:?}");
    // A third request comes second at the gateway: the one that waited is gone for good.
    unknown(submit(&second, &key(3), SHORT).await);
    let heard = gateway.hears(2).await;
    assert_eq!(heard.len(), 2);
    assert!(heard[1].text.contains(&req_id(&key(3)).to_string()));
}

#[tokio::test]
async fn a_caller_that_is_dropped_closes_its_socket_and_frees_the_link() {
    let gateway = Peer::start(|number, _| if number == 0 { SILENCE } else { say(number, filled(222)) });
    let (dropped, next) = (venue(gateway.port), venue(gateway.port));
    {
        let one = intent(&key(1));
        let mut call = dropped.submit(&one, SOON, &|| true);
        tokio::select! {
            _ = &mut call => unreachable!("it is never answered"),
            heard = gateway.hears(1) => assert_eq!(heard.len(), 1),
        }
    }
    gateway.say(0, filled(111));
    assert_eq!(acked(submit(&next, &key(2), SOON).await).ticket.0, 222);
    let heard = gateway.heard();
    assert_ne!(heard[0].from, heard[1].from);
}

#[tokio::test]
async fn a_deadline_that_has_passed_sends_nothing() {
    let gateway = Peer::start(|number, _| say(number, filled(1)));
    let venue = venue(gateway.port);
    acked(submit(&venue, &key(1), SOON).await);
    never_left(submit(&venue, &key(2), Duration::ZERO).await);
    acked(submit(&venue, &key(3), SOON).await);
    assert_eq!(gateway.heard().len(), 2);
}

#[tokio::test]
async fn an_order_is_logged_before_it_goes_and_a_socket_when_it_is_replaced() {
    let (log, _guard) = Log::capture();
    let gateway = Peer::start(|number, _| if number == 0 { SILENCE } else { say(number, filled(1)) });
    let venue = venue(gateway.port);
    unknown(submit(&venue, &key(1), SHORT).await);
    acked(submit(&venue, &key(2), SOON).await);
    let lines = log.lines();
    let events: Vec<_> = lines.iter().map(|line| (line["level"].clone(), line["fields"]["event"].clone())).collect();
    let handed = ("DEBUG".into(), "order_handed_over".into());
    assert_eq!(events, [handed.clone(), handed, ("WARN".into(), "gateway_socket_replaced".into())]);
    let endpoint = format!("tcp://127.0.0.1:{}", gateway.port);
    assert!(lines.iter().all(|line| line["fields"]["endpoint"] == endpoint.as_str()));
    assert_eq!(lines[0]["fields"]["key"], key(1).as_str());
    assert_eq!(lines[0]["fields"]["req_id"], req_id(&key(1)).to_string());
}

/// `cargo test --test gateway_venue -- --ignored --nocapture speed`
#[tokio::test]
#[ignore = "prints figures of this machine"]
async fn speed_of_an_exchange() {
    let context = zmq::Context::new();
    let socket = context.socket(zmq::REP).unwrap();
    socket.bind("tcp://127.0.0.1:*").unwrap();
    let port = socket.get_last_endpoint().unwrap().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let rounds = 2_000;
    let gateway = std::thread::spawn(move || {
        for _ in 0..2 * rounds {
            let request = socket.recv_bytes(0).unwrap();
            socket.send(request, 0).unwrap();
        }
        socket // closed at once, it could take the last reply with it
    });
    let link = link_to(port);
    let request = [b'x'; 300];
    for keeps in [true, false] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let before = elapsed_now();
            let exchange = link.exchange(&request, SOON, &|| true, |_| keeps).await;
            assert!(matches!(exchange, Exchange::Reply(_)), "{exchange:?}");
            times.push(before.elapsed());
        }
        times.sort_unstable();
        let socket = if keeps { "kept" } else { "fresh" };
        println!("{socket} socket: p50 {:?}, p99 {:?}", times[rounds / 2], times[rounds * 99 / 100]);
    }
    drop(gateway.join().unwrap());
}
