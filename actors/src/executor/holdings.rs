//! What the Executor publishes for status and heartbeat: orders that wait for an operator, and open positions.

use std::sync::Arc;

use super::{IntentProtocol, TradeStrategy};
use crate::domain::intent::{Intent, IntentKey};
use crate::domain::time::UtcMs;
use crate::events;
use crate::status::{HeldEffect, Holdings};

impl IntentProtocol {
    /// `held`: all orders of this pipeline that wait for an operator. Each is logged here once per process, and again with
    /// every heartbeat. `in_doubt`: those that are asked about again, with their slots.
    pub(super) fn show_open(&self, held: Vec<Intent>, in_doubt: Vec<(IntentKey, UtcMs)>) {
        let before = self.holdings.load_full();
        let held: Vec<HeldEffect> = held.into_iter().map(|intent| HeldEffect::new(intent, &self.state_dir)).collect();
        for order in held.iter().filter(|order| !before.held.contains(order)) {
            events::effect_held(order);
        }
        self.holdings.store(Arc::new(Holdings { held, in_doubt, ..Holdings::clone(&before) }));
    }
}

impl TradeStrategy {
    /// `None`: not known.
    pub(super) fn show_positions(&self, open_positions: Option<usize>) {
        let before = self.holdings.load_full();
        if before.open_positions != open_positions {
            self.holdings.store(Arc::new(Holdings { open_positions, ..Holdings::clone(&before) }));
        }
    }
}
