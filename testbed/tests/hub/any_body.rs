//! No body whatever ends the hub: it answers each with a prediction or with an error of MLflow.

use std::cell::RefCell;

use proptest::prelude::*;
use sentinel_testbed::hub::{Reply, Scoring};
use serde_json::{Value, json};

use super::{columns, hub, invoke, probe};

thread_local! {
    static HUB: RefCell<Scoring> = RefCell::new(hub(&[]));
}

fn is_answered(body: &[u8]) -> Result<(), TestCaseError> {
    let Reply::Whole(answer) = HUB.with_borrow_mut(|hub| invoke(hub, body)) else {
        return Err(TestCaseError::fail("no answer"));
    };
    let text = String::from_utf8(answer.body).map_err(|e| TestCaseError::fail(e.to_string()))?;
    match answer.status {
        200 => prop_assert!(text.starts_with("{\"predictions\": ["), "{}", text),
        400 => {
            let error: Value = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(error["error_code"].is_string() && error["message"].is_string(), "{}", text);
        }
        500 => prop_assert_eq!(text, "Internal Server Error"),
        other => prop_assert!(false, "{other}"),
    }
    Ok(())
}

fn valid_bodies() -> [String; 4] {
    let row = probe(0).0;
    let blocks = json!({ "X_tabular": row, "X_sequential": vec![vec![0.1; 23]; 60] });
    [
        json!({ "dataframe_split": { "columns": columns(), "data": [row] } }),
        json!({ "dataframe_records": [{ "feature_0": "0.1", "feature_1": null }] }),
        json!({ "inputs": [row, row] }),
        json!({ "instances": [blocks] }),
    ]
    .map(|body| body.to_string())
}

/// A small document with the names that matter in it.
fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
        Just(json!(vec![0.5; 23])),
    ];
    let name = prop::sample::select(vec![
        "columns",
        "data",
        "index",
        "X_tabular",
        "X_sequential",
        "feature_0",
        "row",
        "inputs",
        "é",
    ]);
    let value = leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..5)
                .prop_map(|entries| entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    });
    let key = prop::sample::select(vec!["dataframe_split", "dataframe_records", "instances", "inputs"]);
    (key, value).prop_map(|(key, value)| json!({ key: value }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_are_answered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        is_answered(&body)?;
    }

    #[test]
    fn random_text_is_answered(body in r#"[\[\]{}",:\\un0-9eE+.\-tNaI é]{0,40}"#) {
        is_answered(body.as_bytes())?;
    }

    #[test]
    fn documents_of_any_shape_are_answered(body in document()) {
        is_answered(body.to_string().as_bytes())?;
    }

    #[test]
    fn valid_bodies_with_a_few_bytes_changed_are_answered(
        which in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..5),
    ) {
        let mut body = valid_bodies()[which].clone().into_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(body.len());
            match kind {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => body.truncate(at.max(1)),
            }
        }
        is_answered(&body)?;
    }
}
