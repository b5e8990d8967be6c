//! Runs one simulation: starts the production tree, injects faults, starts it again, and at last lets it run without faults.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::admission::Admission;
use sentinel_actors::domain::account_risk::AccountLimits;
use sentinel_actors::domain::bar::Interval;
use sentinel_actors::domain::calendar::MarketCalendar;
use sentinel_actors::domain::decision::{Signal, TradePolicy};
use sentinel_actors::domain::feature::FeatureSetId;
use sentinel_actors::domain::freshness::Freshness;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::risk::RiskLimits;
use sentinel_actors::halts::Halts;
use sentinel_actors::node::{self, NodeSpec, RunningNode};
use sentinel_actors::ports::{NoArming, NoKillSwitch, UnmeasuredDisk, elapsed_now};
use sentinel_actors::root_supervisor::{NodeEnd, RootMsg};
use sentinel_actors::settings::{Deadlines, Job, NodeShared, PipelinePorts, PipelineSettings};
use sentinel_actors::supervision::watch::Progress;
use sentinel_actors::supervision::{CrashLog, Limits};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::checks;
use crate::clock::{self, SimClock};
use crate::disk::{SimStore, lift_halts, settle_held};
use crate::faults::{SimChance, SimFaults};
use crate::forecasts;
use crate::inputs::{SimFeatures, SimModel, SimQuarantine, SimSource, WINDOW};
use crate::ledger;
use crate::options::{PipelineOptions, QUIET};
use crate::venue::{self, SimVenue};
use crate::world::{Part, Shared, Slow};

/// Must not appear in anything that the node prints.
pub const SECRET: &str = "hunter2-marker";
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
pub const VOLUME_LOTS: Decimal = Decimal::from_parts(10, 0, 0, false, 2);
pub const LATENESS: Duration = Duration::from_secs(20);

/// How a process ended.
#[derive(Debug, Clone, PartialEq)]
pub enum LifeEnd {
    Ended(NodeEnd),
    /// The root itself failed.
    RootDied,
    /// The whole process, at once.
    Crashed,
    /// The simulation is over, or has found something.
    Over,
}

pub fn settings(options: &PipelineOptions) -> PipelineSettings {
    let interval = Interval::new(options.interval).unwrap();
    PipelineSettings {
        name: options.name.clone(),
        symbol: options.symbol.clone(),
        window: options.window,
        competition: options.window,
        first_slot: None,
        freshness: Freshness {
            interval,
            calendar: MarketCalendar::always(),
            max_age: options.interval + Duration::from_secs(120),
            max_missing_bars: 1,
            settle: Duration::from_secs(2),
        },
        tick: 1e-5,
        deadlines: Deadlines {
            fetch: options.fetch,
            features: Duration::from_secs(2),
            predict: Duration::from_secs(1),
            execute: Duration::from_secs(5),
            cycle: options.cycle,
            lateness: LATENESS,
        },
    }
}

fn ports(world: &Shared, index: usize) -> PipelinePorts {
    let options = &world.options.pipelines[index];
    let who = |stage: &str| format!("{}/{stage}", options.name);
    let venue = Arc::new(SimVenue {
        world: world.clone(),
        index,
        mode: options.mode,
        who: who("executor"),
        password: SECRET.to_owned(),
    });
    PipelinePorts {
        clock: Arc::new(SimClock(world.clone())),
        source: Arc::new(SimSource { world: world.clone(), index, who: who("data_fetcher"), token: SECRET.to_owned() }),
        features: Arc::new(SimFeatures {
            world: world.clone(),
            who: who("feature_builder"),
            id: FeatureSetId { name: "sim3".to_owned(), window: WINDOW, made_from: None },
        }),
        model: Arc::new(SimModel { world: world.clone(), who: who("predictor"), is_regression: options.forecasts }),
        sink: venue.clone(),
        job: if options.forecasts { forecasts::job(world, index) } else { trading(options, index, venue) },
    }
}

fn trading(options: &PipelineOptions, index: usize, venue: Arc<SimVenue>) -> Job {
    Job::Trade {
        schedule: options.schedule(),
        policy: TradePolicy {
            classes: vec![Signal::Sell, Signal::Hold, Signal::Buy],
            threshold: 0.6,
            decide_on: options.decide_on,
            volume_lots: VOLUME_LOTS,
            // A derived position must not be closed by the venue.
            stop_distance: (!venue::cannot_tell(index)).then(|| Decimal::new(50, 4)),
            target_distance: (!venue::cannot_tell(index)).then(|| Decimal::new(100, 4)),
            price_digits: 5,
            on_opposite: options.on_opposite,
            max_holding: options.max_holding,
        },
        risk: RiskLimits {
            max_position_lots: None,
            hours: MarketCalendar::always(),
            max_open_positions: Some(options.max_positions),
            max_orders_per_hour: options.orders_per_hour,
            max_orders_per_day: options.orders_per_hour.saturating_mul(12),
            account: AccountLimits::default(),
        },
        positions: venue,
    }
}

