//! The settings behind an arm, in parts that have names: what changes is said by its name and in both values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::config::Setting;

/// Whose money it is.
pub const ACCOUNT: &str = "account";
/// Where the effects go.
pub const VENUE: &str = "venue";
pub const BARS: &str = "bars";
/// Where the model is asked, and for what.
pub const MODEL: &str = "model";
pub const RISK: &str = "risk";
/// What the model's answer leads to.
pub const DECISION: &str = "decision";
/// Deadlines, schedule and all that is left.
pub const REST: &str = "other settings";

/// Effective values by key, in parts by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parts(BTreeMap<String, BTreeMap<String, String>>);

impl Parts {
    /// Those of one pipeline.
    #[must_use]
    pub fn of_pipeline(settings: &[Setting], name: &str) -> Self {
        let prefix = format!("pipeline.{name}.");
        let mut parts = Self::default();
        for Setting { key, value, .. } in settings {
            if let Some(key) = key.strip_prefix(&prefix) {
                parts.set(part_of(key), key, value);
            }
        }
        parts
    }

    /// Those that all pipelines share: each section is a part.
    #[must_use]
    pub fn of_node(settings: &[Setting]) -> Self {
        let mut parts = Self::default();
        for Setting { key, value, .. } in settings {
            if let Some((section, key)) = key.split_once('.')
                && section != "pipeline"
            {
                parts.set(section, key, value);
            }
        }
        parts
    }

    /// Adds a value that stands in no file.
    pub fn set(&mut self, part: &str, key: &str, value: &str) {
        self.0.entry(part.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// The values of a part, for a person.
    #[must_use]
    pub fn text(&self, part: &str) -> String {
        let values = self.0.get(part).into_iter().flatten();
        values.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
    }

    /// One text for each part of `whose` that is not as it was armed.
    #[must_use]
    pub fn changes_since(&self, armed: &Self, whose: &str) -> Vec<String> {
        let none = BTreeMap::new();
        let mut changes = Vec::new();
        for part in self.0.keys().chain(armed.0.keys()).collect::<BTreeSet<_>>() {
            let (now, then) = (self.0.get(part).unwrap_or(&none), armed.0.get(part).unwrap_or(&none));
            let keys: BTreeSet<_> = now.keys().chain(then.keys()).collect();
            let changed = keys.into_iter().filter(|key| now.get(*key) != then.get(*key)).map(|key| {
                let value =
                    |of: &BTreeMap<String, String>| of.get(key).map_or_else(|| "absent".to_owned(), Clone::clone);
                format!("{key} is {}, and armed was {}", value(now), value(then))
            });
            let changed = changed.collect::<Vec<_>>().join(", ");
            if !changed.is_empty() {
                changes.push(format!("{part} of {whose}: {changed}"));
            }
        }
        changes
    }
}

/// The part that a key of a pipeline belongs to.
fn part_of(key: &str) -> &'static str {
    match key.split_once('.').unwrap_or((key, "")) {
        ("venue", "account" | "account_mode") => ACCOUNT,
        ("venue", _) => VENUE,
        ("source" | "data" | "symbol" | "interval" | "calendar", _) => BARS,
        ("model" | "features", _) => MODEL,
        ("risk", _) => RISK,
        ("decision" | "forecast", _) => DECISION,
        _ => REST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn setting(key: &str, value: &str) -> Setting {
        Setting { key: key.to_owned(), value: value.to_owned(), origin: Origin::File }
    }

    #[test]
    fn every_key_is_in_one_part_and_a_change_names_the_part_the_key_and_both_values() {
        let before: Vec<Setting> = [
            ("node.state", "state"),
            ("log.level", "info"),
            ("pipeline.a.venue.account", "demo-1"),
            ("pipeline.a.venue.host", "127.0.0.1"),
            ("pipeline.a.source.path", "bars.csv"),
            ("pipeline.a.risk.max_orders_per_day", "24"),
            ("pipeline.a.model.path", "model.onnx"),
            ("pipeline.a.decision.threshold", "0.6"),
            ("pipeline.a.mode", "live"),
            ("pipeline.ab.mode", "dry_run"),
        ]
        .map(|(key, value)| setting(key, value))
        .into();
        let own = Parts::of_pipeline(&before, "a");
        assert_eq!(own.0.values().map(BTreeMap::len).sum::<usize>(), 7, "that of another pipeline is not in it");
        assert_eq!(Parts::of_node(&before).0.len(), 2);
        assert!(own.changes_since(&own, "the pipeline a").is_empty());
        for (nth, expected) in [
            (2, "account of the pipeline a: venue.account is x, and armed was demo-1"),
            (3, "venue of the pipeline a: venue.host is x, and armed was 127.0.0.1"),
            (4, "bars of the pipeline a: source.path is x, and armed was bars.csv"),
            (5, "risk of the pipeline a: risk.max_orders_per_day is x, and armed was 24"),
            (6, "model of the pipeline a: model.path is x, and armed was model.onnx"),
            (7, "decision of the pipeline a: decision.threshold is x, and armed was 0.6"),
            (8, "other settings of the pipeline a: mode is x, and armed was live"),
        ] {
            let mut after = before.clone();
            after[nth].value = "x".to_owned();
            assert_eq!(Parts::of_pipeline(&after, "a").changes_since(&own, "the pipeline a"), [expected]);
        }
        let fewer = Parts::of_pipeline(&before[..8], "a").changes_since(&own, "it");
        assert_eq!(fewer, ["other settings of it: mode is absent, and armed was live"]);
    }
}
