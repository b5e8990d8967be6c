//! What the campaigns against a gateway share: the dialects, how many kills are wanted, the operator, and the sums.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::config::{Site, demo_span};
use super::facts::{Facts, Intent};
use super::gateway::{Books, Judged, gateway_on, judge_live, ledger};
use super::node::{Node, run, setting};

pub const BARS: usize = 250;

/// A dialect, and what the campaign has to know of it.
#[derive(Debug)]
pub struct Dialect {
    pub name: &'static str,
    /// Ways to configure the venue, which take turns.
    venues: &'static [&'static str],
    /// Which order is hit: the third, which opens. The second closes, in a dialect that closes by ticket.
    orders: &'static [usize],
}

/// `command` does not tell what became of an order: it is settled by the positions, where the operator lets these count. Else it
/// is held for a person.
pub const DIALECTS: [Dialect; 2] = [
    Dialect { name: "order-send", venues: &[""], orders: &[3] },
    Dialect {
        name: "command",
        venues: &[
            "dialect = \"command\"\nleast_evidence = \"position delta\"\n",
            "dialect = \"command\"\nleast_evidence = \"position delta\"\n",
            "dialect = \"command\"\n",
        ],
        orders: &[3, 2],
    },
];

impl Dialect {
    /// A node on a netting account.
    pub fn site(&self, turn: usize, port: u16) -> Site {
        self.speaking(turn, Site::new().with_decisions(BARS).through_gateway(port))
    }

    /// A node on a hedging account, with stops and targets.
    pub fn hedging_site(&self, turn: usize, port: u16) -> Site {
        self.speaking(turn, Site::new().with_decisions(BARS).through_hedging_gateway(port))
    }

    fn speaking(&self, turn: usize, site: Site) -> Site {
        let venue = format!("replay = true\n{}", self.venues[turn % self.venues.len()]);
        site.with("replay = true\n", &venue)
    }

    /// The number of the order that is hit in this turn.
    pub fn hit(&self, turn: usize) -> usize {
        self.orders[turn % self.orders.len()]
    }
}

/// Kills of each side in each dialect, in a campaign.
pub fn kills() -> Option<usize> {
    setting("SENTINEL_KILLS")
}

/// What came out in one dialect.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub runs: usize,
    pub node_kills: usize,
    pub gateway_kills: usize,
    pub books: Books,
    /// Orders that the operator found in the ledger, and that he did not find.
    pub settled: [usize; 2],
    pub faults: Vec<String>,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.node_kills += other.node_kills;
        self.gateway_kills += other.gateway_kills;
        self.books.fills += other.books.fills;
        self.books.held += other.books.held;
        self.books.open += other.books.open;
        self.books.absent += other.books.absent;
        for (sum, more) in self.settled.iter_mut().zip(other.settled) {
            *sum += more;
        }
        self.faults.extend(other.faults);
    }

    /// Judges a site whose node has ended by itself and whose gateway is gone: as it is, and once the operator has settled what is
    /// open. Then no order may be left that is not confirmed.
    pub fn judge(&mut self, site: &Site) -> Facts {
        let span = demo_span(BARS);
        let Judged { facts, books, mut faults } = judge_live(site, span);
        let settled = settle_open(site);
        let after = judge_live(site, span);
        let more: Vec<String> = after.faults.into_iter().filter(|fault| !faults.contains(fault)).collect();
        faults.extend(more);
        if after.books.held + after.books.open > 0 {
            faults.push(format!("lost: {:?} after the operator has settled what is open", after.books));
        }
        if !faults.is_empty() {
            let kept = site.keep();
            faults.iter_mut().for_each(|fault| *fault = format!("{fault} (kept in {})", kept.display()));
        }
        self.add(Self { books, settled, faults, ..Self::default() });
        facts
    }

    /// Demands enough orders for a proof. An order that is held keeps its node from further ones.
    #[track_caller]
    pub fn shows_orders(self) -> Self {
        assert!(self.books.fills > self.runs, "too few orders to prove anything: {self}");
        self
    }

    /// Prints what a part of the campaign came to and refuses every fault; the last part prints the whole.
    #[track_caller]
    pub fn end(self, dialect: &Dialect, part: &str) {
        println!("{}, {part}: {self}", dialect.name);
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        ended.push((dialect.name, self.clone()));
        let whole = (ended.len() == PARTS * DIALECTS.len()).then(|| ended.clone());
        drop(ended);
        assert!(self.faults.is_empty(), "{} faults:\n{}", self.faults.len(), self.faults.join("\n"));
        whole.into_iter().for_each(whole_campaign);
    }
}

/// Tests that are parts of the campaign.
const PARTS: usize = 5;
/// Parts that have ended in this process.
static ENDED: Mutex<Vec<(&str, Tally)>> = Mutex::new(Vec::new());

/// Prints the one line of a campaign that ran all of its parts, and demands that it was as large as it was to be.
#[track_caller]
fn whole_campaign(parts: Vec<(&str, Tally)>) {
    let mut sums: BTreeMap<&str, Tally> = BTreeMap::new();
    parts.into_iter().for_each(|(dialect, part)| sums.entry(dialect).or_default().add(part));
    let lines: Vec<String> = sums.iter().map(|(dialect, sum)| format!("{dialect}: {sum}")).collect();
    println!("the whole campaign: {}", lines.join(" | "));
    let least = kills().unwrap_or(0);
    assert!(
        sums.values().all(|sum| sum.node_kills.min(sum.gateway_kills) >= least),
        "fewer than {least} kills of a side"
    );
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { runs, node_kills, gateway_kills, books: Books { fills, held, open, absent }, settled, faults } =
            self;
        write!(f, "{runs} runs, {node_kills} kills of the node, {gateway_kills} of the gateway, {fills} orders;")?;
        let kinds = ["doubled", "invented", "wrong", "stale", "lost"];
        for kind in kinds {
            write!(f, " {kind} {},", faults.iter().filter(|fault| fault.starts_with(kind)).count())?;
        }
        let other = faults.iter().filter(|fault| !kinds.iter().any(|kind| fault.starts_with(kind))).count();
        write!(f, " other faults {other}; held {held}, still asked {open}, absent {absent}; ")?;
        write!(f, "settled by the operator as filled {}, as absent {}", settled[0], settled[1])
    }
}

/// What an operator does about open orders while neither node nor gateway runs: he looks into the ledger, which is the truth.
pub fn settle_open(site: &Site) -> [usize; 2] {
    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let is_open = |intent: &&Intent| ["sent", "unknown", "held"].contains(&&*intent.state);
    let mut settled = [0, 0];
    for intent in facts.intents.iter().filter(is_open) {
        let order = facts.orders.iter().find(|order| order.key == intent.key);
        let seen = match order {
            Some(order) => {
                vec!["--ticket".to_owned(), order.ticket.to_string(), "--volume".to_owned(), order.filled.clone()]
            }
            None => vec!["--absent".to_owned()],
        };
        let settle = ["settle", &intent.key, "--state", "state", "--evidence", "the ledger"].map(str::to_owned);
        run(site.path(), settle.into_iter().chain(seen)).expect(0);
        settled[usize::from(order.is_none())] += 1;
    }
    settled
}

/// A gateway in these faults; an empty one is none.
pub fn gateway_in(site: &Site, port: u16, account: &str, faults: &[String]) -> Node {
    let faults: Vec<&str> = faults.iter().map(String::as_str).filter(|fault| !fault.is_empty()).collect();
    gateway_on(site.path(), port, account, &faults)
}
