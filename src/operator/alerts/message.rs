//! One message: what a route is told, and its forms for people.
//!
//! Names and texts come from venues, models and configurations: they stay one line of plain text, whatever they hold.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::Severity;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::notice::Notice;

/// Characters of a message for a chat (Telegram takes 4,096).
const CHAT_MAX: usize = 4096;
/// Characters of a title.
const TITLE_MAX: usize = 160;
/// Characters of what is said about one thing.
const LINE_MAX: usize = 600;
/// Characters of a whole text.
const TEXT_MAX: usize = 3000;
/// Things that a message about several names.
const NAMED: usize = 20;
/// The event of a message about several.
const SEVERAL: &str = Notice::Several.code();
/// Begins the title of what has ended.
pub(super) const OVER: &str = "over: ";
/// In a digest's line, behind its time.
const IS_OVER: &str = "Z over: ";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// It has begun, has become worse, or still lasts after a day.
    Firing,
    /// It is over.
    Resolved,
    /// Several things in one message.
    Digest,
}

/// How soon somebody has to act; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Urgency {
    Now,
    Soon,
    Info,
}

impl From<Severity> for Urgency {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Now => Self::Now,
            Severity::Soon => Self::Soon,
        }
    }
}

/// As a webhook gets it. All fields are always there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Of this form.
    pub version: u32,
    /// Of this message: the same when it is sent again, because it is not known whether it has arrived.
    pub id: String,
    /// The node's name.
    pub node: String,
    pub state: MessageState,
    pub severity: Urgency,
    /// What kind of thing, such as `held`; `several` of a digest.
    pub event: String,
    /// Empty: the whole node, or several.
    pub pipeline: String,
    /// Of the incident: `event/pipeline/subject`. Empty of a digest.
    pub key: String,
    /// Since when it lasts; wall time.
    pub since: String,
    /// When the message was made; wall time.
    pub at: String,
    /// How often it has begun; of a digest: how many things it is about.
    pub count: u32,
    pub title: String,
    pub text: String,
    /// What to do; may be empty.
    pub action: String,
}

impl Message {
    /// For a chat: plain text.
    #[must_use]
    pub fn chat(&self) -> String {
        let mut text = format!("{}: {}", self.node, self.title);
        if !self.text.is_empty() {
            let _ = write!(text, "\n{}", self.text);
        }
        if !self.action.is_empty() {
            let _ = write!(text, "\nWhat to do: {}", self.action);
        }
        cut(&text, CHAT_MAX)
    }

    /// One that says that the route works, and nothing else.
    #[must_use]
    pub fn test(node: &str, id: &str, wall: UtcMs) -> Self {
        Self {
            version: 1,
            id: id.to_owned(),
            node: node.to_owned(),
            state: MessageState::Firing,
            severity: Urgency::Info,
            event: Notice::Test.code().to_owned(),
            pipeline: String::new(),
            key: "test//".to_owned(),
            since: wall.to_string(),
            at: wall.to_string(),
            count: 1,
            title: "this is a test".to_owned(),
            text: "Somebody has typed `sentinel alert test`. Nothing is the matter.".to_owned(),
            action: String::new(),
        }
    }

    /// Several in one; `why` says why they come together, and may be empty.
    #[must_use]
    pub fn digest(node: &str, why: &str, parts: &[&Self], wall: UtcMs) -> Self {
        let lines: Vec<String> = parts.iter().flat_map(|part| part.lines()).collect();
        let over = lines.iter().filter(|line| line.contains(IS_OVER)).count();
        let lasts = lines.len() - over;
        let about = match (lasts, over) {
            (_, 0) => format!("{lasts} things need you"),
            (0, _) => format!("{OVER}{over} things"),
            (..) => format!("{lasts} things needed you, {over} are over"),
        };
        let mut text = why.to_owned();
        for line in lines.iter().take(NAMED) {
            let separator = if text.is_empty() { "" } else { "\n" };
            let _ = write!(text, "{separator}{line}");
        }
        if lines.len() > NAMED {
            let _ = write!(text, "\nand {} more", lines.len() - NAMED);
        }
        let is_clear = parts.iter().all(|part| part.state == MessageState::Resolved);
        let action = if is_clear { "" } else { "`sentinel status` shows what still lasts" };
        Self {
            version: 1,
            id: id_of(parts.iter().map(|part| part.id.as_str()).chain([why])),
            node: node.to_owned(),
            state: if is_clear { MessageState::Resolved } else { MessageState::Digest },
            severity: parts.iter().map(|part| part.severity).min().unwrap_or(Urgency::Info),
            event: SEVERAL.to_owned(),
            pipeline: String::new(),
            key: String::new(),
            since: parts.iter().map(|part| part.since.clone()).min().unwrap_or_default(),
            at: wall.to_string(),
            count: u32::try_from(lines.len()).unwrap_or(u32::MAX),
            title: about,
            text: cut(&text, TEXT_MAX),
            action: action.to_owned(),
        }
    }

    /// As parts of a digest: one line for each thing.
    fn lines(&self) -> Vec<String> {
        if self.event == SEVERAL {
            return self.text.lines().map(str::to_owned).collect();
        }
        let action = match self.state {
            MessageState::Firing if !self.action.is_empty() => format!(" ({})", self.action),
            _ => String::new(),
        };
        vec![format!("{} {}{action}", self.at, self.title)]
    }
}

/// Sixteen digits that name a message made of these.
pub(super) fn id_of<'t>(parts: impl Iterator<Item = &'t str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part.as_bytes());
    }
    HEXLOWER.encode(&hash.finalize()[..8])
}

/// A title: one line.
pub(super) fn title(text: &str) -> String {
    plain(text, TITLE_MAX)
}

/// What is said about one thing: one line.
pub(super) fn line(text: &str) -> String {
    plain(text, LINE_MAX)
}

/// Without what breaks a line, moves a cursor or turns the direction of the text around.
fn plain(text: &str, chars_max: usize) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let safe: String = text.chars().map(|c| if c.is_control() || turns(c) { ' ' } else { c }).collect();
    cut(safe.trim(), chars_max)
}

/// At most so many characters, and marked where it was cut.
pub(super) fn cut(text: &str, chars_max: usize) -> String {
    if text.chars().count() <= chars_max {
        return text.to_owned();
    }
    text.chars().take(chars_max.saturating_sub(1)).chain(['…']).collect()
}
