//! How the gateway misbehaves. A [`FaultRule`](crate::FaultRule) names the orders that meet a fault; it counts order
//! requests since the process began.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::codes;

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
    /// Fills and replies with an id that no request has, where the dialect has ids.
    StrangerId,
    /// Fills and sends the reply to the order before it, as a peer does that lags by one.
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

#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum FaultError {
    #[error(
        "'{0}' is no fault; there are delay=DUR, slow=DUR, frozen=DUR, lost-reply, garbage, stranger-id, previous-reply, \
         reused-ticket, refuse=CODE, placed, partial, deaf=DUR, away=DUR, die, die-before and none"
    )]
    Unknown(String),
    /// The value is missing, superfluous or wrong.
    #[error("'{fault}' needs {needs}, for example {example}")]
    Value { fault: String, needs: &'static str, example: &'static str },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Delay(time) | Self::Slow(time) | Self::Frozen(time) | Self::Deaf(time) | Self::Away(time) => {
                write!(f, "={}", humantime::format_duration(*time))
            }
            Self::Refuse(code) => write!(f, "={code}"),
            _ => Ok(()),
        }
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let refused = |needs, example| FaultError::Value { fault: text.to_owned(), needs, example };
        let lasting = || {
            let duration = value.and_then(|value| humantime::parse_duration(value).ok());
            duration.ok_or_else(|| refused("a duration", "delay=500ms"))
        };
        let fault = match name {
            "delay" => return lasting().map(Self::Delay),
            "slow" => return lasting().map(Self::Slow),
            "frozen" => return lasting().map(Self::Frozen),
            "deaf" => return lasting().map(Self::Deaf),
            "away" => return lasting().map(Self::Away),
            "refuse" => {
                let code = value.and_then(|value| value.parse().ok());
                // A fill with `error` and no order behind it is no refusal, and nothing that a gateway does.
                let code = code.filter(|code| !(codes::PLACED..=codes::DONE_PARTIALLY).contains(code));
                return code.map(Self::Refuse).ok_or_else(|| refused("a return code that refuses", "refuse=10018"));
            }
            "lost-reply" => Self::LostReply,
            "garbage" => Self::Garbage,
            "stranger-id" => Self::StrangerId,
            "previous-reply" => Self::PreviousReply,
            "reused-ticket" => Self::ReusedTicket,
            "placed" => Self::Placed,
            "partial" => Self::Partial,
            "die" => Self::Die,
            "die-before" => Self::DieBefore,
            _ => return Err(FaultError::Unknown(text.to_owned())),
        };
        if value.is_some() { Err(refused("no value", "lost-reply@2")) } else { Ok(fault) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_cannot_be_meant_is_refused() {
        let half = Duration::from_millis(500);
        assert_eq!("delay=500ms".parse(), Ok(Fault::Delay(half)));
        assert_eq!("refuse=-4".parse(), Ok(Fault::Refuse(-4)));
        for wrong in ["", "moody", "delay", "delay=soon", "garbage=1", "refuse=10009", "refuse", "die=1"] {
            assert!(wrong.parse::<Fault>().is_err(), "'{wrong}' was taken");
        }
    }
}
