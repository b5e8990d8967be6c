//! The journal's and the venues' rows as rows of the tables.

use std::io;
use std::time::Duration;

use sentinel_actors::domain::action::Forecast;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::order::Order;
use sentinel_actors::domain::time::UtcMs;

use crate::operator::report::facts::{Closed, ErrorRow, Facts, ForecastFacts, PipelineFacts, VenueFacts};
use crate::operator::report::outages::Outage;
use crate::operator::report::part::Part;
use crate::operator::report::spread::Spread;
use crate::operator::report::tables::{self, Tables, known};

/// A decision's signal and confidence, with which a row of an order says what it was about.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Decided {
    pub(in crate::cli) signal: Option<String>,
    pub(in crate::cli) confidence: Option<f64>,
}

pub(in crate::cli) fn slot(to: &mut Tables, record: &SlotRecord, part: Part, is_intact: bool) -> io::Result<()> {
    let worked: Vec<u64> = record.stage_us.iter().flatten().copied().collect();
    let value = match record.raw_output.as_deref() {
        Some([value]) if record.signal.is_none() => Some(*value),
        _ => None,
    };
    let keys: Vec<&str> = record.intents.iter().map(|key| key.as_str()).collect();
    to.row(
        &tables::SLOTS,
        [
            record.pipeline.clone(),
            record.slot.to_string(),
            record.mode.to_string(),
            record.outcome().to_string(),
            record.reason.to_string(),
            known(record.started_at),
            record.ended_at.to_string(),
            known(record.started_at.map(|started| started.since(record.slot).as_millis())),
            known((!worked.is_empty()).then(|| worked.iter().sum::<u64>())),
            known(record.newest_bar),
            part.to_string(),
            known(record.model.as_ref().map(|model| &model.hash)),
            known(record.signal.as_ref()),
            known(record.confidence),
            known(record.weighed.as_ref().map(|weighed| weighed.threshold)),
            known(value),
            keys.join(" "),
            is_intact.to_string(),
        ],
    )
}

pub(in crate::cli) fn outage(to: &mut Tables, pipeline: &str, outage: &Outage) -> io::Result<()> {
    to.row(
        &tables::OUTAGES,
        [
            pipeline.to_owned(),
            outage.first.to_string(),
            outage.last.to_string(),
            known(outage.until),
            seconds(outage.length()),
            outage.slots.to_string(),
            outage.why(),
        ],
    )
}

fn seconds(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => duration.as_secs().to_string(),
        millis => format!("{}.{millis:03}", duration.as_secs()),
    }
}

pub(in crate::cli) fn order(
    to: &mut Tables,
    (intent, order): (&Intent, &Order),
    decided: Decided,
    bar: Option<UtcMs>,
    (part, is_intact): (Part, bool),
) -> io::Result<()> {
    let fill = intent.receipt.as_ref().and_then(|receipt| receipt.fill());
    to.row(
        &tables::ORDERS,
        [
            intent.key.to_string(),
            intent.pipeline.clone(),
            intent.slot.to_string(),
            intent.account.clone(),
            intent.mode.to_string(),
            order.role.to_string(),
            order.symbol.clone(),
            order.side.to_string(),
            order.volume_lots.to_string(),
            order.reference_price.to_string(),
            known(order.stop_price),
            known(order.target_price),
            intent.state.to_string(),
            known(fill.map(|fill| fill.ticket)),
            known(fill.map(|fill| fill.volume_lots)),
            known(fill.and_then(|fill| fill.price)),
            decided.signal.unwrap_or_default(),
            known(decided.confidence),
            known(bar),
            part.to_string(),
            is_intact.to_string(),
        ],
    )
}

pub(in crate::cli) fn forecast(
    to: &mut Tables,
    (intent, forecast): (&Intent, &Forecast),
    came_true: Option<rust_decimal::Decimal>,
    part: Part,
    is_intact: bool,
) -> io::Result<()> {
    let inclusion = intent.receipt.as_ref().and_then(|receipt| receipt.inclusion());
    to.row(
        &tables::FORECASTS,
        [
            intent.key.to_string(),
            intent.pipeline.clone(),
            intent.slot.to_string(),
            known(intent.announced_as.as_ref()),
            intent.account.clone(),
            intent.mode.to_string(),
            forecast.symbol.clone(),
            forecast.log_return.to_string(),
            forecast.horizon_s.to_string(),
            forecast.reference_price.to_string(),
            forecast.reference_time.to_string(),
            part.to_string(),
            intent.state.to_string(),
            known(inclusion.map(|inclusion| &inclusion.hash)),
            known(inclusion.map(|inclusion| inclusion.height)),
            known(came_true),
            is_intact.to_string(),
        ],
    )
}

