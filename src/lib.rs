//! What a sentinel node is plugged into: adapters of the ports in `sentinel_actors`, and the command line.
//!
//! * [`journal`]: the SQLite journal, the state directory, and what can be asked of them.
//! * [`cli`]: one file per subcommand.

pub mod cli;
pub mod journal;
