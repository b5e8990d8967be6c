//! Small adapters: the wall clock, chance, memory and disk figures, and the quarantine directory.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Chance, Clock, PortFuture, Quarantine};

/// Longest single sleep until a slot. A suspend or a clock step is noticed within this.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Schedule time of live pipelines.
#[derive(Debug, Clone, Copy, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this adapter is the one place that reads the wall clock")]
    fn now(&self) -> UtcMs {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UtcMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn wait_until(&self, until: UtcMs) -> PortFuture<'_, ()> {
        Box::pin(async move { tokio::time::sleep(until.since(self.now()).min(SLEEP_MAX)).await })
    }
}

/// Resident memory of this process in bytes; `None` where the system does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let (_, rest) = status.split_once("VmRSS:")?;
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// Processor time that this process has used, of all of its threads.
#[must_use]
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Files and connections that this process has open; `None` where the system does not say.
#[must_use]
pub fn open_files() -> Option<usize> {
    // The listing itself is one of them.
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

/// A path, absolute and quoted for a shell, for commands that the operator copies.
#[must_use]
pub fn shell_path(path: &Path) -> String {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,@".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// Space under `path` that a user without privileges may still fill, in bytes.
///
/// # Errors
/// When the file system does not say.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    disk_bytes(path).map(|(free, _)| free)
}

/// The same, and what such a user could fill in all.
///
/// # Errors
/// When the file system does not say.
pub fn disk_bytes(path: &Path) -> io::Result<(u64, u64)> {
    let stats = rustix::fs::statvfs(path)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stats.f_frsize);
    let reserved = stats.f_bfree.saturating_sub(stats.f_bavail);
    Ok((bytes(stats.f_bavail), bytes(stats.f_blocks.saturating_sub(reserved))))
}

/// A name that no other request has.
#[must_use]
pub fn random_id() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// Random numbers, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

impl Chance for SystemChance {
    fn unit(&self) -> f64 {
        fastrand::f64()
    }
}

/// Keeps inputs that ended a stage twice, as JSON files.
#[derive(Debug, Clone)]
pub struct QuarantineDir(pub PathBuf);

impl Quarantine for QuarantineDir {
    fn keep(&self, pipeline: &str, slot: UtcMs, stage: &str, bars: Option<&CleanBars>) -> String {
        let file = self.0.join(format!("{pipeline}-{}-{stage}.json", slot.secs()));
        let bars = bars.map(|bars| &bars.bars);
        let content =
            serde_json::json!({ "pipeline": pipeline, "slot": slot.to_string(), "stage": stage, "bars": bars });
        match std::fs::write(&file, content.to_string()) {
            Ok(()) => file.display().to_string(),
            Err(error) => format!("nowhere ({}: {error})", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_what_this_process_has_in_memory() {
        assert!(resident_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn the_machine_says_what_this_process_has_used_and_has_open() {
        let before = cpu_time();
        while cpu_time() == before {
            std::hint::spin_loop();
        }
        let files: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files().unwrap() >= files.len());
    }

    #[test]
    fn a_path_shell_path_is_whole_and_quoted_only_when_it_must_be() {
        assert_eq!(shell_path(Path::new("/srv/sentinel/no-such-state")), "/srv/sentinel/no-such-state");
        assert_eq!(shell_path(Path::new("/srv/it's mine")), r"'/srv/it'\''s mine'");
        let dir = tempfile::tempdir().unwrap();
        let here = dir.path().canonicalize().unwrap();
        assert_eq!(shell_path(&dir.path().join("../.").join(dir.path())), here.display().to_string());
    }

    #[test]
    fn a_quarantined_input_can_be_read_again_and_a_full_disk_does_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let bars = CleanBars { bars: vec![], dropped: std::collections::BTreeMap::new(), newest_delivered: None };
        let kept = QuarantineDir(dir.path().to_owned()).keep("eurusd", UtcMs(7000), "predictor", Some(&bars));
        let read: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(kept).unwrap()).unwrap();
        assert_eq!(read["stage"], "predictor");
        let nowhere = QuarantineDir(dir.path().join("missing")).keep("eurusd", UtcMs(7000), "predictor", None);
        assert!(nowhere.starts_with("nowhere"), "{nowhere}");
    }
}
