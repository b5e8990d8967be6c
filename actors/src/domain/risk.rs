//! Limits on orders. Closing a position reduces risk and spends no budget, but it too waits for open intents: on a netting
//! account a close is an opposite order, and doing it twice opens a new position.

use rust_decimal::Decimal;

use super::account_risk::AccountLimits;
use super::calendar::MarketCalendar;
use super::intent::Intent;
use super::order::{Order, Position, Role};
use super::reason::{Ending, Reason};
use super::time::UtcMs;

/// Configured limits of one pipeline.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskLimits {
    /// Open positions of the symbol; `None`: no limit, the only choice where they are unknown.
    pub max_open_positions: Option<u32>,
    /// Lots that may be open in one direction; `None`: no limit, the only choice where positions are unknown.
    pub max_position_lots: Option<Decimal>,
    /// When new exposure may be opened.
    pub hours: MarketCalendar,
    /// Orders sent in the last hour of schedule time.
    pub max_orders_per_hour: u32,
    /// Orders sent in the last 24 hours of schedule time.
    pub max_orders_per_day: u32,
    /// The same for all pipelines of one account.
    pub account: AccountLimits,
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

/// What is wrong with an order, regardless of open positions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// An order is never larger than the configured volume, whatever size of position the venue reports or was derived.
    #[error(
        "{role} takes {have} lots where volume_lots allows {allowed} lots; close the position by hand, or set volume_lots to \
         its size until it is closed"
    )]
    TooLarge {
        /// What it is for.
        role: Role,
        /// Its volume, in lots.
        have: Decimal,
        /// The configured volume, in lots.
        allowed: Decimal,
    },
    /// A gateway reads 0 as "none" and would open the position without a stop or target.
    #[error("the {level} would be {price} with the price at {reference}; its distance is too large for this symbol")]
    LevelNotPositive {
        /// `stop` or `target`.
        level: &'static str,
        /// Where it would lie.
        price: Decimal,
        /// Close of the newest bar.
        reference: Decimal,
    },
}

impl InvalidOrder {
    /// The slot's reason for it.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLarge { .. } => Reason::OrderTooLarge,
            Self::LevelNotPositive { .. } => Reason::LevelNotPositive,
        }
    }
}

/// Checks an order without regard to open positions. `volume_lots` is the configured volume.
///
/// # Errors
/// The first check that it fails.
pub fn validate_order(order: &Order, volume_lots: Decimal) -> Result<(), InvalidOrder> {
    if order.volume_lots > volume_lots {
        let (have, allowed) = (order.volume_lots.normalize(), volume_lots.normalize());
        return Err(InvalidOrder::TooLarge { role: order.role, have, allowed });
    }
    for (level, price) in [("stop", order.stop_price), ("target", order.target_price)] {
        if let Some(price) = price.filter(|price| *price <= Decimal::ZERO) {
            return Err(InvalidOrder::LevelNotPositive { level, price, reference: order.reference_price });
        }
    }
    Ok(())
}

/// Whether an order would make a derived position larger than one order may close. A venue that reports its positions
/// closes each by its ticket; a derived one is closed by an opposite order.
#[must_use]
pub fn outgrows_one_order(order: &Order, derived: &[Position], volume_lots: Decimal) -> bool {
    let outgrows = |position: &Position| {
        let sum = position.volume_lots.checked_add(order.volume_lots);
        position.side == order.side && sum.is_none_or(|sum| sum > volume_lots)
    };
    order.role == Role::Open && derived.iter().any(outgrows)
}

/// Checks one order against the limits and open intents.
///
/// # Errors
/// The first limit that forbids it.
pub fn check_limits(
    limits: &RiskLimits,
    order: &Order,
    positions: &[Position],
    exposure: &Exposure,
    now: UtcMs,
) -> Result<(), Ending> {
    let refused = |reason| Err(Ending::new(reason, ""));
    if !exposure.open_intents.is_empty() {
        let open: Vec<&str> = exposure.open_intents.iter().map(|intent| intent.key.as_str()).collect();
        return Err(Ending::new(Reason::IntentOpen, open.join(" ")));
    }
    if matches!(order.role, Role::Close(_)) {
        return Ok(());
    }
    if !limits.hours.is_open(now) {
        return Err(Ending::new(Reason::RiskHours, format!("new exposure is allowed in {}", limits.hours)));
    }
    if limits.max_open_positions.is_some_and(|limit| positions.len() >= limit as usize) {
        return refused(Reason::RiskMaxPositions);
    }
    check_size(limits, order, positions)?;
    if exposure.orders_last_hour >= limits.max_orders_per_hour {
        return refused(Reason::RiskOrdersPerHour);
    }
    if exposure.orders_last_day >= limits.max_orders_per_day {
        return refused(Reason::RiskOrdersPerDay);
    }
    Ok(())
}

fn check_size(limits: &RiskLimits, order: &Order, positions: &[Position]) -> Result<(), Ending> {
    let Some(limit) = limits.max_position_lots else { return Ok(()) };
    let same_side = positions.iter().filter(|position| position.side == order.side);
    let open: Decimal = same_side.map(|position| position.volume_lots).fold(Decimal::ZERO, Decimal::saturating_add);
    if open.saturating_add(order.volume_lots) <= limit {
        return Ok(());
    }
    let [open, more, limit] = [open, order.volume_lots, limit].map(|lots| lots.normalize());
    let detail = format!("{open} lots are open, and this order would add {more}; max_position_lots is {limit}");
    Err(Ending::new(Reason::RiskPositionSize, detail))
}

