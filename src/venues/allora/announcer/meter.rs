//! How long a block takes: on the chain, whose times are in its headers, and here, where one waits.

use std::collections::VecDeque;
use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use tokio::time::Instant;

/// Blocks take 5.6 to 6 seconds.
const BLOCK: Duration = Duration::from_millis(5_800);
const KEPT: usize = 32;
/// So many blocks are needed to say how long one takes.
const BLOCKS_MIN: u64 = 3;
/// A window's end is estimated late, as if blocks took twice as long and one came this much later: it is the chain's height that ends
/// it.
const LATE: Duration = Duration::from_secs(60);

/// Blocks that were seen.
#[derive(Default)]
pub(super) struct Meter {
    seen: VecDeque<(u64, UtcMs, Instant)>,
}

impl Meter {
    pub(super) fn observe(&mut self, height: u64, time: UtcMs, at: Instant) {
        if self.seen.back().is_some_and(|(newest, _, _)| height <= *newest) {
            return;
        }
        self.seen.push_back((height, time, at));
        if self.seen.len() > KEPT {
            self.seen.pop_front();
        }
    }

    pub(super) fn newest(&self) -> Option<(u64, UtcMs)> {
        self.seen.back().map(|(height, time, _)| (*height, *time))
    }

    /// Chain time and elapsed time between the first and the last one, and the blocks between them, when these are enough.
    fn span(&self) -> Option<(Duration, Duration, u32)> {
        let ((first, from, began), (last, to, ended)) = (self.seen.front()?, self.seen.back()?);
        let blocks = u32::try_from(last - first).ok().filter(|blocks| u64::from(*blocks) >= BLOCKS_MIN)?;
        Some((to.since(*from), ended.saturating_duration_since(*began), blocks))
    }

    /// In the chain's time.
    pub(super) fn chain_block(&self) -> Duration {
        self.span().map_or(BLOCK, |(time, _, blocks)| time / blocks)
    }

    /// In elapsed time; `None`: not measured yet.
    pub(super) fn elapsed_block(&self) -> Option<Duration> {
        let (_, elapsed, blocks) = self.span()?;
        Some((elapsed / blocks).clamp(Duration::from_millis(20), Duration::from_secs(30)))
    }

    /// What so many take, in the chain's time.
    pub(super) fn blocks(&self, blocks: u64) -> Duration {
        self.chain_block().saturating_mul(u32::try_from(blocks).unwrap_or(u32::MAX))
    }

    /// About when block `other` was or will be, when `height` was at `time`.
    pub(super) fn estimate(&self, height: u64, time: UtcMs, other: u64) -> UtcMs {
        match other.checked_sub(height) {
            Some(ahead) => time.plus(self.blocks(ahead)),
            None => time.minus(self.blocks(height - other)),
        }
    }

    /// When block `end` will be at the latest, as far as one can tell.
    pub(super) fn latest(&self, height: u64, time: UtcMs, end: u64) -> UtcMs {
        let estimate = self.estimate(height, time, end);
        estimate.plus(estimate.since(time) + LATE)
    }
}

#[cfg(test)]
mod tests {
    use sentinel_actors::ports::elapsed_now;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_block_takes_what_the_headers_say_and_a_wait_what_it_took_here() {
        let mut meter = Meter::default();
        let began = elapsed_now();
        meter.observe(100, UtcMs(1_000), began);
        meter.observe(101, UtcMs(1_500), began);
        assert_eq!((meter.chain_block(), meter.elapsed_block()), (BLOCK, None), "too little to tell");
        meter.observe(104, UtcMs(21_000), began + Duration::from_secs(2));
        assert_eq!(meter.chain_block(), Duration::from_secs(5));
        assert_eq!(meter.elapsed_block(), Some(Duration::from_millis(500)));
        assert_eq!(meter.estimate(104, UtcMs(21_000), 108), UtcMs(41_000));
        assert_eq!(meter.estimate(104, UtcMs(21_000), 102), UtcMs(11_000));
        assert_eq!(meter.latest(104, UtcMs(21_000), 108), UtcMs(121_000));
        meter.observe(103, UtcMs(0), began);
        assert_eq!(meter.newest(), Some((104, UtcMs(21_000))), "what is older says nothing");
    }
}
