//! An Allora chain as a process of its own: `allora-chain GENESIS.json EVERY [NODES]`, for example with `{}` in the file and `1s`.
//!
//! It prints a line of JSON with the addresses of its nodes, makes a block each time that EVERY has passed, and prints the truth as
//! JSON when SIGTERM or SIGINT ends it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, fs, thread};

use sentinel_testbed::chain::{Chain, Options};
use sentinel_testbed::shutdown_on_signal;
use serde_json::json;

/// How often it looks whether it was told to end.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<(), String> {
    let (file, every, nodes) = match arguments {
        [file, every] => (file, every, "1"),
        [file, every, nodes] => (file, every, nodes.as_str()),
        _ => return Err("write allora-chain GENESIS.json EVERY [NODES]".to_owned()),
    };
    let genesis = fs::read(file).map_err(|error| format!("{file} cannot be read: {error}"))?;
    let genesis = serde_json::from_slice(&genesis).map_err(|error| format!("{file} is no genesis: {error}"))?;
    let every = humantime::parse_duration(every).map_err(|error| format!("{every} is no duration: {error}"))?;
    let nodes = nodes.parse().map_err(|error| format!("{nodes} is no number of nodes: {error}"))?;
    let options = Options { nodes, now: Some(Arc::new(wall_ms)), ..Options::automatic(genesis, every) };
    let shutdown = shutdown_on_signal().map_err(|error| format!("signals cannot be caught: {error}"))?;
    let chain = Chain::start(options).map_err(|error| format!("it cannot listen: {error}"))?;
    let rpc: Vec<String> = (0..nodes).map(|node| chain.rpc_url(node)).collect();
    let grpc: Vec<String> = (0..nodes).map(|node| chain.grpc_url(node)).collect();
    println!("{}", json!({ "rpc": rpc, "grpc": grpc }));
    while !shutdown.is_cancelled() {
        thread::sleep(LOOK_EVERY);
    }
    println!("{}", json!(chain.truth()));
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the chain simulates other machines, which have a clock of their own")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
