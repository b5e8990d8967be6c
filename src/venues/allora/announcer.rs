//! Announces the windows of one topic to one worker, and says what became of its inferences.
//!
//! Each answer rests on the chain's state at one block: which window is open, which passed while nobody asked, and why none could be
//! used. What keeps a worker from submitting is waited for and said; it never ends anything. A live worker that is not registered is
//! registered once.

mod memory;
mod meter;
mod registration;
mod waiting;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::announced::{Announcement, InvalidAnnouncement};
use sentinel_actors::domain::fact::{Awaits, Fact};
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Announcer, FeedAnswer, FeedError, FeedRequest, PortFuture, elapsed_now};

use super::address::Address;
use super::broadcaster::Broadcaster;
use super::client::{Client, ClientError};
use super::proof::{self, Claim, Prover, Results, Seen};
use super::queries::{Topic, WindowStatus};
use super::windows::{Again, NEAR_BLOCKS, Verdict, Window};
use crate::http::Deadline;

use self::memory::{Known, Memory};
use self::waiting::Unusable;

/// What an answer may take less than it is allowed to.
const SPARE: Duration = Duration::from_millis(300);
/// What is not asked for when less than this is left, so that the rest of the answer is not lost.
const REST: Duration = Duration::from_millis(500);
/// By how much the time of a block may be wrong that is only estimated.
const UNSURE: Duration = Duration::from_secs(60);
/// Longest pause between two questions, and that of what only a person can change.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// While there is more to find out.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// While a window cannot be announced because the header of its block is not there yet.
const PAUSE_UNANNOUNCED: Duration = Duration::from_secs(1);
/// Blocks whose results are asked for in one answer, and inferences that are looked after.
const RESULTS_MAX: usize = 16;
const FACTS_MAX: usize = 8;
/// The topic, the parameters and the balance are read again after so many blocks.
const OLD_BLOCKS: u64 = 100;
/// So many blocks after the last window of a competition its proof is waited for.
const PROOF_BLOCKS: u64 = 60;

/// Asks whether something may be sent that no intent stands for; else why not.
pub type MaySend = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What an announcer is made of.
pub struct AnnouncerParts {
    pub client: Arc<Client>,
    pub topic: u64,
    pub worker: Address,
    /// Registers a live worker; a dry run has none.
    pub broadcaster: Option<Arc<Broadcaster>>,
    /// Whether something may be sent now; else why not.
    pub may_send: MaySend,
    /// In the chain's time.
    pub competition: schedule::Window,
    /// Time from block to block until it is measured.
    pub block: Duration,
}

/// The windows of one topic, for one worker.
pub struct WindowAnnouncer {
    parts: AnnouncerParts,
    memory: tokio::sync::Mutex<Memory>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Announcement(#[from] InvalidAnnouncement),
}

/// The time of the newest block.
struct Now {
    time: UtcMs,
    /// By a header or an endpoint's status.
    is_exact: bool,
}

impl WindowAnnouncer {
    #[must_use]
    pub fn new(parts: AnnouncerParts) -> Self {
        Self { parts, memory: tokio::sync::Mutex::default() }
    }

