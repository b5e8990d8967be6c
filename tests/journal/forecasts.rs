//! Forecasts in the journal, beside orders.

use sentinel::journal::{JournalReader, proof};
use sentinel_actors::domain::action::{Action, Forecast, Inclusion};
use sentinel_actors::domain::fact::{Awaits, Fact};
use sentinel_actors::domain::intent::{Intent, IntentEvent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{JournalAnswer, JournalRead, JournalStore as _, JournalWrite, Written};
use tempfile::TempDir;

use crate::support::*;

/// What is forecast in the minute in which [`intent`] orders, on the same account and symbol.
fn forecast(n: i64) -> Intent {
    let action = Action::Forecast(Forecast {
        symbol: "EURUSD".into(),
        log_return: "-0.0125".parse().unwrap(),
        horizon_s: 604_800,
        reference_price: "1.12345".parse().unwrap(),
        reference_time: UtcMs(minute(n).0 - 3_600_000),
    });
    let order = intent(n, Role::Open);
    let key = IntentKey::derive(order.mode, &order.account, &order.pipeline, order.basis, action.role());
    Intent { key, action, ..order }
}

fn step(of: &Intent, event: IntentEvent) -> JournalWrite {
    JournalWrite::Advance { key: of.key.clone(), event, at: of.slot }
}

fn included() -> IntentEvent {
    let inclusion = Inclusion { hash: "AB12".into(), height: 7_654_321, text: "code 0".into() };
    IntentEvent::Acked { receipt: inclusion.into() }
}

#[tokio::test]
async fn a_forecast_comes_back_as_written_with_its_window_and_inclusion() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = Intent { announced_as: Some("7654000".into()), ..forecast(5) };
    let plan = JournalWrite::Plan(Box::new(intent.clone()));
    let writes =
        vec![plan, step(&intent, IntentEvent::Send), step(&intent, included()), end(ended(5, Reason::ForecastAcked))];
    assert_eq!(node.write(writes).await, [Written::Done, Written::Done, Written::Done, Written::Done]);
    drop(node);
    let IntentEvent::Acked { receipt } = included() else { unreachable!() };
    assert_eq!(intents(dir.path()), [Intent { state: IntentState::Acked, receipt: Some(receipt), ..intent }]);
    open(dir.path()); // its events lead to where it stands
    let proof = proof(dir.path(), "eurusd", &minutely(), minute(5), minute(5)).unwrap();
    assert!(proof.holds());
    assert_eq!((proof.forecasts, proof.acked.len()), (1, 0));
}

#[tokio::test]
async fn a_slot_whose_forecast_left_says_so_whatever_became_of_its_cycle() {
    for (event, reason) in [(included(), Reason::ForecastAcked), (lost(), Reason::ForecastUnknown)] {
        let dir = TempDir::new().unwrap();
        let node = open(dir.path());
        let intent = forecast(1);
        let plan = JournalWrite::Plan(Box::new(intent.clone()));
        node.write(vec![plan, step(&intent, IntentEvent::Send), step(&intent, event), miss(0, 1)]).await;
        assert_eq!(reasons(dir.path()), [reason]);
    }
}

#[tokio::test]
async fn an_open_forecast_is_no_exposure_of_the_same_account_and_symbol() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = forecast(1);
    node.write(vec![JournalWrite::Plan(Box::new(intent.clone())), step(&intent, IntentEvent::Send)]).await;
    let query = JournalRead::Exposure {
        account: intent.account.clone(),
        symbol: "EURUSD".into(),
        mode: Mode::DryRun,
        now: minute(2),
    };
    let JournalAnswer::Exposure(exposure) = node.journal.read(query).await.unwrap() else { panic!("no exposure") };
    assert_eq!((exposure.open_intents.len(), exposure.orders_last_day), (0, 0));
}

#[tokio::test]
async fn a_forecast_is_shown_with_its_value_and_never_with_a_side() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = forecast(1);
    let plan = JournalWrite::Plan(Box::new(intent.clone()));
    let ended = end(ended(1, Reason::ForecastAcked));
    node.write(vec![plan, step(&intent, IntentEvent::Send), step(&intent, included()), ended]).await;
    drop(node);
    let table = show(dir.path(), &["journal", "intents"]).unwrap();
    assert!(table.contains("forecast -0.0125 EURUSD") && table.contains("AB12 at height 7654321"), "{table}");
    let json = show(dir.path(), &["journal", "intents", "--format", "json"]).unwrap();
    for field in [r#""side":null"#, r#""log_return":"-0.0125""#, r#""horizon_s":604800"#, r#""height":7654321"#] {
        assert!(json.contains(field), "{field}: {json}");
    }
    let why = show(dir.path(), &["why", "eurusd", &minute(1).to_string()]).unwrap();
    assert!(why.contains("forecast EURUSD -0.0125 over 168 h") && why.contains("AB12 at height 7654321"), "{why}");
}

#[tokio::test]
async fn the_receipt_of_the_other_kind_is_refused_and_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = forecast(1);
    node.write(vec![JournalWrite::Plan(Box::new(intent.clone())), step(&intent, IntentEvent::Send)]).await;
    let written = node.write(vec![step(&intent, acked())]).await;
    assert!(matches!(&written[..], [Written::Refused(_)]), "{written:?}");
    drop(node);
    assert_eq!(intents(dir.path()), [Intent { state: IntentState::Sent, ..intent }]);
    let node = open(dir.path());
    node.write(vec![plan(2), advance(2, IntentEvent::Send)]).await;
    let order = node.write(vec![advance(2, included())]).await;
    assert!(matches!(&order[..], [Written::Refused(_)]), "{order:?}");
}

