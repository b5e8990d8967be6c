//! Records of one pipeline on one symbol, and ways to write and read them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use sentinel::cli;
use sentinel::journal::{Filter, JournalError, JournalReader, Recovered, SqliteJournal, StateDir};
use sentinel_actors::domain::action::Action;
use sentinel_actors::domain::cycle::{SlotRecord, Weighed, WeighedRisk};
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::intent::{Basis, Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Role, Side, Ticket};
use sentinel_actors::domain::prediction::ModelIdentity;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::risk::Exposure;
use sentinel_actors::domain::schedule::Schedule;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    JournalAnswer, JournalRead, JournalStore as _, JournalWrite, NoFaults, Recovery, Written,
};

pub(crate) const NOON: &str = "2017-06-01T12:00:00Z";

pub(crate) fn minute(n: i64) -> UtcMs {
    NOON.parse::<UtcMs>().unwrap().plus(Duration::from_secs(n.unsigned_abs() * 60))
}

pub(crate) fn minutely() -> Schedule {
    Schedule::every(Duration::from_secs(60), Duration::ZERO).unwrap()
}

pub(crate) struct Node {
    pub(crate) journal: SqliteJournal,
    pub(crate) recovered: Recovered,
}

pub(crate) fn open(dir: &Path) -> Node {
    let state = StateDir::open(dir).unwrap();
    let (journal, recovered) = SqliteJournal::open(&state, Arc::new(NoFaults)).unwrap();
    Node { journal, recovered }
}

pub(crate) fn refusal(dir: &Path) -> JournalError {
    let state = StateDir::open(dir).unwrap();
    SqliteJournal::open(&state, Arc::new(NoFaults)).err().expect("the journal must refuse to open")
}

impl Node {
    pub(crate) async fn write(&self, batch: Vec<JournalWrite>) -> Vec<Written> {
        self.journal.commit(batch).await.unwrap()
    }

