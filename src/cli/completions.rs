//! `sentinel completions`: what a shell reads to complete commands, flags and values. It is made from the same definitions as the
//! help, so it knows exactly what this program takes.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{Cli, Ended, Failure, exit};

/// A shell that can complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CompletingShell {
    /// GNU's Bourne-again shell.
    Bash,
    /// The friendly interactive shell.
    Fish,
    /// The Z shell.
    Zsh,
}

/// Which shell.
#[derive(Debug, Clone, clap::Args)]
pub struct CompletionsArgs {
    /// Which shell.
    pub shell: CompletingShell,
}

/// Prints the shell's script.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> Ended {
    let shell = match args.shell {
        CompletingShell::Bash => Shell::Bash,
        CompletingShell::Fish => Shell::Fish,
        CompletingShell::Zsh => Shell::Zsh,
    };
    // The generator panics when it cannot write, as into a pipe that nobody reads any more.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "sentinel", &mut script);
    out.write_all(&script).map_err(|error| Failure::new(exit::IO, &error, None))?;
    Ok(exit::OK)
}
