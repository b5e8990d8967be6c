//! `[http]`: where the page, its metrics and its probes are served.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::reader::{Section, WhenAbsent};
use super::source::readable_by_others;
use crate::operator::web::rules::{is_beyond_loopback, is_host};

/// The credential of systemd that is the token, when no file is named.
pub const TOKEN: &str = "SENTINEL_HTTP_TOKEN";

/// What is served over TCP, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpConfig {
    /// `None`: nothing is served. Port 0 takes one that is free.
    pub listen: Option<SocketAddr>,
    /// Names that may be asked for, beside those of this machine.
    pub hosts: Vec<String>,
    /// The file with the token that is asked for beyond loopback.
    pub token: Option<PathBuf>,
}

pub(super) fn http(mut s: Section<'_, '_>) -> Option<HttpConfig> {
    let allowed = "an address with its port, as \"127.0.0.1:9464\"";
    let listen = s.parsed_by("listen", WhenAbsent::Optional, allowed, |text| {
        text.parse::<SocketAddr>().map(Some).map_err(|_| format!("'{text}' is not an address with a port"))
    });
    let was_wrong = listen.is_none() && s.is_given("listen");
    let hosts = hosts(&mut s);
    let token = token(&mut s);
    let listen = listen.flatten();
    if listen.is_some_and(|listen| is_beyond_loopback(listen.ip())) {
        let what = match (&token, &hosts) {
            (Ok(None), _) => {
                Some("others than this machine could ask: name the token that they must give, in http.token_file")
            }
            (_, Some(hosts)) if hosts.is_empty() => {
                Some("others than this machine could ask: name what they ask for this node under, in http.hosts")
            }
            _ => None,
        };
        if let Some(what) = what {
            s.report("listen", format!("{what}; or listen on 127.0.0.1 and come through `ssh -L`"));
        }
    }
    s.finish();
    (!was_wrong).then_some(())?;
    Some(HttpConfig { listen, hosts: hosts?, token: token.ok()? })
}

fn hosts(s: &mut Section<'_, '_>) -> Option<Vec<String>> {
    if !s.has("hosts") {
        s.take("hosts");
        return Some(Vec::new());
    }
    s.list("hosts", "", "a list of names or addresses without ports, as [\"trader.example\"]", |text| {
        if is_host(text) { Ok(text.to_owned()) } else { Err(format!("'{text}' is no name of a machine").into()) }
    })
}

/// `Err`: what is named cannot be used, and that was said.
fn token(s: &mut Section<'_, '_>) -> Result<Option<PathBuf>, ()> {
    let is_named = s.has("token_file");
    let file = s.optional_file("token_file");
    if is_named {
        let file = file.ok_or(())?;
        return match readable_by_others(&file) {
            None => Ok(Some(file)),
            Some(what) => {
                s.report("token_file", what);
                Err(())
            }
        };
    }
    let credential = s.reading.env.get("CREDENTIALS_DIRECTORY").map(|folder| Path::new(folder).join(TOKEN));
    Ok(credential.filter(|file| file.is_file()))
}
