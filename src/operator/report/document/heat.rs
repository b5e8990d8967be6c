//! What many rules came to: a map for two keys, a row of it for one, and the table of all of them.

use maud::{Markup, html};

use super::tabled::left_out;
use crate::operator::page::told;
use crate::operator::report::facts::SweepFacts;

/// Rows of the table.
const ROWS: usize = 200;
/// Steps of a colour, to each side of nothing earned.
const STEPS: f64 = 6.0;

pub(super) fn map(sweep: &SweepFacts) -> Markup {
    let highest =
        sweep.profits.iter().filter(|profit| profit.is_finite()).fold(0.0_f64, |most, profit| most.max(profit.abs()));
    let (down, across) = match sweep.values.as_slice() {
        [one] => (None, one),
        [first, second] => (Some(first), second),
        _ => return table(sweep),
    };
    let part = if sweep.is_unseen { " in unseen bars" } else { "" };
    let profit = |row: usize, column: usize| sweep.profits.get(row * across.len() + column).copied();
    let rows = down.map_or(1, Vec::len);
    html! {
        h3 { "Profit after costs" (part) ", by " (sweep.keys.join(" and ")) }
        div .wide role="region" aria-label="Heat map" tabindex="0" {
            table .heat {
                tr {
                    th scope="col" { (corner(sweep)) }
                    @for value in across { th scope="col" .r { bdi { (told::plain(value)) } } }
                }
                @for row in 0..rows {
                    tr {
                        th scope="row" { bdi { @if let Some(value) = down.and_then(|down| down.get(row)) { (told::plain(value)) } @else { "profit" } } }
                        @for column in 0..across.len() {
                            @if let Some(profit) = profit(row, column) { td class={ "r " (shade(profit, highest)) } { (format!("{profit:+.2}")) } }
                        }
                    }
                }
            }
        }
        p .sub { "The stronger the colour, the further from nothing earned. A single strong field among weak ones is what luck looks like." }
        (table(sweep))
    }
}

fn corner(sweep: &SweepFacts) -> String {
    match sweep.keys.as_slice() {
        [down, across] => format!("{down} \\ {across}"),
        keys => keys.join(" "),
    }
}

/// The class of a profit: its sign, and how near it is to the largest.
fn shade(profit: f64, highest: f64) -> String {
    let share = if highest > 0.0 { profit.abs() / highest } else { 0.0 };
    let step = (share * STEPS).ceil().clamp(0.0, STEPS);
    match (step > 0.0, profit > 0.0) {
        (false, _) => "h0".to_owned(),
        (true, true) => format!("hp{step:.0}"),
        (true, false) => format!("hn{step:.0}"),
    }
}

fn table(sweep: &SweepFacts) -> Markup {
    html! {
        div .wide role="region" aria-label="Table" tabindex="0" {
            table {
                tr { @for name in &sweep.head { th scope="col" .r { (name) } } }
                @for row in sweep.rows.iter().take(ROWS) {
                    tr { @for cell in row { td .r { bdi { (told::plain(cell)) } } } }
                }
            }
        }
        (left_out(sweep.rows.len().saturating_sub(ROWS) as u64, "combinations"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(values: &[&[&str]], profits: &[f64]) -> String {
        let sweep = SweepFacts {
            keys: (0..values.len()).map(|key| format!("key{key}")).collect(),
            values: values.iter().map(|of| of.iter().map(|value| (*value).to_owned()).collect()).collect(),
            profits: profits.to_vec(),
            ..SweepFacts::default()
        };
        map(&sweep).into_string()
    }

    #[test]
    fn two_keys_make_a_map_whose_fields_stand_where_their_values_meet() {
        let html = sweep(&[&["a", "b"], &["x", "y", "z"]], &[1.0, 2.0, 3.0, -4.0, 0.0, 6.0]);
        let fields: Vec<&str> =
            html.split("<td class=\"r ").skip(1).filter_map(|cell| cell.split("</td>").next()).collect();
        assert_eq!(fields, ["hp1\">+1.00", "hp2\">+2.00", "hp3\">+3.00", "hn4\">-4.00", "h0\">+0.00", "hp6\">+6.00"]);
        assert!(html.contains("key0 \\ key1"), "{html}");
    }

    #[test]
    fn one_key_makes_one_row_and_three_make_only_a_table() {
        assert_eq!(sweep(&[&["a", "b"]], &[1.0, 2.0]).matches("class=\"r h").count(), 2);
        assert!(!sweep(&[&["a"], &["b"], &["c"]], &[1.0]).contains("heat"));
    }
}
