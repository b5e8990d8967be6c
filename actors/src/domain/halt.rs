//! Halts: what keeps effects here until an operator lifts it.
//!
//! Promise 6: nothing leaves while a halt forbids it, and no halt lifts itself: there is no timer here and no event of the node that
//! ends one. A halt is a durable row of the journal; the state of a pipeline is the strictest of the halts that stand.

use std::fmt;
use std::str::FromStr;

use super::reason::Reason;
use super::time::UtcMs;

/// The longest text of a halt, in characters; what is longer is cut.
const TEXT_MAX: usize = 300;

/// What may leave; the later one is the stricter one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TradingState {
    /// Everything.
    #[default]
    Active,
    /// Only orders that close a position.
    Reducing,
    /// Nothing. What protects a position at the venue goes on there.
    Halted,
}

impl TradingState {
    pub const ALL: [Self; 3] = [Self::Active, Self::Reducing, Self::Halted];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Reducing => "reducing",
            Self::Halted => "halted",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The reason of a slot whose effect it kept here; `None` when it does not.
    #[must_use]
    pub const fn forbids(self, only_closes: bool) -> Option<Reason> {
        match self {
            Self::Active => None,
            Self::Reducing if only_closes => None,
            Self::Reducing => Some(Reason::Reducing),
            Self::Halted => Some(Reason::Halted),
        }
    }
}

