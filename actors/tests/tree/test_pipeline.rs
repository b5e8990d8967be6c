//! The pipeline that a test changes before the node starts.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::account_risk::AccountLimits;
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::decision::{DecideOn, OnOpposite, Signal, TradePolicy};
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::risk::RiskLimits;
use sentinel_actors::domain::schedule::{Schedule, Window};
use sentinel_actors::ports::SlotFeed;
use sentinel_actors::settings::{Deadlines, PipelineSettings};

use crate::harness::HOUR;

/// A pipeline, with what its job needs.
pub struct TestPipeline {
    pub settings: PipelineSettings,
    pub slots: SlotFeed,
    pub policy: TradePolicy,
    pub risk: RiskLimits,
    /// It forecasts, and trades nothing.
    pub forecasts: Option<ForecastPolicy>,
}

impl Deref for TestPipeline {
    type Target = PipelineSettings;

    fn deref(&self) -> &PipelineSettings {
        &self.settings
    }
}

impl DerefMut for TestPipeline {
    fn deref_mut(&mut self) -> &mut PipelineSettings {
        &mut self.settings
    }
}

/// One hour bars, one decision each, on a market that never closes.
pub fn settings() -> TestPipeline {
    let interval = Interval::new(HOUR).unwrap();
    let settings = PipelineSettings {
        name: "eurusd".to_owned(),
        symbol: "EURUSD".to_owned(),
        window: Window::default(),
        competition: Window::default(),
        first_slot: None,
        freshness: Freshness {
            interval,
            calendar: MarketCalendar::always(),
            max_age: HOUR * 2,
            max_missing_bars: 0,
            settle: Duration::ZERO,
        },
        tick: 1e-5,
        deadlines: Deadlines {
            fetch: Duration::from_secs(10),
            features: Duration::from_secs(2),
            predict: Duration::from_secs(1),
            execute: Duration::from_secs(5),
            cycle: Duration::from_secs(20),
            lateness: Duration::from_secs(20),
        },
    };
    TestPipeline {
        settings,
        slots: SlotFeed::Grid(Schedule::parse("on bar close + 2s", interval).unwrap()),
        policy: TradePolicy {
            classes: vec![Signal::Sell, Signal::Hold, Signal::Buy],
            threshold: 0.6,
            decide_on: DecideOn::Bar,
            volume_lots: Decimal::new(10, 2),
            stop_distance: None,
            target_distance: None,
            price_digits: 5,
            on_opposite: OnOpposite::Reverse,
            max_holding: None,
        },
        risk: RiskLimits {
            max_open_positions: None,
            max_position_lots: None,
            hours: MarketCalendar::always(),
            max_orders_per_hour: 1000,
            max_orders_per_day: 1000,
            account: AccountLimits::default(),
        },
        forecasts: None,
    }
}
