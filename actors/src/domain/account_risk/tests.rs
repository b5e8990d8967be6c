use super::*;

const HOUR: i64 = 3_600_000;

fn at(text: &str) -> UtcMs {
    text.parse().unwrap()
}

fn monday(hours: i64) -> UtcMs {
    UtcMs(at("2026-07-06T12:00:00Z").0 + hours * HOUR)
}

fn reading(balance: i64, equity: i64, open: &[u64]) -> AccountReading {
    AccountReading {
        balance: balance.into(),
        equity: equity.into(),
        open: open.iter().map(|ticket| Ticket(*ticket)).collect(),
    }
}

fn limits() -> AccountLimits {
    AccountLimits {
        max_daily_loss: Some(50.into()),
        max_drawdown: Some(80.into()),
        cool_down: Some(CoolDown { after_losses: 2, lasts: Duration::from_secs(3_600) }),
        day: "America/New_York 17:00".parse().unwrap(),
    }
}

fn settled(steps: u64) -> OrderTrace {
    OrderTrace { steps, is_under_way: false }
}

/// An account that is read again and again, and its halts.
struct Account {
    mode: Mode,
    orders: OrderTrace,
    known: Option<AccountBaselines>,
    raised: Vec<NewHalt>,
    lifted: Vec<String>,
}

impl Account {
    fn new(mode: Mode) -> Self {
        Self { mode, orders: settled(0), known: None, raised: Vec::new(), lifted: Vec::new() }
    }

    fn read(&mut self, reading: &AccountReading, now: UtcMs) -> &AccountBaselines {
        let (before, after) = (self.orders, self.orders);
        let seen = Seen { mode: self.mode, account: "demo", reading, before, after, now };
        let stands = |request: &str| !self.lifted.iter().any(|lifted| lifted == request);
        let Follows { baselines, halt } = seen.follow(self.known.as_ref(), &limits(), stands);
        if let Some(halt) = halt {
            assert!(self.raised.iter().all(|raised| raised.request != halt.request), "a request is made once");
            self.raised.push(halt);
        }
        self.known.insert(baselines)
    }

    fn resume(&mut self) {
        self.lifted = self.raised.iter().map(|halt| halt.request.clone()).collect();
    }

    fn said(&self) -> Vec<&str> {
        self.raised.iter().map(|halt| halt.why.as_str()).collect()
    }
}

#[test]
fn a_loss_is_counted_from_the_beginning_of_the_day_and_from_the_peak() {
    let mut account = Account::new(Mode::DryRun);
    account.read(&reading(1_000, 1_000, &[]), monday(0));
    let top = account.read(&reading(1_000, 1_040, &[1]), monday(1));
    assert_eq!((top.day_equity, top.peak_equity), (1_000.into(), 1_040.into()));
    account.read(&reading(1_000, 961, &[1]), monday(2));
    assert!(account.raised.is_empty());
    account.read(&reading(1_000, 960, &[1]), monday(3));
    assert_eq!(account.said(), ["equity has fallen from its peak of 1040 to 960, and max_drawdown is 80"]);
    let halt = &account.raised[0];
    assert_eq!(halt.scope, Scope::Account { account: "demo".to_owned() });
    assert_eq!((halt.state, halt.by), (TradingState::Reducing, RaisedBy::Node));
    account.read(&reading(1_000, 900, &[1]), monday(4));
    assert_eq!(account.raised.len(), 1, "it stands");
}

#[test]
fn a_new_brokers_day_counts_its_loss_anew_and_lifts_nothing() {
    let mut account = Account::new(Mode::DryRun);
    account.read(&reading(1_000, 1_000, &[]), monday(0));
    account.read(&reading(1_000, 951, &[1]), monday(1));
    assert!(account.raised.is_empty());
    account.read(&reading(1_000, 950, &[1]), monday(2));
    let said =
        "equity has fallen from 1000 to 950 since the broker's day of 2026-07-05T21:00:00Z, and max_daily_loss is 50";
    assert_eq!(account.said(), [said]);
    let tuesday = account.read(&reading(1_000, 940, &[1]), monday(9)).clone();
    assert_eq!((tuesday.day, tuesday.day_equity), (at("2026-07-06T21:00:00Z"), 940.into()));
    assert_eq!(tuesday.halt.as_ref(), Some(&account.raised[0].request), "only an operator ends it");
}

