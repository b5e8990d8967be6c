//! `sentinel bundle`: what to send with a question about a node.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::ports::Clock as _;

use super::text::labelled;
use super::{Ended, StateFlag, exit, read_env};
use crate::bundle::{self, Redactor, Wanted};
use crate::config::{Config, Flags};
use crate::system::WallClock;

/// Writes a bundle.
#[derive(Debug, Clone, clap::Args)]
pub struct BundleArgs {
    /// Whose state.
    #[command(flatten)]
    pub state: StateFlag,
    /// The node's configuration: its effective values go in, and the secrets that it leads to are known and hidden.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file that is not there yet.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// How many days of the journal go in at most.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u64).range(1..=3650))]
    pub days: u64,
}

/// Writes it and says what is in it.
///
/// # Errors
/// When it cannot be written.
pub fn run(args: &BundleArgs) -> Ended {
    let env = read_env()?;
    let flags = Flags { reads_only: true, ..Flags::default() };
    let loaded = args.config.as_deref().map(|file| Config::load(file, &env, &flags));
    let (config, configuration) = match loaded {
        None => (None, "no configuration was given: --config FILE\n".to_owned()),
        // What is wrong may be a secret in the wrong place.
        Some(Err(_)) => (None, "it cannot be used: `sentinel check` says why\n".to_owned()),
        Some(Ok(config)) => {
            let text = config.banner().map(|line| line + "\n").collect();
            (Some(config), text)
        }
    };
    let state = args.state.of(config.as_ref())?;
    let base = args.config.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let redactor = Redactor::new(&env, config.as_ref().map(|config| (config, base)));
    let span = Duration::from_secs(args.days * 24 * 3600);
    let wanted = Wanted { state: &state, configuration: &configuration, span, now: WallClock.now() };
    let (contents, bytes) = bundle::write(&wanted, &redactor, &args.to)?;
    println!("{}", labelled("Bundle", &format!("{}, {} KB", args.to.display(), bytes.div_ceil(1000))));
    let (hours, log) = (contents.journal_hours, contents.log_bytes.div_ceil(1000));
    println!("{}", labelled("Journal", &format!("its newest {hours} hours; log: the newest {log} KB")));
    if !contents.left_out.is_empty() {
        println!("{}", labelled("Left out", &contents.left_out.join("; ")));
    }
    println!(
        "{}",
        labelled("Look", "secrets that this machine knows are hidden in it; look through it before you send it")
    );
    Ok(exit::OK)
}
