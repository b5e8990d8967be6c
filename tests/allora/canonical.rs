//! 100,000 random decimals and doubles, against two implementations that share nothing with the one of the node: whole-number
//! arithmetic here, and Python's decimals.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use fastrand::Rng;
use sentinel::venues::allora::decimal::{Dec, DecError};

const COUNT: usize = 100_000;
const SEED: u64 = 0x616c_6c6f;

/// A number as it was drawn: `coefficient` × 10^`exponent`.
#[derive(Debug, Clone, Copy)]
struct Number {
    is_negative: bool,
    coefficient: u128,
    exponent: i32,
}

impl Number {
    fn random(random: &mut Rng) -> Self {
        let coefficient = match random.u32(0..10) {
            0 => 0,
            1 => 10_u128.pow(random.u32(0..38)),
            _ => {
                let digits = random.u32(1..38);
                random.u128(0..10_u128.pow(digits))
            }
        };
        let exponent = match random.u32(0..10) {
            0 => random.i32(-2_100..2_100),
            1..3 => 0,
            _ => random.i32(-50..12),
        };
        Self { is_negative: random.bool(), coefficient, exponent }
    }

    /// One of the many texts that mean it, with the same digits behind the point.
    fn spelled(&self, random: &mut Rng) -> String {
        let sign = if self.is_negative { "-" } else { ["", "+"][random.usize(0..2)] };
        let digits = format!("{}{}", "0".repeat(random.usize(0..3)), self.coefficient);
        let e = ["e", "E"][random.usize(0..2)];
        // Moves the point by some digits, and states the difference as an exponent.
        let moved = random.usize(0..=digits.len());
        let (whole, fraction) = digits.split_at(digits.len() - moved);
        let power = self.exponent + moved as i32;
        let point = if fraction.is_empty() && random.bool() { "" } else { "." };
        match power {
            0 if random.bool() => format!("{sign}{whole}{point}{fraction}"),
            _ => format!("{sign}{whole}{point}{fraction}{e}{power}"),
        }
    }

    /// Its one spelling by whole-number arithmetic, or `None` out of range.
    fn expected(&self) -> Option<String> {
        let Self { is_negative, coefficient, exponent } = *self;
        let mut digits = Vec::new();
        let mut rest = coefficient;
        while rest > 0 {
            digits.insert(0, (rest % 10) as u8);
            rest /= 10;
        }
        let mut text = String::from(if is_negative { "-" } else { "" });
        let push = |text: &mut String, digit: u8| text.push(char::from(b'0' + digit));
        if digits.is_empty() {
            match exponent {
                0 => text.push('0'),
                -2_000..0 => {
                    text.push_str("0.");
                    (0..-exponent).for_each(|_| text.push('0'));
                }
                _ => text.push_str(&format!("0E{exponent:+}")),
            }
            return Some(text);
        }
        // The first digit stands for this power of ten.
        let first = exponent + digits.len() as i32 - 1;
        let is_one = digits[0] == 1 && digits[1..].iter().all(|digit| *digit == 0);
        if !(-40..=40).contains(&first) || (first == 40 && !is_one) {
            return None;
        }
        if exponent <= 0 && first >= -6 {
            // From the greatest power of ten that is written down to the least one.
            for power in (exponent..=first.max(0)).rev() {
                if power == -1 {
                    text.push('.');
                }
                push(&mut text, if power > first { 0 } else { digits[(first - power) as usize] });
            }
            return Some(text);
        }
        for (index, digit) in digits.iter().enumerate() {
            if index == 1 {
                text.push('.');
            }
            push(&mut text, *digit);
        }
        text.push('E');
        text.push(if first < 0 { '-' } else { '+' });
        text.push_str(&first.abs().to_string());
        Some(text)
    }
}

/// A double as models give them, or any other one.
fn random_double(random: &mut Rng) -> f64 {
    let size = 10_f64.powi(random.i32(-39..39));
    match random.u32(0..9) {
        0 => f64::from_bits(random.u64(..)),
        1 => (random.i64(-1_000_000_000..1_000_000_000) as f64) / 1e9,
        2 => random.i64(..) as f64,
        3 => f64::from(random.f32() - 0.5),
        4 => (random.f64() - 0.5) * 1e-6,
        // Every other one lies halfway between two shortest decimals.
        5 => random.i64(1 << 52..1 << 53) as f64 / 4.0,
        _ => (random.f64() - 0.5) * size,
    }
}

