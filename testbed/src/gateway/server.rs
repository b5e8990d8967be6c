//! The socket: one thread, one REP socket, one message at a time. It reads, lets [`Core`] decide, and carries out the steps
//! in their order. It decides nothing itself, and sends no reply before its outcome is durable.

use std::io::Write as _;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::book::Book;
use super::clock::Clocks;
use super::core::Core;
use super::ledger::Ledger;
use super::options::{GatewayError, GatewayOptions};
use super::outcome::{Outcome, Step};
use super::reply::Answer;
use crate::FaultRule;

/// The longest that a shutdown is not noticed.
const CHECK_EVERY: Duration = Duration::from_millis(50);
/// A message beyond this is not read; its sender is cut off.
const MESSAGE_MAX: i64 = 1 << 20;
/// What was sent before the socket closes is given this long to leave.
const LINGER_MS: i32 = 250;
/// ZeroMQ frees a port some time after the socket was closed; a new bind is tried for this long.
const REBIND_WITHIN: Duration = Duration::from_secs(10);

pub struct Gateway {
    // Before the context, which waits for its sockets when it goes.
    socket: Option<zmq::Socket>,
    context: zmq::Context,
    endpoint: String,
    core: Core,
    clocks: Clocks,
    ledger: Ledger,
}

/// Runs a paper gateway until `shutdown` is cancelled, and prints `listening on ENDPOINT` on standard output once it does.
///
/// # Errors
/// When it cannot start, or the socket or the ledger fails.
pub fn serve(options: GatewayOptions, shutdown: &CancellationToken) -> Result<(), GatewayError> {
    let gateway = Gateway::bind(options)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on {}", gateway.endpoint()).and_then(|()| out.flush()).map_err(GatewayError::Output)?;
    drop(out);
    gateway.run(shutdown)
}

impl Gateway {
    /// Opens the ledger, reads the bars and listens. From here on messages are taken in, and answered by [`Gateway::run`].
    ///
    /// # Errors
    /// When one of these fails.
    pub fn bind(options: GatewayOptions) -> Result<Self, GatewayError> {
        FaultRule::require_effect(&options.faults)?;
        let market = options.market()?;
        let clocks = Clocks::new(options.clocks);
        let now = clocks.now();
        for (symbol, file) in &options.bars {
            if !now.replayed.contains_key(symbol) && market.end_ms(symbol).is_some_and(|end_ms| end_ms < now.wall_ms) {
                let bars = file.display();
                tracing::warn!(symbol, %bars, "the bars are over by the wall clock; the time of a replay comes by --clock");
            }
        }
        let (ledger, remembered) = Ledger::open(&options.ledger, options.account, options.balance)?;
        let book = Book::new(options.account, options.contract_size, remembered.balance, remembered.open);
        let chance = options.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let core = Core::new(market, book, remembered.numbers, options.faults, options.slippage, chance)
            .playing(options.traps, options.advisor);
        let context = zmq::Context::new();
        let wanted = match options.port {
            0 => format!("tcp://{}:*", options.host),
            port => format!("tcp://{}:{port}", options.host),
        };
        let socket = bind(&context, &wanted)?;
        let endpoint = match socket.get_last_endpoint() {
            Ok(Ok(endpoint)) => endpoint,
            Ok(Err(_)) => wanted,
            Err(source) => return Err(GatewayError::Socket { action: "asking for its address", source }),
        };
        Ok(Self { socket: Some(socket), context, endpoint, core, clocks, ledger })
    }

    /// Where it listens, for example `tcp://127.0.0.1:5555`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Answers until `shutdown` is cancelled.
    ///
    /// # Errors
    /// When the socket or the ledger fails.
    pub fn run(mut self, shutdown: &CancellationToken) -> Result<(), GatewayError> {
        while !shutdown.is_cancelled() {
            if let Some(raw) = self.next_message()? {
                let arrival = self.core.receive(&raw, self.clocks.now());
                if let Some(step) = arrival.first_step() {
                    self.step(step, shutdown)?;
                    if shutdown.is_cancelled() {
                        break; // what was still to come, a fill or a reply, does not come any more
                    }
                }
                let outcome = self.core.process(arrival, self.clocks.now());
                self.carry_out(&raw, &outcome, shutdown)?;
            }
        }
        Ok(())
    }

    fn next_message(&mut self) -> Result<Option<Vec<u8>>, GatewayError> {
        let socket = self.socket()?;
        let failed = |source| GatewayError::Socket { action: "reading", source };
        match socket.poll(zmq::POLLIN, millis(CHECK_EVERY)) {
            Ok(0) | Err(zmq::Error::EINTR) => return Ok(None),
            Ok(_) => {}
            Err(source) => return Err(failed(source)),
        }
        match socket.recv_multipart(zmq::DONTWAIT) {
            // Several frames are no message of any dialect; joined they are read as one that is no JSON.
            Ok(frames) => Ok(Some(frames.join(&b"\0"[..]))),
            Err(zmq::Error::EAGAIN | zmq::Error::EINTR) => Ok(None),
            Err(source) => Err(failed(source)),
        }
    }

