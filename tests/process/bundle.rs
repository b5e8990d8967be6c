//! Bundles of real nodes with a secret wherever one can be: none is in them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::config::Site;
use super::node::{Node, SENTINEL, program, run};

const WORDS: &str = "legal winner thank year wave sausage worth useful legal winner thank yellow";
const BOT: &str = "987654321:AAHc4n4ry-Bot-Token-0123456789abcdef";

fn secret(site: &Site, name: &str, text: &str) {
    let file = site.path().join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A site with canaries in the environment, in `.env`, and in every file that a configuration names for a secret.
fn with_canaries() -> Site {
    let site = Site::new().with_bars(230);
    secret(&site, "telegram.token", BOT);
    secret(&site, "webhook.url", "http://127.0.0.1:9/c4n4ry-url/path");
    secret(&site, "webhook.secret", "c4n4ry-hmac");
    secret(&site, "dead_man.url", "http://127.0.0.1:9/c4n4ry-ping");
    secret(&site, "http.token", "c4n4ry-http-0123456789abcdef0123456789abcdef");
    secret(&site, "words", WORDS);
    fs::write(site.path().join(".env"), "EODHD_API_TOKEN=c4n4ry-eodhd\nHUB_PASSWORD=c4n4ry-hub\n").unwrap();
    let mut site = site;
    site.text.push_str(
        "\n[[alerts.route]]\nname = \"phone\"\nkind = \"telegram\"\ntoken_file = \"telegram.token\"\nchat = \"1\"\n\
         api = \"http://127.0.0.1:9\"\n\
         [[alerts.route]]\nname = \"ops\"\nkind = \"webhook\"\nurl_file = \"webhook.url\"\nsecret_file = \"webhook.secret\"\n\
         [alerts.dead_man]\nurl_file = \"dead_man.url\"\n\
         [http]\ntoken_file = \"http.token\"\n",
    );
    site
}

/// Everything that must be in no bundle.
const CANARIES: [&str; 5] = ["c4n4ry", "sausage worth useful", "987654321:", "winner thank year", "t0ps3cret"];

fn bundle(site: &Site, to: &str) -> PathBuf {
    let config = site.args()[2].clone();
    let mut command = program(SENTINEL, site.path());
    command.args(["bundle", "--state", "state", "--config", &config, "--to", to]);
    command.env("TIINGO_API_KEY", "c4n4ry-tiingo").env("MNEMONIC", WORDS).env("ALLORA_MNEMONIC_FILE", "words");
    Node::spawn(site.path(), &mut command).end().expect(0).says(&["Bundle:", "look through it"]);
    let unpacked = site.path().join(format!("{to}-unpacked"));
    fs::create_dir(&unpacked).unwrap();
    let tar = Command::new("tar").args(["xzf", to, "-C"]).arg(&unpacked).current_dir(site.path()).status();
    assert!(tar.unwrap().success());
    unpacked.join("sentinel-bundle")
}

fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap());
    entries.map(read).collect()
}

#[track_caller]
fn assert_clean(dir: &Path) {
    for (name, bytes) in files(dir) {
        let text = String::from_utf8_lossy(&bytes);
        for canary in CANARIES {
            assert!(!text.contains(canary), "{name} has {canary}");
        }
    }
}

#[test]
fn a_bundle_has_no_secret_whatever_place_it_was_written_into() {
    let site = with_canaries();
    run(site.path(), site.args()).expect(0);
    // Somebody has pasted secrets where no secret belongs: into a row of the journal and into the log.
    let reason = format!("Ann: {BOT} and http://ann:t0ps3cret@host/?api_token=c4n4ry-eodhd and {WORDS}");
    run(site.path(), ["halt", "eurusd", "--state", "state", "--reason", &reason]).expect(0);
    let log = site.state().join("logs/sentinel.log");
    let mut text = fs::read_to_string(&log).unwrap();
    text.push_str(&format!(
        "{reason} c4n4ry-hmac c4n4ry-hub c4n4ry-tiingo c4n4ry-http-0123456789abcdef0123456789abcdef\n"
    ));
    fs::write(&log, text).unwrap();

    let dir = bundle(&site, "one.tar.gz");
    assert_clean(&dir);
    let names: Vec<String> = files(&dir).into_iter().map(|(name, _)| name).collect();
    for name in
        ["contents.json", "configuration.txt", "journal.db", "log.txt", "crashes_and_warnings.jsonl", "starts.json"]
    {
        assert!(names.iter().any(|known| known == name), "no {name}: {names:?}");
    }
    let configuration = fs::read_to_string(dir.join("configuration.txt")).unwrap();
    assert!(configuration.contains("pipeline.eurusd.symbol = EURUSD"), "{configuration}");
    let slice = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let (rows, why): (i64, String) = slice
        .query_row("SELECT (SELECT count(*) FROM slots), why FROM halts", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert!(rows > 0 && why.starts_with("Ann: ***"), "{rows}, {why}");
}

#[test]
fn a_bundle_of_no_state_is_refused_and_no_directory_of_somebody_else_is_touched() {
    let site = Site::new().with_bars(210);
    let bundle = |state: &str| run(site.path(), ["bundle", "--state", state, "--to", "one.tar.gz"]);
    bundle("nowhere").expect(78).complains(&["there is no directory nowhere", "--state"]);
    assert!(!site.path().join("one.tar.gz").exists() && !site.path().join("nowhere").exists());
    run(site.path(), site.args()).expect(0);
    let other = site.path().join("one.tar.gz.partial");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), "").unwrap();
    bundle("state").expect(0);
    assert!(other.join("mine").exists());
    let names = fs::read_dir(site.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("partial")).count(), 1, "only that of somebody else");
    bundle("state").expect(1).complains(&["is there already"]);
}

#[test]
fn a_bundle_of_a_running_node_has_its_status_and_metrics_and_is_small() {
    let site = Site::new().with("speed = \"max\"", "speed = 100");
    let mut node = site.start(&[]);
    let socket = site.state().join("sentinel.sock");
    node.wait_for("socket", |_| socket.exists());
    // A log that is far too long, and that no compression makes small.
    let mut chance = fastrand::Rng::with_seed(7);
    let noise: String = (0..12_000_000).map(|at| if at % 100 == 0 { '\n' } else { chance.alphanumeric() }).collect();
    fs::write(site.state().join("logs/sentinel.log"), noise).unwrap();
    let dir = bundle(&site, "one.tar.gz");
    let bytes = fs::metadata(site.path().join("one.tar.gz")).unwrap().len();
    assert!(bytes <= 5_000_000, "{bytes}");
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    assert!(read("metrics.txt").contains("sentinel_verdict"));
    assert!(read("status.json").contains("\"pipelines\""));
    assert!(read("log.txt").len() > 100_000);
}
