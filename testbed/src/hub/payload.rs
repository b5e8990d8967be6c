//! From a request's JSON to the rows that the model is asked, by MLflow's rules.
//!
//! The served model has two signatures at once, which a real one cannot have: the columns `feature_0`, `feature_1` and so
//! on, and one tensor. So all four payload keys work. It converts as generously as MLflow does: null is NaN, text is read as
//! a number, columns may come in any order, and unknown ones are ignored.

use std::collections::HashMap;

use serde_json::Value;

use super::model::{ModelInputs, Row};
use super::numbers::{flatten, number};
use super::refusal::Refusal;
use super::table::Table;

const TABULAR: &str = "X_tabular";
const SEQUENTIAL: &str = "X_sequential";

/// The keys that a payload may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Split,
    Records,
    Instances,
    Inputs,
}

impl Key {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Split => "dataframe_split",
            Self::Records => "dataframe_records",
            Self::Instances => "instances",
            Self::Inputs => "inputs",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Split, Self::Records, Self::Instances, Self::Inputs].into_iter().find(|key| key.name() == name)
    }

    /// Whether the model sees a pandas DataFrame.
    fn is_frame(self) -> bool {
        matches!(self, Self::Split | Self::Records)
    }
}

/// The one payload of a document. Other keys do not matter.
pub(super) fn payload(document: &Value) -> Result<(Key, &Value), Refusal> {
    let Value::Object(entries) = document else { return Err(Refusal::Fields(Vec::new())) };
    let found: Vec<(Key, &Value)> = entries.iter().filter_map(|(name, value)| Some((Key::of(name)?, value))).collect();
    match found.as_slice() {
        [payload] => Ok(*payload),
        several => Err(Refusal::Fields(several.iter().map(|(key, _)| key.name()).collect())),
    }
}

pub(super) fn rows(key: Key, payload: &Value, inputs: &ModelInputs, is_nested: bool) -> Result<Vec<Row>, Refusal> {
    let of_records = |items: &[Value]| matches!(items.first(), Some(Value::Object(_)));
    let table = match (key, payload) {
        (Key::Split, _) => Table::split(payload)?,
        (Key::Records, _) => Table::records(payload)?,
        (Key::Instances | Key::Inputs, Value::Object(entries)) => Table::columns(entries),
        (Key::Instances, Value::Array(items)) if of_records(items) => Table::instances(items)?,
        (Key::Inputs, Value::Array(items)) if of_records(items) => Table::records(payload)?,
        (Key::Instances | Key::Inputs, _) => return tensor(payload, inputs),
    };
    Request { key, payload, table, inputs, is_nested }.rows()
}

/// Columns that are to become rows.
struct Request<'a> {
    key: Key,
    payload: &'a Value,
    table: Table<'a>,
    inputs: &'a ModelInputs,
    is_nested: bool,
}

