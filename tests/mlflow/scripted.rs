//! A server whose every byte a test decides.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// Which connection, from 0.
    pub connection: usize,
    /// Which request of all, from 0.
    pub nth: usize,
    /// First line and headers, lines ended by a line feed.
    pub head: String,
    pub body: Vec<u8>,
}

/// What the server does about a request.
pub enum Reply {
    /// Sends this and keeps the connection.
    Send(Vec<u8>),
    /// Sends this and closes the connection.
    Close(Vec<u8>),
    /// Sends the first, then the second byte by byte, one per pause.
    Dribble(Vec<u8>, Vec<u8>, Duration),
    /// Nothing, until the client gives up.
    Hang,
}

/// An answer with status 200.
pub fn ok(body: &str) -> Reply {
    status("200 OK", body)
}

/// Any answer, with a body that its head announces.
pub fn status(line: &str, body: &str) -> Reply {
    Reply::Send(format!("{}{body}", head(line, body.len())).into_bytes())
}

/// The head of an answer as uvicorn writes it.
pub fn head(line: &str, length: usize) -> String {
    format!("HTTP/1.1 {line}\r\nserver: uvicorn\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n\r\n")
}

/// Runs until it is dropped.
pub struct Server {
    pub port: u16,
    shared: Arc<Shared>,
    /// Dropped first: whatever waits stops then.
    stop: Option<Sender<()>>,
    accepting: Option<thread::JoinHandle<()>>,
}

struct Shared {
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
    script: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
}

impl Server {
    pub fn start(script: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared =
            Arc::new(Shared { requests: Mutex::default(), connections: Mutex::default(), script: Box::new(script) });
        let (stop, stopped) = channel();
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared, &Arc::new(Mutex::new(stopped))))
        };
        Self { port, shared, stop: Some(stop), accepting: Some(accepting) }
    }

    /// Connections that were accepted.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().unwrap().len()
    }

    /// All requests that were read to their end.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        for connection in self.shared.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)); // wakes the thread that accepts
        self.accepting.take().unwrap().join().unwrap();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, stopped: &Arc<Mutex<Receiver<()>>>) {
    let mut handlers = Vec::new();
    for stream in listener.incoming() {
        if matches!(stopped.lock().unwrap().try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected)) {
            break;
        }
        let stream = stream.unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = {
            let mut connections = shared.connections.lock().unwrap();
            connections.push(stream.try_clone().unwrap());
            connections.len() - 1
        };
        let (shared, stopped) = (Arc::clone(shared), Arc::clone(stopped));
        handlers.push(thread::spawn(move || serve(stream, connection, &shared, &stopped)));
    }
    for handler in handlers {
        handler.join().unwrap();
    }
}

/// One connection, until either side ends it.
fn serve(stream: TcpStream, connection: usize, shared: &Shared, stopped: &Mutex<Receiver<()>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    while let Some((head, body)) = read(&mut reader) {
        let request = {
            let mut requests = shared.requests.lock().unwrap();
            let request = Request { connection, nth: requests.len(), head, body };
            requests.push(request.clone());
            request
        };
        let goes_on = match (shared.script)(&request) {
            Reply::Send(bytes) => writer.write_all(&bytes).is_ok(),
            Reply::Close(bytes) => {
                let _ = writer.write_all(&bytes);
                false
            }
            Reply::Dribble(start, rest, pause) => {
                writer.write_all(&start).is_ok() && rest.iter().all(|byte| drip(&mut writer, *byte, pause, stopped))
            }
            Reply::Hang => {
                let _ = reader.read(&mut [0]); // ends when the client closes, or the server is dropped
                false
            }
        };
        if !goes_on {
            break;
        }
    }
    let _ = writer.shutdown(Shutdown::Both);
}

fn drip(writer: &mut TcpStream, byte: u8, pause: Duration, stopped: &Mutex<Receiver<()>>) -> bool {
    let over = stopped.lock().unwrap().recv_timeout(pause);
    over == Err(RecvTimeoutError::Timeout) && writer.write_all(&[byte]).is_ok()
}

/// A whole request, or nothing when the connection ended before it.
fn read(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(0) | Err(_) => return None,
            Ok(_) if line == "\r\n" => break,
            Ok(_) => head.push_str(&line.replace('\r', "")),
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
