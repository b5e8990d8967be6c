//! What no bundle may carry.
//!
//! Secrets are found in two ways, and rather too much is hidden than too little: by their text, where this machine knows it, and
//! by where they stand or what they look like, so that a secret of somebody else is hidden too.

use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::{Config, Env};
use crate::http::redacted;

const HIDDEN: &str = "***";
/// A shorter text is no secret, and would be hidden in every second word.
const SECRET_LEAST: usize = 6;
/// A file of secrets is not larger.
const FILE_MAX: u64 = 64 << 10;
/// So many words of a wallet's word list in a row are a mnemonic.
const MNEMONIC_WORDS: usize = 12;
/// Characters of a bot's token behind its colon, and of its number before it.
const TOKEN_LEAST: usize = 30;
const BOT_LEAST: usize = 6;

/// Hides secrets in texts.
pub struct Redactor {
    /// The longest first, so that one within another leaves nothing of it.
    secrets: Vec<Zeroizing<String>>,
}

impl Redactor {
    /// With the secrets that environment, `.env` and configuration lead to.
    #[must_use]
    pub fn new(env: &Env, config: Option<(&Config, &Path)>) -> Self {
        let mut secrets: Vec<Zeroizing<String>> = env.secrets().map(|text| Zeroizing::new(text.to_owned())).collect();
        let mut files: Vec<_> = env.secret_files();
        let named = config.map(|(config, base)| config.files_of_secrets(base)).unwrap_or_default();
        files.extend(named);
        for file in files {
            secrets.extend(texts_of(&file));
        }
        secrets.retain(|secret| secret.trim().len() >= SECRET_LEAST);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// `text` without them.
    #[must_use]
    pub fn hide(&self, text: &str) -> String {
        let known = self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN));
        without_mnemonics(&without_tokens(&redacted(&known)))
    }
}

/// What a file of a secret may be quoted as: as a whole, each of its lines, and what a line gives a name to.
fn texts_of(file: &Path) -> Vec<Zeroizing<String>> {
    let is_small = fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() <= FILE_MAX);
    let Some(text) = is_small.then(|| fs::read_to_string(file).ok()).flatten() else { return Vec::new() };
    let text = Zeroizing::new(text);
    let mut texts = vec![Zeroizing::new(text.trim().to_owned())];
    for line in text.lines() {
        texts.push(Zeroizing::new(line.trim().to_owned()));
        if let Some((_, value)) = line.split_once([':', '=']) {
            texts.push(Zeroizing::new(value.trim().to_owned()));
        }
    }
    texts
}

/// Without what looks like the token of a bot, `123456789:` and more, or stands behind `Bearer`.
fn without_tokens(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-:.+/=~".contains(c);
    let mut safe = String::with_capacity(text.len());
    let (mut rest, mut is_behind_bearer) = (text, false);
    while !rest.is_empty() {
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        if word.is_empty() {
            let next = rest.chars().next().map_or(0, char::len_utf8);
            safe.push_str(&rest[..next]);
            rest = &rest[next..];
            continue;
        }
        safe.push_str(if is_behind_bearer || has_token(word) { HIDDEN } else { word });
        is_behind_bearer = ["bearer", "basic"].contains(&word.trim_end_matches(':').to_ascii_lowercase().as_str());
        rest = &rest[word.len()..];
    }
    safe
}

/// Also within an address, where the name of the bot begins with `bot`.
fn has_token(word: &str) -> bool {
    word.split('/').any(|part| {
        part.split_once(':').is_some_and(|(bot, token)| {
            let bot = bot.trim_start_matches("bot");
            let is_number = bot.len() >= BOT_LEAST && bot.bytes().all(|byte| byte.is_ascii_digit());
            let is_token = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
            is_number && token.chars().take_while(|c| is_token(*c)).count() >= TOKEN_LEAST
        })
    })
}

/// Without words of a wallet that stand in a row.
fn without_mnemonics(text: &str) -> String {
    let mut words: Vec<(usize, usize)> = Vec::new();
    let mut hidden: Vec<(usize, usize)> = Vec::new();
    let mut keep = |words: &mut Vec<(usize, usize)>| {
        if words.len() >= MNEMONIC_WORDS
            && let (Some((from, _)), Some((_, to))) = (words.first(), words.last())
        {
            hidden.push((*from, *to));
        }
        words.clear();
    };
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let word = &rest[..rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len())];
        if word.is_empty() {
            let next = rest.chars().next().unwrap_or(' ');
            // What may stand between two words of a list.
            if !next.is_whitespace() && !",\"'".contains(next) {
                keep(&mut words);
            }
            at += next.len_utf8();
            continue;
        }
        if bip39::Language::English.find_word(&word.to_ascii_lowercase()).is_some() {
            words.push((at, at + word.len()));
        } else {
            keep(&mut words);
        }
        at += word.len();
    }
    keep(&mut words);
    let (mut safe, mut done) = (String::with_capacity(text.len()), 0);
    for (from, to) in hidden {
        safe.push_str(&text[done..from]);
        safe.push_str(HIDDEN);
        done = to;
    }
    safe + &text[done..]
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORDS: &str = "abandon ability able about above absent absorb abstract absurd abuse access accident";

    fn hide(text: &str) -> String {
        Redactor { secrets: vec![Zeroizing::new("c4n4ry-known".to_owned())] }.hide(text)
    }

    #[test]
    fn a_secret_is_hidden_by_its_text_by_its_place_and_by_its_looks() {
        let bot = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1";
        for (text, expected) in [
            ("it was c4n4ry-known.", "it was ***."),
            ("http://me:pass@host/x?api_token=abc", "http://***@host/x?api_token=***"),
            (&*format!("the bot {bot} said"), "the bot *** said"),
            (&*format!("https://api.example/bot{bot}/sendMessage"), "***"),
            ("authorization: Bearer abc.def-1", "authorization: Bearer ***"),
            (&*format!("words: {WORDS}; and"), "words: ***; and"),
            (&*format!("[\"{}\"]", WORDS.replace(' ', "\", \"")), "[\"***\"]"),
            ("slot=2017-01-20T02:00:02Z reason=order_acked", "slot=2017-01-20T02:00:02Z reason=order_acked"),
            ("able about above absent", "able about above absent"),
        ] {
            assert_eq!(hide(text), expected);
        }
    }

    #[test]
    fn a_file_of_headers_is_hidden_line_by_line_and_value_by_value() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("headers");
        fs::write(&file, "X-Api: c4n4ry-one\nX-Other: c4n4ry-two\n").unwrap();
        let redactor = Redactor { secrets: texts_of(&file) };
        assert_eq!(redactor.hide("a c4n4ry-two b c4n4ry-one"), "a *** b ***");
    }
}
