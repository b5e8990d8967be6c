//! `sentinel check --probe`, the doctor: asks everything that a node would ask, and says in one line each what to do.
//!
//! It sends nothing that could trade: a gateway is asked what it is, and then only what its dialect answers without an effect.

mod gateway;

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sentinel_actors::domain::bar::{CleanBars, Cleaning, RawBar, clean};
use sentinel_actors::domain::made_bars::make;
use sentinel_actors::domain::prediction::{ExpectedAnswer, Prediction};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, ModelError, NoFaults, elapsed_now};
use tokio::runtime::{Builder, Runtime};

use super::allora::{Found, doctor};
use crate::config::{Config, JobConfig, ModelConfig, PipelineConfig, SourceConfig, VendorSource};
use crate::http::Deadline;
use crate::node::{self, OpenVendor};
use crate::sources::cache::Spent;
use crate::sources::live::reach;
use crate::sources::vendor::Ask;
use crate::system::free_bytes;

/// For the bars of one pipeline.
const SOURCE_MAX: Duration = Duration::from_secs(15);
/// Bars that are looked at.
const BARS: usize = 72;
/// A commit that takes longer delays every decision.
const FSYNC_MAX: Duration = Duration::from_millis(200);
const MB: u64 = 1_000_000;

/// What was found out.
enum Finding {
    Good(String),
    /// With what to do.
    Bad(String),
}

/// Asks everything; whether all of it is good.
///
/// # Errors
/// When the findings cannot be printed.
pub fn run(config: &Config, clock: Arc<dyn Clock>, out: &mut dyn Write) -> io::Result<bool> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut all_good = true;
    let mut say = |about: &str, finding: Finding| {
        let (verdict, text) = match &finding {
            Finding::Good(text) => ("ok", text),
            Finding::Bad(text) => ("PROBLEM", text),
        };
        all_good &= matches!(finding, Finding::Good(_));
        writeln!(out, "{verdict:<8} {about}: {text}")
    };
    say("disk", disk(&config.node.state, u64::from(config.node.disk_warning_mb)))?;
    for pipeline in &config.pipelines {
        let name = &pipeline.name;
        match &pipeline.source {
            SourceConfig::Csv(csv) => {
                say(&format!("bars of {name}"), Finding::Good(format!("recorded, in {}", csv.path.display())))?;
            }
            SourceConfig::Vendor(source) => {
                for (about, finding) in vendor(pipeline, source, &config.node.state, &clock, &runtime) {
                    say(&format!("{about} of {name}"), finding)?;
                }
            }
        }
        say(&format!("model of {name}"), model(pipeline, &runtime))?;
        for (about, finding) in worker(config, pipeline, &runtime) {
            say(&format!("{about} of {name}"), finding)?;
        }
        if let JobConfig::Order(job) = &pipeline.job {
            say(&format!("orders of {name}"), gateway::orders(pipeline, job, &*clock, &runtime))?;
        }
    }
    Ok(all_good)
}

/// Free space, and how long a commit waits.
fn disk(state: &Path, warning_mb: u64) -> Finding {
    let fsync = || {
        std::fs::create_dir_all(state)?;
        let path = state.join("probe.tmp");
        let began = elapsed_now();
        let mut file = File::create(&path)?;
        file.write_all(&[0; 4096])?;
        file.sync_all()?;
        let took = began.elapsed();
        std::fs::remove_file(&path)?;
        Ok::<_, io::Error>((took, free_bytes(state)?))
    };
    let shown = state.display();
    match fsync() {
        Err(error) => {
            Finding::Bad(format!("{shown} cannot be written ({error}): choose another node.state, or change its owner"))
        }
        Ok((took, free)) => {
            let text = format!("{} MB are free under {shown}, and a write is durable in {took:.1?}", free / MB);
            match () {
                () if free / MB < warning_mb => Finding::Bad(format!("{text}: make room")),
                () if took > FSYNC_MAX => Finding::Bad(format!("{text}: too slow for a journal, choose another disk")),
                () => Finding::Good(text),
            }
        }
    }
}

