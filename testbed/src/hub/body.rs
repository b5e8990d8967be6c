//! The body of an answer: all at once, or one byte after the other.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Interval, interval};

/// What is left to be sent.
pub(super) struct Outgoing {
    rest: Bytes,
    /// One byte per tick; all at once without.
    pace: Option<Interval>,
}

impl Outgoing {
    pub(super) fn whole(body: Vec<u8>) -> Self {
        Self { rest: body.into(), pace: None }
    }

    /// The first byte at once, the last one after `time`.
    pub(super) fn dribble(body: Vec<u8>, time: Duration) -> Self {
        let gaps = u32::try_from(body.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
        // An interval of no length is none.
        let pace = interval((time / gaps).max(Duration::from_nanos(1)));
        Self { rest: body.into(), pace: Some(pace) }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = match &mut self.pace {
            None => self.rest.len(),
            Some(pace) => match pace.poll_tick(cx) {
                Poll::Ready(_) => 1,
                Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(size)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
