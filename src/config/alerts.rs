//! `[alerts]`: who is told when something needs a person. Addresses and tokens are secrets and stand elsewhere: in files of their
//! own, in the environment, or in credentials of systemd.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::problem::Location;
use super::reader::{Reading, Section, WhenAbsent, describe};
use super::source::{KeyPlace, secret};
use super::values::is_name;

/// Between two pings: a service that is to notice silence soon, and not for nothing.
const EVERY: RangeInclusive<Duration> = Duration::from_secs(60)..=Duration::from_secs(3600);
/// A route that is told a thing costs a connection.
const ROUTES_MAX: usize = 8;
/// Names the check in commands, so that no route may be called so.
pub const DEAD_MAN: &str = "dead-man";

/// Who is told, and which service notices silence. The default tells nobody.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AlertsConfig {
    /// Names are unique.
    pub routes: Vec<RouteConfig>,
    pub dead_man: Option<DeadManConfig>,
}

/// `[[alerts.route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteConfig {
    pub name: String,
    pub kind: RouteKind,
}

/// Where a secret is `None`, the command that reads the configuration starts nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum RouteKind {
    Webhook { url: Option<KeyPlace>, secret: Option<KeyPlace> },
    Telegram { token: Option<KeyPlace>, chat: String, api: String },
}

/// `[alerts.dead_man]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadManConfig {
    /// `None`: as above.
    pub url: Option<KeyPlace>,
    /// Between two pings.
    pub every: Duration,
}

pub(super) fn alerts(mut s: Section<'_, '_>, reads_only: bool) -> Option<AlertsConfig> {
    let routes = routes(&mut s, reads_only);
    let has_dead_man = s.has("dead_man");
    let section = s.child("dead_man");
    let dead_man = if has_dead_man { dead_man(section, reads_only).map(Some) } else { Some(None) };
    s.finish();
    Some(AlertsConfig { routes: routes?, dead_man: dead_man? })
}

fn dead_man(mut s: Section<'_, '_>, reads_only: bool) -> Option<DeadManConfig> {
    let url = required(&mut s, "url_file", "SENTINEL_ALERT_DEAD_MAN_URL", reads_only);
    let every = s.duration("every", WhenAbsent::Default("5m"), EVERY);
    s.finish();
    Some(DeadManConfig { url: url?, every: every? })
}

fn routes(s: &mut Section<'_, '_>, reads_only: bool) -> Option<Vec<RouteConfig>> {
    let Some(value) = s.take("route") else { return Some(Vec::new()) };
    let DeValue::Array(array) = value.get_ref() else {
        s.report("route", format!("is {}, not a list; write [[alerts.route]]", describe(value.get_ref())));
        return None;
    };
    let mut names: Vec<(String, Location)> = Vec::new();
    let mut routes = Some(Vec::new());
    for (index, item) in array.iter().enumerate() {
        let DeValue::Table(table) = item.get_ref() else {
            s.report("route", format!("{} is not a table", describe(item.get_ref())));
            return None;
        };
        let location = s.reading.line(item.span().start);
        let name = table.get("name").and_then(|name| name.get_ref().as_str()).filter(|name| is_name(name));
        let path = name.map_or_else(|| format!("alerts.route[{index}]"), |name| format!("alerts.route.{name}"));
        let reading: &mut Reading = &mut *s.reading;
        match route(Section::new(reading, &path, location, table), &mut names, reads_only) {
            Some(route) => {
                if let Some(routes) = &mut routes {
                    routes.push(route);
                }
            }
            None => routes = None,
        }
    }
    if array.len() > ROUTES_MAX {
        s.report("route", format!("there are {}, and at most {ROUTES_MAX} are told", array.len()));
    }
    routes
}

fn route(mut s: Section<'_, '_>, names: &mut Vec<(String, Location)>, reads_only: bool) -> Option<RouteConfig> {
    use WhenAbsent::{Default, Required};
    let name = s.name("name", Required);
    if let Some(name) = &name {
        match names.iter().find(|(known, _)| known == name) {
            Some((_, Location::Line(line))) => {
                let what = format!("'{name}' is the name of the route in line {line} too");
                s.report("name", what);
            }
            _ if name == DEAD_MAN => s.report("name", format!("'{DEAD_MAN}' names the check of [alerts.dead_man]")),
            _ => names.push((name.clone(), s.location_of("name"))),
        }
    }
    let is_telegram = s.choice("kind", Required, &[("webhook", false), ("telegram", true)]);
    let variable = |what: &str| {
        let name = name.as_deref().unwrap_or("NAME").to_ascii_uppercase().replace('-', "_");
        format!("SENTINEL_ALERT_{name}_{what}")
    };
    let kind = match is_telegram {
        Some(true) => {
            let token = required(&mut s, "token_file", &variable("TOKEN"), reads_only);
            let chat = s.parsed_by("chat", Required, "the id of a chat like \"-100123\", or \"@channel\"", |text| {
                let is_id = text.trim_start_matches('-').parse::<u64>().is_ok();
                let is_channel = text.strip_prefix('@').is_some_and(|name| !name.is_empty());
                if is_id || is_channel { Ok(text.to_owned()) } else { Err(format!("'{text}' names no chat")) }
            });
            let api = s.parsed_by("api", Default("https://api.telegram.org"), "an address without a path", |text| {
                let is_plain = !text.ends_with('/') && !text.contains(['?', '#', '@']);
                if is_plain && (text.starts_with("https://") || text.starts_with("http://")) {
                    Ok(text.to_owned())
                } else {
                    Err(format!("'{text}' is none"))
                }
            });
            token.zip(chat).zip(api).map(|((token, chat), api)| RouteKind::Telegram { token, chat, api })
        }
        Some(false) => {
            let url = required(&mut s, "url_file", &variable("URL"), reads_only);
            let secret = secret(&mut s, "secret_file", &variable("SECRET")).ok();
            url.zip(secret).map(|(url, secret)| RouteKind::Webhook { url, secret })
        }
        // What else it has depends on its kind.
        None => return None,
    };
    s.finish();
    Some(RouteConfig { name: name?, kind: kind? })
}

/// A secret that must be somewhere. `None`: it is not, and that was said.
fn required(s: &mut Section<'_, '_>, file: &'static str, variable: &str, reads_only: bool) -> Option<Option<KeyPlace>> {
    let place = secret(s, file, variable).ok()?;
    if place.is_none() && !reads_only {
        s.report(
            file,
            format!("is missing: name a file with the secret, or set {variable} in the environment or .env"),
        );
        return None;
    }
    Some(place)
}
