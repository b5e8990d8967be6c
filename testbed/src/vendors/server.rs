//! The vendors' sockets: a thread per connection, so that each fault is as simple as what it does to a socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use super::replies::reply;
use super::{Asked, Fault, Log, Options, base_url};

/// Lines of a request's head, and bytes of one.
const HEAD_MAX: usize = 100;
const LINE_MAX: u64 = 16 << 10;
/// How often a connection that waits looks whether the server ends.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// More than any client may read.
const OVERSIZE: usize = 17 << 20;
/// Of a dribble.
const BYTE_EVERY: Duration = Duration::from_millis(50);

/// A running server; it ends when this is dropped.
pub struct Vendors {
    address: SocketAddr,
    log: Log,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    options: Options,
    log: Log,
    number: AtomicU64,
    cpu_ns: AtomicU64,
    ends: AtomicBool,
}

/// A request's head.
#[derive(Default)]
struct Head {
    path: String,
    query: Vec<(String, String)>,
    authorization: String,
    closes: bool,
}

impl Vendors {
    /// Listens on loopback.
    ///
    /// # Errors
    /// When the system has no port.
    pub fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, log) = (listener.local_addr()?, Log::default());
        let shared = Arc::new(Shared {
            options,
            log: log.clone(),
            number: AtomicU64::new(0),
            cpu_ns: AtomicU64::new(0),
            ends: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        let thread = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if of_thread.ends.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = of_thread.clone();
                connections.push(thread::spawn(move || {
                    // A connection that breaks is the client's business.
                    let _ = shared.connection(stream);
                }));
            }
            for connection in connections {
                let _ = connection.join();
            }
        });
        Ok(Self { address, log, shared, thread: Some(thread) })
    }

    #[must_use]
    pub fn base_url(&self) -> String {
        base_url(self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What its answers have cost, for tests that measure a client in the same process.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.shared.cpu_ns.load(Ordering::SeqCst))
    }
}

impl Drop for Vendors {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn connection(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK_EVERY))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        while let Some(head) = self.head(&mut lines)? {
            let closes = head.closes;
            let before = clock_gettime(ClockId::ThreadCPUTime);
            let may_go_on = self.answer(&head, &mut stream);
            let after = clock_gettime(ClockId::ThreadCPUTime);
            let ns = (after.tv_sec - before.tv_sec) * 1_000_000_000 + after.tv_nsec - before.tv_nsec;
            self.cpu_ns.fetch_add(ns.unsigned_abs(), Ordering::SeqCst);
            if !may_go_on? || closes {
                break;
            }
        }
        Ok(())
    }

    /// The next request; `None`: there is none, or the server ends.
    fn head(&self, lines: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
        let mut head = Head::default();
        for index in 0..HEAD_MAX {
            let Some(line) = self.line(lines)? else { return Ok(None) };
            let line = line.trim_end();
            if index == 0 {
                let target = line.split(' ').nth(1).unwrap_or_default();
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                head.path = path.to_owned();
                head.query = query.split('&').filter_map(|pair| pair.split_once('=')).map(owned).collect();
            } else if line.is_empty() {
                return Ok(Some(head));
            } else if let Some((name, value)) = line.split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "authorization" => value.trim().clone_into(&mut head.authorization),
                    "connection" => head.closes = value.trim().eq_ignore_ascii_case("close"),
                    _ => {}
                }
            }
        }
        Ok(None)
    }

    fn line(&self, lines: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        loop {
            let read = io::Read::take(&mut *lines, LINE_MAX).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(String::from_utf8_lossy(&line).into_owned())),
                Err(error) if is_wait(&error) && !self.ends.load(Ordering::SeqCst) => {}
                Err(error) if is_wait(&error) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Answers; whether the connection may be used again.
    fn answer(&self, head: &Head, stream: &mut TcpStream) -> io::Result<bool> {
        let options = &self.options;
        let (number, at) = (self.number.fetch_add(1, Ordering::SeqCst) + 1, (options.now)());
        let in_query = head.query.iter().any(|(name, value)| name == "api_token" && *value == options.key);
        // Each vendor takes its own form only.
        let has_key = match head.path.starts_with("/api/") {
            true => head.authorization == format!("Bearer {}", options.key) || in_query,
            false => head.authorization == format!("Token {}", options.key),
        };
        let reply = reply(options, &head.path, &head.query, has_key);
        let fault = (options.plan)(number, at);
        let status = match &fault {
            Some(Fault::Status { code, .. }) => *code,
            _ => reply.status,
        };
        let query = head.query.iter().filter(|(name, _)| name != "api_token").cloned().collect();
        let rows = reply.rows;
        self.log.add(Asked { number, at, path: head.path.clone(), query, has_key, fault: fault.clone(), status, rows });
        let body = reply.body.as_bytes();
        match fault {
            None => whole(stream, status, &[], at, body),
            Some(Fault::DateOff(seconds)) => whole(stream, status, &[], at + seconds * 1000, body),
            Some(Fault::Status { code, headers, body }) => whole(stream, code, &headers, at, body.as_bytes()),
            Some(Fault::Compressed) => {
                whole(stream, status, &[("Content-Encoding", "gzip".to_owned())], at, &gzip(body))
            }
            Some(Fault::Reset) => Ok(false),
            Some(Fault::Hang) => {
                self.wait_for_client(stream);
                Ok(false)
            }
            Some(Fault::Truncated) => {
                begin(stream, status, &[], at, body.len())?;
                stream.write_all(&body[..body.len() / 2])?;
                Ok(false)
            }
            Some(Fault::Oversized) => {
                begin(stream, status, &[], at, OVERSIZE)?;
                let block = [b' '; 64 << 10];
                for _ in 0..OVERSIZE / block.len() {
                    stream.write_all(&block)?;
                }
                Ok(true)
            }
            Some(Fault::Dribble) => {
                begin(stream, status, &[], at, body.len())?;
                for byte in body {
                    stream.write_all(&[*byte])?;
                    thread::sleep(BYTE_EVERY);
                    if self.ends.load(Ordering::SeqCst) {
                        break;
                    }
                }
                Ok(true)
            }
        }
    }

    /// Until the client goes away or the server ends.
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

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn begin(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], at: i64, length: usize) -> io::Result<()> {
    let date = Timestamp::from_millisecond(at).unwrap_or_default().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let mut head = format!(
        "HTTP/1.1 {status} {}\r\nDate: {date}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         X-RateLimit-Limit: 1000\r\nX-RateLimit-Remaining: 998\r\n",
        if status == 200 { "OK" } else { "No" }
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())
}

fn whole(stream: &mut TcpStream, status: u16, headers: &[(&str, String)], at: i64, body: &[u8]) -> io::Result<bool> {
    begin(stream, status, headers, at, body.len())?;
    stream.write_all(body)?;
    Ok(true)
}

/// A file of gzip (RFC 1952) that holds `data` as it is.
fn gzip(data: &[u8]) -> Vec<u8> {
    const BLOCK_MAX: usize = 0xffff;
    let mut file = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let blocks = data.len().div_ceil(BLOCK_MAX);
    for (index, block) in data.chunks(BLOCK_MAX).enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        file.push(u8::from(index + 1 == blocks));
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&(!length).to_le_bytes());
        file.extend_from_slice(block);
    }
    let crc = !data.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    });
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    file
}
