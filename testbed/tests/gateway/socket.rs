//! A client: a REQ socket with a deadline.

use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than any answer takes on a busy machine.
const LONG_MS: i32 = 30_000;

pub struct Peer {
    socket: zmq::Socket,
}

impl Peer {
    pub fn connect(endpoint: &str) -> Self {
        let socket = zmq::Context::new().socket(zmq::REQ).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(LONG_MS).unwrap();
        socket.connect(endpoint).unwrap();
        Self { socket }
    }

    pub fn send(&self, message: &Value) {
        self.socket.send(message.to_string().as_str(), 0).unwrap();
    }

    /// The bytes of the reply.
    pub fn reply(&self) -> Vec<u8> {
        self.socket.recv_bytes(0).unwrap()
    }

    pub fn ask(&self, message: &Value) -> Value {
        self.send(message);
        serde_json::from_slice(&self.reply()).unwrap()
    }

    /// Asks on fresh sockets until an answer is as it should be: what reaches a socket that is about to close is lost.
    pub fn ask_until(endpoint: &str, message: &Value, is_expected: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let peer = Self::connect(endpoint);
            peer.send(message);
            let reply = peer.hears_within(200).then(|| serde_json::from_slice(&peer.reply()).unwrap());
            if let Some(reply) = reply.as_ref().filter(|reply| is_expected(reply)) {
                return reply.clone();
            }
            assert!(Instant::now() < deadline, "the last answer was {reply:?}");
        }
    }

    /// Whether anything came within this many milliseconds.
    pub fn hears_within(&self, millis: i64) -> bool {
        self.socket.poll(zmq::POLLIN, millis).unwrap() > 0
    }
}
