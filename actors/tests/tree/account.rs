//! The account's money: what it may lose, and what explains its balance.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::{AccountReading, CoolDown};
use sentinel_actors::domain::halt::{HaltId, Lifted, Scope, TradingState};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::VenueError;

use crate::harness::{HOUR, World};
use crate::test_pipeline::{TestPipeline, settings};

const SELL: [f64; 3] = [0.7, 0.2, 0.1];
const BUY: [f64; 3] = [0.1, 0.2, 0.7];

fn money(balance: i64, equity: i64) -> Option<Result<AccountReading, VenueError>> {
    Some(Ok(AccountReading { balance: balance.into(), equity: equity.into(), open: Vec::new() }))
}

fn world() -> World {
    World::new().with(|inner| inner.account = money(1_000, 1_000))
}

fn with_loss(limit: i64) -> TestPipeline {
    let mut settings = settings();
    settings.risk.account.max_daily_loss = Some(Decimal::from(limit));
    settings
}

/// Says what the account has and what the model answers in the next slot.
async fn next(world: &World, balance: i64, equity: i64, answer: [f64; 3]) -> Reason {
    {
        let mut inner = world.lock();
        (inner.account, inner.answer) = (money(balance, equity), Ok(answer.to_vec()));
    }
    tokio::time::sleep(HOUR).await;
    world.reasons().pop().unwrap()
}

fn opened(world: &World) -> usize {
    world.lock().left.iter().filter(|(order, ..)| order.role == Role::Open).count()
}

#[tokio::test(start_paused = true)]
async fn a_loss_of_the_day_lets_only_closes_leave_until_its_halt_is_lifted() {
    let world = world();
    let node = world.run(with_loss(50), HOUR).await;
    assert_eq!((world.reasons(), opened(&world)), (vec![Reason::OrderAcked], 1));
    assert_eq!(next(&world, 1_000, 950, BUY).await, Reason::Reducing);
    {
        let inner = world.lock();
        let [halt] = &inner.halted[..] else { panic!("{:?}", inner.halted) };
        assert_eq!(halt.raised.scope, Scope::Account { account: "account".to_owned() });
        assert!(halt.raised.why.contains("from 1000 to 950"), "{}", halt.raised.why);
        let detail = &inner.rows.values().next_back().unwrap().detail;
        assert!(detail.contains("halt-1: the account account is reducing"), "{detail}");
    }
    next(&world, 1_000, 940, SELL).await;
    let closes = world.lock().left.iter().filter(|(order, ..)| order.role != Role::Open).count();
    assert_eq!((closes, opened(&world)), (1, 1), "the position was closed, and none opened");
    assert_eq!(next(&world, 940, 940, SELL).await, Reason::Reducing);
    let lifted = Lifted { request: "1".to_owned(), who: "uid 0".to_owned(), why: String::new(), at: UtcMs(0) };
    let halt = node.journal.lift(HaltId(1), lifted).await.unwrap().unwrap();
    world.lock().halts.record(halt);
    assert_eq!(next(&world, 940, 940, SELL).await, Reason::OrderAcked, "the loss was accepted");
    let inner = world.lock();
    assert_eq!(inner.baselines.as_ref().unwrap().day_equity, Decimal::from(940));
    assert_eq!(inner.halted.len(), 1, "the same breach raised one halt");
}

#[tokio::test(start_paused = true)]
async fn an_account_that_cannot_be_read_keeps_new_exposure_here_and_lets_a_close_go() {
    let world = world();
    let _node = world.run(with_loss(50), HOUR).await;
    {
        let mut inner = world.lock();
        inner.account = Some(Err(VenueError("no reply".to_owned())));
        inner.answer = Ok(SELL.to_vec());
    }
    tokio::time::sleep(HOUR).await;
    let roles: Vec<bool> = world.lock().left.iter().map(|(order, ..)| order.role == Role::Open).collect();
    assert_eq!(roles, [true, false]);
    tokio::time::sleep(HOUR).await;
    assert_eq!((world.reasons().pop(), opened(&world)), (Some(Reason::VenueUnavailable), 1));
    let inner = world.lock();
    let detail = &inner.rows.values().next_back().unwrap().detail;
    assert!(detail.contains("the account cannot be read") && detail.contains("no reply"), "{detail}");
    assert!(inner.halted.is_empty());
}

#[tokio::test(start_paused = true)]
async fn losing_trades_in_a_row_pause_new_exposure_without_a_halt_and_by_themselves_it_ends() {
    let world = world();
    let mut settings = settings();
    let cool_down = CoolDown { after_losses: 2, lasts: HOUR * 2 - Duration::from_secs(60) };
    settings.risk.account.cool_down = Some(cool_down);
    let _node = world.run(settings, HOUR).await;
    assert_eq!(next(&world, 1_000, 1_000, SELL).await, Reason::OrderAcked, "closed and opened");
    let before = opened(&world);
    assert_eq!(next(&world, 990, 990, BUY).await, Reason::OrderAcked, "the first one lost");
    assert_eq!(opened(&world), before, "what was closed with it may be the second loss");
    // It is: nothing is opened.
    next(&world, 980, 980, SELL).await;
    assert_eq!(next(&world, 980, 980, SELL).await, Reason::RiskCoolDown);
    assert_eq!(opened(&world), before);
    {
        let inner = world.lock();
        let row = inner.rows.values().next_back().unwrap();
        assert!(row.detail.starts_with("until 2026-03-02T"), "{}", row.detail);
        assert!(inner.halted.is_empty());
    }
    assert_eq!(next(&world, 980, 980, SELL).await, Reason::OrderAcked);
}

#[tokio::test(start_paused = true)]
async fn a_balance_that_changes_by_another_hand_is_halted_without_any_limit_and_named() {
    let world = world();
    let _node = world.run(settings(), HOUR).await;
    assert_eq!(opened(&world), 1);
    // The order of the first slot may have cost something.
    assert_eq!(next(&world, 999, 999, BUY).await, Reason::OrderAcked);
    next(&world, 998, 998, [0.1, 0.8, 0.1]).await;
    assert!(world.lock().halted.is_empty(), "its own order explains it");
    next(&world, 998, 998, [0.1, 0.8, 0.1]).await;
    next(&world, 1_498, 1_498, [0.1, 0.8, 0.1]).await;
    next(&world, 1_498, 1_498, [0.1, 0.8, 0.1]).await;
    let inner = world.lock();
    let [halt] = &inner.halted[..] else { panic!("{:?}", inner.halted) };
    assert_eq!(halt.raised.state, TradingState::Reducing);
    for part in ["998", "1498", "no order of the node"] {
        assert!(halt.raised.why.contains(part), "{}", halt.raised.why);
    }
}
