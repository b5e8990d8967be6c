//! What a configuration would do live, and what an operator confirms of it.

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use sentinel_actors::domain::prediction::ModelIdentity;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::limits::Limits;
use super::parts::Parts;
use super::places::{Place, live_places};
use super::{ArmId, VenueSays, short};
use crate::config::Config;
use crate::venues::allora::address::Address;

/// What a configuration would do live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// [`Config::digest`]: file, environment and flags.
    pub config: String,
    /// What all pipelines share.
    pub settings: Parts,
    /// One for each live pipeline, in the order of the configuration.
    pub places: Vec<Place>,
}

impl Plan {
    /// Of a configuration as it is read for `run --live`, and the wallet that signs for its topics.
    #[must_use]
    pub fn of(config: &Config, worker: Option<&Address>) -> Self {
        let settings = Parts::of_node(&config.settings);
        Self { config: config.digest(), settings, places: live_places(config, worker) }
    }

    /// Whether every pipeline stays in dry run.
    #[must_use]
    pub fn is_dry(&self) -> bool {
        self.places.is_empty()
    }

    /// With the model behind each place, in their order, and what ends it.
    #[must_use]
    pub fn with_models(&self, models: Vec<ModelIdentity>, limits: Limits) -> Terms {
        let pipelines = self.places.iter().cloned().zip(models);
        let pipelines = pipelines.map(|(place, model)| Live { place, model, venue_says: VenueSays::Nothing });
        let settings = self.settings.clone();
        Terms { config: self.config.clone(), settings, pipelines: pipelines.collect(), limits }
    }

    /// What of it is not what was armed, each by its name; empty when all of it is.
    #[must_use]
    pub fn changes_since(&self, armed: &Terms) -> Vec<String> {
        let mut changes = self.settings.changes_since(&armed.settings, "the node");
        for place in &self.places {
            let Some(Live { place: then, .. }) =
                armed.pipelines.iter().find(|live| live.place.pipeline == place.pipeline)
            else {
                changes.push(format!("the pipeline {} was not armed", place.pipeline));
                continue;
            };
            let named = place.settings.changes_since(&then.settings, &format!("the pipeline {}", place.pipeline));
            if named.is_empty() && place != then {
                changes.push(format!(
                    "{} of the pipeline {} go to {}, and armed was {} to {}",
                    place.job, place.pipeline, place.goes_to, then.job, then.goes_to
                ));
            }
            changes.extend(named);
        }
        let gone =
            armed.pipelines.iter().filter(|live| self.places.iter().all(|place| place.pipeline != live.place.pipeline));
        changes.extend(
            gone.map(|live| format!("the pipeline {} was armed, and does not go live now", live.place.pipeline)),
        );
        if changes.is_empty() && self.config != armed.config {
            changes.push(format!(
                "a pipeline in dry run: the effective configuration has the digest {}, and the one that was armed {}",
                short(&self.config),
                short(&armed.config)
            ));
        }
        changes
    }
}

/// Everything that an operator confirms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// As [`Plan::config`].
    pub config: String,
    /// As [`Plan::settings`].
    pub settings: Parts,
    pub pipelines: Vec<Live>,
    pub limits: Limits,
}

/// A pipeline that goes live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Live {
    pub place: Place,
    pub model: ModelIdentity,
    /// Of itself.
    pub venue_says: VenueSays,
}

impl Terms {
    /// What an operator types to confirm them.
    #[must_use]
    pub fn id(&self) -> ArmId {
        let text = BASE32_NOPAD.encode(&self.digest());
        ArmId(text.chars().take(super::ID_CHARS).map(|char| char.to_ascii_lowercase()).collect())
    }

    /// Of all of it, 64 hexadecimal digits.
    #[must_use]
    pub fn checksum(&self) -> String {
        HEXLOWER.encode(&self.digest())
    }

    fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update("sentinel arm 2");
        // No two terms are the same JSON, and maps have their keys in order.
        hash.update(serde_json::to_vec(self).unwrap_or_default());
        hash.finalize().into()
    }

    /// What the venue of a pipeline says of itself, when it says something.
    #[must_use]
    pub fn account_of(&self, pipeline: &str) -> Option<&VenueSays> {
        let live = self.pipelines.iter().find(|live| live.place.pipeline == pipeline);
        live.map(|live| &live.venue_says).filter(|says| **says != VenueSays::Nothing)
    }

    /// What the venue of a pipeline says of itself otherwise than when it was armed.
    #[must_use]
    pub fn venue_change_of(&self, pipeline: &str, says: &VenueSays) -> Option<String> {
        let live = self.pipelines.iter().find(|live| live.place.pipeline == pipeline)?;
        let armed = &live.venue_says;
        (armed != says)
            .then(|| format!("the venue of the pipeline {pipeline} says of itself: {says}, and armed was: {armed}"))
    }

    /// What of a model is not what was armed.
    #[must_use]
    pub fn change_of(&self, pipeline: &str, model: &ModelIdentity) -> Option<String> {
        match self.pipelines.iter().find(|live| live.place.pipeline == pipeline) {
            Some(live) if live.model == *model => None,
            Some(live) => Some(format!(
                "the model of the pipeline {pipeline} is {} {}, and armed was {} {}",
                model.id,
                short(&model.hash),
                live.model.id,
                short(&live.model.hash)
            )),
            None => Some(format!("the pipeline {pipeline} was not armed")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{model, place, plan, terms};
    use super::*;

    #[test]
    fn every_part_that_is_shown_changes_the_identity() {
        let changes: [fn(&mut Terms); 15] = [
            |terms| terms.pipelines[0].venue_says = VenueSays::Account("server x".to_owned()),
            |terms| terms.config.push('0'),
            |terms| terms.settings.set("log", "level", "debug"),
            |terms| terms.pipelines[1].place.pipeline.push('2'),
            |terms| terms.pipelines[0].place.job = "forecasts".to_owned(),
            |terms| terms.pipelines[0].place.goes_to = terms.pipelines[0].place.goes_to.replace("5555", "5556"),
            |terms| terms.pipelines[0].place.settings.set("risk", "risk.max_orders_per_day", "25"),
            |terms| terms.pipelines[0].model.id.push('2'),
            |terms| terms.pipelines[1].model.hash = "aa".to_owned(),
            |terms| terms.pipelines.swap(0, 1),
            |terms| drop(terms.pipelines.pop()),
            |terms| terms.limits.until = "8h".parse().ok(),
            |terms| terms.limits.max_orders = Some(8),
            |terms| terms.limits.max_loss = Some(8.into()),
            // The same bytes in a row, cut elsewhere.
            |terms| {
                terms.pipelines[0].model.id.push('a');
                terms.pipelines[0].model.hash = "a".to_owned();
            },
        ];
        let mut seen = vec![terms().id()];
        for (nth, change) in changes.into_iter().enumerate() {
            let mut terms = terms();
            change(&mut terms);
            assert!(!seen.contains(&terms.id()), "change {nth}");
            seen.push(terms.id());
        }
    }

    #[test]
    fn a_plan_names_what_is_not_as_it_was_armed() {
        assert!(plan().changes_since(&terms()).is_empty());
        let mut other = plan();
        other.config = "decaf".to_owned();
        let said = other.changes_since(&terms());
        assert!(said.len() == 1 && said[0].contains("digest decaf, and the one that was armed c0ffee"), "{said:?}");
        other.settings.set("log", "level", "debug");
        other.places[0].settings.set("risk", "risk.max_orders_per_day", "25");
        other.places[1].goes_to = "gateway 127.0.0.1:5556".to_owned();
        other.places.push(place("usdjpy"));
        let expected = [
            "log of the node: level is debug, and armed was absent",
            "risk of the pipeline eurusd: risk.max_orders_per_day is 25, and armed was 24",
            "orders of the pipeline gbpusd go to gateway 127.0.0.1:5556, and armed was orders to gateway 127.0.0.1:5555",
            "the pipeline usdjpy was not armed",
        ];
        let said = other.changes_since(&terms());
        assert!(said.len() == 4 && said.iter().zip(expected).all(|(said, part)| said.starts_with(part)), "{said:?}");
        other.places.truncate(1);
        assert!(
            other
                .changes_since(&terms())
                .contains(&"the pipeline gbpusd was armed, and does not go live now".to_owned())
        );
        assert_eq!(terms().change_of("eurusd", &model("aa")), None);
        let said = terms().change_of("eurusd", &model("bb")).unwrap();
        assert_eq!(said, "the model of the pipeline eurusd is model.onnx bb, and armed was model.onnx aa");
        assert_eq!(terms().change_of("usdjpy", &model("aa")).unwrap(), "the pipeline usdjpy was not armed");
    }
}
