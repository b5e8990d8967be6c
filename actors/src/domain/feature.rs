//! Feature frames: what a model is asked about.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::bar::Interval;
use super::time::UtcMs;

/// Identity of a feature set: name, window, and what its bars were made from. EMA and MACD depend on how much history they see,
/// so a model trained on 200-bar windows is another model than one trained on 120 (promise 5).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FeatureSetId {
    /// Name, for example `fx23`.
    pub name: String,
    /// Number of bars that a frame is computed from.
    pub window: usize,
    /// Length of the bars that its bars were made from; `None`: they are as the source delivers them.
    pub made_from: Option<Interval>,
}

impl fmt::Display for FeatureSetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.window)?;
        match self.made_from {
            Some(parts) => write!(f, " of bars made from {parts}"),
            None => Ok(()),
        }
    }
}

/// The features of one decision.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureFrame {
    /// Which set computed it.
    pub set: FeatureSetId,
    /// Open time of the newest bar in it.
    pub newest: UtcMs,
    /// One value per feature; all finite.
    pub row: Vec<f64>,
    /// Row-major `steps × row.len()`, oldest first, when the set makes sequences; all finite.
    pub sequence: Option<Vec<f64>>,
    /// The vendor gave no volume at all: the volume features are 0 by rule.
    pub volume_absent: bool,
}

impl FeatureFrame {
    /// SHA-256 over row and sequence, first 16 bytes, hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for value in self.row.iter().chain(self.sequence.iter().flatten()) {
            hash.update(value.to_bits().to_le_bytes());
        }
        data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
    }
}

/// Why no frame could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// Not enough rows for the warm-up; later rows never fill earlier ones.
    #[error("insufficient_history(have={have}, need={need})")]
    InsufficientHistory {
        have: usize,
        /// Bars that the set needs.
        need: usize,
    },
    /// A cell has no defined, finite value.
    #[error("feature '{feature}' is undefined {rows_back} rows before the newest")]
    Undefined {
        feature: &'static str,
        /// 0 is the newest row.
        rows_back: usize,
    },
}
