//! A live venue behind a ZeroMQ gateway to MetaTrader 5.
//!
//! Promise 2 ends here: an order is handed to the link at most once and never sent again. Only a reply that fits the order
//! confirms or refuses it, only the link's proof or this process's own memory makes it absent, and everything else stays
//! open until the gateway's id memory or a person settles it. A timeout is never a refusal.

pub mod command;
pub mod dialect;
pub mod expert_advisor;
pub mod identify;
mod key_history;
pub mod link;
pub mod order_send;
mod questions;
pub mod retcode;
pub mod sentinel;
pub mod speech;
pub mod values;

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account::AccountReport;
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::order::{Order, Position, Role, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::meters::Calls;
use sentinel_actors::ports::{
    BarObserver, Evidence, FaultInjector, FaultPoint, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission,
    VenueError, elapsed_now, inject_fault,
};

use tokio::time::Instant;
use uuid::Uuid;

use self::dialect::{Dialect, Talk};
use self::key_history::{KeyHistory, Known, NotSendable};
use self::link::Exchange;
pub use self::link::{GatewayAddress, Link, link};
use self::sentinel::SentinelVenue;
use self::speech::{AsksById, Reading, Speech, Terms};
use self::values::{comment, is_same_symbol, req_id};

/// How positions end, and so who knows which are open where the dialect cannot report them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exits {
    /// By orders of the node alone, on a netting account without stops and targets: confirmed orders add up.
    ByOrders,
    /// Also by stops, targets or people at the broker, without a message to the node.
    AtBroker,
}

/// What orders of one pipeline carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewaySettings {
    pub dialect: &'static Dialect,
    /// The account, part of every intent key.
    pub account: String,
    /// The pipeline's number at the broker, at most 2147483647.
    pub magic: u32,
    /// How positions end.
    pub exits: Exits,
    /// An opposite order opens a position of its own on the account. Compared where the dialect tells it.
    pub is_hedging: bool,
    /// Nothing is opened at a wider spread. Only for a dialect with quotes.
    pub max_spread: Option<Decimal>,
    /// Weaker evidence leaves an order to the operator.
    pub least_evidence: Grade,
}

/// A gateway as a pipeline sees it, whatever it speaks.
pub trait Venue: Sink + PositionBook {
    /// Counts requests to its gateway there from now on.
    fn count_in(&self, calls: Arc<Calls>);

    /// The account that it asks about and trades on is that of a confirmed order with this note, and not the one that the gateway is
    /// on by now. For a process that has asked it nothing yet; nothing where the dialect does not tell accounts apart.
    fn begin_with(&self, _venue_note: &str) {}

    /// What keeps orders of this symbol and volume from being executed at present, for a person. Empty also where it has no words for
    /// that.
    fn obstacles<'a>(
        &'a self,
        _symbol: &'a str,
        _volume_lots: Decimal,
        _deadline: Duration,
    ) -> PortFuture<'a, Result<Vec<String>, VenueError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    /// What it says of itself and of a symbol, for a person; `None` where it has no words for that.
    fn introduction<'a>(
        &'a self,
        symbol: &'a str,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Option<String>, VenueError>>;
}

/// The venue at the end of `link`, as its dialect talks.
#[must_use]
pub fn open(link: Arc<Link>, settings: GatewaySettings, faults: Arc<dyn FaultInjector>, who: &str) -> Arc<dyn Venue> {
    match settings.dialect.talk {
        Talk::Requests(speech) => Arc::new(GatewayVenue::new(link, speech, settings, faults, who)),
        Talk::Sessions => Arc::new(SentinelVenue::new(link, settings, faults, who)),
    }
}

/// One pipeline's view of a gateway to which each request stands alone.
pub struct GatewayVenue {
    link: Arc<Link>,
    speech: &'static dyn Speech,
    settings: GatewaySettings,
    key_history: KeyHistory,
    faults: Arc<dyn FaultInjector>,
    /// The child's path that faults know it by, for example `eurusd/executor`.
    who: String,
}

impl GatewayVenue {
    /// A venue at the end of `link`, in the dialect that `speech` writes and reads.
    #[must_use]
    pub fn new(
        link: Arc<Link>,
        speech: &'static dyn Speech,
        settings: GatewaySettings,
        faults: Arc<dyn FaultInjector>,
        who: &str,
    ) -> Self {
        Self { link, speech, settings, key_history: KeyHistory::default(), faults, who: who.to_owned() }
    }

    async fn ask(&self, request: &str, id: Uuid, deadline: Duration, may_leave: MayLeave<'_>) -> Exchange {
        let speech = self.speech;
        self.link.exchange(request.as_bytes(), deadline, may_leave, |reply| speech.is_sound(reply, id)).await
    }

