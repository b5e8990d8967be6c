//! The configuration: one TOML file, typed and checked as a whole before anything starts.
//!
//! Precedence is file < environment < flags. Paths in the file are relative to the file; a path in the environment or in
//! a flag is relative to where the node was started. Unknown keys are errors. Everything that is wrong is reported in
//! one go, each with its line, and a [`Config`] that exists is valid: its fields are the domain's types.
//!
//! Numbers that stand for money or distances are exact decimals, read from their text. `config/sentinel.toml` lists every
//! key with its default; a test keeps it true.

mod account;
mod alerts;
mod allora;
mod backup;
mod beyond;
mod deadlines;
mod endpoints;
mod env;
mod http;
mod job;
mod node;
mod pipeline;
mod problem;
mod reader;
mod shared;
mod source;
mod values;

use std::fmt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sentinel_actors::settings::Deadlines;
use sha2::{Digest as _, Sha256};
use toml::de::{DeTable, DeValue};

pub use alerts::{AlertsConfig, DEAD_MAN, DeadManConfig, RouteConfig, RouteKind};
pub use allora::{AlloraConfig, Network};
pub use backup::BackupConfig;
pub use endpoints::{GatewayConfig, HubAccess, HubConfig, HubPayload, ModelConfig, VenueConfig};
pub use env::{Env, EnvError, Flags, LOG_LEVEL, MNEMONIC, STATE};
pub use http::HttpConfig;
pub use job::{ForecastJob, ForecastVenue, JobConfig, OrderJob, PaperConfig, TopicConfig};
pub use node::{LogConfig, LogFormat, LogLevel, NodeConfig, Supervision};
pub use pipeline::{DataConfig, FX_CALENDAR, FeaturesConfig, PipelineConfig, SlotsConfig};
pub(crate) use problem::closest;
pub use problem::{ConfigErrors, Location, Problem};
pub use source::{CsvSource, KeyPlace, SourceConfig, Speed, VendorSource};

use pipeline::Inherited;
use reader::{Reading, Section};

/// The whole configuration. It exists only when it is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The process.
    pub node: NodeConfig,
    pub log: LogConfig,
    /// The page, its metrics and its probes.
    pub http: HttpConfig,
    /// When parts are restarted, parked or given up.
    pub supervision: Supervision,
    /// How long each stage may take where a pipeline says nothing else.
    pub deadlines: Deadlines,
    /// Who is told when something needs a person.
    pub alerts: AlertsConfig,
    /// The backup of each day, when the file has its section.
    pub backup: Option<BackupConfig>,
    /// The Allora network, when the file has its section.
    pub allora: Option<AlloraConfig>,
    /// At least one; names are unique.
    pub pipelines: Vec<PipelineConfig>,
    /// Every key's effective value, in reading order.
    pub settings: Vec<Setting>,
}

/// The effective value of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its path, for example `pipeline.eurusd.decision.threshold`.
    pub key: String,
    pub value: String,
    pub origin: Origin,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File,
    /// The environment or a flag, by name.
    Outside(String),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.key, self.value)?;
        match &self.origin {
            Origin::File => Ok(()),
            Origin::Default => f.write_str(" (default)"),
            Origin::Outside(name) => write!(f, " ({name})"),
        }
    }
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, env: &Env, flags: &Flags) -> Result<Self, ConfigErrors> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let what = format!("cannot be read: {error}");
            let problem =
                Problem { location: Location::File, key: String::new(), what, allowed: None, suggestion: None };
            ConfigErrors::new(file.clone(), vec![problem])
        })?;
        Self::from_str_at(&text, &file, path.parent().unwrap_or(Path::new("")), env, flags)
    }

    /// Checks a text as if it were the file called `file` in the directory `base`.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_str_at(text: &str, file: &str, base: &Path, env: &Env, flags: &Flags) -> Result<Self, ConfigErrors> {
        let mut reading = Reading::new(text, base.to_owned(), env.clone(), env::overrides(env, flags));
        let (document, faults) = DeTable::parse_recoverable(text);
        if !faults.is_empty() {
            // After a syntax error the rest of the reading would report the parser's guesses.
            for fault in faults {
                let location = fault.span().map_or(Location::File, |span| reading.line(span.start));
                reading.report(location, String::new(), format!("syntax: {}", fault.message().replace('\n', "; ")));
            }
            return Err(ConfigErrors::new(file.to_owned(), reading.problems));
        }
        let parts = read(&mut reading, document.get_ref(), flags.reads_only);
        match parts {
            Some((node, log, http, supervision, deadlines, (alerts, backup), allora, pipelines))
                if reading.problems.is_empty() =>
            {
                let settings = reading.settings;
                Ok(Self { node, log, http, supervision, deadlines, alerts, backup, allora, pipelines, settings })
            }
            _ => Err(ConfigErrors::new(file.to_owned(), reading.problems)),
        }
    }

    /// Digest of every key's effective value, wherever it came from: 64 hexadecimal digits. A secret is a file's name here,
    /// so that nothing of its text goes in.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut settings: Vec<(&str, &str)> =
            self.settings.iter().map(|setting| (&*setting.key, &*setting.value)).collect();
        settings.sort_unstable();
        let mut hash = Sha256::new();
        for part in settings.into_iter().flat_map(|(key, value)| [key, value]) {
            // Length first: no two lists of settings feed the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(part.as_bytes());
        }
        HEXLOWER.encode(&hash.finalize())
    }

    /// Files that it names for secrets; `base` is the directory of its file.
    #[must_use]
    pub fn files_of_secrets(&self, base: &Path) -> Vec<PathBuf> {
        let named = self.settings.iter().filter(|setting| setting.key.ends_with("_file"));
        named.map(|setting| values::beside(base, Path::new(&setting.value))).collect()
    }

    /// Whether the pipelines differ in their mode.
    #[must_use]
    pub fn has_both_modes(&self) -> bool {
        self.pipelines.windows(2).any(|two| two[0].mode != two[1].mode)
    }

    /// One line per key: what the node runs with, and where that comes from.
    pub fn banner(&self) -> impl Iterator<Item = String> + '_ {
        self.settings.iter().map(Setting::to_string)
    }
}

