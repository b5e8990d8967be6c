//! The venue, and the judge: its own ledger of what really happened, kept apart from everything that the node believes.
//! Shares no code with the executor.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Order, Position, Receipt, Role, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Evidence, PortFuture, Positions, Submission, Venue, VenueError};

use crate::driver::LATENESS;
use crate::world::{Inner, Shared};

#[derive(Default)]
pub struct Ledger {
    orders: BTreeMap<IntentKey, Entry>,
    books: BTreeMap<String, Vec<Position>>,
    tickets: u64,
    pub effects: u64,
}

struct Entry {
    order: Order,
    submits: u32,
    /// Elapsed time at which it arrives; the venue drops what arrives after its expiry.
    arrives: Option<Duration>,
    expires: Duration,
    refuse: bool,
    verdict: Option<Verdict>,
}

enum Verdict {
    Filled(Receipt),
    Refused,
}

/// What really became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Filled,
    Refused,
    /// It never arrived and never will.
    Nothing,
    /// It may still arrive.
    Open,
}

/// The truth about a key, now.
pub fn fate(inner: &mut Inner, key: &IntentKey) -> Truth {
    arrive(inner, key);
    let now = inner.elapsed();
    match inner.ledger.orders.get(key) {
        None => Truth::Nothing,
        Some(Entry { verdict: Some(Verdict::Filled(_)), .. }) => Truth::Filled,
        Some(Entry { verdict: Some(Verdict::Refused), .. }) => Truth::Refused,
        Some(entry) if entry.arrives.is_some() || now < entry.expires => Truth::Open,
        Some(_) => Truth::Nothing,
    }
}

/// What the ledger shows of a filled key.
pub fn receipt(inner: &Inner, key: &IntentKey) -> Option<Receipt> {
    match inner.ledger.orders.get(key)?.verdict.as_ref()? {
        Verdict::Filled(receipt) => Some(receipt.clone()),
        Verdict::Refused => None,
    }
}

/// Says whether the journal invents an ending.
pub fn judge_ending(inner: &mut Inner, key: &IntentKey, state: IntentState) {
    let truth = fate(inner, key);
    let honest = match state {
        IntentState::Acked => truth == Truth::Filled,
        IntentState::Rejected => truth == Truth::Refused,
        IntentState::Absent => truth == Truth::Nothing || (truth == Truth::Refused) || never_left(inner, key),
        _ => true,
    };
    if !honest {
        inner.violation(format!("I2: the journal says {state} of {key}, the venue says {truth:?}"));
    }
}

fn never_left(inner: &Inner, key: &IntentKey) -> bool {
    inner.ledger.orders.get(key).is_none_or(|entry| entry.arrives.is_none() && entry.verdict.is_none())
}

/// Lets an order arrive whose time has come.
fn arrive(inner: &mut Inner, key: &IntentKey) {
    let now = inner.elapsed();
    let Some(entry) = inner.ledger.orders.get_mut(key) else { return };
    let Some(at) = entry.arrives.filter(|at| *at <= now) else { return };
    entry.arrives = None;
    if at > entry.expires {
        return;
    }
    let (order, refuse) = (entry.order.clone(), entry.refuse);
    inner.ledger.tickets += 1;
    let ticket = Ticket(inner.ledger.tickets);
    let opened_at = Some(inner.now());
    let book = inner.ledger.books.entry(order.symbol.clone()).or_default();
    let gone = match order.role {
        Role::Close(ticket) if !refuse => {
            let before = book.len();
            book.retain(|position| position.ticket != ticket);
            before == book.len()
        }
        _ => false,
    };
    let verdict = if refuse || gone {
        Verdict::Refused
    } else {
        if order.role == Role::Open {
            let (symbol, side, volume_lots) = (order.symbol.clone(), order.side, order.volume_lots);
            let open_price = order.reference_price;
            book.push(Position { ticket, symbol, side, volume_lots, open_price, opened_at });
        }
        inner.ledger.effects += 1;
        let price = Some(order.reference_price);
        Verdict::Filled(Receipt { ticket, volume_lots: order.volume_lots, price, text: "filled".to_owned() })
    };
    let word = if matches!(verdict, Verdict::Filled(_)) { "fills" } else { "refuses" };
    inner.trace(format!("venue {word} {} {}", order.symbol, order.role));
    if let Some(entry) = inner.ledger.orders.get_mut(key) {
        entry.verdict = Some(verdict);
    }
}

