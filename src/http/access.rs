//! What a server asks for before it answers: the header that it is sent in, and how it is kept out of texts.

use data_encoding::BASE64;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::error::HttpError;
use super::secret::Secret;

/// What a server, or the proxy in front of it, wants.
#[derive(Debug, Clone)]
pub enum Access {
    /// Nothing.
    Open,
    /// A bearer token.
    Bearer(Secret),
    /// A token under the scheme `Token`.
    Token(Secret),
    /// A parameter of the address. It shows in the logs of servers and proxies: only for what takes nothing else.
    Query { name: &'static str, value: Secret },
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
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, HttpError> {
        let (scheme, credentials) = match self {
            Self::Open | Self::Query { .. } => return Ok(None),
            Self::Bearer(token) => ("Bearer", token.reveal().to_owned()),
            Self::Token(token) => ("Token", token.reveal().to_owned()),
            Self::Basic { user, .. } if user.contains(':') => return Err(HttpError::User),
            Self::Basic { user, password } => ("Basic", basic(user, password)),
        };
        let mut header = HeaderValue::from_str(&format!("{scheme} {credentials}")).map_err(|_| HttpError::Token)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// Adds it to an address, when it belongs there.
    pub(super) fn add_to(&self, url: &mut Url) {
        if let Self::Query { name, value } = self {
            url.query_pairs_mut().append_pair(name, value.reveal());
        }
    }

    /// What no text may show: the secret as itself and as it is sent.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Open => Vec::new(),
            Self::Bearer(token) | Self::Token(token) => vec![token.clone()],
            Self::Query { value, .. } => vec![value.clone(), Secret::new(in_address(value))],
            Self::Basic { user, password } => vec![Secret::new(basic(user, password)), password.clone()],
        }
    }
}

fn basic(user: &str, password: &Secret) -> String {
    BASE64.encode(format!("{user}:{}", password.reveal()).as_bytes())
}

/// As an address has it, where some characters are escaped.
fn in_address(secret: &Secret) -> String {
    let empty = Url::parse("data:");
    let sent = empty.map(|mut url| {
        url.query_pairs_mut().append_key_only(secret.reveal());
        url.query().unwrap_or_default().to_owned()
    });
    sent.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::secret::Secrets;
    use super::*;

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
        assert!(matches!(basic("a:b").header(), Err(HttpError::User)));
        assert!(Access::Open.header().unwrap().is_none());
    }

    #[test]
    fn a_token_goes_under_its_scheme_or_into_the_address() {
        let token = || Secret::new("t0k en&1".to_owned());
        assert_eq!(Access::Token(token()).header().unwrap().unwrap().as_bytes(), b"Token t0k en&1");
        let mut url = Url::parse("https://vendor.example/bars?from=1").unwrap();
        let query = Access::Query { name: "api_token", value: token() };
        query.add_to(&mut url);
        assert_eq!(url.as_str(), "https://vendor.example/bars?from=1&api_token=t0k+en%261");
        assert!(query.header().unwrap().is_none());
        let echoed = Secrets::new(query.secrets()).hide("no bars for t0k+en%261 or t0k en&1");
        assert_eq!(echoed, "no bars for *** or ***");
        Access::Bearer(token()).add_to(&mut url);
        assert_eq!(url.query_pairs().count(), 2);
    }

    #[test]
    fn what_a_server_echoes_is_hidden() {
        let hide = |access: Access, text: &str| Secrets::new(access.secrets()).hide(text);
        let basic = Access::Basic { user: "Aladdin".to_owned(), password: Secret::new("open sesame".to_owned()) };
        let hidden = hide(basic, "you sent Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== which is open sesame");
        assert_eq!(hidden, "you sent Basic *** which is ***");
        assert_eq!(hide(Access::Bearer(Secret::new(String::new())), "as it was"), "as it was");
    }
}
