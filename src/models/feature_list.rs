//! `features.json`: the names of a model's columns, in the order of its inputs, as trainers keep them beside a model that has no
//! manifest.
//!
//! It keeps the half of promise 5 that can be kept without a manifest: a model is asked about the columns that it names, in
//! its order, and a name that the feature set lacks is refused. It proves nothing about the model itself: what has no manifest
//! counts as not verified, and everybody is told so.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::config::closest;

/// Its name, in the directory of the model.
pub const FILE: &str = "features.json";

/// A longer file is none.
const BYTES_MAX: u64 = 1 << 20;

/// The columns that a model names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureList {
    path: PathBuf,
    columns: Vec<String>,
    bytes: Vec<u8>,
}

/// Why a list is refused.
#[derive(Debug, thiserror::Error)]
pub enum FeatureListError {
    /// It is there and cannot be read.
    #[error("the list of columns {} cannot be read: check its permissions", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Neither a list of names nor an object with one.
    #[error(
        "the list of columns {} is none: write the names in the order of the model's inputs, as [\"ret_1h\", \"ret_24h\"], or such a \
         list under \"features\" or \"columns\"",
        path.display()
    )]
    Layout { path: PathBuf, source: serde_json::Error },
    /// Both keys, which could disagree.
    #[error("the list of columns {} has \"features\" and \"columns\": keep the one that the model was trained with", path.display())]
    TwoLists { path: PathBuf },
    #[error("the list of columns {} is empty: name the columns in the order of the model's inputs", path.display())]
    Empty { path: PathBuf },
    #[error(
        "the list of columns {} names '{name}' twice, as {first} and {second} of them: name each input of the model once",
        path.display()
    )]
    Duplicate {
        path: PathBuf,
        name: String,
        /// Counted from 1, like `second`.
        first: usize,
        second: usize,
    },
    /// The feature set has no such column.
    #[error(
        "the list of columns {} names '{name}', which the feature set {set} does not have{}: the set has {}; correct the name, or \
         configure the set that the model was trained on",
        path.display(),
        suggestion.as_ref().map_or_else(String::new, |name| format!("; did you mean '{name}'?")),
        columns.join(", ")
    )]
    Unknown {
        path: PathBuf,
        name: String,
        /// Of the pipeline.
        set: String,
        suggestion: Option<String>,
        /// All of the set, in its order.
        columns: Vec<String>,
    },
    /// It lies beside a manifest, and says something else.
    #[error(
        "the list of columns {} and the manifest {} disagree, from column {at} on: remove the list, which a manifest makes needless, or \
         put it into the directory of its own model",
        path.display(), manifest.display()
    )]
    Disagrees {
        path: PathBuf,
        manifest: PathBuf,
        /// Counted from 1.
        at: usize,
    },
}

/// What trainers write.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a list of names, or an object with one under \"features\" or \"columns\"")]
enum Layout {
    Names(Vec<String>),
    Keyed(Keyed),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keyed {
    #[serde(default)]
    features: Option<Vec<String>>,
    #[serde(default)]
    columns: Option<Vec<String>>,
}

impl FeatureList {
    /// Where the list of a model file is.
    #[must_use]
    pub fn path_of(model: &Path) -> PathBuf {
        model.with_file_name(FILE)
    }

    /// Reads a list; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and is no list of different names.
    pub fn read(path: &Path) -> Result<Option<Self>, FeatureListError> {
        let Some(bytes) = read_bytes(path)? else { return Ok(None) };
        let layout = serde_json::from_slice(&bytes)
            .map_err(|source| FeatureListError::Layout { path: path.to_owned(), source })?;
        let columns = match layout {
            Layout::Names(names) => names,
            Layout::Keyed(Keyed { features: Some(_), columns: Some(_) }) => {
                return Err(FeatureListError::TwoLists { path: path.to_owned() });
            }
            Layout::Keyed(Keyed { features, columns }) => features.or(columns).unwrap_or_default(),
        };
        if columns.is_empty() {
            return Err(FeatureListError::Empty { path: path.to_owned() });
        }
        for (index, name) in columns.iter().enumerate() {
            if let Some(first) = columns[..index].iter().position(|earlier| earlier == name) {
                let (path, name) = (path.to_owned(), name.clone());
                return Err(FeatureListError::Duplicate { path, name, first: first + 1, second: index + 1 });
            }
        }
        Ok(Some(Self { path: path.to_owned(), columns, bytes }))
    }

