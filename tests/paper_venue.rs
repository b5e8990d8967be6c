//! The dry run's venue: one order per key, each position opened and closed at most once, whatever crashes in between.

#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise; clippy exempts the tests but not their helpers"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rust_decimal::Decimal;
use sentinel::venues::book::{BOOK_FILE, Book, BookError};
use sentinel::venues::book_reader::{BookPosition, BookReader, Realised};
use sentinel::venues::paper::{CODE_DOUBLE_SUBMIT, CODE_INVALID, CODE_NOT_OPEN, CloseReason, PaperVenue, Terms};
use sentinel_actors::domain::action::Receipt;
use sentinel_actors::domain::bar::{Bar, CleanBars, Interval};
use sentinel_actors::domain::intent::{Basis, Intent, IntentKey, IntentState, Mode};
use sentinel_actors::domain::order::{Fill, Order, Position, Role, Side, Ticket};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{
    BarObserver as _, Evidence, FaultInjector, FaultPoint, InjectedFault, NoFaults, PositionBook as _, Positions,
    Sink as _, Submission,
};

const SYMBOL: &str = "EURUSD";
const HOUR: i64 = 3_600_000;
const SOON: Duration = Duration::from_secs(30);

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn terms(account: &str) -> Terms {
    let interval = Interval::new(Duration::from_secs(3600)).unwrap();
    Terms {
        account: account.to_owned(),
        spread: d("0.0002"),
        contract_size: d("100000"),
        balance: d("10000"),
        interval,
    }
}

fn venue(dir: &Path) -> PaperVenue {
    PaperVenue::new(Book::open(&dir.join(BOOK_FILE)).unwrap(), terms("paper"), Arc::new(NoFaults), "eurusd/executor")
}

fn reader(dir: &Path) -> BookReader {
    BookReader::open(&dir.join(BOOK_FILE)).unwrap()
}

/// Two seconds after the hour, when decisions are made.
fn slot(hour: i64) -> UtcMs {
    UtcMs(hour * HOUR + 2000)
}

fn key(basis: i64, role: Role) -> IntentKey {
    IntentKey::derive(Mode::DryRun, "paper", "eurusd", Basis::Bar(UtcMs(basis)), role)
}

fn order(role: Role, side: Side, reference: &str) -> Order {
    let reference_price = d(reference);
    let (up, down) = (reference_price + d("0.0050"), reference_price - d("0.0050"));
    let (stop, target) = if side == Side::Buy { (down, up) } else { (up, down) };
    let levels = role == Role::Open;
    Order {
        role,
        symbol: SYMBOL.to_owned(),
        side,
        volume_lots: d("0.10"),
        stop_price: levels.then_some(stop),
        target_price: levels.then_some(target),
        reference_price,
    }
}

fn bars(bars: Vec<Bar>) -> CleanBars {
    CleanBars { bars, dropped: BTreeMap::new(), newest_delivered: None }
}

fn bar(hour: i64, open: f64, high: f64, low: f64) -> Bar {
    Bar { time: UtcMs(hour * HOUR), open, high, low, close: open, volume: None }
}

trait TakesOrders {
    async fn order(&self, key: &IntentKey, order: &Order, now: UtcMs) -> Submission;
}

impl TakesOrders for PaperVenue {
    async fn order(&self, key: &IntentKey, order: &Order, now: UtcMs) -> Submission {
        self.submit(&intent(key, order, now), SOON, &|| true).await
    }
}

fn acked(submission: Submission) -> Fill {
    match submission {
        Submission::Acked(Receipt::Fill(fill)) => fill,
        other => panic!("not acked: {other:?}"),
    }
}

fn refused(submission: &Submission) -> i64 {
    match submission {
        Submission::Rejected { code: Some(code), .. } => *code,
        other => panic!("not refused: {other:?}"),
    }
}

fn intent(key: &IntentKey, order: &Order, slot: UtcMs) -> Intent {
    Intent {
        key: key.clone(),
        mode: Mode::DryRun,
        account: "paper".to_owned(),
        pipeline: "eurusd".to_owned(),
        slot,
        announced_as: None,
        basis: Basis::Bar(UtcMs(9 * HOUR)),
        action: order.clone().into(),
        state: IntentState::Unknown,
        receipt: None,
        awaits: None,
        grade: None,
        listed: None,
        venue_note: None,
    }
}

async fn settle(venue: &PaperVenue, key: &IntentKey, order: &Order) -> Evidence {
    venue.settle(&intent(key, order, slot(10)), SOON).await
}

async fn open(venue: &PaperVenue, symbol: &str) -> Vec<Position> {
    open_at(venue, symbol, UtcMs(i64::MAX)).await
}

