//! What one route has still to be told, and when it is tried: its budget, its pauses, and what becomes of a message that cannot be
//! delivered.
//!
//! Pure, and the time comes in. Promises kept: at most 20 messages in 24 hours, of which 10 are kept for what is urgent, and beyond
//! that a digest each hour; a route that fails is asked after 5 s, 30 s, 2 min, 10 min, and then each hour; what has waited for long
//! arrives as one message; what has waited for a day is dropped, and the next message says so.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use serde::{Deserialize, Serialize};

use super::incident::Turn;
use super::message::{Message, Urgency};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);
/// Messages in 24 hours.
pub const BUDGET: usize = 20;
/// Of these, for what is urgent.
pub const RESERVED: usize = 10;
/// Messages that wait.
pub const QUEUE: usize = 64;
/// After a failure, and then each hour.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(120), Duration::from_secs(600)];
/// Messages that have waited for longer become one.
const MERGED_AFTER: Duration = Duration::from_secs(600);
/// More than these are one message, however short they have waited.
const SINGLE_MAX: usize = 3;
/// A server cannot silence a route for longer.
const PAUSE_MAX: Duration = DAY;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    /// The server has taken the message.
    Accepted,
    /// It may work later; the server may have said when.
    Failed { retry_after: Option<Duration> },
    /// The server does not want it: address or token are wrong.
    Refused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Waiting {
    message: Message,
    queued: UtcMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sent {
    at: UtcMs,
    urgent: bool,
}

/// What is sent at once, and which messages it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    pub message: Message,
    covers: BTreeSet<String>,
    is_digest: bool,
}

/// Of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    queue: VecDeque<Waiting>,
    /// In the last 24 hours, without digests.
    sent: Vec<Sent>,
    /// Attempts in a row that did not succeed.
    failures: usize,
    /// Nothing is tried earlier.
    next: UtcMs,
    /// Since the last message that said so.
    dropped: u64,
    /// The last attempt was refused.
    #[serde(default)]
    pub broken: bool,
    #[serde(skip)]
    in_flight: bool,
}

impl Outbox {
    /// Takes a message. When too many wait, an older one is dropped: of those that are least urgent the oldest. Returns how many.
    pub fn push(&mut self, message: Message, turn: Turn) -> u64 {
        if self.queue.iter().any(|waiting| waiting.message.id == message.id) {
            return 0;
        }
        self.queue.push_back(Waiting { message, queued: turn.now });
        // What is under way keeps its place, so one more may wait meanwhile.
        let mut dropped = 0;
        while self.queue.len() > QUEUE && !self.in_flight {
            let least = self.queue.iter().map(|waiting| waiting.message.severity).max();
            let oldest = self.queue.iter().position(|waiting| Some(waiting.message.severity) == least);
            self.queue.remove(oldest.unwrap_or(0));
            dropped += 1;
        }
        self.dropped += dropped;
        dropped
    }

    /// Drops what has waited for a day. Returns how many.
    pub fn expire(&mut self, turn: Turn) -> u64 {
        if self.in_flight {
            return 0;
        }
        let before = self.queue.len();
        self.queue.retain(|waiting| turn.now.since(waiting.queued) < DAY);
        let dropped = u64::try_from(before - self.queue.len()).unwrap_or(u64::MAX);
        self.dropped += dropped;
        dropped
    }

    /// What is to be sent now. Its end must be told with [`Outbox::done`].
    pub fn due(&mut self, node: &str, turn: Turn) -> Option<Parcel> {
        if self.in_flight || turn.now < self.next {
            return None;
        }
        self.sent.retain(|sent| turn.now.since(sent.at) < DAY);
        let oldest = self.queue.front()?.queued;
        let is_late = turn.now.since(oldest) >= MERGED_AFTER;
        let affordable = self.queue.iter().find(|waiting| self.affords(waiting.message.severity));
        let mut parcel = match affordable {
            Some(_) if self.queue.len() > 1 && (is_late || self.queue.len() > SINGLE_MAX) => {
                self.all(node, turn, false)
            }
            Some(waiting) => Parcel {
                message: waiting.message.clone(),
                covers: [waiting.message.id.clone()].into(),
                is_digest: false,
            },
            None => {
                if turn.now.since(oldest) < HOUR {
                    return None;
                }
                self.all(node, turn, true)
            }
        };
        if self.dropped > 0 {
            let note = format!("{} earlier messages could not be delivered and were dropped.", self.dropped);
            let text = std::mem::take(&mut parcel.message.text);
            parcel.message.text = if text.is_empty() { note } else { format!("{text}\n{note}") };
        }
        self.in_flight = true;
        Some(parcel)
    }

    fn all(&self, node: &str, turn: Turn, is_digest: bool) -> Parcel {
        let parts: Vec<&Message> = self.queue.iter().map(|waiting| &waiting.message).collect();
        let covers = parts.iter().map(|part| part.id.clone()).collect();
        let message = match parts.as_slice() {
            [one] => (*one).clone(),
            many => {
                let why = if is_digest {
                    "More than this route is told in a day; this is the digest of an hour."
                } else if self.failures > 0 {
                    "This route could not be reached before."
                } else {
                    ""
                };
                Message::digest(node, why, many, turn.wall)
            }
        };
        Parcel { message, covers, is_digest }
    }

    fn affords(&self, severity: Urgency) -> bool {
        let others = self.sent.iter().filter(|sent| !sent.urgent).count();
        self.sent.len() < BUDGET && (severity == Urgency::Now || others < BUDGET - RESERVED)
    }

    /// How an attempt ended.
    pub fn done(&mut self, parcel: &Parcel, attempt: &Attempt, turn: Turn) {
        self.in_flight = false;
        match attempt {
            Attempt::Accepted => {
                self.queue.retain(|waiting| !parcel.covers.contains(&waiting.message.id));
                if !parcel.is_digest {
                    self.sent.push(Sent { at: turn.now, urgent: parcel.message.severity == Urgency::Now });
                }
                (self.failures, self.next, self.dropped, self.broken) = (0, turn.now, 0, false);
            }
            Attempt::Failed { retry_after } => {
                let pause = PAUSES.get(self.failures).copied().unwrap_or(HOUR);
                self.failures += 1;
                self.next = turn.now.plus(retry_after.map_or(pause, |after| after.min(PAUSE_MAX)));
                self.broken = false;
            }
            Attempt::Refused => {
                self.failures += 1;
                (self.next, self.broken) = (turn.now.plus(HOUR), true);
            }
        }
    }

    /// As an earlier run has left it. What was refused then is tried at once: the route may have another address now.
    #[must_use]
    pub fn taken_up(self) -> Self {
        let (next, broken) = if self.broken { (UtcMs(0), !self.is_empty()) } else { (self.next, false) };
        Self { next, broken, ..self }
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests;
