//! The halts of a journal: who raised each and why, and who has lifted it.

use sentinel_actors::domain::halt::Halt;
use serde::Serialize;

use super::super::text::{labelled, wrapped};
use crate::journal::{JournalError, JournalReader};
use crate::operator::report::facts::Range;

/// Of those that were lifted, the newest.
const LIFTED_SHOWN: usize = 3;

#[derive(Debug, Serialize)]
pub(super) struct HaltReport {
    id: String,
    scope: String,
    state: &'static str,
    since: String,
    who: String,
    why: String,
    evidence: String,
    /// When, by whom and why it was lifted; `None` while it stands.
    lifted: Option<Lifting>,
}

#[derive(Debug, Serialize)]
struct Lifting {
    at: String,
    who: String,
    why: String,
}

impl From<Halt> for HaltReport {
    fn from(Halt { id, raised, lifted }: Halt) -> Self {
        let lifted = lifted.map(|lifted| Lifting { at: lifted.at.to_string(), who: lifted.who, why: lifted.why });
        Self {
            id: id.to_string(),
            scope: raised.scope.to_string(),
            state: raised.state.code(),
            since: raised.since.to_string(),
            who: raised.who,
            why: raised.why,
            evidence: raised.evidence,
            lifted,
        }
    }
}

/// Those that stood in the range, oldest first.
pub(super) fn read(reader: &JournalReader, range: &Range) -> Result<Vec<HaltReport>, JournalError> {
    let (from, to) = range.ends();
    let stood = |halt: &Halt| halt.raised.since < to && halt.lifted.as_ref().is_none_or(|lifted| lifted.at >= from);
    let halts = reader.halts()?.into_iter().map(|halt| halt.record);
    Ok(halts.filter(stood).map(HaltReport::from).collect())
}

/// Those that stand, and the newest that were lifted.
pub(super) fn text(halts: &[HaltReport]) -> Vec<String> {
    if halts.is_empty() {
        return vec![labelled("Halts", "none")];
    }
    let stand = halts.iter().filter(|halt| halt.lifted.is_none()).count();
    let lifted = halts.len() - stand;
    let mut lines = vec![labelled("Halts", &format!("{stand} stand, {lifted} were lifted"))];
    let mut older = lifted.saturating_sub(LIFTED_SHOWN);
    for halt in halts {
        if halt.lifted.is_some() && older > 0 {
            older -= 1;
            continue;
        }
        lines.push(wrapped("  ", "    ", &halt.sentence()));
    }
    lines
}

impl HaltReport {
    /// All of it.
    pub(super) fn sentence(&self) -> String {
        let Self { id, scope, state, since, who, why, evidence, lifted } = self;
        let seen = if evidence.is_empty() { String::new() } else { format!(" ({evidence})") };
        let ended = match lifted {
            None => format!("it stands, `sentinel resume {id}` lifts it"),
            Some(Lifting { at, who, why }) if why.is_empty() => format!("lifted at {at} by {who}"),
            Some(Lifting { at, who, why }) => format!("lifted at {at} by {who}: {why}"),
        };
        format!("{id}: {scope} {state} since {since}, by {who}: {why}{seen}; {ended}")
    }
}
