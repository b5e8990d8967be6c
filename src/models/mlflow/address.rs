//! Where the hub is.

use std::fmt;

use super::error::MlflowError;
use crate::http::Url;

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
}
