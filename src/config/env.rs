//! The environment and the flags, as plain values. This is the only place of the node that reads the environment.
//!
//! `.env` is read into the same map and never exported: changing the environment of a process with threads is unsound.
//! A variable of the process wins over the same variable in `.env`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Variable that replaces `node.state`.
pub const STATE: &str = "SENTINEL_STATE";
/// Variable that replaces `log.level`.
pub const LOG_LEVEL: &str = "SENTINEL_LOG_LEVEL";

/// Environment variables by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env(BTreeMap<String, String>);

/// `.env` exists and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
pub struct EnvError {
    path: PathBuf,
    source: dotenvy::Error,
}

impl Env {
    /// The process's environment over the `.env` file of `dir`, when there is one.
    ///
    /// # Errors
    /// When `.env` exists and cannot be read or parsed: half a file of settings is worse than none.
    pub fn read(dir: &Path) -> Result<Self, EnvError> {
        let path = dir.join(".env");
        let mut values = BTreeMap::new();
        if path.exists() {
            let wrong = |source| EnvError { path: path.clone(), source };
            for pair in dotenvy::from_path_iter(&path).map_err(wrong)? {
                let (name, value) = pair.map_err(wrong)?;
                values.insert(name, value);
            }
        }
        // What is not UTF-8 cannot be one of ours.
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        values.extend(own);
        Ok(Self(values))
    }

    /// The value of a variable; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for Env {
    /// Names only: an environment holds other people's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Settings given on the command line. They win over everything else.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flags {
    /// `--state`: replaces `node.state`.
    pub state: Option<String>,
    /// `--log-level`: replaces `log.level`.
    pub log_level: Option<String>,
    /// `--dry-run`: replaces `node.mode`.
    pub dry_run: bool,
    /// `--live`: replaces `node.mode`.
    pub live: bool,
    /// The command starts nothing: it takes a file for any start, whatever modes the pipelines have in it.
    pub reads_only: bool,
    /// `--hub-host`: replaces `model.host` of every pipeline.
    pub hub_host: Option<String>,
    /// `--hub-port`: replaces `model.port` of every pipeline.
    pub hub_port: Option<u16>,
    /// `--gtw-host`: replaces `venue.host` of every pipeline.
    pub gtw_host: Option<String>,
    /// `--gtw-port`: replaces `venue.port` of every pipeline.
    pub gtw_port: Option<u16>,
    /// `--symbol`: replaces the symbol of the one pipeline.
    pub symbol: Option<String>,
    /// `--ticker`: replaces the vendor's ticker of the one pipeline.
    pub ticker: Option<String>,
    /// `--threshold`: replaces `decision.threshold` of every pipeline.
    pub threshold: Option<f64>,
}

/// A value from outside the file, and what to call it in a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) origin: String,
    pub(super) value: String,
}

/// By key path: what replaces the file's value. `pipeline.*` stands for every pipeline.
pub(super) fn overrides(env: &Env, flags: &Flags) -> BTreeMap<&'static str, Override> {
    let known =
        [("node.state", STATE, "--state", &flags.state), ("log.level", LOG_LEVEL, "--log-level", &flags.log_level)];
    let mode = if flags.live { Some(("--live", "live")) } else { flags.dry_run.then_some(("--dry-run", "dry_run")) };
    let of_pipelines = [
        ("pipeline.*.model.host", "--hub-host", flags.hub_host.clone()),
        ("pipeline.*.model.port", "--hub-port", flags.hub_port.map(|port| port.to_string())),
        ("pipeline.*.venue.host", "--gtw-host", flags.gtw_host.clone()),
        ("pipeline.*.venue.port", "--gtw-port", flags.gtw_port.map(|port| port.to_string())),
        ("pipeline.*.symbol", "--symbol", flags.symbol.clone()),
        ("pipeline.*.source.ticker", "--ticker", flags.ticker.clone()),
        ("pipeline.*.decision.threshold", "--threshold", flags.threshold.map(|threshold| threshold.to_string())),
    ];
    let by_flag = |(key, flag, value): (_, &str, Option<String>)| {
        Some((key, Override { origin: flag.to_owned(), value: value? }))
    };
    known
        .into_iter()
        .filter_map(|(key, variable, flag, given)| {
            let flag = given.as_ref().map(|value| (flag.to_owned(), value.clone()));
            let variable = || env.get(variable).map(|value| (format!("environment {variable}"), value.to_owned()));
            let (origin, value) = flag.or_else(variable)?;
            Some((key, Override { origin, value }))
        })
        .chain(of_pipelines.into_iter().filter_map(by_flag))
        .chain(mode.map(|(flag, mode)| ("node.mode", Override { origin: flag.to_owned(), value: mode.to_owned() })))
        .collect()
}
