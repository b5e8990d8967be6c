//! Every command that a document shows in a block is run, in the order of the document, in the directory of a newcomer.
//!
//! A command of `sentinel` is run as it stands; [`shortened`] says where a test takes fewer bars or other ports. What needs a
//! service manager, a container or a long compilation is in [`ELSEWHERE`], each with the test or the CI step that runs it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Parser as _;
use sentinel::cli::Cli;
use sentinel::system::WallClock;
use sentinel_actors::ports::Clock as _;
use sentinel_testbed::vendors::{Market, Options, Vendors};

use super::site::Site;
use super::{documents, read, root};

/// Commands that are run elsewhere: the command, the file that runs it, and what to find there. Where the command itself cannot
/// be run in CI, it is what judges the same thing.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("cargo test --workspace", ".ci/run", "cargo test --workspace"),
    ("cargo fmt --all", ".ci/run", "cargo fmt --all --check"),
    ("cargo clippy --workspace --all-targets -- -D warnings", ".ci/run", "--workspace --all-targets -- -D warnings"),
    ("cargo build --profile dist", ".ci/run", "cargo build --locked --profile dist"),
    ("SENTINEL_BLESS=1 cargo test --test docs", "tests/docs/main.rs", "SENTINEL_BLESS"),
    ("cargo test -p sentinel-actors --test sim", ".ci/run", "-p sentinel-actors --test sim"),
    ("SIM_SEED=42 cargo test --profile sim -p sentinel-actors --test sim", "actors/tests/sim/main.rs", "SIM_SEED"),
    (
        "SIM_SEEDS=150 SIM_DAYS=2 cargo test --profile sim -p sentinel-actors --test sim",
        ".ci/run",
        "SIM_SEEDS=150 SIM_DAYS=2",
    ),
    (
        "SENTINEL_KILLS=60 SENTINEL_CHAOS_SEEDS=20 cargo test --profile sim --test process",
        ".ci/run",
        "SENTINEL_KILLS=60",
    ),
    ("SENTINEL_KILLS=60 cargo test --profile sim --test announced_kill", ".ci/nightly", "--test announced_kill"),
    ("SENTINEL_JOURNAL_BYTES=1000000 cargo test --test journal bytes", ".ci/nightly", "SENTINEL_JOURNAL_BYTES=${"),
    ("SENTINEL_DAMAGED_BYTES=300 cargo test --test process damage", ".ci/nightly", "SENTINEL_DAMAGED_BYTES=${"),
    ("SENTINEL_SLOW_FSYNCS=1000 cargo test --test process faulty_disk", ".ci/nightly", "SENTINEL_SLOW_FSYNCS=${"),
    // No systemd runs in CI: its own tools judge the unit, and the node is run under a notification socket.
    ("systemd-sysusers", "tests/deploy/systemd.rs", "the_units_are_understood_without_a_warning"),
    ("systemctl daemon-reload", "tests/deploy/systemd.rs", "the_units_are_understood_without_a_warning"),
    (
        "systemctl enable --now sentinel",
        "tests/deploy/notify.rs",
        "the_watchdog_is_fed_by_progress_and_by_nothing_else",
    ),
    (
        "supervisorctl update",
        "tests/deploy/supervisord.rs",
        "a_killed_node_is_started_again_and_a_stop_ends_it_in_order",
    ),
    // They are followed in a fresh Debian.
    ("apt-get install --yes adduser ca-certificates curl supervisor", ".ci/guides.sh", "debootstrap "),
    ("adduser --system ", ".ci/guides.sh", "guide=docs/quick-start.md"),
    ("sed -i 's/^;user=/user=/' ", ".ci/guides.sh", "guide=docs/quick-start.md"),
    ("service supervisor start", ".ci/guides.sh", "guide=docs/quick-start.md"),
    ("supervisorctl status sentinel", ".ci/guides.sh", "guide=docs/quick-start.md"),
    ("curl --fail ", ".ci/guides.sh", "guide=docs/quick-start.md"),
    ("cargo install --locked cargo-deb", ".ci/run", "cargo install --quiet --locked --version"),
    ("cargo deb", ".ci/debian.sh", "--no-build --locked"),
    ("apt install ./target/debian/sentinel_", ".ci/debian.sh", "dpkg_ --install /packages/sentinel.deb"),
    // No docker runs in CI: buildah builds the image, and it is started with the same restrictions.
    ("docker build ", ".ci/container.sh", "buildah_ build"),
    ("docker run ", ".ci/container.sh", "--no-new-privs"),
    (
        "SENTINEL_CONFIG=/etc/sentinel docker compose ",
        "tests/docs/commands.rs",
        "fn docker_run_and_the_compose_file_say_the_same",
    ),
    // Needs packages from PyPI; the scripts are compiled, and what they wrote is loaded by every run of the demo.
    (
        "python3 -m venv venv && venv/bin/pip install -r requirements.txt",
        ".ci/run",
        "py_compile tools/export-model/*.py",
    ),
    ("venv/bin/python export_model.py ", ".ci/run", "py_compile tools/export-model/*.py"),
    ("venv/bin/python export_regressor.py ", ".ci/run", "py_compile tools/export-model/*.py"),
];

