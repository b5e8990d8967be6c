//! Decimals as the chain writes them.
//!
//! The chain reads a decimal leniently and writes it anew before it verifies a signature, so only a text that it would have
//! written itself can be signed. Its form is `Text('G')` of `cockroachdb/apd`; its range is zero, and from 1e-40 to 1e40 on
//! both sides. A wrong text costs the submission and nothing says why, so that none but a [`Dec`] gets into a message.

use std::fmt;

/// Longer than any number that a model gives, and short enough to be written anew at no cost.
const TEXT_BYTES_MAX: usize = 1_024;
/// apd keeps no other exponent.
const EXPONENT_MAX: u64 = 100_000;
/// The chain's limit, as a power of ten.
const MAGNITUDE_MAX: i64 = 40;
/// Below this power of ten apd writes an exponent.
const PLAIN_MAGNITUDE_MIN: i64 = -6;
/// apd writes zeros behind the point down to this exponent.
const PLAIN_ZERO_EXPONENT_MIN: i64 = -2_000;
/// Decimals of a forecast: what the chain's fixed-point numbers have.
const FORECAST_DECIMALS: i64 = 18;

/// A decimal in the one spelling that the chain signs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Dec(String);

/// Why there is no such decimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecError {
    #[error("'{0}' is not a decimal number")]
    NotDecimal(String),
    #[error("'{0}' is not a finite number")]
    NotFinite(String),
    #[error("a decimal of {0} bytes is too long; at most 1024 are read")]
    TooLong(usize),
    #[error("'{0}' has an exponent beyond 100000")]
    Exponent(String),
    #[error("'{0}' is above 1e40, the largest amount that the chain takes")]
    TooLarge(String),
    #[error("'{0}' is below 1e-40, the smallest amount that the chain takes besides zero")]
    TooSmall(String),
}

impl Dec {
    /// The canonical spelling of a decimal number: an optional sign, digits with at most one point, an optional exponent.
    ///
    /// # Errors
    /// When the text is no such number, or out of the chain's range.
    pub fn parse(text: &str) -> Result<Self, DecError> {
        let parts = Parts::parse(text)?;
        parts.check_range(text)?;
        Ok(parts.canonical())
    }

    /// Of the shortest decimal that reads back as the same number, as Python writes it too.
    ///
    /// # Errors
    /// When the number is not finite, or out of the chain's range.
    pub fn of_f64(value: f64) -> Result<Self, DecError> {
        Self::parse(&shortest(value))
    }

