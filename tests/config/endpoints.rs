//! Model servers and gateways: what a configuration may ask of them, and what `--live` may reach.

use sentinel::config::{GatewayConfig, HubAccess, HubConfig, HubPayload, VenueConfig};
use sentinel_actors::domain::evidence::Grade;
use sentinel_actors::domain::intent::Mode;

use super::*;

pub const MT5: &str = include_str!("../../config/local.toml");

fn mt5(old: &str, new: &str) -> String {
    assert!(MT5.contains(old), "local.toml has no {old:?}");
    MT5.replacen(old, new, 1)
}

fn read_live(text: &str, flags: Flags) -> Result<Config, ConfigErrors> {
    read_with(text, directory().path(), &Env::default(), &Flags { live: true, ..flags })
}

fn gateway(config: &Config) -> GatewayConfig {
    match &config.pipelines[0].order().unwrap().venue {
        VenueConfig::Gateway(gateway) => gateway.clone(),
        VenueConfig::Paper => panic!("no gateway"),
    }
}

fn hub(config: &Config) -> HubConfig {
    match &config.pipelines[0].model {
        ModelConfig::Hub(hub) => hub.clone(),
        ModelConfig::Onnx { .. } => panic!("no hub"),
    }
}

#[test]
fn the_example_of_a_gateway_states_the_defaults_of_its_two_sections() {
    let config = read(MT5).unwrap();
    let (kept, dropped) = (
        ["account = ", "account_mode", "magic", "kind = \"mlflow\"", "kind = \"gateway\""],
        ["host", "port", "payload", "tls", "dialect", "least_evidence"],
    );
    let short: Vec<&str> = MT5.lines().filter(|line| !dropped.iter().any(|key| line.starts_with(key))).collect();
    assert!(kept.iter().all(|key| short.iter().any(|line| line.contains(key))));
    let short = read(&short.join("\n")).unwrap();
    assert_eq!((hub(&short), gateway(&short)), (hub(&config), gateway(&config)));
    assert_eq!(config.node.mode, Mode::DryRun, "a file alone never makes a node live");
}

#[test]
fn a_netting_account_without_stops_is_counted_and_nothing_else_is() {
    assert!(gateway(&read(MT5).unwrap()).derives_positions);
    let risk = "\n[pipeline.risk]\nmax_open_positions = ";
    check_refused(&format!("{MT5}{risk}2\n"), "one position per symbol");
    read(&format!("{MT5}{risk}\"none\"\n")).unwrap();
    let with_stop = mt5("stop_distance = \"none\"", "stop_distance = \"0.0050\"")
        .replace("on_opposite = \"reverse\"", "on_opposite = \"ignore\"")
        + "\n[pipeline.risk]\nmax_open_positions = \"none\"\n";
    assert!(!gateway(&read(&with_stop).unwrap()).derives_positions);
    let hedging = with_stop.replace("\"netting\" #", "\"hedging\" #");
    assert!(!gateway(&read(&hedging).unwrap()).derives_positions);
}

/// The gateway may list a position of one under the name of the other.
#[test]
fn two_names_of_one_symbol_do_not_share_an_account() {
    let one = mt5("dialect = \"order-send\"", "dialect = \"command\"");
    let pipeline = &one[one.find("[[pipeline]]").unwrap()..];
    let name = pipeline.lines().find(|line| line.starts_with("name = ")).unwrap();
    let second = pipeline.replacen(name, "name = \"second\"", 1);
    for suffixed in ["EURUSD.m", "EURUSDm"] {
        let second = second.replace("symbol = \"EURUSD\"", &format!("symbol = \"{suffixed}\""));
        check_refused(&format!("{one}\n{second}"), "cannot tell their positions apart");
    }
}

