//! The unit file, judged by systemd itself, without a systemd that runs; and the node, by what it would be denied.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::node::program;
use super::outside::{find, repository_file};
use super::site::Site;

const UNIT: &str = "deploy/systemd/sentinel.service";
/// Exposure times ten. What remains is what a daemon with a network and a manager's socket must have.
const EXPOSURE_MAX: &str = "12";

fn analyze(args: &[&str]) -> String {
    let program = find("systemd-analyze", "SENTINEL_SYSTEMD_ANALYZE");
    let output = Command::new(program).args(args).env("SYSTEMD_LOG_LEVEL", "warning").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "systemd-analyze {args:?}:\n{said}");
    said
}

#[test]
#[cfg_attr(not(has_program = "systemd-analyze"), ignore = "needs systemd-analyze: see CONTRIBUTING.md")]
fn the_unit_is_understood_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("sentinel");
    fs::write(&binary, "").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(repository_file(UNIT)).unwrap();
    let unit = dir.path().join("sentinel.service");
    fs::write(&unit, text.replace("/usr/local/bin/sentinel", binary.to_str().unwrap())).unwrap();
    let said = analyze(&["verify", "--man=no", unit.to_str().unwrap()]);
    let ours: Vec<_> = said.lines().filter(|line| line.contains("sentinel")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
#[cfg_attr(not(has_program = "systemd-analyze"), ignore = "needs systemd-analyze: see CONTRIBUTING.md")]
fn the_unit_leaves_the_process_little_to_do_harm_with() {
    let unit = repository_file(UNIT);
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let said = analyze(&["security", "--offline=true", &threshold, unit.to_str().unwrap()]);
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn the_unit_restarts_what_a_restart_can_help() {
    let text = fs::read_to_string(repository_file(UNIT)).unwrap();
    for line in ["Type=notify", "Restart=on-failure", "RestartPreventExitStatus=64 78", "StartLimitIntervalSec=0"] {
        assert!(text.lines().any(|own| own == line), "{line} is missing");
    }
}

/// The calls of a set, those of the sets in it included.
fn calls(set: &str) -> BTreeSet<String> {
    let text = analyze(&["syscall-filter", "--no-pager", set]);
    let mut all = BTreeSet::new();
    for word in text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if word.starts_with('@') {
            all.extend(calls(word));
        } else {
            all.insert(word.to_owned());
        }
    }
    all
}

/// What the unit's filter lets pass.
fn allowed() -> BTreeSet<String> {
    let unit = fs::read_to_string(repository_file(UNIT)).unwrap();
    let mut allowed = calls("@default");
    for line in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        for set in line.trim_start_matches('~').split(' ') {
            let calls = calls(set);
            if line.starts_with('~') {
                allowed.retain(|call| !calls.contains(call));
            } else {
                allowed.extend(calls);
            }
        }
    }
    allowed
}

#[test]
#[cfg_attr(
    not(all(has_program = "strace", has_program = "systemd-analyze")),
    ignore = "needs strace and systemd-analyze: see CONTRIBUTING.md"
)]
fn the_unit_denies_nothing_that_a_working_node_asks_for() {
    let (strace, allowed) = (find("strace", "SENTINEL_STRACE"), allowed());
    let site = Site::short();
    let trace = site.path().join("trace");
    let mut command = program(strace.to_str().unwrap(), site.path());
    command.args(["-f", "-qq", "-o", trace.to_str().unwrap(), super::node::SENTINEL]).args(site.args());
    assert!(command.output().unwrap().status.success());

    let trace = fs::read_to_string(trace).unwrap();
    let call =
        |line: &str| Some(line.trim_start_matches(|c: char| c.is_ascii_digit()).trim().split_once('(')?.0.to_owned());
    let is_name = |name: &String| name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let used: BTreeSet<String> = trace.lines().filter_map(call).filter(is_name).collect();
    assert!(used.contains("fsync") && used.contains("clone3"), "the trace is not of a node: {used:?}");
    // SQLite gives files to the owner of their directory, but only as root, which the unit's user is not.
    let denied: Vec<_> = used.difference(&allowed).filter(|call| *call != "fchown").collect();
    assert!(denied.is_empty(), "the unit denies {denied:?}");
    // MemoryDenyWriteExecute.
    let is_denied =
        |line: &&str| line.contains("PROT_WRITE|PROT_EXEC") || line.contains("mprotect") && line.contains("PROT_EXEC");
    assert_eq!(trace.lines().find(is_denied), None);
}