    /// A forecast as it is submitted: rounded to 18 decimals, half to even, without zeros at its end and without a negative
    /// zero.
    ///
    /// # Errors
    /// When the number is not finite, or above the chain's range. What is too small is zero.
    pub fn of_forecast(value: f64) -> Result<Self, DecError> {
        let text = shortest(value);
        let parts = Parts::parse(&text)?.rounded();
        parts.check_range(&text)?;
        Ok(parts.canonical())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Dec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `digits` × 10^`exponent`. The digits have no zero in front, except for zero itself, which is "0".
struct Parts {
    is_negative: bool,
    digits: String,
    exponent: i64,
}

impl Parts {
    fn parse(text: &str) -> Result<Self, DecError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(DecError::TooLong(text.len()));
        }
        let wrong = || DecError::NotDecimal(text.to_owned());
        let (is_negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
            return Err(DecError::NotFinite(text.to_owned()));
        }
        let (number, power) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(n, p)| (n, Some(p)));
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !is_digits(&all) {
            return Err(wrong());
        }
        let power = match power {
            None => 0,
            Some(power) if is_digits(power.strip_prefix(['+', '-']).unwrap_or(power)) => {
                power.parse::<i64>().map_err(|_| DecError::Exponent(text.to_owned()))?
            }
            Some(_) => return Err(wrong()),
        };
        // At most the text's length is subtracted, so that only a power at the limits of i64 can overflow.
        let exponent = power.saturating_sub(fraction.len() as i64);
        if exponent.unsigned_abs() > EXPONENT_MAX {
            return Err(DecError::Exponent(text.to_owned()));
        }
        let digits = match all.trim_start_matches('0') {
            "" => "0".to_owned(),
            digits => digits.to_owned(),
        };
        Ok(Self { is_negative, digits, exponent })
    }

    fn is_zero(&self) -> bool {
        self.digits == "0"
    }

    fn count(&self) -> i64 {
        self.digits.len() as i64
    }

    /// The power of ten of the first digit.
    fn magnitude(&self) -> i64 {
        self.exponent + self.count() - 1
    }

    fn check_range(&self, text: &str) -> Result<(), DecError> {
        if self.is_zero() {
            return Ok(());
        }
        let is_power_of_ten = self.digits.trim_end_matches('0') == "1";
        let magnitude = self.magnitude();
        if magnitude < -MAGNITUDE_MAX {
            Err(DecError::TooSmall(text.to_owned()))
        } else if magnitude > MAGNITUDE_MAX || (magnitude == MAGNITUDE_MAX && !is_power_of_ten) {
            Err(DecError::TooLarge(text.to_owned()))
        } else {
            Ok(())
        }
    }

    /// `Append` and its `fmtE` and `fmtF` in apd's `format.go`.
    fn canonical(&self) -> Dec {
        let Self { is_negative, digits, exponent } = self;
        let pads_zero = self.is_zero() && (PLAIN_ZERO_EXPONENT_MIN..0).contains(exponent);
        let magnitude = if pads_zero { 0 } else { self.magnitude() };
        let sign = if *is_negative { "-" } else { "" };
        if *exponent > 0 || magnitude < PLAIN_MAGNITUDE_MIN {
            let (first, rest) = digits.split_at(1);
            let point = if rest.is_empty() { "" } else { "." };
            return Dec(format!("{sign}{first}{point}{rest}E{:+}", self.magnitude()));
        }
        let decimals = exponent.unsigned_abs() as usize;
        let padded = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = padded.split_at(padded.len() - decimals);
        let point = if fraction.is_empty() { "" } else { "." };
        Dec(format!("{sign}{whole}{point}{fraction}"))
    }

    /// With 18 decimals at most, and no zeros at the end of them.
    fn rounded(mut self) -> Self {
        let dropped = usize::try_from(-FORECAST_DECIMALS - self.exponent).unwrap_or(0);
        if dropped > 0 {
            let padded = format!("{:0>width$}", self.digits, width = dropped + 1);
            let (kept, rest) = padded.split_at(padded.len() - dropped);
            let half = format!("5{}", "0".repeat(dropped - 1));
            let is_odd = kept.ends_with(['1', '3', '5', '7', '9']);
            let goes_up = rest > half.as_str() || (rest == half && is_odd);
            self.digits = if goes_up { one_more(kept) } else { kept.to_owned() };
            self.exponent = -FORECAST_DECIMALS;
        }
        while self.exponent < 0 && self.digits.len() > 1 && self.digits.ends_with('0') {
            self.digits.pop();
            self.exponent += 1;
        }
        if self.digits.bytes().all(|digit| digit == b'0') {
            return Self { is_negative: false, digits: "0".to_owned(), exponent: 0 };
        }
        self.digits = self.digits.trim_start_matches('0').to_owned();
        self
    }
}