    async fn hand_over(
        &self,
        key: &IntentKey,
        order: &Order,
        now: UtcMs,
        deadline: Duration,
        may_leave: MayLeave<'_>,
    ) -> Submission {
        // From here: what delays this task must not lengthen an order's life.
        let until = elapsed_now() + deadline;
        let GatewaySettings { magic, exits, .. } = self.settings;
        let request = match self.speech.order(key, order, &Terms { magic, exits, now }) {
            Ok(request) => request,
            Err(error) => return Submission::NeverLeft(error.to_string()),
        };
        inject_fault(&*self.faults, FaultPoint::BeforeBookWrite, &self.who).await;
        match self.key_history.hand_over(key) {
            Ok(()) => {}
            Err(NotSendable::NeverSent) => return Submission::NeverLeft("the key was found absent before".to_owned()),
            Err(NotSendable::HandedOver) => {
                return Submission::Unknown("it was handed over before; nothing is sent twice".to_owned());
            }
        }
        tracing::debug!(
            event = "order_handed_over",
            key = %key,
            req_id = %req_id(key),
            endpoint = %self.link.address(),
            "an order goes to the gateway"
        );
        let answer = self.ask(&request, req_id(key), time_left(until), may_leave).await;
        if let Exchange::NeverLeft(_) = answer {
            self.key_history.never_left(key);
        }
        inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
        let reply = match answer {
            Exchange::Reply(reply) => reply,
            Exchange::NeverLeft(proof) => return Submission::NeverLeft(proof),
            Exchange::NoReply(why) => return Submission::Unknown(why),
        };
        let submission = match self.speech.judge(&reply, key, order, exits) {
            Reading::Own { submission, ticket } => {
                self.key_history.note_ticket(key, ticket);
                submission
            }
            Reading::Remembered(why) => {
                self.key_history.note_foreign(key);
                Submission::Unknown(why)
            }
            Reading::Stranger(why) => {
                self.link.distrust();
                Submission::Unknown(why)
            }
            Reading::Unreadable(why) => Submission::Unknown(why),
        };
        self.confirm(key, order, submission, (now, until)).await
    }

    /// What a reply says is checked against what else the dialect tells.
    async fn confirm(
        &self,
        key: &IntentKey,
        order: &Order,
        submission: Submission,
        (now, until): (UtcMs, Instant),
    ) -> Submission {
        let speech = self.speech;
        match (submission, order.role, speech.by_id(), speech.reports()) {
            (Submission::Unknown(why), ..) => Submission::Unknown(why),
            (submission, Role::Close(ticket), _, Some(reports)) => {
                self.see_closed(reports, (ticket, order.volume_lots), submission, (now, until)).await
            }
            (refusal @ Submission::Rejected { .. }, _, Some(asks), _) => {
                self.confirm_refusal(asks, key, refusal, until).await
            }
            (submission, ..) => submission,
        }
    }

    /// A refusal names no ticket, so one that belongs to another order looks like one of this order. The gateway is asked
    /// what became of the id: while it names an order, nothing was refused. Without an answer the refusal stands.
    async fn confirm_refusal(
        &self,
        asks: &dyn AsksById,
        key: &IntentKey,
        refusal: Submission,
        until: Instant,
    ) -> Submission {
        let answer = self.ask(&asks.question(key), req_id(key), time_left(until), &|| true).await;
        let Exchange::Reply(reply) = answer else { return refusal };
        match asks.names_an_order(&reply) {
            Some(order) => {
                self.link.distrust();
                Submission::Unknown(format!(
                    "it was refused ({refusal:?}), and asked about it the gateway says {order}"
                ))
            }
            None => refusal,
        }
    }

    /// What the gateway says about an order that may have left. Asked twice, because the first answer may belong to a
    /// question before it; two that differ prove nothing.
    async fn question(
        &self,
        asks: &dyn AsksById,
        intent: &Intent,
        ticket: Option<Ticket>,
        deadline: Duration,
    ) -> Evidence {
        let until = elapsed_now() + deadline;
        let first = self.question_once(asks, intent, ticket, until).await;
        if let Evidence::NotNow(_) = first {
            return first;
        }
        let second = self.question_once(asks, intent, ticket, until).await;
        if first == second || matches!(second, Evidence::NotNow(_)) {
            return second;
        }
        self.link.distrust();
        Evidence::NotNow(format!("two answers to one question differ: {first:?}, then {second:?}"))
    }

    async fn question_once(
        &self,
        asks: &dyn AsksById,
        intent: &Intent,
        ticket: Option<Ticket>,
        until: Instant,
    ) -> Evidence {
        let (question, id) = (asks.question(&intent.key), req_id(&intent.key));
        match self.ask(&question, id, time_left(until), &|| true).await {
            Exchange::Reply(reply) => asks.answer(&reply, intent, self.settings.magic, ticket),
            Exchange::NeverLeft(why) | Exchange::NoReply(why) => Evidence::NotNow(why),
        }
    }

