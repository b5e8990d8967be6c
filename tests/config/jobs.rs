//! What a pipeline is for decides which sections it has.

use std::time::Duration;

use sentinel::config::JobConfig;
use sentinel_actors::domain::decision::DecideOn;

use super::*;

const EXAMPLE: &str = include_str!("../../config/forecast.toml");

fn load(text: &str) -> Result<Config, ConfigErrors> {
    read_with(text, directory().path(), &Env::default(), &Flags::default())
}

#[test]
fn a_forecast_pipeline_has_bounds_and_a_horizon_and_no_orders() {
    let config = load(EXAMPLE).unwrap();
    let JobConfig::Forecast(forecast) = &config.pipelines[0].job else { panic!("no forecast") };
    let policy = &forecast.policy;
    assert_eq!((policy.horizon, policy.max_abs), (Duration::from_secs(168 * 3600), 1.5));
    assert_eq!((policy.decide_on, forecast.account.as_str()), (DecideOn::Bar, "paper"));
    assert!(config.pipelines[0].order().is_none());
}

#[test]
fn neither_bound_of_a_forecast_has_a_default() {
    for key in ["horizon", "max_abs"] {
        let without: Vec<&str> = EXAMPLE.lines().filter(|line| !line.starts_with(key)).collect();
        let problems = load(&without.join("\n")).unwrap_err().to_string();
        assert!(problems.contains(&format!("forecast.{key}: is missing and has no default")), "{problems}");
    }
}

#[test]
fn a_job_does_not_know_the_sections_of_the_other() {
    for section in ["decision", "risk", "venue"] {
        let text = format!("{EXAMPLE}\n[pipeline.{section}]\n");
        let problems = load(&text).unwrap_err().to_string();
        assert!(problems.contains(&format!("{section}: unknown key")), "{problems}");
    }
    let order = EXAMPLE.replace("job = \"forecast\"", "job = \"order\"");
    let problems = load(&order).unwrap_err().to_string();
    assert!(problems.contains("forecast: unknown key") && problems.contains("decision.volume_lots"), "{problems}");
}

#[test]
fn a_forecast_cannot_be_live_in_this_version_and_the_error_says_so() {
    let live = Flags { live: true, ..Flags::default() };
    let problems = read_with(EXAMPLE, directory().path(), &Env::default(), &live).unwrap_err().to_string();
    assert!(problems.contains("job: 'forecast' has nowhere to go live"), "{problems}");
    let stays_dry = EXAMPLE.replace("[[pipeline]]", "[[pipeline]]\nmode = \"dry_run\"");
    read_with(&stays_dry, directory().path(), &Env::default(), &live).unwrap();
}

#[test]
fn an_unknown_job_is_named_with_the_known_ones() {
    let problems = load(&EXAMPLE.replace("\"forecast\"", "\"forcast\"")).unwrap_err().to_string();
    assert!(problems.contains("'forcast'") && problems.contains("\"order\", \"forecast\""), "{problems}");
}

#[test]
fn a_horizon_that_ends_within_a_bar_is_refused() {
    for horizon in ["90m", "168h 1s", "168h 1ms"] {
        let problems = load(&EXAMPLE.replace("\"168h\"", &format!("\"{horizon}\""))).unwrap_err().to_string();
        assert!(problems.contains("forecast.horizon: is no whole number of bars, 1h each"), "{problems}");
    }
    load(&EXAMPLE.replace("\"168h\"", "\"1h\"")).unwrap();
}