/// A double's number as Python's `repr` has it: the nearest decimal of as few digits as read back, and `.0` behind a whole
/// number below 10^16.
fn number_of(value: f64) -> Number {
    let exact = |decimals: usize| format!("{:.decimals$e}", value.abs());
    let text = (0..17).map(exact).find(|text| text.parse() == Ok(value.abs())).unwrap();
    let (digits, power) = text.split_once('e').unwrap();
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let coefficient: u128 = format!("{whole}{fraction}").parse().unwrap();
    let exponent = power.parse::<i32>().unwrap() - fraction.len() as i32;
    let is_negative = value.is_sign_negative();
    if exponent >= 0 && value.abs() < 1e16 {
        return Number { is_negative, coefficient: coefficient * 10_u128.pow(exponent as u32 + 1), exponent: -1 };
    }
    Number { is_negative, coefficient, exponent }
}

#[test]
fn random_decimals_are_written_as_whole_number_arithmetic_writes_them() {
    let random = &mut Rng::with_seed(SEED);
    let mut refused = 0;
    for _ in 0..COUNT {
        let number = Number::random(random);
        let text = number.spelled(random);
        match (Dec::parse(&text), number.expected()) {
            (Ok(dec), Some(expected)) => assert_eq!(dec.as_str(), expected, "{text}"),
            (Err(DecError::TooSmall(_) | DecError::TooLarge(_)), None) => refused += 1,
            (found, expected) => panic!("{text}: {found:?}, and not {expected:?}"),
        }
    }
    assert!((5_000..40_000).contains(&refused), "{refused} are out of range");
}

#[test]
fn random_doubles_are_written_as_whole_number_arithmetic_writes_them() {
    let random = &mut Rng::with_seed(SEED);
    let mut written = 0;
    for _ in 0..COUNT {
        let value = random_double(random);
        if !value.is_finite() {
            assert!(matches!(Dec::of_f64(value), Err(DecError::NotFinite(_))));
            continue;
        }
        match (Dec::of_f64(value), number_of(value).expected()) {
            (Ok(dec), Some(expected)) => {
                assert_eq!(dec.as_str(), expected, "{value:?}");
                assert_eq!(dec.as_str().parse::<f64>().unwrap().to_bits(), value.to_bits(), "{value:?} reads back");
                written += 1;
            }
            (Err(DecError::TooSmall(_) | DecError::TooLarge(_)), None) => {}
            (found, expected) => panic!("{value:?}: {found:?}, and not {expected:?}"),
        }
    }
    assert!(written > 80_000, "{written}");
}

#[test]
fn what_is_canonical_stays_as_it_is() {
    let random = &mut Rng::with_seed(SEED);
    for _ in 0..10_000 {
        let Some(text) = Number::random(random).expected().filter(|text| text.len() < 1_000) else { continue };
        assert_eq!(Dec::parse(&text).unwrap().as_str(), text);
    }
}

#[test]
#[cfg_attr(not(has_program = "python3"), ignore = "needs Python: see CONTRIBUTING.md")]
fn random_values_are_written_as_the_decimals_of_python_write_them() {
    let random = &mut Rng::with_seed(SEED + 1);
    let (mut lines, mut own) = (String::new(), Vec::with_capacity(COUNT));
    while own.len() < COUNT {
        let (line, dec) = if random.bool() {
            let text = Number::random(random).spelled(random);
            (text.clone(), Dec::parse(&text))
        } else {
            let value = random_double(random);
            (format!("f64 {:016x}", value.to_bits()), Dec::of_f64(value))
        };
        // The range is the chain's, and no matter of Python.
        if let Ok(dec) = dec {
            lines += &format!("{line}\n");
            own.push((line, dec));
        }
    }
    let python = std::env::var_os("SENTINEL_PYTHON").unwrap_or_else(|| OsString::from("python3"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/allora/canonical.py");
    let mut process = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = process.stdin.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()).unwrap());
    let output = process.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let theirs = String::from_utf8(output.stdout).unwrap();
    assert_eq!(theirs.lines().count(), COUNT);
    for ((line, dec), expected) in own.iter().zip(theirs.lines()) {
        assert_eq!(dec.as_str(), expected, "{line}");
    }
}