/// Newest bar, calls that are left, and the clock.
fn vendor(
    pipeline: &PipelineConfig,
    source: &VendorSource,
    state: &Path,
    clock: &Arc<dyn Clock>,
    runtime: &Runtime,
) -> Vec<(&'static str, Finding)> {
    let vendor = match node::open_vendor(pipeline, source, state, clock.clone()) {
        Ok(vendor) => vendor,
        Err(error) => return vec![("bars", Finding::Bad(chain(&error)))],
    };
    let now = clock.now();
    let bars = runtime.block_on(newest(pipeline, &vendor, now));
    let mut findings = vec![(
        "bars",
        match bars {
            Err(error) => {
                Finding::Bad(format!("{error}: look at the network, at source.base_url and at the vendor's own page"))
            }
            Ok(bars) => judge(pipeline, source, &bars, now),
        },
    )];
    let clock = clock_finding(vendor.client.clock_ahead_ms(), source.vendor.name());
    findings.push(("clock", clock));
    findings.push(("calls", calls(&vendor, now)));
    findings
}

fn clock_finding(ahead_ms: Option<i64>, vendor: &str) -> Finding {
    match ahead_ms {
        None => Finding::Bad(format!("not compared: {vendor} has not said its time")),
        Some(ahead_ms) if ahead_ms.unsigned_abs() <= 2000 => Finding::Good(format!("agrees with that of {vendor}")),
        Some(ahead_ms) => Finding::Bad(format!(
            "this machine is {} s {} {vendor}: set its clock, for example with chrony; with more than 30 s nothing is decided",
            ahead_ms.unsigned_abs() / 1000,
            if ahead_ms < 0 { "behind" } else { "ahead of" },
        )),
    }
}

async fn newest(pipeline: &PipelineConfig, vendor: &OpenVendor, now: UtcMs) -> Result<CleanBars, String> {
    let instrument = &vendor.instrument;
    let interval = instrument.interval;
    let last = interval.newest_closed(now.minus(pipeline.data.settle));
    let first = interval.newest_closed(last.minus(reach(&pipeline.calendar, pipeline.interval, BARS)));
    let until = Deadline::of(SOURCE_MAX, elapsed_now());
    let mut parts: Vec<RawBar> = Vec::new();
    for (first, last) in vendor.client.requests(interval, first, last) {
        let ask = Ask { ticker: &instrument.ticker, market: instrument.market, interval, first, last };
        let bars = vendor.client.bars(&ask, until).await.map_err(|error| error.to_string())?;
        parts.extend(bars.into_iter().filter(|bar| (first..=last).contains(&bar.time)));
    }
    let tick = pipeline.data.tick;
    let bars = match &vendor.recipe {
        None => parts,
        Some(recipe) => {
            let made = make(&parts, &recipe.making(interval.close_of(last)));
            made.bars.into_iter().map(RawBar::from).collect()
        }
    };
    Ok(clean(&bars, &Cleaning { tick, times: None, window: None }))
}

fn judge(pipeline: &PipelineConfig, source: &VendorSource, bars: &CleanBars, now: UtcMs) -> Finding {
    let freshness = pipeline.freshness();
    let newest = bars.newest().map(|bar| {
        let lag = now.since(pipeline.interval.close_of(bar.time));
        let lag = humantime::format_duration(Duration::from_secs(lag.as_secs()));
        let allowed = humantime::format_duration(pipeline.data.max_age);
        format!(
            "{}: the newest bar, {}, closed {lag} ago; {allowed} of market time are allowed",
            source.ticker, bar.time
        )
    });
    let newest = newest.unwrap_or_else(|| format!("{}: there are no bars", source.ticker));
    match freshness.judge(now, bars) {
        Ok(_) => Finding::Good(newest),
        Err(ending) if ending.reason == Reason::MarketClosed => {
            Finding::Good(format!("{newest}; the market is closed"))
        }
        Err(ending) => {
            Finding::Bad(format!("{newest}; {}: look at the ticker, at the calendar, and at the vendor", ending.detail))
        }
    }
}