/// The commands of a document's blocks: one per line, without comments, continued lines joined.
pub fn shown(text: &str) -> Vec<String> {
    let blocks = text.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    let lines = blocks.map(|block| block.replace("\\\n", " ")).collect::<Vec<_>>().join("\n");
    let lines = lines.lines().map(|line| line.split(" #").next().unwrap());
    let lines = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

fn is_sentinel(line: &str) -> bool {
    line.starts_with("sentinel ") || line.starts_with("cargo run --release -- ")
}

/// What puts files into place is run with other directories.
pub fn is_installation(line: &str) -> bool {
    line.starts_with("install ") || line.starts_with("mkdir ")
}

/// A command of `sentinel`, with what a test adds to it.
fn shortened(line: &str, site: &Site) -> String {
    let mut line = line.replace("cargo run --release -- ", "sentinel ").replace("127.0.0.1:9464", "127.0.0.1:0");
    if line.starts_with("sentinel demo") {
        line += if line.contains("--speed") { " --bars 500" } else { " --bars 500 --speed max" };
    }
    if line.contains("config/local.toml") {
        line += &site.endpoints();
    }
    line
}

/// What became of a command.
pub enum Followed {
    /// It is still to be run as it stands.
    Run,
    /// It was run.
    Done,
}

/// Follows a document. `each` may run a command in its own way.
pub fn follow(document: &str, site: &mut Site, mut each: impl FnMut(&mut Site, &str) -> Followed) {
    let folder = Path::new(document).parent().unwrap().to_owned();
    let folder = if folder.starts_with("tools") { folder } else { PathBuf::new() };
    let mut count = 0;
    for line in shown(&read(document)) {
        if !is_sentinel(&line) && !line.starts_with("export ") {
            continue;
        }
        count += 1;
        match each(site, &line) {
            Followed::Run => drop(site.run(&folder, &shortened(&line, site))),
            Followed::Done => {}
        }
    }
    assert!(count > 0, "{document} shows no command");
}

/// The first block of this kind.
pub fn block<'t>(text: &'t str, kind: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("```{kind}\n")).unwrap();
    rest.split("```").next().unwrap()
}

/// Numbers and their signs differ from run to run, and so does the place where a line is wrapped.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if shape.ends_with('#') => {}
            '0'..='9' => shape.push('#'),
            '.' | ',' if shape.ends_with('#') => {}
            _ => shape.push(c),
        }
    }
    let words: Vec<&str> = shape.split_whitespace().map(|word| word.trim_start_matches(['+', '-'])).collect();
    words.join(" ")
}

/// Each line of an example, but "...", is one of the output.
#[track_caller]
pub fn check_example(example: &str, output: &str) {
    let output = shape(output);
    for line in example.lines().filter(|line| !line.trim().is_empty() && *line != "...") {
        let line = shape(&line.replace("target/release/", ""));
        assert!(output.contains(&line), "'{line}' is no longer said:\n{output}");
    }
}