pub(in crate::cli) fn position(to: &mut Tables, by: &str, mode: Mode, closed: &Closed) -> io::Result<()> {
    let decision = closed.decision.as_ref();
    to.row(
        &tables::POSITIONS,
        [
            by.to_owned(),
            mode.to_string(),
            closed.ticket.to_string(),
            closed.symbol.clone(),
            closed.side.clone(),
            closed.volume_lots.to_string(),
            closed.open_price.to_string(),
            closed.opened_at.to_string(),
            closed.close_price.to_string(),
            closed.closed_at.to_string(),
            closed.reason.clone(),
            closed.profit.to_string(),
            known(decision.map(|decision| &decision.key)),
            known(decision.map(|decision| &decision.pipeline)),
            known(decision.map(|decision| decision.slot)),
            known(decision.and_then(|decision| decision.confidence)),
            closed.part.to_string(),
        ],
    )
}

/// The tables of sums, when everything has passed.
pub(in crate::cli) fn sums(to: &mut Tables, facts: &Facts) -> io::Result<()> {
    facts.pipelines.iter().try_for_each(|pipeline| of_pipeline(to, pipeline))?;
    facts.venues.iter().try_for_each(|venue| of_venue(to, venue))?;
    facts.forecasts.iter().try_for_each(|forecasts| of_forecasts(to, forecasts))
}

fn of_pipeline(to: &mut Tables, PipelineFacts { slots, .. }: &PipelineFacts) -> io::Result<()> {
    for (reason, count) in &slots.reasons {
        let (first, last) = (count.first.to_string(), count.last.to_string());
        let name = slots.name.clone();
        let row = [name, reason.outcome().to_string(), reason.to_string(), count.slots.to_string(), first, last];
        to.row(&tables::REASONS, row)?;
    }
    let mut lateness = |measure: &str, spread: &Spread| {
        let [half, most, nearly_all] = [500, 900, 990].map(|thousandths| known(spread.quantile(thousandths)));
        let (name, count, largest) = (slots.name.clone(), spread.count().to_string(), known(spread.largest()));
        to.row(&tables::LATENESS, [name, measure.to_owned(), count, half, most, nearly_all, largest])
    };
    lateness("late_ms", &slots.late_ms)?;
    lateness("worked_us", &slots.worked_us)
}

fn of_venue(to: &mut Tables, venue: &VenueFacts) -> io::Result<()> {
    let (by, mode) = (venue.by.to_owned(), known(venue.mode));
    let Some(realised) = &venue.realised else {
        let nothing = String::new;
        return to.row(&tables::PROFIT, [by, mode, Part::Unknown.to_string(), nothing(), nothing(), nothing()]);
    };
    for (part, realised) in realised {
        let (closed, won) = (realised.closed.to_string(), realised.won.to_string());
        to.row(
            &tables::PROFIT,
            [by.clone(), mode.clone(), part.to_string(), realised.profit.to_string(), closed, won],
        )?;
    }
    for (part, calibration) in &venue.calibration {
        let Some(scores) = calibration.scores() else { continue };
        let head = [by.clone(), mode.clone(), part.to_string()];
        let [by, mode, part] = head.clone();
        let figures =
            [scores.base_rate, scores.brier, scores.brier_of_base_rate, scores.log_loss, scores.log_loss_of_base_rate];
        let [rate, brier, brier_of_base, log, log_of_base] = figures.map(|figure| figure.to_string());
        let count = scores.count.to_string();
        to.row(&tables::SCORES, [by, mode, part, count, rate, brier, brier_of_base, log, log_of_base])?;
        for ((from, until), bin) in calibration.bins() {
            let (Some((mean, won)), Some((low, high))) = (bin.means(), bin.interval()) else { continue };
            let [by, mode, part] = head.clone();
            let [from, until, mean, won, low, high] =
                [from, until, mean, won, low, high].map(|value| value.to_string());
            let row = [by, mode, part, from, until, bin.count.to_string(), mean, won, low, high];
            to.row(&tables::RELIABILITY, row)?;
        }
    }
    Ok(())
}

fn of_forecasts(to: &mut Tables, forecasts: &ForecastFacts) -> io::Result<()> {
    for ErrorRow { part, made, compared, independent, rmse, rmse_of_zero } in &forecasts.rows {
        let [made, compared, independent] = [made, compared, independent].map(|count| count.to_string());
        let part = part.map_or("all", Part::code).to_owned();
        let row = [forecasts.what.clone(), part, made, compared, independent, known(*rmse), known(*rmse_of_zero)];
        to.row(&tables::ERRORS, row)?;
    }
    Ok(())
}
