//! What leaves while a halt stands, and that only an operator ends one.

use std::sync::Arc;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::decision::{DecideOn, OnOpposite};
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::halt::{Halt, HaltId, Lifted, NewHalt, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::intent::IntentState;
use sentinel_actors::domain::order::{Fill, Role, Ticket};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::halts::Halts;
use sentinel_actors::ports::{KillSwitch, Submission, Written};

use crate::harness::{HOUR, World};
use crate::test_pipeline::{TestPipeline, settings};

const SELL: [f64; 3] = [0.7, 0.2, 0.1];

/// As the journal raises one.
pub fn raise(halted: &mut Vec<Halt>, new: NewHalt) -> Halt {
    if let Some(halt) = halted.iter().find(|halt| halt.raised.request == new.request) {
        return halt.clone();
    }
    let halt = Halt { id: HaltId(u32::try_from(halted.len()).unwrap() + 1), raised: new, lifted: None };
    halted.push(halt.clone());
    halt
}

pub fn lift(halted: &mut [Halt], id: HaltId, lifted: Lifted) -> Written {
    match halted.iter_mut().find(|halt| halt.id == id) {
        None => Written::Refused(format!("there is no {id}")),
        Some(halt) => {
            halt.lifted.get_or_insert(lifted);
            Written::Halt(Box::new(halt.clone()))
        }
    }
}

impl KillSwitch for World {
    fn thrown(&self) -> Option<NewHalt> {
        self.lock().switch.clone()
    }
}

pub fn new(state: TradingState) -> NewHalt {
    NewHalt {
        request: format!("test {state}"),
        scope: Scope::All,
        state,
        by: RaisedBy::Operator,
        who: "uid 0".to_owned(),
        why: "a look at the gateway".to_owned(),
        evidence: String::new(),
        since: UtcMs(0),
    }
}

fn lifted(request: &str) -> Lifted {
    Lifted { request: request.to_owned(), who: "uid 0".to_owned(), why: String::new(), at: UtcMs(0) }
}

fn reversing() -> TestPipeline {
    let mut settings = settings();
    settings.policy.on_opposite = OnOpposite::Reverse;
    settings
}

fn forecasting() -> TestPipeline {
    let mut settings = settings();
    settings.forecasts = Some(ForecastPolicy { horizon: 168 * HOUR, max_abs: 1.5, decide_on: DecideOn::Bar });
    settings
}

fn with_switch(world: World) -> World {
    let switch: Arc<dyn KillSwitch> = Arc::new(world.clone());
    world.with(|inner| inner.halts = Arc::new(Halts::new(Vec::new(), switch)))
}

/// A new process reads what the journal has.
fn restart(world: &World) {
    let switch: Arc<dyn KillSwitch> = Arc::new(world.clone());
    let mut inner = world.lock();
    inner.halts = Arc::new(Halts::new(inner.halted.clone(), switch));
}

fn roles(world: &World) -> Vec<bool> {
    world.lock().left.iter().map(|(order, ..)| order.role == Role::Open).collect()
}

#[tokio::test(start_paused = true)]
async fn while_a_halt_stands_nothing_is_planned_and_each_row_names_it() {
    for forecasts in [false, true] {
        let world = World::new().with(|inner| {
            inner.halts.propose(new(TradingState::Halted));
            inner.answer = if forecasts { Ok(vec![0.01]) } else { inner.answer.clone() };
        });
        let _node = world.run(if forecasts { forecasting() } else { settings() }, 3 * HOUR).await;
        assert_eq!((world.reasons(), world.left()), (vec![Reason::Halted; 3], 0));
        let inner = world.lock();
        assert!(inner.intents.is_empty() && inner.forecasts.is_empty());
        for row in inner.rows.values() {
            assert!(row.detail.starts_with("halt-1: all pipelines is halted since"), "{}", row.detail);
            assert!(row.detail.ends_with("by uid 0: a look at the gateway") && row.model.is_some(), "{}", row.detail);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn while_reducing_a_position_is_closed_and_none_opened_and_while_halted_neither() {
    for state in [TradingState::Reducing, TradingState::Halted] {
        let world = World::new();
        let node = world.run(reversing(), HOUR).await;
        {
            let mut inner = world.lock();
            inner.answer = Ok(SELL.to_vec());
            inner.halts.propose(new(state));
        }
        tokio::time::sleep(HOUR).await;
        let closed = state == TradingState::Reducing;
        assert_eq!(roles(&world), if closed { vec![true, false] } else { vec![true] });
        assert_eq!(world.reasons()[1], if closed { Reason::OrderAcked } else { Reason::Halted });
        let halt = node.journal.lift(HaltId(1), lifted("1")).await.unwrap().unwrap();
        world.lock().halts.record(halt);
        tokio::time::sleep(HOUR).await;
        assert!(world.left() > roles(&world).iter().filter(|opens| !**opens).count(), "it opens again");
        assert_eq!(world.reasons()[2], Reason::OrderAcked);
    }
}

/// It was not there when the order was weighed, and was when it was to leave.
#[tokio::test(start_paused = true)]
async fn a_switch_that_is_thrown_at_the_last_moment_still_keeps_the_effect_here() {
    let world = with_switch(World::new()).with(|inner| {
        inner.thrown_after_send = Some(new(TradingState::Halted));
    });
    let node = world.run(settings(), HOUR).await;
    assert_eq!((world.reasons(), world.left()), (vec![Reason::OrderNeverLeft], 0));
    assert_eq!(world.states(), [IntentState::Absent]);
    assert!(world.lock().rows.values().all(|row| row.detail.contains("halted: halt-1: ")));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn a_switch_is_recorded_within_a_second_once_and_counts_after_it_is_taken_away() {
    let world = with_switch(World::new());
    let node = world.start(settings()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.lock().switch = Some(new(TradingState::Halted));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(world.lock().halted.len(), 1, "before any effect");
    world.lock().switch = None;
    tokio::time::sleep(2 * HOUR).await;
    assert_eq!((world.reasons(), world.lock().halted.len()), (vec![Reason::Halted; 2], 1));
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn the_third_lasting_refusal_raises_a_halt_that_a_restart_does_not_lift() {
    let refusal = || Submission::Rejected { code: Some(1), text: "not registered".to_owned(), lasting: true };
    let world = World::new().with(|inner| {
        inner.answer = Ok(vec![0.01]);
        inner.replies = (0..4).map(|_| refusal()).collect();
    });
    let node = world.run(forecasting(), 4 * HOUR).await;
    assert_eq!(world.reasons()[2..], [Reason::ForecastRejected, Reason::Reducing]);
    let halt = world.lock().halted[0].clone();
    assert_eq!((halt.raised.state, halt.raised.by), (TradingState::Reducing, RaisedBy::Node));
    assert!(halt.raised.evidence.contains("not registered (1)"), "{halt:?}");
    node.root.stop(None);
    node.ended.await.unwrap();
    restart(&world);
    let node = world.run(forecasting(), 2 * HOUR).await;
    assert!(world.reasons()[4..].iter().all(|reason| *reason == Reason::Reducing), "{:?}", world.reasons());
    let halt = node.journal.lift(halt.id, lifted("1")).await.unwrap().unwrap();
    world.lock().halts.record(halt);
    tokio::time::sleep(2 * HOUR).await;
    let last = world.reasons().pop();
    assert_eq!((last, world.lock().forecasts.len()), (Some(Reason::ForecastAcked), 5), "one more refusal is no row");
}

#[tokio::test(start_paused = true)]
async fn closes_that_are_refused_for_hours_raise_no_halt_beside_the_one_that_stands() {
    let world = World::new();
    let _node = world.run(reversing(), HOUR).await;
    {
        let mut inner = world.lock();
        inner.answer = Ok(SELL.to_vec());
        inner.halts.propose(new(TradingState::Reducing));
        let refusal = || Submission::Rejected { code: Some(1), text: "it cannot close".to_owned(), lasting: true };
        inner.replies = (0..7).map(|_| refusal()).collect();
    }
    tokio::time::sleep(7 * HOUR).await;
    let refused = world.reasons().into_iter().filter(|reason| *reason == Reason::OrderRejected).count();
    assert_eq!((refused, world.lock().halted.len()), (7, 1), "{:?}", world.reasons());
}

/// As a gateway does that only plays a terminal. Where it can be asked by the order's id, a late answer of another order looks the same.
#[tokio::test(start_paused = true)]
async fn a_ticket_that_another_order_has_halts_the_symbol_unless_it_can_be_asked_by_id() {
    for asks_by_id in [false, true] {
        let stub = || Fill { ticket: Ticket(12_345), volume_lots: Decimal::ONE, price: None, text: "done".to_owned() };
        let world = World::new().with(|inner| {
            inner.asks_by_id = asks_by_id;
            inner.replies = (0..2).map(|_| Submission::Acked(stub().into())).collect();
        });
        let _node = world.run(settings(), 3 * HOUR).await;
        let last = if asks_by_id { Reason::IntentOpen } else { Reason::Halted };
        assert_eq!(world.reasons(), [Reason::OrderAcked, Reason::OrderUnknown, last]);
        let inner = world.lock();
        let raised: Vec<_> = inner.halted.iter().map(|halt| &halt.raised).collect();
        if asks_by_id {
            assert!(raised.is_empty(), "{raised:?}");
            continue;
        }
        let of_symbol = Scope::Symbol { account: "account".to_owned(), symbol: "EURUSD".to_owned() };
        assert_eq!((raised.len(), &raised[0].scope, raised[0].state), (1, &of_symbol, TradingState::Halted));
        let seen = &raised[0].evidence;
        assert!(seen.contains("ticket 12345") && seen.contains("which belongs to the order"), "{seen}");
    }
}
