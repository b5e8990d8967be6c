//! A live venue behind a ZeroMQ gateway to MetaTrader 5.
//!
//! Promise 2 ends here: an order is handed to the link at most once and never sent again. Only a reply that fits the order
//! confirms or refuses it, only the link's proof or this process's own memory makes it absent, and everything else stays
//! open until the gateway's id memory or a person settles it. A timeout is never a refusal.

pub mod dialect;
mod key_history;
pub mod link;
pub mod order_send;
pub mod retcode;

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::intent::{Intent, IntentKey, Mode};
use sentinel_actors::domain::order::{Order, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    BarObserver, Evidence, FaultInjector, FaultPoint, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission,
    VenueError, elapsed_now, inject_fault,
};

use tokio::time::Instant;

use self::key_history::{KeyHistory, Known, NotSendable};
use self::link::Exchange;
pub use self::link::{GatewayAddress, Link, link};
use self::order_send::{order_request, read, req_id, status_request};

/// How positions end, and so who knows which are open: the dialect cannot report positions.
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
    /// The account, part of every intent key.
    pub account: String,
    /// The pipeline's number at the broker, at most 2147483647.
    pub magic: u32,
    /// How positions end.
    pub exits: Exits,
}

/// One pipeline's view of a gateway.
pub struct GatewayVenue {
    link: Arc<Link>,
    settings: GatewaySettings,
    key_history: KeyHistory,
    faults: Arc<dyn FaultInjector>,
    /// The child's path that faults know it by, for example `eurusd/executor`.
    who: String,
}

impl GatewayVenue {
    /// A venue at the end of `link`.
    #[must_use]
    pub fn new(link: Arc<Link>, settings: GatewaySettings, faults: Arc<dyn FaultInjector>, who: &str) -> Self {
        Self { link, settings, key_history: KeyHistory::default(), faults, who: who.to_owned() }
    }

    async fn ask(&self, request: &str, deadline: Duration, may_leave: MayLeave<'_>) -> Exchange {
        self.link.exchange(request.as_bytes(), deadline, may_leave, |reply| read(reply).is_ok()).await
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
        let request = match order_request(key, order, magic, exits, now) {
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
        let answer = self.ask(&request, until.saturating_duration_since(elapsed_now()), may_leave).await;
        if let Exchange::NeverLeft(_) = answer {
            self.key_history.never_left(key);
        }
        inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
        let reply = match answer {
            Exchange::Reply(reply) => read(&reply),
            Exchange::NeverLeft(proof) => return Submission::NeverLeft(proof),
            Exchange::NoReply(why) => return Submission::Unknown(why),
        };
        match reply {
            Ok(reply) => {
                if reply.is_remembered() {
                    self.key_history.note_foreign(key);
                    return Submission::Unknown(format!(
                        "the gateway knew this id before the order was handed over: {reply}"
                    ));
                }
                let submission = match reply.about_another(key, order) {
                    Some(why) => {
                        self.link.distrust();
                        Submission::Unknown(why)
                    }
                    None => {
                        self.key_history.note_ticket(key, reply.ticket());
                        reply.judge(order, exits)
                    }
                };
                match submission {
                    Submission::Rejected { .. } => self.confirm_refusal(key, submission, until).await,
                    submission => submission,
                }
            }
            Err(why) => Submission::Unknown(why),
        }
    }

    /// A refusal names no ticket, so one that belongs to another order looks like one of this order. The gateway is asked
    /// what became of the id: while it names an order, nothing was refused. Without an answer the refusal stands.
    async fn confirm_refusal(&self, key: &IntentKey, refusal: Submission, until: Instant) -> Submission {
        let left = until.saturating_duration_since(elapsed_now());
        let Exchange::Reply(reply) = self.ask(&status_request(key), left, &|| true).await else { return refusal };
        match read(&reply) {
            Ok(reply) if reply.ticket().is_some() => {
                self.link.distrust();
                Submission::Unknown(format!(
                    "it was refused ({refusal:?}), and asked about it the gateway says {reply}"
                ))
            }
            _ => refusal,
        }
    }

    /// What the gateway says about an order that may have left. Asked twice, because the first answer may belong to a
    /// question before it; two that differ prove nothing.
    async fn question(&self, intent: &Intent, ticket: Option<Ticket>, deadline: Duration) -> Evidence {
        let until = elapsed_now() + deadline;
        let first = self.question_once(intent, ticket, until).await;
        if let Evidence::NotNow(_) = first {
            return first;
        }
        let second = self.question_once(intent, ticket, until).await;
        if first == second || matches!(second, Evidence::NotNow(_)) {
            return second;
        }
        self.link.distrust();
        Evidence::NotNow(format!("two answers to one question differ: {first:?}, then {second:?}"))
    }

    async fn question_once(&self, intent: &Intent, ticket: Option<Ticket>, until: Instant) -> Evidence {
        let left = until.saturating_duration_since(elapsed_now());
        match self.ask(&status_request(&intent.key), left, &|| true).await {
            Exchange::Reply(reply) => match read(&reply) {
                Ok(reply) => reply.judge_status(intent, self.settings.magic, ticket),
                Err(why) => Evidence::NotNow(why),
            },
            Exchange::NeverLeft(why) | Exchange::NoReply(why) => Evidence::NotNow(why),
        }
    }
}

impl Sink for GatewayVenue {
    fn mode(&self) -> Mode {
        Mode::Live
    }

    fn account(&self) -> &str {
        &self.settings.account
    }

    fn prepare(&self, key: &IntentKey) {
        self.key_history.prepare(key);
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
            self.question(intent, ticket, deadline).await
        })
    }

    fn disown(&self, key: &IntentKey) {
        self.key_history.note_ticket(key, None);
        self.link.distrust();
    }
}

impl PositionBook for GatewayVenue {
    fn positions<'a>(&'a self, _: &'a str, _: UtcMs, _: Duration) -> PortFuture<'a, Result<Positions, VenueError>> {
        let positions = match self.settings.exits {
            Exits::ByOrders => Positions::Derived,
            Exits::AtBroker => Positions::Untracked,
        };
        Box::pin(std::future::ready(Ok(positions)))
    }
}

impl BarObserver for GatewayVenue {
    fn observe<'a>(&'a self, _: &'a str, _: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
