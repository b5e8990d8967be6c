//! What a pipeline is for: `job = "order"` or `job = "forecast"`. Each job has sections of its own, and neither knows the other's.

use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::{AccountLimits, BrokerDay, CoolDown};
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::calendar::MarketCalendar;
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
    /// Distance between bid and ask, in price units, beyond which nothing is to be opened.
    pub max_spread: Option<Decimal>,
    /// Where orders go when the pipeline is live.
    pub venue: VenueConfig,
    pub paper: PaperConfig,
}

/// `job = "forecast"`.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastJob {
    pub policy: ForecastPolicy,
    /// Where forecasts go when the pipeline is live.
    pub venue: ForecastVenue,
    /// Account in the paper book, part of every intent key.
    pub account: String,
}

/// `[pipeline.venue]` of a forecast job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForecastVenue {
    /// The local paper book.
    Paper,
    /// `kind = "allora"`: a topic of the network that the section `[allora]` names.
    Topic(TopicConfig),
}

/// A topic that a worker submits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicConfig {
    pub id: u64,
    /// So many blocks before the end of a window nothing is sent any more.
    pub margin_blocks: u64,
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
    /// What the account begins with, in the currency in which its symbols are quoted.
    pub balance: Decimal,
}

/// The files of earlier versions, which knew orders only, do not say it.
pub(super) fn kind(s: &mut Section<'_, '_>) -> JobKind {
    let kinds = [("order", JobKind::Order), ("forecast", JobKind::Forecast)];
    s.choice("job", WhenAbsent::Optional, &kinds).unwrap_or(JobKind::Order)
}

pub(super) fn order(s: &mut Section<'_, '_>, symbol: Option<&str>, is_replay: bool, live: bool) -> Option<JobConfig> {
    let policy = decision(s.child("decision"));
    let mut risk_section = s.child("risk");
    let (risk, max_spread) = (risk(&mut risk_section), max_spread(&mut risk_section));
    risk_section.finish();
    let venue = endpoints::venue(s.child("venue"), symbol, policy.as_ref(), risk.as_ref(), is_replay, live);
    let paper = paper(s.child("paper"));
    let (policy, risk, max_spread, mut venue, paper) = (policy?, risk?, max_spread?, venue?, paper?);
    if let VenueConfig::Gateway(gateway) = &mut venue {
        gateway.max_spread = max_spread;
    }
    if let Some(problem) = max_spread.and_then(|limit| spread_problem(limit, &venue, &paper)) {
        s.report("risk.max_spread", problem);
    }
    Some(JobConfig::Order(OrderJob { policy, risk, max_spread, venue, paper }))
}

pub(super) fn forecast(
    s: &mut Section<'_, '_>,
    interval: Interval,
    has_windows: bool,
    live: bool,
) -> Option<JobConfig> {
    let venue = forecast_venue(s.child("venue"));
    match (venue, has_windows) {
        (Some(ForecastVenue::Topic(_)), false) => {
            s.report("schedule", "a topic says itself when its windows open: write schedule = \"on worker window\"");
        }
        (Some(ForecastVenue::Paper), true) => {
            s.report(
                "schedule",
                "'on worker window' needs a topic: write [pipeline.venue] with kind = \"allora\" and topic",
            );
        }
        (Some(ForecastVenue::Paper), false) if live => {
            let what = "'forecast' goes to the paper book, which is never live; write mode = \"dry_run\" in this pipeline, or give it \
                        a topic: [pipeline.venue] with kind = \"allora\"";
            s.report("job", what);
        }
        _ => {}
    }
    let policy = bounds(s.child("forecast"), interval, has_windows);
    let mut paper = s.child("paper");
    let account = paper.name("account", WhenAbsent::Default("paper"));
    paper.finish();
    Some(JobConfig::Forecast(ForecastJob { policy: policy?, venue: venue?, account: account? }))
}

fn forecast_venue(mut s: Section<'_, '_>) -> Option<ForecastVenue> {
    use WhenAbsent::{Default, Required};
    let is_topic = s.choice("kind", Default("paper"), &[("paper", false), ("allora", true)])?;
    if !is_topic {
        s.finish();
        return Some(ForecastVenue::Paper);
    }
    let id = s.count("topic", Required, 1..=u32::MAX);
    let margin_blocks = s.count("margin_blocks", Default("1"), 0..=1000);
    s.finish();
    Some(ForecastVenue::Topic(TopicConfig { id: id?.into(), margin_blocks: margin_blocks?.into() }))
}

