//! What an operator prepares: a directory with a configuration of the smallest node and what it names.

use std::fs;
use std::path::{Path, PathBuf};

use super::outside::repository_file;

pub struct Site(tempfile::TempDir);

impl Site {
    /// A replay that goes on for minutes.
    pub fn long() -> Self {
        Self::with("speed = \"max\"", "speed = 20")
    }

    /// A replay of a moment, after which the competition is over.
    pub fn short() -> Self {
        Self::with("speed = \"max\"", "speed = \"max\"\nbars = 260")
    }

    /// A configuration that no start will ever make better.
    pub fn broken() -> Self {
        Self::with("path = \"model.onnx\"", "path = \"nowhere.onnx\"")
    }

    fn with(old: &str, new: &str) -> Self {
        let site = Self(tempfile::tempdir().unwrap());
        for name in ["eurusd_1h_2017.csv", "model.onnx", "model.json"] {
            fs::copy(repository_file("config/demo").join(name), site.path().join(name)).unwrap();
        }
        let text = fs::read_to_string(repository_file("tests/data/local.toml")).unwrap();
        assert!(text.contains(old));
        fs::write(site.path().join("sentinel.toml"), text.replacen(old, new, 1)).unwrap();
        site
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub fn args(&self) -> [String; 3] {
        ["run".to_owned(), "--config".to_owned(), self.path().join("sentinel.toml").display().to_string()]
    }
}
