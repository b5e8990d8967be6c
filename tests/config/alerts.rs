//! `[alerts]`: every mistake is said at once, and no secret is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use sentinel::config::{AlertsConfig, Env, Flags, KeyPlace, RouteKind};

use super::{MINIMAL, check_refused, directory, read, read_with};

/// Of the annotated example, sorted.
pub const EXAMPLE_KEYS: [&str; 11] = [
    "dead_man.every",
    "dead_man.url_file",
    "route.ops.kind",
    "route.ops.name",
    "route.ops.secret_file",
    "route.ops.url_file",
    "route.phone.api",
    "route.phone.chat",
    "route.phone.kind",
    "route.phone.name",
    "route.phone.token_file",
];

pub fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What the annotated example has in its comments.
pub fn check_example(alerts: &AlertsConfig) {
    assert_eq!(alerts.routes.len(), 2);
    let RouteKind::Telegram { api, .. } = &alerts.routes[0].kind else { panic!("{alerts:?}") };
    assert_eq!(api, "https://api.telegram.org");
    assert!(matches!(&alerts.routes[1].kind, RouteKind::Webhook { secret: Some(_), .. }));
    assert_eq!(alerts.dead_man.as_ref().unwrap().every, Duration::from_secs(300));
}

fn with(alerts: &str) -> String {
    format!("{MINIMAL}\n{alerts}")
}

#[test]
fn every_mistake_of_the_alerts_is_reported_at_once() {
    let text = with(
        "[[alerts.route]]\nname = \"a\"\nkind = \"telegram\"\ntoken_file = \"telegram.token\"\nchat = \"me\"\n\
         [[alerts.route]]\nname = \"a\"\nkind = \"webhook\"\n\
         [[alerts.route]]\nname = \"dead-man\"\nkind = \"web\"\n\
         [alerts.dead_man]\nevery = \"1s\"\nurl = \"https://c4n4ry.example\"\n",
    );
    for expected in [
        "alerts.route.a.chat: 'me' names no chat",
        "alerts.route.a.name: 'a' is the name of the route in line",
        "alerts.route.a.url_file: is missing: name a file with the secret, or set SENTINEL_ALERT_A_URL",
        "alerts.route.dead-man.name: 'dead-man' names the check",
        "alerts.route.dead-man.kind: 'web' is not known; allowed: \"webhook\", \"telegram\"",
        "alerts.dead_man.every: 1s is out of range",
        "alerts.dead_man.url_file: is missing",
        "alerts.dead_man.url: unknown key",
    ] {
        check_refused(&text, expected);
    }
    check_refused(&with("[alerts]\nroute = 3\n"), "alerts.route: is the number 3, not a list; write [[alerts.route]]");
}

#[test]
fn a_secret_is_found_in_the_environment_and_its_text_goes_nowhere() {
    let text = with("[[alerts.route]]\nname = \"my-phone\"\nkind = \"telegram\"\nchat = \"@channel\"\n");
    let env: Env = [("SENTINEL_ALERT_MY_PHONE_TOKEN", "c4n4ry")].into_iter().collect();
    let dir = directory();
    let config = read_with(&text, dir.path(), &env, &Flags::default()).unwrap();
    let RouteKind::Telegram { token: Some(KeyPlace::Environment(_)), .. } = &config.alerts.routes[0].kind else {
        panic!("{:?}", config.alerts)
    };
    let shown = format!("{config:?} {}", config.banner().collect::<String>());
    assert!(!shown.contains("c4n4ry"), "{shown}");
    let other: Env = [("SENTINEL_ALERT_MY_PHONE_TOKEN", "other")].into_iter().collect();
    assert_eq!(config.digest(), read_with(&text, dir.path(), &other, &Flags::default()).unwrap().digest());
}

#[test]
fn a_file_that_others_can_read_is_no_place_for_a_secret() {
    let dir = directory();
    std::fs::set_permissions(dir.path().join("webhook.url"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = with("[[alerts.route]]\nname = \"ops\"\nkind = \"webhook\"\nurl_file = \"webhook.url\"\n");
    let error = read_with(&text, dir.path(), &Env::default(), &Flags::default()).unwrap_err().to_string();
    assert!(
        error.contains("alerts.route.ops.url_file") && error.contains("can be read by others: chmod 600"),
        "{error}"
    );
}

#[test]
fn a_command_that_starts_nothing_needs_no_secret() {
    let text = with("[[alerts.route]]\nname = \"ops\"\nkind = \"webhook\"\n[alerts.dead_man]\n");
    let flags = Flags { reads_only: true, ..Flags::default() };
    let config = read_with(&text, directory().path(), &Env::default(), &flags).unwrap();
    assert_eq!((config.alerts.routes.len(), config.alerts.dead_man.is_some()), (1, true));
    assert!(read(&text).is_err());
}