impl Request<'_> {
    fn rows(&self) -> Result<Vec<Row>, Refusal> {
        let has = |wanted: &str| self.table.names.iter().any(|name| name == wanted);
        if has(TABULAR) || has(SEQUENTIAL) {
            let shape = [1, self.inputs.width];
            let is_nested = self.is_nested && self.key.is_frame();
            let tabular = self.block(TABULAR, if is_nested { &shape } else { &shape[1..] })?;
            let sequence = self.block(SEQUENTIAL, &self.inputs.sequence)?;
            if tabular.len() != sequence.len() {
                return Err(self.uneven());
            }
            let pairs = tabular.into_iter().zip(sequence);
            return Ok(pairs.map(|(tabular, sequence)| Row { tabular, sequence: Some(sequence) }).collect());
        }
        if self.inputs.wants_sequence {
            return Err(self.missing(&[TABULAR.to_owned(), SEQUENTIAL.to_owned()]));
        }
        if has(&self.inputs.name) {
            let blocks = self.block(&self.inputs.name, &[self.inputs.width])?;
            return Ok(blocks.into_iter().map(|tabular| Row { tabular, sequence: None }).collect());
        }
        self.features()
    }

    /// One column per feature.
    fn features(&self) -> Result<Vec<Row>, Refusal> {
        let wanted: Vec<String> = (0..self.inputs.width).map(|number| format!("feature_{number}")).collect();
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut doubled = false;
        for (place, name) in self.table.names.iter().enumerate() {
            doubled |= places.insert(name, place).is_some() && name.starts_with("feature_");
        }
        let missing: Vec<String> = wanted.iter().filter(|name| !places.contains_key(name.as_str())).cloned().collect();
        if !missing.is_empty() {
            return Err(self.missing(&missing));
        }
        if doubled {
            return Err(self.schema("'DataFrame' object has no attribute 'dtype'".to_owned()));
        }
        let columns: Vec<&Vec<&Value>> =
            wanted.iter().filter_map(|name| places.get(name.as_str())).map(|at| &self.table.columns[*at]).collect();
        let count = columns.first().map_or(0, |column| column.len());
        if columns.iter().any(|column| column.len() != count) {
            return Err(self.uneven());
        }
        let mut rows = vec![Row { tabular: Vec::with_capacity(self.inputs.width), sequence: None }; count];
        for (name, column) in wanted.iter().zip(columns) {
            for (row, cell) in rows.iter_mut().zip(column) {
                let cell = number(cell);
                row.tabular.push(cell.map_err(|why| Refusal::Invalid(format!("Column {name}: {why}")))?);
            }
        }
        Ok(rows)
    }

    /// One column whose cells are arrays of one shape.
    fn block(&self, name: &str, wanted: &[usize]) -> Result<Vec<Vec<f32>>, Refusal> {
        let Some(at) = self.table.names.iter().rposition(|column| column == name) else {
            if self.key.is_frame() {
                return Err(Refusal::Raised(format!("KeyError: {name}")));
            }
            return Err(self.missing(&[name.to_owned()]));
        };
        let cells = &self.table.columns[at];
        let mut blocks = Vec::with_capacity(cells.len());
        for cell in cells {
            let mut numbers = Vec::with_capacity(wanted.iter().product());
            let sizes = flatten(cell, &mut numbers).map_err(|why| self.raised(why))?;
            if sizes != wanted {
                return Err(self.misshapen(name, &sizes, wanted, cells.len()));
            }
            blocks.push(numbers);
        }
        Ok(blocks)
    }

    fn misshapen(&self, name: &str, sizes: &[usize], wanted: &[usize], count: usize) -> Refusal {
        if self.key.is_frame() {
            return Refusal::Raised(format!("a cell of {name} has the shape {sizes:?}, expected {wanted:?}"));
        }
        self.schema(shape_error(&[&[count], sizes].concat(), wanted))
    }

    fn raised(&self, why: String) -> Refusal {
        if self.key.is_frame() { Refusal::Raised(why) } else { Refusal::Invalid(why) }
    }

    fn missing(&self, names: &[String]) -> Refusal {
        let extra: Vec<&str> = self.table.names.iter().map(AsRef::as_ref).filter(|name| !self.knows(name)).collect();
        self.schema(format!("Model is missing inputs {names:?}; extra inputs: {extra:?}"))
    }

    fn knows(&self, name: &str) -> bool {
        let number = name.strip_prefix("feature_").and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number < self.inputs.width) || [TABULAR, SEQUENTIAL].contains(&name)
    }

    fn uneven(&self) -> Refusal {
        let error = "the columns are not all of one length".to_owned();
        if self.key == Key::Instances { Refusal::Invalid(error) } else { self.schema(error) }
    }

    fn schema(&self, error: String) -> Refusal {
        Refusal::schema(self.payload, error)
    }
}

/// A nested list as it is.
fn tensor(payload: &Value, inputs: &ModelInputs) -> Result<Vec<Row>, Refusal> {
    let mut numbers = Vec::new();
    let sizes = flatten(payload, &mut numbers).map_err(Refusal::Invalid)?;
    let error = match sizes.as_slice() {
        [_, width] if *width == inputs.width && inputs.wants_sequence => {
            format!("Model is missing inputs [{SEQUENTIAL:?}]")
        }
        [_, width] if *width == inputs.width => {
            let rows = numbers.chunks_exact(inputs.width);
            return Ok(rows.map(|row| Row { tabular: row.to_vec(), sequence: None }).collect());
        }
        sizes => shape_error(sizes, &[inputs.width]),
    };
    Err(Refusal::schema(payload, error))
}

/// The first size is the number of rows, which may be any.
fn shape_error(sizes: &[usize], wanted: &[usize]) -> String {
    format!("Shape of input {sizes:?} does not match expected shape [any, {wanted:?}]")
}
