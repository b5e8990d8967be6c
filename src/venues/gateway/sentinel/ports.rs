//! What the node asks of the venue, through its ports.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{
    BarObserver, Evidence, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission, VenueError, elapsed_now,
};

use super::super::Venue;
use super::super::key_history::Known;
use super::SentinelVenue;
use super::note::{EXPIRY_AHEAD_MAX_MS, Note};
use super::session::{Open, millis};

impl Sink for SentinelVenue {
    fn mode(&self) -> Mode {
        Mode::Live
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn prepare(&self, key: &IntentKey, within: Duration) -> Option<String> {
        self.key_history.prepare(key);
        let Open { heard, account } = self.session().open()?;
        let sent_at = heard.now();
        let expires_by = sent_at.saturating_add(millis(within).min(EXPIRY_AHEAD_MAX_MS));
        Note { ledger: heard.ledger, boot: heard.boot, seen: heard.seen, sent_at, expires_by, guard: account }.text()
    }

    fn submit<'a>(
        &'a self,
        intent: &'a Intent,
        deadline: Duration,
        may_leave: MayLeave<'a>,
    ) -> PortFuture<'a, Submission> {
        let Action::Order(order) = &intent.action else {
            return Box::pin(std::future::ready(Submission::NeverLeft("a gateway takes orders only".to_owned())));
        };
        Box::pin(self.hand_over(intent, order, deadline, may_leave))
    }

    /// Never sends the order again, and sees to it that the gateway refuses it should it still arrive.
    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(async move {
            let Some(order) = intent.order() else {
                return Evidence::Undecidable("a gateway knows of orders only".to_owned());
            };
            match self.key_history.settle(intent) {
                Known::NeverLeft => Evidence::Absent("this process never handed it over to the gateway".to_owned()),
                Known::Foreign => Evidence::Undecidable(
                    "the gateway has another order under this id, of an earlier life of this node: compare both in the terminal".to_owned(),
                ),
                Known::Open(_) => self.evidence(intent, order, elapsed_now() + deadline).await,
            }
        })
    }

    fn least_evidence(&self) -> Grade {
        self.settings.least_evidence
    }

    fn disown(&self, _: &IntentKey) {
        self.link.distrust();
    }
}

impl PositionBook for SentinelVenue {
    /// Of this name exactly: the gateway takes no other one for an order.
    fn positions<'a>(
        &'a self,
        symbol: &'a str,
        _: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            let mut positions = self.listed(Some(symbol), elapsed_now() + deadline).await.map_err(VenueError)?;
            positions.retain(|position| position.symbol == symbol);
            Ok(Positions::Reported(positions))
        })
    }

    fn closes_by_ticket(&self) -> Result<(), String> {
        Ok(())
    }

    fn account_report(&self, _: UtcMs, deadline: Duration) -> PortFuture<'_, Result<AccountReport, VenueError>> {
        Box::pin(async move { self.report(elapsed_now() + deadline).await.map_err(VenueError) })
    }

    fn tells_account(&self) -> bool {
        true
    }

    fn account_reading(
        &self,
        _: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        Box::pin(async move { self.reading(elapsed_now() + deadline).await.map(Some).map_err(VenueError) })
    }
}

impl BarObserver for SentinelVenue {
    fn observe<'a>(&'a self, _: &'a str, _: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Venue for SentinelVenue {
    fn count_in(&self, calls: Arc<Calls>) {
        self.link.count_in(calls);
    }

    fn begin_with(&self, venue_note: &str) {
        if let Some(note) = Note::read(venue_note) {
            self.session().begin_with(note.guard);
        }
    }

    fn obstacles<'a>(
        &'a self,
        symbol: &'a str,
        volume_lots: Decimal,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Vec<String>, VenueError>> {
        Box::pin(async move {
            let (hello, _) = self.hello(&[symbol], elapsed_now() + deadline).await.map_err(VenueError)?;
            Ok(hello.obstacles(symbol, volume_lots, self.settings.is_hedging))
        })
    }

    fn introduction<'a>(
        &'a self,
        symbol: &'a str,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Option<String>, VenueError>> {
        Box::pin(async move {
            let (hello, _) = self.hello(&[symbol], elapsed_now() + deadline).await.map_err(VenueError)?;
            Ok(Some(hello.text(symbol)))
        })
    }
}
