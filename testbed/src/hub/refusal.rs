//! Why an invocation has no prediction, and how MLflow says so. Everything here is said with status 400, except for what
//! MLflow does not catch.

use super::answer::{Answer, TEXT};
use super::json::Json;

const FIELDS: &str = "The input must be a JSON dictionary with exactly one of the input fields \
                      {'dataframe_split', 'instances', 'inputs', 'dataframe_records'}";
/// MLflow sends this with every request that looks like an older protocol.
const PROTOCOL: &str = "IMPORTANT: The MLflow Model scoring protocol has changed in MLflow version 2.0. If you are \
    seeing this error, you are likely using an outdated scoring request format. To resolve the error, either update \
    your request format or adjust your MLflow Model's requirements file to specify an older version of MLflow (for \
    example, change the 'mlflow' requirement specifier to 'mlflow==1.30.0'). If you are making a request using the \
    MLflow client (e.g. via `mlflow.pyfunc.spark_udf()`), upgrade your MLflow client to a version >= 2.0 in order to \
    use the new request format. For more information about the updated MLflow Model scoring protocol in MLflow 2.0, \
    see https://mlflow.org/docs/latest/models.html#deploy-mlflow-models.";
const BAD_PARAMETER: [&str; 2] = ["KAM00", "INVALID_PARAMETER_VALUE"];
const BAD_SCHEMA: [&str; 2] = ["KAM01", "SCHEMA_ENFORCEMENT_FAILED"];
/// Characters of a request that an error echoes; clients must not rely on more.
const ECHO: usize = 300;

/// Why there is no prediction.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// No content type: MLflow raises an error that it does not catch. So does JSON that is too deep.
    Uncaught,
    /// Another charset than UTF-8.
    Charset,
    /// Parameters of the content type that are none.
    TypeParameters(Vec<String>),
    /// Another content type than it takes.
    Type(String),
    /// The text behind "Invalid input. ".
    Invalid(String),
    /// A document that is no object.
    NoDict(&'static str),
    /// Not exactly one payload key: those that were found.
    Fields(Vec<String>),
    /// The payload does not fit what the model says it takes.
    Schema {
        /// Beginning of the payload.
        echo: String,
        /// What the model says it takes.
        schema: String,
        /// What is wrong.
        error: String,
    },
    /// The model raised this.
    Raised(String),
}

impl Refusal {
    pub(super) fn schema(payload: &Json, schema: &str, error: String) -> Self {
        Self::Schema { echo: payload.echo(ECHO), schema: schema.to_owned(), error }
    }

    pub(super) fn answer(&self) -> Answer {
        let bad_request =
            |message: &str, trace: Option<&str>| Answer::error(400, "BAD_REQUEST", message, BAD_PARAMETER, trace);
        match self {
            Self::Uncaught => Answer::internal_server_error(),
            Self::Charset => Answer::new(415, TEXT, "The scoring server only supports UTF-8"),
            Self::TypeParameters(names) => {
                let names = names.join(", ");
                Answer::new(415, TEXT, format!("Unrecognized content type parameters: {names}. {PROTOCOL}"))
            }
            Self::Type(got) => {
                let types = "['text/csv', 'application/json', 'application/vnd.apache.parquet']";
                let text =
                    format!("This predictor only supports the following content types: Types: {types}. Got '{got}'.");
                Answer::new(415, TEXT, text)
            }
            Self::Invalid(text) => bad_request(&format!("Invalid input. {text}"), None),
            Self::NoDict("list") => bad_request(&format!("Invalid input. {FIELDS}. Received a list."), None),
            Self::NoDict(class) => bad_request(
                &format!("Invalid input. {FIELDS}. Received unexpected input type '<class '{class}'>."),
                None,
            ),
            Self::Fields(found) => {
                let found = found.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
                bad_request(&format!("{FIELDS}. Received dictionary with input fields: [{found}]. {PROTOCOL}"), None)
            }
            Self::Schema { echo, schema, error } => {
                let message = format!(
                    "Failed to predict data '{echo}'. \nError: Failed to enforce schema of data '{echo}' with schema \
                     '{schema}'. Error: {error}"
                );
                Answer::error(400, "INVALID_PARAMETER_VALUE", &message, BAD_SCHEMA, None)
            }
            Self::Raised(exception) => bad_request(
                "Encountered an unexpected error while evaluating the model. Verify that the serialized input \
                 Dataframe is compatible with the model for inference.",
                Some(&format!("Traceback (most recent call last):\n{exception}\n")),
            ),
        }
    }
}
