//! Puts the commit into `--version`, packs what the loader reads, and finds the external programs that tests need: a test without its
//! program is ignored with that reason, and does not count as passed.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs that some tests need, and the variable that may name each.
const PROGRAMS: [(&str, &str); 12] = [
    ("bash", "SENTINEL_BASH"),
    ("cc", "SENTINEL_CC"),
    ("chromium", "SENTINEL_CHROMIUM"),
    ("fish", "SENTINEL_FISH"),
    ("mlflow", "SENTINEL_MLFLOW"),
    ("openssl", "SENTINEL_OPENSSL"),
    ("promtool", "SENTINEL_PROMTOOL"),
    ("python3", PYTHON),
    ("strace", "SENTINEL_STRACE"),
    ("supervisord", "SENTINEL_SUPERVISORD"),
    ("systemd-analyze", "SENTINEL_SYSTEMD_ANALYZE"),
    ("zsh", "SENTINEL_ZSH"),
];
/// Names a Python that has pyzmq and allora-sdk.
const PYTHON: &str = "SENTINEL_PYTHON";
/// With it no test is ignored for want of a program: it fails instead.
const MUST_RUN: &str = "SENTINEL_MUST_RUN";

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown commit".to_owned());
    println!("cargo::rustc-env=SENTINEL_VERSION={} ({commit})", env!("CARGO_PKG_VERSION"));
    println!("cargo::rerun-if-changed=build.rs");
    // A new commit moves HEAD or the branch it names; without git there is nothing to follow.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    pack_relocations();
    tell_programs();
}

/// At each start the loader reads where the program holds addresses. Packed, that is 1.6 MB less for a node to hold in memory.
///
/// GNU's C library can read it since 2.36, and an older one refuses such a program. So it is done only where the program is built for this
/// machine and the library is new enough.
fn pack_relocations() {
    let is_ours = env::var_os("TARGET").is_some_and(|target| Some(target) == env::var_os("HOST"));
    let said = Command::new("getconf").arg("GNU_LIBC_VERSION").stderr(Stdio::null()).output();
    let said = said.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let version = said.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let version = version.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    if is_ours && version.is_some_and(|version| version >= (2, 36)) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// `cfg(has_program = "NAME")` for each that is there.
fn tell_programs() {
    println!(
        "cargo::rustc-check-cfg=cfg(has_program, values(\"allora-sdk\", \"bash\", \"cc\", \"chromium\", \"fish\", \"mlflow\", \"openssl\", \"promtool\", \"python3\", \"pyzmq\", \"strace\", \"supervisord\", \"systemd-analyze\", \"zsh\"))"
    );
    for variable in PROGRAMS.map(|(_, variable)| variable).into_iter().chain([PYTHON, MUST_RUN, "PATH"]) {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    let must_run = env::var_os(MUST_RUN).is_some();
    for (name, variable) in PROGRAMS {
        let path = env::var_os("PATH").unwrap_or_default();
        let named = env::var_os(variable).is_some_and(|file| Path::new(&file).is_file());
        if must_run || named || env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
            println!("cargo::rustc-cfg=has_program=\"{name}\"");
        }
    }
    let python = env::var_os(PYTHON).unwrap_or_else(|| "python3".into());
    for (name, module) in [("pyzmq", "zmq"), ("allora-sdk", "allora_sdk")] {
        let import = format!("import {module}");
        let has_module =
            || Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
        if must_run || has_module() {
            println!("cargo::rustc-cfg=has_program=\"{name}\"");
        }
    }
}
