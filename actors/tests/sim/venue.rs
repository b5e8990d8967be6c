//! The venue, or the network that takes forecasts, as the node sees it, and the judge of every effect at the moment at which
//! bytes leave.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Inclusion, Receipt};
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::halt::{Place, Standing};
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Role, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    BarObserver, Evidence, MayLeave, PortFuture, PositionBook, Positions, Sink, Submission, VenueError,
};

use crate::clock;
use crate::driver::{LATENESS, VOLUME_LOTS};
use crate::feed;
use crate::forecasts;
use crate::ledger::{Book, Entry, Net, Truth, Verdict, arrive, can_prove_absence, signed, truth};
use crate::options::PipelineOptions;
use crate::world::{Inner, Part, Shared};

pub struct SimVenue {
    pub world: Shared,
    pub index: usize,
    pub mode: Mode,
    pub who: String,
    /// Must never be printed by anyone.
    pub password: String,
}

const SUBMIT: &[(&str, f64)] = &[
    ("venue_refuses", 0.04),
    ("reply_lost", 0.03),
    ("request_lost", 0.03),
    ("never_left", 0.03),
    ("ack_slow", 0.03),
    ("submit_hang_filled", 0.01),
    ("submit_hang_empty", 0.01),
    ("reply_late", 0.03),
    ("submit_panic_filled", 0.01),
    ("submit_panic_empty", 0.01),
    ("filled_in_part", 0.03),
    ("filled_late", 0.03),
    ("reply_of_another", 0.02),
    ("ticket_reused", 0.02),
    ("receipt_of_another_kind", 0.02),
    ("crash_in_submit_filled", 0.003),
    ("crash_in_submit_empty", 0.003),
];

/// How long after the node has stopped waiting an order may still be filled.
const EXPIRES_AFTER: Duration = Duration::from_secs(10);
/// Where orders do not expire, a venue that stood still fills them within this.
const FROZEN_MAX: Duration = Duration::from_secs(7200);

/// Every other venue keeps its position to itself: a netting account, and no stops.
pub const fn cannot_tell(index: usize) -> bool {
    index % 2 == 1
}

/// An account that has not traded.
pub fn empty_book(index: usize) -> Book {
    if cannot_tell(index) { Book::Netting(Net::default()) } else { Book::Hedging(Vec::new()) }
}

impl SimVenue {
    /// Every other netting account knows no expiry. Only an operator can settle what is lost there, and stops the node for
    /// that; not in a run without faults of the node.
    fn never_expires(&self) -> bool {
        self.index % 4 == 3 && self.world.options.node_faults
    }