async fn open_at(venue: &PaperVenue, symbol: &str, slot: UtcMs) -> Vec<Position> {
    match venue.positions(symbol, slot, SOON).await.unwrap() {
        Positions::Reported(positions) => positions,
        other => panic!("the paper book always knows: {other:?}"),
    }
}

#[tokio::test]
async fn an_order_pays_half_the_spread_on_the_way_in_and_on_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    let opened = acked(venue.order(&key(9, Role::Open), &order(Role::Open, Side::Buy, "1.1000"), slot(10)).await);
    assert_eq!((opened.ticket, opened.price), (Ticket(1), Some(d("1.1001"))));
    assert_eq!(opened.text, "paper fill: open buy 0.10 EURUSD at 1.1001");

    let positions = open(&venue, SYMBOL).await;
    assert_eq!((positions.len(), positions[0].open_price, positions[0].opened_at), (1, d("1.1001"), Some(slot(10))));

    let role = Role::Close(opened.ticket);
    let closed = acked(venue.order(&key(14, role), &order(role, Side::Sell, "1.1030"), slot(15)).await);
    assert_eq!(closed.price, Some(d("1.1029")));
    assert_eq!(open(&venue, SYMBOL).await, []);

    let closing = reader(dir.path()).positions().unwrap().remove(0).closing.unwrap();
    assert_eq!((closing.reason, closing.key, closing.profit), (CloseReason::Order, Some(key(14, role)), d("28")));
}

#[tokio::test]
async fn a_key_that_comes_twice_is_refused_loudly_and_counted_even_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (key, order) = (key(9, Role::Open), order(Role::Open, Side::Sell, "1.1000"));
    acked(venue(dir.path()).order(&key, &order, slot(10)).await);
    assert_eq!(reader(dir.path()).double_submits().unwrap(), 0);
    for count in 1..=2 {
        let again = venue(dir.path()).order(&key, &order, slot(10)).await;
        assert_eq!(refused(&again), CODE_DOUBLE_SUBMIT);
        assert_eq!(reader(dir.path()).double_submits().unwrap(), count);
    }
    assert_eq!(reader(dir.path()).orders().unwrap().len(), 1);
}

#[tokio::test]
async fn asking_about_a_key_is_definitive_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    let (key, order) = (key(9, Role::Open), order(Role::Open, Side::Buy, "1.1000"));
    assert!(matches!(settle(&venue, &key, &order).await, Evidence::Absent(_)));
    let receipt = acked(venue.order(&key, &order, slot(10)).await);
    assert_eq!(settle(&venue, &key, &order).await, Evidence::Found(receipt.clone().into()));
    assert_eq!(settle(&venue, &key, &order).await, Evidence::Found(receipt.into()));
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_and_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    let good = order(Role::Open, Side::Buy, "1.1000");
    let close = |ticket, side| order(Role::Close(ticket), side, "1.1000");
    let submit = |basis: i64, order: Order| {
        let venue = &venue;
        async move { refused(&venue.order(&key(basis, order.role), &order, slot(10)).await) }
    };
    assert_eq!(submit(1, Order { volume_lots: Decimal::ZERO, ..good.clone() }).await, CODE_INVALID);
    assert_eq!(submit(2, Order { stop_price: Some(d("1.2")), ..good.clone() }).await, CODE_INVALID);
    assert_eq!(submit(3, Order { target_price: Some(d("1.0")), ..good.clone() }).await, CODE_INVALID);
    assert_eq!(submit(4, close(Ticket(1), Side::Sell)).await, CODE_NOT_OPEN);

    let ticket = acked(venue.order(&key(9, Role::Open), &good, slot(10)).await).ticket;
    assert_eq!(submit(5, close(ticket, Side::Buy)).await, CODE_INVALID);
    assert_eq!(submit(6, Order { volume_lots: d("0.05"), ..close(ticket, Side::Sell) }).await, CODE_INVALID);
    acked(venue.order(&key(10, Role::Close(ticket)), &close(ticket, Side::Sell), slot(11)).await);
    assert_eq!(submit(7, close(ticket, Side::Sell)).await, CODE_NOT_OPEN);
    assert_eq!(reader(dir.path()).orders().unwrap().len(), 2);
}

