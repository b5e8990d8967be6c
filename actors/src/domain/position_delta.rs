//! What the positions of an account say about an order whose reply was lost, where the venue cannot be asked about the order itself.
//!
//! It is the weakest evidence: another hand on the account could have done the same. So it counts only for one position that fits
//! exactly, that was not there before, and that no other order explains; and that nothing fits proves nothing.

use super::action::Receipt;
use super::intent::Intent;
use super::order::{Fill, Order, Position, Role};

/// What can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The order did this.
    Done(Fill),
    /// Nothing fits, yet.
    Nothing(String),
    /// It will never be seen for certain.
    Undecidable(String),
}

/// What `now`, all open positions of the symbol, says about the order of an intent. `acked` are the confirmed orders of its account.
#[must_use]
pub fn seen(intent: &Intent, now: &[Position], acked: &[Intent]) -> Seen {
    match intent.order() {
        None => Seen::Undecidable("positions say nothing about a forecast".to_owned()),
        Some(order) => match order.role {
            Role::Open => opened(order, intent.listed.as_deref(), now, acked),
            Role::Close(_) => closed(order, now),
        },
    }
}

fn opened(order: &Order, before: Option<&[Position]>, now: &[Position], acked: &[Intent]) -> Seen {
    let Some(before) = before else {
        return Seen::Undecidable("it was not noted which positions were open before it left".to_owned());
    };
    let confirms = |intent: &Intent, position: &Position| {
        intent.receipt.as_ref().and_then(Receipt::ticket) == Some(position.ticket)
    };
    let new: Vec<&Position> = now
        .iter()
        .filter(|position| before.iter().all(|old| old.ticket != position.ticket))
        .filter(|position| acked.iter().all(|intent| !confirms(intent, position)))
        .collect();
    let fits = |position: &&&Position| (position.side, position.volume_lots) == (order.side, order.volume_lots);
    let fitting: Vec<&Position> = new.iter().filter(fits).copied().collect();
    match (&*fitting, new.len()) {
        ([position], 1) => Seen::Done(Fill {
            ticket: position.ticket,
            volume_lots: position.volume_lots,
            price: Some(position.open_price),
            text: "a new position of the same symbol, side and volume, and no other".to_owned(),
        }),
        (_, 0) => Seen::Nothing(format!("there is no new position; listed is {}", listing(now))),
        ([], _) => Seen::Nothing(format!("no new position fits it exactly; listed is {}", listing(now))),
        _ => Seen::Undecidable(format!("it could be any of several new positions; listed is {}", listing(now))),
    }
}

fn closed(order: &Order, now: &[Position]) -> Seen {
    let Role::Close(ticket) = order.role else { return Seen::Undecidable("it closes nothing".to_owned()) };
    if now.is_empty() {
        return Seen::Nothing(format!("no position is listed at all, which does not prove that {ticket} was closed"));
    }
    match now.iter().find(|position| position.ticket == ticket) {
        Some(open) => Seen::Nothing(format!("{} lots of position {ticket} are still listed", open.volume_lots)),
        None => Seen::Done(Fill {
            ticket,
            volume_lots: order.volume_lots,
            price: None,
            text: format!("position {ticket} is not listed any more"),
        }),
    }
}

