//! Losses of the paper account of real processes: what they are counted from survives `kill -9`, and a breach halts the account until
//! an operator accepts it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rust_decimal::Decimal;

use super::config::Site;
use super::facts::Facts;
use super::node::{run, setting};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const AFTER_CLOSE_MS: i64 = 2_000;
/// Bars of the first decision.
const WINDOW: usize = 200;
/// A replay goes on with fewer rows that are not durable yet.
const ROWS_ON_THEIR_WAY: usize = 128;

/// Counts losses, and has no limit that the year reaches.
fn site() -> Site {
    let site = Site::new().with_model_pair("root_fx23").with("speed = \"max\"", "speed = 100");
    let risk = "[pipeline.risk]\nmax_daily_loss = 1000000\nmax_drawdown = 1000000\ncool_down_after_losses = 1000\n";
    let decision = "[pipeline.decision]";
    site.with(decision, &format!("{risk}\n{decision}"))
}

/// Only orders end a position, at most one in each slot, so that trades can be counted from the book.
fn without_exits() -> Site {
    site()
        .with("stop_distance = \"0.0050\"", "stop_distance = \"none\"")
        .with("target_distance = \"0.0100\"", "target_distance = \"none\"\nmax_holding = \"12h\"")
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn read_only(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// What losses are counted from.
#[derive(Debug, Clone, PartialEq)]
struct Baselines {
    day_ms: i64,
    day_equity: Decimal,
    peak_equity: Decimal,
    balance: Decimal,
    open: Vec<i64>,
    /// `None`: not told apart by this judge.
    losses_in_row: Option<u32>,
}

/// Those in the journal, with their revision.
fn stored(state: &Path) -> Option<(i64, Baselines)> {
    let journal = read_only(&state.join("journal.db"));
    let sql =
        "SELECT revision, day_ms, day_equity, peak_equity, balance, open, losses_in_row, mode, account FROM accounts";
    let mut query = journal.prepare(sql).unwrap();
    let mut rows = query.query([]).unwrap();
    let row = rows.next().unwrap()?;
    let text = |index| row.get::<_, String>(index).unwrap();
    assert_eq!((text(7), text(8)), ("dry_run".to_owned(), "paper".to_owned()));
    let baselines = Baselines {
        day_ms: row.get(1).unwrap(),
        day_equity: decimal(&text(2)),
        peak_equity: decimal(&text(3)),
        balance: decimal(&text(4)),
        open: serde_json::from_str(&text(5)).unwrap(),
        losses_in_row: Some(row.get(6).unwrap()),
    };
    let found = Some((row.get(0).unwrap(), baselines));
    assert!(rows.next().unwrap().is_none(), "one account");
    found
}

/// Of those in the journal; 0 while there are none, and while it is being made.
fn revision(state: &Path) -> i64 {
    let journal = Connection::open_with_flags(state.join("journal.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
    let found =
        journal.and_then(|journal| journal.query_row("SELECT max(revision) FROM accounts", [], |row| row.get(0)));
    found.unwrap_or(0)
}

/// Which orders of its slot an earlier run of a cycle had done when the account was read again.
#[derive(Clone, Copy, Default)]
struct Repeated {
    closed: bool,
    opened: bool,
}

impl Repeated {
    const ALL: [Self; 3] = [
        Self { closed: false, opened: false },
        Self { closed: true, opened: false },
        Self { closed: true, opened: true },
    ];
}

/// A position of the paper book.
struct Traded {
    ticket: i64,
    buys: bool,
    lots: Decimal,
    open_price: Decimal,
    opened_ms: i64,
    closed: Option<(i64, Decimal)>,
}

impl Traded {
    fn worth(&self, mid: Decimal) -> Decimal {
        let half_spread = decimal("0.00005");
        let moved = if self.buys { mid - half_spread - self.open_price } else { self.open_price - mid - half_spread };
        moved * self.lots * Decimal::from(100_000)
    }

    /// Whether it had begun, or had ended, when a slot's reading came: before the orders of that slot, or after them in a cycle that
    /// was repeated.
    fn is_before(event_ms: i64, slot_ms: i64, repeated: bool) -> bool {
        event_ms < slot_ms || repeated && event_ms == slot_ms
    }

    fn is_open(&self, slot_ms: i64, repeated: Repeated) -> bool {
        Self::is_before(self.opened_ms, slot_ms, repeated.opened) && !self.has_ended(slot_ms, repeated)
    }

    fn has_ended(&self, slot_ms: i64, repeated: Repeated) -> bool {
        self.closed.is_some_and(|(at_ms, _)| Self::is_before(at_ms, slot_ms, repeated.closed))
    }
}

fn traded(state: &Path) -> Vec<Traded> {
    let book = read_only(&state.join("paper.db"));
    let sql = "SELECT ticket, side, volume, open_price, opened_at, closed_at, profit FROM positions ORDER BY ticket";
    let mut query = book.prepare(sql).unwrap();
    let position = |row: &rusqlite::Row<'_>| {
        let text = |index| row.get::<_, String>(index).map(|text| decimal(&text));
        let closed: Option<i64> = row.get(5)?;
        Ok(Traded {
            ticket: row.get(0)?,
            buys: row.get::<_, String>(1)? == "buy",
            lots: text(2)?,
            open_price: text(3)?,
            opened_ms: row.get(4)?,
            closed: closed.map(|at_ms| Ok::<_, rusqlite::Error>((at_ms, text(6)?))).transpose()?,
        })
    };
    query.query_map([], position).unwrap().map(Result::unwrap).collect()
}

/// Open time and close of each bar.
fn bars(site: &Site) -> Vec<(i64, Decimal)> {
    let text = fs::read_to_string(site.path().join("eurusd_1h_2017.csv")).unwrap();
    let bar = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        (cells[0].parse::<jiff::Timestamp>().unwrap().as_millisecond(), decimal(cells[4]))
    };
    text.lines().skip(1).map(bar).collect()
}

/// What the account is counted from at each slot, from the first one on.
struct Truth<'a> {
    traded: &'a [Traded],
    /// Each slot that was decided, with the equity of its reading, and the largest one until then.
    slots: Vec<(i64, Decimal, Decimal)>,
}

impl<'a> Truth<'a> {
    /// `slots`: with the price at each.
    fn new(traded: &'a [Traded], slots: &[(i64, Decimal)]) -> Self {
        let mut truth = Self { traded, slots: Vec::new() };
        let mut peak = Decimal::ZERO;
        for (slot_ms, mid) in slots {
            let open = traded.iter().filter(|position| position.is_open(*slot_ms, Repeated::default()));
            let equity = truth.balance(*slot_ms, Repeated::default())
                + open.map(|position| position.worth(*mid)).sum::<Decimal>();
            peak = peak.max(equity);
            truth.slots.push((*slot_ms, equity, peak));
        }
        truth
    }

    fn balance(&self, slot_ms: i64, repeated: Repeated) -> Decimal {
        let ended = self.traded.iter().filter(|position| position.has_ended(slot_ms, repeated));
        Decimal::from(10_000) + ended.map(|position| position.closed.unwrap().1).sum::<Decimal>()
    }

    /// Whether day and peak can be those after the reading of `newest`, when the rows end with `rows`.
    fn may_be_counted_from(&self, found: &Baselines, rows: usize, newest: usize) -> bool {
        let day_ms = self.slots[newest].0 - self.slots[newest].0.rem_euclid(DAY_MS);
        let first_of_day = self.slots.partition_point(|(slot_ms, ..)| *slot_ms < day_ms);
        let begins = if first_of_day <= rows { first_of_day..=first_of_day } else { first_of_day..=newest };
        let was_read =
            |mut slots: std::ops::RangeInclusive<usize>, equity| slots.any(|slot| self.slots[slot].1 == equity);
        let peak = self.slots[rows].2;
        found.day_ms == day_ms
            && was_read(begins, found.day_equity)
            && (found.peak_equity == peak || found.peak_equity > peak && was_read(rows..=newest, found.peak_equity))
    }

    fn at(&self, index: usize, repeated: Repeated, counts_losses: bool) -> Baselines {
        let (slot_ms, _, peak_equity) = self.slots[index];
        let day_ms = slot_ms - slot_ms.rem_euclid(DAY_MS);
        let first_of_day = self.slots.partition_point(|(slot_ms, ..)| *slot_ms < day_ms);
        let mut losses = 0;
        for position in self.traded.iter().filter(|position| position.has_ended(slot_ms, repeated)) {
            losses = if position.closed.unwrap().1 < Decimal::ZERO { losses + 1 } else { 0 };
        }
        let open = self.traded.iter().filter(|position| position.is_open(slot_ms, repeated));
        Baselines {
            day_ms,
            day_equity: self.slots[first_of_day].1,
            peak_equity,
            balance: self.balance(slot_ms, repeated),
            open: open.map(|position| position.ticket).collect(),
            losses_in_row: counts_losses.then_some(losses),
        }
    }
}

/// The journal agrees with the book at the newest slot that has a row, or at one after it: rows gather, and a reading is durable at once.
/// A replay that was killed reads slots without rows again; day and peak are then those of the newest slot that was read before. Of
/// slots without rows it is not known whether they were read: on a busy machine one may end for want of time.
#[track_caller]
fn check(site: &Site, counts_losses: bool) -> Option<(i64, Baselines)> {
    let (revision, mut found) = stored(&site.state())?;
    if !counts_losses {
        found.losses_in_row = None;
    }
    let bars = bars(site);
    // Of the newest bar that had closed by then.
    let price_at = |at_ms: i64| bars[bars.partition_point(|(time, _)| time + HOUR_MS <= at_ms) - 1].1;
    // The account is read before a decision, and before an exit that needs none.
    let read =
        Facts::slots(&site.state()).into_iter().filter(|slot| slot.signal.is_some() || slot.reason == "order_acked");
    let mut slots: Vec<(i64, Decimal)> = read.map(|slot| (slot.at_ms, price_at(slot.at_ms))).collect();
    let first = slots.len().saturating_sub(1);
    let newest = slots.last().map_or(0, |(slot_ms, _)| *slot_ms);
    let due = bars.iter().skip(WINDOW - 1).map(|(time, close)| (time + HOUR_MS + AFTER_CLOSE_MS, *close));
    slots.extend(due.filter(|(slot_ms, _)| *slot_ms > newest).take(ROWS_ON_THEIR_WAY));
    let traded = traded(&site.state());
    let truth = Truth::new(&traded, &slots);
    let mut candidates = (first..slots.len()).flat_map(|index| Repeated::ALL.map(|repeated| (index, repeated)));
    let is_true = candidates.any(|(index, repeated)| {
        let here = truth.at(index, repeated, counts_losses);
        let rest = (&here.balance, &here.open, here.losses_in_row);
        rest == (&found.balance, &found.open, found.losses_in_row)
            && (index..slots.len()).any(|newest| truth.may_be_counted_from(&found, first, newest))
    });
    assert!(
        is_true,
        "{found:#?} is not {:#?}, nor what comes after it",
        truth.at(first, Repeated::default(), counts_losses)
    );
    Some((revision, found))
}

/// Kills runs of one site after the other, each at a random moment.
fn kill(new_site: fn() -> Site, kills: usize, counts_losses: bool) {
    let seed = setting("SENTINEL_SEED").unwrap_or(14);
    let mut chance = fastrand::Rng::with_seed(seed as u64);
    let mut site = new_site();
    let (mut before, mut closed, mut written) = (None::<(i64, Baselines)>, 0, 0);
    for kill in 0..kills {
        let after = Duration::from_millis(chance.u64(50..500));
        let mut node = site.start(&[]);
        if kill % 3 == 2 {
            // Also on a slow machine the runs get somewhere.
            let is_there = |path: &str| site.state().join(path).exists();
            let read = || if is_there("journal.db") && is_there("paper.db") { revision(&site.state()) } else { 0 };
            let old = before.as_ref().map_or(0, |(revision, _)| *revision);
            node.until(|| read() > old);
        }
        let has_ended = !node.killed_after(after).was_killed();
        if !site.state().join("journal.db").exists() || !site.state().join("paper.db").exists() {
            continue;
        }
        let now = check(&site, counts_losses);
        if let (Some((old, was)), Some((new, is))) = (&before, &now) {
            assert!(new >= old, "kill {kill} of seed {seed}, after {after:?}: a change was forgotten");
            assert!(is.peak_equity >= was.peak_equity && is.day_ms >= was.day_ms, "kill {kill} of seed {seed}");
            written += new - old;
        }
        before = now;
        if has_ended {
            closed += traded(&site.state()).len();
            (site, before) = (new_site(), None);
        }
    }
    closed += traded(&site.state()).len();
    assert!(written > 0 && closed > 0, "the runs got to work: {written} changes, {closed} positions");
    println!("{kills} kills: {written} changes of baselines, {closed} positions");
}

/// `.ci/run` and the nightly run ask for more.
#[test]
fn baselines_are_equal_before_and_after_any_number_of_kills() {
    let kills = setting("SENTINEL_BASELINE_KILLS").unwrap_or(12);
    kill(without_exits, kills / 2, true);
    kill(site, kills - kills / 2, false);
}

/// The exit of a slot without a decision is a trade of its own: in the shortest of these runs two losses end around one.
#[test]
fn each_trade_is_counted_apart_whatever_ended_it() {
    for decisions in [524, 900, 1_400] {
        let site = without_exits().with("speed = 100", "speed = \"max\"").with_decisions(decisions);
        run(site.path(), site.args()).expect(0);
        check(&site, true).expect("baselines");
    }
}

fn opened(state: &Path) -> usize {
    Facts::read(state).orders.iter().filter(|order| order.role == "open").count()
}

#[test]
fn a_loss_halts_the_account_across_kills_and_its_resume_lets_losses_count_anew() {
    let site = site().with("speed = 100", "speed = \"max\"").with("max_drawdown = 1000000", "max_drawdown = 60");
    let site = site.with_decisions(900);
    run(site.path(), site.args()).expect(0);
    let facts = Facts::read(&site.state());
    let kept = facts.slots.iter().find(|slot| slot.reason == "reducing").expect("a loss of 60 within 900 hours");
    assert!(kept.detail.starts_with("halt-1: the account paper is reducing"), "{kept:?}");
    assert!(kept.detail.contains("max_drawdown is 60"), "{kept:?}");
    assert!(facts.positions.iter().all(|position| position.opened_at_ms < kept.at_ms), "nothing was opened after it");
    let before = opened(&site.state());
    let more = |site: Site, from: usize| {
        let (old, new) = (format!("bars = {}", from + 199), format!("bars = {}", from + 399));
        site.with(&old, &new)
    };
    let site = more(site, 900);
    for after in [0, 100, 200] {
        site.start(&[]).killed_after(Duration::from_millis(after));
    }
    run(site.path(), site.args()).expect(0);
    assert_eq!(opened(&site.state()), before, "no kill and no new day lifts it");
    let why = jiff::Timestamp::from_millisecond(kept.at_ms).unwrap().to_string();
    run(site.path(), ["why", "eurusd", &why, "--state", "state"]).expect(0).says(&[
        "halt-1 was raised at",
        "by the node",
        "It stands",
    ]);
    run(site.path(), ["resume", "halt-1", "--reason", "Ann: I take it", "--state", "state"]).expect(0);
    let site = more(site, 1_100);
    run(site.path(), site.args()).expect(0);
    assert!(opened(&site.state()) > before, "it trades again, and no second halt stood in the way at once");
}
