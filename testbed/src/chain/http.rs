//! The JSON-RPC socket of a node: a thread per connection, so that each fault is as simple as what it does to a socket.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::port::listen;
use super::rpc::{self, Call, RpcError};
use super::shared::{Shared, Transport};

/// Lines of a request's head, bytes of one, and bytes of a body.
const HEAD_MAX: usize = 100;
const LINE_MAX: u64 = 64 << 10;
const BODY_MAX: usize = 8 << 20;
/// How often a connection that waits looks whether the node ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A node's socket; it ends when this is dropped, and so do its connections.
pub(super) struct Server {
    address: SocketAddr,
    running: Arc<Running>,
    thread: Option<JoinHandle<()>>,
}

struct Running {
    shared: Arc<Shared>,
    node: usize,
    ends: AtomicBool,
    streams: Mutex<Vec<TcpStream>>,
}

struct Request {
    method: String,
    target: String,
    body: Vec<u8>,
    closes: bool,
}

impl Server {
    /// Listens there.
    pub(super) fn start(shared: Arc<Shared>, node: usize, address: SocketAddr) -> io::Result<Self> {
        let listener = listen(address)?;
        let running = Arc::new(Running { shared, node, ends: AtomicBool::new(false), streams: Mutex::default() });
        let of_thread = Arc::clone(&running);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ends.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                if let Ok(other) = stream.try_clone() {
                    let mut streams = of_thread.streams.lock().unwrap_or_else(PoisonError::into_inner);
                    streams.retain(|stream| stream.peer_addr().is_ok());
                    streams.push(other);
                }
                let running = Arc::clone(&of_thread);
                // A connection that breaks is the client's business.
                thread::spawn(move || running.connection(stream));
            }
        });
        Ok(Self { address, running, thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.ends.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.running.streams.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Running {
    fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = self.request(&mut reader)? {
            if !self.answer(&request, &mut stream)? || request.closes {
                break;
            }
        }
        stream.shutdown(Shutdown::Both)
    }

    /// The next request; `None`: there is none, or the node ends.
    fn request(&self, reader: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut request = Request { method: String::new(), target: String::new(), body: Vec::new(), closes: false };
        let mut length = 0;
        for index in 0..HEAD_MAX {
            let Some(line) = self.line(reader)? else { return Ok(None) };
            let line = line.trim_end();
            if index == 0 {
                let mut words = line.split(' ');
                request.method = words.next().unwrap_or_default().to_owned();
                request.target = words.next().unwrap_or_default().to_owned();
            } else if line.is_empty() {
                return Ok(self.body(reader, length)?.map(|body| Request { body, ..request }));
            } else if let Some((name, value)) = line.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(usize::MAX),
                    "connection" => request.closes = value.trim().eq_ignore_ascii_case("close"),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn line(&self, reader: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        loop {
            match io::Read::take(&mut *reader, LINE_MAX).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                Err(error) if is_wait(&error) && !self.ends.load(Ordering::SeqCst) => {}
                Err(_) => return Ok(None),
            }
        }
    }

    fn body(&self, reader: &mut BufReader<TcpStream>, length: usize) -> io::Result<Option<Vec<u8>>> {
        if length > BODY_MAX {
            return Ok(None);
        }
        let (mut body, mut filled) = (vec![0; length], 0);
        while filled < length {
            match reader.read(&mut body[filled..]) {
                Ok(0) => return Ok(None),
                Ok(read) => filled += read,
                Err(error) if is_wait(&error) && !self.ends.load(Ordering::SeqCst) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(Some(body))
    }

    /// Answers; whether the connection may be used again.
    fn answer(&self, request: &Request, stream: &mut TcpStream) -> io::Result<bool> {
        let call = match (request.method.as_str(), request.target.as_str()) {
            ("POST", _) => Call::of_body(&request.body),
            ("GET", target) => Ok(of_target(target)),
            _ => return self.whole(stream, 405, &[], "text/plain", b"Method Not Allowed"),
        };
        let call = match call {
            Ok(call) => call,
            Err(error) => return self.send(stream, 200, &rpc::body(&Value::Null, &Err(error))),
        };
        let names = call.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (answer, fault) = self.shared.handle((self.node, Transport::JsonRpc), &names, |world, fault| {
            let before = world.broadcast_count();
            let answer = rpc::answer(world, self.node, &call, fault);
            let broadcast = world.broadcast_after(before).map(|it| (it.hash.clone(), it.reception.clone()));
            (answer, broadcast)
        });
        let answer = answer.unwrap_or_else(|| Err(RpcError::internal("")));
        let status = if call.is_uri && answer.is_err() { 500 } else { 200 };
        self.finish(stream, fault.as_ref(), status, &rpc::body(&call.id, &answer))
    }

    fn finish(&self, stream: &mut TcpStream, fault: Option<&Fault>, status: u16, body: &[u8]) -> io::Result<bool> {
        match fault {
            Some(Fault::LostReply) => Ok(false),
            Some(Fault::Reset) => {
                rustix::net::sockopt::set_socket_linger(&*stream, Some(Duration::ZERO))?;
                self.forget(stream);
                Ok(false)
            }
            Some(Fault::Hang) => {
                self.wait_for_client(stream);
                Ok(false)
            }
            Some(Fault::Http(status, after)) => {
                let headers: Vec<_> = after.iter().map(|seconds| ("Retry-After", seconds.to_string())).collect();
                self.whole(stream, *status, &headers, "text/plain", b"no")
            }
            Some(Fault::Html) => {
                self.whole(stream, 200, &[], "text/html", b"<html><body>Welcome to nginx!</body></html>")
            }
            Some(Fault::Truncated) => self.send(stream, status, &body[..body.len() / 2]),
            Some(Fault::CutOff) => {
                self.begin(stream, status, &[], "application/json", body.len())?;
                stream.write_all(&body[..body.len() / 2])?;
                Ok(false)
            }
            Some(Fault::GoAway) => {
                self.whole(stream, status, &[("Connection", "close".to_owned())], "application/json", body)?;
                Ok(false)
            }
            Some(Fault::Delay(time)) => {
                thread::sleep(*time);
                self.send(stream, status, body)
            }
            _ => self.send(stream, status, body),
        }
    }

    fn begin(
        &self,
        stream: &mut TcpStream,
        status: u16,
        headers: &[(&str, String)],
        content_type: &str,
        length: usize,
    ) -> io::Result<()> {
        let reason = if status == 200 { "OK" } else { "No" };
        let mut head =
            format!("HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n");
        let date = self.shared.date(self.node).map(|date| ("Date", date));
        for (name, value) in date.iter().chain(headers) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes())
    }

    fn whole(
        &self,
        stream: &mut TcpStream,
        status: u16,
        headers: &[(&str, String)],
        content_type: &str,
        body: &[u8],
    ) -> io::Result<bool> {
        self.begin(stream, status, headers, content_type, body.len())?;
        stream.write_all(body)?;
        Ok(true)
    }

    fn send(&self, stream: &mut TcpStream, status: u16, body: &[u8]) -> io::Result<bool> {
        self.whole(stream, status, &[], "application/json", body)
    }

    /// Drops the other handle of a stream, so that the connection ends when its own one does.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.retain(|other| other.peer_addr().ok() != peer);
    }

    /// Until the client goes away or the node ends.
    fn wait_for_client(&self, stream: &TcpStream) {
        let mut byte = [0];
        while !self.ends.load(Ordering::SeqCst) {
            match stream.peek(&mut byte) {
                Ok(0) => break,
                Err(error) if !is_wait(&error) => break,
                _ => thread::sleep(LOOK_EVERY),
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

/// A call of a query string, such as `/tx?hash=0xAB`.
fn of_target(target: &str) -> Call {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let params: Map<String, Value> = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), json!(decoded(value))))
        .collect();
    let method = path.trim_matches('/').to_owned();
    Call { id: json!(-1), method, params: Value::Object(params), is_uri: true }
}

/// Without percent signs.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let escaped = digits.filter(|_| first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(escaped.unwrap_or(if first == b'+' { b' ' } else { first }));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
