//! JSON in which no object has a key twice.
//!
//! JSON allows it and leaves open which one counts; `serde_json` keeps the last. Where a number decides about an order, a
//! text that can be read in two ways is not read at all.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// Why a text is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum JsonError {
    /// It is no JSON.
    #[error(transparent)]
    Syntax(#[from] serde_json::Error),
    /// An object in it has this key twice.
    #[error("an object has the key '{0}' twice")]
    Twice(String),
}

/// Reads a whole text.
///
/// # Errors
/// When it is no JSON, or any object in it has a key twice.
pub(super) fn read_once(text: &str) -> Result<Value, JsonError> {
    let mut twice = None;
    let mut parser = serde_json::Deserializer::from_str(text);
    let value = Reader { twice: &mut twice }.deserialize(&mut parser)?;
    parser.end()?;
    match twice {
        Some(key) => Err(JsonError::Twice(key)),
        None => Ok(value),
    }
}

/// Builds a value and notes the first key that is there twice.
struct Reader<'t> {
    twice: &'t mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Reader { twice: &mut *self.twice })? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Reader { twice: &mut *self.twice })?;
            if map.insert(key.clone(), value).is_some() {
                self.twice.get_or_insert(key);
            }
        }
        Ok(Value::Object(map))
    }
}
