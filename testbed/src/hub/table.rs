//! Payloads of every form as named columns of cells, as pandas would build them. What the cells hold does not matter here.

use std::borrow::Cow;
use std::collections::HashMap;

use super::json::Json;
use super::python::repr;
use super::refusal::Refusal;

/// Named columns of cells.
pub(super) struct Table<'a> {
    pub(super) names: Vec<Cow<'a, str>>,
    /// As many as names; not all of one length when the request was uneven.
    pub(super) columns: Vec<Vec<&'a Json>>,
}

impl<'a> Table<'a> {
    pub(super) fn split(payload: &'a Json) -> Result<Self, Refusal> {
        let frame = |error: &str| {
            let text = "Provided dataframe_split field is not a valid dataframe representation in 'split' format.";
            Refusal::Invalid(format!("{text} Error: '{error}'"))
        };
        let entries = match payload {
            Json::Dict(entries) => entries,
            other => {
                return Err(Refusal::Invalid(format!(
                    "Dataframe split format must be a dictionary. Got {}.",
                    kind(other)
                )));
            }
        };
        let data = payload.get("data");
        let known = |(name, _): &(String, Json)| matches!(name.as_str(), "data" | "columns" | "index");
        let (Some(data), true) = (data, entries.iter().all(known)) else {
            let keys = entries.iter().map(|(name, _)| repr(name)).collect::<Vec<_>>().join(", ");
            return Err(Refusal::Invalid(format!(
                "Dataframe split format must have 'data' field and optionally 'columns' and 'index' fields. Got {{{keys}}}.'"
            )));
        };
        let lines: Vec<&[Json]> = match data {
            Json::Null => Vec::new(),
            Json::List(items) => items
                .iter()
                .map(|item| if let Json::List(cells) = item { cells } else { std::slice::from_ref(item) })
                .collect(),
            _ => return Err(frame("DataFrame constructor not properly called!")),
        };
        let flat =
            !lines.is_empty() && !matches!(data, Json::List(items) if matches!(items.first(), Some(Json::List(_))));
        let width = lines.iter().map(|cells| cells.len()).max();
        let names: Vec<Cow<'_, str>> = match payload.get("columns") {
            None | Some(Json::Null) => (0..width.unwrap_or(0)).map(|index| Cow::Owned(index.to_string())).collect(),
            Some(Json::List(names)) => names.iter().map(column_name).collect(),
            Some(other) => {
                return Err(frame(&format!(
                    "Index(...) must be called with a collection of some kind, {} was passed",
                    other.echo(80)
                )));
            }
        };
        if let Some(width) = width.filter(|width| *width != names.len()) {
            let (rows, wanted) = (lines.len(), names.len());
            return Err(frame(&if flat {
                format!("Shape of passed values is ({rows}, 1), indices imply ({rows}, {wanted})")
            } else {
                format!("{wanted} columns passed, passed data had {width} columns")
            }));
        }
        let columns =
            (0..names.len()).map(|at| lines.iter().map(|cells| cells.get(at).unwrap_or(&Json::Null)).collect());
        let columns = columns.collect();
        Ok(Self { names, columns })
    }

    pub(super) fn records(payload: &'a Json) -> Result<Self, Refusal> {
        let Json::List(items) = payload else {
            let got = kind(payload);
            return Err(Refusal::Invalid(format!("Dataframe records format must be a list of records. Got {got}.")));
        };
        // What is no record has columns without names, and the model misses all of its own.
        let unnamed = |_| Self { names: vec!["0".into()], columns: vec![vec![]] };
        Ok(Self::gather(items, true).unwrap_or_else(unnamed))
    }

    /// As records, but a record without a column shortens that column.
    pub(super) fn instances(items: &'a [Json]) -> Result<Self, Refusal> {
        Self::gather(items, false).map_err(|stranger| {
            let class = stranger.class();
            Refusal::Invalid(format!(
                "Ensure that the input is a valid JSON-formatted string.\nError: AttributeError(\"'{class}' object has no \
                 attribute 'items'\")"
            ))
        })
    }

    /// Columns in the order in which records first name them, with null where a record has none if told to `fill`; or
    /// the first that is no record.
    fn gather(items: &'a [Json], fill: bool) -> Result<Self, &'a Json> {
        let mut table = Self { names: Vec::new(), columns: Vec::new() };
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (number, item) in items.iter().enumerate() {
            let Json::Dict(entries) = item else { return Err(item) };
            for (name, value) in entries {
                let place = *places.entry(name).or_insert_with(|| {
                    table.names.push(name.into());
                    table.columns.push(Vec::new());
                    table.names.len() - 1
                });
                let column = &mut table.columns[place];
                if fill {
                    column.resize(number, &Json::Null);
                }
                column.push(value);
            }
        }
        if fill {
            table.columns.iter_mut().for_each(|column| column.resize(items.len(), &Json::Null));
        }
        Ok(table)
    }

    pub(super) fn columns(entries: &'a [(String, Json)]) -> Self {
        let cells = |value: &'a Json| if let Json::List(cells) = value { cells.iter().collect() } else { vec![value] };
        Self {
            names: entries.iter().map(|(name, _)| name.into()).collect(),
            columns: entries.iter().map(|(_, value)| cells(value)).collect(),
        }
    }
}

fn kind(json: &Json) -> String {
    match json {
        Json::List(_) => "list".to_owned(),
        Json::Dict(_) => "dictionary".to_owned(),
        other => format!("type <class '{}'>", other.class()),
    }
}

fn column_name(json: &Json) -> Cow<'_, str> {
    if let Json::Text(text) = json { text.into() } else { json.echo(80).into() }
}
