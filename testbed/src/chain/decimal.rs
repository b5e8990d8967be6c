//! Decimal numbers as the chain reads and writes them: apd's parser, which is lenient, and its `Text('G')`, which is what an
//! inner signature is checked over.

use std::fmt;

/// Longest text that is read, in bytes; apd has no such limit, a message has.
const TEXT_MAX: usize = 1_000;
/// apd's limit of an exponent.
const EXPONENT_MAX: i64 = 100_000;
/// Largest power of ten of a value other than zero, and the negative of the smallest.
const POWER_MAX: i64 = 40;

/// A finite decimal: its sign, the digits of its coefficient without leading zeros, and its exponent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("'{0}' is no decimal number: invalid decimal")]
    Invalid(String),
    #[error("'{0}' is not finite: invalid decimal")]
    NotFinite(String),
}

impl Decimal {
    /// Reads what apd reads; an empty text is the chain's zero.
    ///
    /// # Errors
    /// For anything that is no finite number.
    pub fn parse(text: &str) -> Result<Self, DecimalError> {
        if text.is_empty() {
            return Ok(Self { negative: false, digits: "0".to_owned(), exponent: 0 });
        }
        let invalid = || DecimalError::Invalid(text.chars().take(80).collect());
        if text.len() > TEXT_MAX {
            return Err(invalid());
        }
        let (negative, rest) = match text.as_bytes()[0] {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let lower = rest.to_ascii_lowercase();
        if ["inf", "infinity"].contains(&lower.as_str()) || lower.trim_start_matches('s').starts_with("nan") {
            return Err(DecimalError::NotFinite(text.to_owned()));
        }
        let (mantissa, power) = match lower.split_once('e') {
            Some((mantissa, power)) => (mantissa, power.parse::<i64>().map_err(|_| invalid())?),
            None => (lower.as_str(), 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let exponent = i64::try_from(fraction.len()).ok().and_then(|places| power.checked_sub(places));
        let exponent = exponent.filter(|exponent| exponent.abs() <= EXPONENT_MAX).ok_or_else(invalid)?;
        let digits = all.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        Ok(Self { negative, digits: digits.to_owned(), exponent })
    }

    fn is_zero(&self) -> bool {
        self.digits == "0"
    }

    /// Of the first digit: 0 for 1 to 9, 1 for 10 to 99.
    fn power(&self) -> i64 {
        self.exponent + i64::try_from(self.digits.len()).unwrap_or(i64::MAX) - 1
    }

    /// Whether it is zero or its magnitude is within 1e-40 to 1e40, both included.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        let power = self.power();
        let is_power_of_ten = || self.digits.trim_end_matches('0') == "1";
        self.is_zero() || (-POWER_MAX..POWER_MAX).contains(&power) || (power == POWER_MAX && is_power_of_ten())
    }

    /// The nearest double, for comparisons of scores only.
    #[must_use]
    pub fn nearest(&self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

/// apd's `Text('G')`.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negative {
            f.write_str("-")?;
        }
        let counted = match self.is_zero() && (-2_000..0).contains(&self.exponent) {
            true => self.power() - self.exponent,
            false => self.power(),
        };
        if self.exponent <= 0 && counted >= -6 {
            let places = usize::try_from(-self.exponent).unwrap_or_default();
            let padded = format!("{:0>width$}", self.digits, width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            return if fraction.is_empty() { f.write_str(whole) } else { write!(f, "{whole}.{fraction}") };
        }
        let (first, rest) = self.digits.split_at(1);
        f.write_str(first)?;
        if !rest.is_empty() {
            write!(f, ".{rest}")?;
        }
        write!(f, "E{:+}", self.power())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_written_as_apd_writes_it() {
        for (text, canonical) in [
            ("", "0"),
            ("0", "0"),
            ("-0", "-0"),
            ("+1.50", "1.50"),
            ("007", "7"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1e2", "1E+2"),
            ("0e5", "0E+5"),
            ("0.00000000", "0.00000000"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("-0.00000045", "-4.5E-7"),
            ("1.5e-6", "0.0000015"),
            ("120e-1", "12.0"),
            ("12345.6789", "12345.6789"),
            ("1e16", "1E+16"),
        ] {
            assert_eq!(Decimal::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        let zeros = |exponent: i64| Decimal::parse(&format!("0e{exponent}")).unwrap().to_string();
        assert_eq!(zeros(-2_001), "0E-2001");
        assert_eq!(zeros(-2_000).len(), 2_002);
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["NaN", "sNaN", "-nan12", "Inf", "-infinity"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::NotFinite(text.to_owned())));
        }
        for text in [" 1", "1 ", "1_0", "1,0", "--1", "e5", ".", "-", "1e", "1e5.0", "0x1", "1e100001", "1.2.3"] {
            assert_eq!(Decimal::parse(text), Err(DecimalError::Invalid(text.to_owned())));
        }
    }

    #[test]
    fn the_bounds_are_forty_powers_of_ten_to_both_sides() {
        let bounded = |text: &str| Decimal::parse(text).unwrap().is_bounded();
        for text in ["0", "0e-90", "1e40", "10e39", "-1.000E+40", "1e-40", "-0.0381357"] {
            assert!(bounded(text), "{text}");
        }
        for text in ["1.1e40", "1e41", "2e40", "9.9e-41", "1e-41"] {
            assert!(!bounded(text), "{text}");
        }
    }
}
