//! The threads on which pipelines work: each has a runtime of its own, and each pipeline belongs to one of them.
//!
//! A cycle is handed from stage to stage without changing threads. Local models run on the same thread: it is the one that their
//! engine would start otherwise.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use sentinel_actors::ports::elapsed_now;
use sentinel_actors::settings::Workers;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::models::onnx::OnnxEngine;

/// Threads at most. One that blocks holds up only the pipelines that it works for.
const THREADS_MAX: usize = 2;

/// The running threads.
pub(super) struct WorkerThreads {
    workers: Workers,
    stops: Vec<oneshot::Sender<()>>,
    /// Closed when the last thread has ended.
    ended: Receiver<()>,
}

impl WorkerThreads {
    /// Starts threads for so many pipelines. `with_models`: they can run local models without changing threads.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(super) fn start(pipelines: usize, with_models: bool) -> std::io::Result<Self> {
        let (mut handles, mut stops) = (Vec::new(), Vec::new());
        let (alive, ended) = channel();
        for number in 0..pipelines.clamp(1, THREADS_MAX) {
            let runtime = Builder::new_current_thread().max_blocking_threads(4).enable_all().build()?;
            handles.push(runtime.handle().clone());
            let (stop, stopped) = oneshot::channel();
            stops.push(stop);
            let alive = alive.clone();
            std::thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
                let work = move || run(runtime, stopped);
                if with_models {
                    OnnxEngine::on_its_thread(work)
                } else {
                    work()
                }
                drop(alive);
            })?;
        }
        Ok(Self { workers: Workers::new(handles), stops, ended })
    }

    pub(super) fn workers(&self) -> Workers {
        self.workers.clone()
    }

    /// Ends the threads, and does not wait longer than `within` for what still runs: it was killed, or blocks.
    pub(super) fn end(self, within: Duration) {
        drop(self.stops);
        let until = elapsed_now() + within;
        while let Ok(()) = self.ended.recv_timeout(until.saturating_duration_since(elapsed_now())) {}
    }
}

fn run(runtime: Runtime, stopped: oneshot::Receiver<()>) {
    let _ = runtime.block_on(stopped);
    runtime.shutdown_background();
}
