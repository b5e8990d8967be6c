//! A sweep in words and figures: a table for a terminal, and what luck has to do with it.

use rust_decimal::prelude::ToPrimitive as _;

use super::grid::Axis;
use crate::backtest::reality::{self, Reality};
use crate::backtest::sweep::Outcome;
use crate::cli::text::{WIDTH, cell};
use crate::operator::page::told::{count, grouped};
use crate::operator::report::facts::{BacktestFacts, SweepFacts};
use crate::operator::report::part::Periods;

/// Rows of a table on a terminal.
const ROWS: usize = 40;
/// With so many keys the best ones stand first.
const SORTED_FROM: usize = 2;
/// Below it, luck is called an unlikely explanation.
const UNLIKELY: f64 = 0.05;

/// The combinations of one pipeline and what they came to, in the same order.
pub(super) struct Swept<'s> {
    pub(super) pipeline: &'s str,
    pub(super) about: Vec<(String, String)>,
    pub(super) slots: u64,
    pub(super) periods: Option<Periods>,
    pub(super) axes: &'s [Axis],
    pub(super) tried: &'s [Vec<String>],
    pub(super) outcomes: &'s [Outcome],
}

impl Swept<'_> {
    /// By name of the last part of its key.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.axes.iter().map(|axis| axis.key.rsplit('.').next().unwrap_or(axis.key)).collect()
    }

    /// The days that may say something, of each combination; and whether they are the unseen ones.
    fn days(&self) -> (Vec<Vec<f64>>, bool) {
        let is_known = self.periods.is_some();
        let of = |outcome: &Outcome| -> Vec<f64> {
            outcome.days.iter().filter(|day| day.is_unseen || !is_known).map(|day| day.change).collect()
        };
        (self.outcomes.iter().map(of).collect(), is_known)
    }

    pub(super) fn facts(&self) -> BacktestFacts {
        let (days, is_known) = self.days();
        let reality = reality::check(&days);
        let mut warnings = Vec::new();
        if !is_known {
            let text = "No manifest says what the model was trained on, so all days count. If it was trained on them, neither a profit here \
                        nor what is said about chance is worth anything.";
            warnings.push(text.to_owned());
        }
        let mut lines = self.about.clone();
        let line = |label: &str, text: String| (label.to_owned(), text);
        let keys: Vec<String> = self.axes.iter().map(|axis| format!("{} of {}", axis.values.len(), axis.key)).collect();
        lines.push(line(
            "Tried",
            format!(
                "{} ({}), each on the same {}",
                count(self.tried.len() as u64, "combination"),
                keys.join(" with "),
                count(self.slots, "slot")
            ),
        ));
        lines.extend(self.best(reality.as_ref(), is_known).map(|text| line("Best", text)));
        lines.push(line(
            "Chance",
            chance(reality.as_ref(), self.tried.len(), days.first().map_or(0, Vec::len), is_known),
        ));
        let sweep = SweepFacts {
            keys: self.axes.iter().map(|axis| axis.key.to_owned()).collect(),
            values: self.axes.iter().map(|axis| axis.values.clone()).collect(),
            profits: self.outcomes.iter().map(|outcome| self.profit(outcome)).collect(),
            is_unseen: is_known,
            head: self.head(),
            rows: (0..self.tried.len()).map(|at| self.row(at)).collect(),
        };
        BacktestFacts { pipeline: self.pipeline.to_owned(), warnings, lines, sweep: Some(sweep) }
    }

    fn profit(&self, outcome: &Outcome) -> f64 {
        let realised = if self.periods.is_some() { &outcome.unseen } else { &outcome.trades };
        realised.profit.to_f64().unwrap_or(f64::NAN)
    }

    fn best(&self, reality: Option<&Reality>, is_known: bool) -> Option<String> {
        let best = reality?.best;
        let (chosen, outcome) = (self.tried.get(best)?, self.outcomes.get(best)?);
        let chosen: Vec<String> =
            self.names().iter().zip(chosen).map(|(name, value)| format!("{name} {value}")).collect();
        let part = if is_known { "unseen " } else { "" };
        let realised = if is_known { &outcome.unseen } else { &outcome.trades };
        Some(format!(
            "{}, by what it earned on average on {part}days; {} there, profit {:+.2} after costs",
            chosen.join(", "),
            count(realised.closed, "trade"),
            realised.profit
        ))
    }

    fn head(&self) -> Vec<String> {
        let names = self.names().into_iter().map(str::to_owned);
        names.chain(["trades", "won", "profit", "unseen", "drawdown", "exposed"].map(str::to_owned)).collect()
    }

    fn row(&self, at: usize) -> Vec<String> {
        let Some((chosen, outcome)) = self.tried.get(at).zip(self.outcomes.get(at)) else { return Vec::new() };
        let share = |part: u64, whole: u64| {
            if whole == 0 { "-".to_owned() } else { format!("{:.1}%", part as f64 * 100.0 / whole as f64) }
        };
        let Outcome { trades, unseen, money, .. } = outcome;
        let unseen = if self.periods.is_some() { format!("{:+.2}", unseen.profit) } else { "unknown".to_owned() };
        let figures = [
            grouped(trades.closed),
            share(trades.won, trades.closed),
            format!("{:+.2}", trades.profit),
            unseen,
            format!("{:.2}", money.drawdown),
            share(money.exposed, money.slots),
        ];
        chosen.iter().cloned().chain(figures).collect()
    }

    /// The table for a terminal.
    pub(super) fn table(&self) -> String {
        let mut order: Vec<usize> = (0..self.tried.len()).collect();
        if self.axes.len() >= SORTED_FROM {
            order.sort_by(|a, b| {
                self.profit(&self.outcomes[*b]).total_cmp(&self.profit(&self.outcomes[*a])).then(a.cmp(b))
            });
        }
        let rows: Vec<Vec<String>> =
            std::iter::once(self.head()).chain(order.iter().take(ROWS).map(|at| self.row(*at))).collect();
        let widths: Vec<usize> = (0..self.head().len())
            .map(|column| {
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(text, width)| format!("{text:>width$}"));
            cell(&cells.collect::<Vec<_>>().join("  "), WIDTH).trim_end().to_owned()
        };
        let mut lines: Vec<String> = rows.iter().map(line).collect();
        if self.tried.len() > ROWS {
            let left = grouped((self.tried.len() - ROWS) as u64);
            lines.push(format!("{left} more are in --csv and --html."));
        }
        lines.join("\n")
    }
}