pub fn spec(world: &Shared) -> NodeSpec {
    let handle = Handle::current();
    let pipelines = &world.options.pipelines;
    let (safe_mode, recorded) = {
        let inner = world.lock();
        (inner.safe_mode, inner.disk.halts.clone())
    };
    let halts = Arc::new(Halts::new(recorded, Arc::new(NoKillSwitch)));
    NodeSpec {
        pipelines: (0..pipelines.len()).map(|index| (settings(&pipelines[index]), ports(world, index))).collect(),
        store: Arc::new(SimStore { world: world.clone() }),
        shared: NodeShared {
            control: handle.clone(),
            workers: handle.into(),
            chance: Arc::new(SimChance { world: world.clone() }),
            faults: Arc::new(SimFaults(world.clone())),
            quarantine: Arc::new(SimQuarantine(world.clone())),
            crashes: CrashLog::install(),
            progress: Arc::new(Progress::default()),
            meters: Arc::default(),
            admission: Arc::new(Admission::new(world.options.cycles_at_work)),
            limits: Limits::default(),
            safe_mode: Arc::new(AtomicBool::new(safe_mode)),
            halts,
            settled_by_hand: Arc::default(),
            arming: Arc::new(NoArming),
            disk: Arc::new(UnmeasuredDisk),
            clocks: Arc::default(),
            state_dir: "state".into(),
        },
        wall: Arc::new(SimClock(world.clone())),
        heartbeat_every: Duration::from_secs(3600),
        beat_every: Duration::from_secs(5),
        close_within: CLOSE_WITHIN,
    }
}

/// Runs the simulation to its end; what it found is in the world.
pub fn run(world: &Shared) {
    let length = world.options.length;
    loop {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let end = runtime.block_on(async {
            let mut life = Life::begin(world).await;
            let end = life.run().await;
            life.world.freeze();
            end
        });
        drop(runtime);
        world.end_life();
        let mut inner = world.lock();
        inner.tracker(format!("life ends: {end:?}"));
        checks::after_life(&mut inner, &world.options, &end);
        let finished = end == LifeEnd::Ended(NodeEnd::Finished) || inner.elapsed() >= length;
        if end == LifeEnd::Over || finished || !inner.log.violations.is_empty() {
            break;
        }
        inner.disk.reopen();
        if std::mem::take(&mut inner.settle_when_down) {
            settle_held(&mut inner);
        }
        if inner.disk.halts.iter().any(Halt::stands) && inner.stream("lift", "node").f64() < 0.7 {
            lift_halts(&mut inner);
        }
        let random = inner.faults_on && world.options.node_faults;
        let down = match random {
            true => {
                let rng = inner.stream("down", "node");
                let short = rng.f64() < 0.8;
                Duration::from_millis(rng.u64(if short { 100..5000 } else { 5000..900_000 }))
            }
            false if inner.life == 1 => Duration::from_secs(120),
            false => Duration::from_millis(10),
        };
        // A power cut takes rows that were committed and not yet on the disk; intents are synced.
        if end == LifeEnd::Crashed && random && inner.stream("power", "node").f64() < 0.3 {
            let commits = inner.stream("power", "node").usize(0..4);
            let lost = inner.disk.lose_rows(commits);
            inner.fault("power_cut", "node");
            inner.tracker(format!("power cut takes {lost} rows"));
        }
        inner.safe_mode = random && inner.stream("safe", "node").f64() < 0.05;
        if inner.safe_mode {
            inner.fault("safe_mode_boot", "node");
        }
        drop(inner);
        world.pass_down_time(down);
    }
    let mut inner = world.lock();
    if inner.log.violations.is_empty() {
        checks::at_the_end(&mut inner, &world.options);
    }
}

struct Life {
    world: Shared,
    node: RunningNode,
    next_fault: Duration,
    asked_at: Option<Duration>,
    /// So often the journal will be killed in the next seconds.
    journal_kills: u32,
    jumped: bool,
    /// At most one: what kills the process in its recovery.
    kill: JoinSet<()>,
}

