//! A model in a local ONNX file, run by `rten` inside the process.
//!
//! The file may change at any time. A changed file is loaded beside the old model, must pass every check and its parity
//! rows, and is taken up between two cycles; one that does not pass leaves the old model working and is reported once. So a
//! half-written, damaged or deleted file never costs a cycle, and a model that the manifest does not describe is never
//! asked.
//!
//! A model without a manifest has no hash that a half-written file would miss. A changed one is taken up when a later cycle
//! finds the same bytes again, and it never takes the place of a model that has a manifest.
//!
//! The runtime's panics are not caught here: the supervision tree replaces the stage that they end.

mod candidate;
mod error;
mod inspect;
mod papers;
mod session;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use sentinel_actors::domain::feature::FeatureFrame;
use sentinel_actors::domain::prediction::{ModelIdentity, RawAnswer};
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{FaultInjector, FaultPoint, Model, ModelError, PortFuture, inject_fault};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use self::candidate::Candidate;
pub use self::error::{Cause, Fault, OnnxError};
pub use self::session::OnnxEngine;
use super::manifest::{Expected, Manifest};
use crate::files::Stamp;

/// A file up to this size is read on the caller's task: that takes a few milliseconds at most, and happens once per change.
const INLINE_BYTES_MAX: u64 = 4 << 20;

/// A model in a local ONNX file. May be shared by pipelines that expect the same.
pub struct OnnxModel {
    path: PathBuf,
    expected: Arc<Expected>,
    engine: OnnxEngine,
    faults: Arc<dyn FaultInjector>,
    /// What cycles ask; replaced as a whole.
    live: ArcSwap<Candidate>,
    /// Which state of the files was judged last. Locked while a change is judged, never while a model is asked.
    judged: Mutex<Judged>,
    swaps: AtomicU64,
    refusals: AtomicU64,
}

/// A state of the files that was read and either taken up or refused.
struct Judged {
    stamps: [Stamp; 3],
    /// Two writes within one tick of the file system's clock look like one. So every new state is read a second time, a
    /// cycle later, when the tick is over; after that the stamps alone are enough.
    settled: bool,
    /// Why it was refused.
    refusal: Option<String>,
    /// A model without a manifest that was good, and is taken up when it is found again.
    seen: Option<ModelIdentity>,
}

impl OnnxModel {
    /// Loads a model file with its manifest, or with the list of its columns.
    ///
    /// # Errors
    /// When either is not there, does not pass its checks, or is not a model for `expected`.
    pub fn load(
        path: &Path,
        expected: Expected,
        engine: OnnxEngine,
        faults: Arc<dyn FaultInjector>,
    ) -> Result<Self, OnnxError> {
        // Stamped before reading: a write in between makes the next cycle look again.
        let stamps = Candidate::stamps(path);
        let live = Candidate::read(path, &expected, &engine)?;
        Ok(Self {
            path: path.to_owned(),
            expected: Arc::new(expected),
            engine,
            faults,
            live: ArcSwap::from(live),
            judged: Mutex::new(Judged { stamps, settled: false, refusal: None, seen: None }),
            swaps: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        })
    }

    /// The model that cycles ask now.
    #[must_use]
    pub fn identity(&self) -> ModelIdentity {
        self.live.load().identity().clone()
    }

    /// The manifest of the model that cycles ask now; `None`: it has none, and is not verified.
    #[must_use]
    pub fn manifest(&self) -> Option<Manifest> {
        self.live.load().manifest().cloned()
    }

    /// How often a changed file was taken up.
    #[must_use]
    pub fn swaps(&self) -> u64 {
        self.swaps.load(Ordering::Relaxed)
    }

