//! `--set KEY=VALUES`: what is tried, value by value and all with all.

use std::time::Duration;

use rust_decimal::Decimal;

use crate::config::closest;
use crate::exit::{self, ExitError};

/// Rules that may be tried in one go.
pub(super) const COMBINATIONS_MAX: usize = 2_000;

/// What the values of a key are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Whole,
    Duration,
    /// No range can be made of them.
    Words,
}

/// The keys that change decisions and nothing else, and where a configuration has them.
const KEYS: [(&str, &str, Kind); 14] = [
    ("decision.threshold", "pipeline.*.decision.threshold", Kind::Number),
    ("decision.stop_distance", "pipeline.*.decision.stop_distance", Kind::Number),
    ("decision.target_distance", "pipeline.*.decision.target_distance", Kind::Number),
    ("decision.volume_lots", "pipeline.*.decision.volume_lots", Kind::Number),
    ("decision.max_holding", "pipeline.*.decision.max_holding", Kind::Duration),
    ("decision.on_opposite", "pipeline.*.decision.on_opposite", Kind::Words),
    ("risk.max_open_positions", "pipeline.*.risk.max_open_positions", Kind::Whole),
    ("risk.max_position_lots", "pipeline.*.risk.max_position_lots", Kind::Number),
    ("risk.max_orders_per_hour", "pipeline.*.risk.max_orders_per_hour", Kind::Whole),
    ("risk.max_orders_per_day", "pipeline.*.risk.max_orders_per_day", Kind::Whole),
    ("risk.max_daily_loss", "pipeline.*.risk.max_daily_loss", Kind::Number),
    ("risk.max_drawdown", "pipeline.*.risk.max_drawdown", Kind::Number),
    ("risk.cool_down_after_losses", "pipeline.*.risk.cool_down_after_losses", Kind::Whole),
    ("risk.cool_down", "pipeline.*.risk.cool_down", Kind::Duration),
];

fn all_keys() -> String {
    KEYS.map(|(key, ..)| key).join(", ")
}

/// One key and the values that are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    pub key: &'static str,
    /// Where a configuration has it.
    pub path: &'static str,
    pub values: Vec<String>,
}

/// Why nothing can be tried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    #[error("--set {text} is neither KEY=FROM..TO/STEP nor KEY=VALUE,VALUE")]
    Form { text: String },
    #[error(
        "--set cannot try {key}: only keys that change decisions can be tried on one look at the bars{}",
        suggestion.as_ref().map_or_else(String::new, |key| format!("; did you mean {key}?"))
    )]
    Key { key: String, suggestion: Option<String> },
    #[error("--set {key}: '{text}' is not {wanted}")]
    Value { key: &'static str, text: String, wanted: &'static str },
    #[error("--set {key}: {from}..{to} holds no value, because it begins after its end")]
    Empty { key: &'static str, from: String, to: String },
    #[error("--set {key}: a step of {step} never gets from {from} to {to}")]
    Step { key: &'static str, step: String, from: String, to: String },
    #[error("--set {key} has no range, because its values are words")]
    NoRange { key: &'static str },
    #[error("--set {key}: {value} stands there twice")]
    Repeated { key: &'static str, value: String },
    #[error("--set names {key} twice")]
    Twice { key: &'static str },
    #[error("--set asks for {count} combinations, and {COMBINATIONS_MAX} can be tried in one go")]
    TooMany { count: String },
}

impl ExitError for SetError {
    fn exit_code(&self) -> u8 {
        exit::USAGE
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Key { .. } => {
                format!(
                    "name one of {}; bars, features and model are changed in the configuration, for a backtest each",
                    all_keys()
                )
            }
            Self::NoRange { .. } => "name them one by one, like decision.on_opposite=close,reverse".to_owned(),
            Self::TooMany { .. } => "take larger steps, or fewer keys".to_owned(),
            Self::Repeated { .. } | Self::Twice { .. } => "name it once".to_owned(),
            Self::Form { .. } | Self::Value { .. } | Self::Empty { .. } | Self::Step { .. } => {
                "write it like decision.threshold=0.50..0.80/0.02, or decision.threshold=0.5,0.6".to_owned()
            }
        })
    }
}

/// Reads all of `--set`.
pub(super) fn axes(sets: &[String]) -> Result<Vec<Axis>, SetError> {
    let axes = sets.iter().map(|text| axis(text)).collect::<Result<Vec<Axis>, SetError>>()?;
    if let Some((_, again)) =
        axes.iter().enumerate().find(|(at, axis)| axes[..*at].iter().any(|earlier| earlier.key == axis.key))
    {
        return Err(SetError::Twice { key: again.key });
    }
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()));
    match count {
        Some(count) if count <= COMBINATIONS_MAX => Ok(axes),
        Some(count) => Err(SetError::TooMany { count: count.to_string() }),
        None => Err(SetError::TooMany { count: format!("more than {}", usize::MAX) }),
    }
}

/// Each value of the first key with each of the others: the last key changes from one to the next.
pub(super) fn combinations(axes: &[Axis]) -> Vec<Vec<String>> {
    axes.iter().fold(vec![Vec::new()], |before, axis| {
        let with = |chosen: &Vec<String>| {
            let chosen = chosen.clone();
            axis.values.iter().map(move |value| [&chosen[..], std::slice::from_ref(value)].concat())
        };
        before.iter().flat_map(with).collect()
    })
}

