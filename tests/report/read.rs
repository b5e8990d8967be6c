//! Tables and documents as a reader takes them in, and rows by SQL of these tests' own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

/// A row by the names of its columns.
pub type Fields = BTreeMap<String, String>;

/// The rows of a table.
pub fn table(dir: &Path, name: &str) -> Vec<Fields> {
    let path = dir.join(format!("{name}.csv"));
    let mut reader = csv::Reader::from_path(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = reader.headers().unwrap().clone();
    let fields = |row: csv::StringRecord| {
        header.iter().zip(row.iter()).map(|(name, field)| (name.to_owned(), field.to_owned())).collect()
    };
    reader.records().map(|row| fields(row.unwrap())).collect()
}

/// What SQLite answers, read-only.
pub fn sql<T>(file: &Path, sql: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut query = connection.prepare(sql).unwrap();
    query.query_map([], |row| read(row)).unwrap().map(Result::unwrap).collect()
}

/// The text of a document without its tags and its style.
pub fn text_of(document: &Path) -> String {
    let html = fs::read_to_string(document).unwrap();
    let (_, body) = html.split_once("<body>").unwrap();
    let mut text = String::new();
    let mut in_tag = false;
    for char in body.chars() {
        match char {
            '<' => {
                in_tag = true;
                text.push(' ');
            }
            '>' => in_tag = false,
            shown if !in_tag => text.push(shown),
            _ => {}
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
pub fn says(text: &str, words: &[&str]) {
    let missing: Vec<&&str> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty(), "not said: {missing:?} in {text}");
}
