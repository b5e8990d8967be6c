//! The guides are true: what they show is what a node does, and a newcomer can follow them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::commands::{Followed, block, check_example, follow, is_installation, shown};
use super::node::SENTINEL;
use super::site::Site;
use super::{quoted, read, rows, section, sources};

/// The configuration of the quick start, in the newcomer's directory: with `changes`, each of which it must have room for.
fn quick_start(changes: &[(&str, &str)]) -> String {
    let text = block(&read("docs/quick-start.md"), "toml").to_owned();
    let own =
        [("/var/lib/sentinel", "state"), ("127.0.0.1:9464", "127.0.0.1:0"), ("path = \"", "path = \"config/demo/")];
    own.iter().chain(changes).fold(text, |text, (old, new)| {
        assert!(text.contains(old), "the quick start's configuration has no {old}");
        text.replace(old, new)
    })
}

/// From the build to the service manager; the rest needs a machine of its own, and `.ci/guides.sh` does all of it there.
#[test]
fn the_quick_start_leads_to_a_node_whose_state_can_be_looked_at() {
    let mut site = Site::new();
    let root = site.path().to_str().unwrap().to_owned();
    let here = |text: &str| {
        let text =
            text.replace(" target/dist/sentinel ", &format!(" {SENTINEL} ")).replace(" -o sentinel -g sentinel", "");
        let places = [" /usr/local/", " /etc/", " /var/", "\"/var/"].map(|place| place.split_at(1));
        places.iter().fold(text, |text, (before, place)| {
            text.replace(&format!("{before}{place}"), &format!("{before}{root}{place}"))
        })
    };
    for folder in ["usr/local/bin", "etc/supervisor/conf.d", "var/lib"] {
        fs::create_dir_all(site.path().join(folder)).unwrap();
    }
    let guide = read("docs/quick-start.md");
    let configuration = here(&block(&guide, "toml").replace("127.0.0.1:9464", "127.0.0.1:0"));
    let mut looked = 0;
    for line in shown(&guide) {
        if line.starts_with("sentinel check ") {
            site.write("etc/sentinel/sentinel.toml", &configuration);
        } else if line.starts_with("supervisorctl update") {
            let service = read("deploy/supervisord/sentinel.conf");
            let command = service.lines().find_map(|line| line.strip_prefix("command=/usr/local/bin/")).unwrap();
            site.start(&here(command), "outcome=no_action");
        } else if !line.starts_with("sentinel ") && !is_installation(&line) {
            continue;
        }
        if line.starts_with("sentinel ") || is_installation(&line) {
            looked += 1;
            site.run(Path::new(""), &here(&line));
        }
    }
    assert!(looked >= 8, "only {looked} commands were run");
    let status = site.run(Path::new(""), &here("sentinel status --state /var/lib/sentinel")).out;
    assert!(status.starts_with("running: ") && status.contains("\nverdict  working\n"), "{status}");
}

