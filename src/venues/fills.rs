//! What the paper book answers to an order. Pure: the book on the disk and the one of a backtest give the same answer.

use rust_decimal::Decimal;
use sentinel_actors::domain::order::{Fill, Order, Position, Side, Ticket};
use sentinel_actors::ports::Submission;

use super::exits::Terms;

/// The order makes no sense as it stands.
pub const CODE_INVALID: i64 = 400;
/// The position to close is not open.
pub const CODE_NOT_OPEN: i64 = 404;
/// The key was filled before: carrying it out again would be a double order. A bug of the caller.
pub const CODE_DOUBLE_SUBMIT: i64 = 409;

/// Why an order is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    NotPositive,
    WrongSide,
    NotOpen,
    NotWhole,
    DoubleSubmit,
}

impl From<Refusal> for Submission {
    fn from(refusal: Refusal) -> Self {
        let (code, text) = match refusal {
            Refusal::NotPositive => (CODE_INVALID, "volume and price must be positive"),
            Refusal::WrongSide => (CODE_INVALID, "stop or target lies on the wrong side of the price"),
            Refusal::NotOpen => (CODE_NOT_OPEN, "no open position has this ticket"),
            Refusal::NotWhole => {
                (CODE_INVALID, "a close is for the whole position: same symbol and volume, other side")
            }
            Refusal::DoubleSubmit => {
                (CODE_DOUBLE_SUBMIT, "this key was filled before; doing it again would be a double order")
            }
        };
        Self::Rejected { code: Some(code), text: text.to_owned(), lasting: false }
    }
}

/// The price at which an order opens a position.
pub(super) fn open_price(order: &Order, terms: &Terms) -> Result<Decimal, Refusal> {
    let price = terms.fill(order.side, order.reference_price);
    let wrong_side = |level: Option<Decimal>, below: bool| {
        level.is_some_and(|level| if (order.side == Side::Buy) == below { level >= price } else { level <= price })
    };
    if order.volume_lots <= Decimal::ZERO || price <= Decimal::ZERO {
        return Err(Refusal::NotPositive);
    }
    if wrong_side(order.stop_price, true) || wrong_side(order.target_price, false) {
        return Err(Refusal::WrongSide);
    }
    Ok(price)
}

/// The price at which an order closes a position that is open.
pub(super) fn close_price(position: &Position, order: &Order, terms: &Terms) -> Result<Decimal, Refusal> {
    let whole = (&order.symbol, order.side, order.volume_lots)
        == (&position.symbol, position.side.opposite(), position.volume_lots);
    if whole { Ok(terms.fill(order.side, order.reference_price)) } else { Err(Refusal::NotWhole) }
}

/// The receipt. `role`: `open` or `close`.
pub(super) fn fill(role: &str, order: &Order, ticket: Ticket, price: Decimal) -> Fill {
    let text = format!("paper fill: {role} {} {} {} at {price}", order.side, order.volume_lots, order.symbol);
    Fill { ticket, volume_lots: order.volume_lots, price: Some(price), text }
}
