//! What a block of the chain announces about a topic's windows: typed events, whose attributes are JSON.
//!
//! The name of an event has the module's version in it, which is passed over: a block from before an upgrade says the same. An
//! event that cannot be read is none; what rests on one has another witness.

use serde_json::Value;

use super::rpc::Event;

/// An event about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainEvent {
    pub topic: u64,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// At the end of the block that is its nonce.
    WindowOpened {
        nonce: u64,
        /// Its last block.
        end: u64,
    },
    /// At the end of a window's last block: who was active in it.
    ActiveInferers { nonce: u64, workers: Vec<String> },
    /// In a transaction: an inference has a place among the active ones, until a better one takes it.
    Inserted { nonce: u64, worker: String },
}

impl ChainEvent {
    /// `None` for every other event.
    #[must_use]
    pub fn read(event: &Event) -> Option<Self> {
        let (module, name) = event.kind.rsplit_once('.')?;
        if !module.starts_with("emissions.") {
            return None;
        }
        let kind = match name {
            "EventWorkerSubmissionWindowOpened" => Kind::WindowOpened {
                nonce: number(&attribute(event, "nonce_block_height")?)?,
                end: number(&attribute(event, "window_end_block")?)?,
            },
            "EventActiveInferersSet" => Kind::ActiveInferers {
                nonce: number(&attribute(event, "nonce")?)?,
                workers: texts(attribute(event, "addresses")?)?,
            },
            "EventInsertInfererPayload" => Kind::Inserted {
                nonce: number(&attribute(event, "nonce")?)?,
                worker: attribute(event, "inferer")?.as_str()?.to_owned(),
            },
            _ => return None,
        };
        Some(Self { topic: number(&attribute(event, "topic_id")?)?, kind })
    }

    /// What these events say about a topic.
    pub fn of(topic: u64, events: &[Event]) -> impl Iterator<Item = Kind> {
        events.iter().filter_map(Self::read).filter(move |event| event.topic == topic).map(|event| event.kind)
    }
}

fn attribute(event: &Event, key: &str) -> Option<Value> {
    let (_, value) = event.attributes.iter().find(|(known, _)| known == key)?;
    serde_json::from_str(value).ok()
}

/// A number, which JSON of protobuf writes in quotes; a nonce may be a message of its own.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => text.parse().ok(),
        Value::Object(nonce) => number(nonce.get("block_height")?),
        other => other.as_u64(),
    }
}

fn texts(value: Value) -> Option<Vec<String>> {
    // Of nobody, it may be null.
    serde_json::from_value::<Option<Vec<String>>>(value).ok().map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: &str, attributes: &[(&str, &str)]) -> Event {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Event { kind: kind.to_owned(), attributes: attributes.iter().map(pair).collect() }
    }

    #[test]
    fn the_events_of_a_window_are_read_in_every_version_of_the_module() {
        for version in ["v9", "v10"] {
            let named = |name: &str| format!("emissions.{version}.{name}");
            let opened = event(
                &named("EventWorkerSubmissionWindowOpened"),
                &[
                    ("topic_id", "\"67\""),
                    ("nonce_block_height", "\"100\""),
                    ("window_end_block", "\"110\""),
                    ("mode", "EndBlock"),
                ],
            );
            let active = event(
                &named("EventActiveInferersSet"),
                &[("topic_id", "\"67\""), ("addresses", "[\"allo1a\",\"allo1b\"]"), ("nonce", "\"100\"")],
            );
            let inserted = event(
                &named("EventInsertInfererPayload"),
                &[("topic_id", "\"67\""), ("nonce", "{\"block_height\":\"100\"}"), ("inferer", "\"allo1a\"")],
            );
            let read: Vec<Kind> = ChainEvent::of(67, &[opened, active, inserted]).collect();
            let workers = vec!["allo1a".to_owned(), "allo1b".to_owned()];
            let expected = [
                Kind::WindowOpened { nonce: 100, end: 110 },
                Kind::ActiveInferers { nonce: 100, workers },
                Kind::Inserted { nonce: 100, worker: "allo1a".to_owned() },
            ];
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn what_is_damaged_or_about_something_else_is_no_event() {
        let name = "emissions.v10.EventWorkerSubmissionWindowOpened";
        let whole = [("topic_id", "\"67\""), ("nonce_block_height", "\"100\""), ("window_end_block", "\"110\"")];
        assert!(ChainEvent::read(&event(name, &whole)).is_some());
        assert_eq!(ChainEvent::of(68, &[event(name, &whole)]).count(), 0, "another topic");
        for at in 0..whole.len() {
            let mut damaged = whole;
            damaged[at].1 = "\"x\"";
            assert_eq!(ChainEvent::read(&event(name, &damaged)), None);
            damaged[at].1 = "67\"";
            assert_eq!(ChainEvent::read(&event(name, &damaged)), None);
            damaged[at].0 = "other";
            assert_eq!(ChainEvent::read(&event(name, &damaged)), None);
        }
        for other in ["tx", "emissions.v10.EventScoresSet", "rival.EventWorkerSubmissionWindowOpened"] {
            assert_eq!(ChainEvent::read(&event(other, &whole)), None, "{other}");
        }
    }
}
