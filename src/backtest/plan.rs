//! What is walked through: a pipeline of a configuration, turned into one that any bars of a file can be replayed with.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::schedule::{InvalidSchedule, Schedule, Window};

use crate::config::{Config, CsvSource, ForecastVenue, JobConfig, PipelineConfig, SlotsConfig, SourceConfig, Speed};
use crate::exit::{self, ExitError};
use crate::node::{NodeError, cached_bars};

/// Why there is nothing to walk through.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error("the bar cache in {} has no bars of pipeline '{pipeline}'", state.display())]
    NoCachedBars { pipeline: String, state: PathBuf },
    #[error("the bars of pipeline '{pipeline}' cannot be written to {}", file.display())]
    Write { pipeline: String, file: PathBuf, source: io::Error },
    #[error("pipeline '{pipeline}' goes by windows, and its bars make no grid")]
    NoGrid { pipeline: String, source: InvalidSchedule },
    #[error("pipeline '{pipeline}' has no slot in the range that was asked for")]
    NoSlots { pipeline: String },
}

impl ExitError for PlanError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Node(error) => error.exit_code(),
            Self::NoCachedBars { .. } => exit::FAILED,
            Self::Write { .. } => exit::IO,
            Self::NoGrid { .. } => exit::CONFIG,
            Self::NoSlots { .. } => exit::USAGE,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Node(error) => error.advice(),
            Self::NoCachedBars { .. } => Some(
                "fetch a file with `sentinel bars fetch`, and name it in a configuration whose source is kind = \"csv\"".to_owned(),
            ),
            Self::NoSlots { .. } => Some("choose --from and --to inside the bars".to_owned()),
            Self::Write { .. } | Self::NoGrid { .. } => None,
        }
    }
}

/// One pipeline, ready to be walked through, and to be run by a node on the same bars.
#[derive(Debug, Clone)]
pub struct Plan {
    pub pipeline: PipelineConfig,
    pub csv: CsvSource,
    pub schedule: Schedule,
    /// What differs from the configuration, in words.
    pub notes: Vec<String>,
}

impl Plan {
    /// The plan of a pipeline of `config`, for the slots of `window`. It is in dry run whatever the configuration says, alone on its account,
    /// and its competition plays no part. `dir` is where bars of a cache are written.
    ///
    /// # Errors
    /// When there are no bars.
    pub fn new(config: &Config, pipeline: &PipelineConfig, window: Window, dir: &Path) -> Result<Self, PlanError> {
        let mut pipeline = pipeline.clone();
        let mut notes = Vec::new();
        (pipeline.mode, pipeline.stays_dry, pipeline.window) = (Mode::DryRun, true, window);
        let schedule = match &pipeline.slots {
            SlotsConfig::Grid(schedule) => schedule.clone(),
            SlotsConfig::WorkerWindows => {
                notes.push(
                    "its slots are the closes of its bars: recorded bars do not say when windows opened".to_owned(),
                );
                grid(&pipeline)?
            }
        };
        pipeline.slots = SlotsConfig::Grid(schedule.clone());
        if let JobConfig::Forecast(job) = &mut pipeline.job {
            job.venue = ForecastVenue::Paper;
        }
        let csv = match &pipeline.source {
            SourceConfig::Csv(csv) => CsvSource { speed: Speed::Max, ..csv.clone() },
            SourceConfig::Vendor(vendor) => {
                let state = &config.node.state;
                let bars = cached_bars(&pipeline, vendor, state)?;
                let (pipeline, state) = (pipeline.name.clone(), state.clone());
                if bars.is_empty() {
                    return Err(PlanError::NoCachedBars { pipeline, state });
                }
                notes.push(format!("its bars are those of the bar cache in {}", state.display()));
                let path = dir.join(format!("{pipeline}.csv"));
                let written = write_bars(&path, &bars);
                written.map_err(|source| PlanError::Write { pipeline, file: path.clone(), source })?;
                CsvSource { path, speed: Speed::Max, bars: None, already_made: false }
            }
        };
        pipeline.source = SourceConfig::Csv(csv.clone());
        Ok(Self { pipeline, csv, schedule, notes })
    }

    /// The configuration with which a node runs this plan, in the state directory `state`.
    #[must_use]
    pub fn config(&self, config: &Config, state: &Path) -> Config {
        let mut config = config.clone();
        (config.node.state, config.node.mode) = (state.to_owned(), Mode::DryRun);
        (config.node.retention, config.backup, config.allora) = (None, None, None);
        config.http.listen = None;
        config.alerts = Default::default();
        config.pipelines = vec![self.pipeline.clone()];
        config
    }
}

/// A slot for each bar, when it may be taken as closed.
fn grid(pipeline: &PipelineConfig) -> Result<Schedule, PlanError> {
    let offset = if pipeline.data.settle < pipeline.interval.length() { pipeline.data.settle } else { Duration::ZERO };
    Schedule::every(pipeline.interval.length(), offset)
        .map_err(|source| PlanError::NoGrid { pipeline: pipeline.name.clone(), source })
}

/// As `source.kind = "csv"` reads them: a price that is not there is an empty cell, and every other one is the same number again.
fn write_bars(file: &Path, bars: &[RawBar]) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    writeln!(out, "timestamp,open,high,low,close,volume")?;
    let cell = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for RawBar { time, open, high, low, close, volume } in bars {
        let [open, high, low, close, volume] = [open, high, low, close, volume].map(|value| cell(*value));
        writeln!(out, "{time},{open},{high},{low},{close},{volume}")?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}
