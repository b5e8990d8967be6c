//! `/metrics`: what the node is and does, in the text format of Prometheus (version 0.0.4), which every scraper, promtool and a browser
//! read.
//!
//! Promises kept: each value is read at the moment of the scrape, from what the node itself decides by; there is no registry that could
//! say something else. It asks neither the journal nor the disk, so that it answers while they hang, and says so. A value that nobody
//! measures is left out; it is never 0 in its place.

mod families;
mod pipelines;
mod process;
mod samples;

use std::fmt;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text};
use prometheus_client::registry::Registry;
use sentinel_actors::domain::cycle::Stage;
use sentinel_actors::domain::halt::Scope;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{NeedKind, Severity, Verdict};
use sentinel_actors::meters::{Called, Upstream};
use sentinel_actors::ports::Clock as _;
use sentinel_actors::supervision::watch::PARTS;

pub use self::families::{FAMILIES, Family, Kind};
use self::samples::family;
use super::alerts::counters::AlertResult;
use super::live_node::LiveNode;
use crate::system::WallClock;

/// Its path.
pub const METRICS: &str = "/metrics";
/// Stands for no pipeline in particular.
const ALL: &str = "*";

/// Serves them.
pub fn router(shown: LiveNode) -> Router {
    Router::new().route(METRICS, get(move || std::future::ready(answer(&shown))))
}

fn answer(shown: &LiveNode) -> Response {
    match render(shown, WallClock.now()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus_text::CONTENT_TYPE)], text).into_response(),
        // Writing into a string never fails.
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// All metrics of a node, as they are scraped.
///
/// # Errors
/// When the text cannot be written; into memory it always can.
pub fn render(shown: &LiveNode, now: UtcMs) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { shown: shown.clone(), now }));
    let mut text = String::new();
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// One look at the node.
struct Scrape {
    shown: LiveNode,
    now: UtcMs,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let encoder = &mut encoder;
        let (version, commit) = version();
        family(encoder, &families::BUILD)?.gauge([version, commit], 1.0)?;
        process::encode(encoder, &self.shown)?;
        self.verdict(encoder)?;
        self.progress(encoder)?;
        pipelines::encode(encoder, &self.shown, self.now)?;
        self.node(encoder)
    }
}

impl Scrape {
    /// What every other surface says.
    fn verdict(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let judgement = self.shown.judgement(self.now);
        let present = code_of(judgement.verdict);
        let mut samples = family(encoder, &families::VERDICT)?;
        VERDICTS.iter().try_for_each(|code| samples.gauge([code], f64::from(u8::from(*code == present))))?;
        let mut samples = family(encoder, &families::NEEDS)?;
        for severity in [Severity::Now, Severity::Soon] {
            for kind in NeedKind::ALL {
                let needs =
                    judgement.needs.iter().filter(|need| need.kind == kind && need.severity == severity).count();
                // Most can never have the other severity, and a scrape is no place for a hundred zeros.
                if needs > 0 || severity == Severity::Now {
                    samples.gauge([kind.code(), severity.code()], count(needs))?;
                }
            }
        }
        Ok(())
    }

    fn progress(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut samples = family(encoder, &families::PROGRESS)?;
        let ages = self.shown.board.progress.ages();
        PARTS.iter().zip(ages).try_for_each(|(part, age)| samples.gauge([part], unix_seconds(self.now.minus(age))))
    }

    /// What belongs to no pipeline.
    fn node(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let board = &self.shown.board;
        family(encoder, &families::PARKED)?.gauge([], count(board.parked()))?;
        family(encoder, &families::SAFE_MODE)?.gauge([], f64::from(u8::from(board.is_safe_mode())))?;
        let mut samples = family(encoder, &families::STAGE)?;
        for stage in Stage::ALL {
            samples.histogram([stage.name()], &board.meters.stages[stage.index()].read())?;
        }
        family(encoder, &families::COMMIT)?.histogram([], &board.meters.commits.read())?;
        let mut samples = family(encoder, &families::UPSTREAM)?;
        for upstream in Upstream::ALL {
            for called in Called::ALL {
                samples.count([upstream.code(), called.code()], board.meters.calls(upstream).read(called))?;
            }
        }
        if let Some((free, size)) = board.usage.free_disk_mb().zip(board.usage.disk_mb()) {
            #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more")]
            family(encoder, &families::DISK_FREE)?.gauge([], free as f64 / size as f64)?;
        }
        if let Some(newest) = board.backup.load().as_deref().and_then(|backup| backup.newest) {
            family(encoder, &families::BACKUP)?.gauge([], unix_seconds(newest))?;
        }
        let mut samples = family(encoder, &families::CLOCK)?;
        for clock in board.clocks.all() {
            samples.gauge([&clock.source], signed_seconds(clock.certain_ms()))?;
        }
        self.alerts(encoder)
    }

    fn alerts(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let alerts = &self.shown.alerts;
        let mut samples = family(encoder, &families::ALERTS)?;
        for route in alerts.routes() {
            for result in AlertResult::ALL {
                samples.count([&route.name, result.code()], route.count(result))?;
            }
        }
        let mut samples = family(encoder, &families::DEADMAN)?;
        alerts.last_ping().map_or(Ok(()), |at| samples.gauge([], unix_seconds(at)))
    }
}

const VERDICTS: [&str; 5] = ["working", "needs_you", "not_working", "waiting", "ended"];

const fn code_of(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Working => "working",
        Verdict::NeedsYou(_) => "needs_you",
        Verdict::NotWorking => "not_working",
        Verdict::Waiting => "waiting",
        Verdict::Ended => "ended",
    }
}

/// Halts of all pipelines.
fn is_of_all(scope: &Scope) -> bool {
    *scope == Scope::All
}

/// Version and commit of this program.
fn version() -> (&'static str, &'static str) {
    let (version, commit) = env!("SENTINEL_VERSION").split_once(' ').unwrap_or((env!("SENTINEL_VERSION"), ""));
    (version, commit.trim_matches(['(', ')']))
}

fn unix_seconds(time: UtcMs) -> f64 {
    signed_seconds(time.0)
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age have 41 bits")]
fn signed_seconds(ms: i64) -> f64 {
    ms as f64 / 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn count(count: usize) -> f64 {
    count as f64
}
