//! `sentinel health`: whether a node does useful work; for container health checks and for people.

use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, StateFlag, exit};
use crate::node::health::Health;
use crate::system::WallClock;

/// Judges a running node.
#[derive(Debug, Clone, clap::Args)]
pub struct HealthArgs {
    /// Which node.
    #[command(flatten)]
    pub state: StateFlag,
}

/// One line and 0 when the node is healthy.
///
/// # Errors
/// The reason, with 1, when it is not.
pub fn run(args: &HealthArgs) -> Ended {
    let state = args.state.dir()?;
    match Health::read(&state).and_then(|health| health.judge(WallClock.now())) {
        Ok(line) => {
            println!("{line}");
            Ok(exit::OK)
        }
        Err(reason) => Err(Failure::new(exit::FAILED, &reason, None)),
    }
}
