//! What connections cost: they are few, and one that is silent, dribbles or does not read is closed.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use sentinel::operator::web::Limits;
use sentinel::operator::web::rules::Rules;
use sentinel_actors::ports::elapsed_now;

use super::support::{Answer, PATIENCE, Page, QUICK, wait_for};

/// How long it takes until the other end closes; it may say something before.
fn closed_after(mut stream: TcpStream) -> Duration {
    let began = elapsed_now();
    loop {
        match stream.read(&mut [0; 4096]) {
            Ok(0) => return began.elapsed(),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return began.elapsed(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn is_about(limit: Duration, took: Duration) -> bool {
    (limit.mul_f64(0.9)..limit + Duration::from_secs(3)).contains(&took)
}

/// A head that grows by a byte at a time, and never ends.
fn dribbled(mut stream: TcpStream) -> Duration {
    let began = elapsed_now();
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\nx: y").unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    while began.elapsed() < PATIENCE {
        let is_closed = match stream.read(&mut [0; 64]) {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        };
        if is_closed || stream.write_all(b"y").is_err() {
            break;
        }
    }
    began.elapsed()
}

#[test]
fn who_says_nothing_or_dribbles_is_closed_and_a_connection_carries_one_request() {
    let page = Page::of(&["eurusd"]);
    let (silent, dribbling, begun) = (page.connect(), page.connect(), page.connect());
    let mut begun_ = begun.try_clone().unwrap();
    begun_.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    let took = std::thread::scope(|scope| {
        let all = [
            scope.spawn(move || closed_after(silent)),
            scope.spawn(move || dribbled(dribbling)),
            scope.spawn(move || closed_after(begun)),
        ];
        all.map(|one| one.join().unwrap())
    });
    assert!(took.iter().all(|took| is_about(QUICK.head_within, *took)), "{took:?}");
    // An answered one is not kept idle.
    let answer = page.get("/livez");
    assert_eq!((answer.code, answer.header("connection")), (200, Some("close")));
}

#[test]
fn a_client_that_does_not_read_its_answer_is_closed() {
    let names: Vec<String> = (0..20_000).map(|number| format!("a-pipeline-with-a-long-name-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let page = Page::of(&names);
    let mut stream = page.connect();
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let began = elapsed_now();
    // Nothing is read meanwhile; the socket is gone from the server's side when it is not written to any more.
    wait_for("end of the connection", || {
        let connections = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let (own, established) = (format!(":{:04X} ", page.port()), " 01 ");
        let of_server =
            |line: &&str| line.split_whitespace().nth(1).is_some_and(|local| format!("{local} ").ends_with(&own));
        !connections.lines().filter(of_server).any(|line| line.contains(established))
    });
    assert!(is_about(QUICK.connection_max, began.elapsed()), "{:?}", began.elapsed());
    assert_eq!(page.get("/livez").code, 200);
}

#[test]
fn there_are_never_more_connections_than_the_limit_and_the_next_is_served_when_one_has_left() {
    let limits = Limits { connections: 4, head_within: Duration::from_secs(20), ..QUICK };
    let page = Page::with(&["eurusd"], "127.0.0.1:0", Rules::default(), limits);
    let mut silent: Vec<TcpStream> = (0..4).map(|_| page.connect()).collect();
    let mut next = page.connect();
    next.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    next.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(next.read(&mut [0; 64]).is_err(), "the fifth is not served");
    silent.pop();
    next.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(Answer::read(&mut next).code, 200);
}

#[test]
fn by_the_limits_of_a_node_a_silent_connection_is_closed_after_five_seconds() {
    let page = Page::with(&["eurusd"], "127.0.0.1:0", Rules::default(), Limits::default());
    let took = closed_after(page.connect());
    assert!(is_about(Duration::from_secs(5), took), "{took:?}");
}
