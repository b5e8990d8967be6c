//! Events of blocks and transactions, with their values as JSON text, as typed events of the Cosmos SDK are written.

use serde::Serialize;
use serde_json::{Value, json};

use super::proto::{AbciAttribute, AbciEvent};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    pub kind: String,
    pub attributes: Vec<(String, String)>,
}

/// What an attribute of a typed event holds: numbers and texts are both written in quotes.
pub(super) trait Attribute {
    fn quoted(&self) -> String;
}

impl Attribute for u64 {
    fn quoted(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Attribute for i64 {
    fn quoted(&self) -> String {
        format!("\"{self}\"")
    }
}

impl Attribute for String {
    fn quoted(&self) -> String {
        json!(self).to_string()
    }
}

impl Attribute for Vec<String> {
    fn quoted(&self) -> String {
        json!(self).to_string()
    }
}

impl Event {
    /// A plain event, whose values are texts as they are.
    pub(super) fn plain(kind: &str, attributes: &[(&str, String)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Self { kind: kind.to_owned(), attributes }
    }

    pub(super) fn typed(kind: &str, attributes: &[(&str, &dyn Attribute)]) -> Self {
        let attributes = attributes.iter().map(|(key, value)| ((*key).to_owned(), value.quoted())).collect();
        Self { kind: kind.to_owned(), attributes }
    }

    /// Of the end of a block.
    pub(super) fn of_end_block(mut self) -> Self {
        self.attributes.push(("mode".to_owned(), "EndBlock".to_owned()));
        self
    }

    pub(super) fn json(&self) -> Value {
        let attribute = |(key, value): &(String, String)| json!({ "key": key, "value": value, "index": true });
        json!({ "type": self.kind, "attributes": self.attributes.iter().map(attribute).collect::<Vec<_>>() })
    }

    pub(super) fn proto(&self) -> AbciEvent {
        let attribute =
            |(key, value): &(String, String)| AbciAttribute { key: key.clone(), value: value.clone(), index: true };
        AbciEvent { kind: self.kind.clone(), attributes: self.attributes.iter().map(attribute).collect() }
    }
}
