//! The documents say what the code does: tables are generated or compared, named tests exist, shown commands are run.
//!
//! `SENTINEL_BLESS=1 cargo test --test docs` rewrites what is generated.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

mod commands;
mod dialects;
mod guides;
#[path = "../process/node.rs"]
#[allow(dead_code, reason = "shared with the tests of the process, which need more of it")]
mod node;
mod report;
mod runbook;
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{CommandFactory as _, Parser as _};
use sentinel::cli::{Cli, exit};
use sentinel_actors::domain::bar::DropReason;
use sentinel_actors::domain::reason::{Outcome, Reason};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below `dir` with this extension; none when the directory does not exist.
fn files(dir: impl AsRef<Path>, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root().join(dir)) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn sources(dirs: &[&str]) -> String {
    dirs.iter().flat_map(|dir| files(dir, "rs")).map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

/// The text under a heading of the second level.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no section '{heading}'"));
    rest.split("\n## ").next().unwrap()
}

/// Cells of a table's rows, without its head.
fn rows(table: &str) -> Vec<Vec<&str>> {
    let lines = table.lines().filter(|line| line.starts_with('|'));
    let rows = lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>());
    rows.skip_while(|cells| !cells[0].starts_with("--")).skip(1).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A whole file that is generated; `SENTINEL_BLESS` writes it.
