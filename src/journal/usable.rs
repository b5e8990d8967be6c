//! Whether a state directory could be opened, without opening or making it.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::StateError;

/// Says what would keep a node from using `dir`, and leaves nothing there: a file without a name is made in the directory, or
/// in the nearest one above it that exists.
///
/// # Errors
/// When it is no directory and cannot become one, or cannot be written.
pub fn check_state_dir(dir: &Path) -> Result<(), StateError> {
    let unusable = |action| move |source| StateError::Unusable { dir: dir.to_owned(), action, source };
    let existing = nearest(dir).map_err(unusable("creating it"))?;
    let action = if existing == dir { "writing into it" } else { "creating it" };
    try_to_write(&existing).map_err(unusable(action))
}

/// The directory itself, or the first one above it that is there.
fn nearest(dir: &Path) -> io::Result<PathBuf> {
    for above in dir.ancestors() {
        // The last ancestor of a relative path is empty.
        let above = if above.as_os_str().is_empty() { Path::new(Component::CurDir.as_os_str()) } else { above };
        match fs::metadata(above) {
            Ok(found) if found.is_dir() => return Ok(above.to_owned()),
            Ok(_) => return Err(io::ErrorKind::NotADirectory.into()),
            // A link that leads nowhere is in the way of a directory.
            Err(_) if fs::symlink_metadata(above).is_ok() => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

fn try_to_write(dir: &Path) -> io::Result<()> {
    match open(dir, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(_) => Ok(()),
        // File systems without nameless files: one with a name, removed at once.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let file = dir.join(format!(".sentinel-check-{}", std::process::id()));
            fs::File::create_new(&file)?;
            fs::remove_file(&file)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_could_be_made_is_fine_and_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        check_state_dir(dir.path()).unwrap();
        check_state_dir(&dir.path().join("not/there/yet")).unwrap();
        check_state_dir(Path::new("not-there-yet")).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_a_dead_link_and_a_kernel_s_directory_are_no_place_for_a_state() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
        for impossible in
            [dir.path().join("file"), dir.path().join("file/state"), dir.path().join("link"), "/proc/state".into()]
        {
            let error = check_state_dir(&impossible).unwrap_err();
            assert!(error.to_string().contains(&impossible.display().to_string()), "{error}");
        }
    }
}
