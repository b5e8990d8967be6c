//! The Record: what became of an order, as the gateway's ledger has it. Pure.
//!
//! A Record confirms, refuses or denies an order only with the fields that prove it, and only where all that it echoes of the order
//! fits. Anything else leaves open what became of it.

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::IntentKey;
use sentinel_actors::domain::order::{Fill, Order, Ticket};
use sentinel_actors::ports::{Evidence, Submission};
use serde_json::Value;

use super::super::retcode::meaning;
use super::super::values::{cleaned, comment};
use super::reply::decimal;

/// Candidates of a held order that are shown.
const CANDIDATES_SHOWN: usize = 4;

/// The order that a Record has to be about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) key: &'a IntentKey,
    pub(super) order: &'a Order,
    pub(super) magic: u32,
}

/// What a Record proves.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    Done {
        fill: Fill,
        /// The broker has not kept a stop or a target.
        levels_missing: bool,
    },
    Refused {
        code: Option<i64>,
        text: String,
        lasting: bool,
        /// It came too late, or after it was declared lost: nothing left.
        never_left: bool,
    },
    Absent(String),
    /// Not known yet; asking again may tell.
    Open(String),
    /// Asking cannot tell.
    Held(String),
}

impl Outcome {
    /// As the reply to the order itself.
    pub(super) fn submission(self) -> Submission {
        match self {
            Self::Done { fill, .. } => Submission::Acked(fill.into()),
            Self::Refused { text, never_left: true, .. } => Submission::NeverLeft(text),
            Self::Refused { code, text, lasting, .. } => Submission::Rejected { code, text, lasting },
            Self::Absent(text) | Self::Open(text) | Self::Held(text) => Submission::Unknown(text),
        }
    }

    /// As the answer to a question about the order.
    pub(super) fn evidence(self) -> Evidence {
        match self {
            Self::Done { fill, .. } => Evidence::Found(fill.into()),
            Self::Refused { code, text, .. } => Evidence::Refused { code, text },
            Self::Absent(text) => Evidence::Absent(text),
            Self::Open(text) => Evidence::NotNow(text),
            Self::Held(text) => Evidence::Undecidable(text),
        }
    }
}

/// What a Record proves of an order.
///
/// # Errors
/// The text says why it proves nothing.
pub(super) fn outcome(record: &Value, asked: Asked<'_>) -> Result<Outcome, String> {
    judge(record, asked).map_err(|why| format!("{why}: {}", told(record)))
}

fn judge(record: &Value, asked: Asked<'_>) -> Result<Outcome, String> {
    if let Some(stated) = about_another(record, asked) {
        return Err(format!("the record is about another order, {stated}"));
    }
    let state = record["state"].as_str().unwrap_or_default();
    if record["final"].as_bool() != Some(matches!(state, "done" | "refused" | "absent")) {
        return Err("the record contradicts itself about being final".to_owned());
    }
    match state {
        "done" => done(record, asked.order),
        "refused" => refused(record),
        "absent" => absent(record),
        "placed" | "unknown" => Ok(Outcome::Open(told(record))),
        "held" => Ok(Outcome::Held(held(record, asked))),
        _ => Err("the record has no state of this protocol".to_owned()),
    }
}

/// What it says that does not fit the order.
fn about_another(record: &Value, asked: Asked<'_>) -> Option<String> {
    let stated = |name: &str| Some(&record[name]).filter(|stated| !stated.is_null());
    let differs = [
        stated("comment").filter(|stated| stated.as_str() != Some(&comment(asked.key))),
        stated("magic").filter(|stated| stated.as_u64() != Some(asked.magic.into())),
        stated("volume").filter(|stated| decimal(stated) != Some(asked.order.volume_lots)),
    ];
    differs.into_iter().flatten().next().map(|stated| cleaned(&stated.to_string()))
}

fn proof(record: &Value) -> &str {
    record["proof"].as_str().unwrap_or_default()
}

/// Whether it calls an order absent because its store never had it.
pub(super) fn is_by_bar(record: &Value) -> bool {
    record["state"].as_str() == Some("absent") && proof(record) == "barred"
}

fn ticket(record: &Value) -> Option<Ticket> {
    record["order"].as_u64().filter(|ticket| *ticket > 0).map(Ticket)
}

