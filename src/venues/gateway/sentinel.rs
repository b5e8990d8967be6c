//! The dialect `sentinel`, which is protocol `sentinel/1`: a gateway that keeps a ledger of all that it was asked to do, refuses what
//! comes too late, and proves what became of every order. It is in `tools/mt5-gateway`.
//!
//! An order is handed over once, in a session: HELLO has told which store and which account it goes to, and both go with it, so that
//! another store or another account refuses it. Its key is its id at the gateway. What its reply does not settle ORDER_STATUS does, by
//! the same id, from whichever process asks: what the question needs of the hand-over is written with `sent`, as a note.

mod account;
mod note;
mod ports;
mod questions;
mod record;
mod reply;
mod request;
mod session;

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::account::{AccountReport, Stated};
use sentinel_actors::domain::account_risk::AccountReading;
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::{Intent, IntentKey};
use sentinel_actors::domain::order::{Order, Position, Role, Ticket};
use sentinel_actors::ports::{FaultInjector, FaultPoint, MayLeave, Submission, elapsed_now, inject_fault};
use serde_json::{Value, json};
use tokio::time::Instant;

use self::account::{Hello, Listed, MarginMode, Money};
use self::note::Note;
use self::record::{Asked, Outcome, outcome};
use self::reply::{ID_CONFLICT, NOT_SYNCED, Refusal};
use self::session::{Open, millis};
use super::dialect::{Dialect, IN_HUNDREDTHS, Talk};
use super::key_history::{KeyHistory, NotSendable};
use super::link::{Exchange, Link};
use super::values::question_id;
use super::{GatewaySettings, time_left};

pub use self::session::Session;

#[cfg(test)]
mod tests;

pub const DIALECT: Dialect = Dialect {
    name: "sentinel",
    talk: Talk::Sessions,
    reports_positions: true,
    closes_by_ticket: true,
    carries_exits: true,
    echoes_ids: true,
    asks_by_id: true,
    tells_account: true,
    has_quotes: true,
    evidence: &[Grade::Id],
    lots: IN_HUNDREDTHS,
    words: &[],
};

/// How far the gateway's clock may seem to go back between two replies. It looks for orders from a minute before they were sent on.
const CLOCK_SLACK_MS: i64 = 30_000;

/// Positions may come and go while the account is asked: it is read so many times.
const LOOKS: u32 = 4;

/// One pipeline's view of a gateway that speaks `sentinel/1`.
pub struct SentinelVenue {
    link: Arc<Link>,
    settings: GatewaySettings,
    key_history: KeyHistory,
    faults: Arc<dyn FaultInjector>,
    /// The child's path that faults know it by, for example `eurusd/executor`.
    who: String,
}

/// Why a question has no answer.
enum Unanswered {
    Refused(Refusal),
    /// It may have been answered, and no answer came.
    Lost(String),
}

impl std::fmt::Display for Unanswered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the gateway says {refusal}"),
            Self::Lost(why) => f.write_str(why),
        }
    }
}

impl SentinelVenue {
    /// A venue at the end of `link`.
    #[must_use]
    pub fn new(link: Arc<Link>, settings: GatewaySettings, faults: Arc<dyn FaultInjector>, who: &str) -> Self {
        Self { link, settings, key_history: KeyHistory::default(), faults, who: who.to_owned() }
    }

    fn session(&self) -> &Session {
        self.link.session()
    }

    async fn exchange(
        &self,
        (id, action): (&str, &str),
        request: &str,
        until: Instant,
        may_leave: MayLeave<'_>,
    ) -> Exchange {
        let is_sound = |reply: &[u8]| reply::read(reply, id, action).is_ok();
        self.link.exchange(request.as_bytes(), time_left(until), may_leave, is_sound).await
    }

    /// Asks a question; `request` is given its id.
    async fn ask(
        &self,
        action: &str,
        until: Instant,
        request: impl FnOnce(&str) -> String,
    ) -> Result<reply::Reply, Unanswered> {
        let id = question_id(self.link.next_question()).to_string();
        match self.exchange((&id, action), &request(&id), until, &|| true).await {
            Exchange::Reply(bytes) => {
                let reply = reply::read(&bytes, &id, action).map_err(Unanswered::Lost)?;
                self.session().hear(&reply.stamp);
                Ok(reply)
            }
            Exchange::NeverLeft(why) | Exchange::NoReply(why) => Err(Unanswered::Lost(why)),
        }
    }

    /// Asks about the account of this process.
    async fn answer_to(&self, action: &str, payload: Value, until: Instant) -> Result<Value, Unanswered> {
        let guard = self.session().account();
        let asked = self.ask(action, until, |id| request::question(id, action, guard.as_ref(), payload)).await;
        asked.and_then(|reply| reply.answer.map_err(Unanswered::Refused))
    }