    /// Every promise about effects, judged at the moment at which bytes leave.
    fn judge(&self, inner: &mut Inner, key: &IntentKey, action: &Action, slot: UtcMs, deadline: Duration) {
        let options = &self.world.options.pipelines[self.index];
        let now = inner.now();
        let stored = inner.disk.intents.get(key).map(|stored| stored.intent.clone());
        match stored {
            Some(intent) if intent.state == IntentState::Sent && intent.action == *action => {
                let (cell, basis) = ((intent.pipeline.clone(), intent.slot), intent.basis);
                if slot != intent.slot || inner.disk.rows.contains_key(&cell) {
                    let text = format!("an effect of {} {} in {slot} after that slot has ended", cell.0, cell.1);
                    inner.violation(text);
                }
                match action {
                    Action::Forecast(forecast) if options.forecasts => {
                        forecasts::judge(inner, options, forecast, (slot, basis));
                    }
                    Action::Order(order) if !options.forecasts => judge_order(inner, options, order, slot),
                    _ => inner.violation(format!("{key} is none of the job of {}: {action}", options.name)),
                }
                if intent.mode != self.mode || options.mode != self.mode {
                    inner.violation(format!("{key} goes to a venue of another mode"));
                }
                let open = inner.disk.open.get(&intent.pipeline).cloned().unwrap_or_default();
                // Each announced slot is a question of its own.
                let blocked = open.iter().filter(|other| *other != key).find(|other| {
                    let other = inner.disk.intents.get(other).map(|other| &other.intent);
                    let other = other.filter(|other| !options.is_announced || other.slot == slot);
                    other.is_some_and(|other| other.state.may_have_left())
                });
                if let Some(other) = blocked {
                    inner.violation(format!("{key} leaves while {other} is open"));
                }
            }
            other => inner.violation(format!("{key} leaves, and durable is {:?}", other.map(|i| i.state))),
        }
        if inner.safe_mode {
            inner.violation(format!("{key} leaves in safe mode"));
        }
        let place = Place {
            pipeline: options.name.clone(),
            account: self.account().to_owned(),
            symbol: action.symbol().to_owned(),
        };
        let standing = Standing::new(inner.disk.halts.clone());
        if let Some(cover) = standing.strictest(&place)
            && cover.state.forbids(action.only_closes()).is_some()
        {
            inner.violation(format!("{key} leaves under {}", cover.text));
        }
        if !options.window.contains(if options.is_announced { slot } else { now }) {
            inner.violation(format!("{key} leaves outside the competition, at {now}"));
        }
        let fetched = inner.alive.fetched.get(&options.name).filter(|(fetched, _)| *fetched == slot);
        match fetched.map(|(_, at)| *at) {
            // An exit of a slot whose bar was decided before: it fetches nothing. Schedule time is judged below.
            None if action.order().is_some_and(|order| order.role != Role::Open) => {}
            Some(began) if inner.elapsed() + deadline <= began + options.cycle + Duration::from_millis(1) => {}
            other => {
                let text = format!("{key} may leave after the cycle's deadline: fetched at {other:?}");
                inner.violation(text);
            }
        }
        // Elapsed time does not see a suspend, nor a clock that is set: an order has to be near its slot by both.
        if options.is_announced {
            let announced_as = inner.disk.intents.get(key).and_then(|stored| stored.intent.announced_as.clone());
            feed::judge_effect(inner, &options.name, slot, announced_as.as_deref());
        } else if now > slot.plus(LATENESS + options.cycle) || now < slot.minus(LATENESS) {
            inner.violation(format!("{key} of the slot {slot} leaves at {now}"));
        }
        if inner.ledger.entries.contains_key(key) {
            inner.violation(format!("{key} is submitted twice"));
        }
    }

    async fn take(&self, key: &IntentKey, action: &Action, slot: UtcMs, deadline: Duration) -> Submission {
        let world = &self.world;
        let _guard = world.enter(&self.who, Some(Duration::from_secs(5)));
        let weights = if world.options.node_faults { SUBMIT } else { &SUBMIT[..SUBMIT.len() - 2] };
        let fault = world.pick("submit", &self.who, weights).unwrap_or("");
        let travel = world.work(Part::Venue, world.millis("travel", &self.who, 5, 60), deadline / 2);
        {
            let mut inner = world.lock();
            self.judge(&mut inner, key, action, slot, deadline);
            inner.tracker(format!("submit {} {} {fault}", action.symbol(), action.role()));
            inner.count("submits");
            let now = inner.elapsed();
            let unit = inner.stream("late", &self.who).f64();
            let arrives = match fault {
                "request_lost"
                | "never_left"
                | "submit_hang_empty"
                | "submit_panic_empty"
                | "ticket_reused"
                | "crash_in_submit_empty" => None,
                "reply_late" => Some(now + deadline.mul_f64(unit)),
                "filled_late" if self.never_expires() => Some(now + deadline + FROZEN_MAX.mul_f64(unit)),
                "filled_late" => Some(now + deadline + EXPIRES_AFTER.mul_f64(unit)),
                _ => Some(now + travel.min(deadline)),
            };
            if fault == "filled_late" && self.never_expires() {
                inner.count("venue_frozen");
            }
            let entry = Entry {
                action: action.clone(),
                slot,
                left: fault != "never_left",
                arrives,
                expires: (!self.never_expires()).then(|| now + deadline + EXPIRES_AFTER),
                refuse: fault == "venue_refuses",
                part: if fault == "filled_in_part" { Decimal::new(4, 1) } else { Decimal::ONE },
                verdict: None,
            };
            inner.ledger.entries.insert(key.clone(), entry);
        }
        match fault {
            "never_left" => return Submission::NeverLeft("connection refused".to_owned()),
            "submit_hang_filled" | "submit_hang_empty" => std::future::pending::<()>().await,
            "submit_panic_filled" | "submit_panic_empty" => panic!("injected in submit"),
            "crash_in_submit_filled" | "crash_in_submit_empty" => world.kill_process("in submit").await,
            "reply_late" => {
                tokio::time::sleep(travel.min(deadline)).await;
                return Submission::Unknown("connection reset".to_owned());
            }
            "reply_lost" | "request_lost" | "filled_late" => {
                tokio::time::sleep(deadline).await;
                return Submission::Unknown("no reply".to_owned());
            }
            "ack_slow" => tokio::time::sleep(deadline.mul_f64(0.9)).await,
            _ => {}
        }
        if tokio::time::timeout(deadline, tokio::time::sleep(travel * 2)).await.is_err() {
            return Submission::Unknown("no reply".to_owned());
        }
        let mut inner = world.lock();
        arrive(&mut inner, key);
        if matches!(fault, "reply_of_another" | "ticket_reused") {
            return self.another(&inner).map_or(Submission::Unknown("no reply".to_owned()), Submission::Acked);
        }
        if fault == "receipt_of_another_kind" {
            return Submission::Acked(of_another_kind(action));
        }
        match inner.ledger.entries.get(key).and_then(|entry| entry.verdict.as_ref()) {
            Some(Verdict::Confirmed(receipt)) => Submission::Acked(receipt.clone()),
            Some(Verdict::Refused) => Submission::Rejected {
                code: Some(10_006),
                text: "refused".to_owned(),
                lasting: self.index.is_multiple_of(2),
            },
            None => Submission::Unknown("no reply".to_owned()),
        }
    }