    async fn answer(&self, memory: &mut Memory, request: &FeedRequest, until: Deadline) -> Result<FeedAnswer, Trouble> {
        memory.hear(request);
        if let Err(Unusable(why)) = self.read_topic(memory, until).await? {
            let now = self.parts.client.endpoints().latest(until).await.map_err(ClientError::from)?.time;
            let (as_of, waits_for) = (Some(now), Some(why));
            return Ok(FeedAnswer { as_of, waits_for, ask_again: PAUSE_MAX, ..FeedAnswer::default() });
        }
        let status = self.parts.client.window_status(self.parts.topic, &self.parts.worker, until).await?;
        self.refresh(memory, &status, until).await?;
        let Some(known) = memory.topic.clone() else { return Ok(FeedAnswer::default()) };
        let topic = &known.topic;
        // What follows may be slow. What is known by then is answered all the same.
        let soon = until.less(REST);
        let Now { time: now, is_exact } = self.now(memory, status.height, until, soon).await?;
        memory.learn(&status, topic);
        self.announce(memory, status.height, now, soon).await?;
        let has_news = !memory.announced.is_empty();
        if !has_news || status.height >= status.end {
            self.catch_up(memory, topic, soon).await;
            self.announce(memory, status.height, now, soon).await?;
        }
        let is_near = (1..=NEAR_BLOCKS).contains(&status.next_start.saturating_sub(status.height));
        let mut facts = Vec::new();
        let oldest = memory.oldest_unknown();
        let mut has_more = oldest.is_some();
        let mut waits_for = self.waits_for(&status);
        if !has_news && !is_near {
            let seen = Seen { status: &status, topic, epochs_kept: known.epochs_kept };
            has_more |= self.prove(memory, request, seen, &mut facts, soon).await;
        }
        if !has_news && (!is_near || !status.is_registered) {
            self.count_money(memory, &status, topic, soon).await;
        }
        if waits_for.is_none() {
            let registration = self.register(memory, &status, topic, now, soon).await;
            waits_for = registration.or_else(|| self.unfunded(memory, &status));
        }
        let held_until = self.held(memory, request, &facts, &status, topic, now);
        let mut as_of = if is_exact { now } else { now.minus(UNSURE) };
        if let Some(nonce) = oldest {
            let opens = memory.meter.estimate(status.height, now, nonce);
            as_of = as_of.min(opens.minus(Duration::from_millis(1)));
        }
        Ok(FeedAnswer {
            withdrawn: memory.taken_back(request, &status, topic),
            announced: memory.announced.values().cloned().collect(),
            facts,
            as_of: Some(held_until.map_or(as_of, |held| as_of.min(held))),
            waits_for,
            next: memory.next(&status, now),
            // A dry run pays nothing.
            runway: self.parts.broadcaster.as_ref().and_then(|_| memory.runway(topic)),
            ask_again: self.pause(memory, request, &status, topic, has_more || held_until.is_some()),
        })
    }

    /// The topic anew, when it does not fit what the chain says about the window, or is old. Not while a window waits.
    async fn refresh(&self, memory: &mut Memory, status: &WindowStatus, until: Deadline) -> Result<(), Trouble> {
        let Some(known) = &memory.topic else { return Ok(()) };
        let fits = known.topic.epoch_last_ended.saturating_add(known.topic.epoch_length) == status.next_start;
        let is_old = known.height.saturating_add(OLD_BLOCKS) <= status.height;
        if status.is_open || fits && !is_old {
            return Ok(());
        }
        let topic = self.parts.client.topic(self.parts.topic, until).await?;
        let epochs_kept = match is_old {
            true => self.parts.client.params(until).await?.epochs_kept,
            false => known.epochs_kept,
        };
        memory.topic = Some(Known { topic, epochs_kept, height: status.height });
        Ok(())
    }

    /// When a committed block was; of one that is pruned, about when.
    async fn time_of(&self, memory: &mut Memory, height: u64, until: Deadline) -> Result<UtcMs, Trouble> {
        if let Some(time) = memory.times.get(&height) {
            return Ok(*time);
        }
        let time = match self.parts.client.endpoints().header(height, until).await {
            Ok(header) => header.time,
            Err(error)
                if proof::is_pruned(&error) && memory.meter.newest().is_some_and(|(newest, _)| height < newest) =>
            {
                let (newest, now) = memory.meter.newest().unwrap_or_default();
                memory.meter.estimate(newest, now, height)
            }
            Err(error) => return Err(ClientError::from(error).into()),
        };
        memory.times.insert(height, time);
        while memory.times.len() > 64 {
            memory.times.pop_first();
        }
        Ok(time)
    }