#[test]
fn the_size_of_a_position_and_the_hours_of_new_exposure_are_limits_too() {
    let limits = |limits: &str| format!("{MT5}\n[pipeline.risk]\n{limits}\n");
    let read = read(&limits("max_position_lots = \"0.30\"\nhours = \"Europe/London; Mon 08:00-Fri 20:00\"")).unwrap();
    let risk = &read.pipelines[0].order().unwrap().risk;
    assert_eq!(risk.max_position_lots, Some("0.30".parse().unwrap()));
    let [sunday, monday] = ["2026-07-05T12:00:00Z", "2026-07-06T12:00:00Z"].map(|time| time.parse().unwrap());
    assert!(!risk.hours.is_open(sunday) && risk.hours.is_open(monday));
    check_refused(&limits("hours = \"by day\""), "risk.hours: ");
    check_refused(&limits("max_position_lots = 0"), "risk.max_position_lots: ");
    let untracked = mt5("stop_distance = \"none\"", "stop_distance = \"0.0050\"");
    let untracked = untracked.replace("on_opposite = \"reverse\"", "on_opposite = \"ignore\"");
    let sized = "\n[pipeline.risk]\nmax_open_positions = \"none\"\nmax_position_lots = \"0.30\"\n";
    check_refused(&(untracked + sized), "it needs risk.max_position_lots = \"none\"");
}

#[test]
fn what_the_dialect_cannot_say_is_a_configuration_error_and_never_silence() {
    let hedging = mt5("\"netting\" #", "\"hedging\" #");
    for key in ["on_opposite = \"ignore\"", "max_open_positions = \"none\"", "nothing ever ends one"] {
        check_refused(&hedging, key);
    }
    let with_stop = mt5("stop_distance = \"none\"", "stop_distance = \"0.0050\"");
    check_refused(&with_stop, "cannot say when the broker's stop or target ended a position");
    check_refused(
        &(with_stop.clone() + "\n[pipeline.risk]\nmax_open_positions = 1\n"),
        "max_open_positions = \"none\"",
    );
    check_refused(
        &with_stop.replace(
            "
on_opposite",
            "
max_holding = \"4h\"
on_opposite",
        ),
        "max_holding cannot be kept",
    );
}

/// The example in another dialect.
fn speaking(dialect: &str, text: &str) -> String {
    text.replacen("dialect = \"order-send\"", &format!("dialect = \"{dialect}\""), 1)
}

#[test]
fn a_dialect_that_reports_positions_may_leave_stops_and_hedge() {
    let command = speaking("command", MT5);
    assert!(!gateway(&read(&command).unwrap()).derives_positions);
    read(&command.replacen("stop_distance = \"none\"", "stop_distance = \"0.0050\"", 1)).unwrap();
    let hedging = command.replace("\"netting\" #", "\"hedging\" #");
    read(&(hedging + "\n[pipeline.risk]\nmax_open_positions = 3\n")).unwrap();
    let both = two_of_them().replace("dialect = \"order-send\"", "dialect = \"command\"");
    check_refused(&both, "command cannot tell their positions apart");
}

#[test]
fn sentinel_reports_positions_tells_the_account_and_sees_spreads() {
    let sentinel = speaking("sentinel", MT5);
    assert!(!gateway(&read(&sentinel).unwrap()).derives_positions);
    let hedging = sentinel.replace("\"netting\" #", "\"hedging\" #");
    let limited =
        hedging + "\n[pipeline.risk]\nmax_open_positions = 3\nmax_daily_loss = \"200\"\nmax_spread = \"0.00020\"\n";
    let limited = read(&limited).unwrap();
    assert_eq!((gateway(&limited).is_hedging, gateway(&limited).max_spread), (true, Some("0.00020".parse().unwrap())));
}

#[test]
fn curve_is_never_offered_and_the_message_names_the_way_out() {
    let curve = mt5("magic = 2017", "curve = \"client.key\"\nmagic = 2017");
    check_refused(&curve, "has been built without CURVE");
    check_refused(&curve, "through SSH or WireGuard");
}

#[test]
fn a_stop_that_an_advisor_would_ignore_is_refused_with_the_way_out() {
    let advisor = speaking("expert-advisor", MT5);
    assert!(gateway(&read(&advisor).unwrap()).derives_positions);
    for exit in ["stop_distance", "target_distance"] {
        let text = advisor.replacen(&format!("{exit} = \"none\""), &format!("{exit} = \"0.0050\""), 1);
        check_refused(&text, "expert-advisor ignores a stop and a target");
        check_refused(&text, "write stop_distance = \"none\" and target_distance = \"none\"");
    }
    check_refused(&advisor.replace("\"netting\" #", "\"hedging\" #"), "nothing ever ends one");
}