fn generated(name: &str, expected: &str) {
    let path = root().join(name);
    if std::env::var("SENTINEL_BLESS").is_ok() {
        std::fs::write(&path, expected).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(committed, expected, "run SENTINEL_BLESS=1 cargo test --test docs and look at the difference");
}

#[test]
fn the_table_of_reasons_is_the_one_in_the_code() {
    let mut expected = "\
# How a slot ends

Every due slot ends with one of these reasons, and each reason belongs to one outcome. The codes are in the journal, in the
log and in the output of `sentinel why`. They are stable: a code never gets another meaning.

These tables are generated from `actors/src/domain/reason.rs` and `bar.rs`.
"
    .to_owned();
    for outcome in Outcome::ALL {
        let about = match outcome {
            Outcome::Acted => "An order was handed to the venue.",
            Outcome::NoAction => "A decision was made, and it was to do nothing.",
            Outcome::Skipped => "No decision could be made, or the decision could not be acted upon.",
            Outcome::Missed => "The slot was never worked on.",
        };
        write!(expected, "\n## `{outcome}`\n\n{about}\n\n| reason | meaning |\n|---|---|\n").unwrap();
        for reason in Reason::ALL.iter().filter(|reason| reason.outcome() == outcome) {
            writeln!(expected, "| `{reason}` | {} |", reason.meaning()).unwrap();
        }
    }
    expected += "
## Bars that are not used

A slot's row counts the delivered bars that were not used, by these codes (`dropped`, for example `null=3,duplicate=1`).

| code | meaning |
|---|---|
";
    for reason in DropReason::ALL {
        writeln!(expected, "| `{}` | {} |", reason.code(), reason.meaning()).unwrap();
    }
    generated("docs/reasons.md", &expected);
}

/// Names and levels of all log lines in the code.
fn events_of_the_code() -> BTreeMap<String, BTreeSet<String>> {
    let code = sources(&["src", "actors/src"]);
    let mut events = BTreeMap::<String, BTreeSet<String>>::new();
    let last_word = |text: &str| text.rsplit(|c: char| !c.is_ascii_lowercase()).next().unwrap().to_owned();
    for (at, _) in code.match_indices("event = \"") {
        let name = code[at..].split('"').nth(1).unwrap();
        let (before, _) = code[..at].rsplit_once("!(").unwrap();
        let levels = match last_word(before).as_str() {
            // An event with more than one level is a macro that takes the level: `log!(warn)`.
            "level" => {
                let (rest, _) = code[at..].split_once("\n}\n").unwrap();
                rest.split("log!(").skip(1).map(|call| call.split(')').next().unwrap().to_owned()).collect()
            }
            level => BTreeSet::from([level.to_owned()]),
        };
        events.entry(name.to_owned()).or_default().extend(levels);
    }
    // The one event whose name is an argument.
    for (at, _) in code.match_indices("totals(\"") {
        events.insert(code[at..].split('"').nth(1).unwrap().to_owned(), BTreeSet::from(["info".to_owned()]));
    }
    events
}

#[test]
fn every_log_event_is_described_and_every_described_event_exists() {
    let document = read("docs/events.md");
    let table = rows(&document);
    let described: BTreeMap<String, BTreeSet<String>> = table
        .iter()
        .map(|cells| (cells[0].trim_matches('`').to_owned(), quoted(cells[1]).map(str::to_owned).collect()))
        .collect();
    assert_eq!(described.len(), table.len(), "docs/events.md describes an event twice");
    let in_code = events_of_the_code();
    assert!(in_code.len() > 20, "the search has lost its grip on the code: {in_code:?}");
    let missing: Vec<_> = in_code.iter().filter(|(name, level)| described.get(*name) != Some(level)).collect();
    let gone: Vec<_> = described.keys().filter(|name| !in_code.contains_key(*name)).collect();
    assert!(missing.is_empty() && gone.is_empty(), "docs/events.md lacks {missing:?} and invents {gone:?}");
}

/// The longest front page that a newcomer reads.
const README_BYTES_MAX: usize = 9_000;

#[test]
fn the_readme_is_short_enough_to_be_read() {
    let bytes = read("README.md").len();
    assert!(bytes <= README_BYTES_MAX, "{bytes} bytes, at most {README_BYTES_MAX} are read: move details to docs/");
}

#[test]
fn every_test_that_is_named_as_proof_of_a_promise_is_in_its_file() {
    let guarantees = read("docs/guarantees.md");
    let promises = guarantees.split("\n## ").filter(|part| part.starts_with(|c: char| c.is_ascii_digit()));
    let (mut tests, mut missing) = (BTreeSet::new(), Vec::new());
    for promise in promises {
        let own = rows(promise);
        assert!(own.len() >= 5, "a promise has {} tests:\n{promise}", own.len());
        for cells in own {
            let (name, file) = (cells[0].trim_matches('`'), cells[1].trim_matches('`'));
            let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
            if !text.contains(&format!("fn {name}(")) {
                missing.push(format!("{name} in {file}"));
            }
            tests.insert(name.to_owned());
        }
    }
    assert!(missing.is_empty(), "docs/guarantees.md names tests that do not exist: {missing:#?}");
    assert!(tests.len() >= 70, "docs/guarantees.md names only {} tests", tests.len());
    let readme = read("README.md");
    let lines =
        section(&readme, "What it promises").lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    let headings = guarantees.lines().filter(|line| line.starts_with("## ") && line.contains(". "));
    assert_eq!(lines.count(), headings.count(), "README.md and docs/guarantees.md promise different things");
}

/// Test names and paths in running text.
#[test]
fn every_test_and_path_that_a_document_quotes_exists() {
    let code = sources(&["src", "tests", "benches", "actors", "testbed"]);
    // Metrics are compared with their document in tests/metrics.
    let is_metric = |name: &str| sentinel::operator::metrics::FAMILIES.iter().any(|family| family.name == name);
    // And the columns of a report with theirs in report.rs.
    let tables = sentinel::operator::report::tables::ALL;
    let is_column = |name: &str| tables.iter().any(|table| table.columns.iter().any(|(column, _)| *column == name));
    let is_test = |name: &str| {
        !is_metric(name)
            && !is_column(name)
            && name.matches('_').count() >= 4
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let folders = ["actors/", "src/", "testbed/", "tests/", "config/", "deploy/", "docs/", "tools/", ".ci/"];
    let mut found = 0;
    for document in documents().iter().filter(|path| !path.ends_with("CHANGELOG.md")) {
        let text = std::fs::read_to_string(document).unwrap();
        for name in text.lines().flat_map(quoted) {
            let is_path = folders.iter().any(|folder| name.starts_with(folder)) && !name.contains([' ', '*']);
            let exists = if is_path { root().join(name).exists() } else { code.contains(&format!("fn {name}(")) };
            assert!(exists || !(is_path || is_test(name)), "{}: `{name}` does not exist", document.display());
            found += usize::from(is_path || is_test(name));
        }
    }
    assert!(found > 100, "only {found} tests and paths are quoted");
}

#[test]
fn the_documents_and_the_help_name_the_same_exit_codes() {
    let help = Cli::command().get_after_help().unwrap().to_string();
    let (_, list) = help.split_once("Exit codes:\n").unwrap();
    let codes = list.lines().take_while(|line| !line.is_empty());
    let of_help: BTreeSet<u8> = codes.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    let operations = read("docs/operations.md");
    let documented: BTreeSet<u8> =
        rows(section(&operations, "Exit codes")).iter().map(|cells| cells[0].parse().unwrap()).collect();
    assert_eq!(documented, of_help);
    for code in [
        exit::OK,
        exit::FAILED,
        exit::USAGE,
        exit::UNAVAILABLE,
        exit::SOFTWARE,
        exit::IO,
        exit::TEMPORARY,
        exit::UNDETERMINED,
        exit::CONFIG,
    ] {
        assert!(of_help.contains(&code), "{code} is not documented");
    }
}

/// Commands inside a sentence; those in blocks are run, see [`commands`].
#[test]
fn every_command_that_a_sentence_quotes_is_understood() {
    let names: BTreeSet<String> = Cli::command().get_subcommands().map(|own| own.get_name().to_owned()).collect();
    let mut commands = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for command in text.lines().flat_map(quoted) {
            let Some(arguments) = command.strip_prefix("sentinel ") else { continue };
            commands += 1;
            if names.contains(arguments) {
                continue;
            }
            if let Err(error) = Cli::try_parse_from(command.split_whitespace()) {
                assert!(!error.use_stderr(), "{}: {command}\n{error}", document.display());
            }
        }
    }
    assert!(commands > 15, "only {commands} commands are quoted");
}

/// A heading as GitHub names it in links.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect()
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut links = 0;
    for document in documents() {
        let text = std::fs::read_to_string(&document).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            if target.starts_with("http") {
                continue;
            }
            links += 1;
            let (file, heading) =
                target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
            let path = if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            assert!(path.exists(), "{}: {target} leads nowhere", document.display());
            if let Some(heading) = heading {
                let headings = std::fs::read_to_string(&path).unwrap();
                let mut headings = headings.lines().filter(|line| line.starts_with('#'));
                let leads = headings.any(|line| anchor(line.trim_start_matches('#').trim()) == heading);
                assert!(leads, "{}: {target} has no such heading", document.display());
            }
        }
    }
    assert!(links > 40, "only {links} links were found");
}

fn documents() -> Vec<PathBuf> {
    let own = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/demo/README.md", "tools/export-model/README.md"];
    own.map(|name| root().join(name)).into_iter().chain(files("docs", "md")).collect()
}
