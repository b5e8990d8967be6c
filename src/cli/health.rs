//! `sentinel health`: whether a node does useful work; for container health checks and for people.

use std::path::{Path, PathBuf};

use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, exit, read_env};
use crate::config::STATE;
use crate::node::health::Health;
use crate::system::WallClock;

/// Judges a running node.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthArgs {
    /// State directory of the node; SENTINEL_STATE or 'state' when left out.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
}

/// One line and 0 when the node is healthy.
///
/// # Errors
/// The reason, with 1, when it is not.
pub fn run(args: &HealthArgs) -> Ended {
    let env = read_env()?;
    let state = args.state.as_deref().or(env.get(STATE).map(Path::new)).unwrap_or(Path::new("state"));
    match Health::read(state).and_then(|health| health.judge(WallClock.now())) {
        Ok(line) => {
            println!("{line}");
            Ok(exit::OK)
        }
        Err(reason) => Err(Failure::new(exit::FAILED, &reason, None)),
    }
}
