//! Which windows of a topic there are, and when to ask again: pure, from what the chain says.
//!
//! A window is named by its nonce, the block at whose end it opens; nonces come from the chain, never from a clock, and a height is
//! never taken for one. A window that is open is announced by the first answer that shows it. One that passed while nobody looked is
//! found later: its nonce is expected whole epochs from one that is known, and believed when its block says so, or, where the
//! blocks are pruned, when it fits both neighbours. So each window has an end and a reason, also one that could not be used.

use std::collections::{BTreeMap, BTreeSet};

use super::queries::{Topic, WindowStatus};

/// So many blocks before a window is expected it is asked for once per block.
pub const NEAR_BLOCKS: u64 = 3;
/// For so many blocks an opening that is overdue is waited for like one that is near.
const OVERDUE_BLOCKS: u64 = 10;
/// Windows that are looked for after an outage: the newest ones.
const PASSED_MAX: u64 = 1_000;

/// A window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub nonce: u64,
    /// Its last block.
    pub end: u64,
}

/// What the results of a block say about the window that should have opened with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Opened {
        /// The window's last block.
        end: u64,
    },
    /// None did.
    No,
    /// The results are gone.
    Pruned,
}

/// When to ask for the window again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// After a block.
    NextBlock,
    /// After so many blocks, or when the longest pause is over.
    Blocks(u64),
}

/// The windows of one topic that a worker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows {
    /// What is at or below this is known or not looked for.
    newest: u64,
    /// Whether that is a nonce, from which others can be counted.
    is_nonce: bool,
    /// Where windows may have been, and whether each is believed without its block.
    candidates: BTreeMap<u64, bool>,
    /// Windows that were found and are to be announced.
    found: BTreeSet<Window>,
    /// Where the next one was expected when it was last asked for.
    expected: u64,
    /// Whether the last one came where it was expected.
    is_regular: bool,
}

impl Windows {
    /// For a worker that has announced these nonces, oldest first. When it has announced none, whatever passed before `status` is
    /// not looked for.
    #[must_use]
    pub fn new(known: &[u64], status: &WindowStatus, topic: &Topic) -> Self {
        let newest = known.last().copied();
        let epoch = topic.epoch_length.max(1);
        let mut windows = Self {
            newest: newest.unwrap_or(if status.is_open { status.nonce.saturating_sub(1) } else { status.height }),
            is_nonce: newest.is_some(),
            candidates: BTreeMap::new(),
            found: BTreeSet::new(),
            expected: 0,
            is_regular: matches!(known, [.., one, two] if (two - one).is_multiple_of(epoch)),
        };
        // A process may have died between two answers, of which the first had the newer windows.
        for (before, after) in known.iter().zip(known.iter().skip(1)) {
            windows.expect(*before, true, *after, epoch, false);
            windows.candidates.remove(after);
        }
        windows
    }

    /// Takes over an answer of the chain.
    pub fn see(&mut self, status: &WindowStatus, topic: &Topic) {
        let open = open(status);
        let last = open.map_or(topic.epoch_last_ended, |window| window.nonce);
        if last > self.newest && last <= status.height {
            if self.expected > 0 {
                self.is_regular = last.abs_diff(self.expected).is_multiple_of(topic.epoch_length.max(1));
            }
            self.expect(self.newest, self.is_nonce, last, topic.epoch_length.max(1), true);
            if let Some(window) = open {
                self.candidates.remove(&last);
                self.found.insert(window);
            }
            (self.newest, self.is_nonce) = (last, true);
        }
        self.expected = status.next_start;
    }