#[test]
fn the_readme_can_be_followed_from_the_first_command_to_the_last() {
    let mut site = Site::new();
    let readme = read("README.md");
    site.write("sentinel.toml", block(&readme, "toml"));
    let vendors = vendors();
    follow("README.md", &mut site, |site, line| {
        if line.starts_with("sentinel try") {
            site.run(Path::new(""), &tried(line, &vendors));
            return Followed::Done;
        }
        if !line.starts_with("cargo run ") {
            return Followed::Run;
        }
        let demo = site.run(Path::new(""), &shortened(line, site));
        // A line of the progress comes every ten seconds, and this demo is over before.
        let transcript: Vec<&str> = block(&readme, "text").lines().collect();
        assert!(transcript.len() <= 12, "the transcript has {} lines", transcript.len());
        let said = transcript.into_iter().filter(|line| !line.contains("slots/s | ")).collect::<Vec<_>>().join("\n");
        check_example(&said, &demo.out);
        Followed::Done
    });
}

#[test]
fn the_gateway_document_can_be_followed() {
    let mut site = Site::new();
    let (mut key, mut restore): (String, Option<Box<dyn Fn()>>) = (String::new(), None);
    follow("docs/gateway.md", &mut site, |site, line| {
        let words: Vec<&str> = line.split(' ').collect();
        match words[1] {
            "hub" => site.serve(line),
            // The first order is only placed, which asking cannot settle.
            "gateway" => site.serve(&format!("{line} --fault placed@1")),
            "arm" => {
                // As a person does it: look, then type.
                let command = shortened(line, site);
                let said = site.run(Path::new(""), &format!("sh -c '{command} || true'")).out;
                let id = said.split("Type ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
                site.run(Path::new(""), &format!("{command} --yes {id}"));
            }
            "run" => site.start(&shortened(line, site), "event=order_held"),
            "journal" => {
                site.stop("sentinel run");
                let said = site.run(Path::new(""), &format!("{line} --format json")).out;
                key = said.split("\"key\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
                restore = Some(Box::new(site.snapshot("state/local")));
            }
            "settle" => {
                let said = site.run(Path::new(""), &line.replace("KEY", &key[..12])).out;
                assert!(said.contains("is settled as"), "{said}");
                restore.as_ref().unwrap()();
            }
            _ => return Followed::Run,
        }
        Followed::Done
    });
}

#[test]
fn the_operations_document_can_be_followed_beside_a_running_node() {
    let mut site = Site::new();
    let configuration = block(&read("README.md"), "toml").replace(".csv\"\n", ".csv\"\nspeed = 50\n");
    assert!(configuration.contains("speed"));
    site.write("sentinel.toml", &configuration);
    follow("docs/operations.md", &mut site, |site, line| {
        if line == "sentinel health" {
            // The slot that `why` asks about has ended.
            site.start("sentinel run --config sentinel.toml", "slot=2017-01-20T03:00:02Z outcome=");
        }
        if line.ends_with("--accept-lost-journal") {
            site.stop("sentinel run");
            fs::remove_file(site.path().join("state/journal.db")).unwrap();
            site.start(line, "event=lost_journal_accepted");
            return Followed::Done;
        }
        Followed::Run
    });
}

#[test]
fn the_document_about_live_bars_can_be_followed() {
    let vendors = vendors();
    let mut site = Site::new();
    let source = format!("kind = \"eodhd\"\nbase_url = \"{}\"", vendors.base_url());
    let configuration = block(&read("README.md"), "toml").replace("path = \"config/demo/eurusd_1h_2017.csv\"", &source);
    let native = "symbol = \"EURUSD\"\nmade_from = \"native\"\ncalendar = \"always\"";
    site.write("sentinel.toml", &configuration.replace("symbol = \"EURUSD\"", native));
    site.write(".env", "EODHD_API_TOKEN=demo\n");
    // A node has run here.
    site.run(Path::new(""), "sentinel run --config sentinel.toml --once");
    follow("docs/market-data.md", &mut site, |site, line| {
        if line.starts_with("sentinel try") {
            site.run(Path::new(""), &tried(line, &vendors));
            return Followed::Done;
        }
        if let Some((command, file)) = line.split_once(" > ") {
            let said = site.run(Path::new(""), command).out;
            site.write(file, &said);
            return Followed::Done;
        }
        Followed::Run
    });
}

/// A vendor that has every bar of both trial symbols until now.
fn vendors() -> Vendors {
    let market =
        Market { tickers: vec!["EURUSD.FOREX".to_owned(), "BTC-USD.CC".to_owned()], ..Market::plain("", 1.1, 5) };
    let now = Arc::new(|| WallClock.now().0);
    Vendors::start(Options { market, now, key: "demo".to_owned(), plan: Arc::new(|_, _| None) }).unwrap()
}

/// The trial, on a vendor of these tests and to its first decision.
fn tried(line: &str, vendors: &Vendors) -> String {
    let once = if line.contains("--once") { "" } else { " --once" };
    format!("{line}{once} --base-url {}", vendors.base_url())
}

#[test]
fn what_why_answers_is_what_the_operations_document_shows() {
    let site = Site::new();
    site.run(Path::new(""), "sentinel demo --bars 500 --speed max");
    let said = site.run(Path::new(""), "sentinel why eurusd 2017-01-20T02:00:02Z --state state/demo").out;
    let operations = read("docs/operations.md");
    let example = operations.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    check_example(example, &said);
}

#[test]
fn the_document_about_allora_can_be_followed() {
    let mut site = Site::new();
    let case = block(&read("docs/allora.md"), "text").to_owned();
    site.write("case.json", &case);
    let words = case.split("\"mnemonic\": \"").nth(1).unwrap().split('"').next().unwrap();
    site.write("words", words);
    fs::set_permissions(site.path().join("words"), fs::Permissions::from_mode(0o600)).unwrap();
    site.write(".env", "ALLORA_MNEMONIC_FILE=words\n");
    follow("docs/allora.md", &mut site, |_, line| {
        if !line.starts_with("sentinel allora status ") {
            return Followed::Run;
        }
        // It would ask the public network; tests/allora_transport/status.rs has a chain of its own for it.
        Cli::try_parse_from(line.split_whitespace()).unwrap();
        Followed::Done
    });
}

#[test]
fn the_document_about_backtests_can_be_followed_and_shows_what_is_said() {
    let mut site = Site::new();
    let document = read("docs/backtest.md");
    follow("docs/backtest.md", &mut site, |site, line| {
        let said = site.run(Path::new(""), line).out;
        if line.ends_with("--verify") {
            check_example(block(&document, "text"), &said);
        }
        Followed::Done
    });
    assert!(site.path().join("backtest.html").is_file() && site.path().join("tables/slots.csv").is_file());
    assert!(!site.path().join("state").exists(), "a backtest has no state");
}

#[test]
fn the_other_documents_can_be_followed() {
    for document in ["CONTRIBUTING.md", "tools/export-model/README.md"] {
        let mut site = Site::new();
        site.write("tools/export-model/minutes.csv", &read("tests/data/made-hours/minutes.csv"));
        follow(document, &mut site, |_, _| Followed::Run);
    }
}

#[test]
fn every_shown_command_is_run_here_or_named_with_what_runs_it() {
    let followed = [
        "README.md",
        "CONTRIBUTING.md",
        "docs/allora.md",
        "docs/backtest.md",
        "docs/competition-end.md",
        "docs/from-the-python-daemons.md",
        "docs/gateway.md",
        "docs/market-data.md",
        "docs/operations.md",
        "docs/production-checklist.md",
        "docs/quick-start.md",
        "docs/troubleshooting.md",
        "docs/ways-to-run.md",
        "tools/export-model/README.md",
    ];
    let mut used = BTreeSet::new();
    for document in documents() {
        let name = document.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&document).unwrap();
        for kind in text.split("```").skip(1).step_by(2).map(|block| block.split('\n').next().unwrap()) {
            assert!(["sh", "text", "toml"].contains(&kind), "{name}: a block of commands is 'sh', not '{kind}'");
        }
        for line in shown(&text) {
            if is_sentinel(&line) || line.starts_with("export ") || is_installation(&line) {
                assert!(followed.contains(&name.as_str()), "{name}: nothing runs '{line}'");
                continue;
            }
            let found = ELSEWHERE.iter().position(|(command, ..)| line.starts_with(command));
            used.insert(found.unwrap_or_else(|| panic!("{name}: nothing runs '{line}'")));
        }
    }
    for (number, (command, file, sign)) in ELSEWHERE.iter().enumerate() {
        assert!(used.contains(&number), "no document shows '{command}'");
        assert!(read(file).contains(sign), "'{command}' is not run in {file}: there is no '{sign}'");
    }
}

/// A comment in a configuration or a service file shows no command that a document does not show.
#[test]
fn commands_in_comments_are_those_of_the_documents() {
    let shown: BTreeSet<String> =
        documents().iter().flat_map(|path| shown(&fs::read_to_string(path).unwrap())).collect();
    let mut found = 0;
    for file in ["config/local.toml", "deploy/docker/Dockerfile", "deploy/docker/compose.yaml"] {
        for line in read(file).lines().filter_map(|line| line.strip_prefix('#')) {
            let Some((_, line)) = line.split_once("  ") else { continue };
            let line = line.trim();
            if ["sentinel ", "docker ", "SENTINEL_"].iter().any(|word| line.starts_with(word)) {
                found += 1;
                assert!(shown.contains(line), "{file}: no document shows '{line}'");
            }
        }
    }
    assert!(found >= 5, "only {found} commands were found");
}

/// The files go where the service managers look for them; only the root differs.
#[test]
fn what_the_documents_install_is_where_they_say() {
    let site = Site::new();
    let target = site.path().join("root");
    for folder in
        ["usr/local/bin", "usr/share", "etc/sysusers.d", "etc/systemd/system", "etc/supervisor/conf.d", "var/log"]
    {
        fs::create_dir_all(target.join(folder)).unwrap();
    }
    let lines: Vec<String> =
        shown(&read("docs/operations.md")).into_iter().filter(|line| is_installation(line)).collect();
    assert!(lines.len() >= 5, "{lines:?}");
    for line in lines {
        let line = line.replace(" target/dist/sentinel ", &format!(" {} ", super::node::SENTINEL));
        let line = ["/usr/local", "/usr/share", "/etc", "/var"].iter().fold(line, |line, folder| {
            line.replace(&format!(" {folder}/"), &format!(" {}{folder}/", target.display()))
        });
        site.run(Path::new(""), &line);
    }
    for file in [
        "usr/local/bin/sentinel",
        "etc/systemd/system/sentinel.service",
        "etc/systemd/system/sentinel@.service",
        "etc/systemd/system/sentinel.service.d/limits.conf",
        "etc/supervisor/conf.d/sentinel.conf",
        "usr/share/bash-completion/completions/sentinel",
    ] {
        assert!(target.join(file).is_file(), "{file} is missing");
    }
    let unit = read("deploy/systemd/sentinel.service");
    assert!(unit.contains("ExecStart=sentinel run --config /etc/sentinel/sentinel.toml"));
    assert!(target.join("var/log/supervisor").is_dir());
}

/// No docker runs in CI, so that at least the two ways to start a container agree.
#[test]
fn docker_run_and_the_compose_file_say_the_same() {
    let commands = shown(&read("docs/operations.md"));
    let run = commands.iter().find(|line| line.starts_with("docker run ")).unwrap();
    let compose = read("deploy/docker/compose.yaml");
    for (flag, line) in [
        ("--restart on-failure", "restart: on-failure"),
        ("--stop-timeout 30", "stop_grace_period: 30s"),
        ("--read-only", "read_only: true"),
        ("--cap-drop ALL", "cap_drop: [ALL]"),
        ("--security-opt no-new-privileges", "security_opt: [\"no-new-privileges:true\"]"),
        ("--tmpfs /tmp", "tmpfs: [\"/tmp"),
        ("--memory 512m", "mem_limit: 512m"),
        ("--pids-limit 64", "pids_limit: 64"),
        ("-p 127.0.0.1:9464:9464", "ports: [\"127.0.0.1:9464:9464\"]"),
        (":/etc/sentinel:ro", ":/etc/sentinel:ro"),
        (":/var/lib/sentinel", ":/var/lib/sentinel"),
    ] {
        assert!(run.contains(flag) && compose.contains(line), "{flag} and {line} do not agree");
    }
}
