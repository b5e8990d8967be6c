//! A gateway that follows a test's script, in a thread of its own. It is a ROUTER, so that it may answer any request at any
//! time: too late, in several parts, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use super::until;

/// How often the thread looks up from its socket.
const TICK_MS: i32 = 5;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// The connection that it came on.
    pub from: Vec<u8>,
    pub text: String,
}

impl Heard {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

/// What a script does about a request.
pub enum Act {
    /// Answers the request with this number, counted from 0, in these parts.
    Say(usize, Vec<Vec<u8>>),
    /// Closes the socket for good.
    Leave,
}

/// An answer in one part.
pub fn say(to: usize, reply: impl Into<Vec<u8>>) -> Vec<Act> {
    vec![Act::Say(to, vec![reply.into()])]
}

/// No answer.
pub const SILENCE: Vec<Act> = Vec::new();

pub struct Peer {
    pub port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    sender: Sender<Act>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    /// On a free port. The script is asked about every request, with the number of the request.
    pub fn start(script: impl FnMut(usize, &Heard) -> Vec<Act> + Send + 'static) -> Self {
        Self::start_at(0, script)
    }

    /// On this port.
    pub fn start_at(port: u16, script: impl FnMut(usize, &Heard) -> Vec<Act> + Send + 'static) -> Self {
        let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
        socket.set_linger(0).unwrap();
        socket.set_rcvtimeo(TICK_MS).unwrap();
        let wanted = if port == 0 { "*".to_owned() } else { port.to_string() };
        socket.bind(&format!("tcp://127.0.0.1:{wanted}")).unwrap();
        let endpoint = socket.get_last_endpoint().unwrap().unwrap();
        let port = endpoint.rsplit(':').next().unwrap().parse().unwrap();
        let (heard, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (sender, orders) = channel();
        let play = Play { socket, heard: Arc::clone(&heard), orders, stop: Arc::clone(&stop) };
        let thread = Some(std::thread::spawn(move || play.run(script)));
        Self { port, heard, sender, stop, thread }
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until this many requests have come.
    pub async fn hears(&self, count: usize) -> Vec<Heard> {
        until(|| self.heard().len() >= count).await;
        self.heard()
    }

    /// Answers a request that has come, now.
    pub fn say(&self, to: usize, reply: impl Into<Vec<u8>>) {
        self.sender.send(Act::Say(to, vec![reply.into()])).unwrap();
    }

    /// Waits until the thread has ended and its port is free.
    pub fn gone(mut self) -> u16 {
        self.end();
        self.port
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Play {
    socket: zmq::Socket,
    heard: Arc<Mutex<Vec<Heard>>>,
    orders: Receiver<Act>,
    stop: Arc<AtomicBool>,
}

impl Play {
    fn run(self, mut script: impl FnMut(usize, &Heard) -> Vec<Act>) {
        while !self.stop.load(Ordering::Acquire) {
            let mut acts: Vec<Act> = self.orders.try_iter().collect();
            if let Ok(mut frames) = self.socket.recv_multipart(0) {
                let text = String::from_utf8(frames.pop().unwrap()).unwrap();
                let heard = Heard { from: frames.swap_remove(0), text };
                let number = {
                    let mut all = self.heard.lock().unwrap();
                    all.push(heard.clone());
                    all.len() - 1
                };
                acts.extend(script(number, &heard));
            }
            for act in acts {
                let Act::Say(to, parts) = act else { return };
                let from = self.heard.lock().unwrap()[to].from.clone();
                self.socket.send_multipart([vec![from, Vec::new()], parts].concat(), 0).unwrap();
            }
        }
    }
}

/// A port without a listener.
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Whether anything comes to `port` within `patience`, on any connection.
pub fn anything_arrives(port: u16, patience: Duration) -> bool {
    let socket = zmq::Context::new().socket(zmq::ROUTER).unwrap();
    socket.set_linger(0).unwrap();
    socket.bind(&format!("tcp://127.0.0.1:{port}")).unwrap();
    socket.poll(zmq::POLLIN, i64::try_from(patience.as_millis()).unwrap()).unwrap() > 0
}
