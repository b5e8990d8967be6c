//! What goes on and whom it has been told to: incidents, from what needs a person at each turn.
//!
//! Pure, and the time comes in. Promises kept: what lasts shorter than a minute is not told; what comes back within half an hour is
//! the same incident; an incident is told once, again after a day, and once more when it is over. Its end is told together with that
//! of others, when nothing urgent lasts any more or after two hours, so that a long night ends with one all-clear.

use std::collections::BTreeMap;
use std::time::Duration;

use sentinel_actors::domain::node_view::{NodeView, PipelineView};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{Need, NeedKind};
use serde::{Deserialize, Serialize};

use super::message::{Message, MessageState, OVER, Urgency, id_of, line, title};

/// A condition lasts so long before it is told.
pub const HOLDS_FOR: Duration = Duration::from_secs(60);
/// It is over when it has been gone for so long.
pub const GONE_FOR: Duration = Duration::from_secs(30 * 60);
/// What has a name of its own, such as an order, does not come back: it is over sooner.
const FACT_GONE_FOR: Duration = Duration::from_secs(60);
/// What lasts is told again.
pub const REMIND_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Reminders that are due within this of another come with it.
const REMIND_TOGETHER: Duration = Duration::from_secs(3600);
/// More incidents than this within [`HOLDS_FOR`] are one message.
pub const SINGLE_MAX: usize = 3;
/// What is over is told no later, also while something else lasts.
const CLEAR_WITHIN: Duration = Duration::from_secs(2 * 3600);
/// Incidents that are remembered; the node has many more pipelines than a person can read about.
const INCIDENTS_MAX: usize = 2000;

/// Two clocks: one that is never set, and the one that people read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Goes on with elapsed time, also across restarts: all rules go by it.
    pub now: UtcMs,
    /// Wall time, for texts.
    pub wall: UtcMs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// A condition that comes and goes.
    Level,
    /// It has a name of its own, and is true from its first moment.
    Fact,
    /// It is true from its first moment, and may happen again.
    Sudden,
}

/// What needs a person now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub event: String,
    /// Empty: the whole node.
    pub pipeline: String,
    pub subject: String,
    pub sort: Sort,
    pub severity: Urgency,
    /// It keeps the pipeline from its work, and may hide something else that does.
    pub stops_work: bool,
    /// Wall time; `None`: from now on.
    pub since: Option<UtcMs>,
    pub what: String,
    pub action: String,
}

impl From<&Need> for Condition {
    fn from(need: &Need) -> Self {
        let sort = match need.kind {
            NeedKind::Held | NeedKind::HaltedByNode => Sort::Fact,
            NeedKind::EndedBadly => Sort::Sudden,
            _ => Sort::Level,
        };
        Self {
            event: need.kind.code().to_owned(),
            pipeline: need.pipeline.clone().unwrap_or_default(),
            subject: need.subject.clone(),
            sort,
            severity: need.severity.into(),
            stops_work: need.kind.stops_work(),
            since: need.since,
            what: need.what.clone(),
            action: need.action.clone(),
        }
    }
}

impl Condition {
    /// What is worth a message. That the run before ended badly is none any more once this one has proved itself.
    pub fn of(needs: &[Need]) -> Vec<Self> {
        let all = needs.iter().map(Self::from);
        all.filter(|condition| condition.sort != Sort::Sudden || condition.severity == Urgency::Now).collect()
    }

    fn key(&self) -> String {
        format!("{}/{}/{}", self.event, line(&self.pipeline), line(&self.subject))
    }
}

/// Where an incident stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Stage {
    /// It is to last a little first.
    Waits { since: UtcMs },
    /// It is to be told.
    Ready { since: UtcMs },
    /// It was told, and lasts.
    Told { at: UtcMs },
    /// It was told, and is gone since.
    Gone { told: UtcMs, since: UtcMs },
    /// It is over, and that is to be told.
    Over { since: UtcMs },
}

/// Something that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    event: String,
    pipeline: String,
    sort: Sort,
    severity: Urgency,
    /// Wall time.
    since: UtcMs,
    /// When it was seen first.
    opened: UtcMs,
    /// How often it has begun.
    count: u32,
    /// How often it was told.
    words: u32,
    /// As it was told.
    what: String,
    action: String,
    /// As urgent as it was told at worst; `None`: not yet.
    told_as: Option<Urgency>,
    /// As it was seen last. Not kept, because it may change with every look.
    #[serde(skip)]
    newest: Option<(String, String)>,
    stage: Stage,
}

impl Incident {
    fn new(condition: &Condition, turn: Turn) -> Self {
        Self {
            event: condition.event.clone(),
            pipeline: line(&condition.pipeline),
            sort: condition.sort,
            severity: condition.severity,
            since: condition.since.unwrap_or(turn.wall),
            opened: turn.now,
            count: 1,
            words: 0,
            what: line(&condition.what),
            action: line(&condition.action),
            told_as: None,
            newest: None,
            stage: match condition.sort {
                Sort::Level => Stage::Waits { since: turn.now },
                Sort::Fact | Sort::Sudden => Stage::Ready { since: turn.now },
            },
        }
    }

