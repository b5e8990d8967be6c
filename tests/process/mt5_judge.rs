//! The judge of a campaign beside MetaTrader 5: what the fake terminal recorded against what the node's journal says of each order.
//!
//! It shares no code with node or gateway; how an order carries its id it works out anew from the specification.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use super::facts::{Facts, Intent};
use super::gateway::handed_over;
use super::mt5_site::{EXECUTE, Mt5Site, SYMBOLS};

/// An order that a terminal gets later than its deadline, and a hiccup of a busy machine, is a stale one.
const STALE_AFTER_MS: f64 = EXECUTE.as_millis() as f64 + 500.0;
/// Characters of a comment that decide, because servers rewrite its tail.
const COMMENT_CHARS: usize = 15;
/// A difference of volumes or prices that is none.
const SAME: f64 = 1e-7;

/// What is wrong, and how much there was to judge. Every fault begins with its kind.
#[derive(Debug, Default, Clone)]
pub struct Findings {
    pub faults: Vec<String>,
    pub intents: usize,
    pub executed: usize,
    pub acked: usize,
    pub rejected: usize,
    pub absent: usize,
    /// Left to a person, and rightly.
    pub held: usize,
    /// Orders of another hand.
    pub foreign: usize,
}

/// Kinds of faults; all must be zero.
pub const KINDS: [&str; 7] = ["lost", "doubled", "invented", "wrong", "stale", "held without need", "still open"];

impl Findings {
    pub fn add(&mut self, other: Self) {
        self.intents += other.intents;
        self.executed += other.executed;
        self.acked += other.acked;
        self.rejected += other.rejected;
        self.absent += other.absent;
        self.held += other.held;
        self.foreign += other.foreign;
        self.faults.extend(other.faults);
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { faults, intents, executed, acked, rejected, absent, held, foreign } = self;
        write!(
            f,
            "{intents} orders, {executed} executed ({acked} acked, {rejected} rejected, {absent} absent, {held} held), {foreign} foreign;"
        )?;
        let is_of = |fault: &&String, kind: &str| fault.starts_with(&format!("{kind}:"));
        for kind in KINDS {
            write!(f, " {} {kind},", faults.iter().filter(|fault| is_of(fault, kind)).count())?;
        }
        let is_other = |fault: &&String| KINDS.iter().all(|kind| !is_of(fault, kind));
        write!(f, " {} other faults", faults.iter().filter(is_other).count())
    }
}

/// One order at the broker.
#[derive(Debug)]
struct Truth {
    ticket: u64,
    /// Of the call that sent it; 0: another hand's.
    call: u64,
    account: u64,
    symbol: String,
    side: &'static str,
    volume: f64,
    magic: u64,
    magic_sent: u64,
    comment: String,
    comment_sent: String,
    filled: f64,
    cost: f64,
}

impl Truth {
    fn lost_its_carriers(&self) -> bool {
        let beginning = |comment: &str| comment.get(..COMMENT_CHARS).map(str::to_owned);
        let keeps_comment = beginning(&self.comment).is_some_and(|kept| Some(kept) == beginning(&self.comment_sent));
        !(keeps_comment || self.magic == self.magic_sent && self.magic != 0)
    }
}

/// One call of `order_send`.
#[derive(Debug)]
pub struct Call {
    magic: u64,
    called_at_ms: f64,
    /// The process that called.
    pub pid: u64,
    /// Whether the terminal killed it in this call.
    pub kills: bool,
}

/// Everything that the terminal has recorded.
#[derive(Debug, Default)]
pub struct Record {
    pub calls: Vec<Call>,
    orders: Vec<Truth>,
}

impl Record {
    pub fn read(file: &Path) -> Self {
        let truth = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut query = truth.prepare("SELECT kind, data FROM truth ORDER BY seq").unwrap();
        let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        let mut record = Self::default();
        for (kind, data) in rows.map(Result::unwrap) {
            let data: Value = serde_json::from_str(&data).unwrap();
            match &*kind {
                "sent" => record.calls.push(call(&data)),
                "accepted" => record.orders.push(order(&data)),
                "deal" => record.fill(&data),
                _ => {}
            }
        }
        record
    }

