//! What lies beside a model file and says what the model is asked: its manifest, or the list of its columns when it has none.
//!
//! A manifest proves the model, with hash, horizon and parity rows. A list only says which columns it takes in which order; such a
//! model counts as not verified.

use std::borrow::Cow;
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::error::OnnxError;
use crate::models::feature_list::FeatureList;
use crate::models::manifest::{Expected, Manifest, ManifestError};

/// Of one model.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Papers {
    Manifest(Box<Manifest>),
    List {
        list: FeatureList,
        /// Where each of its columns is in a row of the pipeline.
        places: Vec<usize>,
    },
}

impl Papers {
    /// Reads what lies beside a model file, and checks it against what the pipeline expects.
    pub(super) fn read(model: &Path, expected: &Expected) -> Result<Self, OnnxError> {
        let path = Manifest::path_of(model);
        let manifest = Manifest::read(&path, expected);
        let list = match &manifest {
            Ok(_) | Err(ManifestError::Missing { .. }) => FeatureList::read(&FeatureList::path_of(model))?,
            Err(_) => None,
        };
        match (manifest, list) {
            (Err(ManifestError::Missing { .. }), Some(list)) => {
                let places = list.places_in(&expected.features.name, &expected.columns)?;
                Ok(Self::List { list, places })
            }
            (Err(error), _) => Err(error.into()),
            (Ok(manifest), None) => Ok(Self::Manifest(Box::new(manifest))),
            (Ok(manifest), Some(list)) => {
                list.must_agree(&path, &manifest.features.columns)?;
                Ok(Self::Manifest(Box::new(manifest)))
            }
        }
    }

    /// What identifies the model with these bytes.
    pub(super) fn hash(&self, path: &Path, bytes: &[u8]) -> Result<String, OnnxError> {
        match self {
            Self::List { list, .. } => Ok(list.hash_with(bytes)),
            Self::Manifest(manifest) => {
                let have = HEXLOWER.encode(&Sha256::digest(bytes));
                if have == manifest.sha256 {
                    return Ok(have);
                }
                Err(OnnxError::Hash { path: path.to_owned(), have, want: manifest.sha256.clone() })
            }
        }
    }

    /// What the model takes of a row of the pipeline, in its order.
    pub(super) fn pick<'r>(&self, row: &'r [f64]) -> Cow<'r, [f64]> {
        match self {
            Self::Manifest(_) => Cow::Borrowed(row),
            // A row that is too short has been refused before; if not, the model refuses what is left of it.
            Self::List { places, .. } => places.iter().filter_map(|place| row.get(*place).copied()).collect(),
        }
    }

    /// How many columns the model takes.
    pub(super) fn width(&self, expected: &Expected) -> usize {
        match self {
            Self::Manifest(_) => expected.columns.len(),
            Self::List { places, .. } => places.len(),
        }
    }

    pub(super) fn manifest(&self) -> Option<&Manifest> {
        match self {
            Self::Manifest(manifest) => Some(manifest),
            Self::List { .. } => None,
        }
    }
}
