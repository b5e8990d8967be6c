//! `--help` of every command: as wide as any terminal, with examples that work.

use clap::{Command, CommandFactory as _, Parser as _};
use sentinel::cli::Cli;

const COLUMNS: usize = 80;

/// Every command, with its name.
fn commands() -> Vec<(String, Command)> {
    fn all(name: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((name.to_owned(), command.clone()));
        for inner in command.get_subcommands() {
            all(&format!("{name} {}", inner.get_name()), inner, found);
        }
    }
    let mut found = Vec::new();
    all("sentinel", &Cli::command(), &mut found);
    found
}

fn help(command: Command) -> [String; 2] {
    let mut command = command.term_width(COLUMNS);
    [command.render_help().to_string(), command.render_long_help().to_string()]
}

/// The words of a command line as a shell takes them, up to a pipe.
fn words(line: &str) -> Vec<String> {
    let line = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(number, part)| match number % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[test]
fn the_help_of_every_command_fits_80_columns() {
    let commands = commands();
    assert!(commands.len() > 13);
    for (name, command) in commands {
        for help in help(command) {
            let wide: Vec<&str> = help.lines().filter(|line| line.chars().count() > COLUMNS).collect();
            assert!(wide.is_empty(), "{name}: {wide:#?}");
        }
    }
}

#[test]
fn the_help_of_every_command_has_examples_and_each_of_them_is_taken() {
    for (name, command) in commands() {
        let [help, _] = help(command).map(|help| help.replace("\\\n", ""));
        let examples: Vec<&str> = help.lines().filter(|line| line.starts_with("  sentinel ")).collect();
        assert!(help.contains("Examples:\n") && !examples.is_empty(), "{name} has no example:\n{help}");
        for example in examples {
            Cli::try_parse_from(words(example)).unwrap_or_else(|error| panic!("{name}: {example}: {error}"));
        }
    }
}
