//! Which positions are open: as the venue reports them, or derived from the confirmed orders.

use super::{IntentProtocol, TradeStrategy};
use crate::domain::netting::net_position;
use crate::domain::order::Position;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::ports::Positions;

/// Open positions, as far as they are known.
pub(super) struct Open {
    pub(super) positions: Vec<Position>,
    /// The venue cannot report them; the journal's confirmed orders were added up.
    pub(super) is_derived: bool,
}

impl TradeStrategy {
    pub(super) async fn positions(&mut self, protocol: &mut IntentProtocol, slot: UtcMs) -> Result<Open, Ending> {
        let (positions, is_derived) = match self.book.positions(&self.symbol, slot, protocol.venue_time()).await {
            Ok(Positions::Reported(positions)) => (positions, false),
            Ok(Positions::Derived) => (self.derive_position(protocol).await?, true),
            Ok(Positions::Untracked) => {
                self.show_positions(None);
                return Ok(Open { positions: Vec::new(), is_derived: false });
            }
            Err(error) => {
                self.show_positions(None);
                return Err(Ending::new(Reason::VenueUnavailable, error.to_string()));
            }
        };
        self.show_positions(Some(positions.len()));
        Ok(Open { positions, is_derived })
    }

    /// The position that the confirmed orders add up to. Derived again after every change of an intent.
    async fn derive_position(&mut self, protocol: &mut IntentProtocol) -> Result<Vec<Position>, Ending> {
        if let Some((changes, derived)) = &self.derived
            && *changes == protocol.changes
        {
            return Ok(derived.clone());
        }
        let (account, mode) = (protocol.sink.account().to_owned(), protocol.sink.mode());
        let acked = protocol.journal.acked_intents(&account, &self.symbol, mode).await;
        let acked = acked.map_err(|error| Ending::new(Reason::JournalUnavailable, error.to_string()))?;
        let derived = net_position(&acked).map_err(|fault| Ending::new(Reason::VenueUnavailable, fault.to_string()))?;
        let derived: Vec<Position> = derived.into_iter().collect();
        // An unsettled order may still be confirmed.
        self.derived = protocol.settled.then(|| (protocol.changes, derived.clone()));
        Ok(derived)
    }
}
