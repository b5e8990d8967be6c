//! Takes in the slots of a backtest one after the other, and makes of them what a report shows.

use std::collections::{BTreeMap, HashMap};
use std::io;

use rust_decimal::Decimal;
use sentinel_actors::domain::action::{Action, Receipt};
use sentinel_actors::domain::decision::Signal;
use sentinel_actors::domain::halt::Halt;
use sentinel_actors::domain::intent::{Intent, Mode};
use sentinel_actors::domain::order::{Order, Role, Ticket};
use sentinel_actors::domain::time::UtcMs;

use super::measured::{Money, NextBars};
use super::progress::Progress;
use super::words;
use crate::backtest::engine::{Course, Market, Rest, Step, Visitor};
use crate::backtest::plan::Plan;
use crate::cli::forecasts::{Forecasts, Kind, Kinds, PeriodsOf};
use crate::cli::report::gather::shown;
use crate::cli::report::gather::venues;
use crate::cli::report::rows::{self, Decided};
use crate::config::JobConfig;
use crate::operator::report::facts::{BacktestFacts, Closed, ForecastFacts, Opening, PipelineFacts, VenueFacts};
use crate::operator::report::part::{Part, Periods};
use crate::operator::report::summary::Summary;
use crate::operator::report::tables::Tables;
use crate::operator::report::thinned::Thinned;
use crate::venues::book_reader::BookPosition;
use crate::venues::forecasts::BookForecast;

/// What one pipeline came to.
pub(super) struct Told {
    pub(super) course: Course,
    pub(super) backtest: BacktestFacts,
    pub(super) pipeline: PipelineFacts,
    /// Of an order job.
    pub(super) venue: Option<VenueFacts>,
    /// Of a forecast job, in the words of `sentinel report`.
    pub(super) errors: Vec<Forecasts>,
    pub(super) forecasts: Vec<ForecastFacts>,
    pub(super) halts: Vec<String>,
}

/// Everything that is measured of an order job.
pub(super) struct OrderFigures<'a> {
    pub(super) venue: &'a VenueFacts,
    /// By part, and of all of them under `None`.
    pub(super) money: &'a BTreeMap<Option<Part>, Money>,
    pub(super) next: &'a NextBars,
    pub(super) balance: Decimal,
    pub(super) spread: Decimal,
    pub(super) unrealised: Option<Decimal>,
}

/// What an order job has besides.
struct OfOrders {
    venue: VenueFacts,
    sum: f64,
    realised: Decimal,
    balance: Decimal,
    spread: Decimal,
    classes: Vec<Signal>,
    /// The decisions of what is open.
    opened: HashMap<Ticket, (Opening, Part)>,
    money: BTreeMap<Option<Part>, Money>,
    next: NextBars,
    unrealised: Option<Decimal>,
}

/// A forecast and the slot that made it wait for what comes true.
type Waiting = HashMap<String, Intent>;

pub(super) struct Tally<'t> {
    plan: &'t Plan,
    course: Course,
    pipeline: PipelineFacts,
    orders: Option<OfOrders>,
    kinds: Kinds<'t>,
    points: BTreeMap<Kind, Thinned<(f64, f64, Part)>>,
    waiting: Waiting,
    tables: Option<&'t mut Tables>,
    /// The first table that could not be written.
    unwritten: Option<io::Error>,
    progress: Progress,
}

impl<'t> Tally<'t> {
    pub(super) fn new(
        plan: &'t Plan,
        periods: Option<Periods>,
        of_kinds: &'t PeriodsOf,
        tables: Option<&'t mut Tables>,
    ) -> Self {
        let name = &plan.pipeline.name;
        let orders = match &plan.pipeline.job {
            JobConfig::Order(order) => Some(OfOrders {
                venue: VenueFacts {
                    by: "paper book",
                    mode: Some(Mode::DryRun),
                    realised: Some(BTreeMap::new()),
                    ..VenueFacts::default()
                },
                sum: 0.0,
                realised: Decimal::ZERO,
                balance: order.paper.balance,
                spread: order.paper.spread,
                classes: order.policy.classes.clone(),
                opened: HashMap::new(),
                money: BTreeMap::new(),
                next: NextBars::default(),
                unrealised: Some(Decimal::ZERO),
            }),
            JobConfig::Forecast(_) => None,
        };
        Self {
            plan,
            course: Course { first: UtcMs(0), last: UtcMs(0), slots: 0 },
            pipeline: PipelineFacts {
                slots: Summary::new(name, periods),
                orders: BTreeMap::new(),
                forecasts: BTreeMap::new(),
                newest: Vec::new(),
                removed_until: None,
            },
            orders,
            kinds: Kinds::new(of_kinds),
            points: BTreeMap::new(),
            waiting: HashMap::new(),
            tables,
            unwritten: None,
            progress: Progress::new(name),
        }
    }

    /// After the last slot.
    ///
    /// # Errors
    /// When a table could not be written.
    pub(super) fn finish(mut self, rest: Rest) -> io::Result<Told> {
        self.progress.end();
        for made in &rest.waiting {
            self.compare(made);
        }
        if let Some(error) = self.unwritten {
            return Err(error);
        }
        self.pipeline.slots.end();
        let from = self.pipeline.slots.newest.front().map(|record| record.slot);
        self.pipeline.newest.retain(|intent| from.is_some_and(|from| intent.slot >= from));
        let errors = self.kinds.finish();
        let mut points = self.points;
        let forecasts = errors.iter().map(|of| shown(of, points.remove(&of.kind).unwrap_or_default())).collect();
        let mut backtest = BacktestFacts { pipeline: self.plan.pipeline.name.clone(), ..BacktestFacts::default() };
        backtest.warnings = words::warnings(&self.pipeline.slots);
        backtest.lines = words::about(self.plan, &self.course);
        let venue = self.orders.map(|mut of| {
            venues::end(&mut of.venue, of.sum);
            of.venue.positions = rest.open.iter().map(position).collect();
            backtest.lines.extend(words::orders(&OrderFigures {
                venue: &of.venue,
                money: &of.money,
                next: &of.next,
                balance: of.balance,
                spread: of.spread,
                unrealised: of.unrealised,
            }));
            of.venue
        });
        let halts = rest.halts.iter().map(halt).collect();
        let (course, pipeline) = (self.course, self.pipeline);
        Ok(Told { course, backtest, pipeline, venue, errors, forecasts, halts })
    }