#[test]
fn a_healthy_day_has_the_lines_that_the_guide_shows_and_no_others() {
    let mut site = Site::new();
    let often = "name = \"quick-start\"\nheartbeat = \"2s\"";
    site.write("sentinel.toml", &quick_start(&[("name = \"quick-start\"", often), ("speed = 10 ", "speed = 100 ")]));
    let command = "sentinel run --config sentinel.toml";
    site.start(command, "reason=market_closed");
    site.wait_for(command, "event=heartbeat ");
    let said = site.stop(command).err;
    let guide = read("docs/log-lines.md");
    let examples: Vec<&str> = guide.split("```text\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(examples.len() >= 5, "{examples:?}");
    for example in examples {
        check_example(example, &said);
    }
    let events: BTreeSet<&str> = said
        .lines()
        .filter(|line| line.contains(" level=INFO "))
        .filter_map(|line| line.split(" event=").nth(1)?.split(' ').next())
        .collect();
    let (all, others) = section(&guide, "All events of such a day").split_once("A node with other jobs").unwrap();
    let all_rows = rows(all);
    let listed: BTreeSet<&str> = all_rows.iter().flat_map(|cells| quoted(cells[0])).collect();
    assert_eq!(events, listed, "docs/log-lines.md lists other events than a node logs");
    let events = read("docs/events.md");
    for event in rows(others).iter().flat_map(|cells| quoted(cells[0])) {
        assert!(events.contains(&format!("\n| `{event}` | `info`")), "{event} is no event that needs nobody");
    }
}

#[test]
fn a_competition_ends_as_the_guide_says_and_nothing_begins_it_again() {
    let mut site = Site::new();
    let end = "symbol = \"EURUSD\"\nend = \"2017-01-20T00:00:00Z\"";
    site.write("sentinel.toml", &quick_start(&[("symbol = \"EURUSD\"", end), ("speed = 10 ", "speed = \"max\" ")]));
    let guide = read("docs/competition-end.md");
    let example = guide.split("```text\n").nth(2).unwrap().split("```").next().unwrap();
    for _ in 0..2 {
        // A node that is started again by mistake ends again.
        let said = site.run(Path::new(""), "sentinel run --config sentinel.toml").err;
        check_example(example, &said);
    }
    let status = site.run(Path::new(""), "sentinel status").out;
    assert!(status.starts_with("stopped: it ended with 0 at "), "{status}");
    follow("docs/competition-end.md", &mut site, |_, _| Followed::Run);
}

#[test]
fn the_guides_for_a_running_node_can_be_followed_beside_one() {
    for document in ["docs/production-checklist.md", "docs/troubleshooting.md"] {
        let mut site = Site::new();
        site.write("sentinel.toml", &quick_start(&[("speed = 10 ", "speed = 50 ")]));
        // The slot that `why` asks about has ended.
        site.start("sentinel run --config sentinel.toml", "slot=2017-01-20T03:00:02Z outcome=");
        follow(document, &mut site, |_, _| Followed::Run);
    }
    let mut site = Site::new();
    site.write("sentinel.toml", &quick_start(&[("speed = 10 ", "speed = \"max\" ")]));
    follow("docs/ways-to-run.md", &mut site, |_, _| Followed::Run);
}

#[test]
fn who_comes_from_a_python_daemon_gets_a_file_that_can_be_used() {
    let mut site = Site::new();
    site.write(".env", "EODHD_API_TOKEN=demo\n");
    follow("docs/from-the-python-daemons.md", &mut site, |_, _| Followed::Run);
    assert!(fs::read_to_string(site.path().join("allora.toml")).unwrap().contains("topic = 67"));
}

/// More than this makes a front page slow.
const PICTURE_BYTES_MAX: usize = 150_000;

/// `SENTINEL_BLESS=1 cargo test --test page readme` takes it, with Chromium.
#[test]
fn the_readme_shows_a_picture_of_the_page_that_is_small_enough() {
    let readme = read("README.md");
    let (_, link) = readme.split_once("](docs/page.png)").expect("the README links no docs/page.png");
    assert!(!link.contains("](docs/page.png)"), "the picture is shown twice");
    let picture = fs::read(super::root().join("docs/page.png")).unwrap();
    assert!(picture.len() <= PICTURE_BYTES_MAX, "it has {} bytes", picture.len());
    let is_png = picture.starts_with(b"\x89PNG\r\n\x1a\n") && &picture[12..16] == b"IHDR";
    assert!(is_png && picture.ends_with(b"IEND\xaeB`\x82"), "it is no whole PNG");
    let size = [16, 20].map(|at| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap()));
    assert_eq!(size, [1280, 800], "it is not as wide and high as the test takes it");
}

/// The words of the documents and files that are themselves compared with the code.
fn known_words() -> BTreeSet<String> {
    let files = ["config/sentinel.toml", "config/allora.toml", "config/mt5.toml", "docs/events.md", "docs/reasons.md"];
    let text: String = files.iter().map(read).collect();
    text.split(|c: char| !c.is_ascii_lowercase() && c != '_').map(str::to_owned).collect()
}

#[test]
fn the_table_for_users_of_the_python_daemons_names_only_what_there_is() {
    let guide = read("docs/from-the-python-daemons.md");
    let known = known_words();
    let is_word = |text: &str| {
        text.len() > 1 && !text.ends_with('_') && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    let mut found = 0;
    for part in guide.split("\n\n").filter(|part| part.starts_with('|')) {
        let table = rows(part);
        for word in table.iter().flat_map(|cells| quoted(cells.last().unwrap())).filter(|word| is_word(word)) {
            found += 1;
            assert!(known.contains(word), "'{word}' is no key, event, reason or fact");
        }
    }
    assert!(found >= 50, "only {found} names were found");
}

#[test]
fn keys_of_the_python_daemons_are_read_or_not_as_their_table_says() {
    let guide = read("docs/from-the-python-daemons.md");
    let code = sources(&["src"]);
    let (mut taken, mut left) = (0, 0);
    for cells in rows(section(&guide, "Environment and .env")) {
        let is_read = !cells[2].starts_with("Not read");
        for key in quoted(cells[0]) {
            assert_eq!(code.contains(&format!("\"{key}\"")), is_read, "{key}");
            *if is_read { &mut taken } else { &mut left } += 1;
        }
    }
    assert!(taken >= 4 && left >= 5, "{taken} keys are read and {left} are not");
    let help = sources(&["src/cli"]);
    for flag in ["hub_host", "hub_port", "gtw_host", "gtw_port", "symbol", "threshold", "dry_run", "live", "listen"] {
        assert!(guide.contains(&format!("`--{}", flag.replace('_', "-"))), "the table lacks {flag}");
        assert!(help.contains(&format!("pub {flag}: ")), "{flag} is no flag any more");
    }
}
