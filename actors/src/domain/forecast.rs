//! From a model's value to a forecast. Pure: the same input gives the same forecast in live, replay and re-run (promise 5).

use std::time::Duration;

use rust_decimal::Decimal;

use super::action::Forecast;
use super::decision::DecideOn;
use super::reason::{Ending, Reason};
use super::time::UtcMs;

/// A value nearer to zero than this says nothing: it is what a model answers that has lost its input.
pub const LEAST: f64 = 1e-6;

/// Decimal places of a forecast.
const DIGITS: u32 = 12;

/// The bounds of a forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastPolicy {
    /// How far a forecast reaches; a property of the model.
    pub horizon: Duration,
    /// Largest absolute value that is believed.
    pub max_abs: f64,
    pub decide_on: DecideOn,
}

impl ForecastPolicy {
    /// The forecast that `value`, a log return, stands for. `reference`: open time and close of the newest bar.
    ///
    /// # Errors
    /// How the slot ends when the value is not believed.
    pub fn decide(&self, value: f64, symbol: &str, reference: (UtcMs, Decimal)) -> Result<Forecast, Ending> {
        if value.abs() > self.max_abs {
            let text = format!("the model forecasts {value}, outside [-{max}, {max}]", max = self.max_abs);
            return Err(Ending::new(Reason::ForecastOutOfBounds, text));
        }
        if value.abs() < LEAST {
            return Err(Ending::new(Reason::ForecastZero, format!("the model forecasts {value}")));
        }
        let log_return = Decimal::from_f64_retain(value)
            .ok_or_else(|| Ending::new(Reason::ForecastOutOfBounds, format!("the model forecasts {value}")))?;
        Ok(Forecast {
            symbol: symbol.to_owned(),
            log_return: log_return.round_dp(DIGITS).normalize(),
            horizon_s: u32::try_from(self.horizon.as_secs()).unwrap_or(u32::MAX),
            reference_price: reference.1,
            reference_time: reference.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(value: f64) -> Result<Forecast, Reason> {
        let policy =
            ForecastPolicy { horizon: Duration::from_secs(168 * 3600), max_abs: 1.5, decide_on: DecideOn::Bar };
        policy.decide(value, "BTCUSD", (UtcMs(0), Decimal::from(60_000))).map_err(|ending| ending.reason)
    }

    #[test]
    fn a_value_within_the_bounds_becomes_a_forecast_with_its_horizon() {
        for (value, text) in [(0.0123, "0.0123"), (-1.5, "-1.5"), (1e-6, "0.000001"), (1.0 / 3.0, "0.333333333333")] {
            let forecast = decide(value).unwrap();
            assert_eq!((forecast.log_return.to_string().as_str(), forecast.horizon_s), (text, 604_800));
        }
    }

    #[test]
    fn a_value_that_cannot_be_meant_is_not_forecast() {
        for value in [1.500_001, -2.0, 1e300] {
            assert_eq!(decide(value), Err(Reason::ForecastOutOfBounds), "{value}");
        }
        for value in [0.0, -0.0, 9.9e-7, -9.9e-7, f64::MIN_POSITIVE] {
            assert_eq!(decide(value), Err(Reason::ForecastZero), "{value}");
        }
    }
}
