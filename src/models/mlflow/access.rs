//! Where the hub is, and what it asks for before it answers.
//!
//! A secret is kept so that no text can carry it: its `Debug` is `***`, its header is marked sensitive, and what a server
//! echoes is searched for it before anything is logged.

use std::fmt;

use data_encoding::BASE64;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::error::MlflowError;

const HIDDEN: &str = "***";

/// A hub's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubAddress {
    /// HTTPS instead of HTTP.
    pub tls: bool,
    /// Name or address, an IPv6 one with or without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for HubAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        if self.host.contains(':') && !self.host.starts_with('[') {
            return write!(f, "{scheme}://[{}]:{}", self.host, self.port);
        }
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl HubAddress {
    /// Where predictions are asked for.
    pub(super) fn invocations(&self) -> Result<Url, MlflowError> {
        let wrong = || MlflowError::Address(self.to_string());
        let url = Url::parse(&format!("{self}/invocations")).map_err(|_| wrong())?;
        let is_whole = url.path() == "/invocations" && url.query().is_none() && url.fragment().is_none();
        let is_bare = url.username().is_empty() && url.password().is_none();
        let goes_there = url.port_or_known_default() == Some(self.port);
        if is_whole && is_bare && goes_there { Ok(url) } else { Err(wrong()) }
    }
}

/// A text that must not be printed.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What the proxy in front of a hub wants. MLflow itself asks for nothing.
#[derive(Debug, Clone)]
pub enum Access {
    /// Nothing.
    Open,
    /// A bearer token.
    Bearer(Secret),
    /// HTTP basic authentication (RFC 7617).
    Basic {
        /// Without a colon.
        user: String,
        /// May be anything.
        password: Secret,
    },
}

impl Access {
    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, MlflowError> {
        let (scheme, credentials) = match self {
            Self::Open => return Ok(None),
            Self::Bearer(token) => ("Bearer", token.0.clone()),
            Self::Basic { user, .. } if user.contains(':') => return Err(MlflowError::User),
            Self::Basic { user, password } => ("Basic", basic(user, password)),
        };
        let mut header = HeaderValue::from_str(&format!("{scheme} {credentials}")).map_err(|_| MlflowError::Token)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// `text` without the secret, as itself or as it is sent.
    pub(super) fn hide(&self, text: &str) -> String {
        let hide = |text: &str, secret: &str| match secret {
            "" => text.to_owned(),
            secret => text.replace(secret, HIDDEN),
        };
        match self {
            Self::Open => text.to_owned(),
            Self::Bearer(token) => hide(text, &token.0),
            Self::Basic { user, password } => hide(&hide(text, &basic(user, password)), &password.0),
        }
    }
}

fn basic(user: &str, password: &Secret) -> String {
    BASE64.encode(format!("{user}:{}", password.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(host: &str) -> HubAddress {
        HubAddress { tls: false, host: host.to_owned(), port: 5000 }
    }

    #[test]
    fn an_address_is_shown_as_the_url_that_it_means() {
        assert_eq!(address("hub.example").to_string(), "http://hub.example:5000");
        assert_eq!(HubAddress { tls: true, ..address("::1") }.to_string(), "https://[::1]:5000");
        assert_eq!(address("[::1]").to_string(), "http://[::1]:5000");
        assert_eq!(address("127.0.0.1").invocations().unwrap().as_str(), "http://127.0.0.1:5000/invocations");
        // A port that its scheme implies is not part of the URL, and still the right one.
        let plain = HubAddress { port: 80, ..address("hub.example") };
        assert_eq!(plain.invocations().unwrap().as_str(), "http://hub.example/invocations");
    }

    #[test]
    fn a_host_that_is_more_than_a_host_is_refused() {
        for host in ["", "hub/models", "user@hub", "hub?x=", "hub#x", "hub:1/", "two words"] {
            assert!(address(host).invocations().is_err(), "{host}");
        }
    }

    #[test]
    fn an_unusable_secret_is_refused_without_being_printed() {
        let bearer = |text: &str| Access::Bearer(Secret::new(text.to_owned()));
        let header = bearer("t0ken").header().unwrap().unwrap();
        assert_eq!(header.as_bytes(), b"Bearer t0ken");
        assert_eq!(format!("{header:?} {:?}", bearer("t0ken")), "Sensitive Bearer(***)");
        let error = bearer("t0ken\n").header().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("t0ken"));
        let basic =
            |user: &str| Access::Basic { user: user.to_owned(), password: Secret::new("open sesame".to_owned()) };
        // The example of RFC 7617.
        assert_eq!(basic("Aladdin").header().unwrap().unwrap().as_bytes(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(matches!(basic("a:b").header(), Err(MlflowError::User)));
        assert!(Access::Open.header().unwrap().is_none());
    }

    #[test]
    fn what_a_server_echoes_is_hidden() {
        let access = Access::Basic { user: "Aladdin".to_owned(), password: Secret::new("open sesame".to_owned()) };
        let hidden = access.hide("you sent Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== which is open sesame");
        assert_eq!(hidden, "you sent Basic *** which is ***");
        assert_eq!(Access::Bearer(Secret::new(String::new())).hide("as it was"), "as it was");
    }
}
