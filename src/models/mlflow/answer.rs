//! What a hub's answer says, as rows of numbers.
//!
//! What a pyfunc model returns decides the form under `predictions`: a list of lists, records, a list of numbers, a number,
//! or an object. All of them are understood as long as there is only one way to do so; an order of classes is never guessed.
//! Nothing is judged here: two rows, too few classes and NaN are handed on as they are, because the domain has a reason for
//! each. Whatever bytes come, this neither panics nor recurses without a limit.

use std::borrow::Cow;

use sentinel_actors::domain::prediction::RawAnswer;
use serde_json::{Map, Value};

use super::json::{JsonError, read_once};

/// What a text holds that stands for a number that JSON does not have. No model writes a NUL into a text.
const NOT_JSON: [(&str, &str, f64); 3] = [
    ("NaN", "\"\\u0000NaN\"", f64::NAN),
    ("-Infinity", "\"\\u0000-Infinity\"", f64::NEG_INFINITY),
    ("Infinity", "\"\\u0000Infinity\"", f64::INFINITY),
];

/// Names of columns that an error repeats.
const NAMES_MAX: usize = 8;

/// Why an answer is not understood.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnswerError {
    /// Cut off, or something else.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is not defined which of the two counts.
    #[error("it has the key '{0}' twice in one object")]
    Twice(String),
    /// MLflow always wraps.
    #[error("it has no 'predictions'")]
    NoPredictions,
    /// A text, a truth value, or nothing where a number is due.
    #[error("{0} stands where numbers are due")]
    NotNumbers(&'static str),
    /// Rows of different forms, or deeper nesting.
    #[error("its predictions are neither a number nor a list of numbers, of rows, or of records")]
    Form,
    /// Names that say nothing about the order of the classes.
    #[error("its columns {have} are not the classes {want}: configure `classes` with the names of the model's columns")]
    Columns {
        /// In the answer.
        have: String,
        /// Configured.
        want: String,
    },
}

/// Reads an answer. `classes` gives the order of named columns; without any it is a regression, whose only column may have any name.
pub(super) fn read(body: &[u8], classes: &[String]) -> Result<RawAnswer, AnswerError> {
    let text = std::str::from_utf8(body).map_err(|error| AnswerError::NotJson(error.to_string()))?;
    let answer = read_once(&with_numbers_quoted(text)).map_err(|error| match error {
        JsonError::Syntax(error) => AnswerError::NotJson(error.to_string()),
        JsonError::Twice(key) => AnswerError::Twice(key),
    })?;
    let Value::Object(mut answer) = answer else { return Err(AnswerError::NoPredictions) };
    let predictions = answer.remove("predictions").ok_or(AnswerError::NoPredictions)?;
    Ok(RawAnswer { rows: rows(&predictions, classes)? })
}

/// Python's `json` writes NaN and the infinities bare, which no JSON parser takes: here they become marked texts.
fn with_numbers_quoted(text: &str) -> Cow<'_, str> {
    let mut quoted = String::new();
    let (mut copied, mut at, mut inside) = (0, 0, false);
    let bytes = text.as_bytes();
    while let Some(byte) = bytes.get(at) {
        at += match byte {
            b'\\' if inside => 2,
            b'"' => {
                inside = !inside;
                1
            }
            b'N' | b'I' | b'-' if !inside => {
                let found = NOT_JSON.iter().find(|(bare, ..)| bytes[at..].starts_with(bare.as_bytes()));
                match found {
                    Some((bare, marked, _)) => {
                        quoted.push_str(&text[copied..at]);
                        quoted.push_str(marked);
                        copied = at + bare.len();
                        bare.len()
                    }
                    None => 1,
                }
            }
            _ => 1,
        };
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    quoted.push_str(&text[copied..]);
    Cow::Owned(quoted)
}

fn rows(predictions: &Value, classes: &[String]) -> Result<Vec<Vec<f64>>, AnswerError> {
    match predictions {
        Value::Array(items) => items.iter().map(|item| row(item, classes)).collect::<Result<_, _>>().and_then(|rows| {
            let mixed = items.windows(2).any(|pair| kind(&pair[0]) != kind(&pair[1]));
            if mixed { Err(AnswerError::Form) } else { Ok(rows) }
        }),
        Value::Object(entries) => object(entries, classes),
        Value::Null => Err(AnswerError::NotNumbers("null")),
        scalar => Ok(vec![vec![number(scalar)?]]),
    }
}

