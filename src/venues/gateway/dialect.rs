//! What the dialects of the gateways can do. Configuration and wiring ask a dialect for what it can do, and never for its name.
//!
//! [`DIALECTS`] is the only list of them. A capability is what the node makes use of: a gateway may know more than its
//! dialect can say.

use rust_decimal::Decimal;
use sentinel_actors::domain::evidence::Grade;

use super::speech::Speech;
use super::{command, expert_advisor, order_send, sentinel};

/// What the program has to know of a dialect.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a capability of its own, and a column of the table in the docs"
)]
pub struct Dialect {
    pub name: &'static str,
    pub talk: Talk,
    /// It says which positions are open. Else they are derived from confirmed orders, or untracked.
    pub reports_positions: bool,
    /// It closes one position out of several by its ticket.
    pub closes_by_ticket: bool,
    /// A stop and a target go along with an order.
    pub carries_exits: bool,
    /// A reply carries the id of its request.
    pub echoes_ids: bool,
    /// What became of an order can be asked by the order's id, without any effect.
    pub asks_by_id: bool,
    /// It tells balance, equity and margin.
    pub tells_account: bool,
    /// It tells bid and ask.
    pub has_quotes: bool,
    /// By what an order without a reply can be found.
    pub evidence: &'static [Grade],
    pub lots: LotLimits,
    /// Words that the far side takes for a command wherever they stand.
    pub words: &'static [&'static str],
}

/// How a venue talks in a dialect.
#[derive(Debug, Clone, Copy)]
pub enum Talk {
    /// Each request stands alone; this writes it and reads its reply.
    Requests(&'static dyn Speech),
    /// In a session with a gateway that keeps a ledger.
    Sessions,
}

/// The volumes that a dialect can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LotLimits {
    pub least: Decimal,
    pub most: Decimal,
    /// Places after the point: the step of a volume.
    pub decimals: u32,
}

/// What a terminal takes.
pub const IN_HUNDREDTHS: LotLimits =
    LotLimits { least: Decimal::from_parts(1, 0, 0, false, 2), most: Decimal::ONE_HUNDRED, decimals: 2 };

/// All dialects; the first one is meant where none is named.
pub static DIALECTS: [Dialect; 4] = [order_send::DIALECT, command::DIALECT, expert_advisor::DIALECT, sentinel::DIALECT];

impl Dialect {
    /// The word in `text` that the far side would take for a command.
    #[must_use]
    pub fn word_in(&self, text: &str) -> Option<&'static str> {
        let text = text.to_ascii_lowercase();
        self.words.iter().find(|word| text.contains(&word.to_ascii_lowercase())).copied()
    }
}

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

impl Eq for Dialect {}
