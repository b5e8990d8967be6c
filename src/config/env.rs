//! The environment and the flags, as plain values. This is the only place of the node that reads the environment.
//!
//! `.env` is read into the same map and never exported: changing the environment of a process with threads is unsound.
//! A variable of the process wins over the same variable in `.env`.
//!
//! The mnemonic of a wallet is kept apart from all other variables: it is erased when it is dropped, and never gets into the
//! parser of `.env`, whose errors quote the line.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Variable that replaces `node.state`.
pub const STATE: &str = "SENTINEL_STATE";
/// Variable that replaces `log.level`.
pub const LOG_LEVEL: &str = "SENTINEL_LOG_LEVEL";

/// Variable with the words of a wallet, or its raw key.
pub const MNEMONIC: &str = "MNEMONIC";

/// Environment variables by name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Env {
    values: BTreeMap<String, String>,
    mnemonic: Option<Mnemonic>,
}

/// The value of [`MNEMONIC`], and the `.env` file that it came from. It has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
struct Mnemonic {
    text: Zeroizing<String>,
    file: Option<PathBuf>,
}

/// `.env` exists and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be read", path.display())]
pub struct EnvError {
    path: PathBuf,
    source: EnvFileError,
}

/// What is wrong with `.env`. It quotes nothing: any line may be a secret.
#[derive(Debug, thiserror::Error)]
enum EnvFileError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("line {0} is not NAME=VALUE; a value with spaces stands in quotes")]
    Line(usize),
}

impl Env {
    /// The process's environment over the `.env` file of `dir`, when there is one.
    ///
    /// # Errors
    /// When `.env` exists and cannot be read or parsed: half a file of settings is worse than none.
    pub fn read(dir: &Path) -> Result<Self, EnvError> {
        let path = dir.join(".env");
        let mut env = Self::default();
        if path.exists() {
            env.read_file(&path).map_err(|source| EnvError { path, source })?;
        }
        // What is not UTF-8 cannot be one of ours.
        let own =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        env.extend(own);
        Ok(env)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), EnvFileError> {
        let text = Zeroizing::new(fs::read_to_string(path)?);
        // In the place of the mnemonic stays an empty line, so that the lines keep their numbers.
        let mut others = String::with_capacity(text.len());
        for (index, line) in text.lines().enumerate() {
            match mnemonic_in(line) {
                None => others.push_str(line),
                Some(value) => {
                    let text = Zeroizing::new(value.ok_or(EnvFileError::Line(index + 1))?.to_owned());
                    self.mnemonic = Some(Mnemonic { text, file: Some(path.to_owned()) });
                }
            }
            others.push('\n');
        }
        for pair in dotenvy::from_read_iter(others.as_bytes()) {
            let (name, value) = pair.map_err(|error| match error {
                dotenvy::Error::Io(error) => EnvFileError::Io(error),
                dotenvy::Error::LineParse(line, _) => EnvFileError::Line(number_of(&line, &others)),
                _ => EnvFileError::Line(1),
            })?;
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// The value of a variable; an empty one counts as not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The mnemonic or the raw key of a wallet, and the `.env` file that it came from. [`Env::get`] does not give it.
    #[must_use]
    pub fn mnemonic(&self) -> Option<(&str, Option<&Path>)> {
        self.mnemonic.as_ref().map(|Mnemonic { text, file }| (text.as_str(), file.as_deref()))
    }

    /// Values that may be secret, by their names.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        let by_name = self.values.iter().filter(|(name, _)| is_secret(name)).map(|(_, value)| value.as_str());
        by_name.chain(self.mnemonic().map(|(words, _)| words))
    }

    /// Files that may hold secrets: those that variables name, and the credentials of systemd.
    #[must_use]
    pub fn secret_files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            self.values.iter().filter(|(name, _)| name.ends_with("_FILE")).map(|(_, file)| file.into()).collect();
        if let Some(folder) = self.get("CREDENTIALS_DIRECTORY") {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            files.extend(entries.map(|entry| entry.path()));
        }
        files
    }