    /// When the block of an answer was. The backend that is asked for its header may be a block behind the one that has answered; then
    /// it is about when.
    async fn now(&self, memory: &mut Memory, height: u64, until: Deadline, soon: Deadline) -> Result<Now, Trouble> {
        let error = match self.time_of(memory, height, soon).await {
            Ok(time) => {
                memory.meter.observe(height, time, elapsed_now());
                return Ok(Now { time, is_exact: true });
            }
            Err(error) => error,
        };
        let tip = self.parts.client.endpoints().latest(until).await.ok().map(|tip| (tip.height, tip.time));
        match tip.or_else(|| memory.meter.newest()) {
            Some((seen, time)) if seen == height => {
                memory.times.insert(height, time);
                memory.meter.observe(height, time, elapsed_now());
                Ok(Now { time, is_exact: true })
            }
            Some((seen, time)) => Ok(Now { time: memory.meter.estimate(seen, time, height), is_exact: false }),
            None => Err(error),
        }
    }

    /// Announces the windows that were found, the newest one first, because it may be open. One whose time is not known yet is
    /// announced by a later answer.
    async fn announce(&self, memory: &mut Memory, height: u64, now: UtcMs, until: Deadline) -> Result<(), Trouble> {
        let found: Vec<Window> = memory.unannounced().rev().collect();
        let mut failed = None;
        for window in found {
            if let Err(error) = self.announce_one(memory, window, height, now, until).await {
                // A block that has just come is not known everywhere.
                failed = failed.or(Some(error).filter(|_| window.nonce < height));
                if until.left().is_zero() {
                    break;
                }
            }
        }
        failed.filter(|_| memory.announced.is_empty()).map_or(Ok(()), Err)
    }

    async fn announce_one(
        &self,
        memory: &mut Memory,
        Window { nonce, end }: Window,
        height: u64,
        now: UtcMs,
        until: Deadline,
    ) -> Result<(), Trouble> {
        let opens = self.time_of(memory, nonce, until).await?;
        if !self.parts.competition.contains(opens) {
            memory.forget(nonce);
            return Ok(());
        }
        let closes = match end <= height {
            true => self.time_of(memory, end, until).await?,
            false => memory.meter.latest(height, now, end),
        };
        memory.announced.insert(nonce, Announcement::new(nonce.to_string(), opens, closes.max(opens))?);
        memory.ends.insert(nonce, end);
        while memory.ends.len() > 64 {
            memory.ends.pop_first();
        }
        Ok(())
    }

    /// Looks for windows that passed, as many as there is time for. What fails is asked for again with the next question.
    async fn catch_up(&self, memory: &mut Memory, topic: &Topic, until: Deadline) {
        // Half of the time is for the times of what is found.
        let prover = self.prover(until.less(until.left() / 2));
        for _ in 0..RESULTS_MAX {
            let Some(windows) = &mut memory.windows else { return };
            let Some(nonce) = windows.wanted() else { return };
            let verdict = match prover.results(nonce).await {
                Ok(Results::Kept(results)) => proof::opened(&results, topic.id, nonce),
                Ok(Results::Pruned) => Verdict::Pruned,
                Err(_) => return,
            };
            windows.judge(nonce, verdict, topic);
        }
    }

    fn prover(&self, until: Deadline) -> Prover<'_> {
        Prover { client: &self.parts.client, worker: self.parts.worker, until }
    }

