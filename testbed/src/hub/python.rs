//! How Python writes what MLflow puts into its answers: floats, strings, byte strings and shapes. Nothing here knows why.

use std::fmt::Write as _;

/// A float as `repr` and `json.dumps` write it: the shortest digits that read back as the same value, `NaN` and
/// `Infinity` bare.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{value:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// A JSON string with everything beyond ASCII escaped, as `json.dumps` does.
pub(super) fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(char),
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}

/// `repr` of a string.
pub(super) fn repr(text: &str) -> String {
    let quote = quote_for(text.contains('\''), text.contains('"'));
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char == quote => out.extend(['\\', char]),
            '\0'..'\u{20}' | '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push(quote);
    out
}

/// `repr` of a byte string.
pub(super) fn repr_bytes(bytes: &[u8]) -> String {
    let quote = quote_for(bytes.contains(&b'\''), bytes.contains(&b'"'));
    let mut out = String::with_capacity(bytes.len() + 3);
    out.extend(['b', quote]);
    for byte in bytes {
        match char::from(*byte) {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char == quote => out.extend(['\\', char]),
            char @ ' '..='~' => out.push(char),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(quote);
    out
}

fn quote_for(single: bool, double: bool) -> char {
    if single && !double { '"' } else { '\'' }
}

/// A tuple of sizes, as NumPy shows a shape.
pub(super) fn shape(sizes: &[usize]) -> String {
    match sizes {
        [one] => format!("({one},)"),
        sizes => format!("({})", sizes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_look_as_python_writes_them() {
        // Each pair was printed by `python3 -c 'import json; print(json.dumps(…))'`.
        let pairs = [
            (0.09003057317038046, "0.09003057317038046"),
            (1.0, "1.0"),
            (-0.1, "-0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e120, "1.25e+120"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in pairs {
            assert_eq!(float(value), text);
        }
    }

    #[test]
    fn strings_look_as_python_writes_them() {
        assert_eq!(repr("a'b"), "\"a'b\"");
        assert_eq!(repr("a'b\"\\\n"), "'a\\'b\"\\\\\\n'");
        assert_eq!(repr_bytes(b"{\"a\xff\x00~"), "b'{\"a\\xff\\x00~'");
        assert_eq!(json_string("é😀\u{1}\"/"), "\"\\u00e9\\ud83d\\ude00\\u0001\\\"/\"");
        assert_eq!(shape(&[23]), "(23,)");
        assert_eq!(shape(&[1, 24]), "(1, 24)");
        assert_eq!(shape(&[]), "()");
    }
}
