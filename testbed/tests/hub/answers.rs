//! Every way to ask the demo's model one question, and how a question is refused.

use sentinel_testbed::hub::{Form, HubRequest, Model, Reply, Scoring, Wrapping};
use serde_json::{Map, Value, json};

use super::{WIDTH, ask, body, columns, file, hub, predictions, probe};

fn sequence(steps: usize) -> Value {
    json!(vec![vec![0.1; WIDTH]; steps])
}

fn record(row: &[f64]) -> Value {
    Value::Object(columns().into_iter().zip(row).map(|(name, value)| (name, json!(value))).collect())
}

fn message(hub: &mut Scoring, request: &Value) -> String {
    let answer = ask(hub, request);
    assert_eq!((answer.status, answer.content_type), (400, "application/json"));
    body(&answer)["message"].as_str().unwrap().to_owned()
}

fn other_hub(model: &str) -> Scoring {
    Scoring::new(Model::load(&file(model)).unwrap(), vec![]).unwrap()
}

#[test]
fn every_form_of_one_row_gets_the_models_answer() {
    let (row, expected) = probe(0);
    let reversed: Vec<String> = columns().into_iter().rev().chain(["extra".to_owned()]).collect();
    let reversed_row: Vec<f64> = row.iter().rev().copied().chain([7.0]).collect();
    let by_column: Map<String, Value> = columns().into_iter().zip(&row).map(|(name, x)| (name, json!([x]))).collect();
    let as_text: Vec<String> = row.iter().map(ToString::to_string).collect();
    let blocks = json!({ "X_tabular": row, "X_sequential": sequence(60) });
    let forms = [
        json!({ "dataframe_split": { "columns": columns(), "data": [row] } }),
        json!({ "dataframe_split": { "columns": columns(), "index": [0], "data": [row] }, "params": {}, "other": 1 }),
        json!({ "dataframe_split": { "columns": reversed, "data": [reversed_row] } }),
        json!({ "dataframe_split": { "columns": columns(), "data": [as_text] } }),
        json!({ "dataframe_split": { "columns": ["X_tabular", "X_sequential"], "data": [[row, sequence(60)]] } }),
        json!({ "dataframe_records": [record(&row)] }),
        json!({ "dataframe_records": [blocks] }),
        json!({ "instances": [row] }),
        json!({ "instances": [record(&row)] }),
        json!({ "instances": [blocks] }),
        json!({ "inputs": [row] }),
        json!({ "inputs": [record(&row)] }),
        json!({ "inputs": by_column }),
        json!({ "inputs": record(&row) }),
        json!({ "inputs": { "row": [row] } }),
        json!({ "inputs": { "X_tabular": [row], "X_sequential": [sequence(60)] } }),
    ];
    let mut hub = hub(&[]);
    for form in &forms {
        let [got] = predictions(&ask(&mut hub, form)).try_into().unwrap();
        assert_eq!(got, expected, "{form}");
    }
}

#[test]
fn several_rows_get_as_many_predictions_in_their_order() {
    let ([first, second], mut hub) = ([probe(1), probe(2)], hub(&[]));
    let split = json!({ "dataframe_split": { "columns": columns(), "data": [first.0, second.0] } });
    for form in [
        json!({ "inputs": [first.0, second.0] }),
        json!({ "dataframe_records": [record(&first.0), record(&second.0)] }),
        split,
    ] {
        assert_eq!(predictions(&ask(&mut hub, &form)), [first.1.clone(), second.1.clone()]);
    }
    assert!(
        predictions(&ask(&mut hub, &json!({ "dataframe_split": { "columns": columns(), "data": [] } }))).is_empty()
    );
}

#[test]
fn numbers_are_float32_widened_and_read_back_as_the_same() {
    let (row, expected) = probe(3);
    let answer = ask(&mut hub(&[]), &json!({ "inputs": [row] }));
    let numbers = expected.iter().map(|x| format!("{x:?}")).collect::<Vec<_>>().join(", ");
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("{{\"predictions\": [[{numbers}]]}}"));
    assert!(expected.iter().all(|x| f64::from(*x as f32) == *x));
}