    /// Worth remembering across a restart.
    const fn is_known(&self) -> bool {
        !matches!(self.stage, Stage::Waits { .. })
    }

    const fn lasts(&self) -> bool {
        matches!(self.stage, Stage::Ready { .. } | Stage::Told { .. } | Stage::Gone { .. })
    }

    fn seen(&mut self, condition: &Condition, turn: Turn) {
        let happened_again = condition.sort == Sort::Sudden && condition.since.is_some_and(|since| since != self.since);
        if happened_again {
            self.since = condition.since.unwrap_or(self.since);
            self.count = self.count.saturating_add(1);
        }
        self.severity = condition.severity;
        let is_worse = self.told_as.is_some_and(|told| condition.severity < told);
        self.newest = Some((line(&condition.what), line(&condition.action)));
        self.stage = match self.stage {
            Stage::Waits { since } if turn.now.since(since) >= HOLDS_FOR => Stage::Ready { since: turn.now },
            Stage::Told { .. } | Stage::Gone { .. } if is_worse => Stage::Ready { since: turn.now },
            Stage::Told { at } if happened_again && turn.now.since(at) >= GONE_FOR => Stage::Ready { since: turn.now },
            Stage::Gone { told, .. } => {
                self.count = self.count.saturating_add(u32::from(!happened_again));
                Stage::Told { at: told }
            }
            // It comes back while its end is still to be told: nobody has heard of that end.
            Stage::Over { since } => {
                self.count = self.count.saturating_add(u32::from(!happened_again));
                Stage::Told { at: since }
            }
            stage => stage,
        };
    }

    /// It is not there at this turn. Returns whether it is to be forgotten.
    fn missed(&mut self, turn: Turn, is_certain: bool) -> bool {
        let gone_for = if self.sort == Sort::Fact { FACT_GONE_FOR } else { GONE_FOR };
        self.stage = match self.stage {
            Stage::Waits { .. } => return true,
            Stage::Told { at } if is_certain => Stage::Gone { told: at, since: turn.now },
            Stage::Gone { told, .. } if !is_certain => Stage::Told { at: told },
            Stage::Gone { since, .. } if turn.now.since(since) >= gone_for => Stage::Over { since: turn.now },
            stage => stage,
        };
        false
    }

    fn message(&self, key: &str, node: &str, state: MessageState, turn: Turn) -> Message {
        let (opened, words) = (self.opened.to_string(), self.words.to_string());
        let about = if state == MessageState::Resolved { "over" } else { "lasts" };
        let said = match (state, self.words) {
            (MessageState::Resolved, _) => OVER,
            (_, 0) => "",
            (..) => "still: ",
        };
        Message {
            version: 1,
            id: id_of([node, key, &opened, &words, about].into_iter()),
            node: node.to_owned(),
            state,
            severity: self.severity,
            event: self.event.clone(),
            pipeline: self.pipeline.clone(),
            key: key.to_owned(),
            since: self.since.to_string(),
            at: turn.wall.to_string(),
            count: self.count,
            title: title(&format!("{said}{}", self.what)),
            text: format!("{said}{}; since {}", self.what, self.since),
            action: if state == MessageState::Resolved { String::new() } else { self.action.clone() },
        }
    }
}

/// All that goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Incidents {
    known: BTreeMap<String, Incident>,
    /// When single ones were told lately.
    singles: Vec<UtcMs>,
}

impl Incidents {
    /// What is worth remembering, by key.
    pub fn kept(&self) -> impl Iterator<Item = (&str, &Incident)> {
        self.known.iter().filter(|(_, incident)| incident.is_known()).map(|(key, incident)| (key.as_str(), incident))
    }

    /// Takes up what an earlier run has remembered.
    pub fn restore(&mut self, key: String, incident: Incident) {
        self.known.insert(key, incident);
    }

    /// What is to be told after a look at the node.
    pub fn turn(&mut self, node: &str, conditions: &[Condition], view: &NodeView, turn: Turn) -> Vec<Message> {
        let mut seen: BTreeMap<String, &Condition> = BTreeMap::new();
        for condition in conditions {
            seen.entry(condition.key()).or_insert(condition);
        }
        for (key, condition) in &seen {
            let is_full = self.known.len() >= INCIDENTS_MAX;
            if let Some(incident) = self.known.get_mut(key) {
                incident.seen(condition, turn);
            } else if !is_full {
                self.known.insert(key.clone(), Incident::new(condition, turn));
            }
        }
        self.known.retain(|key, incident| {
            if seen.contains_key(key) {
                return true;
            }
            let is_certain = is_certain(view, incident, conditions);
            !incident.missed(turn, is_certain)
        });
        let mut messages = self.tell_new(node, turn);
        messages.extend(self.remind(node, turn));
        messages.extend(self.clear(node, turn));
        messages
    }

