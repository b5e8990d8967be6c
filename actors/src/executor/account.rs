//! The account's money: read once in each cycle that has a decision or an exit, weighed against what the account may lose, and against what
//! explains a change of its balance.
//!
//! What fails here keeps new exposure here, and never an order that closes a position.

use super::{IntentProtocol, TradeStrategy};
use crate::domain::account_risk::{AccountBaselines, Follows, Seen};
use crate::domain::intent::Mode;
use crate::domain::reason::{Ending, Reason};
use crate::domain::time::UtcMs;
use crate::journal::JournalUnavailable;
use crate::ports::{AccountWrite, Written};

/// Pipelines of one account may read it at the same time, and one of them writes. So often another one may have been faster.
const TRIES: u32 = 5;
/// The part of the venue's time that a reading may take: a close must not wait for it too long.
const SHARE: u32 = 3;

impl TradeStrategy {
    /// Where the venue tells the account, a live one is always read, and that of a dry run when a limit needs it.
    pub(super) fn reads_account(&self, protocol: &IntentProtocol) -> bool {
        self.risk.account.need_readings() || protocol.sink.mode() == Mode::Live && self.book.tells_account()
    }

    /// Reads the account, keeps what follows from that, durably, and returns how many trades in a row have lost.
    ///
    /// # Errors
    /// What keeps new exposure here, apart from halts.
    pub(super) async fn watch_account(&self, protocol: &IntentProtocol, slot: UtcMs) -> Result<u32, Ending> {
        for _ in 0..TRIES {
            if let Some(baselines) = self.read_account(protocol, slot).await? {
                let lost = baselines.losses_in_row;
                return baselines.cools_until(slot).map_or(Ok(lost), |until| {
                    Err(Ending::new(Reason::RiskCoolDown, format!("until {until}; {lost} trades in a row have lost")))
                });
            }
        }
        let why = "other pipelines of the account have read it at the same time again and again";
        Err(Ending::new(Reason::VenueUnavailable, why))
    }

    /// `None`: another pipeline has written meanwhile.
    async fn read_account(&self, protocol: &IntentProtocol, slot: UtcMs) -> Result<Option<AccountBaselines>, Ending> {
        let unknown = |why: String| Ending::new(Reason::VenueUnavailable, format!("the account cannot be read: {why}"));
        let (account, mode) = (protocol.sink.account(), protocol.sink.mode());
        let before = protocol.journal.account(account, mode).await.map_err(unrecorded)?;
        let reading = self.book.account_reading(slot, protocol.venue_time() / SHARE).await;
        let reading = reading.map_err(|error| unknown(error.to_string()))?;
        let reading = reading.ok_or_else(|| unknown("the venue does not tell it".to_owned()))?;
        // An order that another pipeline sent meanwhile may have changed what was read.
        let after = protocol.journal.account(account, mode).await.map_err(unrecorded)?;
        let known = before.baselines.as_ref();
        let seen = Seen { mode, account, reading: &reading, before: before.orders, after: after.orders, now: slot };
        let Follows { baselines, halt } = seen.follow(known, &self.risk.account, |request| protocol.halts.has(request));
        let from = known.map(|known| known.revision);
        if from == Some(baselines.revision) {
            return Ok(Some(baselines));
        }
        // Before it is durable, so that it counts whatever becomes of this executor or of the journal: baselines whose halt is not known
        // to stand would pass for a loss that an operator has accepted.
        if let Some(halt) = &halt {
            protocol.halts.propose(halt.clone());
        }
        let write =
            AccountWrite { mode, account: account.to_owned(), from, baselines: baselines.clone(), halt: halt.clone() };
        let written = protocol.journal.keep_account(write).await;
        match written {
            Ok(Written::Refused(_)) => {
                if let Some(halt) = &halt {
                    protocol.halts.withdraw(&halt.request);
                }
                Ok(None)
            }
            Ok(Written::Halt(halt)) => {
                protocol.halts.record(*halt);
                Ok(Some(baselines))
            }
            Ok(_) => Ok(Some(baselines)),
            Err(error) => Err(unrecorded(error)),
        }
    }
}

fn unrecorded(error: JournalUnavailable) -> Ending {
    Ending::new(Reason::JournalUnavailable, error.to_string())
}
