//! An error with everything that caused it, in one line: for log lines and for ports that carry only a text.

use std::error::Error;

/// The error, then each of its sources after a colon, as [`causes`].
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    causes(error).join(": ")
}

/// The text of the error, then that of each source. One that the text before it ends with is left out: transparent errors
/// repeat their source.
#[must_use]
pub fn causes(error: &dyn Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut before = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        if !before.ends_with(&text) {
            texts.push(text.clone());
        }
        before = text;
        source = cause.source();
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("the file cannot be read")]
        Silent(#[source] io::Error),
        #[error("the file cannot be read: {0}")]
        Telling(#[source] io::Error),
    }

    #[test]
    fn every_source_is_printed_once() {
        let cause = || io::Error::new(io::ErrorKind::NotFound, "it is gone");
        assert_eq!(chain(&Outer::Silent(cause())), "the file cannot be read: it is gone");
        assert_eq!(chain(&Outer::Telling(cause())), "the file cannot be read: it is gone");
        assert_eq!(chain(&cause()), "it is gone");
    }
}