impl fmt::Display for TradingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The number of a halt in its journal, for a person to type: `halt-3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HaltId(pub u32);

impl HaltId {
    const PREFIX: &'static str = "halt-";

    /// The ids that a text names, each once, in their order.
    #[must_use]
    pub fn named_in(text: &str) -> Vec<Self> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let mut ids: Vec<Self> = Vec::new();
        for id in words.filter_map(|word| word.parse().ok()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }
}

impl fmt::Display for HaltId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", Self::PREFIX, self.0)
    }
}

/// It is no id of a halt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no halt: halts are named halt-1, halt-2 and so on")]
pub struct NoHaltId(String);

impl FromStr for HaltId {
    type Err = NoHaltId;

    fn from_str(text: &str) -> Result<Self, NoHaltId> {
        let number = text.strip_prefix(Self::PREFIX).filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
        let number = number.and_then(|number| number.parse().ok()).filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| NoHaltId(text.chars().take(TEXT_MAX).collect()))
    }
}

/// Where effects would leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub pipeline: String,
    pub account: String,
    pub symbol: String,
}

/// What a halt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every pipeline of the node.
    All,
    Pipeline(String),
    /// Whoever trades on an account, whatever the symbol.
    Account {
        account: String,
    },
    /// Whoever trades one symbol of an account.
    Symbol {
        account: String,
        symbol: String,
    },
}

impl Scope {
    #[must_use]
    pub fn covers(&self, place: &Place) -> bool {
        match self {
            Self::All => true,
            Self::Pipeline(pipeline) => *pipeline == place.pipeline,
            Self::Account { account } => *account == place.account,
            Self::Symbol { account, symbol } => *account == place.account && *symbol == place.symbol,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all pipelines"),
            Self::Pipeline(pipeline) => write!(f, "the pipeline {pipeline}"),
            Self::Account { account } => write!(f, "the account {account}"),
            Self::Symbol { account, symbol } => write!(f, "{symbol} on account {account}"),
        }
    }
}

/// What kind of hand raised a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RaisedBy {
    /// A person, with a command.
    Operator,
    /// Whoever put the kill file there.
    KillFile,
    /// The node itself, by one of its rules.
    Node,
}

impl RaisedBy {
    pub const ALL: [Self; 3] = [Self::Operator, Self::KillFile, Self::Node];

    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::KillFile => "kill_file",
            Self::Node => "node",
        }
    }

    #[must_use]
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.code() == code)
    }
}

/// A halt that is to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewHalt {
    /// Names what asked for it: the same request raises one halt, however often it is made.
    pub request: String,
    pub scope: Scope,
    /// Reducing or halted.
    pub state: TradingState,
    pub by: RaisedBy,
    /// The user, the file or the rule.
    pub who: String,
    pub why: String,
    /// What was seen; may be empty.
    pub evidence: String,
    pub since: UtcMs,
}

impl fmt::Display for NewHalt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {} since {}, by {}: {}", self.scope, self.state, self.since, self.who, self.why)
    }
}

/// That an operator has lifted a halt, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lifted {
    /// Names the command: repeating it is done once.
    pub request: String,
    pub who: String,
    /// May be empty.
    pub why: String,
    pub at: UtcMs,
}

/// A halt in the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    pub id: HaltId,
    pub raised: NewHalt,
    pub lifted: Option<Lifted>,
}

impl Halt {
    #[must_use]
    pub const fn stands(&self) -> bool {
        self.lifted.is_none()
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.id, self.raised)
    }
}

/// What covers a place, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    pub state: TradingState,
    /// The halt with who and why.
    pub text: String,
}

/// The halts that stand: those in the journal, and those that are on their way there. Both count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    recorded: Vec<Halt>,
    pending: Vec<NewHalt>,
    /// What was lifted since: an answer of the journal from before that may still be on its way.
    lifted: Vec<HaltId>,
}

impl Standing {
    /// From what the journal has.
    #[must_use]
    pub fn new(recorded: Vec<Halt>) -> Self {
        Self { recorded: recorded.into_iter().filter(Halt::stands).collect(), ..Self::default() }
    }

    /// Takes in a halt that is not in the journal yet; it counts from now on. Says whether it is new.
    pub fn propose(&mut self, new: NewHalt) -> bool {
        let mut known = self.recorded.iter().map(|halt| &halt.raised).chain(&self.pending);
        let is_new = known.all(|known| known.request != new.request);
        if is_new {
            self.pending.push(new);
        }
        is_new
    }

    /// Takes back a halt that is not in the journal.
    pub fn withdraw(&mut self, request: &str) {
        self.pending.retain(|pending| pending.request != request);
    }

    /// Takes in what the journal has of a halt. Says whether that changes what stands.
    pub fn record(&mut self, halt: Halt) -> bool {
        self.pending.retain(|pending| pending.request != halt.raised.request);
        let known = self.recorded.iter().position(|known| known.id == halt.id);
        match (known, halt.stands()) {
            (Some(known), false) => {
                self.recorded.remove(known);
                self.lifted.push(halt.id);
                true
            }
            (None, true) if !self.lifted.contains(&halt.id) => {
                self.recorded.push(halt);
                true
            }
            _ => false,
        }
    }

    /// Whether the halt of a request stands, in the journal or on its way there.
    #[must_use]
    pub fn has(&self, request: &str) -> bool {
        let mut all = self.recorded.iter().map(|halt| &halt.raised).chain(&self.pending);
        all.any(|halt| halt.request == request)
    }

    /// Whether the kill file is among them.
    #[must_use]
    pub fn has_kill_file(&self) -> bool {
        let mut all = self.recorded.iter().map(|halt| &halt.raised).chain(&self.pending);
        all.any(|halt| halt.by == RaisedBy::KillFile)
    }

    #[must_use]
    pub fn recorded(&self) -> &[Halt] {
        &self.recorded
    }

    #[must_use]
    pub fn pending(&self) -> &[NewHalt] {
        &self.pending
    }

    /// The strictest halt that covers a place; of several the first.
    #[must_use]
    pub fn strictest(&self, place: &Place) -> Option<Cover> {
        let recorded = self.recorded.iter().map(|halt| (&halt.raised, halt.to_string()));
        let pending = self.pending.iter().map(|new| (new, format!("a halt that is being recorded: {new}")));
        let mut strictest: Option<Cover> = None;
        for (raised, text) in recorded.chain(pending).filter(|(raised, _)| raised.scope.covers(place)) {
            if strictest.as_ref().is_none_or(|cover| cover.state < raised.state) {
                strictest = Some(Cover { state: raised.state, text });
            }
        }
        strictest
    }
}

/// A text from outside in one line of bounded length: it stands in logs, rows and on a screen.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(TEXT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pipeline: &str) -> Place {
        Place { pipeline: pipeline.to_owned(), account: "demo".to_owned(), symbol: "EURUSD".to_owned() }
    }

    fn new(request: &str, scope: Scope, state: TradingState) -> NewHalt {
        let (who, why) = ("uid 0".to_owned(), "a look".to_owned());
        let since = UtcMs(0);
        NewHalt {
            request: request.to_owned(),
            scope,
            state,
            by: RaisedBy::Operator,
            who,
            why,
            evidence: String::new(),
            since,
        }
    }

    fn state(standing: &Standing, pipeline: &str) -> TradingState {
        standing.strictest(&place(pipeline)).map(|cover| cover.state).unwrap_or_default()
    }

    #[test]
    fn the_strictest_halt_that_covers_a_pipeline_counts_recorded_or_not() {
        let mut standing = Standing::default();
        assert_eq!(state(&standing, "eurusd"), TradingState::Active);
        assert!(standing.propose(new("1", Scope::Pipeline("eurusd".to_owned()), TradingState::Reducing)));
        assert_eq!(state(&standing, "eurusd"), TradingState::Reducing);
        assert_eq!(state(&standing, "gbpusd"), TradingState::Active);
        let of_symbol = Scope::Symbol { account: "demo".to_owned(), symbol: "EURUSD".to_owned() };
        assert!(standing.propose(new("2", of_symbol, TradingState::Halted)));
        assert_eq!(state(&standing, "gbpusd"), TradingState::Halted, "it trades the same symbol");
        let of_account = Scope::Account { account: "demo".to_owned() };
        assert!(standing.propose(new("3", of_account, TradingState::Reducing)));
        let other_symbol = Place { symbol: "GBPUSD".to_owned(), ..place("gbpusd") };
        assert_eq!(standing.strictest(&other_symbol).map(|cover| cover.state), Some(TradingState::Reducing));
        assert!(standing.has("3") && !standing.has("4"));
        let elsewhere = Place { account: "other".to_owned(), ..place("gbpusd") };
        assert_eq!(standing.strictest(&elsewhere), None);
    }

    #[test]
    fn a_request_that_is_repeated_raises_one_halt_and_none_after_it_was_lifted() {
        let mut standing = Standing::default();
        let halt = |lifted| Halt { id: HaltId(7), raised: new("1", Scope::All, TradingState::Halted), lifted };
        assert!(standing.propose(halt(None).raised));
        assert!(!standing.propose(halt(None).raised));
        assert!(standing.record(halt(None)));
        assert!(!standing.record(halt(None)) && !standing.propose(halt(None).raised));
        assert_eq!((standing.recorded().len(), standing.pending().len()), (1, 0));
        let lifted = Lifted { request: "2".to_owned(), who: "uid 0".to_owned(), why: String::new(), at: UtcMs(1) };
        assert!(standing.record(halt(Some(lifted.clone()))));
        assert_eq!(state(&standing, "eurusd"), TradingState::Active);
        standing.propose(halt(None).raised);
        assert!(!standing.record(halt(Some(lifted))), "the journal says that it was lifted");
        assert!(!standing.record(halt(None)), "an older answer comes late");
        assert_eq!((standing.recorded().len(), standing.pending().len()), (0, 0));
        standing.propose(new("3", Scope::All, TradingState::Halted));
        standing.withdraw("3");
        assert_eq!(state(&standing, "eurusd"), TradingState::Active);
    }

    #[test]
    fn reducing_lets_only_closing_orders_out_and_halted_nothing() {
        let table = TradingState::ALL.map(|state| (state.forbids(true), state.forbids(false)));
        let (reducing, halted) = (Some(Reason::Reducing), Some(Reason::Halted));
        assert_eq!(table, [(None, None), (None, reducing), (halted, halted)]);
        assert!(TradingState::ALL.is_sorted());
    }

    #[test]
    fn an_id_is_typed_as_it_is_shown_and_found_in_a_text() {
        assert_eq!("halt-12".parse(), Ok(HaltId(12)));
        for wrong in ["", "12", "halt-", "halt-0", "halt--1", "halt-+1", "halt-1x", "halt-99999999999"] {
            assert!(wrong.parse::<HaltId>().is_err(), "{wrong}");
        }
        let text = "buy; then halted: halt-3: all pipelines is halted (halt-12), halt-3";
        assert_eq!(HaltId::named_in(text), [HaltId(3), HaltId(12)]);
    }

    #[test]
    fn a_text_from_outside_becomes_one_short_line() {
        assert_eq!(one_line(" a\n\tb\u{1b}[31m  c "), "a b [31m c");
        assert_eq!(one_line(&"x".repeat(999)).len(), TEXT_MAX);
    }
}
