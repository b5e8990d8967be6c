//! Why an invocation has no prediction, with MLflow's statuses and error codes. The wording is our own: no client reads it.

use serde_json::Value;

use super::answer::{Answer, TEXT};
use super::numbers::echo;

const FIELDS: &str = "The input must be a JSON dictionary with exactly one of the input fields dataframe_split, \
                      dataframe_records, instances and inputs.";
const BAD_PARAMETER: [&str; 2] = ["KAM00", "INVALID_PARAMETER_VALUE"];
const BAD_SCHEMA: [&str; 2] = ["KAM01", "SCHEMA_ENFORCEMENT_FAILED"];

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// No content type: MLflow raises an error that it does not catch.
    Uncaught,
    /// A content type that it does not take, and why.
    Type(String),
    /// The text behind "Invalid input. ".
    Invalid(String),
    /// Not exactly one payload key: those that were found.
    Fields(Vec<&'static str>),
    /// The payload does not fit what the model takes.
    Schema { echo: String, error: String },
    /// The model, or what prepares its input, raised this.
    Raised(String),
}

impl Refusal {
    pub(super) fn schema(payload: &Value, error: String) -> Self {
        Self::Schema { echo: echo(payload), error }
    }

    pub(super) fn answer(&self) -> Answer {
        let bad_request =
            |message: &str, trace: Option<&str>| Answer::error(400, "BAD_REQUEST", message, BAD_PARAMETER, trace);
        match self {
            Self::Uncaught => Answer::internal_server_error(),
            Self::Type(why) => Answer::new(415, TEXT, why.as_str()),
            Self::Invalid(text) => bad_request(&format!("Invalid input. {text}"), None),
            Self::Fields(found) => bad_request(&format!("Invalid input. {FIELDS} Received: {found:?}."), None),
            Self::Schema { echo, error } => {
                let message = format!("Failed to enforce the model's schema. Error: {error}. Data: {echo}");
                Answer::error(400, "INVALID_PARAMETER_VALUE", &message, BAD_SCHEMA, None)
            }
            Self::Raised(exception) => bad_request(
                "Encountered an unexpected error while evaluating the model. Verify that the input is compatible with \
                 the model for inference.",
                Some(exception),
            ),
        }
    }
}
