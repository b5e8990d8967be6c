//! `[parity]`: recorded slots are computed again each night. Without the section they are not.

use jiff::civil::Time;

use super::backup::time_of_day;
use super::reader::Section;

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParityConfig {
    /// In UTC.
    pub daily_at: Time,
}

pub(super) fn parity(mut s: Section<'_, '_>) -> Option<ParityConfig> {
    let daily_at = time_of_day(&mut s);
    s.finish();
    Some(ParityConfig { daily_at: daily_at? })
}
