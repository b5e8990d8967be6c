//! Where the socket is: bound under the state directory's lock, for its owner alone, in the place of one that a killed node left.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

pub const SOCKET_FILE: &str = "sentinel.sock";
/// The name that it has until only its owner may connect.
const UNFINISHED: &str = ".sock";
/// The longest path that a socket's address holds, in bytes.
const PATH_MAX: usize = 107;

/// The way to a file of a directory that fits into a socket's address: through the open directory when its own path is too long.
/// It leads there as long as the directory is held.
struct ShortPath {
    path: PathBuf,
    _dir: Option<File>,
}

impl ShortPath {
    fn to(dir: &Path, name: &str) -> io::Result<Self> {
        let path = dir.join(name);
        if path.as_os_str().as_bytes().len() <= PATH_MAX {
            return Ok(Self { path, _dir: None });
        }
        let dir = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        Ok(Self { path, _dir: Some(dir) })
    }
}

/// Listens. The caller holds the lock of the state directory: whoever bound the socket that is there has ended.
///
/// # Errors
/// When something that is no socket is in its place, or the system refuses.
pub fn bind(dir: &Path) -> io::Result<UnixListener> {
    let (unfinished, path) = (ShortPath::to(dir, UNFINISHED)?, dir.join(SOCKET_FILE));
    remove(&dir.join(UNFINISHED))?;
    if fs::symlink_metadata(&path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is in its place"));
    }
    let listener = UnixListener::bind(&unfinished.path)?;
    // Nobody else may connect even for a moment: it has its own name only now.
    fs::set_permissions(dir.join(UNFINISHED), Permissions::from_mode(0o600))?;
    fs::rename(dir.join(UNFINISHED), path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects.
///
/// # Errors
/// When nobody listens there.
pub fn connect(dir: &Path) -> io::Result<UnixStream> {
    UnixStream::connect(&ShortPath::to(dir, SOCKET_FILE)?.path)
}

/// Removes the socket, when there is one.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_by_one_for_its_owner_alone_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let listener = bind(dir.path()).unwrap();
            let mode = fs::metadata(dir.path().join(SOCKET_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            connect(dir.path()).unwrap();
            drop(listener);
            assert_eq!(connect(dir.path()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused, "it is stale");
        }
        remove(&dir.path().join(SOCKET_FILE)).unwrap();
        assert_eq!(connect(dir.path()).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(dir.path().join(SOCKET_FILE), "notes").unwrap();
        assert_eq!(bind(dir.path()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(dir.path().join(SOCKET_FILE)).unwrap(), "notes");
    }

    #[test]
    fn a_path_that_is_longer_than_a_socket_s_address_is_no_obstacle() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120)).join("y".repeat(200));
        fs::create_dir_all(&long).unwrap();
        let _listener = bind(&long).unwrap();
        connect(&long).unwrap();
        assert!(long.join(SOCKET_FILE).exists());
    }
}