    fn fill(&mut self, deal: &Value) {
        let volume = deal["volume"].as_f64().unwrap();
        if let Some(order) = self.orders.iter_mut().find(|order| Some(order.ticket) == deal["order"].as_u64()) {
            order.filled += volume;
            order.cost += volume * deal["price"].as_f64().unwrap();
        }
    }
}

fn call(data: &Value) -> Call {
    Call {
        magic: data["request"]["magic"].as_u64().unwrap_or(0),
        called_at_ms: data["called_at"].as_f64().unwrap() * 1_000.0,
        pid: data["pid"].as_u64().unwrap(),
        kills: data["plan"]["pipe"].as_str().is_some_and(|pipe| pipe.starts_with("kill")),
    }
}

fn order(data: &Value) -> Truth {
    let number = |key: &str| data[key].as_u64().unwrap();
    let text = |key: &str| data[key].as_str().unwrap().to_owned();
    Truth {
        ticket: number("ticket"),
        call: number("number"),
        account: number("account"),
        symbol: text("symbol"),
        side: if number("type") == 0 { "buy" } else { "sell" },
        volume: data["volume"].as_f64().unwrap(),
        magic: number("magic"),
        magic_sent: number("magic_sent"),
        comment: text("comment"),
        comment_sent: text("comment_sent"),
        filled: 0.0,
        cost: 0.0,
    }
}

/// The magic number that carries an id: 32 bits of the id above 31 bits of the pipeline's number.
fn magic_of(intent: &Intent) -> u64 {
    let bytes = BASE32_NOPAD.decode(intent.key.to_uppercase().as_bytes()).unwrap();
    let tag = bytes[..4].iter().fold(0, |tag: u64, byte| tag << 8 | u64::from(*byte));
    let (_, number) = SYMBOLS.into_iter().find(|(symbol, _)| *symbol == intent.symbol).unwrap();
    tag << 31 | u64::from(number)
}

/// Judges a site of which nothing runs any more.
pub fn judge(site: &Mt5Site) -> Findings {
    let state = site.site.state();
    let intents = Facts::intents_in(&state);
    let mut findings = Findings { faults: Facts::damage_in(&state), intents: intents.len(), ..Findings::default() };
    judge_record(&Record::read(&site.truth()), &intents, &handed_over(site.path(), "key"), &mut findings);
    findings
}

fn judge_record(record: &Record, intents: &[Intent], handed: &BTreeMap<String, i64>, findings: &mut Findings) {
    let asked: BTreeMap<u64, &Intent> = intents.iter().map(|intent| (magic_of(intent), intent)).collect();
    if asked.len() != intents.len() {
        findings.faults.push("two intents have one magic number".to_owned());
    }
    for order in &record.orders {
        match asked.get(&order.magic_sent) {
            _ if order.call == 0 => findings.foreign += 1,
            None => findings.faults.push(format!("invented: nobody asked for {order:?}")),
            Some(_) => {}
        }
    }
    let mut calls: BTreeMap<u64, usize> = BTreeMap::new();
    for call in &record.calls {
        *calls.entry(call.magic).or_default() += 1;
        judge_call(call, asked.get(&call.magic).copied(), handed, findings);
    }
    for (magic, intent) in &asked {
        let own: Vec<&Truth> =
            record.orders.iter().filter(|order| order.call != 0 && order.magic_sent == *magic).collect();
        if own.len() > 1 || calls.get(magic).is_some_and(|calls| *calls > 1) {
            findings.faults.push(format!("doubled: {intent:?} was sent {:?} times: {own:?}", calls.get(magic)));
        }
        judge_intent(intent, &own, record, findings);
    }
}

