//! From a request's JSON to the rows that the model is asked, by MLflow's rules.
//!
//! The served model says two things of itself at once, which a real one cannot: that it takes the columns `feature_0`,
//! `feature_1` and so on, and that it takes one tensor. So all four payload keys work. It converts as generously as
//! MLflow does: null is NaN, text is read as a number, columns may come in any order and with strangers among them.

use std::collections::HashMap;

use super::json::Json;
use super::model::{Row, Takes};
use super::numbers::{Raised, flatten, number};
use super::python::{repr, shape};
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
pub(super) fn payload(document: &Json) -> Result<(Key, &Json), Refusal> {
    let Json::Dict(entries) = document else { return Err(Refusal::NoDict(document.class())) };
    let found: Vec<Key> = entries.iter().filter_map(|(name, _)| Key::of(name)).collect();
    match found.as_slice() {
        [key] => Ok((*key, document.get(key.name()).unwrap_or(&Json::Null))),
        keys => Err(Refusal::Fields(keys.iter().map(|key| key.name().to_owned()).collect())),
    }
}

/// The rows of a payload.
pub(super) fn rows(key: Key, payload: &Json, takes: &Takes) -> Result<Vec<Row>, Refusal> {
    let first = |json: &Json| matches!(json, Json::List(items) if matches!(items.first(), Some(Json::Dict(_))));
    let table = match (key, payload) {
        (Key::Split, _) => Table::split(payload)?,
        (Key::Records, _) => Table::records(payload)?,
        (Key::Instances | Key::Inputs, Json::Dict(entries)) => Table::columns(entries),
        (Key::Instances, Json::List(items)) if first(payload) => Table::instances(items)?,
        (Key::Inputs, Json::List(_)) if first(payload) => Table::records(payload)?,
        (Key::Instances | Key::Inputs, _) => return tensor(payload, takes),
    };
    Request { key, payload, table, takes }.rows()
}

/// Columns that are to become rows.
struct Request<'a> {
    key: Key,
    payload: &'a Json,
    table: Table<'a>,
    takes: &'a Takes,
}