    /// Windows may have been whole epochs after `before`, and whole epochs before `last`, which is one.
    fn expect(&mut self, before: u64, is_nonce: bool, last: u64, epoch: u64, may_be_assumed: bool) {
        let blocks = last.saturating_sub(before);
        let fits = is_nonce && blocks.is_multiple_of(epoch);
        // A window is at least an epoch after the one before it.
        let earliest = if is_nonce { before.saturating_add(epoch) } else { before.saturating_add(1) };
        let epochs = (blocks / epoch).min(PASSED_MAX);
        let from_last = (0..=epochs).map(|back| last.saturating_sub(back * epoch)).filter(|nonce| *nonce >= earliest);
        self.candidates.extend(from_last.map(|nonce| (nonce, may_be_assumed && fits)));
        if is_nonce && !fits {
            let from_before = (1..=epochs).map(|ahead| before + ahead * epoch).filter(|nonce| nonce + epoch <= last);
            self.candidates.extend(from_before.map(|nonce| (nonce, false)));
        }
        if !is_nonce && self.expected > before {
            // Before the first nonce that is known, the chain has said where the next window would open.
            let expected = (0..=epochs).map(|ahead| self.expected.saturating_add(ahead * epoch));
            let expected = expected.filter(|nonce| nonce.saturating_add(epoch) <= last);
            self.candidates.extend(expected.map(|nonce| (nonce, false)));
        }
    }

    /// The oldest block whose results are wanted.
    #[must_use]
    pub fn wanted(&self) -> Option<u64> {
        self.candidates.keys().next().copied()
    }

    /// Takes over what that block says.
    pub fn judge(&mut self, nonce: u64, verdict: Verdict, topic: &Topic) {
        let Some(may_be_assumed) = self.candidates.remove(&nonce) else { return };
        match verdict {
            Verdict::Opened { end } => {
                self.found.insert(Window { nonce, end });
            }
            Verdict::Pruned if may_be_assumed => {
                self.found.insert(Window { nonce, end: nonce.saturating_add(topic.window) });
            }
            Verdict::Pruned | Verdict::No => {}
        }
    }

    /// The windows to announce, oldest first.
    pub fn found(&self) -> impl Iterator<Item = Window> {
        self.found.iter().copied()
    }

    /// A window needs no announcement any more.
    pub fn forget(&mut self, nonce: u64) {
        self.found.retain(|window| window.nonce != nonce);
    }

    /// When to ask again; `waits_for_submission`: a slot of the open window has not ended.
    #[must_use]
    pub fn again(&self, status: &WindowStatus, topic: &Topic, waits_for_submission: bool) -> Again {
        if waits_for_submission && status.is_open {
            return Again::NextBlock;
        }
        // A window must not be over before it is asked for.
        let unsure = Again::of((topic.window / 4).max(1));
        match status.next_start.checked_sub(status.height) {
            Some(1..=NEAR_BLOCKS) => Again::NextBlock,
            Some(blocks @ 1..) => {
                let near = Again::of(blocks - NEAR_BLOCKS);
                if self.is_regular { near } else { near.sooner(unsure) }
            }
            _ if !status.is_topic_active || status.is_open => unsure,
            _ if status.height - status.next_start <= OVERDUE_BLOCKS => Again::NextBlock,
            _ => unsure,
        }
    }
}

impl Again {
    const fn of(blocks: u64) -> Self {
        if blocks <= 1 { Self::NextBlock } else { Self::Blocks(blocks) }
    }

    /// In blocks.
    #[must_use]
    pub const fn blocks(self) -> u64 {
        match self {
            Self::NextBlock => 1,
            Self::Blocks(blocks) => blocks,
        }
    }

    const fn sooner(self, other: Self) -> Self {
        if other.blocks() < self.blocks() { other } else { self }
    }
}

/// The window that is open after the status's block. One whose nonce is above that block would be no window.
#[must_use]
pub fn open(status: &WindowStatus) -> Option<Window> {
    let is_sound = status.is_open && status.nonce > 0 && status.nonce <= status.height && status.height <= status.end;
    is_sound.then_some(Window { nonce: status.nonce, end: status.end })
}

/// Which of these windows the chain has taken back: it shows a block in the middle of the window, and another nonce or none.
#[must_use]
pub fn taken_back(windows: &[Window], status: &WindowStatus) -> Vec<u64> {
    let is_gone = |window: &&Window| {
        let is_inside = (window.nonce..window.end).contains(&status.height);
        is_inside && open(status).is_none_or(|open| open.nonce != window.nonce)
    };
    windows.iter().filter(is_gone).map(|window| window.nonce).collect()
}

#[cfg(test)]
mod tests;
