//! An address that is a secret as a whole: who knows it can post there.
//!
//! It has neither `Display` nor `Serialize`, and its `Debug` is `***`.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use super::secret::{HIDDEN, Secret};

/// Shorter parts of an address are not hidden by themselves: they are words.
const PART_MIN: usize = 6;

/// An address that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl {
    url: Url,
    /// What makes it secret, where that is only a piece of a part.
    within: Option<Secret>,
}

/// Why a text is no such address. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretUrlError {
    #[error("it is not an address of the web: write one that begins with https://")]
    Address,
    #[error("it would go unencrypted: write https; http is for this machine only")]
    Plain,
}

impl SecretUrl {
    /// Reads it.
    ///
    /// # Errors
    /// When it is none, or leads elsewhere without encryption.
    pub fn parse(text: &Secret) -> Result<Self, SecretUrlError> {
        Self::checked(text.reveal().trim())
    }

    /// An address with a secret within its path.
    ///
    /// # Errors
    /// As [`SecretUrl::parse`].
    pub fn around(before: &str, secret: &Secret, after: &str) -> Result<Self, SecretUrlError> {
        let secret = secret.reveal().trim();
        let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '-' | '.');
        if secret.is_empty() || !secret.chars().all(is_safe) {
            return Err(SecretUrlError::Address);
        }
        let url = Self::checked(&format!("{before}{secret}{after}"))?;
        Ok(Self { within: Some(Secret::new(secret.to_owned())), ..url })
    }

    fn checked(text: &str) -> Result<Self, SecretUrlError> {
        let url: Url = text.parse().map_err(|_| SecretUrlError::Address)?;
        let host = url.host_str().ok_or(SecretUrlError::Address)?;
        let here = host.eq_ignore_ascii_case("localhost")
            || host.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback());
        match url.scheme() {
            "https" => Ok(Self { url, within: None }),
            "http" if here => Ok(Self { url, within: None }),
            "http" => Err(SecretUrlError::Plain),
            _ => Err(SecretUrlError::Address),
        }
    }

    /// The same with more behind its path.
    #[must_use]
    pub fn below(&self, more: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/{more}", self.url.path().trim_end_matches('/')));
        Self { url, within: self.within.clone() }
    }

    /// Whether it is encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    /// What no text may show: the whole, and each part that may be secret by itself.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let path = self.url.path_segments().into_iter().flatten();
        let query = self.url.query().into_iter().flat_map(|query| query.split(['&', '=']));
        let user = [self.url.username(), self.url.password().unwrap_or_default()];
        let parts = path.chain(query).chain(user).chain(self.url.host_str());
        let parts = parts.filter(|part| part.len() >= PART_MIN).map(str::to_owned);
        let whole = [self.url.as_str(), self.url.path()].map(str::to_owned);
        let whole = whole.into_iter().filter(|part| part.len() >= PART_MIN);
        whole.chain(parts).map(Secret::new).chain(self.within.clone()).collect()
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<SecretUrl, SecretUrlError> {
        SecretUrl::parse(&Secret::new(text.to_owned()))
    }

    #[test]
    fn it_goes_encrypted_or_stays_on_this_machine() {
        for good in ["https://a.example/x", " http://127.0.0.1:9/x\n", "http://[::1]/x", "http://localhost:1/"] {
            assert!(url(good).is_ok(), "{good}");
        }
        assert_eq!(url("http://a.example/x"), Err(SecretUrlError::Plain));
        for bad in ["", "a.example", "ftp://a.example/", "https://"] {
            assert_eq!(url(bad), Err(SecretUrlError::Address), "{bad}");
        }
    }

    #[test]
    fn a_token_cannot_lead_elsewhere() {
        let around = |token: &str| {
            SecretUrl::around("https://api.example/bot", &Secret::new(token.to_owned()), "/send")
                .map(|url| url.url.to_string())
        };
        assert_eq!(around("12:a_B-c\n").unwrap(), "https://api.example/bot12:a_B-c/send");
        for bad in ["", "a/b", "a?b", "a#b", "a b", "@evil.example"] {
            assert_eq!(around(bad), Err(SecretUrlError::Address), "{bad}");
        }
    }

    #[test]
    fn a_token_is_hidden_also_where_it_stands_alone() {
        let token = Secret::new("12:c4n4ry".to_owned());
        let url = SecretUrl::around("https://api.example/bot", &token, "/send").unwrap();
        let said = super::super::secret::Secrets::new(url.secrets()).hide("no bot12:c4n4ry, no 12:c4n4ry here");
        assert_eq!(said, "no ***, no *** here");
    }

    #[test]
    fn more_goes_behind_the_path_and_not_behind_the_query() {
        let url = url("https://a.example/ping/12345678/?key=1").unwrap();
        assert_eq!(url.below("fail").url.as_str(), "https://a.example/ping/12345678/fail?key=1");
    }

    #[test]
    fn no_part_of_it_is_printed() {
        let url = url("https://hooks.example/services/T0K3NT0K3N?auth=c4n4ry-q").unwrap();
        assert_eq!(format!("{url:?} {:?}", url.secrets()[0]), "*** ***");
        let hide = |text: &str| super::super::secret::Secrets::new(url.secrets()).hide(text);
        assert_eq!(hide("no T0K3NT0K3N at hooks.example, c4n4ry-q"), "no *** at ***, ***");
    }
}
