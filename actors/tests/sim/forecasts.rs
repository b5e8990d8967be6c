//! The job that forecasts: what it is made of, and the judge of every forecast at the moment at which bytes leave.
//!
//! The judge works out by itself what the model answers about a bar; it shares no rule with `domain::forecast`.

use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::action::Forecast;
use sentinel_actors::domain::bar::CleanBars;
use sentinel_actors::domain::decision::DecideOn;
use sentinel_actors::domain::forecast::ForecastPolicy;
use sentinel_actors::domain::intent::Basis;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{BarObserver, PortFuture, VenueError};
use sentinel_actors::settings::Job;

use crate::feed;
use crate::inputs;
use crate::options::PipelineOptions;
use crate::world::{Inner, Shared};

const HORIZON: Duration = Duration::from_secs(4 * 3600);
/// Not believed beyond this.
const MAX_ABS: f64 = 0.5;
/// A forecast is rounded to twelve places.
const ROUNDING: f64 = 1e-12;

/// Every fourth pipeline forecasts; the others trade.
pub const fn forecasts(index: usize) -> bool {
    index % 4 == 2
}

pub fn job(world: &Shared, index: usize) -> Job {
    let options = &world.options.pipelines[index];
    let who = format!("{}/executor", options.name);
    Job::Forecast {
        slots: feed::slots(world, index),
        policy: ForecastPolicy { horizon: HORIZON, max_abs: MAX_ABS, decide_on: options.decide_on },
        observer: Arc::new(SimComparer { world: world.clone(), index, who }),
    }
}

/// What the model answers: never too large to be believed, and never nothing.
pub fn value(noise: f64) -> f64 {
    (noise - 0.4995) / 5.0
}

/// A forecast that the configuration and the bars allow.
pub fn judge(inner: &mut Inner, options: &PipelineOptions, forecast: &Forecast, (slot, basis): (UtcMs, Basis)) {
    let (seed, of) = (inner.seed, format!("the forecast of {} in {slot}", options.name));
    let length = i64::try_from(options.interval.as_millis()).unwrap();
    let bar = forecast.reference_time;
    let close = inputs::close(seed, length, bar.0);
    if forecast.symbol != options.symbol || forecast.horizon() != HORIZON {
        inner.violation(format!("{of} is about {forecast}"));
    }
    // An open bar has no close; one that is older than the configuration allows is not the newest.
    let age = slot.0 - (bar.0 + length);
    let oldest = options.interval + Duration::from_secs(120);
    if bar.0 % length != 0 || age < 0 || u128::try_from(age).unwrap() > oldest.as_millis() {
        inner.violation(format!("{of} starts from the bar {bar}"));
    }
    // As the vendor wrote it, to the last place.
    if format!("{close:.6}").parse() != Ok(forecast.reference_price) {
        inner.violation(format!("{of} starts from {}, and the bar {bar} closed at {close}", forecast.reference_price));
    }
    let expected = value(inputs::noise(seed, bar, close));
    let forecasted: f64 = forecast.log_return.to_string().parse().unwrap();
    if (forecasted - expected).abs() > ROUNDING {
        inner.violation(format!("{of} says {forecasted}, and the model {expected}"));
    }
    let decided = match options.decide_on {
        DecideOn::Bar => bar,
        DecideOn::Slot => slot,
    };
    if (basis.kind().code(), basis.time()) != (options.decide_on.code(), decided) {
        inner.violation(format!("{of} was decided about {basis:?}"));
    }
    if !inner.ledger.forecast.insert((forecast.symbol.clone(), decided)) {
        inner.violation(format!("{of} is the second about {decided}"));
    }
}

/// Compares forecasts with what came true, and sometimes cannot.
struct SimComparer {
    world: Shared,
    index: usize,
    who: String,
}

impl BarObserver for SimComparer {
    fn observe<'a>(&'a self, symbol: &'a str, bars: &'a CleanBars) -> PortFuture<'a, Result<(), VenueError>> {
        Box::pin(async move {
            let _guard = self.world.enter(&self.who, Some(Duration::from_secs(5)));
            const FAULTS: &[(&str, f64)] =
                &[("compare_fails", 0.004), ("compare_slow", 0.004), ("compare_hang", 0.001)];
            match self.world.pick("compare", &self.who, FAULTS) {
                Some("compare_fails") => return Err(VenueError("the book is locked".to_owned())),
                Some("compare_slow") => tokio::time::sleep(Duration::from_secs(3)).await,
                Some("compare_hang") => std::future::pending().await,
                _ => {}
            }
            let options = &self.world.options.pipelines[self.index];
            let length = i64::try_from(options.interval.as_millis()).unwrap();
            let mut inner = self.world.lock();
            let seed = inner.seed;
            let untrue = bars.bars.iter().find(|bar| bar.close != inputs::close(seed, length, bar.time.0));
            if symbol != options.symbol || untrue.is_some() {
                inner.violation(format!("{} compares with {symbol} {untrue:?}", options.name));
            }
            Ok(())
        })
    }
}
