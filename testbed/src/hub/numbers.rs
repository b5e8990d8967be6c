//! From JSON to the numbers that a model is asked, with the exceptions that NumPy raises when there is none.

use super::json::Json;
use super::python::repr;

/// An exception of Python.
pub(super) struct Raised {
    pub(super) class: &'static str,
    pub(super) text: String,
}

impl Raised {
    pub(super) fn repr(&self) -> String {
        format!("{}({})", self.class, repr(&self.text))
    }
}

/// The sizes of a nested list, whose numbers go into `out`.
pub(super) fn flatten(json: &Json, out: &mut Vec<f32>) -> Result<Vec<usize>, Raised> {
    let Json::List(items) = json else {
        out.push(number(json)?);
        return Ok(Vec::new());
    };
    let mut inner: Option<Vec<usize>> = None;
    for item in items {
        let sizes = flatten(item, out)?;
        match &inner {
            Some(known) if *known != sizes => return Err(ragged(items.len())),
            Some(_) => {}
            None => inner = Some(sizes),
        }
    }
    let mut sizes = inner.unwrap_or_default();
    sizes.insert(0, items.len());
    Ok(sizes)
}

fn ragged(length: usize) -> Raised {
    let text = format!(
        "setting an array element with a sequence. The requested array has an inhomogeneous shape after 1 dimensions. \
         The detected shape was ({length},) + inhomogeneous part."
    );
    Raised { class: "ValueError", text }
}

/// What `float` makes of it, and float32 of that. What does not fit becomes infinite, as in NumPy.
pub(super) fn number(json: &Json) -> Result<f32, Raised> {
    let value = match json {
        Json::Int(value) if value.is_infinite() => {
            return Err(Raised { class: "OverflowError", text: "int too large to convert to float".to_owned() });
        }
        Json::Int(value) | Json::Float(value) => *value,
        Json::Null => f64::NAN,
        Json::Bool(value) => f64::from(u8::from(*value)),
        Json::Text(text) => text.trim().parse().map_err(|_| {
            let text = format!("could not convert string to float: {}", repr(text));
            Raised { class: "ValueError", text }
        })?,
        Json::List(_) => {
            return Err(Raised { class: "ValueError", text: "setting an array element with a sequence.".to_owned() });
        }
        Json::Dict(_) => {
            let text = "float() argument must be a string or a real number, not 'dict'".to_owned();
            return Err(Raised { class: "TypeError", text });
        }
    };
    #[expect(clippy::cast_possible_truncation, reason = "models take float32")]
    let value = value as f32;
    Ok(value)
}