#[test]
fn evidence_that_a_dialect_cannot_give_is_refused() {
    let wanting = |dialect: &str, grade: &str| {
        speaking(dialect, &mt5("least_evidence = \"id\"", &format!("least_evidence = \"{grade}\"")))
    };
    assert_eq!(gateway(&read(MT5).unwrap()).least_evidence, Grade::Id);
    assert_eq!(gateway(&read(&wanting("command", "position delta")).unwrap()).least_evidence, Grade::PositionDelta);
    for dialect in ["order-send", "command", "expert-advisor"] {
        read(&wanting(dialect, "id")).unwrap();
        check_refused(
            &wanting(dialect, "magic and comment"),
            "never finds an order by the evidence 'magic and comment'",
        );
    }
    for dialect in ["order-send", "expert-advisor"] {
        check_refused(&wanting(dialect, "position delta"), "leave the key out");
    }
}

#[test]
fn a_symbol_that_an_advisor_would_take_for_a_command_is_refused() {
    for symbol in ["TRADEX", "Fraction", "magic7"] {
        let named = mt5("symbol = \"EURUSD\"", &format!("symbol = \"{symbol}\""));
        check_refused(&speaking("expert-advisor", &named), "for a command wherever it stands");
        read(&speaking("command", &named)).unwrap();
    }
}

#[test]
fn volumes_that_the_dialect_cannot_write_are_refused() {
    for volume in ["0.001", "0.125", "100.01"] {
        check_refused(&mt5("volume_lots = \"0.10\"", &format!("volume_lots = \"{volume}\"")), "two decimals");
    }
}

/// The example with its pipeline twice, the second one under another name and on a paper account of its own.
pub fn two_of_them() -> String {
    let second = MT5.split_once("[[pipeline]]").unwrap().1.replace("name = \"eurusd\"", "name = \"second\"");
    format!("{MT5}\n[[pipeline]]\n{second}\n[pipeline.paper]\naccount = \"second\"\n")
}

#[test]
fn two_pipelines_cannot_count_on_one_account_and_symbol() {
    let both = two_of_them();
    check_refused(&both, "'second' trades EURUSD on the account mt5-demo as 'eurusd' does");
    let renamed = both.replacen("account = \"mt5-demo\"", "account = \"other\"", 1);
    check_refused(&renamed, "one gateway trades one account");
    check_refused(
        &renamed.replacen("host = \"127.0.0.1\"       # the flag --gtw", "host = \"localhost\" # ", 1),
        "one gateway",
    );
    read(&renamed.replacen("port = 5555", "port = 5556", 1)).unwrap();
}

#[test]
fn eurusd_in_small_letters_on_the_same_account_is_the_same_position() {
    let both = two_of_them().replacen("symbol = \"EURUSD\"", "symbol = \"eurusd\"", 1);
    check_refused(&both, "'second' trades EURUSD on the account mt5-demo as 'eurusd' does");
    read_live(&both, Flags::default()).unwrap_err();
    // Another symbol is another position.
    read(&both.replacen("symbol = \"eurusd\"", "symbol = \"GBPUSD\"", 1)).unwrap();
}

#[test]
fn one_gateway_is_recognised_in_each_spelling_of_its_host() {
    let renamed = two_of_them().replacen("account = \"mt5-demo\"", "account = \"other\"", 1);
    let spelled = |one: &str, other: &str| {
        let host = "host = \"127.0.0.1\"       # the flag --gtw";
        renamed.replacen(host, &format!("host = \"{one}\" #"), 1).replacen(host, &format!("host = \"{other}\" #"), 1)
    };
    for (one, other) in [
        ("LocalHost", "127.0.0.1"),
        ("gateway.example", "Gateway.Example."),
        ("10.0.0.7", "::ffff:10.0.0.7"),
        ("fd00::7", "fd00:0:0::0007"),
    ] {
        check_refused(&spelled(one, other), "one gateway trades one account");
    }
    read(&spelled("gateway.example", "other.example")).unwrap();
}

