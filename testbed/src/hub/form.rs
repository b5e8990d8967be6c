//! What a model returned decides the form of its predictions. Written as Python writes it.

use super::answer::Answer;

/// The forms in which models of MLflow answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Form {
    /// An array, or a list of lists: the numbers of each row.
    #[default]
    Array,
    /// A DataFrame with a column of this name for each number. Its columns come in the reverse order, so that who goes by
    /// their place is found out.
    Records(Vec<String>),
    /// A series without a name, of the first number of each row: what a regressor answers.
    Series,
    /// A list of these numbers, or an array of one dimension.
    Scalars,
    /// The first of these numbers alone, whatever was asked.
    Scalar,
}

impl Form {
    pub(super) fn answer(&self, rows: &[Vec<f64>]) -> Answer {
        let first = |row: &Vec<f64>| row.first().copied().map_or_else(String::new, float);
        let each = |form: &dyn Fn(&Vec<f64>) -> String| list(rows.iter().map(form));
        let predictions = match self {
            Self::Array => each(&|row| list(row.iter().copied().map(float))),
            Self::Records(names) => each(&|row| {
                let cells = names.iter().zip(row).rev();
                let cells: Vec<_> = cells.map(|(name, value)| format!("{name:?}: {}", float(*value))).collect();
                format!("{{{}}}", cells.join(", "))
            }),
            Self::Series => each(&|row| format!("{{\"0\": {}}}", first(row))),
            Self::Scalars => each(&first),
            Self::Scalar => rows.first().map_or_else(|| "null".to_owned(), first),
        };
        Answer::json(format!("{{\"predictions\": {predictions}}}"))
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// As Python writes a float: what JSON does not have as a bare word.
fn float(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => format!("{value:?}"),
    }
}
