//! The ping to a service that raises an alarm when it does not come.
//!
//! Pure, and the time comes in. Promise kept: it is sent only while the node does useful work and nothing urgent needs a person. When
//! that ends, one word says so, and then there is silence, so that the service alarms also when that word is lost.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, Verdict};
use serde::{Deserialize, Serialize};

use super::incident::{HOLDS_FOR, Turn};
use super::notice::Notice;

/// Bytes of what it says.
const SENTENCE_MAX: usize = 1024;

/// What to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ping {
    /// To the address with `/fail` behind it.
    pub is_fail: bool,
    pub sentence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Said {
    /// It works; pings go out.
    Works,
    /// That it does not.
    Fails,
    /// That it has ended.
    Ended,
}

/// What was said, and what is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadMan {
    said: Said,
    next: UtcMs,
    /// Since when it is not as was said; `None`: it is.
    #[serde(skip)]
    otherwise: Option<UtcMs>,
}

impl Default for DeadMan {
    fn default() -> Self {
        Self { said: Said::Works, next: UtcMs(0), otherwise: None }
    }
}

impl DeadMan {
    /// What is to be sent now; each is sent once, whether or not it arrives.
    pub fn due(&mut self, judgement: &Judgement, every: Duration, turn: Turn) -> Option<Ping> {
        if judgement.verdict == Verdict::Ended {
            return self.end(Notice::LastPing.code());
        }
        let (works, claimed) = (!judgement.is_bad(), self.said != Said::Fails);
        if works == claimed {
            self.otherwise = None;
            if !works || turn.now < self.next {
                return None;
            }
        } else {
            let since = *self.otherwise.get_or_insert(turn.now);
            if turn.now.since(since) < HOLDS_FOR {
                return None;
            }
            self.otherwise = None;
        }
        self.said = if works { Said::Works } else { Said::Fails };
        self.next = turn.now.plus(every);
        Some(Ping { is_fail: !works, sentence: shortened(&judgement.to_string()) })
    }

    /// The last ping of a competition that is over; `None` when it was sent.
    pub fn end(&mut self, sentence: &str) -> Option<Ping> {
        if self.said == Said::Ended {
            return None;
        }
        self.said = Said::Ended;
        Some(Ping { is_fail: false, sentence: sentence.to_owned() })
    }
}

fn shortened(sentence: &str) -> String {
    let mut end = sentence.len().min(SENTENCE_MAX);
    while !sentence.is_char_boundary(end) {
        end -= 1;
    }
    sentence[..end].to_owned()
}

#[cfg(test)]
mod tests;