#[tokio::test]
async fn bars_from_before_a_position_never_close_it() {
    let dir = tempfile::tempdir().unwrap();
    let crash = bars(vec![bar(7, 1.1, 1.2, 1.0), bar(8, 1.1, 1.2, 1.0), bar(9, 1.1, 1.2, 1.0)]);
    acked(venue(dir.path()).order(&key(9, Role::Open), &order(Role::Open, Side::Buy, "1.1000"), slot(10)).await);
    for _ in 0..2 {
        let venue = venue(dir.path());
        venue.observe(SYMBOL, &crash).await.unwrap();
        assert_eq!(open(&venue, SYMBOL).await.len(), 1);
    }
    let venue = venue(dir.path());
    let all = crash.bars.into_iter().chain([bar(10, 1.1, 1.101, 1.094)]).collect();
    venue.observe(SYMBOL, &bars(all)).await.unwrap();
    let closing = reader(dir.path()).positions().unwrap().remove(0).closing.unwrap();
    assert_eq!((closing.reason, closing.price, closing.at), (CloseReason::Stop, d("1.0950"), UtcMs(11 * HOUR)));
}

/// A replay that was killed repeats slots whose rows were lost, and the book has seen the bars of all of them.
#[tokio::test]
async fn a_position_is_open_at_each_slot_before_the_bar_that_ended_it() {
    let dir = tempfile::tempdir().unwrap();
    let before = venue(dir.path());
    acked(before.order(&key(9, Role::Open), &order(Role::Open, Side::Buy, "1.1000"), slot(10)).await);
    before.observe(SYMBOL, &bars(vec![bar(12, 1.1, 1.2, 1.1)])).await.unwrap();
    let check = async |venue: &PaperVenue| {
        for (at, still_open) in [(slot(11), 1), (slot(12), 1), (slot(13), 0), (slot(14), 0)] {
            assert_eq!(open_at(venue, SYMBOL, at).await.len(), still_open, "at {at}");
        }
    };
    check(&before).await;
    drop(before);
    check(&venue(dir.path())).await;
}

#[tokio::test]
async fn accounts_and_symbols_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let book = Book::open(&dir.path().join(BOOK_FILE)).unwrap();
    let [one, other] =
        ["one", "other"].map(|account| PaperVenue::new(book.clone(), terms(account), Arc::new(NoFaults), "x"));
    let ticket = acked(one.order(&key(9, Role::Open), &order(Role::Open, Side::Buy, "1.1"), slot(10)).await).ticket;
    assert_eq!(open(&other, SYMBOL).await, []);
    assert_eq!(open(&one, "GBPUSD").await, []);
    other.observe(SYMBOL, &bars(vec![bar(10, 1.0, 1.0, 1.0)])).await.unwrap();
    one.observe("GBPUSD", &bars(vec![bar(10, 1.0, 1.0, 1.0)])).await.unwrap();
    let close = order(Role::Close(ticket), Side::Sell, "1.1");
    assert_eq!(refused(&other.order(&key(10, close.role), &close, slot(11)).await), CODE_NOT_OPEN);
    assert_eq!(open(&one, SYMBOL).await.len(), 1);
}

struct DieAt(FaultPoint);

impl FaultInjector for DieAt {
    fn at(&self, place: FaultPoint, who: &str) -> InjectedFault {
        if place == self.0 && who == "eurusd/executor" { InjectedFault::Panic } else { InjectedFault::None }
    }
}

#[tokio::test]
async fn a_death_around_the_write_leaves_the_whole_order_or_nothing() {
    for (place, found) in [(FaultPoint::BeforeBookWrite, false), (FaultPoint::AfterBookWrite, true)] {
        let dir = tempfile::tempdir().unwrap();
        let (key, order) = (key(9, Role::Open), order(Role::Open, Side::Buy, "1.1000"));
        let book = Book::open(&dir.path().join(BOOK_FILE)).unwrap();
        let dying = PaperVenue::new(book, terms("paper"), Arc::new(DieAt(place)), "eurusd/executor");
        let (asked_key, asked_order) = (key.clone(), order.clone());
        let mut tasks = tokio::task::JoinSet::new();
        tasks.spawn(async move { dying.order(&asked_key, &asked_order, slot(10)).await });
        assert!(tasks.join_next().await.unwrap().unwrap_err().is_panic());

        let venue = venue(dir.path());
        let evidence = settle(&venue, &key, &order).await;
        assert_eq!(matches!(evidence, Evidence::Found(_)), found, "{evidence:?}");
        assert_eq!(open(&venue, SYMBOL).await.len(), usize::from(found));
    }
}