/// One item of a list: a row, a record, or the only number of its row.
fn row(item: &Value, classes: &[String]) -> Result<Vec<f64>, AnswerError> {
    match item {
        Value::Array(cells) => cells.iter().map(number).collect(),
        Value::Object(record) => in_order(record, classes)?.into_iter().map(number).collect(),
        scalar => Ok(vec![number(scalar)?]),
    }
}

/// An object instead of a list: a record without its list, or a list under the model's own name, among notes in text.
fn object(entries: &Map<String, Value>, classes: &[String]) -> Result<Vec<Vec<f64>>, AnswerError> {
    let unknown = match in_order(entries, classes) {
        Ok(cells) => return Ok(vec![cells.into_iter().map(number).collect::<Result<_, _>>()?]),
        Err(unknown) => unknown,
    };
    let mut holders = entries.values().filter(|value| !matches!(value, Value::String(_)) || number(value).is_ok());
    match (holders.next(), holders.next()) {
        (Some(list @ Value::Array(items)), None) if items.iter().all(Value::is_array) => rows(list, classes),
        _ => Err(unknown),
    }
}

/// The cells of a record: in the order of the classes when it names them all and nothing else, whatever their case, or in
/// the order of its columns' numbers when they have no names. Classes are told apart by the same rule, so that no cell is
/// that of two.
fn in_order<'r>(record: &'r Map<String, Value>, classes: &[String]) -> Result<Vec<&'r Value>, AnswerError> {
    if classes.is_empty()
        && let (1, Some(cell)) = (record.len(), record.values().next())
    {
        return Ok(vec![cell]);
    }
    if record.len() == classes.len() {
        let named =
            |class: &String| record.iter().find(|(name, _)| name.eq_ignore_ascii_case(class)).map(|(_, value)| value);
        if let Some(cells) = classes.iter().map(named).collect() {
            return Ok(cells);
        }
    }
    let is_number = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = record.iter().map(|(name, value)| {
        let number = if is_number(name) { name.parse::<u32>().ok() } else { None };
        number.map(|number| (number, value))
    });
    let mut numbered: Vec<_> = numbered.collect::<Option<_>>().ok_or_else(|| unknown(record, classes))?;
    numbered.sort_by_key(|(number, _)| *number);
    if numbered.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return Err(unknown(record, classes)); // "1" and "01"
    }
    Ok(numbered.into_iter().map(|(_, value)| value).collect())
}

fn unknown(record: &Map<String, Value>, classes: &[String]) -> AnswerError {
    let mut have: Vec<_> = record.keys().take(NAMES_MAX).map(String::as_str).collect();
    if record.len() > NAMES_MAX {
        have.push("…");
    }
    AnswerError::Columns { have: have.join(", "), want: classes.join(", ") }
}

/// A cell. A null is what MLflow makes of a missing value, so it is one here too.
fn number(cell: &Value) -> Result<f64, AnswerError> {
    match cell {
        Value::Number(number) => number.as_f64().ok_or(AnswerError::NotNumbers("a number out of range")),
        Value::Null => Ok(f64::NAN),
        Value::String(text) => {
            let marked = text.strip_prefix('\0');
            let known = NOT_JSON.iter().find(|(bare, ..)| marked == Some(bare));
            known.map(|(.., value)| *value).ok_or(AnswerError::NotNumbers("a text"))
        }
        Value::Bool(_) => Err(AnswerError::NotNumbers("a truth value")),
        Value::Array(_) | Value::Object(_) => Err(AnswerError::Form),
    }
}

