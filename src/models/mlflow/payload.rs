//! What the hub is asked: rows as MLflow's `dataframe_split`.
//!
//! The server takes a number for a text, a null for a number, and columns that are too many or in another order, all without
//! a word. So nothing leaves that is not exactly what the model was trained on: this set of features, this many of them, all
//! finite, printed so that the server reads the very same numbers.

use sentinel_actors::domain::feature::{FeatureFrame, FeatureSetId};
use serde::Serialize;

use crate::config::HubPayload;

/// Rows of the sequence that a two-block model takes.
pub const SEQUENCE_ROWS: usize = 60;

/// Why a frame is not sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FrameFault {
    /// Another model's features.
    #[error("it is made of the features {have}, the hub's model takes {want}")]
    Set {
        /// Of the frame.
        have: FeatureSetId,
        /// Configured.
        want: FeatureSetId,
    },
    /// Too few or too many.
    #[error("it has {have} features, the hub's model takes {want}")]
    Width {
        /// In the frame.
        have: usize,
        /// Configured.
        want: usize,
    },
    /// NaN or infinity: a server takes it and answers with something.
    #[error("{place} holds a value that is not finite")]
    NotFinite {
        /// Which block.
        place: &'static str,
    },
    /// The feature set makes none.
    #[error("it has no sequence, and the hub's model takes two blocks: configure features with a sequence")]
    NoSequence,
    /// Not 60 rows.
    #[error("its sequence has {have} values, the hub's model takes {want}")]
    Sequence {
        /// In the frame.
        have: usize,
        /// 60 rows of the configured width.
        want: usize,
    },
}

/// What the model was trained on.
pub(super) struct Layout {
    payload: HubPayload,
    features: FeatureSetId,
    /// Columns of a row.
    width: usize,
    /// Of every body, up to its first row.
    head: String,
}

/// One row of a request as JSON. The rows of the probes go with every question and are printed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row(String);

impl Layout {
    pub(super) fn new(payload: HubPayload, features: FeatureSetId, columns: Vec<String>) -> Self {
        let names = match payload {
            HubPayload::Columns => encode(&columns),
            HubPayload::TwoBlocks => encode(["X_tabular", "X_sequential"]),
        };
        let head = format!("{{\"dataframe_split\":{{\"columns\":{names},\"data\":[");
        Self { payload, features, width: columns.len(), head }
    }

    /// The row of a frame.
    pub(super) fn row(&self, frame: &FeatureFrame) -> Result<Row, FrameFault> {
        self.check(frame)?;
        Ok(Row(match self.payload {
            HubPayload::Columns => encode(&frame.row),
            HubPayload::TwoBlocks => encode((&frame.row, self.sequence(frame)?)),
        }))
    }

    /// The request's body.
    pub(super) fn body<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) -> Vec<u8> {
        let mut body = self.head.clone();
        for (index, Row(row)) in rows.into_iter().enumerate() {
            body.push_str(if index == 0 { "" } else { "," });
            body.push_str(row);
        }
        body.push_str("]}}");
        body.into_bytes()
    }

    fn check(&self, frame: &FeatureFrame) -> Result<(), FrameFault> {
        if frame.set != self.features {
            return Err(FrameFault::Set { have: frame.set.clone(), want: self.features.clone() });
        }
        let (have, want) = (frame.row.len(), self.width);
        if have != want {
            return Err(FrameFault::Width { have, want });
        }
        finite(&frame.row, "the row")
    }

    fn sequence<'f>(&self, frame: &'f FeatureFrame) -> Result<Vec<&'f [f64]>, FrameFault> {
        let sequence = frame.sequence.as_ref().ok_or(FrameFault::NoSequence)?;
        let (have, want) = (sequence.len(), SEQUENCE_ROWS * self.width);
        if have != want {
            return Err(FrameFault::Sequence { have, want });
        }
        finite(sequence, "the sequence")?;
        Ok(sequence.chunks(self.width).collect())
    }
}

fn finite(values: &[f64], place: &'static str) -> Result<(), FrameFault> {
    if values.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(FrameFault::NotFinite { place }) }
}

