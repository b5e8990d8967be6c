//! The configurations that `sentinel config` prints: each can be started from, and the one for MetaTrader 5 names every option.

use std::collections::BTreeSet;

use sentinel::cli::config_files::{ConfigFile, list};
use sentinel::config::{Config, Env, Flags};

use super::directory;

fn read(text: &str) -> Config {
    let dir = directory();
    for name in ["eodhd.token", "hub.token", "hub.password", "hub.headers"] {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(dir.path().join(name), "x").unwrap();
        std::fs::set_permissions(dir.path().join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let env: Env = [("EODHD_API_TOKEN", "k3y"), ("TIINGO_API_KEY", "k3y")].into_iter().collect();
    let read = Config::from_str_at(text, "mt5.toml", dir.path(), &env, &Flags::default());
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

fn keys(config: &Config) -> BTreeSet<String> {
    config.settings.iter().map(|setting| setting.key.replace("pipeline.eurusd.", "")).collect()
}

#[test]
fn the_file_for_metatrader_has_the_old_daemons_defaults() {
    let config = read(ConfigFile::Mt5.text());
    let banner: Vec<String> = config.banner().collect();
    for expected in [
        "node.mode = dry_run (default)",
        "pipeline.eurusd.symbol = EURUSD",
        "pipeline.eurusd.interval = 1h",
        "pipeline.eurusd.schedule = every 1m at :58",
        "pipeline.eurusd.source.kind = eodhd",
        "pipeline.eurusd.model.port = 5001",
        "pipeline.eurusd.decision.threshold = 0.6",
        "pipeline.eurusd.venue.port = 5555",
        "pipeline.eurusd.features.window = 200",
    ] {
        assert!(banner.iter().any(|line| line == expected), "no '{expected}' in {banner:#?}");
    }
}

#[test]
fn the_files_to_begin_with_are_listed_with_what_each_is_for() {
    let list = list();
    for (name, purpose) in [
        ("mt5", "EODHD"),
        ("local", "Recorded"),
        ("forecast", "paper book"),
        ("allora", "Tiingo"),
        ("sentinel", "Every key"),
    ] {
        let line = list.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.contains(purpose)), "{name} in {list}");
    }
}

#[test]
fn the_file_for_metatrader_names_every_option_with_its_default() {
    let text = ConfigFile::Mt5.text();
    // An option is a key behind `# `; those of which one excludes the other are looked for by name.
    let is_option = |line: &str| {
        line.starts_with("# ")
            && line[2..]
                .split([' ', '='])
                .next()
                .is_some_and(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
            && line[2..].contains(" = ")
    };
    let open = |line: &str| {
        if is_option(line) || line == "# [log]" || line.starts_with("# [deadlines]") {
            line[2..].to_owned()
        } else {
            line.to_owned()
        }
    };
    let excluded = ["start", "end", "mode", "bearer_file", "user", "password_file", "token_file", "max_holding"];
    let all: Vec<String> = text
        .lines()
        .map(|line| {
            if excluded.iter().any(|key| line.starts_with(&format!("# {key} "))) { line.to_owned() } else { open(line) }
        })
        .collect();
    let all = read(&all.join("\n"));
    let mut known = keys(&read(ConfigFile::Mt5.text()));
    known.retain(|key| !key.starts_with("supervision.") && key != "node.mode");
    let written: BTreeSet<String> = all
        .settings
        .iter()
        .filter(|setting| setting.origin == sentinel::config::Origin::File)
        .map(|setting| setting.key.replace("pipeline.eurusd.", ""))
        .collect();
    let silent: Vec<_> = known.difference(&written).collect();
    assert!(silent.is_empty(), "the file leaves out {silent:?}");
    for key in excluded {
        assert!(text.contains(&format!("# {key} = ")), "the file leaves out {key}");
    }
    // What is commented out is the default, so taking the marks away changes nothing but the headers file.
    let (mut without, mut with) = (read(text).pipelines.remove(0), all.pipelines[0].clone());
    without.model.clone_from(&with.model);
    with.source.clone_from(&without.source);
    assert_eq!(without, with);
}

#[test]
fn the_file_for_allora_is_the_old_daemons_competition_on_the_chains_own_windows() {
    let text = ConfigFile::Allora.text();
    let config = read(text);
    let banner: Vec<String> = config.banner().collect();
    for expected in [
        "node.mode = dry_run (default)",
        "allora.network = testnet",
        "pipeline.btcusd.schedule = on worker window",
        "pipeline.btcusd.source.kind = tiingo",
        "pipeline.btcusd.features.set = btc9",
        "pipeline.btcusd.forecast.horizon = 168h",
        "pipeline.btcusd.venue.topic = 67",
    ] {
        assert!(banner.iter().any(|line| line == expected), "no '{expected}' in {banner:#?}");
    }
    // Its dates are examples: they are over, and would keep a newcomer's node from forecasting.
    assert_eq!((config.pipelines[0].window.start, config.pipelines[0].window.end), (None, None));
    let dated = read(&text.replace("# start = ", "start = ").replace("# end = ", "end = ")).pipelines.remove(0);
    let shown = [dated.window.start, dated.window.end].map(|time| time.unwrap().to_string());
    assert_eq!(shown, ["2025-09-16T13:00:00Z", "2025-12-15T13:00:00Z"]);
    // What is commented out and is not an example is the default.
    let open = [
        "max_fee",
        "max_fee_per_day",
        "max_registration",
        "margin_blocks",
        "requests_per_hour",
        "requests_per_day",
        "ticker",
        "rpc",
    ];
    let opened =
        open.iter().fold(text.to_owned(), |text, key| text.replace(&format!("# {key} = "), &format!("{key} = ")));
    let (mut with, mut without) = (read(&opened), read(text));
    assert_eq!(with.allora, without.allora);
    let (mut with, without) = (with.pipelines.remove(0), without.pipelines.remove(0));
    with.source.clone_from(&without.source);
    assert_eq!(with, without);
}
