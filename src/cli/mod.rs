//! The command line: one file per subcommand. A subcommand returns its text or its error; only the binary prints and exits.

pub mod features;