/// The shortest text that reads back as the same number, and of two that are equally near the even one, which Python takes and
/// Rust does not.
fn shortest(value: f64) -> String {
    let text = format!("{value:?}");
    let scientific = format!("{value:e}");
    let digits = scientific.bytes().take_while(|byte| *byte != b'e').filter(u8::is_ascii_digit).count();
    if !value.is_finite() {
        return text;
    }
    let nearest = format!("{value:.decimals$e}", decimals = digits - 1);
    if nearest != scientific && nearest.parse() == Ok(value) { nearest } else { text }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The next whole number.
fn one_more(digits: &str) -> String {
    let kept = digits.trim_end_matches('9');
    let zeros = "0".repeat(digits.len() - kept.len());
    match kept.char_indices().next_back() {
        None => format!("1{zeros}"),
        Some((at, last)) => {
            let next = last.to_digit(10).map_or(0, |digit| digit + 1);
            format!("{}{next}{zeros}", &kept[..at])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_chain_reads_but_never_writes_gets_its_one_spelling() {
        for (text, expected) in [
            ("+1", "1"),
            (".5", "0.5"),
            ("5.", "5"),
            ("007.50", "7.50"),
            ("-0", "-0"),
            ("-0.0", "-0.0"),
            ("0e5", "0E+5"),
            ("0e-7", "0.0000000"),
            ("1e-06", "0.000001"),
            ("12e-7", "0.0000012"),
            ("1e0000000000000000000000000000040", "1E+40"),
            ("10e39", "1.0E+40"),
            ("1e-40", "1E-40"),
            ("0.0000000000000000000000000000000000000001", "1E-40"),
            ("10000000000000000000000000000000000000000.00", "10000000000000000000000000000000000000000.00"),
        ] {
            assert_eq!(Dec::parse(text).map(|dec| dec.to_string()), Ok(expected.to_owned()), "{text}");
        }
        assert_eq!(Dec::parse("0e-2000").unwrap().as_str().len(), 2_002);
        assert_eq!(Dec::parse("0e-2001").unwrap().as_str(), "0E-2001");
    }

    #[test]
    fn what_is_no_decimal_of_the_chain_is_refused_with_its_reason() {
        let refused = |text: &str| Dec::parse(text).unwrap_err();
        for text in [
            "", " ", "1 ", " 1", "1,5", "1.2.3", "--1", "+-1", "e5", ".", "-", "1e", "1e+", "1e-", "1e1.5", "0x1",
            "1_000", "١", "1e5e5",
        ] {
            assert_eq!(refused(text), DecError::NotDecimal(text.to_owned()));
        }
        for text in ["nan", "NaN", "inf", "-Infinity", "+INF"] {
            assert_eq!(refused(text), DecError::NotFinite(text.to_owned()));
        }
        for text in ["1e41", "-1e41", "1.000001e40", "10000000000000000000000000000000000000001", "2e40"] {
            assert_eq!(refused(text), DecError::TooLarge(text.to_owned()));
        }
        for text in ["9.99e-41", "-1e-41", "1e-99999"] {
            assert_eq!(refused(text), DecError::TooSmall(text.to_owned()));
        }
        for text in [
            "1e100001",
            "0e-100001",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1e9223372036854775807",
            "1e-9223372036854775808",
        ] {
            assert_eq!(refused(text), DecError::Exponent(text.to_owned()));
        }
        assert_eq!(refused(&"1".repeat(1_025)), DecError::TooLong(1_025));
    }

    #[test]
    fn of_two_shortest_texts_that_are_equally_near_the_even_one_is_taken() {
        // Halfway between .2 and .3, and both read back as the same double.
        assert_eq!(Dec::of_f64(7_379_813_685_722_141_i64 as f64 / 4.0).unwrap().as_str(), "1844953421430535.2");
        assert_eq!(Dec::of_f64(7_379_813_685_722_143_i64 as f64 / 4.0).unwrap().as_str(), "1844953421430535.8");
    }

    #[test]
    fn a_forecast_has_at_most_18_decimals_and_no_negative_zero() {
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (-1e-300, "0"),
            (5e-19, "0"),
            (-1.5e-18, "-2E-18"),
            (2.5e-18, "2E-18"),
            (5.1e-19, "1E-18"),
            (9.99999999999999e-7, "0.000001"),
            (1.0, "1"),
            (100.0, "100"),
            (1e16, "1E+16"),
            (0.0011430727317929268, "0.001143072731792927"),
            (-0.0381357, "-0.0381357"),
            (1.2e-7, "1.2E-7"),
            (1e40, "1E+40"),
        ] {
            assert_eq!(Dec::of_forecast(value).map(|dec| dec.to_string()), Ok(expected.to_owned()), "{value:?}");
        }
        assert!(matches!(Dec::of_forecast(1.1e40), Err(DecError::TooLarge(_))));
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(matches!(Dec::of_forecast(value), Err(DecError::NotFinite(_))));
            assert!(matches!(Dec::of_f64(value), Err(DecError::NotFinite(_))));
        }
    }
}