fn axis(text: &str) -> Result<Axis, SetError> {
    let form = || SetError::Form { text: text.to_owned() };
    let (name, values) = text.split_once('=').ok_or_else(form)?;
    let name = name.trim();
    let unknown = || SetError::Key { key: name.to_owned(), suggestion: closest(name, KEYS.map(|(key, ..)| key)) };
    let (key, path, kind) = KEYS.into_iter().find(|(key, ..)| *key == name).ok_or_else(unknown)?;
    let values = match values.split_once("..") {
        None => values.split(',').map(|value| value.trim().to_owned()).collect(),
        Some((from, rest)) => {
            let (to, step) = rest.split_once('/').ok_or_else(form)?;
            range(key, kind, [from, to, step].map(str::trim))?
        }
    };
    if values.iter().any(String::is_empty) {
        return Err(form());
    }
    let repeated = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value));
    if let Some((_, value)) = repeated {
        return Err(SetError::Repeated { key, value: value.clone() });
    }
    Ok(Axis { key, path, values })
}

fn range(key: &'static str, kind: Kind, ends: [&str; 3]) -> Result<Vec<String>, SetError> {
    let wanted = match kind {
        Kind::Number => "a number",
        Kind::Whole => "a whole number",
        Kind::Duration => "a duration like 4h",
        Kind::Words => return Err(SetError::NoRange { key }),
    };
    let wrong = |text: &str| SetError::Value { key, text: text.to_owned(), wanted };
    let number = |text: &str| match kind {
        Kind::Duration => humantime::parse_duration(text).ok().map(|duration| Decimal::from(duration.as_secs())),
        _ => text.parse::<Decimal>().ok().filter(|number| kind != Kind::Whole || number.is_integer()),
    };
    let [from, to, step] = ends.map(|text| number(text).ok_or_else(|| wrong(text)));
    let (from, to, step) = (from?, to?, step?);
    let [from_text, to_text, step_text] = ends.map(str::to_owned);
    if from > to {
        return Err(SetError::Empty { key, from: from_text, to: to_text });
    }
    if step <= Decimal::ZERO {
        return Err(SetError::Step { key, step: step_text, from: from_text, to: to_text });
    }
    let mut values = Vec::new();
    let mut at = Some(from);
    while let Some(value) = at.filter(|at| *at <= to) {
        if values.len() > COMBINATIONS_MAX {
            return Err(SetError::TooMany { count: format!("more than {COMBINATIONS_MAX}") });
        }
        values.push(match (kind, u64::try_from(value)) {
            (Kind::Duration, Ok(seconds)) => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
            _ => value.to_string(),
        });
        at = value.checked_add(step);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str) -> Result<Vec<String>, String> {
        axis(text).map(|axis| axis.values).map_err(|error| error.to_string())
    }

    #[test]
    fn a_range_holds_both_ends_and_each_step_between_them_exactly() {
        let thresholds = values("decision.threshold=0.50..0.80/0.02").unwrap();
        assert_eq!((thresholds.len(), thresholds[0].as_str(), thresholds[15].as_str()), (16, "0.50", "0.80"));
        assert_eq!(thresholds[3], "0.56");
        assert_eq!(values("risk.max_open_positions=1..4/2").unwrap(), ["1", "3"]);
        assert_eq!(values("decision.max_holding=30m..2h/45m").unwrap(), ["30m", "1h 15m", "2h"]);
        assert_eq!(values("decision.on_opposite=close,reverse").unwrap(), ["close", "reverse"]);
        assert_eq!(values("decision.stop_distance=none, 0.0050").unwrap(), ["none", "0.0050"]);
    }

    #[test]
    fn what_cannot_be_tried_is_refused_and_says_why() {
        for (text, said) in [
            ("decision.threshold", "is neither KEY=FROM..TO/STEP"),
            ("decision.threshold=", "is neither KEY=FROM..TO/STEP"),
            ("decision.threshold=0.5..0.6", "is neither KEY=FROM..TO/STEP"),
            ("decision.threshold=0.6..0.5/0.1", "0.6..0.5 holds no value"),
            ("decision.threshold=0.5..0.6/0", "a step of 0 never gets from 0.5 to 0.6"),
            ("decision.threshold=0.5..0.6/-0.1", "a step of -0.1 never gets"),
            ("decision.threshold=low..0.6/0.1", "'low' is not a number"),
            ("risk.max_open_positions=1..3/0.5", "'0.5' is not a whole number"),
            ("decision.max_holding=1..3/1", "'1' is not a duration like 4h"),
            ("decision.on_opposite=close..reverse/1", "has no range, because its values are words"),
            ("decision.threshold=0.5,0.5", "0.5 stands there twice"),
            ("features.window=100..200/10", "cannot try features.window"),
            ("decision.treshold=0.5,0.6", "did you mean decision.threshold?"),
            ("decision.threshold=0..1/0.0001", "more than 2000 combinations"),
        ] {
            let error = values(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        let refused = |sets: &[&str]| axes(&sets.iter().map(|set| (*set).to_owned()).collect::<Vec<_>>()).unwrap_err();
        let twice = refused(&["decision.threshold=0.5", "decision.threshold=0.6"]);
        assert_eq!(twice, SetError::Twice { key: "decision.threshold" });
        let many = refused(&["decision.threshold=0.01..0.99/0.01", "decision.stop_distance=0.001..0.030/0.001"]);
        assert_eq!(many, SetError::TooMany { count: "2970".to_owned() });
        assert!(refused(&["model.path=a,b"]).advice().unwrap().contains("decision.threshold, decision.stop_distance"));
    }

    #[test]
    fn every_value_of_one_key_meets_every_value_of_the_others() {
        let sets = ["decision.threshold=0.5,0.6", "risk.max_open_positions=1,2,3"].map(str::to_owned);
        let all = combinations(&axes(&sets).unwrap());
        assert_eq!(
            (all.len(), &all[0][..], &all[4][..]),
            (6, &["0.5", "1"].map(str::to_owned)[..], &["0.6", "2"].map(str::to_owned)[..])
        );
    }
}
