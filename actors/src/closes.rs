//! Prices behind the newest cycle of a pipeline, for a chart: the journal keeps none of a slot that led to nothing.
//!
//! Promise kept: nothing is kept before somebody wants it, and then no more than [`Closes::KEPT`] bars. Nothing in the node decides by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;

use crate::domain::bar::CleanBars;
use crate::domain::time::UtcMs;

/// When each bar opened, and at what it closed; oldest first.
pub type CloseAt = (UtcMs, f64);

/// The closes of one pipeline's newest bars.
#[derive(Debug, Default)]
pub struct Closes {
    is_wanted: AtomicBool,
    newest: ArcSwapOption<Vec<CloseAt>>,
}

impl Closes {
    /// A week of hours.
    pub const KEPT: usize = 168;
    /// A node with more pipelines keeps those of the ones that somebody looks at.
    pub const PIPELINES: usize = 50;

    /// From the next cycle on they are kept.
    pub fn want(&self) {
        self.is_wanted.store(true, Ordering::Relaxed);
    }

    /// Takes in the bars of a cycle.
    pub fn note(&self, bars: &CleanBars) {
        if self.is_wanted.load(Ordering::Relaxed) {
            let older = bars.bars.len().saturating_sub(Self::KEPT);
            let closes = bars.bars.iter().skip(older).map(|bar| (bar.time, bar.close)).collect();
            self.newest.store(Some(Arc::new(closes)));
        }
    }

    /// `None` before the first cycle after they were wanted.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Vec<CloseAt>>> {
        self.newest.load_full()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::bar::Bar;

    fn bars(count: i64) -> CleanBars {
        let bar = |n: i64| Bar { time: UtcMs(n), open: 1.0, high: 3.0, low: 1.0, close: 2.0, volume: None };
        CleanBars { bars: (0..count).map(bar).collect(), dropped: BTreeMap::new(), newest_delivered: None }
    }

    #[test]
    fn closes_are_kept_once_somebody_wants_them_and_only_the_newest_ones() {
        let closes = Closes::default();
        closes.note(&bars(3));
        assert_eq!(closes.get(), None);
        closes.want();
        closes.note(&bars(200));
        let kept = closes.get().unwrap();
        assert_eq!((kept.len(), kept.first(), kept.last()), (168, Some(&(UtcMs(32), 2.0)), Some(&(UtcMs(199), 2.0))));
    }
}