/// Nothing is sent that the node did not hand over, and nothing long after it.
fn judge_call(call: &Call, intent: Option<&Intent>, handed: &BTreeMap<String, i64>, findings: &mut Findings) {
    let Some(intent) = intent else {
        findings.faults.push(format!("invented: nobody asked for {call:?}"));
        return;
    };
    match handed.get(&intent.key) {
        None => findings.faults.push(format!("invented: no node ever said that it hands over {intent:?}")),
        Some(at_ms) if call.called_at_ms - *at_ms as f64 > STALE_AFTER_MS => {
            let late_ms = call.called_at_ms - *at_ms as f64;
            findings.faults.push(format!("stale: sent {late_ms} ms after it was handed over: {intent:?}"));
        }
        Some(_) => {}
    }
}

fn judge_intent(intent: &Intent, own: &[&Truth], record: &Record, findings: &mut Findings) {
    let filled: Vec<&&Truth> = own.iter().filter(|order| order.filled > 0.0).collect();
    findings.executed += usize::from(!filled.is_empty());
    let steps: Vec<&str> = intent.history.split(' ').collect();
    if steps.first() != Some(&"planned") || steps.iter().filter(|step| step.starts_with("send")).count() > 1 {
        findings.faults.push(format!("no such history: {intent:?}"));
    }
    match &*intent.state {
        "acked" => {
            findings.acked += 1;
            match &filled[..] {
                [] => findings.faults.push(format!("invented: it was never executed: {intent:?}, {own:?}")),
                [order] => findings.faults.extend(difference(intent, order)),
                _ => {}
            }
        }
        "rejected" | "absent" => {
            if intent.state == "absent" {
                findings.absent += 1
            } else {
                findings.rejected += 1
            }
            if !filled.is_empty() {
                findings.faults.push(format!("lost: it was executed: {intent:?}, {own:?}"));
            }
        }
        "held" => {
            findings.held += 1;
            if !had_to_be_held(intent, own, record) {
                findings.faults.push(format!("held without need: {intent:?}, {own:?}"));
            }
        }
        _ => findings.faults.push(format!("still open: {intent:?}, {own:?}")),
    }
}

/// In what a confirmed order is not what it truly was.
fn difference(intent: &Intent, order: &Truth) -> Option<String> {
    let number = |text: &str| text.parse::<f64>().unwrap();
    let is =
        |text: &Option<String>, truly: f64| text.as_deref().is_some_and(|text| (number(text) - truly).abs() < SAME);
    let same = [
        ("filled", is(&intent.filled, order.filled)),
        ("price", intent.price.is_none() || is(&intent.price, order.cost / order.filled)),
        ("symbol", intent.symbol == order.symbol),
        ("side", intent.side == order.side),
        ("volume", (number(&intent.volume) - order.volume).abs() < SAME),
        ("ticket", intent.ticket == Some(order.ticket.to_string())),
        ("account", order.account == 0),
    ];
    let wrong: Vec<&str> = same.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect();
    (!wrong.is_empty()).then(|| format!("wrong: in {wrong:?}: {intent:?}, {order:?}"))
}

