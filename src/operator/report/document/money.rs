//! What a venue has on record: profit, positions, and how well the confidence of a decision fits how its position ended.

use maud::{Markup, html};

use super::POSITIONS;
use super::tabled::{Set, left_out, share, table};
use crate::operator::page::told;
use crate::operator::report::charts;
use crate::operator::report::facts::{Closed, Facts, NO_RECORD, Realised, VenueFacts};
use crate::operator::report::part::{Part, Periods};
use crate::operator::report::scores::{Calibration, Scores};

/// Fewer positions say nothing about a model.
const POSITIONS_MIN: u64 = 10;

pub(super) fn cards(facts: &Facts) -> Markup {
    // Two models have two trainings, and one drawing can show only one.
    let mut periods = facts.pipelines.iter().filter_map(|pipeline| pipeline.slots.periods);
    let periods = periods.next().filter(|first| periods.all(|other| other == *first));
    html! { @for venue in &facts.venues { (card(venue, periods.as_ref())) (scored(venue)) } }
}

fn card(venue: &VenueFacts, periods: Option<&Periods>) -> Markup {
    html! {
        section .card aria-label={ "Profit by " (venue.by) } {
            div .head {
                h2 { "Orders and profit, by " (venue.by) }
                span { @if let Some(mode) = venue.mode { (mode) } @if let Some(file) = &venue.file { ", " (told::plain(file)) } }
            }
            @match &venue.realised {
                None => p .warn { "Profit is unknown: no record of the venue is at hand. Ask the venue, or name its ledger with --ledger." },
                Some(parts) => {
                    (table(
                        [("", Set::Left), ("profit, quote currency", Set::Right), ("closed", Set::Right), ("won", Set::Right)],
                        parts.iter().map(|(part, realised)| money(part.words(), realised))
                            .chain(venue.total().map(|total| money("together", &total))),
                    ))
                    div .draw {
                        div { (charts::profit(&venue.curve, periods)) }
                        div { (closed(venue)) }
                    }
                }
            }
            (open(venue))
        }
    }
}

fn money(words: &str, realised: &Realised) -> [String; 4] {
    let Realised { profit, closed, won } = realised;
    [words.to_owned(), format!("{profit:+.2}"), told::grouped(*closed), told::grouped(*won)]
}

fn closed(venue: &VenueFacts) -> Markup {
    let all = venue.total().map_or(0, |total| total.closed);
    let row = |closed: &Closed| {
        let confidence = closed.decision.as_ref().and_then(|decision| decision.confidence);
        [
            closed.closed_at.to_string(),
            format!("{} {} {}", closed.side, closed.volume_lots.normalize(), told::plain(&closed.symbol)),
            share(confidence),
            told::plain(&closed.reason),
            format!("{:+.2}", closed.profit),
            closed.part.to_string(),
        ]
    };
    let columns = [
        ("closed", Set::Left),
        ("position", Set::Left),
        ("confidence", Set::Right),
        ("by", Set::Left),
        ("profit", Set::Right),
        ("bars", Set::Left),
    ];
    html! {
        @if !venue.closed.is_empty() {
            h3 { "The newest positions that were closed" }
            (table(columns, venue.closed.iter().take(POSITIONS).map(row)))
            (left_out(all.saturating_sub(venue.closed.len().min(POSITIONS) as u64), "positions"))
        }
    }
}

fn open(venue: &VenueFacts) -> Markup {
    if venue.by == NO_RECORD {
        return html! { p .sub { "Which positions are open is unknown here." } };
    }
    html! {
        h3 { (told::count(venue.positions.len() as u64, "position")) " open now" }
        ul .notes { @for position in venue.positions.iter().take(POSITIONS) { li { (told::plain(position)) } } }
        (left_out(venue.positions.len().saturating_sub(POSITIONS) as u64, "open positions"))
        @if let Some(unknown) = &venue.unknown { p .warn { "Positions cannot be derived: " (told::plain(unknown)) } }
    }
}

/// Confidence against how positions ended.
fn scored(venue: &VenueFacts) -> Markup {
    let decided: Vec<(&Part, &Calibration)> =
        venue.calibration.iter().filter(|(_, calibration)| calibration.count() > 0).collect();
    let Some(shown) = decided.iter().find(|(part, _)| **part == Part::Unseen).or_else(|| decided.first()) else {
        return html! {};
    };
    html! {
        section .card aria-label={ "Reliability by " (venue.by) } {
            div .head {
                h2 { "Does confidence say how positions end?" }
                span { "by " (venue.by) ", the curve " (shown.0.words()) }
            }
            div .draw {
                div { (charts::reliability(shown.1)) }
                div { (verdict(shown.0, shown.1)) (bins(shown.1)) }
            }
            (scores(&decided))
            p .sub {
                "The event is that the position which a decision opened was closed with a profit. A model's confidence is that its class is \
                 right, which is not the same: what came true of the classes themselves is on no record here. Bars of the curve are 95 % \
                 intervals, if positions are independent."
                @if venue.without_decision > 0 { " " (told::count(venue.without_decision, "position")) " without a known confidence are left out." }
            }
        }
    }
}

fn scores(decided: &[(&Part, &Calibration)]) -> Markup {
    let rows = decided.iter().filter_map(|(part, calibration)| {
        let Scores { count, base_rate, brier, brier_of_base_rate, log_loss, log_loss_of_base_rate } =
            calibration.scores()?;
        let figures = [base_rate, brier, brier_of_base_rate, log_loss, log_loss_of_base_rate];
        let [rate, brier, brier_of_base, log, log_of_base] = figures.map(|figure| share(Some(figure)));
        Some([part.words().to_owned(), told::grouped(count), rate, brier, brier_of_base, log, log_of_base])
    });
    let columns = [
        ("", Set::Left),
        ("positions", Set::Right),
        ("base rate", Set::Right),
        ("Brier", Set::Right),
        ("Brier of base rate", Set::Right),
        ("log loss", Set::Right),
        ("log loss of base rate", Set::Right),
    ];
    table(columns, rows)
}

/// Only what the figures say, and only of unseen bars.
fn verdict(part: &Part, calibration: &Calibration) -> Markup {
    let Some(scores) = calibration.scores() else { return html! {} };
    let text = if *part != Part::Unseen {
        "No position of unseen bars is scored, so this says nothing about skill."
    } else if scores.count < POSITIONS_MIN {
        "They are too few to judge a model by."
    } else if scores.brier < scores.brier_of_base_rate && scores.log_loss < scores.log_loss_of_base_rate {
        "Both scores are better than those of the base rate: that alone is no evidence of skill."
    } else {
        "Not both scores are better than those of the base rate: it shows no skill."
    };
    html! { p { (text) " Lower is better; the base rate is known only afterwards." } }
}

fn bins(calibration: &Calibration) -> Markup {
    let rows = calibration.bins().filter_map(|((from, to), bin)| {
        let ((mean, won), (low, high)) = (bin.means()?, bin.interval()?);
        let range = format!("{from:.1} to {to:.1}");
        Some([range, told::grouped(bin.count), share(Some(mean)), share(Some(won)), format!("{low:.3} to {high:.3}")])
    });
    let columns = [
        ("confidence", Set::Left),
        ("positions", Set::Right),
        ("mean confidence", Set::Right),
        ("share won", Set::Right),
        ("95 % interval", Set::Right),
    ];
    table(columns, rows)
}
