//! What the hub is asked: rows in the one of MLflow's forms that the model's signature takes.
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
    /// Names of a row's columns, as JSON.
    columns: Vec<String>,
    /// Of every body, up to its first row.
    head: String,
    /// Of a body of two tensors, between them.
    between: &'static str,
    /// Of every body, from the end of its last row.
    tail: &'static str,
}

/// One row of a request as JSON. The rows of the probes go with every question and are printed once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    row: String,
    /// Where the sequences of all rows follow after the rows.
    sequence: Option<String>,
}

impl Layout {
    pub(super) fn new(payload: HubPayload, features: FeatureSetId, columns: Vec<String>) -> Self {
        let split = |names: String| (format!("{{\"dataframe_split\":{{\"columns\":{names},\"data\":["), "]}}");
        let (head, tail) = match payload {
            HubPayload::Columns => split(encode(&columns)),
            HubPayload::Records => ("{\"dataframe_records\":[".to_owned(), "]}"),
            HubPayload::Tensor => ("{\"inputs\":[".to_owned(), "]}"),
            HubPayload::TwoBlocks | HubPayload::TwoBlocksNested => split(encode(["X_tabular", "X_sequential"])),
            HubPayload::TwoTensors => ("{\"inputs\":{\"X_tabular\":[".to_owned(), "]}}"),
        };
        let between = if payload == HubPayload::TwoTensors { "],\"X_sequential\":[" } else { "" };
        Self { payload, features, columns: columns.iter().map(encode).collect(), head, between, tail }
    }

    /// The row of a frame.
    pub(super) fn row(&self, frame: &FeatureFrame) -> Result<Row, FrameFault> {
        self.check(frame)?;
        let row = match self.payload {
            HubPayload::Columns | HubPayload::Tensor | HubPayload::TwoTensors => encode(&frame.row),
            HubPayload::Records => self.record(&frame.row),
            HubPayload::TwoBlocks => encode((&frame.row, self.sequence(frame)?)),
            HubPayload::TwoBlocksNested => encode(([&frame.row], self.sequence(frame)?)),
        };
        let is_apart = self.payload == HubPayload::TwoTensors;
        let sequence = is_apart.then(|| self.sequence(frame).map(encode)).transpose()?;
        Ok(Row { row, sequence })
    }

    /// The request's body.
    pub(super) fn body<'r>(&self, rows: impl IntoIterator<Item = &'r Row, IntoIter: Clone>) -> Vec<u8> {
        let rows = rows.into_iter();
        let mut body = self.head.clone();
        push_list(&mut body, rows.clone().map(|row| row.row.as_str()));
        body.push_str(self.between);
        push_list(&mut body, rows.filter_map(|row| row.sequence.as_deref()));
        body.push_str(self.tail);
        body.into_bytes()
    }

    /// An object with the columns in their order.
    fn record(&self, row: &[f64]) -> String {
        let cells: Vec<String> =
            self.columns.iter().zip(row).map(|(name, value)| format!("{name}:{}", encode(value))).collect();
        format!("{{{}}}", cells.join(","))
    }

    fn check(&self, frame: &FeatureFrame) -> Result<(), FrameFault> {
        if frame.set != self.features {
            return Err(FrameFault::Set { have: frame.set.clone(), want: self.features.clone() });
        }
        let (have, want) = (frame.row.len(), self.columns.len());
        if have != want {
            return Err(FrameFault::Width { have, want });
        }
        finite(&frame.row, "the row")
    }

    fn sequence<'f>(&self, frame: &'f FeatureFrame) -> Result<Vec<&'f [f64]>, FrameFault> {
        let sequence = frame.sequence.as_ref().ok_or(FrameFault::NoSequence)?;
        let (have, want) = (sequence.len(), SEQUENCE_ROWS * self.columns.len());
        if have != want {
            return Err(FrameFault::Sequence { have, want });
        }
        finite(sequence, "the sequence")?;
        Ok(sequence.chunks(self.columns.len()).collect())
    }
}