type Parts = (
    NodeConfig,
    LogConfig,
    HttpConfig,
    Supervision,
    Deadlines,
    (AlertsConfig, Option<BackupConfig>),
    Option<AlloraConfig>,
    Vec<PipelineConfig>,
);

/// Reads everything before giving up on anything.
fn read<'t>(reading: &mut Reading, document: &'t DeTable<'t>, reads_only: bool) -> Option<Parts> {
    let mut root = Section::new(reading, "", Location::Line(1), document);
    let node = node::node(root.child("node"));
    let log = node::log(root.child("log"));
    let http = http::http(root.child("http"));
    let supervision = node::supervision(root.child("supervision"));
    let deadlines = deadlines::of_node(root.child("deadlines"));
    let alerts = alerts::alerts(root.child("alerts"), reads_only);
    let has_backup = root.has("backup");
    let section = root.child("backup");
    let backup = if has_backup { backup::backup(section) } else { None };
    let has_allora = root.has("allora");
    let section = root.child("allora");
    // A wrong one is `None` too; it is a problem by then.
    let allora = if has_allora { allora::allora(section) } else { None };
    let inherited = Inherited { mode: node.as_ref().map(|node| node.mode), deadlines, reads_only };
    let pipelines = read_pipelines(&mut root, inherited);
    let has_topics = pipelines.iter().flatten().any(|pipeline| pipeline.topic().is_some());
    if has_topics && !has_allora {
        root.report("allora", "is missing: write [allora] with the network that the topics are of");
    }
    if let Some(pipelines) = &pipelines
        && !reads_only
    {
        shared::refuse(&mut root, pipelines);
    }
    root.finish();
    reading.report_unused();
    Some((node?, log?, http?, supervision?, deadlines?, (alerts?, backup), allora, pipelines?))
}

fn read_pipelines(root: &mut Section<'_, '_>, inherited: Inherited) -> Option<Vec<PipelineConfig>> {
    let Some(value) = root.take("pipeline") else {
        root.report("pipeline", "there is none; write at least one [[pipeline]]");
        return None;
    };
    let mut tables = Vec::new();
    if let DeValue::Array(array) = value.get_ref() {
        for item in array.iter() {
            match item.get_ref() {
                DeValue::Table(table) => tables.push((item.span().start, table)),
                other => root.report("pipeline", format!("{} is not a table", reader::describe(other))),
            }
        }
    } else {
        root.report("pipeline", format!("is {}, not a list; write [[pipeline]]", reader::describe(value.get_ref())));
        return None;
    }
    if tables.is_empty() {
        root.report("pipeline", "is empty; write at least one [[pipeline]]");
        return None;
    }
    for (key, flag) in [("pipeline.*.symbol", "--symbol"), ("pipeline.*.source.ticker", "--ticker")] {
        if tables.len() > 1 && root.reading.is_overridden(key) {
            root.report("pipeline", format!("{flag} is for a configuration with one pipeline"));
        }
    }
    let mut names: Vec<(String, Location)> = Vec::new();
    let read: Vec<_> = tables
        .into_iter()
        .enumerate()
        .map(|(index, (start, table))| {
            let location = root.reading.line(start);
            let name = table.get("name").and_then(|name| name.get_ref().as_str()).filter(|name| values::is_name(name));
            let path = name.map_or_else(|| format!("pipeline[{index}]"), |name| format!("pipeline.{name}"));
            pipeline::pipeline(Section::new(&mut *root.reading, &path, location, table), &mut names, inherited)
        })
        .collect();
    read.into_iter().collect()
}
