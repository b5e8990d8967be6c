//! A backtest in words: what it was, what it came to, and what it does not say.

use sentinel_actors::domain::reason::Outcome;

use super::measured::{Directions, Money};
use super::tally::{OrderFigures, Told};
use crate::backtest::engine::Course;
use crate::backtest::plan::Plan;
use crate::backtest::verify::{LISTED, Verdict};
use crate::cli::text::{labelled, wrapped};
use crate::operator::page::told::{count, grouped};
use crate::operator::report::facts::Realised;
use crate::operator::report::part::Part;
use crate::operator::report::summary::Summary;

/// A line with its label.
type Line = (String, String);

fn line(label: &str, text: impl Into<String>) -> Line {
    (label.to_owned(), text.into())
}

/// What it was.
pub(super) fn about(plan: &Plan, course: &Course) -> Vec<Line> {
    let Course { first, last, slots } = course;
    let mut lines = vec![
        line("Bars", plan.csv.path.display().to_string()),
        line("Slots", format!("{}, from {first} to {last}", grouped(*slots))),
    ];
    if !plan.notes.is_empty() {
        lines.push(line("Differs", format!("From the configuration: {}.", plan.notes.join("; "))));
    }
    lines
}

/// What a reader must know before any figure.
pub(super) fn warnings(slots: &Summary) -> Vec<String> {
    let of = |part: Part| slots.parts.get(&part).copied().unwrap_or(0);
    let decided: u64 = slots.parts.values().sum();
    let mut warnings = Vec::new();
    if of(Part::Training) > 0 {
        let period = slots
            .periods
            .map_or_else(String::new, |periods| format!(" ({} to {})", periods.trained.0, periods.trained.1));
        warnings.push(format!(
            "The model was trained on {} of these {} decided bars{period}: what it came to in them says nothing about its skill. Look at the \
             unseen part.",
            grouped(of(Part::Training)),
            grouped(decided)
        ));
    }
    if decided > 0 && of(Part::Unknown) == decided {
        warnings.push(
            "No manifest beside the model says what it was trained on: none of these bars is known to be unseen."
                .to_owned(),
        );
    } else if decided > 0 && of(Part::Unseen) == 0 {
        warnings
            .push("None of these bars is unseen, so nothing here says anything about the model's skill.".to_owned());
    }
    warnings
}

/// Of an order job.
pub(super) fn orders(figures: &OrderFigures<'_>) -> Vec<Line> {
    let OrderFigures { venue, money, next, balance, spread, unrealised } = figures;
    let mut lines = vec![line(
        "Account",
        format!(
            "begins with {}; each entry and exit costs half of the spread of {spread}, and nothing else",
            balance.normalize()
        ),
    )];
    let realised = venue.realised.as_ref();
    let parts = Part::ALL.into_iter().filter(|part| money.contains_key(&Some(*part)));
    for part in parts.map(Some).chain([None]) {
        let Some(on_the_way) = money.get(&part) else { continue };
        let brought = match part {
            Some(part) => realised.and_then(|parts| parts.get(&part)).copied().unwrap_or_default(),
            None => venue.total().unwrap_or_default(),
        };
        lines.push(line(part.map_or("Together", heading), trades(&brought, on_the_way)));
    }
    if let Some(worth) = unrealised.filter(|_| !venue.positions.is_empty()) {
        let open = count(venue.positions.len() as u64, "position");
        lines.push(line(
            "Open",
            format!("{open} at the end, worth {worth:+.2} at the last price, which no profit above has in it"),
        ));
    }
    let mut all = Directions::default();
    for (part, of) in &next.parts {
        all.take_in(of);
        lines.extend(direction(*part, of));
    }
    if all.said > 0 {
        lines.push(line(
            "",
            "Hit rate: of the bars whose winner was buy or sell, the share after which the next bar closed on that side. Base rate: the same \
             for always naming the side that was the commoner one, which is known only afterwards. Log loss: of the probability of buy \
             among buy and sell. A model that was trained on another horizon or threshold than the next close may be good at its own \
             question all the same.",
        ));
    }
    lines
}