#[tokio::test]
async fn a_forecast_that_turns_up_later_is_shown_as_confirmed_later() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = forecast(5);
    let plan = JournalWrite::Plan(Box::new(intent.clone()));
    let mut row = ended(5, Reason::ForecastUnknown);
    row.intents = vec![intent.key.clone()];
    node.write(vec![plan, step(&intent, IntentEvent::Send), step(&intent, lost()), end(row)]).await;
    let why = || show(dir.path(), &["why", "eurusd", &minute(5).to_string()]).unwrap();
    assert!(!why().contains("later confirmed"), "{}", why());
    node.write(vec![step(&intent, included())]).await;
    assert!(why().contains("it acted, later confirmed"), "{}", why());
}

fn noted(of: &Intent, fact: Fact) -> JournalWrite {
    step(of, IntentEvent::Noted { fact })
}

fn stored() -> Fact {
    Fact::Stored { value: "-0.0125".into(), evidence: "seen in its window".into(), inclusions: Some(7) }
}

async fn awaiting(node: &Node, account: &str) -> Vec<(IntentKey, Option<Awaits>)> {
    let query = JournalRead::AwaitingIntents { pipeline: "eurusd".into(), account: account.into(), limit: 10 };
    let JournalAnswer::Intents(intents) = node.journal.read(query).await.unwrap() else { panic!("no intents") };
    intents.into_iter().map(|intent| (intent.key, intent.awaits)).collect()
}

#[tokio::test]
async fn what_the_ledger_says_later_stands_on_the_intent_and_ends_what_is_awaited() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let live = Intent { mode: Mode::Live, ..forecast(1) };
    let dry = forecast(2);
    for intent in [&live, &dry] {
        let plan = JournalWrite::Plan(Box::new(intent.clone()));
        node.write(vec![plan, step(intent, IntentEvent::Send), step(intent, included())]).await;
    }
    let account = live.account.clone();
    assert_eq!(awaiting(&node, &account).await, [(live.key.clone(), Some(Awaits::Admission))], "paper says no more");
    assert_eq!(awaiting(&node, "another").await, []);
    let steps = vec![noted(&live, Fact::Admitted), noted(&live, Fact::Admitted), noted(&live, stored())];
    assert_eq!(node.write(steps).await, [Written::Done, Written::Done, Written::Done]);
    assert_eq!(awaiting(&node, &account).await, [(live.key.clone(), Some(Awaits::Score))]);
    let early = node.write(vec![noted(&live, Fact::Evicted { evidence: "late".into() })]).await;
    assert!(matches!(early[..], [Written::Refused(_)]), "{early:?}");
    node.write(vec![noted(&live, Fact::Scored { score: "0.5".into() })]).await;
    assert_eq!(awaiting(&node, &account).await, []);
    drop(node);
    let node = open(dir.path()); // its events lead to where it stands
    assert_eq!(awaiting(&node, &account).await, []);
    let facts: Vec<Fact> = JournalReader::open(dir.path())
        .unwrap()
        .steps(&live.key)
        .unwrap()
        .into_iter()
        .filter_map(|step| match step.record.event? {
            IntentEvent::Noted { fact } => Some(fact),
            _ => None,
        })
        .collect();
    assert_eq!(facts, [Fact::Admitted, stored(), Fact::Scored { score: "0.5".into() }], "each once");
}

#[tokio::test]
async fn a_fact_about_a_forecast_that_is_not_confirmed_is_refused() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let intent = Intent { mode: Mode::Live, ..forecast(1) };
    node.write(vec![JournalWrite::Plan(Box::new(intent.clone())), step(&intent, IntentEvent::Send)]).await;
    let refused = node.write(vec![noted(&intent, Fact::Admitted)]).await;
    assert!(matches!(refused[..], [Written::Refused(_)]), "{refused:?}");
}

#[tokio::test]
async fn the_time_that_a_forecast_counts_from_stands_in_its_row() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let mut record = ended(1, Reason::ForecastAcked);
    record.anchor = Some(minute(1));
    node.write(vec![end(record)]).await;
    let row = JournalReader::open(dir.path()).unwrap().slot("eurusd", minute(1)).unwrap().unwrap();
    assert_eq!(row.record.anchor, Some(minute(1)));
}

#[tokio::test]
async fn what_awaits_only_its_score_comes_after_what_awaits_its_window() {
    let dir = TempDir::new().unwrap();
    let node = open(dir.path());
    let live = |n| Intent { mode: Mode::Live, ..forecast(n) };
    for intent in [live(1), live(2)] {
        let plan = JournalWrite::Plan(Box::new(intent.clone()));
        node.write(vec![plan, step(&intent, IntentEvent::Send), step(&intent, included())]).await;
    }
    node.write(vec![noted(&live(1), stored())]).await;
    let account = live(1).account;
    let expected = [(live(2).key, Some(Awaits::Admission)), (live(1).key, Some(Awaits::Score))];
    assert_eq!(awaiting(&node, &account).await, expected);
}