pub struct SimVenue {
    pub world: Shared,
    pub index: usize,
    pub mode: Mode,
    pub who: String,
    /// Must never be printed by anyone (I12).
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
    ("crash_in_submit_filled", 0.003),
    ("crash_in_submit_empty", 0.003),
];

/// Every other venue keeps its positions to itself, and takes no stops.
pub const fn cannot_tell(index: usize) -> bool {
    index % 2 == 1
}

impl SimVenue {
    /// Every promise about effects, judged at the moment at which bytes leave.
    fn judge(&self, inner: &mut Inner, key: &IntentKey, order: &Order, slot: UtcMs, deadline: Duration) {
        let options = &self.world.options.pipelines[self.index];
        let now = inner.now();
        let stored = inner.disk.intents.get(key).map(|stored| stored.intent.clone());
        match stored {
            Some(intent) if intent.state == IntentState::Sent && intent.order == *order => {
                let cell = (intent.pipeline.clone(), intent.slot);
                if slot != intent.slot || inner.disk.rows.contains_key(&cell) {
                    let text = format!("an effect of {} {} in {slot} after that slot has ended", cell.0, cell.1);
                    inner.violation(text);
                }
                if intent.mode != self.mode || options.mode != self.mode {
                    inner.violation(format!("I4: {key} goes to a venue of another mode"));
                }
                let open = inner.disk.open.get(&intent.pipeline).cloned().unwrap_or_default();
                let blocked = open.iter().filter(|other| *other != key).find(|other| {
                    inner.disk.intents.get(other).is_some_and(|other| other.intent.state.may_have_left())
                });
                if let Some(other) = blocked {
                    inner.violation(format!("{key} leaves while {other} is open"));
                }
            }
            other => inner.violation(format!("I1: {key} leaves, and durable is {:?}", other.map(|i| i.state))),
        }
        if inner.safe_mode {
            inner.violation(format!("I4: {key} leaves in safe mode"));
        }
        if !options.window.contains(now) {
            inner.violation(format!("I4: {key} leaves outside the competition, at {now}"));
        }
        let fetched = inner.alive.fetched.get(&options.name).filter(|(fetched, _)| *fetched == slot);
        match fetched.map(|(_, at)| *at) {
            // An exit of a slot whose bar was decided before: it fetches nothing.
            None if order.role != Role::Open && now.since(slot) + deadline <= LATENESS + options.cycle => {}
            Some(began) if inner.elapsed() + deadline <= began + options.cycle + Duration::from_millis(1) => {}
            other => {
                let text = format!("I4: {key} may leave after the cycle's deadline: fetched at {other:?}");
                inner.violation(text);
            }
        }
        if inner.ledger.orders.get(key).is_some_and(|entry| entry.submits > 0) {
            inner.violation(format!("I2: {key} is submitted twice"));
        }
    }