/// Whether it says of anything that it was executed.
fn names_an_execution(record: &Value) -> bool {
    let is_filled = match &record["filled"] {
        Value::Null => false,
        filled => decimal(filled).is_none_or(|filled| !filled.is_zero()),
    };
    let has_deals = match &record["deals"] {
        Value::Null => false,
        Value::Array(deals) => !deals.is_empty(),
        _ => true,
    };
    is_filled || has_deals
}

fn done(record: &Value, order: &Order) -> Result<Outcome, String> {
    if !matches!(proof(record), "deals" | "order" | "position") || record["sent"].as_bool() != Some(true) {
        return Err("an order that is said to be done comes without a proof".to_owned());
    }
    let ticket = ticket(record).ok_or("an order that is said to be done comes without a ticket")?;
    let fits = |filled: &Decimal| *filled > Decimal::ZERO && *filled <= order.volume_lots;
    let volume_lots =
        decimal(&record["filled"]).filter(fits).ok_or("what is said to be filled does not fit the order")?;
    let price = decimal(&record["price"]).filter(|price| *price > Decimal::ZERO);
    let fill = Fill { ticket, volume_lots, price, text: told(record) };
    Ok(Outcome::Done { fill, levels_missing: record["levels_missing"].as_bool() == Some(true) })
}

fn refused(record: &Value) -> Result<Outcome, String> {
    let (Some(sent), Some(lasting)) = (record["sent"].as_bool(), record["lasting"].as_bool()) else {
        return Err("a refusal does not say whether it was sent".to_owned());
    };
    if names_an_execution(record) {
        return Err("a refusal comes with an execution".to_owned());
    }
    // A broker that has made an order of it and has ended that one is believed about its end only.
    if ticket(record).is_some() && (proof(record) != "order" || !sent) {
        return Err("a refusal comes with a ticket".to_owned());
    }
    if proof(record).is_empty() {
        return Err("a refusal comes without a proof".to_owned());
    }
    let never_left = !sent && matches!(proof(record), "expired" | "barred");
    Ok(Outcome::Refused { code: record["retcode"].as_i64(), text: told(record), lasting, never_left })
}

fn absent(record: &Value) -> Result<Outcome, String> {
    let is_proven = match proof(record) {
        // The store has never had it, and refuses it from now on.
        "barred" => record["sent"].as_bool() == Some(false) && ticket(record).is_none(),
        // The broker's lists do not show it, for so long that it would be there.
        "history" => true,
        _ => false,
    };
    if !is_proven {
        return Err("an order that is said to be absent comes without a proof".to_owned());
    }
    if names_an_execution(record) {
        return Err("an order that is said to be absent comes with an execution".to_owned());
    }
    Ok(Outcome::Absent(told(record)))
}

fn held(record: &Value, asked: Asked<'_>) -> String {
    let candidates = record["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown: Vec<String> = candidates.iter().take(CANDIDATES_SHOWN).map(|one| cleaned(&one.to_string())).collect();
    let may_be = if shown.is_empty() { String::new() } else { format!("; it may be {}", shown.join(" or ")) };
    let (comment, magic) = (comment(asked.key), asked.magic);
    format!(
        "{}{may_be}; look in the terminal's orders, deals and positions for a {} of {} {} with the comment {comment} and the magic \
         number {magic} in its last 31 bits",
        told(record),
        asked.order.side,
        asked.order.volume_lots.normalize(),
        asked.order.symbol,
    )
}

/// For people: the state, its proof, the code, and the gateway's own words.
fn told(record: &Value) -> String {
    let mut text = cleaned(record["state"].as_str().unwrap_or("no state"));
    let proof = proof(record);
    if !proof.is_empty() {
        text.push_str(&format!(", by {}", cleaned(proof)));
    }
    if record["replayed"].as_bool() == Some(true) {
        text.push_str(", as the gateway's ledger has it");
    }
    if record["levels_missing"].as_bool() == Some(true) {
        text.push_str(", and the broker did not keep its stop or target");
    }
    match record["retcode"].as_i64() {
        Some(code) if code > 0 => text.push_str(&format!(", {} ({code})", meaning(code))),
        // Of the terminal's interface for Python, whose own words follow.
        Some(code) => text.push_str(&format!(", code {code}")),
        None => {}
    }
    if let Some(ticket) = ticket(record) {
        text.push_str(&format!(", order {ticket}"));
    }
    match record["text"].as_str().map(cleaned) {
        Some(words) if !words.is_empty() => text + ": " + &words,
        _ => text,
    }
}
