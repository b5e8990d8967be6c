//! Arming: an operator looks at everything that would go live and types its identity, and only exactly that goes live.
//!
//! Promise 6 is kept here. [`Plan`] is what a configuration would do live, [`Terms`] are that plan with the models behind it and
//! with the [`Limits`] that end it. Their identity is a digest of all of it, so no part can change while the identity stays.
//! [`record`] keeps what was typed in the state directory, and [`Watch`] compares it with what runs. Nothing here sends anything,
//! and no secret gets in: a secret is the name of a file.

mod limits;
pub mod parts;
mod places;
pub mod record;
mod remaining;
mod seen;
mod terms;
mod venue_says;
mod watch;
mod watched_model;

use std::fmt;

pub use self::limits::{Limits, Until};
pub use self::places::{Place, live_places, needs_wallet};
pub use self::remaining::Effects;
pub use self::terms::{Live, Plan, Terms};
pub use self::venue_says::VenueSays;
pub use self::watch::{ArmOf, CountEffects, Ended, Watch};
pub use self::watched_model::WatchedModel;

/// Letters and digits of an identity: 60 bits.
const ID_CHARS: usize = 12;
const ID_GROUP: usize = 4;

/// The identity of [`Terms`]: twelve letters and digits in groups of four. None of them looks like another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmId(String);

impl ArmId {
    /// Whether this is what was typed, in small or capital letters, with or without its hyphens.
    #[must_use]
    pub fn is(&self, typed: &str) -> bool {
        let typed = typed.chars().filter(|char| !matches!(char, '-' | ' ' | '\t' | '\r' | '\n'));
        typed.map(|char| char.to_ascii_lowercase()).eq(self.0.chars())
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, char) in self.0.chars().enumerate() {
            if index > 0 && index % ID_GROUP == 0 {
                f.write_str("-")?;
            }
            write!(f, "{char}")?;
        }
        Ok(())
    }
}

/// As much of a digest as a person compares.
#[must_use]
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

#[cfg(test)]
pub(crate) mod tests {
    use sentinel_actors::domain::prediction::ModelIdentity;

    use super::parts::Parts;
    use super::*;

    pub(crate) fn place(pipeline: &str) -> Place {
        let mut settings = Parts::default();
        settings.set(parts::RISK, "risk.max_orders_per_day", "24");
        Place {
            pipeline: pipeline.to_owned(),
            job: "orders".to_owned(),
            goes_to: "gateway 127.0.0.1:5555, dialect order-send, account demo-1, magic 7".to_owned(),
            settings,
        }
    }

    pub(crate) fn model(hash: &str) -> ModelIdentity {
        ModelIdentity { id: "model.onnx".to_owned(), hash: hash.to_owned() }
    }

    pub(crate) fn plan() -> Plan {
        let places = vec![place("eurusd"), place("gbpusd")];
        Plan { config: "c0ffee".to_owned(), settings: Parts::default(), places }
    }

    pub(crate) fn terms() -> Terms {
        limited(Limits::default())
    }

    pub(crate) fn limited(limits: Limits) -> Terms {
        plan().with_models(vec![model("aa"), model("bb")], limits)
    }

    #[test]
    fn an_identity_is_short_and_typed_in_any_of_the_ways_that_people_type() {
        let id = terms().id();
        let text = id.to_string();
        assert_eq!((text.len(), text.split('-').count()), (14, 3), "{text}");
        let plain = |char: char| char == '-' || char.is_ascii_lowercase() || ('2'..='7').contains(&char);
        assert!(text.chars().all(plain), "{text}");
        for typed in
            [text.clone(), text.to_uppercase(), text.replace('-', ""), format!("  {}\n", text.replace('-', " "))]
        {
            assert!(id.is(&typed), "{typed:?}");
        }
        let other = if text.starts_with('a') { 'b' } else { 'a' };
        let wrong = [String::new(), "y".to_owned(), "yes".to_owned(), text[..13].to_owned(), format!("{text}a")];
        for typed in wrong.into_iter().chain([format!("{other}{}", &text[1..])]) {
            assert!(!id.is(&typed), "{typed:?}");
        }
    }
}
