//! `sentinel status`: one screen about a node, from its control socket while it runs, and from its files when it does not.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, StateFlag, exit, unanswered};
use crate::arming::record;
use crate::operator::control::client::{self, ClientError};
use crate::operator::control::messages::STATUS;
use crate::operator::status::Status;
use crate::system::WallClock;

/// Shows a node.
#[derive(Debug, Clone, clap::Args)]
pub struct StatusArgs {
    /// For a person, or for a program.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Show it again every two seconds, until Ctrl-C.
    #[arg(long, conflicts_with = "format")]
    pub watch: bool,
    /// Which node.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Between two looks of `--watch`.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Of a terminal that does not tell its width, in characters.
const WIDTH: usize = 80;
/// Empties a terminal.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Shows it.
///
/// # Errors
/// When nothing is known of it.
pub fn run(args: &StatusArgs) -> Ended {
    let state = args.state.dir()?;
    if args.watch {
        return watch(&state);
    }
    let status = look(&state)?;
    match args.format {
        Format::Text => print!("{status}"),
        Format::Json => {
            let text = serde_json::to_string(&status).map_err(|error| Failure::new(exit::SOFTWARE, &error, None))?;
            println!("{text}");
        }
    }
    Ok(exit::OK)
}

fn look(state: &Path) -> Result<Status, Failure> {
    match client::get::<Status>(state, STATUS) {
        Ok(status) => Ok(status),
        Err(ClientError::NotThere(_)) => Ok(Status::of_files(state, armed(state), WallClock.now())?),
        Err(error) => Err(unanswered(&error)),
    }
}

/// What cannot be seen at one look is said, and looked for again: a node may just be starting.
fn watch(state: &Path) -> Ended {
    let mut out = io::stdout();
    let is_terminal = out.is_terminal();
    loop {
        let text = match look(state) {
            Ok(status) => status.screen(width()),
            Err(failure) => format!("{}\n", failure.text),
        };
        let text = if is_terminal { format!("{CLEAR}{text}") } else { format!("{text}\n") };
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if let Err(error) = written {
            // Whoever read it has gone.
            return Err(Failure::new(exit::IO, &error, None));
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(WIDTH)
}

/// What is armed for the next start; whether it fits is compared there.
fn armed(state: &Path) -> Option<String> {
    let file = record::file_of(state);
    match record::read(&file) {
        Ok(armed) => Some(format!("{} for the next start", armed.terms.id())),
        Err(_) if !file.exists() => None,
        Err(error) => Some(chain(&error)),
    }
}