    fn extend(&mut self, pairs: impl Iterator<Item = (String, String)>) {
        for (name, value) in pairs {
            if name != MNEMONIC {
                self.values.insert(name, value);
                continue;
            }
            let text = Zeroizing::new(value);
            if !text.trim().is_empty() {
                self.mnemonic = Some(Mnemonic { text, file: None });
            }
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Env {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut env = Self::default();
        env.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
        env
    }
}

impl fmt::Debug for Env {
    /// Names only: an environment holds other people's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

/// Whether a variable is named as secrets are. An address may carry one.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "KEY", "SECRET", "PASSWORD", "PASS", "URL", "CREDENTIAL", "CREDENTIALS", "BEARER", "WEBHOOK"]
        .iter()
        .any(|word| name.split('_').any(|part| part == *word))
}

/// The value of [`MNEMONIC`] when the line sets it; `Some(None)` when its quotes are not closed. Words without quotes are taken,
/// as other workers take them.
fn mnemonic_in(line: &str) -> Option<Option<&str>> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let value = line.strip_prefix(MNEMONIC)?.trim_start().strip_prefix('=')?.trim();
    for quote in ['"', '\''] {
        if let Some(quoted) = value.strip_prefix(quote) {
            return Some(quoted.split_once(quote).map(|(quoted, _)| quoted));
        }
    }
    Some(Some(value.split_once(" #").map_or(value, |(value, _)| value.trim_end())))
}

/// The number of a line that the parser did not understand, which it may have joined with the next ones.
fn number_of(line: &str, text: &str) -> usize {
    let before = text.find(line.trim_end()).map_or("", |at| &text[..at]);
    before.matches('\n').count() + 1
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
    /// `--listen`: replaces `http.listen`.
    pub listen: Option<String>,
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
    let by_flags = [
        ("http.listen", "--listen", flags.listen.clone()),
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
        .chain(by_flags.into_iter().filter_map(by_flag))
        .chain(mode.map(|(flag, mode)| ("node.mode", Override { origin: flag.to_owned(), value: mode.to_owned() })))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mnemonic_is_found_in_a_line_however_it_is_quoted() {
        for (line, expected) in [
            ("MNEMONIC=one two", Some(Some("one two"))),
            ("  export MNEMONIC = 'one two' # mine", Some(Some("one two"))),
            ("MNEMONIC=\"one two\"", Some(Some("one two"))),
            ("MNEMONIC=one two # mine", Some(Some("one two"))),
            ("MNEMONIC=", Some(Some(""))),
            ("MNEMONIC='one two", Some(None)),
            ("# MNEMONIC=one two", None),
            ("MNEMONIC_FILE=one", None),
            ("ALLORA_MNEMONIC=one", None),
        ] {
            assert_eq!(mnemonic_in(line), expected, "{line}");
        }
    }

    #[test]
    fn a_line_that_is_not_understood_is_named_by_its_number_and_not_quoted() {
        let dir = tempfile::tempdir().unwrap();
        for (text, line) in
            [("A=1\nMNEMONIC=zebra walrus\nKEY=zebra walrus\n", 3), ("A=1\nMNEMONIC='zebra\nwalrus'\n", 2)]
        {
            fs::write(dir.path().join(".env"), text).unwrap();
            let error = Env::read(dir.path()).unwrap_err();
            let said = format!("{error} {error:?} {}", error.source);
            assert!(said.contains(&format!("line {line} is not NAME=VALUE")), "{said}");
            assert!(!said.contains("zebra") && !said.contains("walrus"), "{said}");
        }
    }

    #[test]
    fn a_mnemonic_is_kept_apart_and_an_empty_one_counts_as_not_set() {
        let env: Env = [(MNEMONIC, "zebra walrus"), ("A", "1")].into_iter().collect();
        assert_eq!((env.get(MNEMONIC), env.mnemonic()), (None, Some(("zebra walrus", None))));
        assert_eq!(format!("{env:?}"), "{\"A\"}");
        let empty: Env = [(MNEMONIC, " ")].into_iter().collect();
        assert_eq!(empty.mnemonic(), None);
    }
}
