//! A small server that takes what is posted, and answers as a test wants.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

/// What was posted.
#[derive(Debug, Clone)]
pub struct Posted {
    pub path: String,
    pub head: String,
    pub body: Vec<u8>,
}

impl Posted {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")))?;
        Some(line.split_once(':')?.1.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

pub struct Server {
    pub address: String,
    posted: Receiver<Posted>,
}

impl Server {
    /// Answers the n-th request, from 0, with what `answer` says; an empty text is no answer at all, and the connection stays open.
    pub fn start(answer: impl Fn(usize) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (sender, posted) = channel();
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let Ok(mut stream) = stream else { return };
                if !serve(&mut stream, &answer(number), &sender) {
                    return;
                }
                kept.push(stream);
            }
        });
        Self { address, posted }
    }

    /// What arrives within 20 seconds.
    pub fn next(&self) -> Posted {
        self.posted.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// What arrives within so long, if anything does.
    pub fn within(&self, time: Duration) -> Option<Posted> {
        self.posted.recv_timeout(time).ok()
    }
}

/// Whether anybody still looks at what comes.
fn serve(stream: &mut TcpStream, answer: &str, posted: &Sender<Posted>) -> bool {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
    let mut text = Vec::new();
    let mut piece = [0; 4096];
    let (head, body) = loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return true,
            Ok(bytes) => text.extend_from_slice(&piece[..bytes]),
        }
        let Some(at) = text.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&text[..at]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
        let body = text[at + 4..].to_vec();
        if body.len() >= length.unwrap_or(0) {
            break (head, body);
        }
    };
    let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
    // The answer first: who sees what was posted may look at its effect.
    let _ = stream.write_all(answer.as_bytes());
    if !answer.is_empty() {
        let _ = stream.shutdown(std::net::Shutdown::Write);
    }
    posted.send(Posted { path, head, body }).is_ok()
}

/// A whole answer.
pub fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

pub fn ok() -> String {
    answer("200 OK", "", "{\"ok\":true}")
}
