//! One screen about a node: what it does, what keeps it from it, and what waits for an operator. Of a running node from its board, of a
//! stopped one from its files.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use sentinel_actors::domain::halt::{Halt, Place, Standing, TradingState};
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Judgement, Need, NeedKind};
use sentinel_actors::status::Board;
use serde::{Deserialize, Serialize};

use crate::journal::{JournalError, JournalReader, read_last_exit};

/// More pipelines than this are counted: those with a halt or a fault are named first.
const NAMED: usize = 8;
/// The same for halts and for open intents.
const LISTED: usize = 3;
const WIDTH: usize = 80;
/// As much of a key as tells it apart; `settle` takes it.
const KEY_CHARS: usize = 12;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The process; `None` when no node runs.
    pub pid: Option<u32>,
    pub version: String,
    pub at_ms: UtcMs,
    /// How the last run ended, of a stopped node.
    pub last_exit: Option<String>,
    /// The verdict on a running node.
    #[serde(default)]
    pub verdict: Option<String>,
    /// What needs a person, worst first.
    #[serde(default)]
    pub needs: Vec<NeedShown>,
    pub safe_mode: bool,
    /// What is armed, or why nothing is; `None` for a node in dry run.
    pub arm: Option<String>,
    /// Parts that were replaced since the start.
    pub restarts: u64,
    pub halts: Vec<HaltShown>,
    /// By name.
    pub pipelines: BTreeMap<String, PipelineStatus>,
    /// Intents that are not settled, oldest first.
    pub open_intents: Vec<OpenIntent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeedShown {
    pub kind: String,
    pub severity: String,
    pub pipeline: Option<String>,
    pub since: Option<UtcMs>,
    pub what: String,
    /// What to do; empty where there is nothing.
    pub action: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltShown {
    pub id: String,
    pub scope: String,
    /// Reducing or halted.
    pub state: String,
    pub since: UtcMs,
    pub who: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStatus {
    pub mode: Mode,
    /// Where its effects leave; of a stopped node it stands in its configuration only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Active, reducing or halted.
    pub state: String,
    pub last_slot: Option<UtcMs>,
    pub last_reason: Option<Reason>,
    /// How late the next decision is; 0 in time, and of a stopped node.
    pub late_ms: u64,
    pub faults_in_a_row: u64,
    pub parked: bool,
    pub open_intents: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenIntent {
    pub key: String,
    pub pipeline: String,
    pub state: String,
    pub what: String,
}

impl Status {
    /// Of the node in this process. `open`: its intents that are not settled, oldest first.
    #[must_use]
    pub fn of_running(board: &Board, open: &[Intent], judgement: &Judgement, arm: Option<String>, now: UtcMs) -> Self {
        let pipelines = board.entries.iter().map(|(name, entry)| {
            let status = entry.status.load();
            let late = status.lateness(entry.clock.now());
            let pipeline = PipelineStatus {
                mode: status.mode,
                account: Some(entry.place.account.clone()),
                symbol: Some(entry.place.symbol.clone()),
                state: board.halts.state_of(&entry.place).to_string(),
                last_slot: status.last_slot,
                last_reason: status.last_reason,
                // A replay's slots are due when it comes to them.
                late_ms: if entry.clock.follows_cycles() { 0 } else { whole_ms(late) },
                faults_in_a_row: status.faults_in_a_row,
                parked: entry.is_parked(),
                open_intents: count(open, name),
            };
            (name.clone(), pipeline)
        });
        Self {
            pid: Some(std::process::id()),
            version: env!("SENTINEL_VERSION").to_owned(),
            at_ms: now,
            last_exit: None,
            verdict: Some(judgement.verdict.to_string()),
            needs: judgement.needs.iter().map(NeedShown::from).collect(),
            safe_mode: board.is_safe_mode(),
            arm,
            restarts: board.totals().restarts,
            halts: board.halts.standing().recorded().iter().map(HaltShown::from).collect(),
            pipelines: pipelines.collect(),
            open_intents: open.iter().map(OpenIntent::from).collect(),
        }
    }

    /// Of a node that does not run.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn of_files(state: &Path, arm: Option<String>, now: UtcMs) -> Result<Self, JournalError> {
        let reader = JournalReader::open(state)?;
        let open = reader.open_intents()?;
        let halts: Vec<Halt> = reader.halts()?.into_iter().map(|halt| halt.record).filter(Halt::stands).collect();
        let standing = Standing::new(halts.clone());
        let mut pipelines = BTreeMap::new();
        for name in reader.pipelines()? {
            let last = reader.last_slot(&name)?.map(|slot| reader.slot(&name, slot)).transpose()?.flatten();
            let Some(last) = last else { continue };
            // Where it trades is not written anywhere but in its configuration.
            let place = Place { pipeline: name.clone(), account: String::new(), symbol: String::new() };
            let pipeline = PipelineStatus {
                mode: last.record.mode,
                account: None,
                symbol: None,
                state: standing.strictest(&place).map_or(TradingState::Active, |cover| cover.state).to_string(),
                last_slot: Some(last.record.slot),
                last_reason: Some(last.record.reason),
                late_ms: 0,
                faults_in_a_row: 0,
                parked: false,
                open_intents: count(&open, &name),
            };
            pipelines.insert(name, pipeline);
        }
        let last_exit = read_last_exit(state).map(|exit| format!("it ended with {} at {}", exit.code, exit.at));
        Ok(Self {
            pid: None,
            version: env!("SENTINEL_VERSION").to_owned(),
            at_ms: now,
            last_exit,
            verdict: None,
            needs: Vec::new(),
            safe_mode: false,
            arm,
            restarts: 0,
            halts: halts.iter().map(HaltShown::from).collect(),
            pipelines,
            open_intents: open.iter().map(OpenIntent::from).collect(),
        })
    }
}

impl From<&Need> for NeedShown {
    fn from(need: &Need) -> Self {
        Self {
            kind: need.kind.code().to_owned(),
            severity: need.severity.code().to_owned(),
            pipeline: need.pipeline.clone(),
            since: need.since,
            what: need.what.clone(),
            action: need.action.clone(),
        }
    }
}

impl From<&Halt> for HaltShown {
    fn from(halt: &Halt) -> Self {
        let raised = &halt.raised;
        Self {
            id: halt.id.to_string(),
            scope: raised.scope.to_string(),
            state: raised.state.to_string(),
            since: raised.since,
            who: raised.who.clone(),
            why: raised.why.clone(),
        }
    }
}

impl From<&Intent> for OpenIntent {
    fn from(intent: &Intent) -> Self {
        Self {
            key: intent.key.to_string(),
            pipeline: intent.pipeline.clone(),
            state: intent.state.to_string(),
            what: intent.action.to_string(),
        }
    }
}

fn count(open: &[Intent], pipeline: &str) -> usize {
    open.iter().filter(|intent| intent.pipeline == pipeline).count()
}

fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl PipelineStatus {
    /// Whether somebody should look at it, besides what the verdict says it needs.
    fn needs_a_look(&self) -> bool {
        self.faults_in_a_row > 0 || self.state != TradingState::Active.code()
    }

    fn line(&self, name: &str) -> String {
        let mut line = format!("{} {:<8}", self.mode, self.state);
        match (self.last_slot, self.last_reason) {
            (Some(slot), Some(reason)) => {
                let _ = write!(line, " {slot} {reason}");
            }
            _ => line.push_str(" no slot yet"),
        }
        format!("  {} {line}", cell(name, 14))
    }

    /// What is the matter with it; `None` when nothing is. Whether it is late is the verdict's to say.
    fn matter(&self, is_late: bool) -> Option<String> {
        let late = Duration::from_secs(self.late_ms / 1000);
        let late = is_late.then(|| humantime::format_duration(late));
        let all = [
            self.parked.then(|| "parked".to_owned()),
            late.map(|late| format!("late by {late}")),
            (self.faults_in_a_row > 0).then(|| format!("{} faults in a row", self.faults_in_a_row)),
            (self.open_intents > 0).then(|| format!("{} open", self.open_intents)),
        ];
        let all: Vec<String> = all.into_iter().flatten().collect();
        (!all.is_empty()).then(|| format!("    {}", all.join(", ")))
    }
}

/// Characters of a column: padded, or cut and marked as cut.
fn cell(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return format!("{text:<columns$}");
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, WIDTH)
    }
}

