//! What the dialects of the gateways can do. Configuration and wiring ask a dialect for what it can do, and never for its name.
//!
//! [`DIALECTS`] is the only list of them. A capability is what the node makes use of: a gateway may know more than its
//! dialect can say.

use rust_decimal::Decimal;

use super::order_send;

/// What the program has to know of a dialect.
#[derive(Debug)]
pub struct Dialect {
    pub name: &'static str,
    /// Whose code reads and writes it.
    pub protocol: Protocol,
    /// It says which positions are open. Else they are derived from confirmed orders, or untracked.
    pub reports_positions: bool,
    /// It closes one position out of several by its ticket.
    pub closes_by_ticket: bool,
    /// What became of an order can be asked by the order's id.
    pub has_order_ids: bool,
    /// It tells bid and ask.
    pub has_quotes: bool,
    pub lots: LotLimits,
}

/// Which code speaks a dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    OrderSend,
}

/// The volumes that a dialect can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotLimits {
    pub least: Decimal,
    pub most: Decimal,
    /// Places after the point: the step of a volume.
    pub decimals: u32,
}

/// All dialects; the first one is meant where none is named.
pub static DIALECTS: [Dialect; 1] = [order_send::DIALECT];

impl LotLimits {
    #[must_use]
    pub fn allow(&self, lots: Decimal) -> bool {
        (self.least..=self.most).contains(&lots) && lots.normalize().scale() <= self.decimals
    }
}

/// A dialect is its name.
impl PartialEq for Dialect {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}
