//! Which positions are open: what the venue tells, or what the confirmed orders add up to where it cannot.

use super::Executor;
use crate::domain::netting::net_position;
use crate::domain::order::Position;
use crate::domain::reason::{Ending, Reason};
use crate::ports::Positions;

/// Positions that are open, as far as anybody knows.
pub(super) struct Open {
    pub(super) positions: Vec<Position>,
    /// The venue cannot tell; the journal's confirmed orders were added up.
    pub(super) is_counted: bool,
}

impl Executor {
    pub(super) async fn positions(&mut self) -> Result<Open, Ending> {
        let (positions, is_counted) = match self.venue.positions(&self.symbol, self.venue_time()).await {
            Ok(Positions::Reported(positions)) => (positions, false),
            Ok(Positions::Derived) => (self.count_position().await?, true),
            Ok(Positions::Untracked) => {
                self.show_positions(None);
                return Ok(Open { positions: Vec::new(), is_counted: false });
            }
            Err(error) => {
                self.show_positions(None);
                return Err(Ending::new(Reason::VenueUnavailable, error.to_string()));
            }
        };
        self.show_positions(Some(positions.len()));
        Ok(Open { positions, is_counted })
    }

    /// The position that the confirmed orders add up to. Counted again whenever an intent may have moved.
    async fn count_position(&mut self) -> Result<Vec<Position>, Ending> {
        if let Some(counted) = &self.counted {
            return Ok(counted.clone());
        }
        let (account, mode) = (self.venue.account().to_owned(), self.venue.mode());
        let acked = self.journal.acked_intents(&account, &self.symbol, mode).await;
        let acked = acked.map_err(|error| Ending::new(Reason::JournalUnavailable, error.to_string()))?;
        let counted = net_position(&acked).map_err(|fault| Ending::new(Reason::VenueUnavailable, fault.to_string()))?;
        let counted: Vec<Position> = counted.into_iter().collect();
        // An unsettled order may still be confirmed.
        self.counted = self.settled.then(|| counted.clone());
        Ok(counted)
    }
}