impl Status {
    /// As text whose lines are not longer than `width` characters.
    #[must_use]
    pub fn screen(&self, width: usize) -> String {
        let mut text = String::new();
        // Writing into a string never fails.
        let _ = self.write(&mut text, width);
        text
    }

    fn is_late(&self, name: &str) -> bool {
        let mut late = self.needs.iter().filter(|need| need.kind == NeedKind::DecisionLate.code());
        late.any(|need| need.pipeline.as_deref() == Some(name))
    }

    fn write(&self, out: &mut dyn fmt::Write, width: usize) -> fmt::Result {
        let mut line = |text: &str| writeln!(out, "{}", cell(text, width).trim_end());
        match (self.pid, &self.last_exit) {
            (Some(pid), _) => {
                line(&format!("running: process {pid}, sentinel {}, {} restarts", self.version, self.restarts))?
            }
            (None, Some(exit)) => line(&format!("stopped: {exit}"))?,
            (None, None) => line("stopped: it left no exit code")?,
        }
        if let Some(verdict) = &self.verdict {
            line(&format!("verdict  {verdict}"))?;
        }
        for need in self.needs.iter().take(LISTED) {
            line(&format!("  {}: {}", need.severity, need.what))?;
            if !need.action.is_empty() {
                line(&format!("    {}", need.action))?;
            }
        }
        more(&mut line, self.needs.len(), LISTED)?;
        line(&format!("arm      {}", self.arm.as_deref().unwrap_or("none: dry run, or nothing is armed")))?;
        line(&format!("halts    {}", if self.halts.is_empty() { "none" } else { "" }))?;
        for halt in self.halts.iter().take(LISTED) {
            line(&format!("  {} {} since {}: {}", halt.id, halt.state, halt.since, halt.scope))?;
            line(&format!("    {}: {}", halt.who, halt.why))?;
        }
        more(&mut line, self.halts.len(), LISTED)?;
        line(&format!("open     {}", if self.open_intents.is_empty() { "none" } else { "" }))?;
        for open in self.open_intents.iter().take(LISTED) {
            let key: String = open.key.chars().take(KEY_CHARS).collect();
            line(&format!("  {key} {} {}: {}", open.state, open.pipeline, open.what))?;
        }
        more(&mut line, self.open_intents.len(), LISTED)?;
        line(&format!("pipelines {}", self.pipelines.len()))?;
        let is_needy = |name: &str| self.needs.iter().any(|need| need.pipeline.as_deref() == Some(name));
        let needs_a_look = |(name, pipeline): &(&String, &PipelineStatus)| is_needy(name) || pipeline.needs_a_look();
        let (bad, good): (Vec<_>, Vec<_>) = self.pipelines.iter().partition(needs_a_look);
        for (name, pipeline) in bad.into_iter().chain(good).take(NAMED) {
            line(&pipeline.line(name))?;
            pipeline.matter(self.is_late(name)).map_or(Ok(()), |matter| line(&matter))?;
        }
        more(&mut line, self.pipelines.len(), NAMED)
    }
}