    /// The names, in the order of the model's inputs.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Where each of its columns is in a row of the feature set `set`, which has `columns`.
    ///
    /// # Errors
    /// When the set lacks one.
    pub fn places_in(&self, set: &str, columns: &[String]) -> Result<Vec<usize>, FeatureListError> {
        let place = |name: &String| {
            columns.iter().position(|column| column == name).ok_or_else(|| FeatureListError::Unknown {
                path: self.path.clone(),
                name: name.clone(),
                set: set.to_owned(),
                suggestion: closest(name, columns.iter().map(String::as_str)),
                columns: columns.to_vec(),
            })
        };
        self.columns.iter().map(place).collect()
    }

    /// Holds it against the columns of the manifest that lies beside it.
    ///
    /// # Errors
    /// When it says something else.
    pub fn must_agree(&self, manifest: &Path, columns: &[String]) -> Result<(), FeatureListError> {
        if self.columns == columns {
            return Ok(());
        }
        let same = self.columns.iter().zip(columns).take_while(|(own, other)| own == other).count();
        Err(FeatureListError::Disagrees { path: self.path.clone(), manifest: manifest.to_owned(), at: same + 1 })
    }

    /// SHA-256 of the model's bytes and then its own, as `cat model.onnx features.json | sha256sum` prints it.
    #[must_use]
    pub fn hash_with(&self, model: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(&Sha256::new().chain_update(model).chain_update(&self.bytes).finalize())
    }
}

fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, FeatureListError> {
    let failed = |source| FeatureListError::Unreadable { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB")));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<FeatureList>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::fs::write(&path, text).unwrap();
        FeatureList::read(&path).map_err(|error| sentinel_actors::error_chain::chain(&error))
    }

    #[test]
    fn a_list_is_read_in_each_of_the_three_layouts_that_trainers_write() {
        for text in [r#"["b", "a"]"#, r#"{"features": ["b", "a"]}"#, r#"{"columns": ["b", "a"]}"#] {
            assert_eq!(read(text).unwrap().unwrap().columns(), ["b", "a"], "{text}");
        }
        assert!(FeatureList::read(Path::new("no/such/features.json")).unwrap().is_none());
    }

    #[test]
    fn what_is_no_list_of_different_names_is_refused_with_what_to_do() {
        for (text, said) in [
            ("[]", "is empty: name the columns"),
            (r#"{"features": []}"#, "is empty: name the columns"),
            ("{}", "is empty: name the columns"),
            (r#"["a", "b", "a"]"#, "names 'a' twice, as 1 and 3 of them"),
            (r#"{"features": ["a"], "columns": ["a"]}"#, "keep the one that the model was trained with"),
            (r#"["a", 3]"#, "expected a list of names"),
            (r#"{"featurs": ["a"]}"#, "expected a list of names"),
            (r#"["a", "#, "is none: write the names in the order"),
            ("", "is none: write the names in the order"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said) && error.contains(FILE), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_that_the_set_lacks_is_refused_with_those_that_exist() {
        let set = ["ret_1h", "ret_24h", "vol_24h"].map(String::from);
        let list = read(r#"["vol_24h", "ret_1hr"]"#).unwrap().unwrap();
        let error = list.places_in("btc9", &set).unwrap_err().to_string();
        assert!(
            error.contains("'ret_1hr', which the feature set btc9 does not have; did you mean 'ret_1h'?"),
            "{error}"
        );
        assert!(error.contains("the set has ret_1h, ret_24h, vol_24h"), "{error}");
        let list = read(r#"["vol_24h", "ret_1h"]"#).unwrap().unwrap();
        assert_eq!(list.places_in("btc9", &set).unwrap(), [2, 0]);
    }
}
