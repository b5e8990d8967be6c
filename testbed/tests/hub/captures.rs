//! What a real MLflow answered, asked of the hub.

use sentinel_testbed::hub::{HubRequest, Reply};
use serde_json::{Value, json};

use super::{hub, valid};

/// Captures that a well-behaved hub cannot repeat, with the fault that does.
const FAULTS: [(&str, &str); 3] = [("timeout_504", "error=504"), ("inv_response_NaN", "nan"), ("out_scalar", "scalar")];
/// What a client can rely on in an error: its codes. The wording is the server's own.
fn codes(body: &str) -> Value {
    let error: Value = serde_json::from_str(body).unwrap();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    json!([error["error_code"], error["sqlstate"], error["error_class"]])
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
        let asked = HubRequest {
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
        let text = String::from_utf8(answer.body).unwrap();
        match answer.status {
            // Another model, another number.
            200 if name == "out_scalar" => {
                assert!(text.starts_with("{\"predictions\": 0.") && text.ends_with('}'), "{text}");
            }
            400 => assert_eq!(codes(&text), codes(body), "{name}"),
            415 => assert!(!text.is_empty(), "{name}"),
            404 | 405 => {
                assert_eq!(serde_json::from_str::<Value>(&text).ok(), serde_json::from_str(body).ok(), "{name}")
            }
            _ => assert_eq!(text, body, "{name}"),
        }
    }
}
