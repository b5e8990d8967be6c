//! Payloads of every form as named columns of cells, as pandas would build them. What the cells hold does not matter here.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::numbers::echo;
use super::refusal::Refusal;

/// Named columns of cells.
pub(super) struct Table<'a> {
    pub(super) names: Vec<Cow<'a, str>>,
    /// As many as names; not all of one length when the request was uneven.
    pub(super) columns: Vec<Vec<&'a Value>>,
}

impl<'a> Table<'a> {
    /// `{"columns": [...], "data": [[...], ...]}`; without columns they are numbered.
    pub(super) fn split(payload: &'a Value) -> Result<Self, Refusal> {
        let invalid = |text: String| Refusal::Invalid(format!("dataframe_split is not valid: {text}"));
        let Value::Object(entries) = payload else { return Err(invalid("it must be a dictionary".to_owned())) };
        if let Some(unknown) = entries.keys().find(|name| !["data", "columns", "index"].contains(&name.as_str())) {
            return Err(invalid(format!("it has the unknown field '{unknown}'")));
        }
        let lines: Vec<&[Value]> = match entries.get("data") {
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| if let Value::Array(cells) = item { cells } else { std::slice::from_ref(item) })
                .collect(),
            Some(Value::Null) => Vec::new(),
            _ => return Err(invalid("'data' must be a list".to_owned())),
        };
        let width = lines.iter().map(|cells| cells.len()).max();
        let names: Vec<Cow<'_, str>> = match entries.get("columns") {
            None | Some(Value::Null) => (0..width.unwrap_or(0)).map(|index| Cow::Owned(index.to_string())).collect(),
            Some(Value::Array(names)) => names.iter().map(column_name).collect(),
            Some(other) => return Err(invalid(format!("'columns' must be a list, not {}", echo(other)))),
        };
        if let Some(width) = width.filter(|width| *width != names.len()) {
            return Err(invalid(format!("{} columns passed, passed data had {width} columns", names.len())));
        }
        let columns = (0..names.len())
            .map(|at| lines.iter().map(|cells| cells.get(at).unwrap_or(&Value::Null)).collect())
            .collect();
        Ok(Self { names, columns })
    }

    /// A list of dictionaries; a column that some of them lack is null there.
    pub(super) fn records(payload: &'a Value) -> Result<Self, Refusal> {
        let Value::Array(items) = payload else {
            return Err(Refusal::Invalid(format!(
                "dataframe_records must be a list of records, not {}",
                echo(payload)
            )));
        };
        // What is no record has columns without names, and the model misses all of its own.
        let unnamed = Self { names: vec!["0".into()], columns: vec![vec![]] };
        Ok(Self::gather(items, true).unwrap_or(unnamed))
    }

    /// As records, but a record without a column shortens that column.
    pub(super) fn instances(items: &'a [Value]) -> Result<Self, Refusal> {
        Self::gather(items, false).ok_or_else(|| Refusal::Invalid("each instance must be a dictionary".to_owned()))
    }

    /// Columns in the order in which records first name them; nothing when an item is no record.
    fn gather(items: &'a [Value], fill: bool) -> Option<Self> {
        let mut table = Self { names: Vec::new(), columns: Vec::new() };
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (number, item) in items.iter().enumerate() {
            for (name, value) in item.as_object()? {
                let place = *places.entry(name).or_insert_with(|| {
                    table.names.push(name.into());
                    table.columns.push(Vec::new());
                    table.names.len() - 1
                });
                let column = &mut table.columns[place];
                if fill {
                    column.resize(number, &Value::Null);
                }
                column.push(value);
            }
        }
        if fill {
            table.columns.iter_mut().for_each(|column| column.resize(items.len(), &Value::Null));
        }
        Some(table)
    }

    /// `{"name": [...], ...}`; what is no list is a column of one cell.
    pub(super) fn columns(entries: &'a Map<String, Value>) -> Self {
        let cells = |value: &'a Value| match value {
            Value::Array(cells) => cells.iter().collect(),
            cell => vec![cell],
        };
        Self { names: entries.keys().map(Into::into).collect(), columns: entries.values().map(cells).collect() }
    }
}

fn column_name(name: &Value) -> Cow<'_, str> {
    name.as_str().map_or_else(|| echo(name).into(), Into::into)
}
