//! Tables of the document.

use maud::{Markup, html};

/// How a column is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Left,
    Right,
    /// Breaks between words.
    Long,
}

impl Set {
    const fn class(self) -> Option<&'static str> {
        match self {
            Self::Left => None,
            Self::Right => Some("r"),
            Self::Long => Some("l"),
        }
    }
}

/// A table that scrolls by itself when it is wider than its card. Each row has as many cells as there are columns.
pub(super) fn table<const N: usize>(columns: [(&str, Set); N], rows: impl IntoIterator<Item = [String; N]>) -> Markup {
    html! {
        div .wide role="region" aria-label="Table" tabindex="0" {
            table {
                tr { @for (name, set) in columns { th scope="col" class=[set.class()] { (name) } } }
                @for row in rows {
                    tr { @for (cell, (_, set)) in row.iter().zip(columns) { td class=[set.class()] { bdi { (cell) } } } }
                }
            }
        }
    }
}

/// What a list leaves out.
pub(super) fn left_out(count: u64, what: &str) -> Markup {
    html! { @if count > 0 { p .sub { (count) " more " (what) " are left out here; " code { "--csv" } " has all of them." } } }
}

/// With three decimals, or that it is not known.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.3}"))
}
