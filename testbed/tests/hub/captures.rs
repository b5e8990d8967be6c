//! What a real MLflow answered, asked of the hub.

use sentinel_testbed::hub::{Asked, Reply};
use serde_json::Value;

use super::{hub, valid};

/// Captures that a well-behaved hub cannot repeat, with the fault that does.
const FAULTS: [(&str, &str); 3] = [("timeout_504", "error=504"), ("inv_response_NaN", "nan"), ("out_scalar", "scalar")];
/// Captures of a model that is not ours: the error echoes what it takes, so only the rest can be compared.
const OTHER_SCHEMA: [&str; 2] = ["tens1_wrong_width", "tens_inputs_missing"];

fn without_trace(body: &[u8]) -> String {
    let text = String::from_utf8(body.to_vec()).unwrap();
    text.find(", \"stack_trace\": ").map_or(text.clone(), |at| format!("{}}}", &text[..at]))
}

/// An error without the data and the schema that its message repeats.
fn without_echo(body: &str) -> Value {
    let mut error: Value = serde_json::from_str(body).unwrap();
    let message = error["message"].as_str().unwrap();
    let (before, _) = message.split_once('\'').unwrap();
    let (_, after) = message.rsplit_once("'. Error: ").unwrap();
    error["message"] = format!("{before}…{after}").into();
    error
}

#[test]
fn the_hub_answers_as_a_real_mlflow_did() {
    let captures: Vec<Value> = serde_json::from_str(include_str!("../data/mlflow.json")).unwrap();
    assert_eq!(captures.len(), 27);
    for capture in &captures {
        let name = capture["name"].as_str().unwrap();
        let faults: Vec<&str> = FAULTS.iter().filter(|(of, _)| *of == name).map(|(_, fault)| *fault).collect();
        let (request, expected) = (&capture["request"], &capture["response"]);
        let bytes = match request["body"].as_str() {
            Some(text) => text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect(),
            None => valid().to_string().into_bytes(),
        };
        let asked = Asked {
            method: request["method"].as_str().unwrap(),
            path: request["path"].as_str().unwrap(),
            content_type: request["content_type"].as_str(),
            body: &bytes,
        };
        let Reply::Whole(answer) = hub(&faults).reply(&asked) else { panic!("{name} was not answered") };
        assert_eq!(u64::from(answer.status), expected["status"], "{name}");
        assert_eq!(answer.content_type, expected["headers"]["content-type"], "{name}");
        assert_eq!(answer.allow, expected["headers"]["allow"].as_str(), "{name}");
        let Some(body) = expected["body"].as_str() else { continue };
        let text = without_trace(&answer.body);
        if OTHER_SCHEMA.contains(&name) {
            assert_eq!(without_echo(&text), without_echo(body), "{name}");
        } else if name == "out_scalar" {
            // Another model, another number.
            assert!(text.starts_with("{\"predictions\": 0.") && text.ends_with('}'), "{text}");
        } else {
            assert_eq!(text, body, "{name}");
        }
    }
}