    /// What a person has to look for where the gateway cannot be asked.
    fn advice(&self, intent: &Intent, ticket: Option<Ticket>) -> String {
        let ticket = ticket.map(|ticket| format!(", ticket {ticket}")).unwrap_or_default();
        let magic = self.settings.magic;
        let (comment, action) = (comment(&intent.key), &intent.action);
        format!(
            "look in the terminal's orders, deals and positions for {action}, with the comment {comment} and the magic number {magic} \
             where the gateway passes them on{ticket}"
        )
    }
}

fn time_left(until: Instant) -> Duration {
    until.saturating_duration_since(elapsed_now())
}

impl Sink for GatewayVenue {
    fn mode(&self) -> Mode {
        Mode::Live
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn prepare(&self, key: &IntentKey, _: Duration) -> Option<String> {
        self.key_history.prepare(key);
        None
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
        Box::pin(self.hand_over(&intent.key, order, intent.slot, deadline, may_leave))
    }

    /// Never sends the order again: what it asks names no order.
    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(async move {
            let ticket = match self.key_history.settle(intent) {
                Known::NeverLeft => {
                    return Evidence::Absent("this process never handed it over to the gateway".to_owned());
                }
                Known::Open(ticket) => ticket,
                Known::Foreign => {
                    return Evidence::Undecidable(
                        "the gateway knew this id before the order was handed over: its answers are about another order".to_owned(),
                    );
                }
            };
            let speech = self.speech;
            match (speech.by_id(), speech.reports()) {
                (Some(asks), _) => self.question(asks, intent, ticket, deadline).await,
                (None, Some(reports)) => self.positions_of(reports, intent, deadline).await,
                (None, None) => Evidence::Undecidable(format!(
                    "the gateway cannot be asked about an order; {}",
                    self.advice(intent, ticket)
                )),
            }
        })
    }

    fn asks_by_id(&self) -> bool {
        self.settings.dialect.asks_by_id
    }

    fn least_evidence(&self) -> Grade {
        self.settings.least_evidence
    }

    fn disown(&self, key: &IntentKey) {
        self.key_history.note_ticket(key, None);
        self.link.distrust();
    }
}

/// The positions of a symbol, under the name that the node has for it: a broker may write `EURUSD.m`, and the orders of one symbol
/// are found by their name.
fn of_symbol(mut positions: Vec<Position>, symbol: &str) -> Vec<Position> {
    positions.retain(|position| is_same_symbol(&position.symbol, symbol));
    for position in &mut positions {
        symbol.clone_into(&mut position.symbol);
    }
    positions
}

impl PositionBook for GatewayVenue {
    fn positions<'a>(
        &'a self,
        symbol: &'a str,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            let Some(reports) = self.speech.reports() else {
                return Ok(match self.settings.exits {
                    Exits::ByOrders => Positions::Derived,
                    Exits::AtBroker => Positions::Untracked,
                });
            };
            let positions = self.listed(reports, slot, elapsed_now() + deadline).await.map_err(VenueError)?;
            Ok(Positions::Reported(of_symbol(positions, symbol)))
        })
    }

    fn closes_by_ticket(&self) -> Result<(), String> {
        let Dialect { name, closes_by_ticket, .. } = self.settings.dialect;
        if *closes_by_ticket {
            return Ok(());
        }
        Err(format!(
            "the dialect {name} closes no position by its ticket: close what is open in the terminal. A node that derives its position \
             from its orders does not see that: `account` needs another name then, which starts from zero"
        ))
    }

    fn account_report(&self, now: UtcMs, deadline: Duration) -> PortFuture<'_, Result<AccountReport, VenueError>> {
        Box::pin(async move {
            match self.speech.reports() {
                Some(reports) => self.account_of(reports, now, elapsed_now() + deadline).await.map_err(VenueError),
                None => Ok(AccountReport::SILENT),
            }
        })
    }

    fn tells_account(&self) -> bool {
        self.settings.dialect.tells_account
    }

    fn account_reading(
        &self,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'_, Result<Option<AccountReading>, VenueError>> {
        Box::pin(async move {
            let Some(reports) = self.speech.reports().filter(|_| self.tells_account()) else {
                return Ok(None);
            };
            self.money_of(reports, slot, elapsed_now() + deadline).await.map(Some).map_err(VenueError)
        })
    }
}

impl BarObserver for GatewayVenue {
    fn observe<'a>(&'a self, _: &'a str, _: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Venue for GatewayVenue {
    fn count_in(&self, calls: Arc<Calls>) {
        self.link.count_in(calls);
    }

    fn introduction<'a>(&'a self, _: &'a str, _: Duration) -> PortFuture<'a, Result<Option<String>, VenueError>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}
