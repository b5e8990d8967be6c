//! What a pipeline is for: `job = "order"` or `job = "forecast"`. Each job has sections of its own, and neither knows the other's.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::decision::{DecideOn, OnOpposite, Signal, TradePolicy};
use sentinel_actors::domain::forecast::{ForecastPolicy, LEAST};
use sentinel_actors::domain::risk::RiskLimits;

use super::endpoints::{self, VenueConfig};
use super::reader::{Section, WhenAbsent};
use super::values::LONG;

/// The longest horizon of a forecast.
const HORIZON_MAX: Duration = Duration::from_secs(366 * 86_400);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobKind {
    Order,
    Forecast,
}

/// What a pipeline decides, and where that goes.
#[derive(Debug, Clone, PartialEq)]
pub enum JobConfig {
    Order(OrderJob),
    Forecast(ForecastJob),
}

/// `job = "order"`.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderJob {
    pub policy: TradePolicy,
    /// Limits on orders.
    pub risk: RiskLimits,
    /// Where orders go when the pipeline is live.
    pub venue: VenueConfig,
    pub paper: PaperConfig,
}

/// `job = "forecast"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastJob {
    pub policy: ForecastPolicy,
    /// Account in the paper book, part of every intent key.
    pub account: String,
}

/// `[pipeline.paper]`: the dry run's venue.
#[derive(Debug, Clone, PartialEq)]
pub struct PaperConfig {
    /// Account, part of every intent key. Pipelines that share one share positions of a symbol.
    pub account: String,
    /// Distance between bid and ask, in price units.
    pub spread: Decimal,
    /// Units of the base currency in one lot.
    pub contract_size: Decimal,
}

/// The files of earlier versions, which knew orders only, do not say it.
pub(super) fn kind(s: &mut Section<'_, '_>) -> JobKind {
    let kinds = [("order", JobKind::Order), ("forecast", JobKind::Forecast)];
    s.choice("job", WhenAbsent::Optional, &kinds).unwrap_or(JobKind::Order)
}

pub(super) fn order(s: &mut Section<'_, '_>, is_replay: bool, live: bool) -> Option<JobConfig> {
    let policy = decision(s.child("decision"));
    let risk = risk(s.child("risk"));
    let venue = endpoints::venue(s.child("venue"), policy.as_ref(), risk, is_replay, live);
    let paper = paper(s.child("paper"));
    Some(JobConfig::Order(OrderJob { policy: policy?, risk: risk?, venue: venue?, paper: paper? }))
}

pub(super) fn forecast(s: &mut Section<'_, '_>, interval: Interval, live: bool) -> Option<JobConfig> {
    if live {
        let what = "'forecast' has nowhere to go live in this version; write mode = \"dry_run\" in this pipeline";
        s.report("job", what);
    }
    let policy = bounds(s.child("forecast"), interval);
    let mut paper = s.child("paper");
    let account = paper.name("account", WhenAbsent::Default("paper"));
    paper.finish();
    Some(JobConfig::Forecast(ForecastJob { policy: policy?, account: account? }))
}

/// `[pipeline.forecast]`. Neither bound has a default: both are properties of the model and of what is forecast.
fn bounds(mut s: Section<'_, '_>, interval: Interval) -> Option<ForecastPolicy> {
    use WhenAbsent::{Default, Required};
    let horizon = s.duration("horizon", Required, Duration::from_secs(60)..=HORIZON_MAX);
    if horizon.is_some_and(|horizon| !horizon.as_nanos().is_multiple_of(interval.length().as_nanos())) {
        s.report("horizon", format!("is no whole number of bars, {interval} each: no bar would show what came true"));
    }
    let max_abs = s.number("max_abs", Required, LEAST..=100.0);
    let decide_on = s.choice("decide_on", Default("bar"), &[("bar", DecideOn::Bar), ("slot", DecideOn::Slot)]);
    s.finish();
    Some(ForecastPolicy { horizon: horizon?, max_abs: max_abs?, decide_on: decide_on? })
}

fn decision(mut s: Section<'_, '_>) -> Option<TradePolicy> {
    use WhenAbsent::{Default, Optional, Required};
    let smallest = Decimal::new(1, 8);
    let signals = [Signal::Sell, Signal::Hold, Signal::Buy].map(|signal| (signal.code(), signal));
    let opposites = [("ignore", OnOpposite::Ignore), ("close", OnOpposite::Close), ("reverse", OnOpposite::Reverse)];
    let classes = s.words("classes", "sell, hold, buy", &signals);
    let threshold = s.number("threshold", Default("0.6"), 0.0..=0.999);
    let decide_on = s.choice("decide_on", Default("bar"), &[("bar", DecideOn::Bar), ("slot", DecideOn::Slot)]);
    let volume_lots = s.decimal("volume_lots", Required, smallest..=Decimal::from(10_000));
    let distance = smallest..=Decimal::from(1_000_000);
    let stop_distance = s.decimal_or_none("stop_distance", distance.clone());
    let target_distance = s.decimal_or_none("target_distance", distance);
    let price_digits = s.count("price_digits", Default("5"), 0..=10);
    let on_opposite = s.choice("on_opposite", Default("close"), &opposites);
    let max_holding = s.duration("max_holding", Optional, LONG);
    if let Some(digits) = price_digits {
        for (key, distance) in [("stop_distance", stop_distance), ("target_distance", target_distance)] {
            if distance.flatten().is_some_and(|distance| distance.normalize().scale() > digits) {
                s.report(key, format!("has more than the {digits} decimal places of price_digits"));
            }
        }
    }
    s.finish();
    Some(TradePolicy {
        classes: classes?,
        threshold: threshold?,
        decide_on: decide_on?,
        volume_lots: volume_lots?,
        stop_distance: stop_distance?,
        target_distance: target_distance?,
        price_digits: price_digits?,
        on_opposite: on_opposite?,
        max_holding,
    })
}

fn risk(mut s: Section<'_, '_>) -> Option<RiskLimits> {
    use WhenAbsent::Default;
    let max_open_positions = s.count_or_none("max_open_positions", "1", 1..=1000);
    let max_orders_per_hour = s.count("max_orders_per_hour", Default("6"), 1..=10_000);
    let max_orders_per_day = s.count("max_orders_per_day", Default("24"), 1..=100_000);
    s.finish();
    Some(RiskLimits {
        max_open_positions: max_open_positions?,
        max_orders_per_hour: max_orders_per_hour?,
        max_orders_per_day: max_orders_per_day?,
    })
}

fn paper(mut s: Section<'_, '_>) -> Option<PaperConfig> {
    use WhenAbsent::Default;
    let account = s.name("account", Default("paper"));
    let spread = s.decimal("spread", Default("0.00010"), Decimal::ZERO..=Decimal::from(1_000_000));
    let contract_size =
        s.decimal("contract_size", Default("100000"), Decimal::new(1, 8)..=Decimal::from(1_000_000_000));
    s.finish();
    Some(PaperConfig { account: account?, spread: spread?, contract_size: contract_size? })
}
