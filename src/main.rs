//! The `sentinel` binary: arguments in, exit code out. No logic lives here.

use std::process::ExitCode;

use clap::Parser as _;
use sentinel::cli::{self, Cli, exit};

fn main() -> ExitCode {
    forbid_core_files();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { exit::USAGE } else { exit::OK });
        }
    };
    match cli::run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("{}", failure.text);
            ExitCode::from(failure.code)
        }
    }
}

/// Memory may hold secrets; it must not end in a file when the watchdog aborts.
fn forbid_core_files() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
}
