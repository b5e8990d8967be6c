//! Answers as they go over the wire, before they meet a socket.

use std::time::Duration;

/// The type that MLflow gives to almost everything, JSON or not.
pub(super) const JSON: &str = "application/json";
/// The type of the web framework's own answers.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub allow: Option<&'static str>,
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Whole(Answer),
    /// One byte at a time, the last one after this time.
    Dribble(Answer, Duration),
    /// It is never answered; the connection stays.
    Hang,
    /// The connection ends without an answer.
    Drop,
}

impl Answer {
    pub(super) fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, allow: None, body: body.into() }
    }

    pub(super) fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, JSON, body)
    }

    /// FastAPI's own errors.
    pub(super) fn detail(status: u16, detail: &str) -> Self {
        Self::new(status, JSON, serde_json::json!({ "detail": detail }).to_string())
    }

    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::detail(405, "Method Not Allowed") }
    }

    /// What the framework says when something was raised that MLflow does not catch.
    pub(super) fn internal_server_error() -> Self {
        Self::new(500, TEXT, "Internal Server Error")
    }

    /// MLflow's answer when a model took too long: text that is labelled JSON.
    pub(super) fn timed_out() -> Self {
        Self::new(504, JSON, "Request processing time exceeded limit")
    }

    /// An error of MLflow; `class` is its SQL state and class.
    pub(super) fn error(status: u16, code: &str, message: &str, class: [&str; 2], trace: Option<&str>) -> Self {
        let [state, class] = class;
        let mut body =
            serde_json::json!({ "error_code": code, "message": message, "sqlstate": state, "error_class": class });
        if let Some(trace) = trace {
            body["stack_trace"] = trace.into();
        }
        Self::new(status, JSON, body.to_string())
    }
}
