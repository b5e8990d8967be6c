//! Who is let in, and for how long: a thread of its own, with a runtime of its own.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use sentinel_actors::error_chain::chain;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tower::Service as _;
use tracing::{debug, warn};

use super::routes::{self, Control, Peer};
use super::socket::{self, SOCKET_FILE};
use crate::operator::serving::{self, Door, Handler, Limits};

/// The server of a running node. It ends when this value goes.
pub struct ControlServer {
    stop: Option<oneshot::Sender<()>>,
    path: PathBuf,
}

impl ControlServer {
    /// Binds the socket in the state directory, whose lock the caller holds, and serves it.
    ///
    /// # Errors
    /// When it cannot be bound, or the thread not be started.
    pub fn start(dir: &Path, control: Control) -> io::Result<Self> {
        let listener = socket::bind(dir)?;
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("operator".to_owned()).spawn(move || {
            let door = Socket(routes::router(control));
            let served = runtime.block_on(async {
                serving::serve(&UnixListener::from_std(listener)?, &door, Limits::default(), stopped).await
            });
            if let Err(error) = served {
                warn!(event = "control_socket_failed", error = %chain(&error), "the control socket cannot be served");
            }
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), path: dir.join(SOCKET_FILE) })
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        let _ = socket::remove(&self.path);
        // Nobody waits for the thread: the end of the node must not depend on it.
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

struct Socket(Router);

impl Door for Socket {
    type Stream = UnixStream;

    fn admit(&self, stream: &UnixStream) -> Option<Handler> {
        let peer = admitted(stream, rustix::process::geteuid().as_raw())?;
        let router = self.0.clone();
        Some(Box::new(move |mut request: Request| {
            request.extensions_mut().insert(peer);
            let answering = router.clone().call(request);
            Box::pin(async { answering.await.unwrap_or_else(|never| match never {}) })
        }))
    }

    fn refuses(&self, error: &io::Error) {
        warn!(event = "control_socket_refuses", error = %chain(error), "no command can be taken for a while");
    }

    fn broke_off(why: &dyn fmt::Display) {
        debug!(event = "control_connection_ended", error = %why, "a command broke off");
    }
}

/// Who is at the other end, when it is the node's own user or root.
fn admitted(stream: &UnixStream, own: u32) -> Option<Peer> {
    let uid = match stream.peer_cred() {
        Ok(peer) => peer.uid(),
        Err(error) => {
            warn!(event = "control_peer_refused", error = %chain(&error), "who gives a command is not known");
            return None;
        }
    };
    if uid == own || uid == 0 {
        return Some(Peer { uid });
    }
    warn!(event = "control_peer_refused", uid, "a user who is neither the node's own nor root gave a command");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_own_user_and_root_are_let_in() {
        let (stream, _other) = UnixStream::pair().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(admitted(&stream, uid).map(|peer| peer.uid), Some(uid));
        assert_eq!(admitted(&stream, uid + 1).is_some(), uid == 0, "as if the node had another user");
    }
}
