//! An error with everything that caused it, in one line: for log lines and for ports that carry only a text.

use std::error::Error;

/// The error, then each of its sources after a colon. A source that an error already ends with is not repeated.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
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
