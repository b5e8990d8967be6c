//! What the forecast strategy wants done: one forecast per decision, checked against its bounds. It knows no positions.

use std::sync::Arc;

use rust_decimal::Decimal;

use super::IntentProtocol;
use super::effect::{Effect, existing_effect};
use crate::cycle_flow::Cycle;
use crate::domain::action::{Action, Forecast};
use crate::domain::bar::CleanBars;
use crate::domain::cycle::SlotRecord;
use crate::domain::decision::DecideOn;
use crate::domain::forecast::ForecastPolicy;
use crate::domain::intent::Basis;
use crate::domain::reason::{Ending, Reason};
use crate::events;
use crate::ports::BarObserver;

pub struct ForecastStrategy {
    pub symbol: String,
    pub policy: ForecastPolicy,
    /// Compares earlier forecasts with what came true.
    pub observer: Arc<dyn BarObserver>,
}

impl ForecastStrategy {
    pub(super) async fn execute(
        &self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        record: &mut SlotRecord,
        bars: &CleanBars,
        value: f64,
    ) -> Ending {
        let Some(newest) = bars.newest() else {
            return Ending::new(Reason::StaleData, "no usable bar");
        };
        let basis = match self.policy.decide_on {
            DecideOn::Bar => Basis::Bar(newest.time),
            DecideOn::Slot => Basis::Slot(cycle.slot),
        };
        // What earlier forecasts were worth decides nothing: if it cannot be written now, a later slot writes it.
        if let Err(error) = self.observer.observe(&self.symbol, bars).await {
            events::comparing_postponed(&protocol.pipeline, &error.to_string());
        }
        if !protocol.settled
            && let Err(error) = protocol.settle(Some(cycle.slot)).await
        {
            return Ending::new(Reason::JournalUnavailable, error.to_string());
        }
        // The shortest decimal that is this close: a record of 28 digits would say more than the vendor did.
        let Ok(reference_price) = Decimal::try_from(newest.close) else {
            return Ending::new(Reason::StaleData, format!("the close {} is no price", newest.close));
        };
        let existing = match protocol.existing(cycle, basis).await {
            Ok(existing) => existing,
            Err(error) => return Ending::new(Reason::JournalUnavailable, error.to_string()),
        };
        let forecast = match self.policy.decide(value, &self.symbol, (newest.time, reference_price.normalize())) {
            Ok(forecast) => forecast,
            Err(ending) => return ending,
        };
        record.decided_bar = Some(newest.time);
        let own = existing.iter().filter(|intent| intent.slot == cycle.slot);
        record.intents = own.map(|intent| intent.key.clone()).collect();
        let earlier = existing.iter().find(|intent| intent.action.forecast().is_some());
        let effect = match earlier.and_then(|intent| existing_effect(intent, cycle.slot)) {
            Some(effect) => effect,
            None => {
                let identity = protocol.identity(basis, Forecast::ROLE, earlier);
                let action = Action::from(forecast);
                match self.may_forecast(protocol, cycle, &action).await {
                    Ok(()) => protocol.carry_out(cycle, record, identity, action, None).await,
                    Err(ending) => Effect::Nothing(ending),
                }
            }
        };
        match effect {
            Effect::Acted(reason, text) => Ending::new(reason, text),
            Effect::ActedEarlier { text, .. } => Ending::new(Reason::AlreadyDecided, text),
            Effect::Nothing(ending) => ending,
        }
    }

    /// On a grid, what became of an earlier forecast has to be known first, or an operator has to have looked. An announced slot is a
    /// question of its own, which closes: an answer to another one, wherever it is, can be neither its first nor its second.
    async fn may_forecast(&self, protocol: &mut IntentProtocol, cycle: &Cycle, action: &Action) -> Result<(), Ending> {
        protocol.may_act(cycle, action).await?;
        if cycle.announced.is_some() {
            return Ok(());
        }
        let open = protocol.open_before(cycle.slot).await;
        let open = open.map_err(|error| Ending::new(Reason::JournalUnavailable, error.to_string()))?;
        match open.first() {
            Some(intent) => Err(Ending::new(Reason::IntentOpen, intent.key.to_string())),
            None => Ok(()),
        }
    }
}