#[cfg(test)]
mod tests {
    use super::super::intent::{Basis, IntentKey, IntentState, Mode};
    use super::super::order::{Side, Ticket};
    use super::super::time::UtcMs;
    use super::*;

    fn limits() -> RiskLimits {
        RiskLimits {
            max_open_positions: Some(1),
            max_position_lots: None,
            hours: "UTC; Mon 08:00-Mon 20:00".parse().unwrap(),
            max_orders_per_hour: 2,
            max_orders_per_day: 3,
            account: AccountLimits::default(),
        }
    }

    /// A Monday.
    fn noon() -> UtcMs {
        "2026-07-06T12:00:00Z".parse().unwrap()
    }

    fn reason(
        limits: &RiskLimits,
        order: &Order,
        positions: &[Position],
        exposure: &Exposure,
        now: UtcMs,
    ) -> Result<(), Reason> {
        check_limits(limits, order, positions, exposure, now).map_err(|ending| ending.reason)
    }

    fn order(role: Role) -> Order {
        Order {
            role,
            symbol: "EURUSD".to_owned(),
            side: Side::Buy,
            volume_lots: Decimal::ONE,
            stop_price: None,
            target_price: None,
            reference_price: Decimal::ONE,
        }
    }

    fn position() -> Position {
        Position {
            ticket: Ticket(1),
            symbol: "EURUSD".to_owned(),
            side: Side::Buy,
            volume_lots: Decimal::ONE,
            open_price: Decimal::ONE,
            opened_at: None,
        }
    }

    fn open_intent() -> Intent {
        Intent {
            key: IntentKey::derive(Mode::DryRun, "paper", "eurusd", Basis::Bar(UtcMs(0)), Role::Open),
            mode: Mode::DryRun,
            account: "paper".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot: UtcMs(0),
            announced_as: None,
            basis: Basis::Bar(UtcMs(0)),
            action: order(Role::Open).into(),
            state: IntentState::Unknown,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    #[test]
    fn each_limit_refuses_with_its_own_code_and_the_limit_itself_is_allowed() {
        let judge = |positions: &[Position], hour, day, open: bool| {
            let open_intents = if open { vec![open_intent()] } else { vec![] };
            let exposure = Exposure { open_intents, orders_last_hour: hour, orders_last_day: day };
            reason(&limits(), &order(Role::Open), positions, &exposure, noon())
        };
        assert_eq!(judge(&[], 1, 2, false), Ok(()));
        assert_eq!(judge(&[position()], 0, 0, false), Err(Reason::RiskMaxPositions));
        assert_eq!(judge(&[], 2, 2, false), Err(Reason::RiskOrdersPerHour));
        assert_eq!(judge(&[], 1, 3, false), Err(Reason::RiskOrdersPerDay));
        assert_eq!(judge(&[], 0, 0, true), Err(Reason::IntentOpen));
    }

    #[test]
    fn closing_spends_no_budget_but_waits_for_open_intents() {
        let spent = Exposure { open_intents: vec![], orders_last_hour: 9, orders_last_day: 9 };
        let close = order(Role::Close(Ticket(1)));
        let night = noon().plus(std::time::Duration::from_secs(12 * 3_600));
        let none = RiskLimits { max_position_lots: Some(Decimal::ZERO), ..limits() };
        assert_eq!(reason(&none, &close, &[position()], &spent, night), Ok(()));
        let unsettled = Exposure { open_intents: vec![open_intent()], ..Exposure::default() };
        assert_eq!(reason(&limits(), &close, &[position()], &unsettled, noon()), Err(Reason::IntentOpen));
    }

    #[test]
    fn new_exposure_keeps_to_the_allowed_hours() {
        let at = |hours: u64| noon().plus(std::time::Duration::from_secs(hours * 3_600));
        let judge = |now| reason(&limits(), &order(Role::Open), &[], &Exposure::default(), now);
        assert_eq!(judge(at(7)), Ok(()));
        assert_eq!(judge(at(8)), Err(Reason::RiskHours));
        let said = check_limits(&limits(), &order(Role::Open), &[], &Exposure::default(), at(8)).unwrap_err();
        assert!(said.detail.contains("Mon 08:00-Mon 20:00"), "{said:?}");
    }

    #[test]
    fn what_is_open_in_one_direction_stays_at_the_limit_of_its_size() {
        let lots = |tenths| Decimal::new(tenths, 1);
        let judge = |limit, open: &[(Side, i64)]| {
            let limits = RiskLimits { max_open_positions: None, max_position_lots: Some(lots(limit)), ..limits() };
            let position =
                |(side, tenths): &(Side, i64)| Position { side: *side, volume_lots: lots(*tenths), ..position() };
            let positions: Vec<Position> = open.iter().map(position).collect();
            reason(&limits, &order(Role::Open), &positions, &Exposure::default(), noon())
        };
        assert_eq!(judge(10, &[]), Ok(()), "the limit itself is allowed");
        assert_eq!(judge(9, &[]), Err(Reason::RiskPositionSize));
        assert_eq!(judge(17, &[(Side::Buy, 3), (Side::Buy, 4)]), Ok(()));
        assert_eq!(judge(16, &[(Side::Buy, 3), (Side::Buy, 4)]), Err(Reason::RiskPositionSize));
        assert_eq!(judge(10, &[(Side::Sell, 9)]), Ok(()), "the other direction is another position");
    }
}
