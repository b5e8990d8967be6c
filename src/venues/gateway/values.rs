//! What the dialects have in common: ids, comments, numbers, and texts from outside. Pure.

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Order, Side};
use serde_json::Value;
use uuid::Uuid;

use super::dialect::IN_HUNDREDTHS;
use super::speech::Unsendable;

/// Namespace of the request ids. Changing it would make orders of earlier versions unknown to the gateway.
const NAMESPACE: Uuid = Uuid::from_u128(0x308e_1ce2_3f4c_42f9_a2e3_1b75_9ac4_a078);

/// Characters of a gateway's text that are kept.
const TEXT_CHARS_MAX: usize = 200;

/// Characters of the key in an order's comment, which takes 31 at most.
const COMMENT_KEY_CHARS: usize = 20;

/// The id that all requests about a key carry.
#[must_use]
pub fn req_id(key: &IntentKey) -> Uuid {
    Uuid::new_v5(&NAMESPACE, key.as_str().as_bytes())
}

/// The id of the question with this number, which is about no order.
#[must_use]
pub fn question_id(number: u64) -> Uuid {
    Uuid::new_v5(&NAMESPACE, format!("question {number}").as_bytes())
}

/// The comment by which a person finds the order in the terminal.
#[must_use]
pub fn comment(key: &IntentKey) -> String {
    format!("sn:{}", key.as_str().chars().take(COMMENT_KEY_CHARS).collect::<String>())
}

/// A JSON object, and nothing that only looks like one.
pub(super) fn object<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    let cause = match serde_json::from_slice(bytes) {
        // A list of the right values would pass for the object.
        Ok(_) if !bytes.trim_ascii_start().starts_with(b"{") => "no object".to_owned(),
        Ok(reply) => return Ok(reply),
        Err(error) => error.to_string(),
    };
    let text = String::from_utf8_lossy(bytes.get(..TEXT_CHARS_MAX * 4).unwrap_or(bytes));
    Err(format!("the reply is none of this dialect ({}): {}", cleaned(&cause), cleaned(&text)))
}

/// A volume in steps of 0.01, less the noise of a float. Any other could never be closed.
pub(super) fn in_hundredths(lots: Decimal) -> Option<Decimal> {
    let rounded = lots.round_dp(2);
    ((lots - rounded).abs() < Decimal::new(1, 9)).then_some(rounded)
}

/// The filled volume of an order of `ordered` lots, as a reply states it.
pub(super) fn filled_of(stated: &Value, ordered: Decimal) -> Result<Decimal, String> {
    let filled = decimal(stated).and_then(in_hundredths);
    let fits = |filled: &Decimal| *filled > Decimal::ZERO && *filled <= ordered;
    filled.filter(fits).ok_or_else(|| format!("a volume of {} does not fit the order", cleaned(&stated.to_string())))
}

/// A JSON number as it was written, to the last digit that a float keeps.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok()
}

/// Above zero, or nothing.
pub(super) fn price(value: &Value) -> Option<Decimal> {
    decimal(value).filter(|price| *price > Decimal::ZERO)
}

/// A volume with two decimals, no more and no fewer.
pub(super) fn two_decimals(lots: Decimal) -> Result<Decimal, Unsendable> {
    let mut volume = lots;
    volume.rescale(IN_HUNDREDTHS.decimals);
    if IN_HUNDREDTHS.allow(lots) { Ok(volume) } else { Err(Unsendable::Volume(lots)) }
}

/// Stop and target, 0 for none.
pub(super) fn levels(order: &Order) -> Result<[Decimal; 2], Unsendable> {
    let [stop, target] = [order.stop_price, order.target_price];
    match [stop, target].into_iter().flatten().find(|level| *level <= Decimal::ZERO) {
        Some(level) => Err(Unsendable::Level(level)),
        None => Ok([stop, target].map(Option::unwrap_or_default)),
    }
}

/// `BUY` or `SELL`.
pub(super) const fn direction(side: Side) -> &'static str {
    match side {
        Side::Buy => "BUY",
        Side::Sell => "SELL",
    }
}

/// A number with a point, because some gateways take no integers for prices and volumes.
pub(super) fn float(number: Decimal) -> String {
    let text = number.normalize().to_string();
    if text.contains('.') { text } else { format!("{text}.0") }
}

/// A text from outside, safe to print and to keep.
pub(super) fn cleaned(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(TEXT_CHARS_MAX).collect()
}

/// Whether a gateway's name of a symbol means ours: brokers add suffixes, as in `EURUSD.m` and `EURUSDm`.
pub(crate) fn is_same_symbol(stated: &str, ours: &str) -> bool {
    let (short, long) = if stated.len() <= ours.len() { (stated, ours) } else { (ours, stated) };
    let (Some(begin), Some(suffix)) = (long.get(..short.len()), long.get(short.len()..)) else { return false };
    let more = |first: char| first.is_ascii_uppercase() || first.is_ascii_digit();
    !short.is_empty() && begin.eq_ignore_ascii_case(short) && !suffix.starts_with(more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_of_the_broker_makes_no_other_symbol() {
        for (stated, ours) in
            [("EURUSD", "EURUSD"), ("eurusd", "EURUSD"), ("EURUSD.m", "EURUSD"), ("EURUSD", "EURUSDm")]
        {
            assert!(is_same_symbol(stated, ours), "{stated} {ours}");
        }
        for (stated, ours) in
            [("GBPUSD", "EURUSD"), ("US30", "US300"), ("", "EURUSD"), ("EUR", "EURUSD"), ("€URUSD", "E")]
        {
            assert!(!is_same_symbol(stated, ours), "{stated} {ours}");
        }
    }
}