impl Request<'_> {
    fn rows(&self) -> Result<Vec<Row>, Refusal> {
        let has = |wanted: &str| self.table.names.iter().any(|name| name == wanted);
        if has(TABULAR) || has(SEQUENTIAL) {
            let tabular = self.block(TABULAR, &[self.takes.width])?;
            let sequence = self.block(SEQUENTIAL, &self.takes.sequence)?;
            if tabular.len() != sequence.len() {
                return Err(self.uneven());
            }
            let pairs = tabular.into_iter().zip(sequence);
            return Ok(pairs.map(|(tabular, sequence)| Row { tabular, sequence: Some(sequence) }).collect());
        }
        if self.takes.wants_sequence {
            return Err(self.missing(&[TABULAR.to_owned(), SEQUENTIAL.to_owned()]));
        }
        if has(&self.takes.name) {
            let blocks = self.block(&self.takes.name, &[self.takes.width])?;
            return Ok(blocks.into_iter().map(|tabular| Row { tabular, sequence: None }).collect());
        }
        self.features()
    }

    /// One column per feature.
    fn features(&self) -> Result<Vec<Row>, Refusal> {
        let wanted: Vec<String> = (0..self.takes.width).map(|number| format!("feature_{number}")).collect();
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
        let columns: Vec<&Vec<&Json>> =
            wanted.iter().filter_map(|name| places.get(name.as_str())).map(|at| &self.table.columns[*at]).collect();
        let count = columns.first().map_or(0, |column| column.len());
        if columns.iter().any(|column| column.len() != count) {
            return Err(self.uneven());
        }
        let mut rows = vec![Row { tabular: Vec::with_capacity(self.takes.width), sequence: None }; count];
        for (name, column) in wanted.iter().zip(columns) {
            for (row, cell) in rows.iter_mut().zip(column) {
                row.tabular.push(number(cell).map_err(|raised| {
                    Refusal::Invalid(format!(
                        "Data is not compatible with model signature. Failed to convert column {name} to type \
                         'float64'. Error: '{}'",
                        raised.repr()
                    ))
                })?);
            }
        }
        Ok(rows)
    }

    /// One column whose cells are arrays of one shape.
    fn block(&self, name: &str, wanted: &[usize]) -> Result<Vec<Vec<f32>>, Refusal> {
        let Some(at) = self.table.names.iter().rposition(|column| column == name) else {
            if self.key.is_frame() {
                return Err(Refusal::Raised(format!("KeyError: {}", repr(name))));
            }
            return Err(self.missing(&[name.to_owned()]));
        };
        let cells = &self.table.columns[at];
        let mut blocks = Vec::with_capacity(cells.len());
        for cell in cells {
            let mut numbers = Vec::with_capacity(wanted.iter().product());
            let sizes = flatten(cell, &mut numbers).map_err(|raised| self.raised(&raised))?;
            if sizes != wanted {
                return Err(self.misshapen(name, &sizes, wanted, cells.len()));
            }
            blocks.push(numbers);
        }
        Ok(blocks)
    }

    fn misshapen(&self, name: &str, sizes: &[usize], wanted: &[usize], count: usize) -> Refusal {
        if self.key.is_frame() {
            let (have, want) = (shape(sizes), shape(wanted));
            return Refusal::Raised(format!("ValueError: a cell of {name} has the shape {have}, expected {want}"));
        }
        self.schema(shape_error(&[&[count], sizes].concat(), wanted))
    }

    fn raised(&self, raised: &Raised) -> Refusal {
        if self.key.is_frame() {
            return Refusal::Raised(format!("{}: {}", raised.class, raised.text));
        }
        Refusal::Invalid(raised.text.clone())
    }

    fn missing(&self, names: &[String]) -> Refusal {
        let list = |names: Vec<String>| names.join(", ");
        // A column without a name goes by its number.
        let show = |name: &str| if name.parse::<usize>().is_ok() { name.to_owned() } else { repr(name) };
        let strangers: Vec<String> =
            self.table.names.iter().filter(|name| !self.knows(name)).map(|name| show(name)).collect();
        let mut error = format!("Model is missing inputs [{}].", list(names.iter().map(|name| repr(name)).collect()));
        if !strangers.is_empty() {
            error.push_str(&format!(" Note that there were extra inputs: [{}].", list(strangers)));
        }
        self.schema(error)
    }

    fn knows(&self, name: &str) -> bool {
        let number = name.strip_prefix("feature_").and_then(|number| number.parse::<usize>().ok());
        number.is_some_and(|number| number < self.takes.width) || [TABULAR, SEQUENTIAL].contains(&name)
    }

    fn uneven(&self) -> Refusal {
        if self.key == Key::Instances {
            return Refusal::Invalid("The length of values for each input/column name are not the same".to_owned());
        }
        self.schema(
            "This model contains a column-based signature, which suggests a DataFrame input. There was an error casting \
             the input data to a DataFrame: All arrays must be of the same length"
                .to_owned(),
        )
    }

    fn schema(&self, error: String) -> Refusal {
        let columns = (0..self.takes.width).map(|number| format!("'feature_{number}': double (required)"));
        let columns = format!("[{}]", columns.collect::<Vec<_>>().join(", "));
        Refusal::schema(self.payload, &columns, error)
    }
}

/// A nested list as it is.
fn tensor(payload: &Json, takes: &Takes) -> Result<Vec<Row>, Refusal> {
    let mut numbers = Vec::new();
    let sizes = flatten(payload, &mut numbers).map_err(|raised| Refusal::Invalid(raised.text))?;
    let wanted = [takes.width];
    let error = match sizes.as_slice() {
        [_, width] if *width == takes.width && takes.wants_sequence => {
            format!("Model is missing inputs ['{SEQUENTIAL}'].")
        }
        [_, width] if *width == takes.width => {
            let rows = numbers.chunks_exact(takes.width);
            return Ok(rows.map(|row| Row { tabular: row.to_vec(), sequence: None }).collect());
        }
        sizes => shape_error(sizes, &wanted),
    };
    Err(Refusal::schema(payload, &format!("[Tensor('float32', (-1, {}))]", takes.width), error))
}

fn shape_error(sizes: &[usize], wanted: &[usize]) -> String {
    let wanted = wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("Shape of input {} does not match expected shape (-1, {wanted}).", shape(sizes))
}
