//! Replacing a file as a whole: a reader sees the old content or the new one, never a part of it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// What of a replacement survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// Nothing: the file only informs running processes, and no disk is waited for.
    None,
    /// The content is on the disk before the file gets its name, so the name never leads to a half-written file.
    Content,
    /// The name too: the old file does not come back.
    ContentAndName,
}

/// Writes beside `path`, as `NAME.new`, and renames. After a failure the old file stands, or, when only its name could not be
/// made durable, the new one.
///
/// # Errors
/// When the disk refuses.
pub fn replace(path: &Path, durability: Durability, write: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let new = with_suffix(path, ".new");
    let written = File::create(&new).and_then(|mut file| write(&mut file).map(|()| file));
    let replaced = written.and_then(|file| put_in_place(&file, &new, path, durability));
    if replaced.is_err() {
        // The first error is the one to report; what is left of the file has no use.
        let _ = fs::remove_file(&new);
    }
    replaced
}

fn put_in_place(file: &File, new: &Path, path: &Path, durability: Durability) -> io::Result<()> {
    if durability >= Durability::Content {
        file.sync_all()?;
    }
    fs::rename(new, path)?;
    if durability >= Durability::ContentAndName { sync_names(&File::open(directory_of(path))?) } else { Ok(()) }
}

/// Makes the names in a directory durable. A file system on which directories cannot be synced keeps them by itself.
///
/// # Errors
/// When the disk refuses.
pub fn sync_names(dir: &File) -> io::Result<()> {
    match dir.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// The path with a longer file name: `journal.db` and `.new` give `journal.db.new`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_replacement_is_whole_or_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        for durability in [Durability::None, Durability::Content, Durability::ContentAndName] {
            replace(&path, durability, |file| write!(file, "{durability:?}")).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{durability:?}"));
        }
        let failed = replace(&path, Durability::Content, |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("the disk is full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert_eq!(fs::read_to_string(&path).unwrap(), "ContentAndName");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    }
}