    /// The receipt of an order that the journal knows under another key; only live orders have tickets of their own.
    fn another(&self, inner: &Inner) -> Option<Receipt> {
        inner.disk.newest_receipt().filter(|_| self.mode == Mode::Live)
    }

    async fn ask(&self, intent: &Intent, deadline: Duration) -> Evidence {
        let world = &self.world;
        let _guard = world.enter(&self.who, None);
        const FAULTS: &[(&str, f64)] = &[
            ("settle_not_now", 0.2),
            ("settle_undecidable", 0.05),
            ("settle_hang", 0.02),
            ("settle_slow", 0.1),
            ("settle_times_out", 0.1),
            ("settle_of_another", 0.02),
            ("settle_of_another_kind", 0.02),
        ];
        let fault = world.pick("settle", &self.who, FAULTS).unwrap_or("");
        match fault {
            "settle_hang" => std::future::pending::<()>().await,
            "settle_slow" => tokio::time::sleep(deadline.mul_f64(0.9)).await,
            "settle_times_out" => tokio::time::sleep(deadline).await,
            _ => tokio::time::sleep(world.millis("travel", &self.who, 5, 60)).await,
        }
        let mut inner = world.lock();
        let truth = truth(&mut inner, &intent.key);
        inner.tracker(format!("settle {} {} {truth:?} {fault}", intent.pipeline, intent.slot));
        if fault == "settle_not_now" || fault == "settle_times_out" {
            return Evidence::NotNow("injected".to_owned());
        }
        if fault == "settle_of_another"
            && world.options.node_faults
            && let Some(receipt) = self.another(&inner)
        {
            return Evidence::Found(receipt);
        }
        if fault == "settle_of_another_kind" {
            return Evidence::Found(of_another_kind(&intent.action));
        }
        match inner.ledger.entries.get(&intent.key).and_then(|entry| entry.verdict.as_ref()) {
            Some(Verdict::Confirmed(receipt)) => return Evidence::Found(receipt.clone()),
            Some(Verdict::Refused) => return Evidence::Refused { code: Some(10_006), text: "refused".to_owned() },
            None => {}
        }
        match truth {
            _ if self.never_expires() && !can_prove_absence(&inner, &intent.key) => {
                // Some time it gives up asking; until then the order may turn up.
                match inner.stream("give up", &self.who).f64() < 0.2 {
                    true => Evidence::Undecidable("orders do not expire here".to_owned()),
                    false => Evidence::NotNow("it may still arrive".to_owned()),
                }
            }
            Truth::Open => Evidence::NotNow("it may still arrive".to_owned()),
            _ if fault == "settle_undecidable" && world.options.node_faults => {
                Evidence::Undecidable("the history was deleted".to_owned())
            }
            _ => Evidence::Absent("not in the history, and expired".to_owned()),
        }
    }
}