fn more(line: &mut impl FnMut(&str) -> fmt::Result, all: usize, shown: usize) -> fmt::Result {
    if all > shown { line(&format!("  and {} more", all - shown)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(state: TradingState, faults_in_a_row: u64) -> PipelineStatus {
        PipelineStatus {
            mode: Mode::Live,
            account: None,
            symbol: None,
            state: state.to_string(),
            last_slot: Some(UtcMs(1_700_000_000_000)),
            last_reason: Some(Reason::InsufficientHistory),
            late_ms: 41_000,
            faults_in_a_row,
            parked: true,
            open_intents: 3,
        }
    }

    #[test]
    fn a_thousand_pipelines_with_long_names_fit_on_one_screen_and_what_needs_a_look_comes_first() {
        let mut pipelines: BTreeMap<String, PipelineStatus> = (0..1000)
            .map(|n| {
                let active = pipeline(TradingState::Active, 0);
                let calm = PipelineStatus { late_ms: 0, parked: false, open_intents: 0, ..active };
                (format!("a_pipeline_with_a_name_that_is_long_{n}"), calm)
            })
            .collect();
        pipelines.insert("zz_halted".to_owned(), pipeline(TradingState::Halted, 7));
        let halt = HaltShown {
            id: "halt-1".to_owned(),
            scope: "x".repeat(90),
            state: "halted".to_owned(),
            since: UtcMs(0),
            who: "uid 0".to_owned(),
            why: "w".repeat(300),
        };
        let halts = vec![halt; 9];
        let need = NeedShown {
            kind: "held".to_owned(),
            severity: "now".to_owned(),
            pipeline: None,
            since: None,
            what: "x".repeat(200),
            action: "y".repeat(200),
        };
        let kind = NeedKind::DecisionLate.code().to_owned();
        let late = NeedShown { kind, pipeline: Some("zz_halted".to_owned()), ..need.clone() };
        let what = "y".repeat(200);
        let open = OpenIntent { key: "k".repeat(32), pipeline: "p".repeat(60), state: "held".to_owned(), what };
        let status = Status {
            pid: Some(7),
            version: "0.1.0".to_owned(),
            at_ms: UtcMs(0),
            last_exit: None,
            verdict: Some("not working".to_owned()),
            needs: [late].into_iter().chain(vec![need; 8]).collect(),
            safe_mode: true,
            arm: Some("z".repeat(100)),
            restarts: 3,
            halts,
            pipelines,
            open_intents: vec![open; 9],
        };
        let text = status.to_string();
        assert!(text.lines().count() <= 34 && text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(status.screen(41).lines().all(|line| line.chars().count() <= 41), "{}", status.screen(41));
        let named: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("pipelines 1001")).collect();
        assert!(named[1].starts_with("  zz_halted      live halted   2023-11-14T22:13:20Z"), "{text}");
        assert_eq!(named[2], "    parked, late by 41s, 7 faults in a row, 3 open");
        assert!(text.ends_with("  and 993 more\n") && text.contains("  and 6 more"), "{text}");
    }

    #[test]
    fn what_is_read_from_the_socket_says_the_same() {
        let pipelines = BTreeMap::from([("eurusd".to_owned(), pipeline(TradingState::Reducing, 1))]);
        let status = Status {
            pid: None,
            version: "0.1.0".to_owned(),
            at_ms: UtcMs(5),
            last_exit: Some("it ended with 0".to_owned()),
            verdict: None,
            needs: Vec::new(),
            safe_mode: false,
            arm: None,
            restarts: 0,
            halts: Vec::new(),
            pipelines,
            open_intents: Vec::new(),
        };
        let read: Status = serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap();
        assert_eq!(read, status);
    }
}
