//! A state directory with a year of hours, as a node would have written it: orders, forecasts of a dry run, and windows of a worker,
//! with weekends, outages and faults; and the ledger of the gateway that the orders went to.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use sentinel::journal::{SqliteJournal, StateDir};
use sentinel::venues::book::{BOOK_FILE, Book};
use sentinel_actors::domain::action::{Action, Forecast, Inclusion, Receipt};
use sentinel_actors::domain::announced::Announcement;
use sentinel_actors::domain::cycle::{SlotRecord, Weighed};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::fact::Fact;
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalStore as _, JournalWrite, NoFaults, Written};

const HOUR: i64 = 3_600_000;
/// Writes of one transaction.
const BATCH: usize = 2_000;
const WORKER: &str = "allora-testnet-1/allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv/67";

/// What a pipeline of the year does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Orders to a gateway.
    Orders,
    /// Forecasts into the paper book.
    Forecasts,
    /// Forecasts as a worker, in announced windows.
    Windows,
}

impl Job {
    pub const ALL: [Self; 3] = [Self::Orders, Self::Forecasts, Self::Windows];

    /// The name of its pipeline.
    pub const fn pipeline(self) -> &'static str {
        match self {
            Self::Orders => "eurusd",
            Self::Forecasts => "btcusd",
            Self::Windows => "btc-allora",
        }
    }
}

pub struct Year;

impl Year {
    /// The slot of an hour.
    pub fn slot(hour: i64) -> UtcMs {
        let start: UtcMs = "2026-01-01T00:00:02Z".parse().unwrap();
        UtcMs(start.0 + hour * HOUR)
    }

    /// `folder/state`, and `folder/ledger.db`, with so many hours of each of these.
    pub fn write(folder: &Path, hours: i64, jobs: &[Job]) {
        let state = Arc::new(StateDir::open(&folder.join("state")).unwrap());
        let journal = Journal::open(&state);
        let ledger = ledger(&folder.join("ledger.db"));
        let book = book(&state.path().join(BOOK_FILE));
        let mut writes = Vec::new();
        let (ledger_rows, book_rows) = (ledger.unchecked_transaction().unwrap(), book.unchecked_transaction().unwrap());
        for hour in 0..hours {
            for job in jobs {
                match job {
                    Job::Orders => order_slot(hour, &ledger_rows, &mut writes),
                    Job::Forecasts => forecast_slot(hour, hours, &book_rows, &mut writes),
                    Job::Windows => window(hour, &mut writes),
                }
            }
            if writes.len() > BATCH {
                journal.write(std::mem::take(&mut writes));
            }
        }
        journal.write(writes);
        ledger_rows.commit().unwrap();
        book_rows.commit().unwrap();
    }

    /// A slot and a held order whose texts are markup.
    pub fn with_hostile_texts(folder: &Path) {
        let markup = "<script>alert(1)</script>";
        let state = Arc::new(StateDir::open(&folder.join("state")).unwrap());
        let journal = Journal::open(&state);
        let mut record = worked(markup, Self::slot(0), Reason::OrderUnknown);
        (record.signal, record.confidence) = (Some("<b onclick=\"x\">buy</b>".to_owned()), Some(0.7));
        let mut intent = intent(markup, Mode::Live, markup, Self::slot(0), order(0).into());
        intent.state = IntentState::Planned;
        record.intents = vec![intent.key.clone()];
        let key = intent.key.clone();
        let at = Self::slot(0);
        let text = || "<img src=x onerror=alert(1)>".to_owned();
        let events =
            [IntentEvent::Send, IntentEvent::LostTrack { evidence: text() }, IntentEvent::Hold { evidence: text() }];
        let mut writes = vec![JournalWrite::Plan(Box::new(intent))];
        writes.extend(events.map(|event| JournalWrite::Advance { key: key.clone(), event, at }));
        writes.push(JournalWrite::EndSlot(Box::new(record)));
        journal.write(writes);
    }
}

struct Journal {
    journal: SqliteJournal,
    runtime: tokio::runtime::Runtime,
}

impl Journal {
    fn open(state: &Arc<StateDir>) -> Self {
        let (journal, _) = SqliteJournal::open(state, Arc::new(NoFaults)).unwrap();
        Self { journal, runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() }
    }

    fn write(&self, writes: Vec<JournalWrite>) {
        let written = self.runtime.block_on(self.journal.commit(writes)).unwrap();
        assert!(written.iter().all(|one| *one == Written::Done), "{written:?}");
    }
}

/// A number that looks like chance and is the same in every run.
fn noise(n: i64) -> f64 {
    let mixed =
        (n.unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 40) as f64 / f64::from(1 << 24)
}