#[test]
fn two_dry_runs_of_one_symbol_on_one_paper_account_are_refused() {
    let second = MINIMAL.replace("name = \"eurusd\"", "name = \"second\"");
    let refusal = "'second' trades EURUSD on the paper account paper as 'eurusd' does, and each would trade the other's positions; \
                   give one of them an account of its own: [pipeline.paper] account = \"second\"";
    check_refused(&format!("{MINIMAL}{second}"), refusal);
    check_refused(&format!("{MINIMAL}{}", second.replace("EURUSD", "eurusd")), "on the paper account paper as");
    read(&format!("{MINIMAL}{second}\n[pipeline.paper]\naccount = \"second\"\n")).unwrap();
    read(&format!("{MINIMAL}{}", second.replace("EURUSD", "GBPUSD"))).unwrap();
    // A live node has no paper book.
    let live =
        two_of_them().replacen("port = 5555", "port = 5556", 1).replace("account = \"second\"", "account = \"paper\"");
    let live = live.replacen("account = \"mt5-demo\"", "account = \"other\"", 1);
    check_refused(&live, "on the paper account paper as");
    read_live(&live, Flags::default()).unwrap();
}

#[test]
fn live_is_said_at_the_start_and_what_leaves_this_machine_in_plain_text_is_said() {
    check_refused(&mt5("[node]", "[node]\nmode = \"live\""), "with the flag --live, and never by a file alone");
    for host in ["127.0.0.1", "127.8.8.8", "::1", "localhost"] {
        let flags = Flags { gtw_host: Some(host.to_owned()), ..Flags::default() };
        let config = read_live(MT5, flags).unwrap();
        assert_eq!((config.node.mode, config.plain_beyond()), (Mode::Live, None));
    }
    for host in ["10.0.0.7", "broker.example", "0.0.0.0", "localhost.example"] {
        let gateway = Flags { gtw_host: Some(host.to_owned()), ..Flags::default() };
        let hub = Flags { hub_host: Some(host.to_owned()), ..Flags::default() };
        for (what, flags) in [("gateway", gateway), ("hub", hub)] {
            let said = read_live(MT5, flags.clone()).unwrap().plain_beyond().unwrap();
            assert!(said.contains(&format!("{what} {host}:")) && said.contains("WireGuard or SSH"), "{said}");
            let dry = read_with(MT5, directory().path(), &Env::default(), &flags).unwrap();
            assert_eq!(dry.plain_beyond(), None, "no order of a dry run leaves");
        }
    }
    let flags = Flags { hub_host: Some("hub.example".to_owned()), ..Flags::default() };
    let by_https = MT5.replace("tls = false", "tls = true");
    assert_eq!(read_live(&by_https, flags).unwrap().plain_beyond(), None);
    let message = read_live(&mt5("replay = true", "replay = false"), Flags::default()).unwrap_err().to_string();
    assert!(message.contains("recorded bars would trade on this gateway"), "{message}");
    let message = read_live(MINIMAL, Flags::default()).unwrap_err().to_string();
    assert!(message.contains("'paper' cannot be live"), "{message}");
}