/// Also when equity has recovered meanwhile: a later loss is a breach of its own.
#[test]
fn after_its_halt_was_lifted_losses_count_anew_from_the_next_reading() {
    let mut account = Account::new(Mode::DryRun);
    account.read(&reading(1_000, 1_000, &[]), monday(0));
    account.read(&reading(1_000, 900, &[1]), monday(1));
    account.resume();
    let anew = account.read(&reading(1_000, 930, &[1]), monday(2));
    assert_eq!((anew.day_equity, anew.peak_equity, anew.halt.as_ref()), (930.into(), 930.into(), None));
    account.read(&reading(1_000, 881, &[1]), monday(3));
    assert_eq!(account.raised.len(), 1);
    account.read(&reading(1_000, 880, &[1]), monday(4));
    assert_eq!(account.raised.len(), 2, "a second loss raises a second halt");
    account.resume();
    account.read(&reading(1_000, 880, &[1]), monday(5));
    account.read(&reading(1_000, 1_000, &[1]), monday(6));
    account.read(&reading(1_000, 900, &[1]), monday(7));
    assert_eq!(account.raised.len(), 3, "the same numbers as before are a breach of their own too");
}

#[test]
fn a_clock_that_is_set_back_begins_no_day_again() {
    let mut account = Account::new(Mode::DryRun);
    let first = account.read(&reading(1_000, 1_000, &[]), monday(10)).clone();
    account.read(&reading(1_000, 990, &[1]), monday(-20));
    let again = account.read(&reading(1_000, 980, &[1]), monday(11));
    assert_eq!((again.day, again.day_equity), (first.day, 1_000.into()));
}

#[test]
fn losing_trades_in_a_row_pause_new_exposure_for_a_time() {
    let mut account = Account::new(Mode::DryRun);
    let mut read = |balance: i64, open: &[u64]| {
        let baselines = account.read(&reading(balance, balance, open), monday(0));
        (baselines.losses_in_row, baselines.cools_until(monday(0)))
    };
    assert_eq!(read(1_000, &[1]), (0, None));
    assert_eq!(read(990, &[]), (1, None));
    assert_eq!(read(989, &[2]), (1, None), "the cost of opening is no trade that ended");
    assert_eq!(read(995, &[]), (0, None), "it won");
    assert_eq!(read(995, &[3]), (0, None));
    assert_eq!(read(990, &[4]), (1, None), "one was closed and another one opened");
    let until = Some(monday(1));
    assert_eq!(read(980, &[]), (2, until));
    assert_eq!(account.known.as_ref().unwrap().cools_until(UtcMs(monday(1).0 - 1)), until);
    assert_eq!(account.known.unwrap().cools_until(monday(1)), None);
}

/// What a later bar ended is open again there.
#[test]
fn slots_that_a_killed_replay_repeats_count_no_loss_twice() {
    let mut account = Account::new(Mode::DryRun);
    account.read(&reading(1_000, 1_000, &[1]), monday(0));
    let lost = account.read(&reading(990, 990, &[]), monday(2)).clone();
    assert_eq!(account.read(&reading(1_000, 995, &[1]), monday(1)), &lost);
    assert_eq!(account.read(&reading(990, 990, &[]), monday(2)), &lost);
}

#[test]
fn nothing_is_written_when_a_reading_changes_nothing() {
    let mut account = Account::new(Mode::Live);
    let first = account.read(&reading(1_000, 1_000, &[1]), monday(0)).clone();
    let same = account.read(&reading(1_000, 990, &[1]), monday(1)).clone();
    assert_eq!(first, same);
    assert_eq!(account.read(&reading(1_000, 1_001, &[1]), monday(2)).revision, first.revision + 1);
}

#[test]
fn a_live_balance_that_nothing_explains_is_named_with_both_values_and_the_time() {
    let mut account = Account::new(Mode::Live);
    account.read(&reading(1_000, 1_000, &[1]), monday(0));
    account.read(&reading(970, 970, &[1]), monday(2));
    let said = account.said().concat();
    for part in ["was 1000 since 2026-07-06T12:00:00Z", "read as 970 at 2026-07-06T14:00:00Z", "another hand"] {
        assert!(said.contains(part), "{said}");
    }
    account.resume();
    assert_eq!(account.read(&reading(970, 970, &[1]), monday(3)).day_equity, 970.into());
    assert_eq!(account.raised.len(), 1, "it was accepted");
    account.read(&reading(1_000, 1_000, &[1]), monday(4));
    account.read(&reading(970, 970, &[1]), monday(5));
    assert_eq!(account.raised.len(), 3, "the same change again is another one");
}

