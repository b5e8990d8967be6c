//! The command line: one file per subcommand. Each takes its arguments and a writer, and never ends the process.

pub mod journal;
pub mod why;
