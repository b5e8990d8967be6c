//! How the servers here are ended.

use std::io;
use std::thread;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that the first SIGTERM or SIGINT cancels; they are caught from here on.
///
/// # Errors
/// When the system refuses the signals or the thread that waits for them.
pub fn shutdown_on_signal() -> io::Result<CancellationToken> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let shutdown = CancellationToken::new();
    let cancel_on_drop = shutdown.clone().drop_guard();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let _cancel = cancel_on_drop;
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
    })?;
    Ok(shutdown)
}