#[test]
fn orders_of_any_pipeline_and_positions_that_have_gone_explain_a_balance() {
    let changed = |orders: OrderTrace, open: &[u64], mode: Mode| {
        let mut account = Account::new(mode);
        account.read(&reading(1_000, 1_000, &[1]), monday(0));
        account.orders = orders;
        account.read(&reading(990, 990, open), monday(1));
        account.raised.len()
    };
    assert_eq!(changed(settled(0), &[1], Mode::Live), 1);
    assert_eq!(changed(settled(1), &[1], Mode::Live), 0);
    assert_eq!(changed(OrderTrace { steps: 0, is_under_way: true }, &[1], Mode::Live), 0);
    assert_eq!(changed(settled(0), &[], Mode::Live), 0, "it was stopped out");
    assert_eq!(changed(settled(0), &[1], Mode::DryRun), 0, "the paper book has no other hand");
}

#[test]
fn one_withdrawal_raises_one_halt_is_no_loss_and_its_lift_forgives_none() {
    let mut account = Account::new(Mode::Live);
    account.read(&reading(1_000, 1_000, &[]), monday(0));
    account.read(&reading(1_000, 960, &[1]), monday(1));
    for hour in 2..4 {
        account.read(&reading(500, 460, &[1]), monday(hour));
    }
    assert_eq!(account.said().len(), 1, "{:?}", account.said());
    account.resume();
    let moved = account.read(&reading(500, 451, &[1]), monday(4));
    assert_eq!((moved.day_equity, moved.peak_equity), (500.into(), 500.into()));
    assert_eq!(account.raised.len(), 1);
    account.read(&reading(500, 450, &[1]), monday(5));
    let said = "equity has fallen from 500 to 450 since the broker's day of ";
    assert!(account.said()[1].starts_with(said), "the loss before it counts: {:?}", account.said());
}

#[test]
fn money_that_moved_before_a_loss_was_accepted_is_counted_once() {
    for (moved, expected) in [(500, 1_400), (-500, 400)] {
        let mut account = Account::new(Mode::Live);
        account.read(&reading(1_000, 1_000, &[]), monday(0));
        account.read(&reading(1_000, 900, &[1]), monday(1));
        account.resume();
        let anew = account.read(&reading(1_000 + moved, 900 + moved, &[1]), monday(2));
        assert_eq!((anew.day_equity, anew.peak_equity), (expected.into(), expected.into()));
        assert_eq!(account.raised.len(), 2, "the breach and the money: {:?}", account.said());
        account.read(&reading(1_000 + moved, 900 + moved - 49, &[1]), monday(3));
        assert_eq!(account.raised.len(), 2);
        account.read(&reading(1_000 + moved, 900 + moved - 50, &[1]), monday(4));
        assert_eq!(account.raised.len(), 3);
    }
}

#[test]
fn a_deposit_hides_no_loss_and_makes_no_peak() {
    let mut account = Account::new(Mode::Live);
    account.read(&reading(1_000, 1_000, &[]), monday(0));
    account.read(&reading(1_000, 960, &[1]), monday(1));
    let moved = account.read(&reading(2_000, 1_960, &[1]), monday(2));
    assert_eq!((moved.day_equity, moved.peak_equity, moved.halt.as_ref()), (2_000.into(), 2_000.into(), None));
    account.read(&reading(2_000, 1_950, &[1]), monday(3));
    assert_eq!(account.raised.len(), 2, "a breach is told beside a change that stands: {:?}", account.said());
}

mod interleaved {
    use proptest::prelude::*;

    use super::*;

    const PIPELINES: usize = 3;

