//! What has become of an operator's command to close everything that is open.
//!
//! Only the positions that the venue lists afterwards are believed, whatever was answered to the closes.

use std::fmt;

use super::explained::Unexplained;
use super::intent::IntentKey;
use super::order::{Position, Ticket};
use super::position_delta::listing;

/// One position that was to be closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    pub ticket: Ticket,
    /// Of its intent, when it has one.
    pub key: Option<IntentKey>,
    /// How its close ended, or why none was sent.
    pub became: String,
}

/// What the venue lists of a symbol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// The node's own.
    pub own: Vec<Position>,
    /// Those that no order of the node explains. They are not touched.
    pub others: Vec<Unexplained>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flattened {
    pub before: Listed,
    pub closes: Vec<Close>,
    /// Orders that open a position and of which it is not known what became of them: one may still be filled.
    pub in_doubt: Vec<IntentKey>,
    /// Why the positions could not be read again, if they could not.
    pub after: Result<Listed, String>,
}

impl Flattened {
    /// Whether the venue lists no position of the symbol any more, whoever opened it, and none can come.
    #[must_use]
    pub fn is_flat(&self) -> bool {
        self.in_doubt.is_empty()
            && self.after.as_ref().is_ok_and(|after| after.own.is_empty() && after.others.is_empty())
    }
}

impl fmt::Display for Flattened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "open before: {}", self.before)?;
        for Close { ticket, key, became } in &self.closes {
            let key = key.as_ref().map(|key| format!(", intent {key}")).unwrap_or_default();
            writeln!(f, "  close of ticket {ticket}{key}: {became}")?;
        }
        for key in &self.in_doubt {
            writeln!(
                f,
                "  the order {key} may still open one: what became of it is not known; `sentinel settle {key}`"
            )?;
        }
        match &self.after {
            Ok(after) => write!(f, "open now, read again: {after}"),
            Err(why) => write!(f, "open now: not known, {why}"),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&listing(&self.own))?;
        for other in &self.others {
            write!(f, "; not the node's, so not touched: {other}")?;
        }
        Ok(())
    }
}

/// Why nothing was closed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotFlattened {
    #[error("the pipeline is in dry run: its positions are in the paper book, and none is at a venue")]
    DryRun,
    #[error("the pipeline makes forecasts, and has no positions")]
    NoPositions,
    /// Its venue closes no position by its ticket, and what to do instead.
    #[error("{0}")]
    CannotClose(String),
    #[error("which positions are open is not known: {0}")]
    Unlisted(String),
    #[error("the journal cannot be asked: {0}")]
    Journal(String),
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::order::Side;
    use super::*;

    fn position(ticket: u64) -> Position {
        Position {
            ticket: Ticket(ticket),
            symbol: "EURUSD".to_owned(),
            side: Side::Buy,
            volume_lots: Decimal::new(1, 1),
            open_price: Decimal::ONE,
            opened_at: None,
        }
    }

    fn flattened(after: Result<Listed, String>) -> Flattened {
        let before = Listed { own: vec![position(7)], others: Vec::new() };
        Flattened { before, closes: Vec::new(), in_doubt: Vec::new(), after }
    }

    #[test]
    fn flat_is_only_a_symbol_of_which_nothing_is_listed_afterwards() {
        assert!(flattened(Ok(Listed::default())).is_flat());
        assert!(!flattened(Err("no answer".to_owned())).is_flat());
        let in_doubt = vec![IntentKey::stored("abcdefgh".to_owned())];
        let may_come = Flattened { in_doubt, ..flattened(Ok(Listed::default())) };
        assert!(!may_come.is_flat() && may_come.to_string().contains("`sentinel settle abcdefgh`"));
        assert!(!flattened(Ok(Listed { own: vec![position(7)], others: Vec::new() })).is_flat());
        let others = vec![Unexplained { position: position(8), explained_lots: None }];
        let left = flattened(Ok(Listed { own: Vec::new(), others }));
        assert!(!left.is_flat(), "another hand's position is exposure too");
        let text = left.to_string();
        let expected = "open before: ticket 7 (buy 0.1 EURUSD)\n\
                        open now, read again: nothing; not the node's, so not touched: ticket 8, buy 0.1 EURUSD";
        assert_eq!(text, expected);
    }
}