/// What the best of so many would show by chance.
fn chance(reality: Option<&Reality>, tried: usize, days: usize, is_known: bool) -> String {
    let part = if is_known { "unseen " } else { "" };
    let Some(Reality { days, p, .. }) = reality else {
        return format!(
            "{} {} are too few to say what the best of {} would show by chance; {} are needed",
            grouped(days as u64),
            if days == 1 { format!("{part}day") } else { format!("{part}days") },
            grouped(tried as u64),
            reality::DAYS_MIN
        );
    };
    let verdict = if *p < UNLIKELY {
        "Luck alone is an unlikely explanation, as far as these days go."
    } else {
        "So the best of them shows no more than luck would show: it is no reason to trust it."
    };
    let times =
        if *p < 0.001 { "less than 1 in 1,000".to_owned() } else { format!("{} in 1,000", (p * 1000.0).round()) };
    format!(
        "{} {part}days. If none of the {} earned anything, the best of so many would do as well as this one in {times} cases \
         (White's reality check, p = {p:.4}). {verdict}",
        grouped(*days as u64),
        count(tried as u64, "combination"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_p_value_is_said_in_words_and_luck_is_called_luck() {
        let of = |p| chance(Some(&Reality { best: 0, days: 250, p }), 31, 250, true);
        assert_eq!(
            of(0.4321),
            "250 unseen days. If none of the 31 combinations earned anything, the best of so many would do as well as this one in 432 \
             in 1,000 cases (White's reality check, p = 0.4321). So the best of them shows no more than luck would show: it is no \
             reason to trust it."
        );
        assert!(of(0.05).contains("no more than luck") && of(0.049).contains("an unlikely explanation"));
        assert!(of(0.0005).contains("in less than 1 in 1,000 cases"));
        assert!(chance(None, 31, 7, true).starts_with("7 unseen days are too few"));
    }
}
