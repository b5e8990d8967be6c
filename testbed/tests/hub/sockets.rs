//! The hub over real TCP, asked by a client of a few lines.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sentinel_testbed::hub::{self, HubError, Options, Proxy, Wrapping};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{demo_model, probe, valid};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn options(faults: &[&str]) -> Options {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    let (wrapping, proxy) = (Wrapping::default(), Proxy::default());
    Options { model: demo_model(), host: "127.0.0.1".to_owned(), port: 0, faults, wrapping, proxy }
}

/// A hub on a thread of its own, ended with its guard.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    thread: Option<JoinHandle<Result<(), HubError>>>,
}

impl Running {
    fn start(faults: &[&str]) -> Self {
        Self::serve(options(faults))
    }

    fn serve(options: Options) -> Self {
        let (heard, address) = mpsc::channel();
        let shutdown = CancellationToken::new();
        let token = shutdown.clone();
        let thread = thread::spawn(move || hub::serve(&options, |address| heard.send(address).unwrap(), &token));
        Self { address: address.recv_timeout(LONG).unwrap(), shutdown, thread: Some(thread) }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Client(BufReader::new(stream))
    }

    fn asked(&self) -> Value {
        serde_json::from_slice(&self.connect().call("GET", "/testbed/asked", b"").unwrap().1).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn send(&mut self, method: &str, path: &str, body: &[u8]) {
        self.send_with("", method, path, body);
    }

    /// With further header lines.
    fn send_with(&mut self, lines: &str, method: &str, path: &str, body: &[u8]) {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\n{lines}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).unwrap();
    }

    /// Status line and headers, and the body; none when the connection ended instead.
    fn receive(&mut self) -> Option<(String, Vec<u8>)> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut head).unwrap() == 0 {
                assert_eq!(head, "", "half an answer");
                return None;
            }
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).unwrap();
        Some((head, body))
    }

    fn call(&mut self, method: &str, path: &str, body: &[u8]) -> Option<(String, Vec<u8>)> {
        self.send(method, path, body);
        self.receive()
    }

    fn invoke(&mut self) -> Option<(String, Vec<u8>)> {
        self.call("POST", "/invocations", valid().to_string().as_bytes())
    }
}

fn right() -> String {
    let numbers = probe(0).1.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    format!("{{\"predictions\": [[{numbers}]]}}")
}

#[test]
fn one_connection_serves_many_invocations() {
    let hub = Running::start(&[]);
    let mut client = hub.connect();
    for _ in 0..120 {
        let (head, body) = client.invoke().unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("\r\nserver: uvicorn\r\n"), "{head}");
        assert_eq!(String::from_utf8(body).unwrap(), right());
    }
    let (head, _) = client.call("GET", "/invocations", b"").unwrap();
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nallow: POST\r\n"), "{head}");
    let asked = hub.asked();
    assert_eq!((&asked["invocations"], &asked["connections"]), (&json!(120), &json!(2)));
}

#[test]
fn an_idle_connection_ends_after_five_seconds() {
    let hub = Running::start(&[]);
    let mut client = hub.connect();
    client.invoke().unwrap();
    let idle = Instant::now();
    assert_eq!(client.receive(), None);
    let idle = idle.elapsed();
    assert!(idle > Duration::from_millis(4800) && idle < Duration::from_secs(8), "{idle:?}");
}

#[test]
fn a_dribbled_answer_arrives_byte_by_byte() {
    let hub = Running::start(&["dribble=3s"]);
    let mut client = hub.connect();
    let began = Instant::now();
    client.send("POST", "/invocations", valid().to_string().as_bytes());
    // The head comes with the first byte; the client reads it before the rest is there.
    let mut line = String::new();
    client.0.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 200") && began.elapsed() < Duration::from_millis(2900), "{:?}", began.elapsed());
    let (_, body) = client.receive().unwrap();
    assert!(began.elapsed() > Duration::from_millis(2900), "{:?}", began.elapsed());
    assert_eq!(String::from_utf8(body).unwrap(), right());
}

#[test]
fn a_dropped_connection_ends_without_a_byte() {
    let hub = Running::start(&["drop@1"]);
    assert_eq!(hub.connect().invoke(), None);
    assert_eq!(String::from_utf8(hub.connect().invoke().unwrap().1).unwrap(), right());
}

#[test]
fn a_hung_invocation_is_not_answered_and_blocks_no_other() {
    let hub = Running::start(&["hang@1"]);
    let mut hung = hub.connect();
    hung.send("POST", "/invocations", valid().to_string().as_bytes());
    let deadline = Instant::now() + LONG;
    while hub.asked()["invocations"] == 0 {
        assert!(Instant::now() < deadline, "the invocation never arrived");
    }
    assert!(hub.connect().invoke().is_some());
    hung.0.get_mut().set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(hung.0.read(&mut [0]).is_err(), "no byte and no end");
    // The guard ends the hub although this connection waits.
}

#[test]
fn a_body_that_is_too_large_is_refused_before_it_is_sent() {
    let hub = Running::start(&[]);
    let mut client = hub.connect();
    client.0.get_mut().write_all(b"POST /invocations HTTP/1.1\r\nContent-Length: 20000000\r\n\r\n").unwrap();
    assert!(client.receive().unwrap().0.starts_with("HTTP/1.1 413 "));
}

#[test]
fn what_is_no_http_ends_only_its_own_connection() {
    let hub = Running::start(&[]);
    let mut client = hub.connect();
    client.0.get_mut().write_all(b"\x16\x03\x01 hello\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = client.0.read_to_end(&mut said);
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 400 "), "{said:?}");
    assert!(hub.connect().invoke().is_some());
}

#[test]
fn a_taken_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = hub::serve(&Options { port, ..options(&[]) }, |_| {}, &CancellationToken::new()).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on 127.0.0.1:{port}"));
    assert!(error.advice().contains("--port 0"), "{}", error.advice());
}

#[test]
fn a_proxy_lets_nothing_through_without_its_headers() {
    let required = [("Authorization", "Bearer token"), ("X-Tenant", "fx")];
    let required = required.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let hub = Running::serve(Options { proxy: Proxy { required }, ..options(&[]) });
    let mut client = hub.connect();
    let mut ask = |lines: &str| {
        client.send_with(lines, "POST", "/invocations", valid().to_string().as_bytes());
        let (head, body) = client.receive().unwrap();
        (head.lines().next().unwrap().to_owned(), String::from_utf8(body).unwrap())
    };
    let token = "authorization: Bearer token\r\n";
    for (lines, status) in [
        (String::new(), 401),
        ("authorization: bearer token\r\nx-tenant: fx\r\n".to_owned(), 401),
        (token.repeat(2) + "x-tenant: fx\r\n", 401),
        (token.to_owned(), 403),
        (token.to_owned() + "x-tenant: Fx\r\n", 403),
    ] {
        let (line, page) = ask(&lines);
        assert!(
            line.starts_with(&format!("HTTP/1.1 {status} ")) && page.starts_with("<html>"),
            "{lines}: {line} {page}"
        );
    }
    assert_eq!(ask(&(token.to_owned() + "x-tenant: fx\r\n")).1, right());
    client.send_with(&(token.to_owned() + "x-tenant: fx\r\n"), "GET", "/testbed/asked", b"");
    let asked: Value = serde_json::from_slice(&client.receive().unwrap().1).unwrap();
    assert_eq!(asked["invocations"], 1, "the hub does not learn of what was refused");
}
