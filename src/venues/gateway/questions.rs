//! What an account holds, as far as its gateway can be believed.
//!
//! An empty list of positions proves nothing: it is also what a gateway answers that lost its terminal. It counts only where the
//! account, asked right after it, says that no margin is used.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::intent::Intent;
use sentinel_actors::domain::order::{Position, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Evidence, Submission, elapsed_now};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::link::Exchange;
use super::speech::ReportsAccount;
use super::values::question_id;
use super::{GatewayVenue, of_symbol, time_left};

/// A terminal may list a position for a moment after it was closed: it is looked at so many times.
const LOOKS: u32 = 4;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(250);

impl GatewayVenue {
    /// All open positions of the account.
    pub(super) async fn listed(
        &self,
        reports: &dyn ReportsAccount,
        now: UtcMs,
        until: Instant,
    ) -> Result<Vec<Position>, String> {
        let positions = self.listed_once(reports, now, until).await?;
        if !positions.is_empty() {
            return Ok(positions);
        }
        let account = self.account_of(reports, now, until).await;
        let account = account.map_err(|why| format!("an empty list of positions proves nothing, and {why}"))?;
        match account.used_margin {
            Some(margin) if margin.is_zero() => Ok(positions),
            Some(margin) => Err(format!("the gateway lists no position, and its account uses a margin of {margin}")),
            None => {
                Err("an empty list of positions proves nothing, and the account does not tell its margin".to_owned())
            }
        }
    }

    async fn listed_once(
        &self,
        reports: &dyn ReportsAccount,
        now: UtcMs,
        until: Instant,
    ) -> Result<Vec<Position>, String> {
        let id = question_id(self.link.next_question());
        let reply = self.reply_to(&reports.positions_request(id, now), id, until).await?;
        reports.read_positions(&reply, id).inspect_err(|_| self.link.distrust())
    }

    /// Balance, equity and open positions at one instant: the account lies between two lists that show the same positions, so that
    /// none was closed between what is said of the money and what is listed.
    pub(super) async fn money_of(
        &self,
        reports: &dyn ReportsAccount,
        now: UtcMs,
        until: Instant,
    ) -> Result<AccountReading, String> {
        let volumes = |listed: Vec<Position>| {
            let mut volumes: Vec<_> = listed.iter().map(|position| (position.ticket, position.volume_lots)).collect();
            volumes.sort_unstable();
            volumes
        };
        let mut before = volumes(self.listed_once(reports, now, until).await?);
        for _ in 0..LOOKS {
            let account = self.account_of(reports, now, until).await?;
            let has_none = before.is_empty() && account.used_margin.is_some_and(|margin| margin.is_zero());
            let after = if has_none { Vec::new() } else { volumes(self.listed_once(reports, now, until).await?) };
            if before != after {
                before = after;
                continue;
            }
            if before.is_empty() && !has_none {
                return Err(
                    "the gateway lists no position, and its account does not say that it uses no margin".to_owned()
                );
            }
            let untold = |what: &str| format!("the gateway does not tell the {what} of the account");
            return Ok(AccountReading {
                balance: account.balance.ok_or_else(|| untold("balance"))?,
                equity: account.equity.ok_or_else(|| untold("equity"))?,
                open: before.into_iter().map(|(ticket, _)| ticket).collect(),
            });
        }
        Err("positions come and go while the account is asked".to_owned())
    }

    /// What the positions of an intent's symbol are now. They say nothing while none is listed, not even in an account that says
    /// the same.
    pub(super) async fn positions_of(
        &self,
        reports: &dyn ReportsAccount,
        intent: &Intent,
        deadline: Duration,
    ) -> Evidence {
        match self.listed(reports, intent.slot, elapsed_now() + deadline).await {
            Ok(listed) => Evidence::Positions(of_symbol(listed, intent.action.symbol())),
            Err(why) => Evidence::NotNow(why),
        }
    }

    pub(super) async fn account_of(
        &self,
        reports: &dyn ReportsAccount,
        now: UtcMs,
        until: Instant,
    ) -> Result<AccountReport, String> {
        let id = question_id(self.link.next_question());
        let reply = self.reply_to(&reports.account_request(id, now), id, until).await?;
        reports.read_account(&reply, id)
    }

    async fn reply_to(&self, question: &str, id: Uuid, until: Instant) -> Result<Vec<u8>, String> {
        match self.ask(question, id, time_left(until), &|| true).await {
            Exchange::Reply(reply) => Ok(reply),
            Exchange::NeverLeft(why) | Exchange::NoReply(why) => Err(why),
        }
    }

    /// A close is believed, and its refusal too, only when the positions that are read after it say the same.
    pub(super) async fn see_closed(
        &self,
        reports: &dyn ReportsAccount,
        (ticket, volume): (Ticket, Decimal),
        submission: Submission,
        (now, until): (UtcMs, Instant),
    ) -> Submission {
        let said = match &submission {
            Submission::Acked(receipt) => format!("the gateway says that it closed the position ({})", receipt.text()),
            other => format!("the gateway refused to close the position ({other:?})"),
        };
        for look in 1..=LOOKS {
            let open = match self.listed(reports, now, until).await {
                Ok(listed) => listed.into_iter().find(|position| position.ticket == ticket),
                Err(why) => return Submission::Unknown(format!("{said}, and then {why}")),
            };
            match (&submission, open) {
                (Submission::Acked(_), None) => return submission,
                (Submission::Rejected { .. }, Some(open)) if open.volume_lots == volume => return submission,
                (Submission::Acked(_), Some(_)) if look < LOOKS && elapsed_now() + PAUSE < until => sleep(PAUSE).await,
                (_, Some(open)) => {
                    let left = open.volume_lots;
                    return Submission::Unknown(format!("{said}, and {left} lots of it are still listed"));
                }
                (_, None) => return Submission::Unknown(format!("{said}, and it is not listed any more")),
            }
        }
        Submission::Unknown(said)
    }
}
