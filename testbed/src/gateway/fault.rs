//! How the gateway misbehaves, and on which orders. A fault is a rule that its user wrote down, never chance: a test says
//! which order meets which trouble.

use std::str::FromStr;
use std::time::Duration;

use super::codes;

/// What happens to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Fills at once, replies after this long.
    Delay(Duration),
    /// Waits this long, then fills and replies.
    Slow(Duration),
    /// Its process is stopped (SIGSTOP) for this long; then it fills and replies. Until then it does not even answer a
    /// connection.
    Frozen(Duration),
    /// Fills and never replies.
    LostReply,
    /// Fills and replies bytes that are no JSON.
    Garbage,
    /// Fills and replies with the id of nobody, where the dialect has one.
    StrangerId,
    /// Fills and replies what the order before was answered, as a peer does that lags by one.
    PreviousReply,
    /// Fills and replies with the ticket of the order before.
    ReusedTicket,
    /// Does not fill; replies this return code.
    Refuse(i64),
    /// Accepts without filling: 10008.
    Placed,
    /// Fills half: 10010.
    Partial,
    /// Treats the order as any other and then reads nothing for this long.
    Deaf(Duration),
    /// Fills, does not reply, closes its socket, forgets its ids, and is back after this long.
    Away(Duration),
    /// Fills, and kills its own process before it replies.
    Die,
    /// Kills its own process before it fills.
    DieBefore,
}

impl Fault {
    /// Its name in the ledger and on the command line, without its value.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Slow(_) => "slow",
            Self::Frozen(_) => "frozen",
            Self::LostReply => "lost-reply",
            Self::Garbage => "garbage",
            Self::StrangerId => "stranger-id",
            Self::PreviousReply => "previous-reply",
            Self::ReusedTicket => "reused-ticket",
            Self::Refuse(_) => "refuse",
            Self::Placed => "placed",
            Self::Partial => "partial",
            Self::Deaf(_) => "deaf",
            Self::Away(_) => "away",
            Self::Die => "die",
            Self::DieBefore => "die-before",
        }
    }
}

/// Why a rule cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FaultRuleError {
    /// No fault has this name.
    #[error(
        "'{0}' is no fault; there are delay=DUR, slow=DUR, frozen=DUR, lost-reply, garbage, stranger-id, previous-reply, \
         reused-ticket, refuse=CODE, placed, partial, deaf=DUR, away=DUR, die and die-before"
    )]
    Unknown(String),
    /// The value is missing, superfluous or wrong.
    #[error("'{fault}' needs {needs}, for example {example}")]
    Value {
        /// Which fault.
        fault: String,
        /// What its value is.
        needs: &'static str,
        /// How it is written.
        example: &'static str,
    },
    /// What follows the `@` names no orders.
    #[error("'{0}' names no orders; write @3 for the third order, @3-5 for three of them, and nothing for every order")]
    Orders(String),
}

/// A fault and the orders that meet it: `FAULT[@N[-M]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// First and last order, counted from 1 since the process began.
    pub orders: (u64, u64),
}

impl FaultRule {
    /// The fault of the order with this number: that of the first rule which names it.
    #[must_use]
    pub fn of(rules: &[Self], number: u64) -> Option<Fault> {
        rules.iter().find(|rule| (rule.orders.0..=rule.orders.1).contains(&number)).map(|rule| rule.fault)
    }
}

impl FromStr for FaultRule {
    type Err = FaultRuleError;

    fn from_str(text: &str) -> Result<Self, FaultRuleError> {
        let (fault, orders) = match text.split_once('@') {
            Some((fault, orders)) => {
                (fault, parse_orders(orders).ok_or_else(|| FaultRuleError::Orders(orders.to_owned()))?)
            }
            None => (text, (1, u64::MAX)),
        };
        Ok(Self { fault: parse_fault(fault)?, orders })
    }
}

fn parse_orders(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

fn parse_fault(text: &str) -> Result<Fault, FaultRuleError> {
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    let refused = |needs, example| FaultRuleError::Value { fault: text.to_owned(), needs, example };
    let lasting = || {
        let duration = value.and_then(|value| humantime::parse_duration(value).ok());
        duration.ok_or_else(|| refused("a duration", "delay=500ms"))
    };
    let fault = match name {
        "delay" => return lasting().map(Fault::Delay),
        "slow" => return lasting().map(Fault::Slow),
        "frozen" => return lasting().map(Fault::Frozen),
        "deaf" => return lasting().map(Fault::Deaf),
        "away" => return lasting().map(Fault::Away),
        "refuse" => {
            let code = value.and_then(|value| value.parse().ok());
            // A fill with `error` and no order behind it is no refusal, and nothing that a gateway does.
            let code = code.filter(|code| !(codes::PLACED..=codes::DONE_PARTIALLY).contains(code));
            return code.map(Fault::Refuse).ok_or_else(|| refused("a return code that refuses", "refuse=10018"));
        }
        "lost-reply" => Fault::LostReply,
        "garbage" => Fault::Garbage,
        "stranger-id" => Fault::StrangerId,
        "previous-reply" => Fault::PreviousReply,
        "reused-ticket" => Fault::ReusedTicket,
        "placed" => Fault::Placed,
        "partial" => Fault::Partial,
        "die" => Fault::Die,
        "die-before" => Fault::DieBefore,
        _ => return Err(FaultRuleError::Unknown(text.to_owned())),
    };
    if value.is_some() { Err(refused("no value", "lost-reply@2")) } else { Ok(fault) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_a_fault_and_its_orders() {
        let rule = |text: &str| text.parse::<FaultRule>();
        let half = Duration::from_millis(500);
        assert_eq!(rule("delay=500ms@3-5"), Ok(FaultRule { fault: Fault::Delay(half), orders: (3, 5) }));
        assert_eq!(rule("die-before@2"), Ok(FaultRule { fault: Fault::DieBefore, orders: (2, 2) }));
        assert_eq!(rule("refuse=-4"), Ok(FaultRule { fault: Fault::Refuse(-4), orders: (1, u64::MAX) }));
        for wrong in
            ["", "moody", "delay", "delay=soon", "garbage=1", "refuse=10009", "refuse", "die@0", "die@3-2", "die@"]
        {
            assert!(rule(wrong).is_err(), "'{wrong}' was taken");
        }
    }

    #[test]
    fn the_first_rule_that_names_an_order_decides() {
        let rules = ["die@2", "placed@1-2", "partial"].map(|text| text.parse().unwrap());
        let faults = [1, 2, 3].map(|number| FaultRule::of(&rules, number));
        assert_eq!(faults, [Some(Fault::Placed), Some(Fault::Die), Some(Fault::Partial)]);
        assert_eq!(FaultRule::of(&rules[..2], 3), None);
    }
}