    fn write(&mut self, write: impl FnOnce(&mut Tables) -> io::Result<()>) {
        if let (Some(tables), None) = (self.tables.as_deref_mut(), &self.unwritten) {
            self.unwritten = write(tables).err();
        }
    }

    fn sent(&mut self, intent: Intent, (decided, bar, part): (&Decided, Option<UtcMs>, Part)) {
        match &intent.action {
            Action::Order(order) => {
                *self.pipeline.orders.entry(intent.state).or_default() += 1;
                self.remember_opening(&intent, order, (decided, part));
                self.write(|to| rows::order(to, (&intent, order), decided.clone(), bar, (part, true)));
            }
            Action::Forecast(_) => {
                *self.pipeline.forecasts.entry(intent.state).or_default() += 1;
                if self.tables.is_some() {
                    self.waiting.insert(intent.key.to_string(), intent.clone());
                }
            }
        }
        // As many as slots are drawn one by one; the others are cut at the end.
        self.pipeline.newest.push(intent);
        if self.pipeline.newest.len() > 4 * crate::operator::report::summary::DRAWN {
            self.pipeline.newest.drain(..2 * crate::operator::report::summary::DRAWN);
        }
    }

    fn remember_opening(&mut self, intent: &Intent, order: &Order, (decided, part): (&Decided, Part)) {
        let Some(of) = &mut self.orders else { return };
        if let (Role::Open, Some(ticket)) = (order.role, intent.receipt.as_ref().and_then(Receipt::ticket)) {
            let (key, pipeline) = (intent.key.to_string(), intent.pipeline.clone());
            let opening = Opening { key, pipeline, slot: intent.slot, confidence: decided.confidence };
            of.opened.insert(ticket, (opening, part));
        }
    }

    fn closed(&mut self, position: BookPosition) {
        let Some(of) = &mut self.orders else { return };
        let (decision, part) =
            of.opened.remove(&position.ticket).map_or((None, Part::Unknown), |(opening, part)| (Some(opening), part));
        let Some(closing) = position.closing else { return };
        of.realised = of.realised.saturating_add(closing.profit);
        let closed = Closed {
            ticket: position.ticket.0,
            symbol: position.symbol,
            side: position.side.to_string(),
            volume_lots: position.volume_lots,
            open_price: position.open_price,
            opened_at: position.opened_at,
            close_price: closing.price,
            closed_at: closing.at,
            reason: closing.reason.code().to_owned(),
            profit: closing.profit,
            decision,
            part,
        };
        let (row, by) = (closed.clone(), of.venue.by);
        venues::add(&mut of.venue, closed, &mut of.sum);
        self.write(|to| rows::position(to, by, Mode::DryRun, &row));
    }

    fn compare(&mut self, made: &BookForecast) {
        let (kind, part) = self.kinds.add(made);
        let pair =
            made.came_true.and_then(|truth| Some((made.forecast.log_return.try_into().ok()?, truth.try_into().ok()?)));
        if let Some((said, truth)) = pair {
            self.points.entry(kind).or_default().add((said, truth, part));
        }
        if let Some(intent) = self.waiting.remove(made.key.as_str()) {
            self.write(|to| rows::forecast(to, (&intent, &made.forecast), made.came_true, part, true));
        }
    }
}

impl Visitor for Tally<'_> {
    fn begin(&mut self, course: Course) {
        self.course = course;
        self.progress.begin(course.slots);
    }

    fn step(&mut self, step: Step, market: &Market<'_>) {
        let Step { record, bar, intents, closed, compared } = step;
        let part = self.pipeline.slots.part_of(&record);
        self.write(|to| rows::slot(to, &record, part, true));
        let decided = Decided { signal: record.signal.clone(), confidence: record.confidence };
        for intent in intents {
            self.sent(intent, (&decided, record.newest_bar, part));
        }
        for position in closed {
            self.closed(position);
        }
        for made in &compared {
            self.compare(made);
        }
        if let Some(of) = &mut self.orders {
            let (open, unrealised) = market.open();
            of.unrealised = unrealised;
            let so_far = of.balance.checked_add(of.realised);
            let equity = so_far.zip(unrealised).and_then(|(balance, worth)| balance.checked_add(worth));
            for of_part in [None, Some(part)] {
                of.money.entry(of_part).or_default().add(equity, open);
            }
            of.next.add(&record, bar.as_ref(), part, &of.classes);
        }
        self.pipeline.slots.add(record, true);
        self.progress.step();
    }
}

fn position(open: &BookPosition) -> String {
    let BookPosition { ticket, symbol, side, volume_lots, open_price, opened_at, .. } = open;
    format!("{side} {volume_lots} lots of {symbol} at {open_price}, ticket {ticket}, since {opened_at}")
}

fn halt(halt: &Halt) -> String {
    let raised = &halt.raised;
    format!("{}: {}; {}", raised.since, raised.why, raised.evidence)
}
