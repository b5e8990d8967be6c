//! Configurations and data of these tests: the demo's own, and small changes to it.

use std::fs;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::evidence::Span;
use super::node::Node;

const HOUR_MS: i64 = 3_600_000;
const AFTER_CLOSE_MS: i64 = 2_000;
/// The demo's feature window: the number of bars of the first decision.
const WINDOW: usize = 200;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn demo_file(name: &str) -> PathBuf {
    repository().join("config/demo").join(name)
}

pub fn model_fixture(name: &str) -> PathBuf {
    repository().join("tests/data/models").join(name)
}

/// The open times of the demo's bars.
fn demo_bars_ms() -> Vec<i64> {
    let text = fs::read_to_string(demo_file("eurusd_1h_2017.csv")).unwrap();
    let time = |line: &str| line.split(',').next().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond();
    text.lines().skip(1).map(time).collect()
}

/// The slots that `sentinel demo --bars N` must end: from the opening of the first bar with a full window before it to the close of
/// the last one, each two seconds later.
pub fn demo_span(bars: usize) -> Span {
    let times = demo_bars_ms();
    let last = times[(bars + WINDOW - 2).min(times.len() - 1)];
    Span { first_ms: times[WINDOW] + AFTER_CLOSE_MS, last_ms: last + HOUR_MS + AFTER_CLOSE_MS }
}

/// A folder with a configuration of the smallest node, and the demo's data and model, until a test changes them.
pub struct Site {
    folder: tempfile::TempDir,
    pub text: String,
}

impl Site {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["eurusd_1h_2017.csv", "model.onnx", "model.json"] {
            fs::copy(demo_file(name), folder.path().join(name)).unwrap();
        }
        Self { folder, text: include_str!("../data/local.toml").to_owned() }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Moves everything to where it stays for a look.
    pub fn keep(&self) -> PathBuf {
        let kept = self.path().with_extension("kept");
        fs::rename(self.path(), &kept).unwrap();
        kept
    }

    /// Replaces a piece of the configuration.
    #[track_caller]
    pub fn with(mut self, old: &str, new: &str) -> Self {
        assert!(self.text.contains(old), "the demo's configuration has no {old:?}");
        self.text = self.text.replacen(old, new, 1);
        self
    }

    /// Adds a key to a section.
    #[track_caller]
    pub fn adding(self, section: &str, line: &str) -> Self {
        let header = format!("{section}\n");
        self.with(&header, &format!("{header}{line}\n"))
    }

    /// Keeps the oldest `bars` bars.
    pub fn with_bars(self, bars: usize) -> Self {
        self.adding("[pipeline.source]", &format!("bars = {bars}"))
    }

    /// Keeps as many of the oldest bars as `decisions` decisions need.
    pub fn with_decisions(self, decisions: usize) -> Self {
        self.with_bars(decisions + WINDOW - 1)
    }

    /// Another model under the demo's manifest, whose hash is made to fit.
    pub fn with_model(self, fixture: &str) -> Self {
        let bytes = fs::read(model_fixture(fixture)).unwrap();
        self.with_model_bytes(&bytes)
    }

    pub fn with_model_bytes(self, bytes: &[u8]) -> Self {
        let manifest = self.path().join("model.json");
        let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&manifest).unwrap()).unwrap();
        json["sha256"] = HEXLOWER.encode(&Sha256::digest(bytes)).into();
        fs::write(manifest, json.to_string()).unwrap();
        fs::write(self.path().join("model.onnx"), bytes).unwrap();
        self
    }

    /// Another model with a manifest of its own.
    pub fn with_model_pair(self, stem: &str) -> Self {
        for end in ["onnx", "json"] {
            fs::copy(model_fixture(&format!("{stem}.{end}")), self.path().join(format!("model.{end}"))).unwrap();
        }
        self
    }

    /// Writes the configuration and says where the run command finds it.
    pub fn args(&self) -> [String; 3] {
        let file = self.path().join("node.toml");
        fs::write(&file, &self.text).unwrap();
        ["run".to_owned(), "--config".to_owned(), file.display().to_string()]
    }

    /// What `sentinel resume` does: the kills of a campaign are its own, and no reason to wait or to send nothing.
    pub fn resume(&self) {
        let _ = fs::remove_file(self.state().join("boots"));
    }

    /// Starts the node in dry run, whatever it was killed by before.
    pub fn start(&self, more: &[&str]) -> Node {
        self.resume();
        Node::start(self.path(), self.args_and(more))
    }

    /// The same, with more arguments.
    pub fn args_and(&self, more: &[&str]) -> Vec<String> {
        self.args().into_iter().chain(more.iter().map(ToString::to_string)).collect()
    }
}
