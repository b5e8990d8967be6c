//! The official Allora SDK as a witness: its own worker runs against the chain of the testbed, and its protobufs decode what this
//! node signs.
//!
//! `SENTINEL_PYTHON` names an interpreter that has `allora-sdk`, if `python3` has none.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking too")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test of real processes waits in real time and reads its own settings"
)]

mod decoded;
mod worker_loop;

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Known to everyone.
const MNEMONIC: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
const ADDRESS: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";

/// A script of this directory, with its outputs piped.
fn start(script: &str, arguments: &[&str]) -> Child {
    let python = std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allora_sdk").join(script);
    let mut command = Command::new(python);
    command.arg(script).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Ends it when it takes longer, and demands that it succeeded. Its output must be small.
fn finish(mut child: Child, input: &str, limit: Duration) -> String {
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let (id, began) = (child.id(), Instant::now());
    let output = thread::spawn(move || child.wait_with_output().unwrap());
    while !output.is_finished() && began.elapsed() < limit {
        thread::park_timeout(Duration::from_millis(10));
    }
    if !output.is_finished() {
        let process = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
    }
    let Output { status, stdout, stderr } = output.join().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "after {:?}: {out}\n{err}", began.elapsed());
    out.into_owned()
}