fn worked(pipeline: &str, slot: UtcMs, reason: Reason) -> SlotRecord {
    let mut record = SlotRecord::new(pipeline, slot, Mode::Live, reason, slot.plus(Duration::from_millis(318)));
    if reason.outcome() == Outcome::Missed {
        return record;
    }
    let bar = bar_of(slot);
    record.attempts = 1;
    record.started_at = Some(slot.plus(Duration::from_millis(2 + slot.0.unsigned_abs() % 40)));
    record.stage_us = [Some(212_000), Some(100), Some(3_800), Some(104_000)];
    record.newest_bar = Some(bar);
    record.bars = Some(200);
    record.bars_digest = Some("76eaa2395e6f3bcd".to_owned());
    record.feature_set = Some("fx23".to_owned());
    record.features_digest = Some("7371874f900217f2".to_owned());
    record.model = Some(ModelIdentity { id: "model.onnx".to_owned(), hash: "f72af830a690c0ffee01".to_owned() });
    if reason != Reason::MarketClosed {
        record.decided_bar = Some(bar);
    }
    record
}

fn bar_of(slot: UtcMs) -> UtcMs {
    UtcMs(slot.0 / HOUR * HOUR - HOUR)
}

fn intent(pipeline: &str, mode: Mode, account: &str, slot: UtcMs, action: Action) -> Intent {
    let basis = Basis::Bar(bar_of(slot));
    Intent {
        key: IntentKey::derive(mode, account, pipeline, basis, action.role()),
        mode,
        account: account.to_owned(),
        pipeline: pipeline.to_owned(),
        slot,
        announced_as: None,
        basis,
        action,
        state: IntentState::Planned,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

/// From plan to confirmation, and what is noted afterwards.
fn confirmed(intent: Intent, receipt: Receipt, facts: Vec<Fact>, writes: &mut Vec<JournalWrite>) {
    let (key, at) = (intent.key.clone(), intent.slot.plus(Duration::from_millis(220)));
    writes.push(JournalWrite::Plan(Box::new(intent)));
    let noted = facts.into_iter().map(|fact| IntentEvent::Noted { fact });
    for event in [IntentEvent::Send, IntentEvent::Acked { receipt }].into_iter().chain(noted) {
        writes.push(JournalWrite::Advance { key: key.clone(), event, at });
    }
}

fn order(hour: i64) -> Order {
    Order {
        role: Role::Open,
        symbol: "EURUSD".to_owned(),
        side: if hour % 2 == 0 { Side::Buy } else { Side::Sell },
        volume_lots: "0.10".parse().unwrap(),
        stop_price: None,
        target_price: None,
        reference_price: format!("{:.5}", 1.1 + noise(hour) * 0.01).parse().unwrap(),
    }
}

/// Five days in seven, with outages, and an order every half day.
fn order_slot(hour: i64, ledger: &Connection, writes: &mut Vec<JournalWrite>) {
    let slot = Year::slot(hour);
    let confidence = 0.36 + noise(hour * 7) * 0.4;
    let reason = match hour {
        _ if hour % 701 < 5 => Reason::NodeDown,
        _ if hour % 997 == 6 => Reason::Late,
        _ if hour % 168 >= 120 => Reason::MarketClosed,
        _ if hour % 331 == 17 => Reason::SourceTimeout,
        _ if hour % 12 == 3 => Reason::OrderAcked,
        _ if noise(hour * 13) > 0.8 => Reason::Hold,
        _ => Reason::BelowThreshold,
    };
    let mut record = worked("eurusd", slot, reason);
    if matches!(reason, Reason::OrderAcked | Reason::Hold | Reason::BelowThreshold) {
        let confidence = if reason == Reason::OrderAcked { confidence.max(0.61) } else { confidence.min(0.59) };
        record.raw_output = Some(vec![(1.0 - confidence) * 0.6, (1.0 - confidence) * 0.4, confidence]);
        let signal = if reason == Reason::Hold { "hold" } else { "buy" };
        (record.signal, record.confidence) = (Some(signal.to_owned()), Some(confidence));
        record.weighed = Some(Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 0, risk: None });
    }
    if reason == Reason::OrderAcked {
        let intent = intent("eurusd", Mode::Live, "mt5-demo", slot, order(hour).into());
        record.intents = vec![intent.key.clone()];
        let ticket = 1_000_000 + hour;
        let fill = Fill {
            ticket: Ticket(ticket.unsigned_abs()),
            volume_lots: "0.10".parse().unwrap(),
            price: None,
            text: "done".to_owned(),
        };
        let profit = (noise(hour * 3) - 0.5) * 40.0;
        ledger
            .execute(
                "INSERT INTO positions VALUES (?1, 'EURUSD', 'buy', '0.10', '1.10000', ?2, ?3, ?4, '1.10100', 'stop')",
                params![ticket, slot.0, format!("{profit:.2}"), slot.0 + 6 * HOUR],
            )
            .unwrap();
        confirmed(intent, fill.into(), Vec::new(), writes);
    }
    writes.push(JournalWrite::EndSlot(Box::new(record)));
}

fn forecast(slot: UtcMs, hour: i64) -> Forecast {
    let value = (hour as f64 / 17.0).sin() * 0.012 + (noise(hour * 5) - 0.5) * 0.004;
    Forecast {
        symbol: "BTCUSD".to_owned(),
        log_return: format!("{value:.6}").parse().unwrap(),
        horizon_s: 604_800,
        reference_price: format!("{:.1}", 60_000.0 + noise(hour) * 900.0).parse().unwrap(),
        reference_time: bar_of(slot),
    }
}

/// A forecast of a dry run in each hour.
fn forecast_slot(hour: i64, hours: i64, book: &Connection, writes: &mut Vec<JournalWrite>) {
    let slot = Year::slot(hour);
    let forecast = forecast(slot, hour);
    let mut record = worked("btcusd", slot, Reason::ForecastAcked);
    record.mode = Mode::DryRun;
    record.raw_output = Some(vec![forecast.log_return.try_into().unwrap()]);
    let intent = intent("btcusd", Mode::DryRun, "paper", slot, forecast.clone().into());
    record.intents = vec![intent.key.clone()];
    let came_true = (hour + 168 < hours).then(|| format!("{:.6}", (noise(hour * 11) - 0.5) * 0.05));
    book.execute(
        "INSERT INTO forecasts (key, account, symbol, log_return, horizon_s, reference_price, reference_ms, due_ms, at_ms, came_true)
         VALUES (?1, 'paper', ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        params![
            intent.key.as_str(),
            forecast.symbol,
            forecast.log_return.to_string(),
            forecast.horizon_s,
            forecast.reference_price.to_string(),
            forecast.reference_time.0,
            forecast.reference_time.0 + 168 * HOUR,
            slot.0,
            came_true,
        ],
    )
    .unwrap();
    let height = book.last_insert_rowid().unsigned_abs();
    let hash = format!("paper-{}", intent.key);
    let receipt = Inclusion { hash, height, text: "taken up by the paper book".to_owned() };
    confirmed(intent, receipt.into(), Vec::new(), writes);
    writes.push(JournalWrite::EndSlot(Box::new(record)));
}

/// A window of a worker in each hour, stored and scored, but for a few.
fn window(hour: i64, writes: &mut Vec<JournalWrite>) {
    let slot = Year::slot(hour);
    let id = (720 * hour).to_string();
    let announced = vec![Announcement::new(id.clone(), slot, slot.plus(Duration::from_secs(600))).unwrap()];
    writes.push(JournalWrite::Announce { pipeline: "btc-allora".to_owned(), announced, at: slot });
    if hour % 97 == 5 {
        writes.push(JournalWrite::EndSlot(Box::new(worked("btc-allora", slot, Reason::WindowClosed))));
        return;
    }
    let forecast = forecast(slot, hour);
    let value = forecast.log_return.to_string();
    let mut record = worked("btc-allora", slot, Reason::ForecastAcked);
    record.raw_output = Some(vec![forecast.log_return.try_into().unwrap()]);
    let mut intent = intent("btc-allora", Mode::Live, WORKER, slot, forecast.into());
    intent.announced_as = Some(id);
    record.intents = vec![intent.key.clone()];
    let hash = format!("{hour:064X}");
    let receipt = Inclusion { hash, height: (8_412_000 + hour).unsigned_abs(), text: "code 0".to_owned() };
    let stored = Fact::Stored { value, evidence: "seen".to_owned(), inclusions: None };
    let facts = vec![Fact::Admitted, stored, Fact::Scored { score: format!("{:.4}", noise(hour)) }];
    confirmed(intent, receipt.into(), facts, writes);
    writes.push(JournalWrite::EndSlot(Box::new(record)));
}

/// The part of a gateway's ledger that a report reads.
fn ledger(path: &Path) -> Connection {
    let ledger = Connection::open(path).unwrap();
    ledger
        .execute_batch(
            "CREATE TABLE positions (id INTEGER PRIMARY KEY, symbol TEXT, side TEXT, volume TEXT, open_price TEXT, opened_ms INTEGER,
                                     profit TEXT, closed_ms INTEGER, close_price TEXT, reason TEXT)",
        )
        .unwrap();
    ledger
}

/// A paper book as the node begins it.
fn book(path: &Path) -> Connection {
    drop(Book::open(path).unwrap());
    Connection::open(path).unwrap()
}