    /// What is ready, each by itself, or in one message when there are many at once.
    fn tell_new(&mut self, node: &str, turn: Turn) -> Vec<Message> {
        self.singles.retain(|told| turn.now.since(*told) < HOLDS_FOR);
        let ready = self.keys(|incident| matches!(incident.stage, Stage::Ready { .. }));
        let first = ready.iter().filter_map(|key| match self.known.get(key)?.stage {
            Stage::Ready { since, .. } => Some(since),
            _ => None,
        });
        let Some(first) = first.min() else { return Vec::new() };
        let waits = self.known.values().filter(|incident| !incident.is_known()).count();
        let few = ready.len() + waits + self.singles.len() <= SINGLE_MAX;
        let is_complete = waits == 0 && self.singles.is_empty();
        if !few && !is_complete && turn.now.since(first) < HOLDS_FOR {
            return Vec::new();
        }
        let parts: Vec<Message> = ready.iter().filter_map(|key| self.say(key, node, turn)).collect();
        if parts.len() > SINGLE_MAX {
            return vec![Message::digest(node, "", &parts.iter().collect::<Vec<_>>(), turn.wall)];
        }
        self.singles.extend(parts.iter().map(|_| turn.now));
        parts
    }

    fn say(&mut self, key: &str, node: &str, turn: Turn) -> Option<Message> {
        let incident = self.known.get_mut(key)?;
        if let Some((what, action)) = incident.newest.take() {
            (incident.what, incident.action) = (what, action);
        }
        incident.told_as = Some(incident.told_as.map_or(incident.severity, |worst| worst.min(incident.severity)));
        let message = incident.message(key, node, MessageState::Firing, turn);
        incident.words = incident.words.saturating_add(1);
        incident.stage = Stage::Told { at: turn.now };
        Some(message)
    }

    fn remind(&mut self, node: &str, turn: Turn) -> Option<Message> {
        let told_for = |incident: &Incident| match incident.stage {
            Stage::Told { at } => turn.now.since(at),
            _ => Duration::ZERO,
        };
        if !self.known.values().any(|incident| told_for(incident) >= REMIND_AFTER) {
            return None;
        }
        let due = self.keys(|incident| told_for(incident) >= REMIND_AFTER.saturating_sub(REMIND_TOGETHER));
        let parts: Vec<Message> = due.iter().filter_map(|key| self.say(key, node, turn)).collect();
        one_of(node, parts, turn)
    }

    /// The all-clear for what is over.
    fn clear(&mut self, node: &str, turn: Turn) -> Option<Message> {
        let over = self.keys(|incident| matches!(incident.stage, Stage::Over { .. }));
        let waited = over.iter().filter_map(|key| match self.known.get(key)?.stage {
            Stage::Over { since } => Some(turn.now.since(since)),
            _ => None,
        });
        let waited = waited.max()?;
        let urgent = self.known.values().any(|incident| incident.lasts() && incident.severity == Urgency::Now);
        if urgent && waited < CLEAR_WITHIN {
            return None;
        }
        let parts = over.iter().filter_map(|key| {
            let incident = self.known.remove(key)?;
            Some(incident.message(key, node, MessageState::Resolved, turn))
        });
        one_of(node, parts.collect(), turn)
    }

    fn keys(&self, which: impl Fn(&Incident) -> bool) -> Vec<String> {
        self.known.iter().filter(|(_, incident)| which(incident)).map(|(key, _)| key.clone()).collect()
    }
}

fn one_of(node: &str, mut parts: Vec<Message>, turn: Turn) -> Option<Message> {
    if parts.len() > 1 {
        return Some(Message::digest(node, "", &parts.iter().collect::<Vec<_>>(), turn.wall));
    }
    parts.pop()
}

/// Whether something that is not seen is gone. A node that was just started has not seen it yet, and what kept a pipeline from its
/// work may be hidden behind something else that does.
fn is_certain(view: &NodeView, incident: &Incident, conditions: &[Condition]) -> bool {
    let Some(pipeline) = view.pipelines.get(&incident.pipeline) else { return true };
    let hidden = || conditions.iter().any(|other| other.pipeline == incident.pipeline && other.stops_work);
    let is_sound = || pipeline.faults_in_a_row == 0 && !hidden();
    pipeline.ended || (has_worked(view, pipeline) && (incident.sort == Sort::Fact || is_sound()))
}

/// It has ended a slot since the node was started.
fn has_worked(view: &NodeView, pipeline: &PipelineView) -> bool {
    pipeline.last_slot.is_some_and(|slot| !pipeline.wall_time || slot >= view.started_at)
}
