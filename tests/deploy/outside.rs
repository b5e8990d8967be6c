//! Programs that are not ours, the repository's files, and waiting.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A program from a variable or from PATH. A test that needs one is ignored when the build found none.
pub fn find(name: &str, variable: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::var_os(variable)
        .map(PathBuf::from)
        .into_iter()
        .chain(std::env::split_paths(&path).map(|dir| dir.join(name)))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is missing; install it or set {variable}"))
}

pub fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Waits until `look` finds something; panics with what `so_far` shows when it does not.
pub fn wait_for<T>(
    what: &str,
    within: Duration,
    mut look: impl FnMut() -> Option<T>,
    so_far: impl Fn() -> String,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within {within:?}\n{}", so_far());
        std::thread::sleep(Duration::from_millis(20));
    }
}