#[tokio::test]
async fn an_asker_that_gave_up_learns_the_truth_by_asking_again() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    for basis in 0..20 {
        let (key, order) = (key(basis, Role::Open), order(Role::Open, Side::Buy, "1.1000"));
        let first = venue.submit(&intent(&key, &order, slot(10)), Duration::ZERO, &|| true).await;
        let evidence = settle(&venue, &key, &order).await;
        match (first, evidence) {
            (Submission::Acked(receipt), Evidence::Found(Receipt::Fill(found))) => assert_eq!(receipt, found.into()),
            (Submission::Unknown(_), Evidence::Found(_) | Evidence::Absent(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_of_another_kind_is_no_book() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(BOOK_FILE);
    std::fs::write(&path, "a".repeat(8192)).unwrap();
    assert!(matches!(Book::open(&path).err(), Some(BookError::Database(_))));
    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().pragma_update(None, "user_version", 7).unwrap();
    assert!(matches!(Book::open(&other).err(), Some(BookError::NotABook)));
    assert!(BookReader::open(&dir.path().join("none.db")).is_err());
}

#[derive(Debug, Clone)]
enum Step {
    Open(bool),
    /// Closes the nth open position, if there is one.
    Close(usize),
    /// Submits the nth key again.
    Again(usize),
    /// A bar goes by: open, and how far it reaches up and down, in tenths of a pip.
    Bar(i32, i32, i32),
    /// The process dies and starts again; the source shows everything from the beginning.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Open),
        1 => any::<usize>().prop_map(Step::Close),
        1 => any::<usize>().prop_map(Step::Again),
        5 => (-400..400i32, 0..400i32, 0..400i32).prop_map(|(open, up, down)| Step::Bar(open, up, down)),
        1 => Just(Step::Crash),
    ]
}

/// What a run of steps should leave behind, and the bars that it saw.
#[derive(Default)]
struct Played {
    keys: Vec<(IntentKey, Order)>,
    doubles: u64,
    bars: Vec<Bar>,
}

async fn play(dir: &Path, steps: &[Step], with_crashes: bool) -> Played {
    let mut venue = venue(dir);
    let mut played = Played { bars: vec![bar(9, 1.1, 1.1, 1.1)], ..Played::default() };
    for (index, step) in steps.iter().enumerate() {
        let newest = *played.bars.last().unwrap();
        let now = UtcMs(newest.time.0 + HOUR + 2000);
        let price = newest.close.to_string();
        match step {
            Step::Open(buy) => {
                let side = if *buy { Side::Buy } else { Side::Sell };
                let (key, order) = (key(index as i64, Role::Open), order(Role::Open, side, &price));
                acked(venue.order(&key, &order, now).await);
                played.keys.push((key, order));
            }
            Step::Close(nth) => {
                let positions = open(&venue, SYMBOL).await;
                let Some(position) = positions.get(nth % positions.len().max(1)) else { continue };
                let role = Role::Close(position.ticket);
                let (key, order) = (key(index as i64, role), order(role, position.side.opposite(), &price));
                acked(venue.order(&key, &order, now).await);
                played.keys.push((key, order));
            }
            Step::Again(nth) => {
                let Some((key, order)) = played.keys.get(nth % played.keys.len().max(1)) else { continue };
                assert_eq!(refused(&venue.order(key, order, now).await), CODE_DOUBLE_SUBMIT);
                played.doubles += 1;
            }
            Step::Bar(open, up, down) => {
                let price = |tenths: i32| f64::from(110_000 + tenths) / 100_000.0;
                let next = bar(newest.time.0 / HOUR + 1, price(*open), price(open + up), price(open - down));
                played.bars.push(next);
                venue.observe(SYMBOL, &bars(played.bars.clone())).await.unwrap();
            }
            Step::Crash if with_crashes => {
                drop(venue);
                venue = self::venue(dir);
                for end in 0..=played.bars.len() {
                    venue.observe(SYMBOL, &bars(played.bars[..end].to_vec())).await.unwrap();
                }
            }
            Step::Crash => {}
        }
    }
    played
}

/// The first bar that ends a position, found the slow way.
fn expected_exit(position: &BookPosition, bars: &[Bar]) -> Option<(UtcMs, CloseReason)> {
    let half = d("0.0001");
    let quote = |mid: f64| {
        let mid: Decimal = mid.to_string().parse().unwrap();
        if position.side == Side::Buy { mid - half } else { half + mid }
    };
    let sign = if position.side == Side::Buy { Decimal::ONE } else { -Decimal::ONE };
    let (stop, target) = (position.stop.unwrap() * sign, position.target.unwrap() * sign);
    let close_of = |bar: &Bar| UtcMs(bar.time.0 + HOUR);
    bars.iter().filter(|bar| close_of(bar) > position.opened_at).find_map(|bar| {
        let open = quote(bar.open) * sign;
        let touched = [quote(bar.high) * sign, quote(bar.low) * sign];
        if open >= target {
            Some((close_of(bar), CloseReason::Target))
        } else if touched.iter().any(|price| *price <= stop) {
            Some((close_of(bar), CloseReason::Stop))
        } else if touched.iter().any(|price| *price >= target) {
            Some((close_of(bar), CloseReason::Target))
        } else {
            None
        }
    })
}

fn check_book(dir: &Path, played: &Played) {
    let book = reader(dir);
    let (orders, positions) = (book.orders().unwrap(), book.positions().unwrap());
    let keys: BTreeSet<_> = orders.iter().map(|order| &order.key).collect();
    assert_eq!((orders.len(), keys.len()), (played.keys.len(), played.keys.len()), "one order per key");
    assert_eq!(orders.iter().filter(|order| order.opens).count(), positions.len(), "one opening per position");
    assert_eq!(book.double_submits().unwrap(), played.doubles);

    let mut sum = Realised::default();
    for position in &positions {
        let expected = expected_exit(position, &played.bars);
        let closes = orders.iter().filter(|order| !order.opens && order.ticket == position.ticket).count();
        let Some(closing) = &position.closing else {
            assert_eq!((expected, closes), (None, 0), "{position:?}");
            continue;
        };
        if closing.reason == CloseReason::Order {
            assert_eq!(closes, 1);
            assert!(expected.is_none_or(|(at, _)| at > closing.at), "{position:?} should have ended at {expected:?}");
        } else {
            assert_eq!((closes, expected), (0, Some((closing.at, closing.reason))), "{position:?}");
        }
        let sign = if position.side == Side::Buy { Decimal::ONE } else { -Decimal::ONE };
        assert_eq!(closing.profit, (closing.price - position.open_price) * sign * d("10000"));
        sum.closed += 1;
        sum.won += u64::from(closing.profit > Decimal::ZERO);
        sum.profit += closing.profit;
    }
    for boundary in [UtcMs(0), slot(12), UtcMs(i64::MAX)] {
        let (before, after) = book.realised(boundary).unwrap();
        assert_eq!((before.closed + after.closed, before.won + after.won), (sum.closed, sum.won));
        assert_eq!(before.profit + after.profit, sum.profit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_each_key_is_filled_once_and_a_crash_changes_nothing(
        steps in prop::collection::vec(step(), 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (crashed, calm) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let played = runtime.block_on(play(crashed.path(), &steps, true));
        check_book(crashed.path(), &played);
        runtime.block_on(play(calm.path(), &steps, false));
        prop_assert_eq!(reader(crashed.path()).positions().unwrap(), reader(calm.path()).positions().unwrap());
    }
}

/// A buy at 1.1000 is filled at 1.1001 and sold at the bid, one ten-thousandth below the mid price.
#[tokio::test]
async fn the_paper_account_has_what_it_began_with_and_earned_and_its_equity_follows_the_price() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    let money = async |hour| {
        let reading = venue.account_reading(slot(hour), SOON).await.unwrap().unwrap();
        (reading.balance, reading.equity, reading.open.len())
    };
    assert_eq!(money(9).await, (d("10000"), d("10000"), 0));
    let opened =
        acked(venue.order(&key(9 * HOUR, Role::Open), &order(Role::Open, Side::Buy, "1.1000"), slot(10)).await);
    let error = venue.account_reading(slot(10), SOON).await.unwrap_err();
    assert!(error.0.contains("no price of EURUSD"), "{error}");
    venue.observe(SYMBOL, &bars(vec![bar(10, 1.1010, 1.1012, 1.1008)])).await.unwrap();
    assert_eq!(money(11).await, (d("10000"), d("10008"), 1));
    let close = order(Role::Close(opened.ticket), Side::Sell, "1.1010");
    acked(venue.order(&key(10 * HOUR, Role::Close(opened.ticket)), &close, slot(11)).await);
    assert_eq!(money(11).await, (d("10008"), d("10008"), 0));
}

/// A replay that was killed asks about a slot before the bar that ended the position.
#[tokio::test]
async fn the_paper_account_is_told_as_a_replay_has_got_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let venue = venue(dir.path());
    acked(venue.order(&key(9 * HOUR, Role::Open), &order(Role::Open, Side::Buy, "1.1000"), slot(10)).await);
    venue.observe(SYMBOL, &bars(vec![bar(11, 1.0900, 1.0900, 1.0900)])).await.unwrap();
    let money = async |hour| venue.account_reading(slot(hour), SOON).await.unwrap().unwrap();
    assert_eq!((money(12).await.open.len(), money(12).await.balance < d("10000")), (0, true));
    assert_eq!((money(11).await.open.len(), money(11).await.balance), (1, d("10000")));
}
