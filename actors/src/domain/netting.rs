//! The position that an account's own confirmed orders add up to: for venues that cannot say which positions are open.
//!
//! It is the position only where an opposite order reduces what is open (a netting account), where every order is the
//! node's own, and where nothing else ends a position, as a stop or a target at the venue would.

use rust_decimal::Decimal;

use super::action::Receipt;
use super::intent::Intent;
use super::order::{Fill, Order, Position, Role, Side, Ticket};

/// Why the position cannot be derived from confirmed orders.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDerivable {
    /// A stop or a target ends its position at the venue, without an order of the node.
    #[error(
        "the order with ticket {0} has a stop or a target, so what is open cannot be derived from the orders; check in the \
         terminal that the symbol is flat, then give the account another name, which starts from zero"
    )]
    HasExits(Ticket),
}

/// The net position after all of `acked`; `None` when they cancel out. Its ticket, price and time are those of the order
/// that took the account from flat, or over to the other side.
///
/// # Errors
/// When a stop or a target may have ended one of them.
pub fn net_position(acked: &[Intent]) -> Result<Option<Position>, NotDerivable> {
    let mut filled: Vec<(&Intent, &Order, &Fill)> = Vec::with_capacity(acked.len());
    for intent in acked {
        if let (Some(order), Some(fill)) = (intent.order(), intent.receipt.as_ref().and_then(Receipt::fill)) {
            filled.push((intent, order, fill));
        }
    }
    // Within one decision a close comes before the order that opens the other way.
    filled.sort_by_key(|(intent, order, _)| (intent.slot, order.role == Role::Open));
    let (mut net, mut opened_by) = (Decimal::ZERO, None);
    for (intent, order, fill) in filled {
        if order.stop_price.is_some() || order.target_price.is_some() {
            return Err(NotDerivable::HasExits(fill.ticket));
        }
        let signed = match order.side {
            Side::Buy => fill.volume_lots,
            Side::Sell => -fill.volume_lots,
        };
        let before = net;
        net += signed;
        if before.is_zero() || (!net.is_zero() && before.is_sign_negative() != net.is_sign_negative()) {
            opened_by = Some((intent, order, fill));
        }
    }
    let opened_by = opened_by.filter(|_| !net.is_zero());
    Ok(opened_by.map(|(intent, order, fill)| Position {
        ticket: fill.ticket,
        symbol: order.symbol.clone(),
        side: if net.is_sign_negative() { Side::Sell } else { Side::Buy },
        volume_lots: net.abs(),
        open_price: fill.price.unwrap_or(order.reference_price),
        opened_at: Some(intent.slot),
    }))
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;
    use super::super::intent::{Basis, IntentKey, IntentState, Mode};
    use super::super::time::UtcMs;
    use super::*;

    fn acked(slot: i64, role: Role, side: Side, tenths: i64) -> Intent {
        let volume_lots = Decimal::new(tenths, 1);
        let ticket = Ticket(u64::try_from(slot * 10).unwrap() + u64::from(role == Role::Open));
        Intent {
            key: IntentKey::derive(Mode::Live, "account", "eurusd", Basis::Bar(UtcMs(slot)), role),
            mode: Mode::Live,
            account: "account".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot: UtcMs(slot),
            announced_as: None,
            basis: Basis::Bar(UtcMs(slot)),
            action: Action::Order(Order {
                role,
                symbol: "EURUSD".to_owned(),
                side,
                volume_lots,
                stop_price: None,
                target_price: None,
                reference_price: Decimal::ONE,
            }),
            state: IntentState::Acked,
            receipt: Some(Fill { ticket, volume_lots, price: None, text: String::new() }.into()),
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    fn position(orders: &[Intent]) -> Option<(u64, Side, Decimal, i64)> {
        net_position(orders).unwrap().map(|p| (p.ticket.0, p.side, p.volume_lots, p.opened_at.unwrap().0))
    }

    #[test]
    fn orders_that_cancel_out_leave_no_position() {
        let close = acked(2, Role::Close(Ticket(11)), Side::Sell, 1);
        assert_eq!(position(&[]), None);
        assert_eq!(position(&[acked(1, Role::Open, Side::Buy, 1), close]), None);
    }

    #[test]
    fn a_reversal_is_a_position_of_its_own_whatever_the_order_of_its_rows() {
        let first = acked(1, Role::Open, Side::Buy, 1);
        let close = acked(2, Role::Close(Ticket(11)), Side::Sell, 1);
        let open = acked(2, Role::Open, Side::Sell, 1);
        let want = Some((21, Side::Sell, Decimal::new(1, 1), 2));
        assert_eq!(position(&[first.clone(), close.clone(), open.clone()]), want);
        assert_eq!(position(&[open, first, close]), want);
    }

    #[test]
    fn a_position_is_not_derived_from_orders_with_a_stop() {
        let mut with_stop = acked(1, Role::Open, Side::Buy, 1);
        let Action::Order(order) = &mut with_stop.action else { panic!("not an order") };
        order.stop_price = Some(Decimal::ONE);
        assert_eq!(net_position(&[with_stop]), Err(NotDerivable::HasExits(Ticket(11))));
    }

    #[test]
    fn a_partial_close_leaves_the_rest_with_its_ticket() {
        let orders = [acked(1, Role::Open, Side::Sell, 3), acked(2, Role::Close(Ticket(11)), Side::Buy, 1)];
        assert_eq!(position(&orders), Some((11, Side::Sell, Decimal::new(2, 1), 1)));
    }
}
