//! What the venues have on record, and the decisions behind it.

use std::collections::BTreeMap;

use rust_decimal::prelude::ToPrimitive as _;
use sentinel_actors::domain::intent::Mode;

use super::super::holdings::{self, Holdings};
use super::super::rows;
use super::Asked;
use super::effects::{Effects, decided};
use crate::cli::Failure;
use crate::cli::forecasts::Periods;
use crate::cli::proof::venue::{ClosedPosition, OpenPosition, Venue};
use crate::journal::{JournalError, JournalReader};
use crate::operator::report::document::POSITIONS;
use crate::operator::report::facts::{Closed, NO_RECORD, Opening, VenueFacts};
use crate::operator::report::part::Part;
use crate::operator::report::tables::Tables;

/// One for each venue that has anything of this node.
pub(super) fn read(
    reader: &JournalReader,
    asked: &Asked<'_>,
    known: &BTreeMap<String, Periods>,
    effects: &Effects,
    mut tables: Option<&mut Tables>,
) -> Result<Vec<VenueFacts>, Failure> {
    let mut all: Vec<VenueFacts> = Vec::new();
    for Holdings { by, file, mode, positions, realised, unknown } in
        holdings::read(asked.state, asked.ledger, &effects.orders, &asked.range)?
    {
        let positions = positions.iter().map(sentence).collect();
        let realised = realised.map(|_| BTreeMap::new());
        all.push(VenueFacts { by, file, mode: Some(mode), realised, positions, unknown, ..VenueFacts::default() });
    }
    // A dry run whose paper book is gone: what its orders brought is not nothing.
    if effects.orders.has(Mode::DryRun) && !all.iter().any(|facts| facts.mode == Some(Mode::DryRun)) {
        all.push(VenueFacts { by: NO_RECORD, mode: Some(Mode::DryRun), ..VenueFacts::default() });
    }
    for venue in Venue::all(asked.state, asked.ledger)? {
        let file = Some(venue.file().display().to_string());
        let Some(facts) = all.iter_mut().find(|facts| facts.file == file) else { continue };
        let mode = venue.mode();
        let mut sum = 0.0;
        venue.each_closed::<Failure>(asked.range.ends(), |closed| {
            let closed = with_decision(reader, known, effects, mode, closed)?;
            if let Some(tables) = tables.as_deref_mut() {
                rows::position(tables, facts.by, mode, &closed).map_err(|error| asked.unwritten(&error))?;
            }
            add(facts, closed, &mut sum);
            Ok(())
        })?;
        end(facts, sum);
    }
    Ok(all)
}

/// No closed position follows.
pub(in crate::cli) fn end(facts: &mut VenueFacts, sum: f64) {
    facts.closed.reverse();
    if let Some(last) = facts.closed.first().filter(|_| facts.curve.is_thinned()) {
        // The end of the curve is the total, whatever was left out before it.
        facts.curve.end_with((last.closed_at, sum));
    }
}

fn sentence(open: &OpenPosition) -> String {
    let OpenPosition { ticket, symbol, side, volume_lots, open_price, opened_at } = open;
    format!("{side} {volume_lots} lots of {symbol} at {open_price}, ticket {ticket}, since {opened_at}")
}

/// Takes in the next position that was closed. `sum`: what was realised before it.
pub(in crate::cli) fn add(facts: &mut VenueFacts, closed: Closed, sum: &mut f64) {
    facts.realised.get_or_insert_default().entry(closed.part).or_default().add(closed.profit);
    *sum += closed.profit.to_f64().unwrap_or_default();
    facts.curve.add((closed.closed_at, *sum));
    let confidence = closed.decision.as_ref().and_then(|decision| decision.confidence);
    let won = closed.profit > rust_decimal::Decimal::ZERO;
    let is_scored =
        confidence.is_some_and(|confidence| facts.calibration.entry(closed.part).or_default().add(confidence, won));
    facts.without_decision += u64::from(!is_scored);
    facts.closed.push(closed);
    if facts.closed.len() > POSITIONS {
        facts.closed.remove(0);
    }
}

/// A closed position with what opened it, as the journal knows it.
fn with_decision(
    reader: &JournalReader,
    known: &BTreeMap<String, Periods>,
    effects: &Effects,
    mode: Mode,
    closed: ClosedPosition,
) -> Result<Closed, JournalError> {
    let by_key = match &closed.opened_by {
        Some(key) => reader.intent(key)?.map(|stored| {
            let intent = stored.record;
            Opening { key: intent.key.to_string(), pipeline: intent.pipeline, slot: intent.slot, confidence: None }
        }),
        None => None,
    };
    let by_ticket = || effects.opened.get(&closed.ticket).filter(|_| mode == Mode::Live).cloned();
    let mut decision = by_key.or_else(by_ticket);
    let mut part = Part::Unknown;
    if let Some(opening) = &mut decision {
        let (of_slot, bar) = decided(reader, &opening.pipeline, opening.slot)?;
        opening.confidence = of_slot.confidence;
        part = Part::of(known.get(&opening.pipeline), bar);
    }
    let ClosedPosition { ticket, symbol, side, volume_lots, open_price, opened_at, .. } = closed;
    let ClosedPosition { close_price, closed_at, reason, profit, .. } = closed;
    Ok(Closed {
        ticket,
        symbol,
        side,
        volume_lots,
        open_price,
        opened_at,
        close_price,
        closed_at,
        reason,
        profit,
        decision,
        part,
    })
}
