//! Which positions are open: as the venue reports them, or derived from the confirmed orders.

use super::{IntentProtocol, TradeStrategy};
use crate::domain::explained::{Unexplained, split};
use crate::domain::intent::{Intent, Mode};
use crate::domain::netting::net_position;
use crate::domain::order::Position;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::events;
use crate::ports::Positions;

/// Open positions, as far as they are known.
#[derive(Default)]
pub(super) struct Open {
    /// The node's own, as far as that can be told.
    pub(super) positions: Vec<Position>,
    /// Those that no confirmed order explains: nothing is done about them.
    pub(super) unexplained: Vec<Unexplained>,
    /// The venue cannot report them; the journal's confirmed orders were added up.
    pub(super) is_derived: bool,
    /// The venue listed them.
    pub(super) is_reported: bool,
}

impl Open {
    /// How many are open, whoever opened them.
    pub(super) fn count(&self) -> usize {
        self.positions.len() + self.unexplained.len()
    }

    /// All that the venue listed, where it does.
    pub(super) fn listed(&self) -> Option<Vec<Position>> {
        let others = self.unexplained.iter().map(|other| &other.position);
        self.is_reported.then(|| self.positions.iter().chain(others).cloned().collect())
    }
}

impl TradeStrategy {
    pub(super) async fn positions(&mut self, protocol: &mut IntentProtocol, slot: UtcMs) -> Result<Open, Ending> {
        let open = match self.book.positions(&self.symbol, slot, protocol.venue_time()).await {
            Ok(Positions::Reported(positions)) => self.reported(protocol, positions).await?,
            Ok(Positions::Derived) => {
                Open { positions: self.derive_position(protocol).await?, is_derived: true, ..Open::default() }
            }
            Ok(Positions::Untracked) => {
                self.show_positions(None);
                return Ok(Open::default());
            }
            Err(error) => {
                self.show_positions(None);
                return Err(Ending::new(Reason::VenueUnavailable, error.to_string()));
            }
        };
        self.show_positions(Some(open.count()));
        Ok(open)
    }

    /// The paper book has no other hand, and may have been started again from empty.
    async fn reported(&mut self, protocol: &mut IntentProtocol, positions: Vec<Position>) -> Result<Open, Ending> {
        if protocol.sink.mode() == Mode::DryRun || positions.is_empty() {
            self.unexplained.clear();
            return Ok(Open { positions, is_reported: true, ..Open::default() });
        }
        // Confirmed orders only become more, and there are years of them: what those of before explain needs no new look.
        let (explained, unexplained) = split(positions.clone(), &self.acked);
        let (positions, unexplained) = if unexplained.is_empty() {
            (explained, unexplained)
        } else {
            self.acked = Box::pin(self.confirmed(protocol)).await?;
            split(positions, &self.acked)
        };
        // That of an order whose reply is still out is not yet known to be another hand's.
        if protocol.settled && self.unexplained != unexplained {
            for other in unexplained.iter().filter(|other| !self.unexplained.contains(other)) {
                events::position_unexplained(&protocol.pipeline, protocol.sink.account(), other);
            }
            self.unexplained.clone_from(&unexplained);
        }
        Ok(Open { positions, unexplained, is_reported: true, is_derived: false })
    }

    /// The position that the confirmed orders add up to. Derived again after every change of an intent.
    async fn derive_position(&mut self, protocol: &mut IntentProtocol) -> Result<Vec<Position>, Ending> {
        if let Some((changes, derived)) = &self.derived
            && *changes == protocol.changes
        {
            return Ok(derived.clone());
        }
        let acked = Box::pin(self.confirmed(protocol)).await?;
        let derived = net_position(&acked).map_err(|fault| Ending::new(Reason::VenueUnavailable, fault.to_string()))?;
        let derived: Vec<Position> = derived.into_iter().collect();
        // An unsettled order may still be confirmed.
        self.derived = protocol.settled.then(|| (protocol.changes, derived.clone()));
        Ok(derived)
    }

    async fn confirmed(&self, protocol: &mut IntentProtocol) -> Result<Vec<Intent>, Ending> {
        let (account, mode) = (protocol.sink.account().to_owned(), protocol.sink.mode());
        let acked = protocol.journal.acked_intents(&account, &self.symbol, mode).await;
        acked.map_err(|error| Ending::new(Reason::JournalUnavailable, error.to_string()))
    }
}
