//! What a pipeline is for decides which sections it has.

use std::time::Duration;

use sentinel::config::{JobConfig, SlotsConfig, TopicConfig};
use sentinel::venues::allora::fees::FeeCaps;
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
    for section in ["decision", "risk"] {
        let text = format!("{EXAMPLE}\n[pipeline.{section}]\n");
        let problems = load(&text).unwrap_err().to_string();
        assert!(problems.contains(&format!("{section}: unknown key")), "{problems}");
    }
    let order = EXAMPLE.replace("job = \"forecast\"", "job = \"order\"");
    let problems = load(&order).unwrap_err().to_string();
    assert!(problems.contains("forecast: unknown key") && problems.contains("decision.volume_lots"), "{problems}");
}

#[test]
fn a_forecast_on_paper_cannot_be_live_and_the_error_says_so() {
    let live = Flags { live: true, ..Flags::default() };
    let problems = read_with(EXAMPLE, directory().path(), &Env::default(), &live).unwrap_err().to_string();
    assert!(problems.contains("job: 'forecast' goes to the paper book, which is never live"), "{problems}");
    let stays_dry = EXAMPLE.replace("[[pipeline]]", "[[pipeline]]\nmode = \"dry_run\"");
    read_with(&stays_dry, directory().path(), &Env::default(), &live).unwrap();
}

/// The example with a topic, and with these lines for its slots.
fn with_topic(slots: &str, topic: &str) -> String {
    let example = EXAMPLE.replace("decide_on = \"bar\"", "# decide_on");
    let example = example.replace("[pipeline.source]", &format!("{slots}\n[pipeline.source]"));
    format!("[allora]\n{example}\n[pipeline.venue]\nkind = \"allora\"\n{topic}")
}

const WINDOWS: &str = "schedule = \"on worker window\"";

#[test]
fn a_topic_gives_its_pipeline_windows_and_time_for_a_block() {
    let config = load(&with_topic(WINDOWS, "topic = 67")).unwrap();
    let pipeline = &config.pipelines[0];
    assert_eq!(pipeline.topic(), Some(TopicConfig { id: 67, margin_blocks: 1 }));
    assert_eq!(pipeline.slots, SlotsConfig::WorkerWindows);
    assert_eq!((pipeline.deadlines.execute.as_secs(), pipeline.deadlines.cycle.as_secs()), (60, 73));
    let JobConfig::Forecast(job) = &pipeline.job else { panic!("it is a forecast") };
    assert_eq!(job.policy.decide_on, DecideOn::Slot, "two windows may see one bar");
    let live = Flags { live: true, ..Flags::default() };
    let text = with_topic(WINDOWS, "topic = 67");
    read_with(&text, directory().path(), &Env::default(), &live).unwrap();
}

#[test]
fn a_topic_and_its_windows_need_each_other_and_a_network() {
    let windows = EXAMPLE.replace("[pipeline.source]", &format!("{WINDOWS}\n[pipeline.source]"));
    let without_network = with_topic(WINDOWS, "topic = 67").replace("[allora]", "");
    for (text, expected) in [
        (with_topic("", "topic = 67"), "schedule: a topic says itself when its windows open"),
        (with_topic(WINDOWS, ""), "venue.topic: is missing"),
        (with_topic(WINDOWS, "topic = 0"), "venue.topic"),
        (windows, "schedule: 'on worker window' needs a topic"),
        (without_network, "allora: is missing: write [allora]"),
        (
            with_topic(WINDOWS, "topic = 67").replace("# decide_on", "decide_on = \"bar\" #"),
            "decide_on: each window wants",
        ),
    ] {
        let problems = load(&text).unwrap_err().to_string();
        assert!(problems.contains(expected), "{expected}: {problems}");
    }
}

#[test]
fn orders_have_a_grid_and_no_windows() {
    let order = super::MINIMAL.replace("[[pipeline]]", &format!("[[pipeline]]\n{WINDOWS}"));
    let problems = load(&order).unwrap_err().to_string();
    assert!(problems.contains("schedule: 'on worker window' is for forecasts"), "{problems}");
}

#[test]
fn fees_have_caps_in_allo_and_the_cap_of_a_day_covers_a_transaction() {
    let caps = |lines: &str| {
        load(&with_topic(WINDOWS, "topic = 67").replace("[allora]", &format!("[allora]\n{lines}")))
            .map(|config| config.allora.unwrap().caps)
            .map_err(|problems| problems.to_string())
    };
    let allo = 10_u128.pow(18);
    let default = FeeCaps { per_transaction: allo / 100, per_day: allo / 10, registration: allo };
    assert_eq!(caps(""), Ok(default));
    assert_eq!(caps("max_fee = \"0.5\"\nmax_fee_per_day = \"2\"").unwrap().per_day, 2 * allo);
    assert_eq!(caps("max_registration = \"0.25\"").unwrap(), FeeCaps { registration: allo / 4, ..default });
    assert!(caps("max_registration = \"-1\"").unwrap_err().contains("allora.max_registration"));
    assert!(caps("max_fee = \"0.5\"").unwrap_err().contains("max_fee_per_day: is less than one transaction may cost"));
    assert!(caps("max_fee = \"a lot\"").unwrap_err().contains("allora.max_fee"));
}

#[test]
fn two_pipelines_do_not_forecast_for_one_topic_unless_one_stays_dry() {
    let one = with_topic(WINDOWS, "topic = 67");
    let (allora, pipeline) = one.split_at(one.find("[[pipeline]]").unwrap());
    let both = |second: String| format!("{allora}{pipeline}\n{second}");
    let second = pipeline.replacen("name = \"", "name = \"second-", 1);
    let problems = load(&both(second.clone())).unwrap_err().to_string();
    let name = &load(&one).unwrap().pipelines[0].name;
    let refusal =
        format!("'{name}' and 'second-{name}' both forecast for topic 67, which takes one forecast of a worker");
    assert!(problems.contains(&refusal) && problems.contains("write mode = \"dry_run\" in the one"), "{problems}");
    load(&both(second.replace("topic = 67", "topic = 69"))).unwrap();
    load(&both(second.replacen("[[pipeline]]", "[[pipeline]]\nmode = \"dry_run\"", 1))).unwrap();
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