/// `[pipeline.forecast]`. Neither bound has a default: both are properties of the model and of what is forecast.
fn bounds(mut s: Section<'_, '_>, interval: Interval, has_windows: bool) -> Option<ForecastPolicy> {
    use WhenAbsent::{Default, Required};
    let horizon = s.duration("horizon", Required, Duration::from_secs(60)..=HORIZON_MAX);
    if horizon.is_some_and(|horizon| !horizon.as_nanos().is_multiple_of(interval.length().as_nanos())) {
        s.report("horizon", format!("is no whole number of bars, {interval} each: no bar would show what came true"));
    }
    let max_abs = s.number("max_abs", Required, LEAST..=100.0);
    let once_per = if has_windows { "slot" } else { "bar" };
    let decide_on = s.choice("decide_on", Default(once_per), &[("bar", DecideOn::Bar), ("slot", DecideOn::Slot)]);
    if has_windows && decide_on == Some(DecideOn::Bar) {
        s.report("decide_on", "each window wants a forecast, also when two of them see the same bar: write \"slot\"");
    }
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
    let stop_distance = s.decimal_or_none("stop_distance", Required, distance.clone());
    let target_distance = s.decimal_or_none("target_distance", Required, distance);
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

fn risk(s: &mut Section<'_, '_>) -> Option<RiskLimits> {
    use WhenAbsent::Default;
    let max_open_positions = s.count_or_none("max_open_positions", "1", 1..=1000);
    let max_position_lots =
        s.decimal_or_none("max_position_lots", Default("none"), Decimal::new(1, 8)..=Decimal::from(1_000_000));
    let account = account_limits(s);
    let hours = s.parsed::<MarketCalendar>("hours", Default("always"), "");
    let max_orders_per_hour = s.count("max_orders_per_hour", Default("6"), 1..=10_000);
    let max_orders_per_day = s.count("max_orders_per_day", Default("24"), 1..=100_000);
    Some(RiskLimits {
        max_open_positions: max_open_positions?,
        max_position_lots: max_position_lots?,
        hours: hours?,
        max_orders_per_hour: max_orders_per_hour?,
        max_orders_per_day: max_orders_per_day?,
        account: account?,
    })
}

/// What the account may lose: its equity is counted, whatever the symbol.
fn account_limits(s: &mut Section<'_, '_>) -> Option<AccountLimits> {
    use WhenAbsent::Default;
    let amount = Decimal::new(1, 2)..=Decimal::from(1_000_000_000_000_i64);
    let max_daily_loss = s.decimal_or_none("max_daily_loss", Default("none"), amount.clone());
    let max_drawdown = s.decimal_or_none("max_drawdown", Default("none"), amount);
    let after_losses = s.count_or_none("cool_down_after_losses", "none", 1..=1000);
    let lasts = s.duration("cool_down", Default("4h"), LONG);
    let day = s.parsed::<BrokerDay>("broker_day", Default("UTC 00:00"), "");
    let (after_losses, lasts) = (after_losses?, lasts?);
    let cool_down = after_losses.map(|after_losses| CoolDown { after_losses, lasts });
    Some(AccountLimits { max_daily_loss: max_daily_loss?, max_drawdown: max_drawdown?, cool_down, day: day? })
}

fn max_spread(s: &mut Section<'_, '_>) -> Option<Option<Decimal>> {
    s.decimal_or_none("max_spread", WhenAbsent::Default("none"), Decimal::new(1, 8)..=Decimal::from(1_000_000))
}

/// A spread is only known where quotes are, and that of the paper book is configured.
fn spread_problem(limit: Decimal, venue: &VenueConfig, paper: &PaperConfig) -> Option<String> {
    match venue {
        VenueConfig::Gateway(gateway) if !gateway.dialect.has_quotes => Some(format!(
            "{} does not tell bid and ask, so a spread cannot be seen; write max_spread = \"none\"",
            gateway.dialect.name
        )),
        VenueConfig::Paper if paper.spread > limit => Some(format!(
            "nothing could be opened: the spread of the paper book is {}, and the limit {limit}; make [pipeline.paper] spread smaller, \
             or max_spread larger",
            paper.spread
        )),
        VenueConfig::Gateway(_) | VenueConfig::Paper => None,
    }
}

fn paper(mut s: Section<'_, '_>) -> Option<PaperConfig> {
    use WhenAbsent::Default;
    let account = s.name("account", Default("paper"));
    let spread = s.decimal("spread", Default("0.00010"), Decimal::ZERO..=Decimal::from(1_000_000));
    let contract_size =
        s.decimal("contract_size", Default("100000"), Decimal::new(1, 8)..=Decimal::from(1_000_000_000));
    let balance = s.decimal("balance", Default("10000"), Decimal::new(1, 2)..=Decimal::from(1_000_000_000_000_i64));
    s.finish();
    Some(PaperConfig { account: account?, spread: spread?, contract_size: contract_size?, balance: balance? })
}
