//! A report as files: each appears as a whole, or not at all.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::gather::{Asked, gather};
use super::rows;
use crate::cli::text::labelled;
use crate::cli::{Failure, exit};
use crate::files::{Durability, directory_of, replace, sync_names, with_suffix};
use crate::operator::report::document::document;
use crate::operator::report::facts::Facts;
use crate::operator::report::tables::{ALL, Tables};

/// Writes the document, the tables or both, from one look at the journal, and says where they are.
pub(super) fn write(asked: &Asked<'_>, html: Option<&Path>) -> Result<(), Failure> {
    let facts = match asked.csv {
        Some(dir) => write_tables(asked, dir)?,
        None => gather(asked, None)?,
    };
    if let Some(path) = html {
        write_document(&facts, path)?;
    }
    if let Some(dir) = asked.csv {
        say_tables(dir);
    }
    Ok(())
}

/// Writes the document and says where it is.
pub(in crate::cli) fn write_document(facts: &Facts, path: &Path) -> Result<(), Failure> {
    let text = document(facts);
    replace(path, Durability::Content, |file| file.write_all(text.as_bytes()))
        .map_err(|error| refused(path, &error))?;
    println!("{}", labelled("Document", &path.display().to_string()));
    Ok(())
}

pub(in crate::cli) fn say_tables(dir: &Path) {
    println!("{}", labelled("Tables", &format!("{} files in {}", ALL.len(), dir.display())));
}

fn write_tables(asked: &Asked<'_>, dir: &Path) -> Result<Facts, Failure> {
    let mut staged = StagedTables::begin(dir)?;
    let facts = gather(asked, Some(&mut staged.tables))?;
    staged.finish(&facts)?;
    Ok(facts)
}

/// The tables of a report on their way into their directory: all of them get there, or none.
pub(in crate::cli) struct StagedTables<'d> {
    pub(in crate::cli) tables: Tables,
    staging: Staging,
    dir: &'d Path,
}

impl<'d> StagedTables<'d> {
    pub(in crate::cli) fn begin(dir: &'d Path) -> Result<Self, Failure> {
        require_free(dir)?;
        let staging = Staging::beside(dir).map_err(|error| refused(dir, &error))?;
        let tables = Tables::create(&staging.0).map_err(|error| refused(dir, &error))?;
        Ok(Self { tables, staging, dir })
    }

    pub(in crate::cli) const fn directory(&self) -> &Path {
        self.dir
    }

    /// With the tables of sums.
    pub(in crate::cli) fn finish(self, facts: &Facts) -> Result<(), Failure> {
        let Self { mut tables, staging, dir } = self;
        rows::sums(&mut tables, facts)
            .and_then(|()| tables.finish())
            .and_then(|()| staging.put_in_place(dir))
            .map_err(|error| refused(dir, &error))
    }
}

/// Old tables are never mixed with new ones, and never removed.
fn require_free(dir: &Path) -> Result<(), Failure> {
    let is_free = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(refused(dir, &error)),
    };
    if is_free {
        return Ok(());
    }
    let text = format!(
        "error: {} is not empty, so no table was written\n  what to do: name a new directory, or move the old tables away",
        dir.display()
    );
    Err(Failure { code: exit::USAGE, text })
}

pub(in crate::cli) fn refused(path: &Path, error: &io::Error) -> Failure {
    let text = format!(
        "error: the report cannot be written to {}\n  because: {error}\n  what to do: is the directory that it goes into there, and may you write to it?",
        path.display()
    );
    Failure { code: exit::IO, text }
}

/// A directory that is removed again unless it got its name.
struct Staging(PathBuf);

impl Staging {
    fn beside(dir: &Path) -> io::Result<Self> {
        let path = with_suffix(&dir.components().collect::<PathBuf>(), &format!(".new-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn put_in_place(self, dir: &Path) -> io::Result<()> {
        sync_names(&File::open(&self.0)?)?;
        // A directory takes the place of an empty one, and of nothing else.
        fs::rename(&self.0, dir)?;
        sync_names(&File::open(directory_of(dir))?)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove; otherwise the first error is the one to report.
        let _ = fs::remove_dir_all(&self.0);
    }
}