#[test]
fn flags_replace_keys_of_every_pipeline_and_useless_ones_are_refused() {
    let flags = Flags {
        hub_host: Some("hub.example".to_owned()),
        hub_port: Some(7001),
        gtw_port: Some(7555),
        symbol: Some("GBPUSD".to_owned()),
        threshold: Some(0.75),
        ..Flags::default()
    };
    let config = read_with(MT5, directory().path(), &Env::default(), &flags).unwrap();
    assert_eq!((hub(&config).host.as_str(), hub(&config).port, gateway(&config).port), ("hub.example", 7001, 7555));
    assert_eq!(
        (config.pipelines[0].symbol.as_str(), config.pipelines[0].order().unwrap().policy.threshold),
        ("GBPUSD", 0.75)
    );
    assert!(config.banner().any(|line| line == "pipeline.eurusd.model.port = 7001 (--hub-port)"));

    let message = read_with(MINIMAL, directory().path(), &Env::default(), &flags).unwrap_err().to_string();
    for flag in ["--hub-host", "--hub-port", "--gtw-port"] {
        assert!(message.contains(&format!("{flag}: ")), "{message}");
    }
    let wrong = Flags { threshold: Some(1.5), ..Flags::default() };
    let message = read_with(MT5, directory().path(), &Env::default(), &wrong).unwrap_err().to_string();
    assert!(message.contains("--threshold: pipeline.eurusd.decision.threshold: 1.5 is out of range"), "{message}");
}

#[test]
fn a_symbol_for_two_pipelines_at_once_is_refused() {
    let second = MINIMAL.replace("name = \"eurusd\"", "name = \"second\"");
    let flags = Flags { symbol: Some("GBPUSD".to_owned()), ..Flags::default() };
    let both = format!("{MINIMAL}{second}");
    let message = read_with(&both, directory().path(), &Env::default(), &flags).unwrap_err().to_string();
    assert!(message.contains("--symbol is for a configuration with one pipeline"), "{message}");
}

#[test]
fn access_to_a_hub_is_a_token_or_a_name_and_password_from_files() {
    let dir = directory();
    for name in ["hub.token", "hub.password"] {
        std::fs::write(dir.path().join(name), "secret").unwrap();
    }
    let read = |text: &str| read_with(text, dir.path(), &Env::default(), &Flags::default());
    let bearer = mt5("# bearer_file", "bearer_file");
    assert_eq!(hub(&read(&bearer).unwrap()).access, HubAccess::Bearer(dir.path().join("hub.token")));
    let basic = mt5("# user", "user").replace("# password_file", "password_file");
    let access = HubAccess::Basic { user: "sentinel".to_owned(), password: dir.path().join("hub.password") };
    assert_eq!(hub(&read(&basic).unwrap()).access, access);
    for wrong in [basic.replace("# bearer_file", "bearer_file"), mt5("# user", "user")] {
        let message = read(&wrong).unwrap_err().to_string();
        assert!(message.contains("user and password_file together"), "{message}");
    }
    check_refused(&bearer.replace("hub.token", "gone.token"), "there is no file");
    std::fs::write(dir.path().join("hub.headers"), "x-tenant: fx").unwrap();
    let headers = bearer.replace("# headers_file", "headers_file");
    assert_eq!(hub(&read(&headers).unwrap()).headers, Some(dir.path().join("hub.headers")));
    assert_eq!(hub(&read(&bearer).unwrap()).headers, None);
    check_refused(&headers.replace("hub.headers", "gone.headers"), "there is no file");
}

#[test]
fn a_payload_that_does_not_go_with_the_sequence_is_refused() {
    let text = |name: &str, sequence: bool| {
        mt5("payload = \"columns\"", &format!("payload = \"{name}\""))
            .replace("sequence = false", &format!("sequence = {sequence}"))
    };
    for (name, payload, without, with) in [
        ("columns", HubPayload::Columns, None, None),
        ("records", HubPayload::Records, None, Some("sends no sequence: set features.sequence = false")),
        ("tensor", HubPayload::Tensor, None, Some("sends no sequence: set features.sequence = false")),
        ("two_blocks", HubPayload::TwoBlocks, Some("needs features.sequence = true"), None),
        ("two_blocks_nested", HubPayload::TwoBlocksNested, Some("needs features.sequence = true"), None),
        ("two_tensors", HubPayload::TwoTensors, Some("needs features.sequence = true"), None),
    ] {
        for (sequence, problem) in [(false, without), (true, with)] {
            match problem {
                Some(problem) => check_refused(&text(name, sequence), problem),
                None => assert_eq!(hub(&read(&text(name, sequence)).unwrap()).payload, payload, "{name}"),
            }
        }
    }
    check_refused(&text("instances", false), "two_tensors");
}