/// By the vendor's count, and by the node's own.
fn calls(vendor: &OpenVendor, now: UtcMs) -> Finding {
    let by_vendor =
        vendor.client.calls_left().map_or_else(String::new, |left| format!("{left} by the vendor's count, "));
    match vendor.client.budget(now) {
        Ok(Spent::Allowed { left }) => {
            Finding::Good(format!("{by_vendor}{left} requests are left by the node's count"))
        }
        Ok(Spent::Refused { until }) => Finding::Bad(format!(
            "{by_vendor}none by the node's count before {until}: a slower schedule, or more requests_per_hour and requests_per_day \
             when the plan has them"
        )),
        Err(error) => Finding::Bad(chain(&error)),
    }
}

/// Chain, wallet and topic of a pipeline that submits to one.
fn worker(config: &Config, pipeline: &PipelineConfig, runtime: &Runtime) -> Vec<(String, Finding)> {
    let (Some(allora), Some(topic), JobConfig::Forecast(job)) = (&config.allora, pipeline.topic(), &pipeline.job)
    else {
        return Vec::new();
    };
    let found = doctor(allora, topic.id, job.policy.horizon, runtime);
    let judged = |finding: &Found| {
        let verdict = if finding.needs_an_operator() { Finding::Bad } else { Finding::Good };
        verdict(finding.whole())
    };
    found.iter().map(|finding| (finding.about.to_lowercase(), judged(finding))).collect()
}

/// Whether it answers as the pipeline expects.
fn model(pipeline: &PipelineConfig, runtime: &Runtime) -> Finding {
    let (model, frame) = match node::open_model(pipeline, Arc::new(NoFaults)) {
        Ok(opened) => opened,
        Err(error) => return Finding::Bad(chain(&error)),
    };
    let deadline = pipeline.deadlines.predict;
    let began = elapsed_now();
    let answered = runtime.block_on(async {
        model.validate(deadline).await?;
        model.predict(&frame, deadline).await
    });
    let took = began.elapsed();
    let expected = match &pipeline.job {
        JobConfig::Order(order) => ExpectedAnswer::Classes(order.policy.classes.len()),
        JobConfig::Forecast(_) => ExpectedAnswer::Value,
    };
    match answered {
        Err(error) => Finding::Bad(format!("{} ({error})", remedy(&pipeline.model, &error))),
        Ok(answer) => match Prediction::check(&answer, expected) {
            Err(fault) => Finding::Bad(format!("{fault}: it is not the kind of model that this pipeline needs")),
            Ok(Prediction::Classes(classes)) => {
                Finding::Good(format!("answers with {} probabilities, in {took:.1?}", classes.values().len()))
            }
            Ok(Prediction::Value(_)) => Finding::Good(format!("answers with a value, in {took:.1?}")),
        },
    }
}

/// What to do about a model that gives no answer. It comes before what a server said, which can be long.
pub(super) fn remedy(model: &ModelConfig, error: &ModelError) -> &'static str {
    match (model, error) {
        (ModelConfig::Onnx { .. }, _) => "export the model anew, or choose another file with `path`",
        (_, ModelError::Status { status: 400, .. }) => {
            "the model's server refuses the question: set `payload` to the form that the model's signature takes; when it is \
             that one, the model itself fails, and the server's log says how"
        }
        (_, ModelError::Status { status: 401 | 403, .. }) => {
            "the model's server, or a proxy before it, wants more: set bearer_file, or user and password_file, or headers_file"
        }
        (_, ModelError::Timeout(_)) => {
            "look why the model's server is slow, or give it more time with deadlines.predict"
        }
        (_, ModelError::Unavailable(_)) => "start the model's server, or correct `host`, `port` and `tls`",
        (_, ModelError::Status { .. } | ModelError::Unparseable(_)) => {
            "look at the model's server, and what is before it"
        }
        (_, ModelError::Invalid(_) | ModelError::Changed(_)) => "serve a model of the kind that this pipeline needs",
    }
}
