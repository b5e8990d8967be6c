//! What proves that somebody beyond loopback may ask.
//!
//! Promises kept: no comparison tells by its duration how much was right, five wrong ones within a minute shut out their address, and
//! the token itself is not kept: only its digest is.

use std::collections::VecDeque;
use std::fmt;
use std::hint::black_box;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sentinel_actors::ports::elapsed_now;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

/// So many characters hold 32 random bytes, or nearly so many bits in a shorter alphabet.
const CHARS: std::ops::RangeInclusive<usize> = 32..=1024;
/// Wrong ones of one address within [`WINDOW`], after which it is not heard.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// So many failures are remembered, of all addresses together.
const REMEMBERED: usize = 64 * FAILURES;

/// Why a text is no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("has {0} characters, and a token has from 32 to 1024: `openssl rand -hex 32` makes one")]
    Length(usize),
    #[error("has characters that no header carries: a token is letters, digits and punctuation, without spaces")]
    Characters,
}

/// Its digest.
pub struct Token([u8; 32]);

impl Token {
    /// Space around it does not belong to it.
    ///
    /// # Errors
    /// When it could be guessed, or not be sent.
    pub fn new(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        if !CHARS.contains(&text.chars().count()) {
            return Err(InvalidToken::Length(text.chars().count()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken::Characters);
        }
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Takes as long whatever is wrong with it.
    fn is(&self, text: &[u8]) -> bool {
        let given: [u8; 32] = Sha256::digest(text).into();
        let differing = self.0.iter().zip(given).fold(0, |sum: u8, (own, given)| black_box(sum | (own ^ given)));
        black_box(differing) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What a request with a token, or without one, may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Right,
    Wrong,
    /// Its address has been wrong too often, and is not heard before that is a minute ago.
    NotHeard,
}

/// A token with the failures of those who do not know it.
#[derive(Debug)]
pub(super) struct Doorkeeper {
    token: Token,
    /// The oldest first.
    failures: Mutex<VecDeque<(IpAddr, Instant)>>,
}

impl Doorkeeper {
    pub(super) fn new(token: Token) -> Self {
        Self { token, failures: Mutex::default() }
    }

    pub(super) fn judge(&self, peer: IpAddr, given: Option<&[u8]>) -> Proof {
        let now = elapsed_now();
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|(_, at)| now.saturating_duration_since(*at) < WINDOW);
        if failures.iter().filter(|(of, _)| *of == peer).count() >= FAILURES {
            return Proof::NotHeard;
        }
        // Who gives none has guessed nothing: a browser begins like that.
        let Some(given) = given else { return Proof::Wrong };
        if self.token.is(given) {
            return Proof::Right;
        }
        if failures.len() == REMEMBERED {
            failures.pop_front();
        }
        failures.push_back((peer, now));
        Proof::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef0123456789abcdef";
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

    #[test]
    fn a_token_that_could_be_guessed_or_not_be_sent_is_refused() {
        for (text, why) in [
            ("", InvalidToken::Length(0)),
            (&GOOD[1..], InvalidToken::Length(31)),
            (&"x".repeat(1025), InvalidToken::Length(1025)),
            (&GOOD.replace('5', " "), InvalidToken::Characters),
            (&GOOD.replace('0', "é"), InvalidToken::Characters),
        ] {
            assert_eq!(Token::new(text).unwrap_err(), why, "{text}");
        }
        assert!(Token::new(&format!("{GOOD}\n")).unwrap().is(GOOD.as_bytes()));
        assert_eq!(format!("{:?}", Token::new(GOOD).unwrap()), "***");
    }

    #[tokio::test(start_paused = true)]
    async fn five_wrong_tokens_in_a_minute_shut_out_their_address_and_no_other() {
        let keeper = Doorkeeper::new(Token::new(GOOD).unwrap());
        let judge = |peer, given: &str| keeper.judge(peer, Some(given.as_bytes()));
        for _ in 0..5 {
            assert_eq!((keeper.judge(HERE, None), judge(HERE, &GOOD[1..])), (Proof::Wrong, Proof::Wrong));
        }
        assert_eq!((judge(HERE, GOOD), judge(THERE, GOOD)), (Proof::NotHeard, Proof::Right));
        tokio::time::advance(WINDOW).await;
        assert_eq!(judge(HERE, GOOD), Proof::Right);
        for _ in 0..REMEMBERED * 2 {
            judge(THERE, "wrong");
        }
        assert!(keeper.failures.lock().unwrap().len() <= REMEMBERED);
    }
}