    pub(crate) async fn exposure(&self, now: UtcMs) -> Exposure {
        let question =
            JournalRead::Exposure { account: "demo".into(), symbol: "EURUSD".into(), mode: Mode::DryRun, now };
        match self.journal.read(question).await.unwrap() {
            JournalAnswer::Exposure(exposure) => exposure,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn recovery(&self) -> Recovery {
        match self.journal.read(JournalRead::Recovery { pipeline: "eurusd".into() }).await.unwrap() {
            JournalAnswer::Recovery(recovery) => recovery,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn ended(n: i64, reason: Reason) -> SlotRecord {
    let slot = minute(n);
    let mut record = SlotRecord::new("eurusd", slot, Mode::DryRun, reason, slot.plus(Duration::from_millis(40)));
    record.attempts = 1;
    record.started_at = Some(slot.plus(Duration::from_millis(3)));
    record
}

pub(crate) fn full_record(n: i64) -> SlotRecord {
    SlotRecord {
        detail: "all fields, with 'quotes', a comma, and ü".into(),
        stage_us: [Some(1500), Some(20), Some(300), Some(u64::from(u32::MAX))],
        newest_bar: Some(minute(n - 1)),
        bars: Some(120),
        dropped: "null=3,duplicate=1".into(),
        missing_bars: Some(2),
        bars_digest: Some("aa11".into()),
        feature_set: Some("fx23".into()),
        features_digest: Some("bb22".into()),
        model: Some(ModelIdentity { id: "demo.onnx".into(), hash: "0123456789abcdef".into() }),
        raw_output: Some(vec![0.1, 0.2, 0.7]),
        signal: Some("BUY".into()),
        confidence: Some(0.7),
        decided_bar: Some(minute(n - 1)),
        intents: vec![intent(n, Role::Open).key],
        ..ended(n, Reason::OrderAcked)
    }
}

pub(crate) fn weighed() -> Weighed {
    let risk = WeighedRisk {
        open_positions: 0,
        max_open_positions: None,
        orders_last_hour: 2,
        max_orders_per_hour: 6,
        orders_last_day: 5,
        max_orders_per_day: 24,
        open_intents: 0,
    };
    Weighed { decide_on: DecideOn::Bar, threshold: 0.6, open_positions: 1, risk: Some(risk) }
}

pub(crate) fn intent(n: i64, role: Role) -> Intent {
    let basis = minute(n - 1);
    Intent {
        key: IntentKey::derive(Mode::DryRun, "demo", "eurusd", Basis::Bar(basis), role),
        mode: Mode::DryRun,
        account: "demo".into(),
        pipeline: "eurusd".into(),
        slot: minute(n),
        announced_as: None,
        basis: Basis::Bar(basis),
        action: Action::Order(Order {
            role,
            symbol: "EURUSD".into(),
            side: Side::Buy,
            volume_lots: "0.10".parse().unwrap(),
            stop_price: Some("1.1200".parse().unwrap()),
            target_price: None,
            reference_price: "1.12345".parse().unwrap(),
        }),
        state: IntentState::Planned,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

pub(crate) fn receipt() -> Fill {
    Fill {
        ticket: Ticket(u64::MAX),
        volume_lots: "0.10".parse().unwrap(),
        price: Some("1.12350".parse().unwrap()),
        text: "done".into(),
    }
}

pub(crate) fn end(record: SlotRecord) -> JournalWrite {
    JournalWrite::EndSlot(Box::new(record))
}

pub(crate) fn plan(n: i64) -> JournalWrite {
    JournalWrite::Plan(Box::new(intent(n, Role::Open)))
}

pub(crate) fn advance(n: i64, event: IntentEvent) -> JournalWrite {
    JournalWrite::Advance { key: intent(n, Role::Open).key, event, at: minute(n).plus(Duration::from_millis(20)) }
}

pub(crate) fn acked() -> IntentEvent {
    IntentEvent::Acked { receipt: receipt().into() }
}

pub(crate) fn lost() -> IntentEvent {
    IntentEvent::LostTrack { evidence: "no reply within 2s".into() }
}

pub(crate) fn miss(after: i64, until: i64) -> JournalWrite {
    JournalWrite::MissSlots {
        pipeline: "eurusd".into(),
        mode: Mode::DryRun,
        schedule: minutely(),
        after: minute(after),
        until: minute(until),
        reason: Reason::NodeDown,
        noted_at: minute(until),
    }
}

pub(crate) fn slots(dir: &Path) -> Vec<SlotRecord> {
    let mut all = Vec::new();
    let reader = JournalReader::open(dir).unwrap();
    reader
        .each_slot_of::<JournalError>(&Filter::default(), |slot| {
            assert!(slot.is_intact);
            all.push(slot.record);
            Ok(())
        })
        .unwrap();
    all
}

pub(crate) fn intents(dir: &Path) -> Vec<Intent> {
    let mut all = Vec::new();
    let reader = JournalReader::open(dir).unwrap();
    reader
        .each_intent::<JournalError>(None, None, |intent| {
            assert!(intent.is_intact);
            all.push(intent.record);
            Ok(())
        })
        .unwrap();
    all
}

pub(crate) fn reasons(dir: &Path) -> Vec<Reason> {
    slots(dir).iter().map(|slot| slot.reason).collect()
}

#[derive(Parser)]
pub(crate) enum Cli {
    Journal(cli::journal::JournalArgs),
    Why(cli::why::WhyArgs),
}

pub(crate) fn show(dir: &Path, args: &[&str]) -> Result<String, String> {
    let state = dir.to_string_lossy();
    let all = ["sentinel"].iter().chain(args).copied().chain(["--state", &state]);
    let mut out = Vec::new();
    match Cli::try_parse_from(all).unwrap() {
        Cli::Journal(args) => cli::journal::run(&args, dir, &mut out).map_err(|error| error.to_string())?,
        Cli::Why(args) => cli::why::run(&args, dir, &mut out).map_err(|error| error.to_string())?,
    }
    Ok(String::from_utf8(out).unwrap())
}
