//! What has to be known of a hand-over when the gateway is asked about it, by whichever process asks. Pure.
//!
//! It is written with `sent`, before anything leaves. The gateway believes that it never got an order only where its store is the one
//! that the order was sent to, and lacks nothing of what was seen in it; and it looks for the order on the account that the order was
//! meant for. A store that was put back to exactly what had been seen lacks what came afterwards and shows it by nothing; but putting it
//! back takes another start of the gateway, so that a start that is another one is not told which store it was. So a wrong note could make an order
//! absent that the broker has: none is ever guessed.

use serde::{Deserialize, Serialize};

use super::account::Guard;

/// How far ahead an order may expire: the gateway's own limit.
pub(super) const EXPIRY_AHEAD_MAX_MS: i64 = 60_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The store that the order is sent to; any other one refuses it.
    pub(super) ledger: String,
    /// The start of the gateway that had been heard, a number that no other start has.
    pub(super) boot: u64,
    /// The highest number that had been seen in it.
    pub(super) seen: u64,
    /// By the gateway's clock; the order leaves later.
    pub(super) sent_at: i64,
    /// By the same clock: no order that is handed over under it is good for longer. The gateway waits for it before it calls an order
    /// absent, so that it is as early as the cycle allows.
    pub(super) expires_by: i64,
    pub(super) guard: Guard,
}

impl Note {
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn text(&self) -> Option<String> {
        serde_json::to_string(self).ok()
    }

    /// Whether the gateway is still the start that the order was sent to.
    pub(super) fn is_of_start(&self, boot: u64) -> bool {
        self.boot == boot
    }
}