    async fn trade(&self, key: &IntentKey, order: &Order, slot: UtcMs, deadline: Duration) -> Submission {
        let world = &self.world;
        let _guard = world.enter(&self.who, Some(Duration::from_secs(5)));
        let moods = if world.options.node_faults { SUBMIT } else { &SUBMIT[..SUBMIT.len() - 2] };
        let mood = world.pick("submit", &self.who, moods).unwrap_or("");
        let travel = world.millis("travel", &self.who, 5, 60);
        {
            let mut inner = world.lock();
            self.judge(&mut inner, key, order, slot, deadline);
            inner.trace(format!("submit {} {} {mood}", order.symbol, order.role));
            inner.count("submits");
            let now = inner.elapsed();
            let late = deadline.mul_f64(inner.stream("late", &self.who).f64());
            let arrives = match mood {
                "request_lost"
                | "never_left"
                | "submit_hang_empty"
                | "submit_panic_empty"
                | "crash_in_submit_empty" => None,
                "reply_late" => Some(now + late),
                _ => Some(now + travel.min(deadline)),
            };
            let entry = Entry {
                order: order.clone(),
                submits: 1,
                arrives,
                expires: now + deadline,
                refuse: mood == "venue_refuses",
                verdict: None,
            };
            inner.ledger.orders.insert(key.clone(), entry);
        }
        match mood {
            "never_left" => return Submission::NeverLeft("connection refused".to_owned()),
            "submit_hang_filled" | "submit_hang_empty" => std::future::pending::<()>().await,
            "submit_panic_filled" | "submit_panic_empty" => panic!("injected in submit"),
            "crash_in_submit_filled" | "crash_in_submit_empty" => world.die("in submit").await,
            "reply_late" => {
                tokio::time::sleep(travel.min(deadline)).await;
                return Submission::Unknown("connection reset".to_owned());
            }
            "reply_lost" | "request_lost" => {
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
        match inner.ledger.orders.get(key).and_then(|entry| entry.verdict.as_ref()) {
            Some(Verdict::Filled(receipt)) => Submission::Acked(receipt.clone()),
            Some(Verdict::Refused) => {
                Submission::Rejected { code: Some(10_006), text: "refused".to_owned(), lasting: self.index % 3 == 2 }
            }
            None => Submission::Unknown("no reply".to_owned()),
        }
    }

    async fn ask(&self, intent: &Intent, deadline: Duration) -> Evidence {
        let world = &self.world;
        let _guard = world.enter(&self.who, None);
        const MOODS: &[(&str, f64)] = &[
            ("settle_not_now", 0.2),
            ("settle_undecidable", 0.05),
            ("settle_hang", 0.02),
            ("settle_slow", 0.1),
            ("settle_times_out", 0.1),
        ];
        let mood = world.pick("settle", &self.who, MOODS).unwrap_or("");
        match mood {
            "settle_hang" => std::future::pending::<()>().await,
            "settle_slow" => tokio::time::sleep(deadline.mul_f64(0.9)).await,
            "settle_times_out" => tokio::time::sleep(deadline).await,
            _ => tokio::time::sleep(world.millis("travel", &self.who, 5, 60)).await,
        }
        let mut inner = world.lock();
        let truth = fate(&mut inner, &intent.key);
        inner.trace(format!("settle {} {} {truth:?} {mood}", intent.pipeline, intent.slot));
        if mood == "settle_not_now" || mood == "settle_times_out" {
            return Evidence::NotNow("injected".to_owned());
        }
        match inner.ledger.orders.get(&intent.key).and_then(|entry| entry.verdict.as_ref()) {
            Some(Verdict::Filled(receipt)) => return Evidence::Found(receipt.clone()),
            Some(Verdict::Refused) => return Evidence::Refused { code: Some(10_006), text: "refused".to_owned() },
            None => {}
        }
        match truth {
            Truth::Open => Evidence::NotNow("it may still arrive".to_owned()),
            _ if mood == "settle_undecidable" => Evidence::Undecidable("history is gone".to_owned()),
            _ => Evidence::Absent("not in the history, and expired".to_owned()),
        }
    }
}

impl Venue for SimVenue {
    fn mode(&self) -> Mode {
        self.mode
    }

    fn account(&self) -> &str {
        "account"
    }

    fn submit<'a>(
        &'a self,
        key: &'a IntentKey,
        order: &'a Order,
        slot: UtcMs,
        deadline: Duration,
    ) -> PortFuture<'a, Submission> {
        Box::pin(self.trade(key, order, slot, deadline))
    }

    fn settle<'a>(&'a self, intent: &'a Intent, deadline: Duration) -> PortFuture<'a, Evidence> {
        Box::pin(self.ask(intent, deadline))
    }

    fn positions<'a>(&'a self, symbol: &'a str, deadline: Duration) -> PortFuture<'a, Result<Positions, VenueError>> {
        Box::pin(async move {
            let _guard = self.world.enter(&self.who, Some(Duration::from_secs(5)));
            const MOODS: &[(&str, f64)] =
                &[("positions_error", 0.004), ("positions_slow", 0.004), ("positions_hang", 0.001)];
            match self.world.pick("positions", &self.who, MOODS) {
                Some("positions_error") => return Err(VenueError(format!("login {} failed", "***"))),
                Some("pass") => {}
                Some("positions_slow") => tokio::time::sleep(deadline.mul_f64(0.9)).await,
                Some(_) => std::future::pending().await,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
            assert!(!self.password.is_empty());
            let mut inner = self.world.lock();
            let open = inner.disk.open.get(&format!("p{}", self.index)).cloned().unwrap_or_default();
            for key in open {
                arrive(&mut inner, &key);
            }
            if cannot_tell(self.index) {
                return Ok(Positions::Counted);
            }
            Ok(Positions::Told(inner.ledger.books.get(symbol).cloned().unwrap_or_default()))
        })
    }

    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async move {
            // Stops and targets are hit now and then.
            let mut inner = self.world.lock();
            let roll = if cannot_tell(self.index) { 1.0 } else { inner.stream("stops", &self.who).f64() };
            if let Some(book) = inner.ledger.books.get_mut(symbol).filter(|_| roll < 0.1) {
                book.pop();
            }
            let _ = (bars, Decimal::ZERO);
            Ok(())
        })
    }
}