/// Positions for a person.
#[must_use]
pub fn listing(positions: &[Position]) -> String {
    let one = |position: &Position| {
        let Position { ticket, side, volume_lots, symbol, .. } = position;
        format!("ticket {ticket} ({side} {} {symbol})", volume_lots.normalize())
    };
    if positions.is_empty() { "nothing".to_owned() } else { positions.iter().map(one).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::evidence::Grade;
    use super::super::intent::{Basis, IntentKey, IntentState, Mode};
    use super::super::order::{Side, Ticket};
    use super::super::time::UtcMs;
    use super::*;

    fn position(ticket: u64, side: Side, tenths: i64) -> Position {
        Position {
            ticket: Ticket(ticket),
            symbol: "EURUSD".to_owned(),
            side,
            volume_lots: Decimal::new(tenths, 1),
            open_price: Decimal::new(11, 1),
            opened_at: None,
        }
    }

    /// An order to buy 0.1 lots, or to close a position of that size.
    fn intent(role: Role, listed: Option<Vec<Position>>) -> Intent {
        let basis = Basis::Bar(UtcMs(0));
        Intent {
            key: IntentKey::derive(Mode::Live, "account", "eurusd", basis, role),
            mode: Mode::Live,
            account: "account".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot: UtcMs(0),
            announced_as: None,
            basis,
            action: Order {
                role,
                symbol: "EURUSD".to_owned(),
                side: Side::Buy,
                volume_lots: Decimal::new(1, 1),
                stop_price: None,
                target_price: None,
                reference_price: Decimal::ONE,
            }
            .into(),
            state: IntentState::Unknown,
            receipt: None,
            awaits: None,
            grade: None,
            listed,
            venue_note: None,
        }
    }

    fn confirmed(ticket: u64) -> Intent {
        let fill = Fill { ticket: Ticket(ticket), volume_lots: Decimal::ONE, price: None, text: String::new() };
        Intent { receipt: Some(fill.into()), grade: Some(Grade::Id), ..intent(Role::Open, None) }
    }

    fn ticket_of(seen: &Seen) -> Option<u64> {
        match seen {
            Seen::Done(fill) => Some(fill.ticket.0),
            Seen::Nothing(_) | Seen::Undecidable(_) => None,
        }
    }

    #[test]
    fn one_new_position_that_fits_is_the_order() {
        let order = intent(Role::Open, Some(vec![position(1, Side::Buy, 1)]));
        let now = [position(1, Side::Buy, 1), position(2, Side::Buy, 1)];
        assert_eq!(ticket_of(&seen(&order, &now, &[])), Some(2));
        assert_eq!(ticket_of(&seen(&order, &[now[1].clone(), position(3, Side::Buy, 1)], &[confirmed(3)])), Some(2));
    }

    #[test]
    fn a_position_that_was_there_or_that_another_order_explains_is_no_evidence() {
        let order = intent(Role::Open, Some(vec![position(1, Side::Buy, 1)]));
        for (now, acked) in [
            (vec![position(1, Side::Buy, 1)], vec![]),
            (vec![position(2, Side::Buy, 1)], vec![confirmed(2)]),
            (vec![position(2, Side::Sell, 1)], vec![]),
            (vec![position(2, Side::Buy, 2)], vec![]),
            (vec![position(1, Side::Buy, 2)], vec![]),
            (vec![], vec![]),
        ] {
            assert!(matches!(seen(&order, &now, &acked), Seen::Nothing(_)), "{now:?}");
        }
    }

    /// Somebody else trades the symbol, so even the one that fits may be theirs.
    #[test]
    fn with_several_new_positions_none_is_the_order() {
        let order = intent(Role::Open, Some(Vec::new()));
        for second in [position(3, Side::Buy, 1), position(3, Side::Sell, 5)] {
            let now = [position(2, Side::Buy, 1), second];
            let Seen::Undecidable(text) = seen(&order, &now, &[]) else { panic!("decided") };
            assert!(text.contains("ticket 2 (buy 0.1 EURUSD), ticket 3"), "{text}");
        }
    }

    #[test]
    fn without_a_note_of_what_was_open_nothing_is_new() {
        let order = intent(Role::Open, None);
        assert!(matches!(seen(&order, &[position(2, Side::Buy, 1)], &[]), Seen::Undecidable(_)));
    }

    #[test]
    fn a_position_is_closed_when_others_are_listed_and_it_is_not() {
        let close = intent(Role::Close(Ticket(7)), None);
        assert_eq!(ticket_of(&seen(&close, &[position(8, Side::Buy, 1)], &[])), Some(7));
        for now in
            [vec![], vec![position(7, Side::Sell, 1)], vec![position(8, Side::Buy, 1), position(7, Side::Sell, 1)]]
        {
            assert!(matches!(seen(&close, &now, &[]), Seen::Nothing(_)), "{now:?}");
        }
    }
}