#[expect(clippy::expect_used, reason = "texts and numbers always have a JSON form")]
fn encode(value: impl Serialize) -> String {
    serde_json::to_string(&value).expect("plain values")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sentinel_actors::domain::time::UtcMs;
    use serde_json::Value;

    use super::*;

    fn layout(payload: HubPayload) -> Layout {
        Layout::new(payload, set(), ["rsi", "hour \"utc\""].map(String::from).to_vec())
    }

    fn body_of(payload: HubPayload, frames: &[FeatureFrame]) -> Result<Vec<u8>, FrameFault> {
        let layout = layout(payload);
        let rows: Vec<Row> = frames.iter().map(|frame| layout.row(frame)).collect::<Result<_, _>>()?;
        Ok(layout.body(&rows))
    }

    fn set() -> FeatureSetId {
        FeatureSetId { name: "test2".to_owned(), window: 20 }
    }

    fn frame(row: [f64; 2]) -> FeatureFrame {
        let sequence = (0..SEQUENCE_ROWS).flat_map(|step| [step as f64, 0.5]).collect();
        FeatureFrame { set: set(), newest: UtcMs(0), row: row.to_vec(), sequence: Some(sequence), volume_absent: false }
    }

    #[test]
    fn columns_are_sent_as_one_row_with_a_cell_per_feature() {
        let body = body_of(HubPayload::Columns, &[frame([0.1, 5.0])]).unwrap();
        let expected = r#"{"dataframe_split":{"columns":["rsi","hour \"utc\""],"data":[[0.1,5.0]]}}"#;
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn several_frames_are_rows_of_one_request_and_one_bad_frame_spoils_it() {
        let body = body_of(HubPayload::Columns, &[frame([0.1, 5.0]), frame([0.2, 6.0])]).unwrap();
        assert!(String::from_utf8(body).unwrap().ends_with(r#""data":[[0.1,5.0],[0.2,6.0]]}}"#));
        assert!(body_of(HubPayload::Columns, &[frame([0.1, 5.0]), frame([f64::NAN, 6.0])]).is_err());
    }

    #[test]
    fn two_blocks_are_sent_as_one_row_with_a_flat_and_a_nested_cell() {
        let body = body_of(HubPayload::TwoBlocks, &[frame([0.1, 5.0])]).unwrap();
        let start =
            r#"{"dataframe_split":{"columns":["X_tabular","X_sequential"],"data":[[[0.1,5.0],[[0.0,0.5],[1.0,0.5],"#;
        assert!(body.starts_with(start.as_bytes()), "{}", String::from_utf8_lossy(&body));
        let body: Value = serde_json::from_slice(&body).unwrap();
        let sequence = &body["dataframe_split"]["data"][0][1];
        assert_eq!((sequence.as_array().unwrap().len(), &sequence[59][0]), (60, &Value::from(59.0)));
    }

    #[test]
    fn what_the_model_was_not_trained_on_is_never_sent() {
        let refused = |payload, frame: FeatureFrame| body_of(payload, &[frame]).unwrap_err().to_string();
        let good = || frame([0.1, 5.0]);
        let other = FeatureSetId { window: 21, ..set() };
        for (expected, frame) in [
            ("it is made of the features test2/21", FeatureFrame { set: other, ..good() }),
            ("it has 3 features", FeatureFrame { row: vec![0.0; 3], ..good() }),
            ("the row holds a value that is not finite", frame([f64::NAN, 5.0])),
            ("the row holds a value that is not finite", frame([0.1, f64::NEG_INFINITY])),
        ] {
            for payload in [HubPayload::Columns, HubPayload::TwoBlocks] {
                assert!(refused(payload, frame.clone()).starts_with(expected), "{expected}");
            }
        }
        for (expected, sequence) in [
            ("it has no sequence", None),
            ("its sequence has 118 values, the hub's model takes 120", Some(vec![0.0; 118])),
            ("the sequence holds a value that is not finite", Some(vec![f64::INFINITY; 120])),
        ] {
            let frame = FeatureFrame { sequence, ..good() };
            assert!(body_of(HubPayload::Columns, std::slice::from_ref(&frame)).is_ok(), "columns need no sequence");
            assert!(refused(HubPayload::TwoBlocks, frame).starts_with(expected), "{expected}");
        }
    }

    proptest! {
        #[test]
        fn every_number_arrives_as_it_was(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            let body = body_of(HubPayload::Columns, &[frame([value, 0.0])]).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            let arrived = body["dataframe_split"]["data"][0][0].as_f64().unwrap();
            prop_assert_eq!(arrived.to_bits(), value.to_bits());
        }
    }
}