impl Sink for SimVenue {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn account(&self) -> &str {
        "account"
    }

    fn submit<'a>(&'a self, intent: &'a Intent, deadline: Duration, _: MayLeave<'a>) -> PortFuture<'a, Submission> {
        Box::pin(self.take(&intent.key, &intent.action, intent.slot, deadline))
    }

    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(self.ask(intent, deadline))
    }
}

impl PositionBook for SimVenue {
    fn positions<'a>(
        &'a self,
        symbol: &'a str,
        _: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            let _guard = self.world.enter(&self.who, Some(Duration::from_secs(5)));
            const FAULTS: &[(&str, f64)] =
                &[("positions_error", 0.004), ("positions_slow", 0.004), ("positions_hang", 0.001)];
            match self.world.pick("positions", &self.who, FAULTS) {
                Some("positions_error") => return Err(VenueError(format!("login {} failed", "***"))),
                Some("pass") => {}
                Some("positions_slow") => tokio::time::sleep(deadline.mul_f64(0.9)).await,
                Some(_) => std::future::pending().await,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            clock::change(&self.world, &self.who).await;
            assert!(!self.password.is_empty());
            let mut inner = self.world.lock();
            let open = inner.disk.open.get(&format!("p{}", self.index)).cloned().unwrap_or_default();
            for key in open {
                arrive(&mut inner, &key);
            }
            match &inner.ledger.books[symbol] {
                Book::Hedging(positions) => Ok(Positions::Reported(positions.clone())),
                Book::Netting(_) => Ok(Positions::Derived),
            }
        })
    }
}

impl BarObserver for SimVenue {
    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async move {
            // Stops and targets are hit now and then.
            let mut inner = self.world.lock();
            let roll = inner.stream("stops", &self.who).f64();
            if let Some(Book::Hedging(positions)) = inner.ledger.books.get_mut(symbol).filter(|_| roll < 0.1) {
                positions.pop();
            }
            let _ = (bars, Decimal::ZERO);
            Ok(())
        })
    }
}

/// A receipt that no action of this kind can have.
fn of_another_kind(action: &Action) -> Receipt {
    let text = "of another kind".to_owned();
    match action {
        Action::Order(_) => Inclusion { hash: "A0".to_owned(), height: 1, text }.into(),
        Action::Forecast(_) => {
            let ticket = Ticket(u64::MAX);
            Fill { ticket, volume_lots: VOLUME_LOTS, price: None, text }.into()
        }
    }
}

/// An order that the configuration, and what the account really holds, allow.
fn judge_order(inner: &mut Inner, options: &PipelineOptions, order: &Order, slot: UtcMs) {
    if order.symbol != options.symbol {
        inner.violation(format!("an order of {} trades {}", options.name, order.symbol));
    }
    if order.volume_lots > VOLUME_LOTS {
        inner.violation(format!("{}: an order of {} lots leaves", options.name, order.volume_lots));
    }
    match (&inner.ledger.books[&options.symbol], order.role) {
        (Book::Hedging(positions), Role::Open) if positions.len() >= options.max_positions as usize => {
            let text = format!("{}: one more is opened beside {} positions", options.name, positions.len());
            inner.violation(text);
        }
        (Book::Netting(net), Role::Open) if (signed(order.side, Decimal::ONE) * net.lots).is_sign_negative() => {
            // It would end what it is not meant to end. Only a close of the same decision may leave a rest to turn over.
            let was_closed = |entry: &Entry| {
                let closes = |other: &Order| other.symbol == order.symbol && matches!(other.role, Role::Close(_));
                entry.slot == slot && entry.action.order().is_some_and(closes)
            };
            if !inner.ledger.entries.values().any(was_closed) {
                let text = format!("{}: {} opens against {} lots", options.name, order.side, net.lots);
                inner.violation(text);
            }
        }
        (Book::Netting(net), Role::Close(ticket)) => {
            // Bought back or sold off to the lot: anything else opens a position without a decision.
            let after = net.lots + signed(order.side, order.volume_lots);
            if net.opened_by != Some(ticket) || !after.is_zero() {
                let text = format!(
                    "{}: closing {} of {ticket} where the venue holds {} of {:?}",
                    options.name, order.volume_lots, net.lots, net.opened_by
                );
                inner.violation(text);
            }
        }
        _ => {}
    }
}
