//! One loaded model file: asks the runtime and nothing else. It never looks at a file and never decides what an answer
//! is worth.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, ValueView};

use super::candidate::Candidate;
use super::error::{Cause, Fault};
use super::inspect::{Shape, registry};

thread_local! {
    /// The pool whose only thread this is.
    static OWN_POOL: RefCell<Option<Arc<ThreadPool>>> = const { RefCell::new(None) };
}

/// What models run on. A row of a small network takes microseconds, and is computed on the thread that asks, when it was started
/// by [`OnnxEngine::on_its_thread`]; from any other thread it is handed to one thread of the engine.
///
/// The runtime also starts a pool of its own with a thread per core, which stays idle. `RTEN_NUM_THREADS=1` in the
/// process's environment makes that one thread.
#[derive(Clone)]
pub struct OnnxEngine {
    threads: Arc<ThreadPool>,
    /// What is loaded, so that a thousand pipelines with the same file hold one copy of its network.
    loaded: Arc<Mutex<Vec<Weak<Candidate>>>>,
}

impl OnnxEngine {
    /// Starts the thread.
    #[must_use]
    pub fn new() -> Self {
        Self { threads: Arc::new(ThreadPool::with_num_threads(1)), loaded: Arc::default() }
    }

    /// Does `work` on a thread of its own, on which every model is asked without a change of threads. The runtime knows only
    /// threads that it started, so this waits on the present one.
    pub fn on_its_thread(work: impl FnOnce() + Send) {
        let own = Arc::new(ThreadPool::with_num_threads(1));
        own.run(|| {
            OWN_POOL.set(Some(own.clone()));
            work();
            // Otherwise the thread would keep the pool, and the pool the thread.
            OWN_POOL.set(None);
        });
    }

    /// The loaded model that `is_same` knows, or the one that `load` makes.
    pub(super) fn shared<E>(
        &self,
        is_same: impl Fn(&Candidate) -> bool,
        load: impl FnOnce() -> Result<Candidate, E>,
    ) -> Result<Arc<Candidate>, E> {
        let known = |loaded: &mut Vec<Weak<Candidate>>| {
            loaded.retain(|candidate| candidate.strong_count() > 0);
            loaded.iter().filter_map(Weak::upgrade).find(|candidate| is_same(candidate))
        };
        if let Some(candidate) = known(&mut self.loaded.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(candidate);
        }
        // Loading takes long; two that do it at once end with a copy each.
        let candidate = Arc::new(load()?);
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&candidate));
        Ok(candidate)
    }

    /// Does `work` where models run. Sessions that are asked inside it do not change threads again.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if OWN_POOL.with_borrow(Option::is_some) { work() } else { self.threads.run(work) }
    }

    fn options(&self) -> RunOptions {
        let own = OWN_POOL.with_borrow(Clone::clone);
        RunOptions::default().with_thread_pool(Some(own.unwrap_or_else(|| Arc::clone(&self.threads))))
    }
}

impl Default for OnnxEngine {
    fn default() -> Self {
        Self::new()
    }
}

/// A model that the runtime has loaded.
pub(super) struct Session {
    model: Model,
    input: NodeId,
    output: NodeId,
    engine: OnnxEngine,
}

/// Why a session did not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// The runtime failed.
    #[error("the runtime failed")]
    Run(#[source] Cause),
    /// The output is no matrix of float32.
    #[error("the output is not float32 [1, classes]")]
    OutputType(#[source] Cause),
}

impl Session {
    /// Loads a model file's bytes; `width` is the number of columns that it will be given.
    pub(super) fn load(bytes: Vec<u8>, width: usize, engine: &OnnxEngine) -> Result<Self, Fault> {
        let shape = Shape::of(&bytes)?;
        if let Some(have) = shape.width
            && usize::try_from(have) != Ok(width)
        {
            return Err(Fault::Width { have, want: width });
        }
        let model = ModelOptions::with_ops(registry()).load(bytes).map_err(|e| Fault::Runtime(e.into()))?;
        let input = model.node_id(&shape.input).map_err(|e| Fault::Runtime(e.into()))?;
        let output = model.node_id(&shape.output).map_err(|e| Fault::Runtime(e.into()))?;
        Ok(Self { model, input, output, engine: engine.clone() })
    }

    /// The answer to one row: one vector per row of the output.
    pub(super) fn ask(&self, row: &[f64]) -> Result<Vec<Vec<f64>>, AskError> {
        // The wire format is float32; what does not fit becomes infinite and the answer's checks refuse it.
        #[expect(clippy::cast_possible_truncation, reason = "models take float32")]
        let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
        let input = ValueView::from_shape([1, row.len()], row.as_slice()).map_err(|e| AskError::Run(e.into()))?;
        let [output] = self
            .model
            .run_n(vec![(self.input, input.into())], [self.output], Some(self.engine.options()))
            .map_err(|e| AskError::Run(e.into()))?;
        let ([rows, classes], values) =
            output.into_shape_vec::<f32, 2>().map_err(|e| AskError::OutputType(e.into()))?;
        let row_of = |row: usize| values[row * classes..(row + 1) * classes].iter().copied().map(f64::from).collect();
        Ok((0..rows).map(row_of).collect())
    }
}