    /// How often a changed file was refused.
    #[must_use]
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// Takes up a changed file when it passes all checks.
    async fn follow_file(&self) {
        // Another pipeline is judging the change: this cycle continues with the model that it has.
        let Ok(mut judged) = self.judged.try_lock() else { return };
        let stamps = Candidate::stamps(&self.path);
        let same = judged.stamps == stamps;
        if same && judged.settled {
            return;
        }
        let (mut refusal, mut seen) = (None, None);
        match self.read_candidate(stamps[0].length()).await {
            Ok(candidate) if self.is_unproven(&candidate, judged.seen.as_ref()) => {
                tracing::info!(
                    event = "model_change_seen",
                    model = %self.path.display(),
                    hash = candidate.identity().hash,
                    "the model changed and has no manifest; it is used as soon as a later cycle finds the same files again"
                );
                seen = Some(candidate.identity().clone());
            }
            Ok(candidate) => self.take_up(candidate).await,
            Err(error) => {
                let text = chain(&error);
                if !same || judged.refusal.as_ref() != Some(&text) {
                    self.report_refusal(&text);
                }
                refusal = Some(text);
            }
        }
        // Only now: when this task is ended half-way, the next cycle judges the change again.
        *judged = Judged { stamps, settled: same && seen.is_none(), refusal, seen };
    }

    /// Whether nothing says yet that its files are written completely, and belong together.
    fn is_unproven(&self, candidate: &Candidate, seen: Option<&ModelIdentity>) -> bool {
        candidate.manifest().is_none() && !self.live.load().is(candidate) && seen != Some(candidate.identity())
    }

    async fn read_candidate(&self, bytes: u64) -> Result<Arc<Candidate>, OnnxError> {
        let (path, expected, engine) = (self.path.clone(), Arc::clone(&self.expected), self.engine.clone());
        let had_manifest = self.live.load().manifest().is_some();
        let read = move || {
            let candidate = Candidate::read(&path, &expected, &engine)?;
            if had_manifest && candidate.manifest().is_none() {
                return Err(OnnxError::ManifestGone { path: Manifest::path_of(&path) });
            }
            Ok(candidate)
        };
        if bytes <= INLINE_BYTES_MAX {
            return read();
        }
        match spawn_blocking(read).await {
            Ok(result) => result,
            // A panic belongs to the stage that asked. A cancelled read means that the runtime is ending.
            Err(ended) => match ended.try_into_panic() {
                Ok(payload) => std::panic::resume_unwind(payload),
                Err(_) => std::future::pending().await,
            },
        }
    }

    async fn take_up(&self, candidate: Arc<Candidate>) {
        let old = self.live.load_full();
        if old.is(&candidate) {
            return;
        }
        inject_fault(&*self.faults, FaultPoint::BeforeModelSwap, "model").await;
        self.swaps.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            event = "model_swapped",
            model = %self.path.display(),
            from = old.identity().hash,
            to = candidate.identity().hash,
            "the model file changed, passed all checks and is used from this cycle on"
        );
        self.live.store(candidate);
    }

    fn report_refusal(&self, error: &str) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            event = "model_refused",
            model = %self.path.display(),
            kept = self.live.load().identity().hash,
            error,
            "the model file changed and is refused; the model that was loaded goes on working"
        );
    }

    fn check_frame(&self, frame: &FeatureFrame) -> Result<(), ModelError> {
        if frame.set == self.expected.features && frame.row.len() == self.expected.columns.len() {
            return Ok(());
        }
        Err(ModelError::Invalid(format!(
            "it was asked about {} columns of {}, it takes {} of {}",
            frame.row.len(),
            frame.set,
            self.expected.columns.len(),
            self.expected.features
        )))
    }
}

impl Model for OnnxModel {
    fn validate(&self, _: Duration) -> PortFuture<'_, Result<ModelIdentity, ModelError>> {
        Box::pin(async move {
            self.follow_file().await;
            let live = self.live.load_full();
            live.check(&self.engine).map_err(|fault| ModelError::Invalid(chain(&fault)))?;
            Ok(live.identity().clone())
        })
    }

    /// Runs to its end on the caller's thread: microseconds for the models that this adapter is made for, so the deadline
    /// cannot pass in between.
    fn predict<'a>(&'a self, frame: &'a FeatureFrame, _: Duration) -> PortFuture<'a, Result<RawAnswer, ModelError>> {
        Box::pin(async move {
            self.check_frame(frame)?;
            self.live.load().ask(&frame.row).map_err(|error| ModelError::Invalid(chain(&error)))
        })
    }
}
