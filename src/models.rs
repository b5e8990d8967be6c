//! Model adapters: the [`sentinel_actors::ports::Model`] port on real models.
//!
//! Every adapter answers with what the model said, unchecked; whether an answer may be decided on is the domain's rule.

use std::time::Duration;

use sentinel_actors::domain::prediction::ExpectedAnswer;

pub mod feature_list;
pub mod manifest;
pub mod mlflow;
pub mod onnx;

/// What a pipeline's model has to give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Probabilities of these classes, in this order; case does not matter.
    Classes(Vec<String>),
    /// A log return, this far ahead.
    Value { horizon: Duration },
}

impl Output {
    #[must_use]
    pub const fn expected_answer(&self) -> ExpectedAnswer {
        match self {
            Self::Classes(classes) => ExpectedAnswer::Classes(classes.len()),
            Self::Value { .. } => ExpectedAnswer::Value,
        }
    }
}