fn push_list<'t>(body: &mut String, items: impl Iterator<Item = &'t str>) {
    for (index, item) in items.enumerate() {
        body.push_str(if index == 0 { "" } else { "," });
        body.push_str(item);
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
        FeatureSetId { name: "test2".to_owned(), window: 20, made_from: None }
    }

    fn frame(row: [f64; 2]) -> FeatureFrame {
        let sequence = (0..SEQUENCE_ROWS).flat_map(|step| [step as f64, 0.5]).collect();
        FeatureFrame { set: set(), newest: UtcMs(0), row: row.to_vec(), sequence: Some(sequence), volume_absent: false }
    }

    const ALL: [HubPayload; 6] = [
        HubPayload::Columns,
        HubPayload::Records,
        HubPayload::Tensor,
        HubPayload::TwoBlocks,
        HubPayload::TwoBlocksNested,
        HubPayload::TwoTensors,
    ];

    #[test]
    fn each_payload_has_exactly_these_bytes_for_one_row_and_for_two() {
        let steps: Vec<String> = (0..60).map(|step| format!("[{step}.0,0.5]")).collect();
        let sequence = format!("[{}]", steps.join(","));
        let columns = r#"{"dataframe_split":{"columns":["rsi","hour \"utc\""],"data":["#;
        let blocks = r#"{"dataframe_split":{"columns":["X_tabular","X_sequential"],"data":["#;
        let records = [r#"{"rsi":0.1,"hour \"utc\"":5.0}"#, r#"{"rsi":-2.5e-300,"hour \"utc\"":6.0}"#];
        let rows = ["[0.1,5.0]", "[-2.5e-300,6.0]"];
        for (payload, head, [one, other], tail) in [
            (HubPayload::Columns, columns, rows.map(str::to_owned), "]}}"),
            (HubPayload::Records, r#"{"dataframe_records":["#, records.map(str::to_owned), "]}"),
            (HubPayload::Tensor, r#"{"inputs":["#, rows.map(str::to_owned), "]}"),
            (HubPayload::TwoBlocks, blocks, rows.map(|row| format!("[{row},{sequence}]")), "]}}"),
            (HubPayload::TwoBlocksNested, blocks, rows.map(|row| format!("[[{row}],{sequence}]")), "]}}"),
        ] {
            let body = |frames: &[FeatureFrame]| String::from_utf8(body_of(payload, frames).unwrap()).unwrap();
            let frames = [frame([0.1, 5.0]), frame([-2.5e-300, 6.0])];
            assert_eq!(body(&frames[..1]), format!("{head}{one}{tail}"), "{payload:?}");
            assert_eq!(body(&frames), format!("{head}{one},{other}{tail}"), "{payload:?}");
        }
        let body = |frames: &[FeatureFrame]| body_of(HubPayload::TwoTensors, frames).unwrap();
        let tensors = |row: &str, sequence: &str| {
            format!(r#"{{"inputs":{{"X_tabular":[{row}],"X_sequential":[{sequence}]}}}}"#).into_bytes()
        };
        let frames = [frame([0.1, 5.0]), frame([-2.5e-300, 6.0])];
        assert_eq!(body(&frames[..1]), tensors(rows[0], &sequence));
        assert_eq!(body(&frames), tensors(&rows.join(","), &format!("{sequence},{sequence}")));
    }

    #[test]
    fn one_bad_frame_among_good_ones_is_not_sent_and_nor_are_they() {
        for payload in ALL {
            assert!(body_of(payload, &[frame([0.1, 5.0]), frame([f64::NAN, 6.0])]).is_err(), "{payload:?}");
        }
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
            for payload in ALL {
                assert!(refused(payload, frame.clone()).starts_with(expected), "{expected}");
            }
        }
        for (expected, sequence) in [
            ("it has no sequence", None),
            ("its sequence has 118 values, the hub's model takes 120", Some(vec![0.0; 118])),
            ("the sequence holds a value that is not finite", Some(vec![f64::INFINITY; 120])),
        ] {
            let frame = FeatureFrame { sequence, ..good() };
            for payload in ALL {
                match payload {
                    HubPayload::TwoBlocks | HubPayload::TwoBlocksNested | HubPayload::TwoTensors => {
                        assert!(refused(payload, frame.clone()).starts_with(expected), "{expected}");
                    }
                    _ => assert!(body_of(payload, std::slice::from_ref(&frame)).is_ok(), "a row needs no sequence"),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_number_arrives_as_it_was(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
            for payload in ALL {
                let body: Value = serde_json::from_slice(&body_of(payload, &[frame([value, 0.0])]).unwrap()).unwrap();
                let place = match payload {
                    HubPayload::Columns => "/dataframe_split/data/0/0",
                    HubPayload::Records => "/dataframe_records/0/rsi",
                    HubPayload::Tensor => "/inputs/0/0",
                    HubPayload::TwoBlocks => "/dataframe_split/data/0/0/0",
                    HubPayload::TwoBlocksNested => "/dataframe_split/data/0/0/0/0",
                    HubPayload::TwoTensors => "/inputs/X_tabular/0/0",
                };
                let arrived = body.pointer(place).and_then(Value::as_f64).unwrap();
                prop_assert_eq!(arrived.to_bits(), value.to_bits());
            }
        }
    }
}
