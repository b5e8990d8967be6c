//! A CometBFT node of these tests: it says what it is told to say. It shares no code with the client.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use sentinel::http::Url;
use serde_json::{Value, json};

use super::CHAIN;

/// What a node does with one request.
#[derive(Clone)]
pub enum Reply {
    Result(Value),
    /// An error of the node: code, message, data.
    Fault(i64, &'static str, String),
    /// Anything of HTTP: status line, headers, body.
    Raw(&'static str, &'static str, String),
    /// The beginning of a result, and the end of the connection.
    BrokenOff(Value),
    /// The connection ends without a word.
    Drop,
    /// The connection stays open without a word.
    Hang,
}

type Script = Box<dyn FnMut(&str, &Value) -> Option<Reply> + Send>;

/// A node on a port of its own; it ends with this value.
pub struct Node {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, Value)>>>,
    script: Arc<Mutex<Script>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// A node that says only how it is, and refuses everything else.
    pub fn at(height: u64) -> Self {
        Self::with(height, |_, _| None)
    }

    /// The same with a script, which goes before.
    pub fn with(height: u64, script: impl FnMut(&str, &Value) -> Option<Reply> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let stopped = Arc::new(AtomicBool::new(false));
        let shared = (asked.clone(), script.clone(), stopped.clone());
        let thread = thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let (asked, script, stopped) = shared.clone();
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                thread::spawn(move || while serve(&connection, height, &asked, &script).is_some() {});
            }
        });
        Self { address, asked, script, stopped, thread: Some(thread) }
    }

    pub fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().unwrap()
    }

    pub fn name(&self) -> String {
        self.address.to_string()
    }

    /// From now on it follows this script.
    pub fn follow(&self, script: impl FnMut(&str, &Value) -> Option<Reply> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// How often a method has reached it.
    pub fn asked(&self, method: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, _)| asked == method).count()
    }

    /// What a method has reached it with, in order.
    pub fn params(&self, method: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(asked, _)| asked == method).map(|(_, params)| params.clone()).collect()
    }

    /// It has stopped listening, and a connection is refused.
    pub fn down(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.down();
    }
}

/// What a sound node says about itself.
pub fn status(height: u64) -> Value {
    status_of(CHAIN, height, "2027-01-15T08:00:00.000000000Z", false)
}

pub fn status_of(chain: &str, height: u64, time: &str, catching_up: bool) -> Value {
    json!({
        "node_info": { "network": chain, "version": "0.38.17" },
        "sync_info": {
            "latest_block_height": height.to_string(),
            "latest_block_time": time,
            "catching_up": catching_up,
        },
        "validator_info": { "voting_power": "0" },
    })
}

/// The answer to a query of the application.
pub fn query_answer(height: u64, value: &[u8]) -> Reply {
    let value = data_encoding::BASE64.encode(value);
    Reply::Result(json!({ "response": {
        "code": 0, "log": "", "info": "", "index": "0", "key": null, "value": value, "proofOps": null,
        "height": height.to_string(), "codespace": "",
    }}))
}

/// The application has refused a query; it says no height then.
pub fn query_refused(code: u32, log: &str) -> Reply {
    Reply::Result(json!({ "response": {
        "code": code, "log": log, "info": "", "index": "0", "key": null, "value": null, "proofOps": null,
        "height": "0", "codespace": "sdk",
    }}))
}

/// The answer to a broadcast.
pub fn check_tx(code: u32, log: &str) -> Reply {
    Reply::Result(json!({ "code": code, "data": "", "log": log, "codespace": "sdk", "hash": "AB" }))
}

pub fn not_found(hash: &str) -> Reply {
    Reply::Fault(-32_603, "Internal error", format!("tx ({hash}) not found"))
}

/// Reads one request and answers it; `None`: the connection is over.
fn serve(
    mut connection: &TcpStream,
    height: u64,
    asked: &Mutex<Vec<(String, Value)>>,
    script: &Mutex<Script>,
) -> Option<()> {
    let request = request(connection)?;
    let method = request["method"].as_str()?.to_owned();
    asked.lock().unwrap().push((method.clone(), request["params"].clone()));
    let scripted = script.lock().unwrap()(&method, &request["params"]);
    let reply = scripted.unwrap_or_else(|| match &*method {
        "status" => Reply::Result(status(height)),
        _ => Reply::Fault(-32_601, "Method not found", String::new()),
    });
    let id = &request["id"];
    let whole = match reply {
        Reply::Result(result) => json(&json!({ "jsonrpc": "2.0", "id": id, "result": result })),
        Reply::Fault(code, message, data) => {
            json(&json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message, "data": data } }))
        }
        Reply::Raw(status, headers, body) => {
            format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
        }
        Reply::BrokenOff(result) => {
            let whole = json(&json!({ "jsonrpc": "2.0", "id": id, "result": result }));
            connection.write_all(&whole.as_bytes()[..whole.len() - 10]).ok()?;
            connection.shutdown(Shutdown::Both).ok()?;
            return None;
        }
        Reply::Drop => {
            connection.shutdown(Shutdown::Both).ok()?;
            return None;
        }
        Reply::Hang => {
            // Until the client gives up.
            let _ = connection.read(&mut [0; 1]);
            return None;
        }
    };
    connection.write_all(whole.as_bytes()).ok()
}

fn json(body: &Value) -> String {
    let body = body.to_string();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn request(connection: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(connection);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