#[test]
fn null_and_bare_nan_reach_the_model_as_nan() {
    // The demo's model clips its input, and its runtime clips NaN to a number.
    let mut hub = other_hub("tests/data/models/root.onnx");
    let null = json!({ "inputs": [[null, null, null]] }).to_string();
    for request in [null.clone(), null.replace("null", "NaN")] {
        let Reply::Whole(answer) = super::invoke(&mut hub, request.as_bytes()) else { panic!("no answer") };
        assert_eq!(String::from_utf8(answer.body).unwrap(), "{\"predictions\": [[NaN, NaN, NaN]]}");
    }
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let (row, _) = probe(0);
    let mut hub = hub(&[]);
    let split = |columns: &[String], row: &[f64]| json!({ "dataframe_split": { "columns": columns, "data": [row] } });
    let doubled: Vec<String> = columns().into_iter().chain(["feature_3".to_owned()]).collect();
    let mut wrong = record(&row);
    wrong["feature_4"] = json!("x");
    let reasons = [
        (split(&columns()[..21], &row[..21]), r#"missing inputs ["feature_21", "feature_22"]"#),
        (split(&doubled, &[row.as_slice(), &[1.0]].concat()), "has no attribute 'dtype'"),
        (split(&columns(), &row[..5]), "23 columns passed, passed data had 5 columns"),
        (json!({ "dataframe_records": [wrong] }), r#"Column feature_4: could not convert "x" to a number"#),
        (json!({ "inputs": [[row]] }), "[1, 1, 23] does not match expected shape [any, [23]]"),
        (json!({ "inputs": row }), "[23] does not match expected shape [any, [23]]"),
        (json!({ "inputs": [row, [1]] }), "the 2 elements of a list do not have one shape"),
        (
            json!({ "inputs": { "X_tabular": [row], "X_sequential": [sequence(59)] } }),
            "[1, 59, 23] does not match expected shape [any, [60, 23]]",
        ),
        (json!({ "instances": { "feature_0": [1, 2], "feature_1": [1] } }), r#""feature_22"]"#),
    ];
    for (request, reason) in reasons {
        let message = message(&mut hub, &request);
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn the_nested_row_that_the_reference_hub_refuses_is_refused() {
    let (row, _) = probe(0);
    let nested =
        json!({ "dataframe_split": { "columns": ["X_tabular", "X_sequential"], "data": [[[row], sequence(60)]] } });
    let answer = ask(&mut hub(&[]), &nested);
    assert_eq!(answer.status, 400);
    assert_eq!(body(&answer)["error_code"], "BAD_REQUEST");
    assert!(body(&answer)["stack_trace"].as_str().unwrap().contains("X_tabular has the shape [1, 23], expected [23]"));
}

#[test]
fn a_model_that_wants_a_nested_row_takes_that_one_only() {
    let (row, expected) = probe(0);
    let wrapping = Wrapping { is_nested: true, ..Wrapping::default() };
    let mut hub = hub(&[]).wrapped(wrapping);
    let blocks = |row: Value| json!({ "dataframe_records": [{ "X_tabular": row, "X_sequential": sequence(60) }] });
    let tensors = json!({ "inputs": { "X_tabular": [row], "X_sequential": [sequence(60)] } });
    for request in [blocks(json!([row])), tensors] {
        let [got] = predictions(&ask(&mut hub, &request)).try_into().unwrap();
        assert_eq!(got, expected, "{request}");
    }
    assert_eq!(ask(&mut hub, &blocks(json!(row))).status, 400);
}

/// As the captures `out_df`, `out_series`, `out_scalars` and `out_scalar` of a real MLflow are written.
#[test]
fn each_form_of_an_answer_is_written_as_mlflow_writes_it() {
    let (first, second) = (probe(0), probe(1));
    let names: Vec<String> = ["sell", "the \"hold\"", "buy"].map(String::from).to_vec();
    let asked = json!({ "inputs": [first.0, second.0] });
    let ([a, b, c], [d, e, f]) = (first.1.try_into().unwrap(), second.1.try_into().unwrap());
    let (x, y): ([f64; 3], [f64; 3]) = ([a, b, c], [d, e, f]);
    for (form, expected) in [
        (Form::Array, format!("[{x:?}, {y:?}]")),
        (
            Form::Records(names),
            format!(
                r#"[{{"buy": {c:?}, "the \"hold\"": {b:?}, "sell": {a:?}}}, {{"buy": {f:?}, "the \"hold\"": {e:?}, "sell": {d:?}}}]"#
            ),
        ),
        (Form::Series, format!(r#"[{{"0": {a:?}}}, {{"0": {d:?}}}]"#)),
        (Form::Scalars, format!("[{a:?}, {d:?}]")),
        (Form::Scalar, format!("{a:?}")),
    ] {
        let mut hub = hub(&[]).wrapped(Wrapping { form, is_nested: false });
        let body = String::from_utf8(ask(&mut hub, &asked).body).unwrap();
        assert_eq!(body, format!("{{\"predictions\": {expected}}}"));
    }
}

#[test]
fn a_model_of_rows_and_sequences_is_given_both() {
    let mut hub = other_hub("testbed/tests/data/row_and_sequence.onnx");
    let missing = message(&mut hub, &json!({ "inputs": [[0.1, 0.2, 0.3]] }));
    assert!(missing.contains(r#"missing inputs ["X_sequential"]"#), "{missing}");
    // The mean of the steps takes the row's differences away.
    let request = json!({ "inputs": { "X_tabular": [[0.1, 0.2, 0.3]], "X_sequential": [vec![[0.2, 0.1, 0.0]; 60]] } });
    let [got] = predictions(&ask(&mut hub, &request)).try_into().unwrap();
    assert!(got.iter().all(|x| (x - 1.0 / 3.0).abs() < 1e-6), "{got:?}");
}

#[test]
fn a_file_that_is_no_usable_model_says_what_to_do() {
    for (name, words) in [("hardmax", "the runtime cannot use the model"), ("absent", "cannot read the model")] {
        let error = Model::load(&file(&format!("tests/data/models/{name}.onnx"))).unwrap_err();
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(!error.advice().is_empty());
    }
}

#[test]
fn what_was_asked_is_counted() {
    let mut hub = hub(&[]);
    hub.connected();
    ask(&mut hub, &super::valid());
    ask(&mut hub, &json!({ "inputs": [], "instances": [] }));
    let asked = HubRequest { method: "GET", path: "/testbed/asked", content_type: None, body: b"" };
    let Reply::Whole(answer) = hub.reply(&asked) else { panic!("no answer") };
    assert_eq!(body(&answer), json!({ "invocations": 2, "connections": 1, "payloads": ["inputs", null] }));
}
