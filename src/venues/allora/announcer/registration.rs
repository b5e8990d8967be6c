//! A live worker is registered in its topic, once: through the broadcaster, whose outbox knows of it whatever dies.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;

use super::WindowAnnouncer;
use super::memory::Memory;
use super::waiting::unfunded;
use crate::http::Deadline;
use crate::venues::allora::broadcaster::{Message, NotSent, Outcome, Request};
use crate::venues::allora::errors::Class;
use crate::venues::allora::fees::FeeError;
use crate::venues::allora::money;
use crate::venues::allora::queries::{Topic, WindowStatus};

/// Blocks in which a registration may land.
const LAST_AFTER: u64 = 20;
/// About an hour, after one that has cost its fee and failed.
const BLOCKS_AFTER_FAILURE: u64 = 600;
/// After one that has cost nothing.
const BLOCKS_AFTER_REFUSAL: u64 = 10;

/// A registration and an inference each need a block, and one to spare.
const BLOCKS_TO_USE: u64 = 3;
/// A competition's worker is registered an epoch before its start, and at least so long before.
const AHEAD_MIN: Duration = Duration::from_secs(600);
/// With less time than this nothing is begun.
const LEAST: Duration = Duration::from_millis(500);

/// How far it is.
#[derive(Default)]
pub(super) struct Registration {
    /// Part of the submission's key: one that failed in a block is not tried again under the same.
    attempt: u32,
    /// Not again before this block.
    not_before: u64,
    /// Why it is waited for.
    why: Option<String>,
}

impl WindowAnnouncer {
    /// Registers a worker that may be; says what that waits for.
    pub(super) async fn register(
        &self,
        memory: &mut Memory,
        status: &WindowStatus,
        topic: &Topic,
        now: UtcMs,
        until: Deadline,
    ) -> Option<String> {
        let broadcaster = self.parts.broadcaster.as_ref()?;
        if status.is_registered {
            memory.registration.why = None;
            return None;
        }
        if !self.has_window_left(memory, status, now) {
            return Some(format!(
                "the worker is not registered in topic {}, and no window opens before the competition's end",
                self.parts.topic
            ));
        }
        let Some((_, purse)) = memory.purse else { return Some("the balance is not known yet".to_owned()) };
        if purse.missing(false) > 0 {
            return Some(unfunded(&self.parts.worker, &purse, false));
        }
        let ahead = memory.meter.blocks(topic.epoch_length).max(AHEAD_MIN);
        if let Some(start) = self.parts.competition.start.filter(|start| now.plus(ahead) < *start) {
            return Some(format!(
                "the worker is not registered in topic {} yet: it is shortly before the competition starts at {start}",
                self.parts.topic
            ));
        }
        if let Err(why) = (self.parts.may_send)() {
            return Some(format!(
                "the worker is not registered in topic {}, and nothing is sent: {why}",
                self.parts.topic
            ));
        }
        if status.height < memory.registration.not_before || until.left() < LEAST {
            return memory.registration.why.clone();
        }
        let topic = self.parts.topic;
        let key = format!("register:{topic}:{}", memory.registration.attempt);
        let message = Message::Register { topic_id: topic };
        let last_height = status.height.saturating_add(LAST_AFTER);
        let outcome = broadcaster.submit(&Request { key: &key, message, last_height }, until).await;
        memory.registration.after(outcome, topic, status.height);
        memory.registration.why.clone()
    }

    /// Whether a registration can be of any use: it costs its fee also when no window of the competition is left.
    fn has_window_left(&self, memory: &Memory, status: &WindowStatus, now: UtcMs) -> bool {
        let Some(end) = self.parts.competition.end else { return true };
        let is_usable = status.is_open && status.height.saturating_add(BLOCKS_TO_USE) <= status.end;
        let next = if is_usable { now } else { memory.next(status, now).unwrap_or(now) };
        now.max(next) < end
    }
}

impl Registration {
    fn after(&mut self, outcome: Outcome, topic: u64, height: u64) {
        let waits = |why: String| Some(format!("the worker is not registered in topic {topic} yet: {why}"));
        match outcome {
            Outcome::Included(receipt) if receipt.height >= height => {
                tracing::info!(
                    event = "allora_registered",
                    topic,
                    hash = %receipt.hash,
                    height = receipt.height,
                    fee_uallo = %receipt.fee_uallo,
                    "the worker is registered in its topic"
                );
                self.why = waits("the block that registers it is not known everywhere".to_owned());
            }
            // The chain has taken it back.
            Outcome::Included(_) => {
                self.attempt += 1;
                self.not_before = height.saturating_add(BLOCKS_AFTER_REFUSAL);
                self.why = waits("it was before, and the chain knows it no more; it is registered again".to_owned());
            }
            Outcome::Failed { class: Class::AlreadyRegistered, .. }
            | Outcome::Refused { class: Class::AlreadyRegistered, .. } => self.why = None,
            Outcome::Failed { text, .. } => {
                self.attempt += 1;
                self.not_before = height.saturating_add(BLOCKS_AFTER_FAILURE);
                self.why = waits(format!("it failed in a block and is tried again in about an hour: {text}"));
            }
            Outcome::Refused { text, .. } => {
                self.not_before = height.saturating_add(BLOCKS_AFTER_REFUSAL);
                self.why = waits(text);
            }
            Outcome::NotSent(error) => {
                self.not_before = height.saturating_add(BLOCKS_AFTER_REFUSAL);
                self.why = waits(steady(&error));
            }
            Outcome::Unproven { hash, .. } => {
                self.not_before = height.saturating_add(BLOCKS_AFTER_FAILURE);
                self.why =
                    waits(format!("nobody can tell what became of transaction {hash}: look for it in an explorer"));
            }
            Outcome::Unknown { hash, .. } => self.why = waits(format!("transaction {hash} is on its way")),
        }
    }
}

/// The same words for the same trouble, whatever the block and the price: each change is a line in the log.
fn steady(error: &NotSent) -> String {
    match error {
        NotSent::Busy { .. } => "another transaction of this wallet may still get into a block".to_owned(),
        NotSent::TooLate { .. } => "the chain went on before it could leave; it is tried again".to_owned(),
        NotSent::Client(_) => {
            "the endpoints do not answer what it needs; `sentinel allora status` shows how they are".to_owned()
        }
        NotSent::Fee(FeeError::AboveCap { fee, cap }) => format!(
            "it would cost about {} uallo, and one transaction may cost {cap}: wait for a lower price, or raise the cap",
            money::rounded_up(*fee)
        ),
        NotSent::Fee(FeeError::AboveDaysCap { cap, .. }) => format!(
            "with it more than {cap} uallo would be offered within 24 hours, which is the cap: wait, or raise the cap of a day"
        ),
        NotSent::Fee(FeeError::AboveBalance { .. }) => {
            "it would cost more than the wallet has: send it ALLO".to_owned()
        }
        other => chain(other),
    }
}
