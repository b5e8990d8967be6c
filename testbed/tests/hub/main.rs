//! The model hub: its answers against those of a real MLflow, its faults, and its sockets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(clippy::disallowed_methods, reason = "a test of sockets measures real time")]

mod answers;
mod any_body;
mod captures;
mod faults;
mod sockets;

use std::path::PathBuf;

use sentinel_testbed::hub::{Answer, FaultArg, HubRequest, Model, Reply, Scoring, fault_rules};
use serde_json::{Value, json};

/// Columns of the demo's model.
pub const WIDTH: usize = 23;

/// A file of the repository.
pub fn file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

/// The model that most tests ask.
pub fn demo_model() -> PathBuf {
    file("config/demo/model.onnx")
}

/// A hub of the demo's model.
pub fn hub(faults: &[&str]) -> Scoring {
    let faults: Vec<FaultArg> = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Scoring::new(Model::load(&demo_model()).unwrap(), fault_rules(&faults).unwrap()).unwrap()
}

/// A row that the demo's model was asked when it was exported, and what the hub answers to it: the answer from then, up
/// to the rounding of another runtime.
pub fn probe(number: usize) -> (Vec<f64>, Vec<f64>) {
    let manifest: Value = serde_json::from_slice(&std::fs::read(file("config/demo/model.json")).unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<f64> { serde_json::from_value(manifest["probe"][number][key].clone()).unwrap() };
    let (row, expected) = (numbers("row"), numbers("expected"));
    let [answer] = predictions(&ask(&mut hub(&[]), &json!({ "inputs": [row] }))).try_into().unwrap();
    assert_eq!(answer.len(), expected.len());
    assert!(answer.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{answer:?} {expected:?}");
    (row, answer)
}

/// What becomes of an invocation with this body.
pub fn invoke(hub: &mut Scoring, body: &[u8]) -> Reply {
    hub.reply(&HubRequest { method: "POST", path: "/invocations", content_type: Some("application/json"), body })
}

/// The answer to an invocation with this body.
pub fn ask(hub: &mut Scoring, body: &Value) -> Answer {
    match invoke(hub, body.to_string().as_bytes()) {
        Reply::Whole(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// An answer's body as JSON.
pub fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// The predictions of an answer that has some.
pub fn predictions(answer: &Answer) -> Vec<Vec<f64>> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    serde_json::from_value(body(answer)["predictions"].clone()).unwrap()
}

/// Names of the demo's columns.
pub fn columns() -> Vec<String> {
    (0..WIDTH).map(|number| format!("feature_{number}")).collect()
}

/// A request with one valid row.
pub fn valid() -> Value {
    json!({ "inputs": [probe(0).0] })
}