    fn carry_out(&mut self, raw: &[u8], outcome: &Outcome, shutdown: &CancellationToken) -> Result<(), GatewayError> {
        for step in &outcome.steps {
            match step {
                Step::Commit => {
                    self.ledger.commit(raw, outcome)?;
                    report(outcome);
                }
                Step::Reply => {
                    reply(self.socket()?, &outcome.reply)?;
                    self.ledger.note_reply(outcome.seq)?;
                }
                step => {
                    self.step(*step, shutdown)?;
                    if matches!(step, Step::Wait(_)) && shutdown.is_cancelled() {
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// A step that needs no outcome.
    fn step(&mut self, step: Step, shutdown: &CancellationToken) -> Result<(), GatewayError> {
        match step {
            Step::Commit | Step::Reply => {}
            Step::Wait(duration) => wait(duration, shutdown),
            Step::Freeze(duration) => freeze(duration).map_err(GatewayError::Freeze)?,
            Step::Reopen(after) => {
                self.socket = None;
                wait(after, shutdown);
            }
            Step::Die => {
                let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
            }
        }
        Ok(())
    }

    /// The socket; a new one when the last was closed.
    fn socket(&mut self) -> Result<&zmq::Socket, GatewayError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => rebind(&self.context, &self.endpoint)?,
        };
        Ok(self.socket.insert(socket))
    }
}

fn bind(context: &zmq::Context, endpoint: &str) -> Result<zmq::Socket, GatewayError> {
    let failed = |source| GatewayError::Socket { action: "setting up", source };
    let socket = context.socket(zmq::REP).map_err(failed)?;
    socket.set_linger(LINGER_MS).map_err(failed)?;
    socket.set_maxmsgsize(MESSAGE_MAX).map_err(failed)?;
    socket.bind(endpoint).map_err(|source| GatewayError::Bind { endpoint: endpoint.to_owned(), source })?;
    Ok(socket)
}

/// A REP socket never blocks here: it drops a reply whose asker has gone.
fn reply(socket: &zmq::Socket, bytes: &[u8]) -> Result<(), GatewayError> {
    loop {
        match socket.send(bytes, 0) {
            Err(zmq::Error::EINTR) => {}
            sent => return sent.map_err(|source| GatewayError::Socket { action: "replying", source }),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bind is tried again in real time")]
fn rebind(context: &zmq::Context, endpoint: &str) -> Result<zmq::Socket, GatewayError> {
    let began = Instant::now();
    loop {
        match bind(context, endpoint) {
            Err(GatewayError::Bind { source: zmq::Error::EADDRINUSE, .. }) if began.elapsed() < REBIND_WITHIN => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other,
        }
    }
}

/// Stops this process. It cannot continue itself, so another process does it.
fn freeze(duration: Duration) -> std::io::Result<()> {
    let own = rustix::process::getpid();
    let (seconds, pid) = (duration.as_secs_f64().to_string(), own.as_raw_nonzero().to_string());
    let mut waker = std::process::Command::new("sh")
        .args(["-c", "sleep \"$0\"; kill -CONT \"$1\"", &seconds, &pid])
        .stdin(std::process::Stdio::null())
        .spawn()?;
    rustix::process::kill_process(own, rustix::process::Signal::STOP)?;
    waker.wait().map(drop)
}

/// Sleeps, and wakes up early to stop.
#[expect(clippy::disallowed_methods, reason = "a fault lasts in real time")]
fn wait(duration: Duration, shutdown: &CancellationToken) {
    let began = Instant::now();
    while !shutdown.is_cancelled() {
        let left = duration.saturating_sub(began.elapsed());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(CHECK_EVERY));
    }
}

/// One line for an order and for a refusal; questions are not worth one.
fn report(outcome: &Outcome) {
    let (seq, action) = (outcome.seq, outcome.parsed.action.as_str());
    let (dialect, id) = (outcome.parsed.dialect.name(), outcome.parsed.req_id.as_deref().unwrap_or("-"));
    let fault = outcome.fault.map_or("-", |fault| fault.name());
    if let Some(row) = &outcome.order {
        let (side, symbol, state) = (row.order.side.code(), &row.order.symbol, row.state.name());
        let price = row.price.map_or_else(|| "-".to_owned(), |price| price.to_string());
        let (filled, late_ms) =
            (row.filled, outcome.parsed.stated_ms.map(|stated| row.market_ms.saturating_sub(stated)));
        tracing::info!(
            seq,
            ticket = row.ticket,
            dialect,
            id,
            fault,
            late_ms,
            "{state}: {side} {filled} {symbol} at {price}"
        );
    } else if let Some(Answer::Refused(error)) = &outcome.answer {
        tracing::warn!(seq, dialect, id, fault, code = error.code, "refused {action:.40?}: {}", error.text);
    } else if outcome.fault.is_some() || matches!(outcome.answer, Some(Answer::Cached(_))) {
        tracing::info!(
            seq,
            dialect,
            id,
            fault,
            ticket = outcome.answer.as_ref().and_then(Answer::ticket),
            "not traded"
        );
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
