//! `[backup]`: a backup of the state directory each day. Without the section there is none.

use std::path::PathBuf;

use jiff::civil::Time;

use super::reader::{Section, WhenAbsent};
use super::values::beside;

/// When, where, and how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupConfig {
    /// In UTC.
    pub daily_at: Time,
    pub dir: PathBuf,
    /// The newest that are kept; older ones of this journal are removed.
    pub keep: usize,
}

pub(super) fn backup(mut s: Section<'_, '_>) -> Option<BackupConfig> {
    let base = s.reading.base.clone();
    let allowed = "a time of day in UTC, as \"03:30\"";
    let daily_at = s.parsed_by("daily_at", WhenAbsent::Required, allowed, |text| {
        let is_short = text.len() == 5;
        Time::strptime("%H:%M", text).ok().filter(|_| is_short).ok_or_else(|| format!("'{text}' is none"))
    });
    let dir =
        s.parsed_by("dir", WhenAbsent::Required, "a directory outside of the state directory", |text| match text {
            "" => Err("is empty".to_owned()),
            text => Ok(beside(&base, &PathBuf::from(text))),
        });
    let keep = s.count("keep", WhenAbsent::Default("7"), 1..=10_000);
    s.finish();
    Some(BackupConfig { daily_at: daily_at?, dir: dir?, keep: usize::try_from(keep?).ok()? })
}
