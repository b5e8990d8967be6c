//! Forecasts against what came true.

use maud::{Markup, html};

use super::tabled::{Set, table};
use crate::operator::page::told;
use crate::operator::report::charts;
use crate::operator::report::facts::{ErrorRow, Facts, ForecastFacts};

pub(super) fn cards(facts: &Facts) -> Markup {
    let made: u64 = facts.pipelines.iter().flat_map(|pipeline| pipeline.forecasts.values()).sum();
    html! {
        @for forecasts in &facts.forecasts { (card(forecasts)) }
        @if facts.forecasts.is_empty() && made > 0 {
            section .card aria-label="Forecasts" {
                h2 { "Forecasts against what came true" }
                p .warn { "What came true is unknown here: only the paper book of a dry run keeps it." }
            }
        }
    }
}

fn card(forecasts: &ForecastFacts) -> Markup {
    let error = |error: Option<f64>| error.map_or_else(|| "unknown".to_owned(), |error| format!("{error:.5}"));
    let row = |row: &ErrorRow| {
        [
            row.part.map_or("together", |part| part.words()).to_owned(),
            told::grouped(row.made as u64),
            told::grouped(row.compared as u64),
            told::grouped(row.independent as u64),
            error(row.rmse),
            error(row.rmse_of_zero),
        ]
    };
    let columns = [
        ("", Set::Left),
        ("made", Set::Right),
        ("compared", Set::Right),
        ("independent", Set::Right),
        ("RMSE", Set::Right),
        ("of zero", Set::Right),
    ];
    html! {
        section .card aria-label={ "Forecasts of " (told::plain(&forecasts.what)) } {
            div .head {
                h2 { "Forecasts against what came true" }
                span { (told::plain(&forecasts.what)) }
            }
            div .draw {
                div { (charts::came_true(&forecasts.points)) }
                div {
                    (table(columns, forecasts.rows.iter().map(row)))
                    ul .notes { @for note in &forecasts.notes { li { (told::plain(note)) } } }
                    p .sub { "A forecast of a value has no probability, so it has no Brier score and no log loss; what stands beside its error is that of forecasting zero each time." }
                }
            }
        }
    }
}
