//! The unit files, judged by systemd itself, without a systemd that runs; and the node, by what it would be denied.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use super::node::program;
use super::outside::{find, repository_file};
use super::site::Site;

const UNIT: &str = "deploy/systemd/sentinel.service";
/// For several nodes.
const TEMPLATE: &str = "deploy/systemd/sentinel@.service";
/// A drop-in of either.
const FORMER_LIMITS: &str = "deploy/systemd/former-limits.conf";
/// Exposure times ten. What remains is what a daemon with a network and a manager's socket must have.
const EXPOSURE_MAX: &str = "12";

fn analyze(args: &[&str]) -> String {
    let program = find("systemd-analyze", "SENTINEL_SYSTEMD_ANALYZE");
    let output = Command::new(program).args(args).env("SYSTEMD_LOG_LEVEL", "warning").output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "systemd-analyze {args:?}:\n{said}");
    said
}

/// What systemd has to say about a unit of this text, and about its drop-in.
fn verified(name: &str, text: &str, drop_in: Option<&str>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("sentinel");
    fs::write(&binary, "").unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let start = format!("ExecStart={} run ", binary.display());
    assert_eq!(text.matches("ExecStart=sentinel run ").count(), 1);
    let unit = dir.path().join(name);
    fs::write(&unit, text.replace("ExecStart=sentinel run ", &start)).unwrap();
    if let Some(drop_in) = drop_in {
        let folder = dir.path().join(format!("{name}.d"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("limits.conf"), drop_in).unwrap();
    }
    let said = analyze(&["verify", "--man=no", unit.to_str().unwrap()]);
    said.lines().filter(|line| line.contains("sentinel") || line.contains("limits.conf")).map(str::to_owned).collect()
}

fn text(path: &str) -> String {
    fs::read_to_string(repository_file(path)).unwrap()
}

#[test]
#[cfg_attr(not(has_program = "systemd-analyze"), ignore = "needs systemd-analyze: see CONTRIBUTING.md")]
fn the_units_are_understood_without_a_warning() {
    for (name, path) in [("sentinel.service", UNIT), ("sentinel@fx.service", TEMPLATE)] {
        let text = text(path);
        // Every credential that is shown in a comment, too.
        let shown = text.replace("\n#LoadCredential=", "\nLoadCredential=");
        assert!(shown != text, "{path} shows no credential");
        for text in [&text, &shown] {
            assert_eq!(verified(name, text, None), Vec::<String>::new(), "{path}");
        }
        let misspelt = verified(name, &text.replace("MemoryMax=", "MemoryMaximum="), None);
        assert!(misspelt.iter().any(|line| line.contains("MemoryMaximum")), "a mistake goes unnoticed: {misspelt:?}");
    }
}

#[test]
#[cfg_attr(not(has_program = "systemd-analyze"), ignore = "needs systemd-analyze: see CONTRIBUTING.md")]
fn the_units_leave_the_process_little_to_do_harm_with() {
    for path in [UNIT, TEMPLATE] {
        let unit = repository_file(path);
        let threshold = format!("--threshold={EXPOSURE_MAX}");
        let said = analyze(&["security", "--offline=true", &threshold, unit.to_str().unwrap()]);
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

/// The settings of a unit, without its comments.
fn settings(path: &str) -> Vec<String> {
    let text = text(path);
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn the_unit_for_several_nodes_differs_from_the_other_in_names_and_memory_alone() {
    let single = settings(UNIT);
    let own: Vec<String> = settings(TEMPLATE)
        .into_iter()
        .filter(|line| line != "EnvironmentFile=-/etc/sentinel/%i.env")
        .map(|line| {
            line.replace("Sentinel node %i:", "Sentinel:")
                .replace("/%i.toml", "/sentinel.toml")
                .replace("sentinel/%i", "sentinel")
                .replace("MemoryMax=256M", "MemoryMax=512M")
        })
        .collect();
    assert_eq!(own, single);
    // Nothing that belongs to one of them is another one's.
    let start = "ExecStart=sentinel run --config /etc/sentinel/%i.toml --state /var/lib/sentinel/%i";
    for line in [start, "StateDirectory=sentinel/%i"] {
        assert!(settings(TEMPLATE).iter().any(|own| own == line), "{line} is missing");
    }
}

#[test]
#[cfg_attr(not(has_program = "systemd-analyze"), ignore = "needs systemd-analyze: see CONTRIBUTING.md")]
fn the_former_daemons_limits_are_a_drop_in_of_either_unit() {
    let limits = settings(FORMER_LIMITS);
    assert_eq!(limits, ["[Service]", "MemoryMax=2G", "CPUQuota=50%"]);
    for (name, path) in [("sentinel.service", UNIT), ("sentinel@fx.service", TEMPLATE)] {
        assert_eq!(verified(name, &text(path), Some(&text(FORMER_LIMITS))), Vec::<String>::new(), "{path}");
    }
    let misspelt = verified("sentinel.service", &text(UNIT), Some("[Service]\nCPUQuotum=50%\n"));
    assert!(misspelt.iter().any(|line| line.contains("CPUQuotum")), "the drop-in is not read: {misspelt:?}");
}

#[test]
fn the_unit_restarts_what_a_restart_can_help() {
    let text = text(UNIT);
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
    let unit = text(UNIT);
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
