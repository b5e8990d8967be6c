//! The unit file, judged by systemd itself, without a systemd that runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::outside::{find, repository_file};

const UNIT: &str = "deploy/systemd/sentinel.service";
/// Exposure times ten. What remains is what a daemon with a network and a manager's socket must have.
const EXPOSURE_MAX: &str = "12";

fn analyze(args: &[&str]) -> Option<String> {
    let program = find("systemd-analyze", "SENTINEL_SYSTEMD_ANALYZE")?;
    let output = Command::new(program).args(args).env("SYSTEMD_LOG_LEVEL", "warning").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "systemd-analyze {args:?}:\n{said}");
    Some(said)
}

#[test]
fn the_unit_is_understood_without_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("sentinel");
    fs::write(&binary, "").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let text = fs::read_to_string(repository_file(UNIT)).unwrap();
    let unit = dir.path().join("sentinel.service");
    fs::write(&unit, text.replace("/usr/local/bin/sentinel", binary.to_str().unwrap())).unwrap();
    let Some(said) = analyze(&["verify", "--man=no", unit.to_str().unwrap()]) else { return };
    let ours: Vec<_> = said.lines().filter(|line| line.contains("sentinel")).collect();
    assert!(ours.is_empty(), "{ours:#?}");
}

#[test]
fn the_unit_leaves_the_process_little_to_do_harm_with() {
    let unit = repository_file(UNIT);
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let Some(said) = analyze(&["security", "--offline=true", &threshold, unit.to_str().unwrap()]) else { return };
    assert!(said.contains("Overall exposure level"), "{said}");
}

#[test]
fn the_unit_restarts_what_a_restart_can_help() {
    let text = fs::read_to_string(repository_file(UNIT)).unwrap();
    for line in ["Type=notify", "Restart=on-failure", "RestartPreventExitStatus=64 78", "StartLimitIntervalSec=0"] {
        assert!(text.lines().any(|own| own == line), "{line} is missing");
    }
}
