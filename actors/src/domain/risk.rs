//! Limits on orders. Closing a position reduces risk and spends no budget, but it too waits for open intents: on a netting
//! account a close is an opposite order, and doing it twice opens a new position.

use super::intent::Intent;
use super::order::{Order, Position, Role};
use super::reason::Reason;

/// Configured limits of one pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RiskLimits {
    /// Open positions of the symbol.
    pub max_open_positions: u32,
    /// Orders sent in the last hour of schedule time.
    pub max_orders_per_hour: u32,
    /// Orders sent in the last 24 hours of schedule time.
    pub max_orders_per_day: u32,
}

/// What the journal knows about an account and symbol right before an order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Exposure {
    /// Intents that are neither acked, rejected nor absent, oldest first.
    pub open_intents: Vec<Intent>,
    /// Orders that may have left in the last hour.
    pub orders_last_hour: u32,
    /// Orders that may have left in the last 24 hours.
    pub orders_last_day: u32,
}

/// Judges one order.
///
/// # Errors
/// The first limit that forbids it.
pub fn permit(limits: &RiskLimits, order: &Order, positions: &[Position], exposure: &Exposure) -> Result<(), Reason> {
    if !exposure.open_intents.is_empty() {
        return Err(Reason::IntentOpen);
    }
    if matches!(order.role, Role::Close(_)) {
        return Ok(());
    }
    if positions.len() >= limits.max_open_positions as usize {
        return Err(Reason::RiskMaxPositions);
    }
    if exposure.orders_last_hour >= limits.max_orders_per_hour {
        return Err(Reason::RiskOrdersPerHour);
    }
    if exposure.orders_last_day >= limits.max_orders_per_day {
        return Err(Reason::RiskOrdersPerDay);
    }
    Ok(())
}
