//! How a row of slots ended, as cells: their height and their colour both tell the outcome.

use std::fmt::Write as _;

use maud::{Markup, html};
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;

/// What a cell looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    Quiet,
    Closed,
    Acted,
    Skipped,
    Missed,
}

impl Cell {
    pub const ALL: [Self; 5] = [Self::Closed, Self::Quiet, Self::Skipped, Self::Acted, Self::Missed];

    #[must_use]
    pub const fn of(reason: Reason) -> Self {
        match reason.outcome() {
            Outcome::Acted => Self::Acted,
            Outcome::NoAction => Self::Quiet,
            Outcome::Skipped if matches!(reason, Reason::MarketClosed) => Self::Closed,
            Outcome::Skipped => Self::Skipped,
            Outcome::Missed => Self::Missed,
        }
    }

    #[must_use]
    pub const fn class(self) -> &'static str {
        match self {
            Self::Quiet => "k-n",
            Self::Closed => "k-z",
            Self::Acted => "k-a",
            Self::Skipped => "k-s",
            Self::Missed => "k-x",
        }
    }
}

/// A small strip of the newest slots, `of` places wide; with a name that says the same.
#[must_use]
pub fn strip(cells: &[(UtcMs, Reason)], of: u32) -> Markup {
    // The newest one stands at the right end.
    let first = of.saturating_sub(u32::try_from(cells.len()).unwrap_or(of));
    let placed: Vec<(f64, Cell)> =
        cells.iter().zip(first..).map(|((_, reason), place)| (f64::from(place), Cell::of(*reason))).collect();
    html! {
        svg .mini viewBox={ "0 0 " (of) " 16" } preserveAspectRatio="none" role="img" aria-label=(spoken(cells)) {
            (paths(&placed))
        }
    }
}

/// Cells one unit wide at their places. Their class has height and place, a dash the gap between two of them.
#[must_use]
pub fn paths(placed: &[(f64, Cell)]) -> Markup {
    html! {
        @for cell in Cell::ALL {
            @if let Some(path) = path(placed, cell) { path class=(cell.class()) d=(path) {} }
        }
    }
}

/// Cells that follow each other are one line.
fn path(placed: &[(f64, Cell)], wanted: Cell) -> Option<String> {
    let mut runs: Vec<(f64, f64)> = Vec::new();
    for (place, _) in placed.iter().filter(|(_, cell)| *cell == wanted) {
        match runs.last_mut().filter(|run| (run.0 + run.1 - place).abs() < 0.01) {
            Some(run) => run.1 += 1.0,
            None => runs.push((*place, 1.0)),
        }
    }
    let mut path = String::new();
    for (place, width) in runs {
        let _ = write!(path, "M{} 0h{width}", (place * 100.0).round() / 100.0);
    }
    (!path.is_empty()).then_some(path)
}

/// The same in words.
#[must_use]
pub fn spoken(cells: &[(UtcMs, Reason)]) -> String {
    let count = |outcome| cells.iter().filter(|(_, reason)| reason.outcome() == outcome).count();
    let counts: Vec<String> = Outcome::ALL
        .into_iter()
        .map(|outcome| (count(outcome), outcome))
        .filter(|(count, _)| *count > 0)
        .map(|(count, outcome)| format!("{count} {}", word(outcome)))
        .collect();
    if counts.is_empty() { "No slot yet".to_owned() } else { counts.join(", ") }
}

/// An outcome for a person.
#[must_use]
pub const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Acted => "acted",
        Outcome::NoAction => "no action",
        Outcome::Skipped => "skipped",
        Outcome::Missed => "missed",
    }
}
