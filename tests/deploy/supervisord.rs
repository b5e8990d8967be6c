//! A real supervisord with the repository's own program files, in which only paths are replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::node::{LONG, SENTINEL, program};
use super::outside::{find, repository_file, wait_for};
use super::site::Site;

const CONTROL: &str = "\
[supervisord]
nodaemon=true
logfile=DIR/supervisord.log
pidfile=DIR/supervisord.pid
childlogdir=DIR

[unix_http_server]
file=DIR/supervisor.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://DIR/supervisor.sock

[include]
files=DIR/sentinel.conf
";

/// A running supervisord; ended with its program when it goes.
struct Supervisor {
    site: Site,
    control: PathBuf,
    process: Child,
}

impl Supervisor {
    /// One node. `binary` is what the program file's binary path is replaced with.
    fn start(site: Site, binary: &Path) -> Self {
        Self::start_with("sentinel.conf", site, binary)
    }

    fn start_with(programs: &str, site: Site, binary: &Path) -> Self {
        let supervisord = find("supervisord", "SENTINEL_SUPERVISORD");
        let dir = site.path();
        let text = fs::read_to_string(repository_file("deploy/supervisord").join(programs)).unwrap();
        let text = [
            ("/usr/local/bin/sentinel", binary),
            ("/etc/sentinel", dir),
            ("/var/lib/sentinel", &site.state()),
            ("/var/log/supervisor", dir),
        ]
        .into_iter()
        .fold(text, |text, (old, new)| {
            assert!(text.contains(old), "the program file has no {old}");
            text.replace(old, new.to_str().unwrap())
        });
        fs::write(dir.join("sentinel.conf"), text).unwrap();
        fs::write(dir.join("supervisord.conf"), CONTROL.replace("DIR", dir.to_str().unwrap())).unwrap();
        let process = program(supervisord.to_str().unwrap(), dir)
            .args(["-c", "supervisord.conf"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { control: supervisord.with_file_name("supervisorctl"), site, process }
    }

    fn control(&self, words: &[&str]) -> String {
        let mut command = Command::new(&self.control);
        let output =
            command.current_dir(self.site.path()).args(["-c", "supervisord.conf"]).args(words).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The process of a program as supervisord sees it.
    fn pid(&self, program: &str) -> Option<Pid> {
        self.control(&["pid", program]).trim().parse().ok().and_then(Pid::from_raw)
    }

    fn said(&self) -> String {
        ["supervisord.log", "sentinel.err.log", "sentinel-fx.err.log", "sentinel-crypto.err.log"]
            .map(|name| fs::read_to_string(self.site.path().join(name)).unwrap_or_default())
            .join("\n")
    }

    fn wait_for<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait_for(what, LONG, look, || self.said())
    }

    /// Waits for a line of supervisord's log, `count` times.
    fn wait_for_line(&self, line: &str, count: usize) {
        self.wait_for(line, || (self.said().matches(line).count() >= count).then_some(()));
    }

    /// The node has decided something, and is another process than `before`.
    fn wait_for_work(&self, before: Option<Pid>) -> Pid {
        self.wait_for_work_of("sentinel", &self.site.state(), before)
    }

    fn wait_for_work_of(&self, program: &str, state: &Path, before: Option<Pid>) -> Pid {
        let health = state.join("health.json");
        self.wait_for("work", || {
            let of = |pid: &Pid| format!("\"pid\":{},", pid.as_raw_nonzero());
            let text = fs::read_to_string(&health).unwrap_or_default();
            self.pid(program).filter(|pid| Some(*pid) != before && text.contains(&of(pid)))
        })
    }

    /// It is down, for good: supervisord restarts at once what it restarts, and has logged the end long ago.
    fn stays_down(&self, code: i32) {
        self.wait_for_line(&format!("exited: sentinel (exit status {code}; expected)"), 1);
        let status = self.control(&["status", "sentinel"]);
        assert!(status.contains("EXITED"), "{status}\n{}", self.said());
        assert_eq!(self.said().matches("spawned: 'sentinel'").count(), 1, "{}", self.said());
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        // In order, so that it takes its program with it.
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}

#[test]
#[cfg_attr(not(has_program = "supervisord"), ignore = "needs supervisord: see CONTRIBUTING.md")]
fn a_killed_node_is_started_again_and_a_stop_ends_it_in_order() {
    let supervisor = Supervisor::start(Site::long(), Path::new(SENTINEL));
    let first = supervisor.wait_for_work(None);
    kill_process(first, Signal::KILL).unwrap();
    supervisor.wait_for_work(Some(first));
    supervisor.wait_for_line("exited: sentinel (terminated by SIGKILL; not expected)", 1);

    let began = Instant::now();
    assert_eq!(supervisor.control(&["stop", "sentinel"]), "sentinel: stopped\n");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    supervisor.wait_for_line("stopped: sentinel (exit status 0)", 1);
}

#[test]
#[cfg_attr(not(has_program = "supervisord"), ignore = "needs supervisord: see CONTRIBUTING.md")]
fn the_end_of_the_competition_stays_the_end() {
    let supervisor = Supervisor::start(Site::short(), Path::new(SENTINEL));
    supervisor.stays_down(0);
}

#[test]
#[cfg_attr(not(has_program = "supervisord"), ignore = "needs supervisord: see CONTRIBUTING.md")]
fn a_configuration_that_cannot_be_used_is_not_tried_again() {
    let supervisor = Supervisor::start(Site::broken(), Path::new(SENTINEL));
    supervisor.stays_down(78);
}

#[test]
#[cfg_attr(not(has_program = "supervisord"), ignore = "needs supervisord: see CONTRIBUTING.md")]
fn after_each_meltdown_the_node_is_started_again_and_waits_longer() {
    let site = Site::long();
    let binary = site.path().join("melting");
    fs::write(&binary, format!("#!/bin/sh\nexec {SENTINEL} \"$@\" --panic-from journal\n")).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
    let supervisor = Supervisor::start(site, &binary);
    supervisor.wait_for_line("exited: sentinel (exit status 70; not expected)", 3);
    let log = fs::read_to_string(supervisor.site.state().join("logs/sentinel.log")).unwrap();
    let waits = || log.lines().filter(|line| line.contains("boot_backoff"));
    assert!(waits().next().unwrap().contains("crashes=1") && waits().nth(1).unwrap().contains("crashes=2"), "{log}");
    assert!(log.contains("meltdown"), "{log}");
}

/// A program's section with its name left out.
fn section(text: &str, name: &str) -> String {
    let (_, rest) = text.split_once(&format!("[program:{name}]\n")).unwrap();
    rest.split("\n[").next().unwrap().trim().to_owned()
}

#[test]
#[cfg_attr(not(has_program = "supervisord"), ignore = "needs supervisord: see CONTRIBUTING.md")]
fn two_nodes_of_a_group_restart_apart_and_stop_together() {
    let site = Site::long();
    for name in ["fx.toml", "crypto.toml"] {
        fs::copy(site.path().join("sentinel.toml"), site.path().join(name)).unwrap();
    }
    let supervisor = Supervisor::start_with("sentinel-nodes.conf", site, Path::new(SENTINEL));
    let state = |name: &str| supervisor.site.state().join(name);
    let fx = supervisor.wait_for_work_of("sentinel:fx", &state("fx"), None);
    let crypto = supervisor.wait_for_work_of("sentinel:crypto", &state("crypto"), None);
    kill_process(fx, Signal::KILL).unwrap();
    supervisor.wait_for_work_of("sentinel:fx", &state("fx"), Some(fx));
    assert_eq!(supervisor.pid("sentinel:crypto"), Some(crypto), "{}", supervisor.said());

    let stopped = supervisor.control(&["stop", "sentinel:"]);
    assert!(
        ["sentinel:fx: stopped", "sentinel:crypto: stopped"].iter().all(|line| stopped.contains(line)),
        "{stopped}"
    );
    for name in ["fx", "crypto"] {
        supervisor.wait_for_line(&format!("stopped: {name} (exit status 0)"), 1);
    }
}

#[test]
fn the_nodes_of_a_group_are_run_as_a_single_node_is() {
    let read = |name: &str| fs::read_to_string(repository_file("deploy/supervisord").join(name)).unwrap();
    let keys = |section: String| {
        let lines = section.lines().filter(|line| !line.starts_with("; ")).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let (single, group) = (keys(section(&read("sentinel.conf"), "sentinel")), read("sentinel-nodes.conf"));
    for name in ["fx", "crypto"] {
        let own = section(&group, name)
            .replace("/%(program_name)s.toml", "/sentinel.toml")
            .replace("/%(program_name)s", "")
            .replace("-%(program_name)s", "");
        assert_eq!(keys(own), single, "{name}");
    }
}