/// Whether the lists could not tell: the order's carriers are lost, or another order without any looks the same.
fn had_to_be_held(intent: &Intent, own: &[&Truth], record: &Record) -> bool {
    if !own.is_empty() {
        return own.iter().all(|order| order.lost_its_carriers());
    }
    let volume: f64 = intent.volume.parse().unwrap();
    record.orders.iter().any(|order| {
        (&*order.symbol, order.side) == (&*intent.symbol, &*intent.side)
            && (order.volume - volume).abs() < SAME
            && order.lost_its_carriers()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "r3ar6lghirjahvx7cs42nk32vcbg7hif";
    const LATE: f64 = STALE_AFTER_MS + 1.0;

    fn intent(state: &str) -> Intent {
        let some = |text: &str| Some(text.to_owned());
        Intent {
            key: KEY.to_owned(),
            account: "test".to_owned(),
            mode: "live".to_owned(),
            slot_ms: 0,
            basis_ms: 0,
            role: "open".to_owned(),
            symbol: "EURUSD".to_owned(),
            side: "buy".to_owned(),
            volume: "0.10".to_owned(),
            stop: None,
            target: None,
            reference: "1.1".to_owned(),
            state: state.to_owned(),
            ticket: some("9001"),
            filled: some("0.10"),
            price: some("1.2"),
            history: "planned send_after acked".to_owned(),
        }
    }

    fn called(late_ms: f64) -> Call {
        Call { magic: magic_of(&intent("acked")), called_at_ms: late_ms, pid: 1, kills: false }
    }

    fn executed() -> Truth {
        let (magic, comment) = (magic_of(&intent("acked")), format!("sn:{}", &KEY[..20]));
        Truth {
            ticket: 9001,
            call: 1,
            account: 0,
            symbol: "EURUSD".to_owned(),
            side: "buy",
            volume: 0.1,
            magic,
            magic_sent: magic,
            comment: comment.clone(),
            comment_sent: comment,
            filled: 0.1,
            cost: 0.12,
        }
    }

    fn without_carriers() -> Truth {
        Truth { magic: 0, comment: String::new(), ..executed() }
    }

    fn foreign() -> Truth {
        Truth { ticket: 9002, call: 0, magic_sent: 0, comment_sent: String::new(), ..without_carriers() }
    }

    /// The kinds of what is wrong.
    fn kinds(state: &str, calls: Vec<Call>, orders: Vec<Truth>) -> Vec<String> {
        let mut findings = Findings::default();
        let handed = BTreeMap::from([(KEY.to_owned(), 0)]);
        judge_record(&Record { calls, orders }, &[intent(state)], &handed, &mut findings);
        findings.faults.iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect()
    }

    #[test]
    fn the_magic_number_is_that_of_the_specification() {
        assert_eq!(magic_of(&intent("acked")) >> 31, 2_395_021_100);
        assert_eq!(magic_of(&intent("acked")) & 0x7fff_ffff, 2017);
    }

    #[test]
    fn an_order_that_is_as_the_broker_has_it_is_no_fault() {
        assert!(kinds("acked", vec![called(3.0)], vec![executed()]).is_empty());
        assert!(kinds("held", vec![called(3.0)], vec![without_carriers()]).is_empty());
        assert!(kinds("held", vec![called(3.0)], vec![foreign()]).is_empty());
        for state in ["absent", "rejected"] {
            assert!(kinds(state, vec![called(3.0)], vec![foreign()]).is_empty());
        }
    }

    #[test]
    fn each_kind_of_fault_is_named() {
        let stranger = || Truth { magic_sent: 5, ..executed() };
        let sold = || Truth { side: "sell", ..executed() };
        let second = || Truth { ticket: 9003, ..executed() };
        for (kind, state, calls, orders) in [
            ("lost", "absent", vec![called(3.0)], vec![executed()]),
            ("lost", "rejected", vec![called(3.0)], vec![without_carriers()]),
            ("doubled", "acked", vec![called(3.0)], vec![executed(), second()]),
            ("doubled", "acked", vec![called(3.0), called(4.0)], vec![executed()]),
            ("invented", "acked", vec![called(3.0)], vec![]),
            ("invented", "absent", vec![called(3.0)], vec![stranger()]),
            ("invented", "absent", vec![Call { magic: 5, ..called(3.0) }], vec![]),
            ("wrong", "acked", vec![called(3.0)], vec![sold()]),
            ("wrong", "acked", vec![called(3.0)], vec![Truth { filled: 0.05, cost: 0.06, ..executed() }]),
            ("stale", "absent", vec![called(LATE)], vec![]),
            ("held without need", "held", vec![called(3.0)], vec![executed()]),
            ("held without need", "held", vec![called(3.0)], vec![]),
            ("still open", "unknown", vec![called(3.0)], vec![executed()]),
        ] {
            assert_eq!(kinds(state, calls, orders), [kind], "{state}");
        }
    }
}
