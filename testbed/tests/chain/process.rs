//! The chain as a process of its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{parts, raw, request};

#[test]
fn the_program_tells_its_addresses_and_at_its_end_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = dir.path().join("genesis.json");
    std::fs::write(&genesis, r#"{ "chain_id": "localnet" }"#).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_allora-chain"));
    let mut child = command.arg(&genesis).args(["10ms", "2"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    let addresses: Value = serde_json::from_str(&line).unwrap();
    let second = addresses["rpc"][1].as_str().unwrap().strip_prefix("http://").unwrap().parse().unwrap();
    let (_, _, status) = parts(&raw(second, &request("status", &serde_json::json!({}))));
    assert!(status.contains("\"network\":\"localnet\""), "{status}");
    let process = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(serde_json::from_str::<Value>(&rest).unwrap()["height"].as_i64().unwrap() >= 1_000);
}

#[test]
fn the_program_refuses_arguments_that_it_cannot_use() {
    for arguments in [&[][..], &["/nonexistent", "1s"], &["/dev/null", "1s"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_allora-chain")).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(!output.stderr.is_empty());
    }
}