    /// Says HELLO. `Err` inside: the terminal is on another account than that of this process.
    async fn hello(&self, symbols: &[&str], until: Instant) -> Result<(Hello, Result<(), String>), String> {
        let payload = json!({ "symbols": symbols });
        let asked = self.ask("HELLO", until, |id| request::question(id, "HELLO", None, payload)).await;
        let reply = asked.map_err(|unanswered| unanswered.to_string())?;
        let said = reply.answer.map_err(|refusal| format!("the gateway says {refusal}"))?;
        let hello = Hello::read(said)?;
        let begun = self.session().begin(&reply.stamp, &hello);
        Ok((hello, begun))
    }

    /// The session that stands, after a HELLO where one is due.
    async fn open(&self, until: Instant) -> Result<Open, String> {
        if let Some(open) = self.session().open() {
            return Ok(open);
        }
        self.hello(&[], until).await?.1?;
        self.session().open().ok_or_else(|| "the gateway was started again meanwhile".to_owned())
    }

    async fn hand_over(
        &self,
        intent: &Intent,
        order: &Order,
        deadline: Duration,
        may_leave: MayLeave<'_>,
    ) -> Submission {
        // From here: what delays this task must not lengthen an order's life.
        let until = elapsed_now() + deadline;
        let key = &intent.key;
        let note = intent.venue_note.as_deref().and_then(Note::read);
        let Some(note) = note else {
            return Submission::NeverLeft("there was no HELLO of the gateway before it".to_owned());
        };
        let request = match self.open(until).await.and_then(|open| self.request(key, order, &note, &open, until)) {
            Ok(request) => request,
            Err(why) => return Submission::NeverLeft(why),
        };
        if let Err(why) = self.within_spread(order, until).await {
            return Submission::NeverLeft(why);
        }
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
            req_id = %key,
            endpoint = %self.link.address(),
            "an order goes to the gateway"
        );
        let action = request::action(order);
        let answer = self.exchange((key.as_str(), action), &request, until, may_leave).await;
        let submission = match answer {
            Exchange::Reply(reply) => self.judge(&reply, key, order, &note),
            Exchange::NeverLeft(proof) => Submission::NeverLeft(proof),
            Exchange::NoReply(why) => Submission::Unknown(why),
        };
        if let Submission::NeverLeft(_) = submission {
            self.key_history.never_left(key);
        }
        inject_fault(&*self.faults, FaultPoint::AfterBookWrite, &self.who).await;
        submission
    }

    /// The bytes of an order, for the store and the account that its note names.
    fn request(
        &self,
        key: &IntentKey,
        order: &Order,
        note: &Note,
        open: &Open,
        until: Instant,
    ) -> Result<String, String> {
        let now = open.heard.now();
        if open.heard.ledger != note.ledger || now.saturating_add(CLOCK_SLACK_MS) < note.sent_at {
            return Err("the gateway has another ledger, or another clock, than a moment ago".to_owned());
        }
        if open.account != note.guard {
            return Err(format!(
                "the order is for the {}, and this process trades on the {}",
                note.guard, open.account
            ));
        }
        let is_hedging = note.guard.margin_mode == MarginMode::Hedging;
        // A close names its position, whatever an opposite order would do there.
        if order.role == Role::Open && is_hedging != self.settings.is_hedging {
            let configured = if self.settings.is_hedging { "hedging" } else { "netting" };
            return Err(format!(
                "the order is for the {}, and account_mode is \"{configured}\": correct it",
                note.guard
            ));
        }
        let expires_at = now.saturating_add(millis(time_left(until))).min(note.expires_by);
        let seen = open.heard.seen.max(note.seen);
        request::effect(key, order, self.settings.magic, (note, seen, expires_at)).map_err(|error| error.to_string())
    }

    /// Nothing is opened at a wider spread than the limit, or at one that cannot be seen or is old.
    async fn within_spread(&self, order: &Order, until: Instant) -> Result<(), String> {
        let Some(limit) = self.settings.max_spread.filter(|_| order.role == Role::Open) else { return Ok(()) };
        let answer = self.answer_to("TICK", json!({ "symbol": order.symbol }), until).await;
        let tick = answer.map_err(|unanswered| format!("the spread is not told: {unanswered}"))?;
        match account::spread(&tick)? {
            wide if wide > limit => {
                Err(format!("the spread of {} is {wide}, and risk.max_spread is {limit}", order.symbol))
            }
            _ => Ok(()),
        }
    }

    /// What the reply to an order is worth.
    fn judge(&self, bytes: &[u8], key: &IntentKey, order: &Order, note: &Note) -> Submission {
        let reply = match reply::read(bytes, key.as_str(), request::action(order)) {
            Ok(reply) => reply,
            Err(why) => return Submission::Unknown(why),
        };
        self.session().hear(&reply.stamp);
        match reply.answer {
            Err(refusal) if refusal.did_nothing() => Submission::NeverLeft(format!("the gateway says {refusal}")),
            Err(refusal) => {
                if refusal.code == ID_CONFLICT {
                    self.key_history.note_foreign(key);
                }
                Submission::Unknown(format!("the gateway says {refusal}"))
            }
            Ok(_) if reply.stamp.ledger != note.ledger => {
                Submission::Unknown("another ledger than the one that the order was sent to has answered it".to_owned())
            }
            Ok(record) => match self.read_record(&record, key, order) {
                Ok(outcome) => outcome.submission(),
                Err(why) => Submission::Unknown(why),
            },
        }
    }

    fn read_record(&self, record: &Value, key: &IntentKey, order: &Order) -> Result<Outcome, String> {
        let asked = Asked { key, order, magic: self.settings.magic };
        let outcome = outcome(record, asked).inspect_err(|_| self.link.distrust())?;
        match &outcome {
            Outcome::Done { fill, levels_missing: true } => tracing::error!(
                event = "levels_missing",
                key = %key,
                ticket = %fill.ticket,
                symbol = %order.symbol,
                "the broker has not kept the stop or the target of a position: set them in the terminal, or close it"
            ),
            Outcome::Done { fill, .. } => self.session().opened(fill.ticket, order),
            _ => {}
        }
        Ok(outcome)
    }

    async fn listed(&self, symbol: Option<&str>, until: Instant) -> Result<Vec<Position>, String> {
        let is_hedging = self.open(until).await?.account.margin_mode == MarginMode::Hedging;
        let answer = self.answer_to("POSITIONS", json!({ "symbol": symbol }), until).await;
        let listed = account::positions(&answer.map_err(|unanswered| unanswered.to_string())?, is_hedging)?;
        for Listed { position, .. } in self.session().without_levels(&listed) {
            let Position { ticket, symbol, .. } = position;
            tracing::error!(
                event = "levels_missing",
                ticket = %ticket,
                symbol = %symbol,
                "a position is listed without the stop or the target that it was opened with: set them in the terminal, or close it"
            );
        }
        // What follows from them may be an order, and the gateway may have been started again before it answered.
        self.open(until).await?;
        Ok(listed.into_iter().map(|listed| listed.position).collect())
    }

    async fn money(&self, until: Instant) -> Result<Money, String> {
        self.open(until).await?;
        let answer = self.answer_to("ACCOUNT", json!({}), until).await;
        account::money(&answer.map_err(|unanswered| unanswered.to_string())?)
    }

    /// Always with a new HELLO: the terminal may have been switched to another account.
    async fn report(&self, until: Instant) -> Result<AccountReport, String> {
        let (hello, begun) = self.hello(&[], until).await?;
        let report = hello.report();
        let contradictions = self.session().new_contradictions(hello.contradictions());
        if contradictions > 0 {
            tracing::error!(
                event = "absent_order_found",
                endpoint = %self.link.address(),
                contradictions,
                "the broker has executed an order that the gateway had called absent: look in the terminal for a position that the node \
                 does not know"
            );
        }
        if begun.is_err() {
            let said = hello.account.login.to_string();
            let login =
                Stated::Doubtful { said, why: "this process began on another account, so start the node again" };
            return Ok(AccountReport { login, ..report });
        }
        let Money { balance, equity, margin } = match self.answer_to("ACCOUNT", json!({}), until).await {
            Ok(answer) => account::money(&answer)?,
            // For half a minute after the gateway's start; whose account it is is known.
            Err(Unanswered::Refused(refusal)) if refusal.code == NOT_SYNCED => return Ok(report),
            Err(unanswered) => return Err(unanswered.to_string()),
        };
        Ok(AccountReport { balance: Some(balance), equity: Some(equity), used_margin: Some(margin), ..report })
    }

    /// Money and open positions at one instant: the money lies between two lists that show the same positions.
    async fn reading(&self, until: Instant) -> Result<AccountReading, String> {
        let volumes = |listed: Vec<Position>| {
            let mut volumes: Vec<_> = listed.iter().map(|position| (position.ticket, position.volume_lots)).collect();
            volumes.sort_unstable();
            volumes
        };
        let mut before = volumes(self.listed(None, until).await?);
        for _ in 0..LOOKS {
            let Money { balance, equity, .. } = self.money(until).await?;
            let after = volumes(self.listed(None, until).await?);
            if before == after {
                let open: Vec<Ticket> = after.into_iter().map(|(ticket, _)| ticket).collect();
                return Ok(AccountReading { balance, equity, open });
            }
            before = after;
        }
        Err("positions come and go while the account is asked".to_owned())
    }
}