/// The label of a part.
const fn heading(part: Part) -> &'static str {
    match part {
        Part::Training => "Training",
        Part::Unseen => "Unseen",
        Part::Neither => "Neither",
        Part::Unknown => "Unknown",
    }
}

fn trades(brought: &Realised, on_the_way: &Money) -> String {
    let Realised { profit, closed, won } = brought;
    let rate = if *closed > 0 { format!(" ({} won)", percent(*won as f64 / *closed as f64)) } else { String::new() };
    let share = on_the_way.drawdown_share.map_or_else(String::new, |share| format!(" ({})", percent(share)));
    let exposure = on_the_way.exposure().map_or_else(|| "unknown".to_owned(), percent);
    format!(
        "{}{rate}, profit {profit:+.2} after costs, largest drawdown {:.2}{share}, in the market in {exposure} of {}",
        count(*closed, "trade"),
        on_the_way.drawdown,
        count(on_the_way.slots, "slot")
    )
}

fn direction(part: Part, of: &Directions) -> Option<Line> {
    let (hits, base) = of.rates()?;
    let mut text = format!(
        "{}: {} said a side; hit rate {}, base rate {}",
        part.words(),
        count(of.said, "bar"),
        percent(hits),
        percent(base)
    );
    if let Some(scores) = of.of_rise.scores() {
        text = format!("{text}; log loss {:.4}, of the prior {:.4}", scores.log_loss, scores.log_loss_of_base_rate);
    }
    Some(line("Next bar", text))
}

fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", share * 100.0)
}

/// The lines of one pipeline, for a terminal.
pub(super) fn text(told: &Told) -> String {
    let mut lines = vec![labelled("Backtest", &told.backtest.pipeline)];
    lines.extend(told.backtest.warnings.iter().map(|warning| labelled("Warning", warning)));
    let mut rest = told.backtest.lines.iter();
    // What it was, how its slots ended, and what it came to.
    lines.extend(rest.by_ref().take_while(|(label, _)| label != "Slots").map(|(label, text)| labelled(label, text)));
    lines.push(slots(told));
    lines.extend(rest.map(|(label, text)| labelled(label, text)));
    lines.extend(told.errors.iter().flat_map(|of| of.text()));
    lines.extend(told.halts.iter().map(|halt| labelled("Halt", halt)));
    lines.join("\n")
}

fn slots(told: &Told) -> String {
    let (of, course) = (&told.pipeline.slots, &told.course);
    let ended: Vec<String> =
        Outcome::ALL.into_iter().map(|outcome| format!("{} {}", grouped(of.count(outcome)), outcome.code())).collect();
    let text = format!("{}, from {} to {}: {}", grouped(of.slots), course.first, course.last, ended.join(", "));
    let mut lines = vec![labelled("Slots", &text)];
    let mut reasons: Vec<_> = of.reasons.iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(count.slots), reason.code()));
    lines.extend(
        reasons.into_iter().map(|(reason, count)| {
            labelled("", &format!("{:>9}  {} ({})", grouped(count.slots), reason, reason.short()))
        }),
    );
    lines.join("\n")
}

/// What the comparison with the tree found.
pub(super) fn verdict_text(pipeline: &str, verdict: &Verdict) -> String {
    let Verdict { slots, intents, positions, forecasts, differences, differing, first } = verdict;
    let compared = format!(
        "{}, {}, {} and {}",
        count(*slots, "row"),
        count(*intents, "intent"),
        count(*positions, "position"),
        count(*forecasts, "forecast")
    );
    if verdict.agrees() {
        let text = format!("{pipeline}: the backtest and the real node agree in every value of {compared}.");
        return labelled("Verified", &text);
    }
    let text = format!(
        "{pipeline}: of {compared}, {} from the real node, in {}. The first {}:",
        if *differing == 1 { "1 differs".to_owned() } else { format!("{} differ", grouped(*differing)) },
        count(*differences, "value"),
        first.len().min(LISTED)
    );
    let mut lines = vec![labelled("Differs", &text)];
    lines.extend(first.iter().map(|difference| wrapped("  ", "    ", &difference.to_string())));
    lines.join("\n")
}
