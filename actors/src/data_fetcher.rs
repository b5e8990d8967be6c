//! DataFetcher: bars for the due slot, cleaned and checked, inside the cycle's deadline.
//!
//! A bar that was decided already is not fetched again. No price is ever invented.

use std::sync::Arc;
use std::time::Duration;

use crate::cycle_flow::Cycle;
use crate::domain::bar::{CleanBars, Cleaning};
use crate::domain::cycle::{SlotRecord, Stage};
use crate::domain::decision::DecideOn;
use crate::domain::freshness::{Freshness, dropped_text};
use crate::domain::made_bars::IncompleteBar;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::meters::PipelineMeters;
use crate::ports::{BarRequest, BarSource, Cleaned, FaultPoint, PortFuture, SourceError};
use crate::settings::BARS_BESIDE_WINDOW;
use crate::stage::StageWork;

pub struct DataFetcher {
    pub source: Arc<dyn BarSource>,
    pub symbol: String,
    pub freshness: Freshness,
    /// A close may lie outside its bar's range by this much.
    pub tick: f64,
    /// Bars that the feature set looks at.
    pub window: usize,
    /// What is decided only once.
    pub decide_on: DecideOn,
    pub deadline: Duration,
    pub digests: Digests,
    pub meters: Arc<PipelineMeters>,
}

/// Whether rows have the digests of bars and features. A node always has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digests {
    Kept,
    /// They are most of what a slot costs where nothing waits for a disk.
    LeftOut,
}

impl Digests {
    pub fn of(self, digest: impl FnOnce() -> String) -> Option<String> {
        (self == Self::Kept).then(digest)
    }
}

impl StageWork for DataFetcher {
    type Load = ();
    type Next = Arc<CleanBars>;
    const STAGE: Stage = Stage::DataFetcher;
    const FAULT_POINT: FaultPoint = FaultPoint::FetcherHandle;

    fn work<'a>(
        &'a mut self,
        cycle: &'a Cycle,
        record: &'a mut SlotRecord,
        (): (),
    ) -> PortFuture<'a, Result<Self::Next, Ending>> {
        Box::pin(async move {
            let due = self.freshness.due_bar(cycle.slot);
            self.not_decided_yet(cycle, due)?;
            let request = BarRequest {
                symbol: self.symbol.clone(),
                interval: self.freshness.interval,
                count: self.window + BARS_BESIDE_WINDOW,
                now: cycle.slot,
                deadline: self.deadline.min(cycle.time_left()),
            };
            let times = self.freshness.open_times(cycle.slot, self.window + BARS_BESIDE_WINDOW);
            let how = Cleaning { tick: self.tick, times: Some(times), window: Some(self.window) };
            let cleaned = self.source.fetch_clean(&request, &how).await;
            let Cleaned { bars, incomplete } =
                cleaned.map_err(|error| Ending::new(reason(&error), error.to_string()))?;
            let bars = Arc::new(bars);
            cycle.tracker.set_input(bars.clone());
            self.meters.closes.note(&bars);
            record.newest_bar = bars.newest().map(|bar| bar.time);
            record.bars = u32::try_from(bars.bars.len()).ok();
            record.dropped = dropped(&bars, &incomplete);
            record.bars_digest = self.digests.of(|| bars.digest());
            let judged = self.freshness.judge(cycle.slot, &bars).and_then(|fresh| {
                record.missing_bars = Some(fresh.missing);
                self.not_decided_yet(cycle, fresh.newest)
            });
            judged.map_err(|ending| with_due(ending, due, &incomplete))?;
            Ok(bars)
        })
    }
}

const fn reason(error: &SourceError) -> Reason {
    match error {
        SourceError::Timeout(_) => Reason::SourceTimeout,
        SourceError::Failed(_) => Reason::SourceFailed,
        SourceError::Unauthorised(_) => Reason::SourceUnauthorised,
        SourceError::RateLimited { .. } => Reason::SourceRateLimited,
        SourceError::ClockOff { .. } => Reason::ClockOff,
    }
}

/// Which bars were not used, and how many could not be made.
fn dropped(bars: &CleanBars, incomplete: &[IncompleteBar]) -> String {
    let incomplete = match incomplete.len() {
        0 => String::new(),
        count => format!("incomplete={count}"),
    };
    let parts = [dropped_text(bars), incomplete];
    parts.iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join(",")
}

/// The ending with what is known of the due bar, when it could not be made.
fn with_due(ending: Ending, due: UtcMs, incomplete: &[IncompleteBar]) -> Ending {
    match incomplete.iter().find(|bar| bar.time == due) {
        Some(incomplete) => Ending::new(ending.reason, format!("{}; {incomplete}", ending.detail)),
        None => ending,
    }
}

impl DataFetcher {
    fn not_decided_yet(&self, cycle: &Cycle, bar: UtcMs) -> Result<(), Ending> {
        match cycle.last_decided_bar {
            Some(decided) if self.decide_on == DecideOn::Bar && decided >= bar => {
                Err(Ending::new(Reason::AlreadyDecided, format!("newest decided bar: {decided}")))
            }
            _ => Ok(()),
        }
    }
}
