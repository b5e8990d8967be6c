//! Which positions of a venue come from the node's confirmed orders, and which do not.
//!
//! What no order explains belongs to another hand, or to an order whose end is not known. It is never taken for the node's own,
//! and never closed.

use std::fmt;

use rust_decimal::Decimal;

use super::action::Receipt;
use super::intent::Intent;
use super::order::{Fill, Order, Position, Role};

/// A position that no confirmed order explains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unexplained {
    pub position: Position,
    /// What the confirmed orders would explain of its volume, when they opened it.
    pub explained_lots: Option<Decimal>,
}

impl fmt::Display for Unexplained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { ticket, side, volume_lots, symbol, .. } = &self.position;
        write!(f, "ticket {ticket}, {side} {} {symbol}", volume_lots.normalize())?;
        match self.explained_lots {
            Some(lots) => write!(f, ", of which confirmed orders explain {}", lots.normalize()),
            None => Ok(()),
        }
    }
}

/// The confirmed order that opened a position: the position has its ticket.
fn opener<'a>(position: &Position, acked: &'a [Intent]) -> Option<(&'a Intent, &'a Order)> {
    opens(acked).find_map(|(intent, order, fill)| (fill.ticket == position.ticket).then_some((intent, order)))
}

fn opens(acked: &[Intent]) -> impl Iterator<Item = (&Intent, &Order, &Fill)> {
    acked.iter().filter_map(|intent| {
        let order = intent.order().filter(|order| order.role == Role::Open)?;
        Some((intent, order, intent.receipt.as_ref().and_then(Receipt::fill)?))
    })
}

/// The positions that `acked`, the confirmed orders of the account and symbol, explain; each with the slot of the order that opened
/// it where the venue does not tell its time. And those that they do not explain.
#[must_use]
pub fn split(positions: Vec<Position>, acked: &[Intent]) -> (Vec<Position>, Vec<Unexplained>) {
    let (mut explained, mut unexplained) = (Vec::new(), Vec::new());
    for mut position in positions {
        let Some((opener, order)) = opener(&position, acked).filter(|(_, order)| order.side == position.side) else {
            unexplained.push(Unexplained { position, explained_lots: None });
            continue;
        };
        // On a netting account later orders of the same side add to it.
        let added = opens(acked).filter(|(intent, add, _)| intent.slot >= opener.slot && add.side == order.side);
        let lots: Decimal = added.map(|(_, _, fill)| fill.volume_lots).sum();
        if position.volume_lots > lots {
            unexplained.push(Unexplained { position, explained_lots: Some(lots) });
            continue;
        }
        position.opened_at = position.opened_at.or(Some(opener.slot));
        explained.push(position);
    }
    (explained, unexplained)
}

#[cfg(test)]
mod tests {
    use super::super::intent::{Basis, IntentKey, IntentState, Mode};
    use super::super::order::{Side, Ticket};
    use super::super::time::UtcMs;
    use super::*;

    fn acked(slot: i64, ticket: u64, side: Side, role: Role) -> Intent {
        let basis = Basis::Bar(UtcMs(slot));
        let volume_lots = Decimal::new(1, 1);
        Intent {
            key: IntentKey::derive(Mode::Live, "account", "eurusd", basis, role),
            mode: Mode::Live,
            account: "account".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot: UtcMs(slot),
            announced_as: None,
            basis,
            action: Order {
                role,
                symbol: "EURUSD".to_owned(),
                side,
                volume_lots,
                stop_price: None,
                target_price: None,
                reference_price: Decimal::ONE,
            }
            .into(),
            state: IntentState::Acked,
            receipt: Some(Fill { ticket: Ticket(ticket), volume_lots, price: None, text: String::new() }.into()),
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    fn position(ticket: u64, side: Side, tenths: i64) -> Position {
        Position {
            ticket: Ticket(ticket),
            symbol: "EURUSD".to_owned(),
            side,
            volume_lots: Decimal::new(tenths, 1),
            open_price: Decimal::ONE,
            opened_at: None,
        }
    }

    fn unexplained(position: Position, acked: &[Intent]) -> Vec<String> {
        split(vec![position], acked).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_position_with_the_ticket_of_a_confirmed_order_is_explained_and_gets_its_time() {
        let orders = [acked(5, 7, Side::Buy, Role::Open)];
        let (explained, unexplained) = split(vec![position(7, Side::Buy, 1)], &orders);
        assert_eq!((explained[0].opened_at, unexplained), (Some(UtcMs(5)), Vec::new()));
    }

    #[test]
    fn a_position_that_no_order_opened_is_named() {
        let orders = [acked(5, 7, Side::Buy, Role::Open), acked(6, 9, Side::Sell, Role::Close(Ticket(7)))];
        assert_eq!(unexplained(position(8, Side::Buy, 1), &orders), ["ticket 8, buy 0.1 EURUSD"]);
        assert_eq!(unexplained(position(7, Side::Sell, 1), &orders), ["ticket 7, sell 0.1 EURUSD"]);
        assert_eq!(unexplained(position(9, Side::Sell, 1), &orders), ["ticket 9, sell 0.1 EURUSD"], "that one closed");
    }

    #[test]
    fn a_volume_that_grew_is_explained_only_by_confirmed_orders() {
        let one = [acked(5, 7, Side::Buy, Role::Open)];
        let grown = "ticket 7, buy 0.2 EURUSD, of which confirmed orders explain 0.1";
        assert_eq!(unexplained(position(7, Side::Buy, 2), &one), [grown]);
        let added = [acked(5, 7, Side::Buy, Role::Open), acked(6, 8, Side::Buy, Role::Open)];
        assert!(unexplained(position(7, Side::Buy, 2), &added).is_empty());
        let before = [acked(5, 7, Side::Buy, Role::Open), acked(4, 8, Side::Buy, Role::Open)];
        assert_eq!(unexplained(position(7, Side::Buy, 2), &before), [grown]);
    }
}
