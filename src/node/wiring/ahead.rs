//! Frames and answers of many slots at once, for a walk through recorded bars: the next ones are known beforehand.
//!
//! Nothing is decided here, and nothing is computed otherwise: [`FeatureSet::build_each`] and [`Model::predict_each`] promise the bits of
//! single windows and single questions, and what was not computed ahead is computed alone. A frame is known by the very memory that
//! its window lies in, an answer by its whole question.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sentinel_actors::domain::bar::Bar;
use sentinel_actors::domain::feature::{FeatureError, FeatureFrame, FeatureSetId};
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::ports::{FeatureSet, Model, ModelError, PortFuture};

/// Most frames that are computed at once. A local model is validated as often.
const MOST: usize = 1024;

type Frame = Result<FeatureFrame, FeatureError>;

/// The bars that windows are parts of at present.
pub(super) type Stretch = Box<dyn Fn() -> Arc<Vec<Bar>> + Send + Sync>;

/// A feature set and a model that work ahead.
pub(super) struct Ahead {
    set: Arc<dyn FeatureSet>,
    model: Arc<dyn Model>,
    stretch: Stretch,
    block: Mutex<Block>,
}

/// What was computed last.
#[derive(Default)]
struct Block {
    /// Where its windows lie.
    stretch: Arc<Vec<Bar>>,
    /// Where the first of them ends.
    first: usize,
    frames: Vec<Frame>,
    /// How many of them were wanted. A schedule that passes over bars does not want each of them.
    wanted: usize,
    /// The frame that was handed out last.
    newest: usize,
    answered: Option<Answered>,
}

struct Answered {
    by: ModelIdentity,
    /// One for each frame that there is; `None`: each question has to be asked by itself.
    answers: Option<Vec<Option<RawAnswer>>>,
}

impl Ahead {
    pub(super) fn new(set: Arc<dyn FeatureSet>, model: Arc<dyn Model>, stretch: Stretch) -> Arc<Self> {
        Arc::new(Self { set, model, stretch, block: Mutex::default() })
    }

    pub(super) fn features(self: &Arc<Self>) -> Arc<dyn FeatureSet> {
        Arc::new(Features(self.clone()))
    }

    /// Its validation is that of the block: a file that changes in between is noticed with the next one.
    pub(super) fn model(self: &Arc<Self>) -> Arc<dyn Model> {
        Arc::new(Asked(self.clone()))
    }

    fn block(&self) -> MutexGuard<'_, Block> {
        self.block.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build(&self, bars: &[Bar]) -> Frame {
        let stretch = (self.stretch)();
        let window = part_of(&stretch, bars).filter(|window| window.len() == self.set.id().window);
        let Some(window) = window else { return self.set.build(bars) };
        let end = window.end - 1;
        let mut block = self.block();
        if !block.has(&stretch, end) {
            let size = block.next_size();
            let ends = end..stretch.len().min(end + size);
            let frames = self.set.build_each(&stretch, ends);
            *block = Block { stretch, first: end, frames, ..Block::default() };
        }
        block.wanted += 1;
        block.newest = end - block.first;
        match block.frames.get(block.newest) {
            Some(frame) => frame.clone(),
            None => self.set.build(bars),
        }
    }

    async fn validate(&self, deadline: Duration) -> Result<ModelIdentity, ModelError> {
        if let Some(answered) = &self.block().answered {
            return Ok(answered.by.clone());
        }
        let by = self.model.validate(deadline).await?;
        let mut block = self.block();
        let answers = self.answers(&block.frames);
        block.answered = Some(Answered { by: by.clone(), answers });
        Ok(by)
    }

    fn answers(&self, frames: &[Frame]) -> Option<Vec<Option<RawAnswer>>> {
        let known: Vec<FeatureFrame> = frames.iter().filter_map(|frame| frame.as_ref().ok()).cloned().collect();
        let mut answers = if known.len() < 2 { None } else { self.model.predict_each(&known) }?.into_iter();
        Some(frames.iter().map(|frame| frame.is_ok().then(|| answers.next()).flatten()).collect())
    }

    /// The answer to this very question, if it was computed.
    fn answer(&self, frame: &FeatureFrame) -> Option<RawAnswer> {
        let block = self.block();
        let asked = block.frames.get(block.newest)?.as_ref().ok()?;
        let answer = block.answered.as_ref()?.answers.as_ref()?.get(block.newest)?.clone();
        answer.filter(|_| asked == frame)
    }
}

impl Block {
    fn has(&self, stretch: &Arc<Vec<Bar>>, end: usize) -> bool {
        let is_inside = end >= self.first && end - self.first < self.frames.len();
        is_inside && Arc::ptr_eq(&self.stretch, stretch)
    }

    /// Twice as many when most of these were wanted, and one by one when few were.
    fn next_size(&self) -> usize {
        if self.wanted * 2 >= self.frames.len() { (self.frames.len() * 4).clamp(1, MOST) } else { 1 }
    }
}

/// Where `bars` lie in `all`, when they are a part of it and not only equal to one.
fn part_of(all: &[Bar], bars: &[Bar]) -> Option<Range<usize>> {
    let bytes = bars.as_ptr().addr().checked_sub(all.as_ptr().addr())?;
    let from = bytes / size_of::<Bar>();
    let range = from..from + bars.len();
    all.get(range.clone()).is_some_and(|part| std::ptr::eq(part, bars)).then_some(range)
}

struct Features(Arc<Ahead>);

impl FeatureSet for Features {
    fn id(&self) -> &FeatureSetId {
        self.0.set.id()
    }

    fn columns(&self) -> &[&'static str] {
        self.0.set.columns()
    }

    fn build(&self, bars: &[Bar]) -> Frame {
        self.0.build(bars)
    }
}

struct Asked(Arc<Ahead>);

impl Model for Asked {
    fn validate(&self, deadline: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(self.0.validate(deadline))
    }

    fn predict<'a>(
        &'a self,
        frame: &'a FeatureFrame,
        deadline: Duration,
    ) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        match self.0.answer(frame) {
            Some(answer) => Box::pin(std::future::ready(Ok(answer))),
            None => self.0.model.predict(frame, deadline),
        }
    }
}
