//! Model adapters: the [`sentinel_actors::ports::Model`] port on real models.
//!
//! Every adapter answers with what the model said, unchecked; whether an answer may be decided on is the domain's rule.

pub mod manifest;
pub mod mlflow;
pub mod onnx;
