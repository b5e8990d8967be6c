//! Replacing a file as a whole: a reader sees the old content or the new one, never a part of it. And noticing that one was
//! replaced.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
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

/// Creates a directory for its owner alone. One that is there stays as it is.
///
/// # Errors
/// When the disk refuses.
pub fn create_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(directory_of(dir))?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        created => created,
    }
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

/// Shows whether a file has changed, without reading it: length, inode and times. The default is that of a file that is not there.
///
/// Two writes within one tick of the file system's clock look like one, unless the file was replaced as a whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp(Option<[i64; 6]>);

impl Stamp {
    #[must_use]
    pub fn of(path: &Path) -> Self {
        Self(fs::metadata(path).ok().map(|file| {
            #[expect(clippy::cast_possible_wrap, reason = "compared for equality; lengths stay below 2^63")]
            let (len, inode) = (file.len() as i64, file.ino() as i64);
            [len, inode, file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()]
        }))
    }

    /// The file's length in bytes; 0 when it is not there.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.0.map_or(0, |[len, ..]| len.unsigned_abs())
    }
}

/// The path with a longer file name: `journal.db` and `.new` give `journal.db.new`.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory that a path lies in.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
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
