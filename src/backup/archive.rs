//! The archive's file: a compressed tar, the manifest first.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::BackupError;
use super::manifest::{Entry, FORMAT, Manifest, digest};
use crate::files::sync_names;

/// The archive until it gets its name.
const UNFINISHED: &str = "archive.partial";
const MANIFEST: &str = "manifest.json";
/// A manifest is not larger.
const MANIFEST_MAX: u64 = 1 << 20;

/// Packs the files of `manifest` that are in `dir`, reads the archive back, and gives it its name. Says how long it is.
pub(super) fn write(file: &Path, dir: &Path, manifest: &Manifest) -> Result<u64, BackupError> {
    let new = dir.join(UNFINISHED);
    let failed = |action| BackupError::io(file, action);
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let written = written.map_err(failed("creating it"))?;
    pack(&written, dir, manifest).map_err(failed("writing it"))?;
    written.sync_all().map_err(failed("syncing it"))?;
    let found = read(&new, None)?;
    if found != *manifest {
        return Err(BackupError::NotABackup {
            file: file.to_owned(),
            what: "another manifest was read back".to_owned(),
        });
    }
    let bytes = written.metadata().map_err(failed("reading it"))?.len();
    // A link fails where there is a file already, and a rename would replace it.
    fs::hard_link(&new, file).or_else(|_| link_missing(&new, file)).map_err(failed("naming it"))?;
    let parent = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| sync_names(&parent)).map_err(failed("syncing its directory"))?;
    Ok(bytes)
}

/// For file systems without links.
fn link_missing(new: &Path, file: &Path) -> io::Result<()> {
    if fs::symlink_metadata(file).is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(new, file)
}

fn pack(file: &File, dir: &Path, manifest: &Manifest) -> io::Result<()> {
    let mut archive = tar::Builder::new(GzEncoder::new(BufWriter::new(file), Compression::fast()));
    let header = |bytes: u64| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(manifest.taken_at_ms.secs()).unwrap_or(0));
        header
    };
    let mut text = serde_json::to_vec_pretty(manifest)?;
    text.push(b'\n');
    archive.append_data(&mut header(text.len() as u64), MANIFEST, text.as_slice())?;
    for entry in &manifest.files {
        archive.append_data(&mut header(entry.bytes), &entry.name, File::open(dir.join(&entry.name))?)?;
    }
    archive.into_inner()?.finish()?.flush()
}

/// Reads an archive to its end and compares each file with the manifest. With `into` the files are written there.
pub(super) fn read(file: &Path, into: Option<&Path>) -> Result<Manifest, BackupError> {
    let opened = File::open(file).map_err(BackupError::io(file, "opening it"))?;
    let mut archive = tar::Archive::new(GzDecoder::new(BufReader::new(opened)));
    let manifest = read_entries(&mut archive, file, into)?;
    // Behind the last file is the checksum of the whole.
    let rest = io::copy(&mut archive.into_inner(), &mut io::sink());
    rest.map_err(|error| BackupError::NotABackup { file: file.to_owned(), what: error.to_string() })?;
    Ok(manifest)
}

fn read_entries(
    archive: &mut tar::Archive<impl io::Read>,
    file: &Path,
    into: Option<&Path>,
) -> Result<Manifest, BackupError> {
    let not_one = |what: String| BackupError::NotABackup { file: file.to_owned(), what };
    let mut entries = archive.entries().map_err(|error| not_one(error.to_string()))?;
    let mut next = || match entries.next() {
        None => Ok(None),
        Some(entry) => {
            let entry = entry.map_err(|error| not_one(error.to_string()))?;
            let name = entry.path().map_err(|error| not_one(error.to_string()))?.display().to_string();
            Ok::<_, BackupError>(Some((name, entry)))
        }
    };
    let Some((_, first)) = next()?.filter(|(name, _)| name == MANIFEST) else {
        return Err(not_one(format!("it does not begin with {MANIFEST}")));
    };
    let mut text = Vec::new();
    first.take(MANIFEST_MAX).read_to_end(&mut text).map_err(|error| not_one(error.to_string()))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| not_one(error.to_string()))?;
    if manifest.format != FORMAT {
        return Err(BackupError::OtherFormat { file: file.to_owned(), have: manifest.format, known: FORMAT });
    }
    for expected in &manifest.files {
        let Some((name, entry)) = next()? else { return Err(not_one(format!("{} is missing", expected.name))) };
        if name != expected.name || !super::is_known(&name) {
            return Err(not_one(format!("{name} does not belong into it")));
        }
        unpack(expected, entry, into)?.map_err(&not_one)?;
    }
    match next()? {
        None => Ok(manifest),
        Some((name, _)) => Err(not_one(format!("{name} does not belong into it"))),
    }
}

/// The inner error says what is wrong with the archive.
fn unpack(expected: &Entry, entry: impl io::Read, into: Option<&Path>) -> Result<Result<(), String>, BackupError> {
    let limited = entry.take(expected.bytes.saturating_add(1));
    let read = match into {
        None => digest(limited, &mut io::sink()),
        Some(dir) => {
            let path = dir.join(&expected.name);
            let created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let mut created = created.map_err(BackupError::io(&path, "creating it"))?;
            let read = digest(limited, &mut created);
            if let Err(error) = &read
                && error.kind() == io::ErrorKind::StorageFull
            {
                return Err(BackupError::DiskFull { file: path });
            }
            created.sync_all().map_err(BackupError::io(&path, "syncing it"))?;
            read
        }
    };
    Ok(match read {
        Err(error) => Err(format!("{}: {error}", expected.name)),
        Ok((bytes, sha256)) if (bytes, &sha256) != (expected.bytes, &expected.sha256) => {
            Err(format!("{} is not what was written", expected.name))
        }
        Ok(_) => Ok(()),
    })
}
