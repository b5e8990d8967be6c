//! What an announcer remembers from one answer to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::fact::Awaits;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::FeedRequest;

use super::meter::Meter;
use super::registration::Registration;
use crate::venues::allora::money::Purse;
use crate::venues::allora::proof::Claim;
use crate::venues::allora::queries::{Topic, WindowStatus};
use crate::venues::allora::windows::{self, Window, Windows};

/// All of it can be lost: the journal and the chain have it too.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) topic: Option<Known>,
    pub(super) windows: Option<Windows>,
    /// What was durable before, until there are windows to compare it with.
    told: BTreeSet<u64>,
    /// What was answered, and may not be durable yet.
    pub(super) announced: BTreeMap<u64, Announcement>,
    /// The last block of each window that was answered lately.
    pub(super) ends: BTreeMap<u64, u64>,
    /// Of blocks.
    pub(super) times: BTreeMap<u64, UtcMs>,
    pub(super) meter: Meter,
    pub(super) registration: Registration,
    pub(super) purse: Option<(u64, Purse)>,
    pub(super) is_low: bool,
    /// At which block an inference's score was last asked for.
    pub(super) scores_asked: BTreeMap<u64, u64>,
    /// Inferences about which the last question failed: they come after the others.
    pub(super) failing: BTreeSet<u64>,
}

/// What is known about a topic, as of a block.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) topic: Topic,
    pub(super) epochs_kept: u64,
    pub(super) height: u64,
}

impl Memory {
    /// Takes over what is durable. A window is repeated until its own id comes back: later windows may be durable before earlier
    /// ones, and an answer may be lost after it was given.
    pub(super) fn hear(&mut self, request: &FeedRequest) {
        let known: BTreeSet<u64> = request.known.iter().filter_map(|id| id.parse().ok()).collect();
        let open: BTreeSet<u64> = request.open.iter().filter_map(|slot| slot.id.parse().ok()).collect();
        // What is older than all that is told was removed, or is more than can be told.
        let is_durable = |nonce: &u64| {
            known.contains(nonce) || open.contains(nonce) || known.first().is_some_and(|oldest| nonce < oldest)
        };
        let durable: Vec<u64> = self.announced.keys().copied().filter(is_durable).collect();
        for nonce in durable {
            self.forget(nonce);
        }
        if self.windows.is_none() && !known.is_empty() {
            self.told = known;
        }
    }

    /// Takes over what the chain says.
    pub(super) fn learn(&mut self, status: &WindowStatus, topic: &Topic) {
        let told = std::mem::take(&mut self.told);
        let windows = self.windows.get_or_insert_with(|| {
            let known: Vec<u64> = told.into_iter().collect();
            Windows::new(&known, status, topic)
        });
        windows.see(status, topic);
    }

    /// Windows that were found, and cannot be announced before their times are known; oldest first.
    pub(super) fn unannounced(&self) -> impl DoubleEndedIterator<Item = Window> {
        let found: BTreeSet<Window> = self.windows.iter().flat_map(Windows::found).collect();
        found.into_iter().filter(|window| !self.announced.contains_key(&window.nonce))
    }

    /// Where the oldest window may be that is not announced yet.
    pub(super) fn oldest_unknown(&self) -> Option<u64> {
        let wanted = self.windows.as_ref().and_then(Windows::wanted);
        self.unannounced().next().map(|window| window.nonce).into_iter().chain(wanted).min()
    }

    /// The last block of a window.
    fn end_of(&self, nonce: u64, topic: &Topic) -> u64 {
        self.ends.get(&nonce).copied().unwrap_or_else(|| nonce.saturating_add(topic.window))
    }

    /// Whether a window that this node may have used is not over, or has ended less than `blocks` blocks ago and its outcome is not
    /// known.
    pub(super) fn is_outstanding(
        &self,
        request: &FeedRequest,
        proven: &BTreeSet<&IntentKey>,
        status: &WindowStatus,
        topic: &Topic,
        blocks: u64,
    ) -> bool {
        let awaiting = request.awaiting.iter().filter(|intent| !proven.contains(&intent.key)).filter_map(Claim::of);
        let unproven = awaiting.filter(|claim| claim.awaits != Awaits::Score).map(|claim| claim.nonce);
        let unsettled = request.unsettled.iter().filter_map(|intent| intent.announced_as.as_deref()?.parse().ok());
        let open = request.open.iter().filter_map(|slot| slot.id.parse().ok());
        let mut nonces = unproven.chain(unsettled).chain(open).chain(self.announced.keys().copied());
        nonces.any(|nonce| status.height <= self.end_of(nonce, topic).saturating_add(blocks))
    }

    pub(super) fn forget(&mut self, nonce: u64) {
        self.announced.remove(&nonce);
        if let Some(windows) = &mut self.windows {
            windows.forget(nonce);
        }
    }

    pub(super) fn taken_back(&self, request: &FeedRequest, status: &WindowStatus, topic: &Topic) -> Vec<String> {
        let window = |nonce: u64| Window { nonce, end: self.end_of(nonce, topic) };
        let open: Vec<Window> = request.open.iter().filter_map(|slot| slot.id.parse().ok()).map(window).collect();
        windows::taken_back(&open, status).into_iter().map(|nonce| nonce.to_string()).collect()
    }

    /// For how long the balance pays for every window of the topic, as of the newest look at it.
    pub(super) fn runway(&self, topic: &Topic) -> Option<Duration> {
        let (_, purse) = self.purse?;
        let windows = u32::try_from(purse.windows_left()).unwrap_or(u32::MAX);
        Some(self.meter.blocks(topic.epoch_length).saturating_mul(windows))
    }

    /// When the next window is expected to open.
    pub(super) fn next(&self, status: &WindowStatus, now: UtcMs) -> Option<UtcMs> {
        let is_ahead = status.is_topic_active && status.next_start > status.height;
        is_ahead.then(|| self.meter.estimate(status.height, now, status.next_start))
    }
}
