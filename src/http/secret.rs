//! A text that no log line, error or page can carry.
//!
//! It has neither `Display` nor `Serialize`, and its `Debug` is `***`. Only this module's parent can read it, to send it and
//! to search what a server echoes for it.

use std::fmt;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

pub(super) const HIDDEN: &str = "***";

/// Bytes of a secret's beginning that are hidden where a text breaks off.
const BEGINNING_MIN: usize = 4;

/// A text that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// A few digits that tell secrets apart and lead back to none.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        HEXLOWER.encode(&Sha256::digest(self.0.as_bytes())[..4])
    }

    /// The HMAC-SHA256 (RFC 2104) of a message under this secret, in 64 hexadecimal digits.
    #[must_use]
    pub fn hmac_sha256(&self, message: &[u8]) -> String {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()) else { return String::new() };
        mac.update(message);
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    /// The secret itself, to be sent.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// `text` without the secret, also when it breaks off within it.
    pub(super) fn hide(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let hidden = text.replace(&self.0, HIDDEN);
        let beginnings = self.0.char_indices().map(|(at, _)| &self.0[..at]).filter(|part| part.len() >= BEGINNING_MIN);
        match beginnings.rev().find_map(|part| hidden.strip_suffix(part)) {
            Some(kept) => kept.to_owned() + HIDDEN,
            None => hidden,
        }
    }
}

/// All that a client keeps out of texts.
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    /// The longest is hidden first, so that one within another leaves nothing of it.
    pub(super) fn new(mut secrets: Vec<Secret>) -> Self {
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        Self(secrets)
    }

    /// These and more.
    pub(super) fn and(mut self, more: Vec<Secret>) -> Self {
        self.0.extend(more);
        Self::new(self.0)
    }

    /// `text` without any of them.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| secret.hide(&text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Implemented twice for a type that has the trait, so that the test that names it does not compile any more.
    trait Printable<Which> {
        const CHECKED: () = ();
    }

    impl<T> Printable<()> for T {}

    struct Shown;
    impl<T: fmt::Display> Printable<Shown> for T {}

    struct Written;
    impl<T: serde::Serialize> Printable<Written> for T {}

    #[test]
    fn a_secret_has_no_form_that_could_be_printed_or_stored() {
        let () = <Secret as Printable<_>>::CHECKED;
    }

    #[test]
    fn a_secret_is_stars_wherever_it_is_debugged() {
        let secret = Secret::new("t0ken".to_owned());
        assert_eq!(format!("{secret:?} {:#?} {:?}", Some(&secret), vec![&secret]), "*** Some(\n    ***,\n) [***]");
    }

    #[test]
    fn an_hmac_is_that_of_rfc_4231() {
        // Its test case 2.
        let short = Secret::new("Jefe".to_owned()).hmac_sha256(b"what do ya want for nothing?");
        assert_eq!(short, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        // A key longer than a block, as Python's hmac has it.
        let long = Secret::new("a".repeat(131)).hmac_sha256(b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(long, "d021303c2f34bf3ae541b4ec9c672691694c6f71c5c0c55781545a66115b14a7");
    }

    #[test]
    fn a_secret_is_hidden_in_a_text_and_an_empty_one_hides_nothing() {
        assert_eq!(Secret::new("t0ken".to_owned()).hide("t0kent0ken, a t0ken"), "******, a ***");
        assert_eq!(Secret::new(String::new()).hide("as it was"), "as it was");
    }

    #[test]
    fn a_text_that_breaks_off_within_a_secret_shows_no_part_of_it() {
        let secret = Secret::new("0123456789".to_owned());
        for (text, expected) in [
            ("it was 012345678", "it was ***"),
            ("it was 0123", "it was ***"),
            ("01234567890123456", "******"),
            ("it was 012", "it was 012"),
        ] {
            assert_eq!(secret.hide(text), expected);
        }
    }

    #[test]
    fn a_secret_within_another_leaves_nothing_of_the_longer_one() {
        let secrets = ["t0ken", "t0ken-and-more"].map(|text| Secret::new(text.to_owned())).to_vec();
        assert_eq!(Secrets::new(secrets).hide("t0ken-and-more, t0ken, t0ken-and-m"), "***, ***, ***");
    }
}