    /// Steps that one of the pipelines, the venue or another hand takes.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// The next part of a reading of this pipeline: ask the journal, ask the venue, ask the journal, write.
        Read(usize),
        /// The next part of an order of this pipeline: `sent` durable, filled at the venue, its end durable.
        Order(usize),
        /// The venue ends the oldest position by its stop.
        Stop,
        /// Another hand changes the balance.
        Hand,
        /// The process dies: readings in hand are lost, orders under way stay so until they are settled.
        Kill,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (0..PIPELINES).prop_map(Step::Read),
            4 => (0..PIPELINES).prop_map(Step::Order),
            1 => Just(Step::Stop),
            1 => Just(Step::Hand),
            1 => Just(Step::Kill),
        ]
    }

    #[derive(Clone)]
    enum Look {
        Asked(Option<AccountBaselines>, OrderTrace),
        Told(Option<AccountBaselines>, OrderTrace, AccountReading),
        Made(Option<u64>, Follows),
    }

    /// What happened between two readings that were written, for the judge.
    #[derive(Default, Clone, Copy, Debug)]
    struct Truth {
        by_hand: bool,
        by_node: bool,
    }

    #[derive(Default)]
    struct World {
        steps: u64,
        under_way: [u8; PIPELINES],
        looks: [Option<Look>; PIPELINES],
        open: Vec<u64>,
        tickets: u64,
        balance: i64,
        stored: Option<AccountBaselines>,
        accused: usize,
        /// Everything that happened to the balance, in order, and where the venue stood at each written reading.
        history: Vec<Truth>,
        read_at: usize,
        told_at: [usize; PIPELINES],
        asked_at: [usize; PIPELINES],
        last_asked_at: usize,
    }

    impl World {
        fn trace(&self) -> OrderTrace {
            OrderTrace { steps: self.steps, is_under_way: self.under_way.iter().any(|part| *part > 0) }
        }

        fn happens(&mut self, by_hand: bool) {
            self.history.push(Truth { by_hand, by_node: !by_hand });
        }

        fn order(&mut self, who: usize) {
            match self.under_way[who] {
                0 => (self.steps, self.under_way[who]) = (self.steps + 1, 1),
                1 => {
                    // It opens a position, or closes the oldest one.
                    if self.open.len() > 2 {
                        self.open.remove(0);
                        self.balance -= 7;
                    } else {
                        self.tickets += 1;
                        self.open.push(self.tickets);
                        self.balance -= 1;
                    }
                    self.under_way[who] = 2;
                }
                _ => (self.steps, self.under_way[who]) = (self.steps + 1, 0),
            }
            self.happens(false);
        }

        fn read(&mut self, who: usize) {
            self.looks[who] = match self.looks[who].take() {
                None => {
                    self.asked_at[who] = self.history.len();
                    Some(Look::Asked(self.stored.clone(), self.trace()))
                }
                Some(Look::Asked(known, before)) => {
                    self.told_at[who] = self.history.len();
                    Some(Look::Told(known, before, reading(self.balance, self.balance, &self.open)))
                }
                Some(Look::Told(known, before, reading)) => {
                    let after = self.trace();
                    let seen =
                        Seen { mode: Mode::Live, account: "demo", reading: &reading, before, after, now: monday(0) };
                    let follows = seen.follow(known.as_ref(), &AccountLimits::default(), |_| true);
                    let looked = self.history.len();
                    let from = known.map(|known| known.revision);
                    self.judge(who, &follows, looked, from, after);
                    Some(Look::Made(from, follows))
                }
                Some(Look::Made(from, follows)) => {
                    let is_current = self.stored.as_ref().map(|stored| stored.revision) == from;
                    if is_current {
                        self.accused += usize::from(follows.halt.is_some());
                        self.stored = Some(follows.baselines);
                        (self.read_at, self.last_asked_at) = (self.told_at[who], self.asked_at[who]);
                    }
                    None
                }
            };
        }

        /// A reading on top of the one that stands must accuse exactly when it has to.
        fn judge(&self, who: usize, follows: &Follows, looked: usize, from: Option<u64>, after: OrderTrace) {
            if from.is_none() || self.stored.as_ref().map(|stored| stored.revision) != from {
                return; // It will not be written.
            }
            let between = &self.history[self.read_at.min(self.told_at[who])..self.told_at[who]];
            let by_hand = between.iter().filter(|truth| truth.by_hand).count();
            if by_hand == 0 {
                assert!(follows.halt.is_none(), "accused although no other hand was there");
                return;
            }
            let all = &self.history[self.last_asked_at.min(self.told_at[who])..looked];
            let may_be_the_nodes = all.iter().any(|truth| truth.by_node) || after.is_under_way;
            assert!(may_be_the_nodes || follows.halt.is_some(), "a change by another hand was missed");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Three pipelines read, send orders and die in any order.
        #[test]
        fn no_reading_accuses_the_nodes_own_orders_and_none_misses_another_hand(
            steps in prop::collection::vec(step(), 1..80),
        ) {
            let mut world = World { balance: 1_000, ..World::default() };
            for step in steps {
                match step {
                    Step::Read(who) => world.read(who),
                    Step::Order(who) => world.order(who),
                    Step::Stop if !world.open.is_empty() => {
                        world.open.remove(0);
                        world.balance -= 13;
                        world.happens(false);
                    }
                    Step::Stop => {}
                    Step::Hand => {
                        // Never back to where it was.
                        world.balance += 1_000;
                        world.happens(true);
                    }
                    Step::Kill => world.looks = Default::default(),
                }
            }
        }
    }
}
