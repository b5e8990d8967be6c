//! What the board says, as far as the page shows it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::closes::CloseAt;
use sentinel_actors::domain::halt::TradingState;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::node_view::{NodeView, PipelineView};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, Severity};
use sentinel_actors::status::{BoardEntry, HeldEffect};

use super::PIPELINES;
use crate::operator::live_node::LiveNode;

/// The node at one moment.
#[derive(Debug, Clone)]
pub struct Node {
    pub name: String,
    pub mode: Mode,
    /// What is armed, or why nothing is; `None` for a node in dry run.
    pub arm: Option<String>,
    pub now: UtcMs,
    pub view: NodeView,
    pub judgement: Judgement,
    pub memory_mb: Option<u64>,
    /// By name.
    pub pipelines: BTreeMap<String, Pipeline>,
}

/// What the view does not say about a pipeline.
#[derive(Debug, Clone)]
pub struct Pipeline {
    pub mode: Mode,
    pub account: String,
    pub symbol: String,
    pub state: TradingState,
    /// Its schedule's time, which is that of its bars in a replay.
    pub schedule_now: UtcMs,
    /// Slots that ended since the start, in the order of the outcomes.
    pub outcomes: [u64; 4],
    /// Orders or forecasts that left since the start.
    pub effects: u64,
    pub restarts: u64,
    pub reruns: u64,
    /// Which of its parts were replaced, and how often.
    pub replaced: Vec<(&'static str, u64)>,
    /// `None`: not known.
    pub open_positions: Option<usize>,
    pub held: Vec<HeldEffect>,
    /// Prices behind its newest cycle; `None`: not known yet.
    pub closes: Option<Arc<Vec<CloseAt>>>,
    /// When the next announced slot is expected.
    pub next_expected: Option<UtcMs>,
}

impl Node {
    #[must_use]
    pub fn of(shown: &LiveNode, now: UtcMs) -> Self {
        let view = shown.view(now);
        let board = &shown.board;
        let pipelines = board
            .entries
            .iter()
            .map(|(name, entry)| (name.clone(), Pipeline::of(entry, board.halts.state_of(&entry.place))));
        Self {
            name: shown.name.clone(),
            mode: shown.mode,
            arm: (shown.arm)(),
            now,
            judgement: Judgement::of(&view, now),
            view,
            memory_mb: board.usage.memory_mb(),
            pipelines: pipelines.collect(),
        }
    }

    /// Each pipeline with what the view says of it.
    pub fn each(&self) -> impl Iterator<Item = (&String, &Pipeline, &PipelineView)> {
        self.pipelines.iter().filter_map(|(name, pipeline)| Some((name, pipeline, self.view.pipelines.get(name)?)))
    }

    /// Those that `wanted` names, the worst first, at most [`PIPELINES`].
    #[must_use]
    pub fn worst(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        let mut all: Vec<(&String, &PipelineView)> =
            self.view.pipelines.iter().filter(|(name, _)| wanted(name)).collect();
        // By name in the end, because the map is sorted and the sort is stable.
        all.sort_by_key(|(name, view)| std::cmp::Reverse(self.trouble(name, view)));
        all.into_iter().take(PIPELINES).map(|(name, _)| name.as_str()).collect()
    }

    /// How bad it is about a pipeline: what needs a person now, soon, whether nothing leaves, and the faults in a row.
    fn trouble(&self, name: &str, view: &PipelineView) -> (u8, bool, u64) {
        let needs = self.judgement.needs.iter().filter(|need| need.pipeline.as_deref() == Some(name));
        let worst = needs.map(|need| if need.severity == Severity::Now { 2 } else { 1 }).max().unwrap_or(0);
        let is_halted = self.pipelines.get(name).is_some_and(|pipeline| pipeline.state != TradingState::Active);
        (worst, is_halted, view.faults_in_a_row)
    }

    /// How late a decision of a pipeline may be.
    #[must_use]
    pub fn late_after(&self, view: &PipelineView) -> Duration {
        Duration::from_millis(view.late_after_ms.unwrap_or(self.view.late_after_ms))
    }

    /// Parts that were replaced since the start.
    #[must_use]
    pub fn restarts(&self) -> u64 {
        self.pipelines.values().map(|pipeline| pipeline.restarts).sum()
    }
}

impl Pipeline {
    fn of(entry: &BoardEntry, state: TradingState) -> Self {
        let (status, holdings) = (entry.status.load(), entry.holdings.load());
        Self {
            mode: status.mode,
            account: entry.place.account.clone(),
            symbol: entry.place.symbol.clone(),
            state,
            schedule_now: entry.clock.now(),
            outcomes: status.outcomes,
            effects: status.effects,
            restarts: status.restarts,
            reruns: status.reruns,
            replaced: entry.meters.restarts().collect(),
            open_positions: holdings.open_positions,
            held: holdings.held.clone(),
            closes: entry.meters.closes.get(),
            next_expected: status.next_expected,
        }
    }
}