impl Life {
    async fn begin(world: &Shared) -> Self {
        world.begin_life();
        let node = node::start(spec(world)).await.unwrap();
        let mut life = Self {
            world: world.clone(),
            node,
            next_fault: Duration::ZERO,
            asked_at: None,
            journal_kills: 0,
            jumped: false,
            kill: JoinSet::new(),
        };
        life.plan_fault();
        // Sometimes the next kill comes during the recovery.
        let mut inner = world.lock();
        let mut kill = if inner.life > 1 { inner.kills.pop_front() } else { None };
        if world.options.node_faults && inner.faults_on && inner.stream("again", "node").f64() < 0.1 {
            inner.fault("crash_in_recovery", "node");
            kill = Some(Duration::from_millis(inner.stream("again", "node").u64(0..3000)));
        }
        if world.options.node_faults && inner.faults_on && inner.stream("nth", "node").f64() < 0.1 {
            inner.fault("nth_commit_fails", "node");
            let commits = inner.stream("nth", "node").u64(0..60);
            inner.disk.fails_after = Some(commits);
        }
        if let Some(after) = kill {
            let crash = inner.crash.clone();
            life.kill.spawn(async move {
                tokio::time::sleep(after).await;
                crash.notify_one();
            });
        }
        drop(inner);
        life
    }

    fn plan_fault(&mut self) {
        let mut inner = self.world.lock();
        if self.journal_kills > 0 {
            self.next_fault = inner.elapsed() + Duration::from_secs(5);
            return;
        }
        let unit = inner.stream("deed at", "node").f64();
        let wait = self.world.options.fault_every.mul_f64(-(1.0 - unit).ln() + 0.001);
        self.next_fault = inner.elapsed() + wait;
    }

    async fn run(&mut self) -> LifeEnd {
        let length = self.world.options.length;
        loop {
            let (now, crash, quiet) = {
                let inner = self.world.lock();
                if !inner.log.violations.is_empty() {
                    return LifeEnd::Over;
                }
                (inner.elapsed(), inner.crash.clone(), !inner.faults_on)
            };
            if !quiet && now + QUIET >= length {
                self.stop_faults();
            }
            self.jump_if_planned(now);
            if now >= length && self.asked_at.is_none() {
                checks::liveness(&mut self.world.lock(), &self.world.options, &self.node.board);
                self.ask();
            }
            let stopped = self.world.lock().stops_until;
            if self.asked_at.is_some_and(|at| now > at.max(stopped) + CLOSE_WITHIN + Duration::from_secs(40)) {
                self.world.lock().violation("the node does not end although it was asked to".to_owned());
                return LifeEnd::Over;
            }
            let until = match self.asked_at {
                Some(at) => at + CLOSE_WITHIN + Duration::from_secs(41),
                None if quiet => length,
                None => self.next_fault.min(length.saturating_sub(QUIET)).min(now + Duration::from_secs(600)),
            };
            let until = match self.world.options.jump {
                Some((at, _)) if !self.jumped => until.min(at),
                _ => until,
            };
            let wake = elapsed_now() + until.saturating_sub(now).max(Duration::from_millis(1));
            tokio::select! {
                biased;
                () = crash.notified() => return LifeEnd::Crashed,
                end = &mut self.node.done => return self.ended(end.ok()).await,
                () = tokio::time::sleep_until(wake) => {}
            }
            if self.world.lock().elapsed() >= self.next_fault && self.world.lock().faults_on {
                self.inject_fault_now();
                self.plan_fault();
            }
            checks::while_it_runs(&mut self.world.lock(), &self.world.options);
        }
    }

