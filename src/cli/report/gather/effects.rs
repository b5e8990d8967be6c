//! Orders and forecasts of the journal.

use std::collections::{BTreeMap, HashMap};

use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::intent::{Intent, IntentState, Mode};
use sentinel_actors::domain::order::Role;
use sentinel_actors::domain::time::UtcMs;

use super::super::OpenOrder;
use super::super::holdings::Orders;
use super::super::rows::{self, Decided};
use super::{Asked, Pipelines, empty};
use crate::cli::Failure;
use crate::cli::forecasts::Periods;
use crate::cli::proof::ProofError;
use crate::journal::{Filter, JournalError, JournalReader};
use crate::operator::report::facts::Opening;
use crate::operator::report::part::Part;
use crate::operator::report::tables::Tables;
use crate::venues::book::BOOK_FILE;
use crate::venues::book_reader::BookReader;

/// What is kept of the intents when they have passed.
pub(super) struct Effects {
    pub(super) orders: Orders,
    /// The live intent that opened the position with this ticket.
    pub(super) opened: HashMap<u64, Opening>,
    /// Those that are not final.
    pub(super) open: Vec<String>,
}

impl Effects {
    pub(super) fn read(
        reader: &JournalReader,
        asked: &Asked<'_>,
        known: &BTreeMap<String, Periods>,
        pipelines: &mut Pipelines,
        mut tables: Option<&mut Tables>,
    ) -> Result<Self, Failure> {
        let mut effects = Self { orders: Orders::default(), opened: HashMap::new(), open: Vec::new() };
        let book = asked.state.join(BOOK_FILE);
        let book = book.exists().then(|| BookReader::open(&book)).transpose().map_err(ProofError::from)?;
        reader.each_intent_of::<Failure>(&Filter::default(), |stored| {
            let intent = stored.record;
            effects.keep(&intent);
            if !asked.range.holds(intent.slot) {
                return Ok(());
            }
            let pipeline = pipelines.entry(intent.pipeline.clone()).or_insert_with(|| empty(&intent.pipeline, known));
            let states = match intent.action {
                Action::Order(_) => &mut pipeline.orders,
                Action::Forecast(_) => &mut pipeline.forecasts,
            };
            *states.entry(intent.state).or_default() += 1;
            let Some(tables) = tables.as_deref_mut() else { return Ok(()) };
            let periods = known.get(&intent.pipeline);
            let written = match &intent.action {
                Action::Order(order) => {
                    let (decided, bar) = decided(reader, &intent.pipeline, intent.slot)?;
                    let part = Part::of(periods, bar);
                    rows::order(tables, (&intent, order), decided, bar, (part, stored.is_intact))
                }
                Action::Forecast(forecast) => {
                    let came_true = book.as_ref().map(|book| book.came_true(&intent.key)).transpose();
                    let came_true = came_true.map_err(ProofError::from)?.flatten();
                    let part = Part::of(periods, Some(forecast.reference_time));
                    rows::forecast(tables, (&intent, forecast), came_true, part, stored.is_intact)
                }
            };
            written.map_err(|error| asked.unwritten(&error))
        })?;
        Ok(effects)
    }

    fn keep(&mut self, intent: &Intent) {
        self.orders.add(intent);
        if !intent.state.is_final() {
            self.open.push(sentence(intent));
        }
        let ticket = intent.receipt.as_ref().and_then(Receipt::ticket);
        let opens = intent.order().is_some_and(|order| order.role == Role::Open);
        if let Some(ticket) = ticket.filter(|_| opens && intent.mode == Mode::Live) {
            let (key, pipeline) = (intent.key.to_string(), intent.pipeline.clone());
            self.opened.insert(ticket.0, Opening { key, pipeline, slot: intent.slot, confidence: None });
        }
    }
}

fn sentence(intent: &Intent) -> String {
    let OpenOrder { key, state, order, account, decided_by, .. } = OpenOrder::from(intent);
    let end = match state {
        IntentState::Held => "it waits for an operator: look in the terminal, then `sentinel settle`",
        _ => "it is not settled yet",
    };
    format!("{key}: {order} on account {account}, {decided_by}; {end}")
}

/// Signal and confidence of a slot, and the bar that it decided. What an operator asked for has no slot.
pub(super) fn decided(
    reader: &JournalReader,
    pipeline: &str,
    slot: UtcMs,
) -> Result<(Decided, Option<UtcMs>), JournalError> {
    let record = reader.slot(pipeline, slot)?.map(|stored| stored.record);
    Ok(record.map_or_else(Default::default, |record| {
        (Decided { signal: record.signal, confidence: record.confidence }, record.newest_bar)
    }))
}