    /// What the chain says about inferences that await it. Returns whether there may be more at once.
    async fn prove(
        &self,
        memory: &mut Memory,
        request: &FeedRequest,
        seen: Seen<'_>,
        facts: &mut Vec<(IntentKey, Fact)>,
        until: Deadline,
    ) -> bool {
        let height = seen.status.height;
        let mut claims: Vec<_> =
            request.awaiting.iter().filter_map(|intent| Some((&intent.key, Claim::of(intent)?))).collect();
        // None that fails keeps the others from being asked about.
        let is_failing = |claim: &Claim| memory.failing.contains(&claim.nonce);
        claims.sort_by_key(|(_, claim)| (claim.awaits == Awaits::Score, is_failing(claim), claim.nonce));
        let pause = (seen.topic.epoch_length / 4).max(1);
        let is_due = |claim: &Claim| match claim.awaits {
            Awaits::Score => {
                let asked = memory.scores_asked.get(&claim.nonce);
                height >= claim.scored_from(seen.topic)
                    && asked.is_none_or(|asked| asked.saturating_add(pause) <= height)
            }
            Awaits::Admission | Awaits::Storage => true,
        };
        claims.retain(|(_, claim)| is_due(claim));
        let has_more = claims.len() > FACTS_MAX;
        for (key, claim) in claims.into_iter().take(FACTS_MAX) {
            if claim.awaits == Awaits::Score {
                memory.scores_asked.insert(claim.nonce, height);
            }
            let answer = self.prover(until).ask(&claim, seen).await;
            match answer {
                Ok(fact) => {
                    memory.failing.remove(&claim.nonce);
                    facts.extend(fact.map(|fact| (key.clone(), fact)));
                }
                // What was found so far is not lost; the rest is asked for again.
                Err(_) if until.left().is_zero() => {
                    memory.scores_asked.remove(&claim.nonce);
                    return false;
                }
                Err(_) => {
                    memory.failing.insert(claim.nonce);
                }
            }
        }
        while memory.failing.len() > 1_000 {
            memory.failing.pop_first();
        }
        while memory.scores_asked.len() > 1_000 {
            memory.scores_asked.pop_first();
        }
        has_more
    }

    /// Time that is not answered as known yet, because after a competition's end its last windows are still to be proven.
    fn held(
        &self,
        memory: &Memory,
        request: &FeedRequest,
        facts: &[(IntentKey, Fact)],
        status: &WindowStatus,
        topic: &Topic,
        now: UtcMs,
    ) -> Option<UtcMs> {
        let end = self.parts.competition.end.filter(|end| now >= *end)?;
        let ends = |fact: &Fact| !matches!(fact, Fact::Admitted);
        let proven: BTreeSet<&IntentKey> = facts.iter().filter(|(_, fact)| ends(fact)).map(|(key, _)| key).collect();
        memory
            .is_outstanding(request, &proven, status, topic, PROOF_BLOCKS)
            .then(|| end.minus(Duration::from_millis(1)))
    }

    fn pause(
        &self,
        memory: &Memory,
        request: &FeedRequest,
        status: &WindowStatus,
        topic: &Topic,
        is_urgent: bool,
    ) -> Duration {
        let block = memory.meter.elapsed_block().unwrap_or(self.parts.block);
        let waits = !memory.announced.is_empty()
            || request.open.iter().any(|slot| slot.id.parse() == Ok(status.nonce) && status.is_open);
        let again = memory.windows.as_ref().map_or(Again::NextBlock, |windows| windows.again(status, topic, waits));
        let pause = block.saturating_mul(u32::try_from(again.blocks()).unwrap_or(u32::MAX)).min(PAUSE_MAX);
        match is_urgent {
            // Only its time is missing, and it may be open.
            true if memory.unannounced().next().is_some() => pause.min(block).clamp(PAUSE_MIN, PAUSE_UNANNOUNCED),
            true => pause.min(block).max(PAUSE_MIN),
            // Until a block's time is measured.
            false if memory.meter.elapsed_block().is_none() => pause.min(block),
            false => pause,
        }
    }
}

impl Announcer for WindowAnnouncer {
    fn ask<'a>(&'a self, request: &'a FeedRequest) -> PortFuture<'a, Result<FeedAnswer, FeedError>> {
        Box::pin(async move {
            let until = Deadline::of(request.deadline.saturating_sub(SPARE), elapsed_now());
            let answered = tokio::time::timeout(until.left(), async {
                let mut memory = self.memory.lock().await;
                self.answer(&mut memory, request, until).await
            });
            match answered.await {
                Ok(answer) => answer.map_err(|error| FeedError(chain(&error))),
                Err(_) => Err(FeedError("the endpoints are too slow; `sentinel allora status` shows them".to_owned())),
            }
        })
    }
}
