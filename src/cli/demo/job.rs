//! The jobs that the demo shows, each with its configuration and the files that it works on, all built into the program.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{Config, Env, Flags};
use crate::files::{Durability, replace};

/// What the demo's node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DemoJob {
    /// Trade EURUSD, with a model hub and a paper gateway beside the node.
    Order,
    /// Forecast BTCUSD a week ahead, in this one process.
    Forecast,
    /// Forecast it as a worker on the Allora network, whose chain is played in this process.
    Allora,
}

impl DemoJob {
    /// A worker has what a forecast has, and more.
    const ALL: [Self; 3] = [Self::Order, Self::Allora, Self::Forecast];

    /// The demo that has its files in a state directory.
    #[must_use]
    pub fn of_state(state: &Path) -> Option<Self> {
        let files = state.join("files");
        Self::ALL.into_iter().find(|job| job.files().iter().all(|(name, _)| files.join(name).exists()))
    }

    /// As the command line names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Forecast => "forecast",
            Self::Allora => "allora",
        }
    }

    /// Where a demo keeps its state that is given no other place.
    #[must_use]
    pub const fn default_state(self) -> &'static str {
        match self {
            Self::Order => "state/demo",
            Self::Forecast => "state/demo-forecast",
            Self::Allora => "state/demo-allora",
        }
    }

    /// What leaves the node.
    #[must_use]
    pub const fn effects(self) -> &'static str {
        match self {
            Self::Order => "orders",
            Self::Forecast | Self::Allora => "forecasts",
        }
    }

    pub(super) const fn config(self) -> &'static str {
        match self {
            Self::Order => include_str!("../../../config/demo/demo.toml"),
            Self::Forecast => include_str!("../../../config/demo/forecast.toml"),
            Self::Allora => include_str!("../../../config/demo/allora.toml"),
        }
    }

    /// The manifest of its model, by file name.
    pub(super) const fn manifest(self) -> &'static str {
        match self {
            Self::Order => "model.json",
            Self::Forecast | Self::Allora => "btcusd.json",
        }
    }

    /// What it works on, by file name.
    const fn files(self) -> &'static [(&'static str, &'static [u8])] {
        const BARS: (&str, &[u8]) = ("btcusd_1h.csv", include_bytes!("../../../config/demo/btcusd_1h.csv"));
        const MODEL: (&str, &[u8]) = ("btcusd.onnx", include_bytes!("../../../config/demo/btcusd.onnx"));
        const MANIFEST: (&str, &[u8]) = ("btcusd.json", include_bytes!("../../../config/demo/btcusd.json"));
        match self {
            Self::Order => &[
                ("eurusd_1h_2017.csv", include_bytes!("../../../config/demo/eurusd_1h_2017.csv")),
                ("model.onnx", include_bytes!("../../../config/demo/model.onnx")),
                ("model.json", include_bytes!("../../../config/demo/model.json")),
            ],
            Self::Forecast => &[BARS, MODEL, MANIFEST],
            Self::Allora => {
                &[BARS, MODEL, MANIFEST, ("allora.toml", include_bytes!("../../../config/demo/allora.toml"))]
            }
        }
    }

    /// Writes its files. What is there already stays untouched: a changed model must not look new on every start.
    pub(in crate::cli) fn unpack(self, dir: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(dir)?;
        for (name, content) in self.files() {
            let path = dir.join(name);
            if std::fs::read(&path).is_ok_and(|present| present == *content) {
                continue;
            }
            replace(&path, Durability::None, |file| file.write_all(content))?;
        }
        Ok(())
    }
}

/// The manifest of the model that a demo has in its state directory. The node asks a hub for it, so its configuration does not name it.
pub(in crate::cli) fn manifest_of(state: &Path) -> Option<PathBuf> {
    Some(state.join("files").join(DemoJob::of_state(state)?.manifest()))
}

/// The demo's configuration, for a state directory that a demo has left.
pub(in crate::cli) fn config_of(state: &Path) -> Option<Config> {
    let (job, files) = (DemoJob::of_state(state)?, state.join("files"));
    let flags = Flags { reads_only: true, ..Flags::default() };
    Config::from_str_at(job.config(), "the demo's configuration", &files, &Env::default(), &flags).ok()
}
