//! What a server asks for before it answers: the header that it is sent in, and how it is kept out of texts.

use data_encoding::BASE64;
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
            Self::Open => return Ok(None),
            Self::Bearer(token) => ("Bearer", token.reveal().to_owned()),
            Self::Basic { user, .. } if user.contains(':') => return Err(HttpError::User),
            Self::Basic { user, password } => ("Basic", basic(user, password)),
        };
        let mut header = HeaderValue::from_str(&format!("{scheme} {credentials}")).map_err(|_| HttpError::Token)?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    /// What no text may show: the secret as itself and as it is sent.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Self::Open => Vec::new(),
            Self::Bearer(token) => vec![token.clone()],
            Self::Basic { user, password } => vec![Secret::new(basic(user, password)), password.clone()],
        }
    }
}

fn basic(user: &str, password: &Secret) -> String {
    BASE64.encode(format!("{user}:{}", password.reveal()).as_bytes())
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
    fn what_a_server_echoes_is_hidden() {
        let hide = |access: Access, text: &str| Secrets::new(access.secrets()).hide(text);
        let basic = Access::Basic { user: "Aladdin".to_owned(), password: Secret::new("open sesame".to_owned()) };
        let hidden = hide(basic, "you sent Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== which is open sesame");
        assert_eq!(hidden, "you sent Basic *** which is ***");
        assert_eq!(hide(Access::Bearer(Secret::new(String::new())), "as it was"), "as it was");
    }
}