fn kind(item: &Value) -> u8 {
    match item {
        Value::Array(_) => 0,
        Value::Object(_) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn classes() -> Vec<String> {
        ["SELL", "HOLD", "BUY"].map(String::from).to_vec()
    }

    fn rows_of(body: &str) -> Result<Vec<Vec<f64>>, AnswerError> {
        read(body.as_bytes(), &classes()).map(|answer| answer.rows)
    }

    fn predictions(text: &str) -> Result<Vec<Vec<f64>>, AnswerError> {
        rows_of(&format!(r#"{{"predictions": {text}}}"#))
    }

    #[test]
    fn a_regression_answers_with_its_only_number_under_any_name() {
        for predictions in
            ["[[0.25]]", "[0.25]", "0.25", r#"[{"0": 0.25}]"#, r#"[{"log_return": 0.25}]"#, r#"{"y": 0.25}"#]
        {
            let body = format!(r#"{{"predictions": {predictions}}}"#);
            assert_eq!(read(body.as_bytes(), &[]).unwrap().rows, [[0.25]], "{predictions}");
        }
        let two = r#"{"predictions": [{"low": 0.1, "high": 0.2}]}"#;
        assert!(matches!(read(two.as_bytes(), &[]), Err(AnswerError::Columns { .. })));
    }

    #[test]
    fn every_form_that_a_model_may_return_is_read() {
        for (text, expected) in [
            // ndarray and nested list
            ("[[0.1, 0.2, 0.7]]", vec![vec![0.1, 0.2, 0.7]]),
            // DataFrame with the classes' names, in its own order and case
            (r#"[{"buy": 0.7, "Hold": 0.2, "SELL": 0.1}]"#, vec![vec![0.1, 0.2, 0.7]]),
            // DataFrame without names, and Series
            (r#"[{"2": 0.7, "1": 0.2, "0": 0.1}]"#, vec![vec![0.1, 0.2, 0.7]]),
            (r#"[{"10": 3, "9": 2, "1": 1}]"#, vec![vec![1.0, 2.0, 3.0]]),
            (r#"[{"0": 0.66}]"#, vec![vec![0.66]]),
            // list of scalars, scalar
            ("[0.66]", vec![vec![0.66]]),
            ("0.66", vec![vec![0.66]]),
            ("-1e-3", vec![vec![-0.001]]),
            // dict
            (r#"{"SELL": 0.1, "HOLD": 0.2, "BUY": 0.7}"#, vec![vec![0.1, 0.2, 0.7]]),
            (r#"{"probs": [[0.1, 0.2, 0.7]], "model": "x"}"#, vec![vec![0.1, 0.2, 0.7]]),
            // unchecked: the domain has a reason for each of these
            ("[]", vec![]),
            ("[[]]", vec![vec![]]),
            ("[0.1, 0.2, 0.7]", vec![vec![0.1], vec![0.2], vec![0.7]]),
            ("[[1, 2], [3]]", vec![vec![1.0, 2.0], vec![3.0]]),
        ] {
            assert_eq!(predictions(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_does_not_have_arrive_as_what_they_are() {
        for text in ["[[NaN, Infinity, -Infinity, null]]", r#"[{"0":NaN,"1":Infinity,"2":-Infinity,"3":null}]"#] {
            let row = predictions(text).unwrap().remove(0);
            assert!(row[0].is_nan() && row[3].is_nan(), "{row:?}");
            assert_eq!(row[1..3], [f64::INFINITY, f64::NEG_INFINITY]);
        }
        assert!(predictions("NaN").unwrap()[0][0].is_nan());
        let dict = predictions(r#"{"probs": [[NaN, 0.5, 0.5]], "model": "NaN \" NaN \\"}"#).unwrap();
        assert!(dict[0][0].is_nan() && dict[0][1] == 0.5);
        // A text that says NaN is a text.
        assert_eq!(predictions(r#"[["NaN", 0.5, 0.5]]"#), Err(AnswerError::NotNumbers("a text")));
    }

    #[test]
    fn what_cannot_be_understood_in_one_way_only_is_refused_with_a_reason() {
        let reason = |text: &str| predictions(text).unwrap_err().to_string();
        for (text, expected) in [
            ("null", "null stands where"),
            (r#""BUY""#, "a text stands where"),
            ("true", "a truth value stands where"),
            (r#"[["0.1", 0.2, 0.7]]"#, "a text stands where"),
            ("[[true, false, false]]", "a truth value stands where"),
            ("[[[0.1, 0.2, 0.7]]]", "its predictions are neither"),
            ("[[0.1, 0.2, 0.7], 0.5]", "its predictions are neither"),
            (r#"[{"SELL": [0.1], "HOLD": [0.2], "BUY": [0.7]}]"#, "its predictions are neither"),
            (r#"[{"SELL": 0.1, "HOLD": 0.2, "BUY": 0.7, "sure": 1}]"#, "its columns BUY, HOLD, SELL, sure are not"),
            (r#"[{"SELL": 0.1, "sell": 0.2, "BUY": 0.7}]"#, "its columns BUY, SELL, sell are not"),
            (r#"[{"0": 0.1, "00": 0.2, "1": 0.7}]"#, "its columns 0, 00, 1 are not"),
            (r#"[{"+1": 0.1}]"#, "its columns +1 are not"),
            (r#"[{"class_0_prob": 0.1, "class_1_prob": 0.9}]"#, "its columns class_0_prob, class_1_prob are not"),
            (r#"{"probs": [[0.5]], "others": [[0.5]]}"#, "its columns others, probs are not"),
            (r#"{"probs": [[0.5]], "sure": NaN}"#, "its columns probs, sure are not"),
            (r#"{"probs": "x"}"#, "its columns probs are not"),
        ] {
            assert!(reason(text).starts_with(expected), "{text}: {}", reason(text));
        }
        for body in
            ["", "[[0.5]]", "5", "{}", r#"{"outputs": [[0.5]]}"#, r#"{"predictions": [[0.1, 0.2"#, "1NaN", "-NaN"]
        {
            assert!(rows_of(body).is_err(), "{body}");
        }
        assert!(read(b"{\"predictions\": [[0.5]], \"x\": \"\xff\"}", &classes()).is_err());
        assert!(predictions(&"[".repeat(100_000)).is_err(), "a limit on nesting");
        let many: Vec<_> = (0..100).map(|nth| format!("\"c{nth}\": 1")).collect();
        assert!(reason(&format!("[{{{}}}]", many.join(","))).len() < 200, "a limit on names");
    }

    #[test]
    fn an_answer_that_has_a_key_twice_is_no_answer() {
        let (buy, sell) = ("[[0.1, 0.1, 0.8]]", "[[0.8, 0.1, 0.1]]");
        for (body, key) in [
            (format!(r#"{{"predictions": {buy}, "predictions": {sell}}}"#), "predictions"),
            (format!(r#"{{"predictions": {buy}, "predictions": {buy}}}"#), "predictions"),
            (format!(r#"{{"predictions": {buy}, "predict\u0069ons": {sell}}}"#), "predictions"),
            (r#"{"predictions": [{"SELL": 0.1, "HOLD": 0.1, "BUY": 0.8, "SELL": 0.8}]}"#.to_owned(), "SELL"),
            (r#"{"predictions": {"SELL": 0.1, "HOLD": 0.1, "BUY": 0.8, "BUY": 0.0}}"#.to_owned(), "BUY"),
            (format!(r#"{{"predictions": {{"probs": {buy}, "probs": {sell}}}}}"#), "probs"),
            (format!(r#"{{"metadata": {{"run": 1, "run": 2}}, "predictions": {buy}}}"#), "run"),
        ] {
            assert_eq!(rows_of(&body), Err(AnswerError::Twice(key.to_owned())), "{body}");
        }
        let nested = r#"{"predictions": [{"0": 0.1, "1": 0.9}], "notes": [{"0": 1}, {"0": 1}]}"#;
        assert_eq!(rows_of(nested), Ok(vec![vec![0.1, 0.9]]), "one key in two objects is there once in each");
    }

    #[test]
    fn no_column_is_that_of_two_classes() {
        let classes = ["ß", "SS"].map(String::from);
        let body = |other: &str| format!(r#"{{"predictions": [{{"ss": 0.25, "{other}": 0.75}}]}}"#);
        assert!(matches!(read(body("s").as_bytes(), &classes), Err(AnswerError::Columns { .. })));
        assert_eq!(read(body("ß").as_bytes(), &classes).unwrap().rows, [[0.75, 0.25]]);
    }

    #[test]
    fn a_column_of_the_model_may_be_configured_as_a_class() {
        let classes = ["CLASS_0_PROB", "CLASS_1_PROB"].map(String::from);
        let body = br#"{"predictions": [{"class_1_prob": 0.75, "class_0_prob": 0.25}]}"#;
        assert_eq!(read(body, &classes).unwrap().rows, [[0.25, 0.75]]);
    }

    const GOOD: [&str; 4] = [
        r#"{"predictions": [[0.09003057317038046, 0.24472847105479767, 0.6652409557748219]]}"#,
        r#"{"predictions": [{"SELL": NaN, "HOLD": -Infinity, "BUY": null}]}"#,
        r#"{"predictions": {"probs": [[0.1, 0.2, 0.7]], "model": "x\"y"}}"#,
        r#"{"predictions": [{"0": 0.6652409557748219}]}"#,
    ];

    fn any_json() -> impl Strategy<Value = Value> {
        let name = || prop::sample::select(vec!["SELL", "sell", "hold", "BUY", "0", "1", "01", "probs", ""]);
        let number = any::<u16>().prop_map(|number| Value::from(f64::from(number) / 8.0));
        let leaf = prop_oneof![8 => number, 1 => Just(Value::Null), 1 => Just(true.into()), 1 => Just("NaN".into())];
        leaf.prop_recursive(3, 24, 4, move |inner| {
            let entries = prop::collection::vec((name().prop_map(str::to_owned), inner.clone()), 0..4);
            let record = entries.prop_map(|entries| Value::Object(entries.into_iter().collect()));
            let classes = (inner.clone(), inner.clone(), inner.clone());
            let classes = classes.prop_map(|(buy, hold, sell)| json!({ "buy": buy, "HOLD": hold, "Sell": sell }));
            prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Value::from), record, classes]
        })
    }

    /// Every number and null of a text, as bits.
    fn numbers_in(json: &Value) -> Vec<u64> {
        match json {
            Value::Array(items) => items.iter().flat_map(numbers_in).collect(),
            Value::Object(entries) => entries.values().flat_map(numbers_in).collect(),
            Value::Number(number) => number.as_f64().map(f64::to_bits).into_iter().collect(),
            Value::Null => vec![f64::NAN.to_bits()],
            _ => vec![],
        }
    }

    proptest! {
        #[test]
        fn an_answer_has_each_number_of_the_reply_at_most_once_and_no_other(json in any_json(), is_value in any::<bool>()) {
            let body = json!({ "predictions": json }).to_string();
            let classes = if is_value { vec![] } else { classes() };
            let mut sent = numbers_in(&json);
            for number in read(body.as_bytes(), &classes).map(|answer| answer.rows.concat()).unwrap_or_default() {
                let at = sent.iter().position(|bits| *bits == number.to_bits());
                prop_assert!(at.is_some(), "{} is not, or not so often, in {}", number, json);
                sent.remove(at.unwrap());
            }
        }

        #[test]
        fn the_order_of_the_classes_is_the_configured_one_whatever_the_columns_say(
            order in Just(vec![0, 1, 2]).prop_shuffle(), rows in prop::collection::vec(any::<[u8; 3]>(), 1..4),
            is_upper in any::<[bool; 3]>(), extra in prop::option::of("[a-z]{1,6}"),
        ) {
            let name = |class: usize| {
                let name = &classes()[class];
                if is_upper[class] { name.clone() } else { name.to_lowercase() }
            };
            let cell = |class: usize, row: &[u8; 3]| format!("{:?}: {}", name(class), row[class]);
            let record = |row: &[u8; 3]| {
                let mut cells: Vec<_> = order.iter().map(|class| cell(*class, row)).collect();
                cells.extend(extra.iter().map(|name| format!("\"{name}\": 1")));
                format!("{{{}}}", cells.join(","))
            };
            let read = predictions(&format!("[{}]", rows.iter().map(record).collect::<Vec<_>>().join(",")));
            match extra {
                Some(_) => {
                    let is_refused = matches!(read, Err(AnswerError::Columns { .. } | AnswerError::Twice(_)));
                    prop_assert!(is_refused, "{:?}", read);
                }
                None => prop_assert_eq!(read, Ok(rows.iter().map(|row| row.map(f64::from).to_vec()).collect())),
            }
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, &classes());
        }

        #[test]
        fn no_text_of_its_own_signs_makes_it_panic(body in r#"[\[\]{}",:\\0-9.eE+\-NaInfityul \u{e9}]{0,80}"#) {
            let _ = read(body.as_bytes(), &classes());
            let _ = predictions(&body);
        }

        #[test]
        fn a_damaged_answer_causes_no_panic_and_no_invented_number(
            which in 0..GOOD.len(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut body = GOOD[which].as_bytes().to_vec();
            let at = at.index(body.len());
            if cut { body.truncate(at) } else { body[at] = byte }
            let read = read(&body, &classes());
            prop_assert!(!cut || read.is_err(), "a part of an answer is no answer");
        }

        #[test]
        fn every_number_arrives_as_it_was_sent(row in prop::collection::vec(any::<f64>(), 1..8)) {
            prop_assume!(row.iter().all(|value| value.is_finite()));
            let read = rows_of(&json!({ "predictions": [row] }).to_string()).unwrap();
            prop_assert_eq!(read, vec![row]);
        }
    }
}
