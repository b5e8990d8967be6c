//! Who may ask for what, by the address that is listened on and the name that is asked for.
//!
//! | listens on | `Host` | token | may ask for |
//! |---|---|---|---|
//! | loopback | localhost, 127.0.0.1, `[::1]`, the address itself, a listed name | none | everything |
//! | elsewhere | localhost, 127.0.0.1 or `[::1]`, when listed | yes | everything |
//! | elsewhere | the address itself, a listed name | yes | [`BEYOND`] |
//! | anywhere | any other | | nothing |
//!
//! A name protects from pages of the web, which a browser lets ask under their own name only; it proves nothing about a client that
//! is no browser. So beyond loopback the name says what may be asked, and the token that it may. Ports are not compared: a tunnel or a
//! published port changes them, and no page of the web gains by one.

use std::net::IpAddr;

use super::token::{Doorkeeper, Token};

/// What programs elsewhere may ask for.
pub const BEYOND: [&str; 3] = ["/metrics", "/livez", "/readyz"];

/// Names of this machine, in the spelling of a `Host` header.
const HERE: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Whether others than those of this machine can reach an address.
#[must_use]
pub const fn is_beyond_loopback(address: IpAddr) -> bool {
    !address.to_canonical().is_loopback()
}

/// Whether a text can be the name in a `Host` header: a name or an address, without a port.
#[must_use]
pub fn is_host(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_v6 = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.is_some_and(is_v6) || ((1..=253).contains(&text.len()) && text.chars().all(plain))
}

/// What an operator allows.
#[derive(Debug, Default)]
pub struct Rules {
    /// Names in lower case, as [`is_host`] takes them, beside those that are always allowed.
    pub hosts: Vec<String>,
    /// What those beyond loopback give.
    pub token: Option<Token>,
}

/// What may be asked for under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) needs_token: bool,
    /// Else only [`BEYOND`].
    pub(super) everything: bool,
}

/// The rules of one listening address.
#[derive(Debug)]
pub(super) struct Names {
    listen: IpAddr,
    hosts: Vec<String>,
    pub(super) keeper: Option<Doorkeeper>,
}

impl Names {
    pub(super) fn new(rules: Rules, listen: IpAddr) -> Self {
        let hosts = rules.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { listen, hosts, keeper: rules.token.map(Doorkeeper::new) }
    }

    /// What `host`, with or without a port, may ask for; `None`: nothing.
    pub(super) fn reach(&self, host: &str) -> Option<Reach> {
        let name = without_port(host)?.to_ascii_lowercase();
        let (is_here, is_listed) = (HERE.contains(&name.as_str()), self.hosts.contains(&name));
        let is_own = !self.listen.is_unspecified() && name == shown(self.listen);
        if is_beyond_loopback(self.listen) {
            (is_listed || is_own).then_some(Reach { needs_token: true, everything: is_here })
        } else {
            (is_here || is_listed || is_own).then_some(Reach { needs_token: false, everything: true })
        }
    }
}

/// An address as a `Host` header has it.
fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// `None` when it is no name, or what follows it is no port.
fn without_port(host: &str) -> Option<&str> {
    let end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(end);
    let is_port = rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    ((rest.is_empty() || is_port) && is_host(name)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(listen: &str, hosts: &[&str]) -> Names {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Names::new(Rules { hosts, token: None }, listen.parse().unwrap())
    }

    #[test]
    fn on_loopback_this_machine_s_names_and_listed_ones_reach_everything() {
        let everything = Some(Reach { needs_token: false, everything: true });
        let own = names("127.0.0.5", &["Trader.example"]);
        for host in ["localhost", "LOCALHOST:9464", "127.0.0.1:1", "[::1]:80", "127.0.0.5:9464", "trader.example:8443"]
        {
            assert_eq!(own.reach(host), everything, "{host}");
        }
    }

    #[test]
    fn a_name_that_is_not_this_machine_s_reaches_nothing_however_it_is_written() {
        let own = names("127.0.0.1", &[]);
        for host in [
            "",
            "evil.example",
            "evil.example:9464",
            "127.0.0.1.evil.example",
            "localhost.",
            "localhost:port",
            "localhost:",
            "127.0.0.2",
            "[::1",
            "[::1]9464",
            "[::2]",
            "::1",
            "0.0.0.0",
            "evil@localhost",
            "localhost/",
            "local host",
        ] {
            assert_eq!(own.reach(host), None, "{host}");
        }
    }

    #[test]
    fn beyond_loopback_a_token_is_needed_and_only_a_listed_name_of_this_machine_reaches_the_page() {
        let reach = |everything| Some(Reach { needs_token: true, everything });
        let published = names("0.0.0.0", &["sentinel", "127.0.0.1"]);
        for (host, expected) in [
            ("127.0.0.1:9464", reach(true)),
            ("sentinel:9464", reach(false)),
            ("localhost:9464", None),
            ("0.0.0.0:9464", None),
            ("10.0.0.7", None),
        ] {
            assert_eq!(published.reach(host), expected, "{host}");
        }
        assert_eq!(names("10.0.0.7", &["trader"]).reach("10.0.0.7:9464"), reach(false));
        assert_eq!(names("fd00::7", &["trader"]).reach("[fd00::7]:9464"), reach(false));
        assert!(is_beyond_loopback("::ffff:10.0.0.7".parse().unwrap()));
        assert!(!is_beyond_loopback("::ffff:127.0.0.1".parse().unwrap()));
    }
}
