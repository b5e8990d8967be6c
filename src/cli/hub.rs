//! `sentinel hub`: the model server of the demo, to try a node against.
//!
//! It stands in for a foreign server and takes nothing from the node: no configuration, no journal, no log.

use std::io::{self, Write as _};
use std::path::PathBuf;

use sentinel_testbed::hub::{self, FaultArg, HubError, Options, Proxy, Wrapping};
use sentinel_testbed::shutdown_on_signal;

use super::parent::ParentFlag;
use super::{Ended, Failure, exit};

/// What to serve, where, and how badly.
#[derive(Debug, Clone, clap::Args)]
pub struct HubArgs {
    /// ONNX file to serve.
    #[arg(long, value_name = "FILE")]
    pub model: PathBuf,
    /// Address to listen on. There is no password: keep it on this machine.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0 takes any free one.
    #[arg(long, default_value_t = 5001)]
    pub port: u16,
    /// Misbehave; see below.
    #[arg(long = "fault", alias = "mood", value_name = "RULE")]
    pub faults: Vec<FaultArg>,
    /// For the process that starts it.
    #[command(flatten)]
    pub parent: ParentFlag,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When the model cannot be served, or the port is taken.
pub fn run(args: &HubArgs) -> Ended {
    if !args.parent.arm() {
        return Ok(exit::OK);
    }
    let faults = hub::fault_rules(&args.faults).map_err(|error| Failure::new(exit::USAGE, &error, None))?;
    let options = Options {
        model: args.model.clone(),
        host: args.host.clone(),
        port: args.port,
        faults,
        wrapping: Wrapping::default(),
        proxy: Proxy::default(),
    };
    let shutdown = shutdown_on_signal().map_err(|error| Failure::new(exit::UNAVAILABLE, &error, None))?;
    let listening = |address| {
        let mut out = io::stdout();
        // The process that started it may have closed the pipe; it serves all the same.
        let _ = writeln!(out, "listening on http://{address}").and_then(|()| out.flush());
    };
    hub::serve(&options, listening, &shutdown).map(|()| exit::OK).map_err(|error| {
        let code = match error {
            HubError::Model(_) => exit::CONFIG,
            HubError::Listen { .. } | HubError::System(_) => exit::UNAVAILABLE,
        };
        let advice = error.advice();
        Failure::new(code, &error, Some(advice))
    })
}