    /// The root has reported its end; its task and everything below it must end soon.
    async fn ended(&mut self, end: Option<NodeEnd>) -> LifeEnd {
        let gone = tokio::time::timeout(Duration::from_secs(1), &mut self.node.ended).await;
        if gone.is_err() {
            self.world.lock().violation("the root has reported its end and does not end".to_owned());
        }
        self.kill.shutdown().await;
        if matches!(end, Some(NodeEnd::Finished | NodeEnd::ShutdownRequested(_))) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let left = Handle::current().metrics().num_alive_tasks();
            if left > 0 {
                self.world.lock().violation(format!("{left} tasks outlive the node"));
            }
        }
        end.map_or(LifeEnd::RootDied, LifeEnd::Ended)
    }

    fn ask(&mut self) {
        let mut inner = self.world.lock();
        inner.tracker("asked to end".to_owned());
        self.asked_at = Some(inner.elapsed());
        drop(inner);
        let _ = self.node.root.cast(RootMsg::Shutdown("the driver asked".to_owned()));
    }

    /// From here on no fault is injected, and everything must recover.
    fn stop_faults(&mut self) {
        let mut inner = self.world.lock();
        inner.faults_on = false;
        inner.tracker("faults stop".to_owned());
        ledger::thaw(&mut inner);
        clock::put_right(&mut inner);
        inner.settle_when_down = inner.disk.any_held();
        if std::mem::take(&mut inner.safe_mode) || inner.settle_when_down {
            inner.crash.notify_one();
        }
    }

    fn jump_if_planned(&mut self, now: Duration) {
        if let Some((_, seconds)) = self.world.options.jump.filter(|(at, _)| now >= *at && !self.jumped) {
            self.jumped = true;
            let mut inner = self.world.lock();
            clock::jump(&mut inner, "the clock jumps", seconds as f64);
        }
    }

    fn inject_fault_now(&mut self) {
        if self.journal_kills > 0 {
            self.journal_kills -= 1;
            let _ = self.node.root.cast(RootMsg::Kill("journal".to_owned()));
            return;
        }
        let node_faults = self.world.options.node_faults;
        let mut inner = self.world.lock();
        let rng = inner.stream("deed", "node");
        let (roll, pipe, part, unit) =
            (rng.u32(0..100), rng.usize(0..self.world.options.pipelines.len()), rng.usize(0..5), rng.f64());
        let name = self.world.options.pipelines[pipe].name.clone();
        if self.world.options.pipelines[pipe].sheltered && roll < 55 {
            return;
        }
        let now = inner.elapsed();
        match roll {
            0..24 => {
                let stage = ["data_fetcher", "feature_builder", "predictor", "executor"].get(part);
                let path = stage.map_or(name.clone(), |stage| format!("{name}/{stage}"));
                inner.fault("child_killed", &path);
                drop(inner);
                let _ = self.node.root.cast(RootMsg::Kill(path));
            }
            24..38 => {
                let until = now + Duration::from_secs(60).mul_f64(1.0 + 5.0 * unit);
                inner.fault("storm", &name);
                if part > 0 || !node_faults {
                    inner.storm.insert(name, until);
                } else {
                    for pipeline in &self.world.options.pipelines {
                        inner.storm.insert(pipeline.name.clone(), until);
                    }
                }
            }
            38..46 => {
                let until = now + Duration::from_secs(600).mul_f64(unit);
                inner.fault("outage", &name);
                inner.outage.insert(name, until);
            }
            // An operator stops the node before settling.
            46..55 if inner.disk.any_held() => {
                inner.count("stopped_to_settle");
                inner.settle_when_down = true;
                drop(inner);
                if self.asked_at.is_none() {
                    self.ask();
                }
            }
            46..55 => {}
            55..59 => {
                inner.fault("service_killed", "");
                let path = ["heartbeat", "competition_clock"][part % 2].to_owned();
                drop(inner);
                let _ = self.node.root.cast(RootMsg::Kill(path));
            }
            _ if !node_faults => {}
            59..64 => {
                inner.fault("journal_killed", "");
                drop(inner);
                self.journal_kills = if part == 0 { 3 } else { 0 };
                let _ = self.node.root.cast(RootMsg::Kill("journal".to_owned()));
            }
            64..67 => {
                inner.fault("pipelines_killed", "");
                drop(inner);
                for pipeline in &self.world.options.pipelines {
                    let _ = self.node.root.cast(RootMsg::Kill(pipeline.name.clone()));
                }
            }
            67..81 => jump_somewhere(&mut inner, part, unit),
            81..84 => {
                inner.fault("slow_machine", "");
                let times = 5 + (unit * 55.0) as u32;
                let part = Part::ALL.get(part).copied().filter(|_| unit < 0.5);
                inner.slow = Some(Slow { times, part, until: now + Duration::from_secs(600).mul_f64(unit) });
            }
            84..90 => {
                inner.fault("sigterm", "");
                drop(inner);
                if self.asked_at.is_none() {
                    self.ask();
                }
            }
            90..98 => {
                inner.fault("sigkill", "");
                inner.crash.notify_one();
            }
            _ => {
                inner.fault("root_killed", "");
                self.node.root.get_cell().kill();
            }
        }
    }
}

/// The wall clock jumps at any time; a suspended machine looks the same from inside.
fn jump_somewhere(inner: &mut crate::world::Inner, part: usize, unit: f64) {
    let (kind, seconds) = match part {
        0 => ("clock_back", -unit * 600.0),
        1 => ("clock_back", -unit * 5.0),
        2 => ("clock_forward", unit * 120.0),
        3 => ("clock_forward", unit * 5.0),
        _ => ("suspend", 60.0 + unit * 7200.0),
    };
    inner.fault(kind, "");
    clock::jump(inner, kind, seconds);
}
