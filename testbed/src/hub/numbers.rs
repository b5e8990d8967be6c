//! From JSON to the numbers that a model is asked, as generously as MLflow converts.

use serde_json::Value;

/// The sizes of a nested list, whose numbers go into `out`.
///
/// # Errors
/// What cannot be a number, or that the lists are not all of one length.
pub(super) fn flatten(value: &Value, out: &mut Vec<f32>) -> Result<Vec<usize>, String> {
    let Value::Array(items) = value else {
        out.push(number(value)?);
        return Ok(Vec::new());
    };
    let mut inner: Option<Vec<usize>> = None;
    for item in items {
        let sizes = flatten(item, out)?;
        match &inner {
            Some(known) if *known != sizes => {
                return Err(format!("the {} elements of a list do not have one shape", items.len()));
            }
            Some(_) => {}
            None => inner = Some(sizes),
        }
    }
    let mut sizes = inner.unwrap_or_default();
    sizes.insert(0, items.len());
    Ok(sizes)
}

/// A number, a text that is one, a bool, or null for NaN. What does not fit into float32 becomes infinite.
///
/// # Errors
/// What it is instead.
pub(super) fn number(value: &Value) -> Result<f32, String> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::Null => Some(f64::NAN),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => text.trim().parse().ok(),
        Value::Array(_) | Value::Object(_) => None,
    };
    #[expect(clippy::cast_possible_truncation, reason = "models take float32")]
    number.map(|number| number as f32).ok_or_else(|| format!("could not convert {} to a number", echo(value)))
}

/// Characters of a value that an error repeats.
const ECHO: usize = 300;

/// The beginning of a value.
pub(super) fn echo(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(ECHO) {
        Some((at, _)) => format!("{} ...", &text[..at]),
        None => text,
    }
}
