//! Indicators that feature sets share: each is a function of the last few values of one column.
//!
//! Every call sums its own window, so the value of a row does not depend on where the column began and no rounding error
//! is carried from row to row. A value that is not defined (too few rows, or an undefined value among them) is NaN; the
//! caller decides what that means. Nothing here invents a value for it.
//!
//! Exponential averages are not here: the `ta` crate's (`y0 = c0`, `a = 2/(n+1)`) are the ones that are wanted. Its other
//! indicators are not: `SimpleMovingAverage` carries one sum through the whole column (see [`mean`]), `StandardDeviation`
//! divides by n, and `RelativeStrengthIndex` smooths exponentially.

/// The last `rows` values up to and including `at`; `None` when the column has not that many.
fn window(column: &[f64], at: usize, rows: usize) -> Option<&[f64]> {
    let start = (at + 1).checked_sub(rows)?;
    column.get(start..=at)
}

/// The value at `at` and the one `rows_back` before it.
fn ends(column: &[f64], at: usize, rows_back: usize) -> Option<(f64, f64)> {
    Some((*column.get(at)?, *column.get(at.checked_sub(rows_back)?)?))
}

/// Relative change over `rows_back` rows, as a fraction: `x / x[-k] - 1`.
#[must_use]
pub fn change(column: &[f64], at: usize, rows_back: usize) -> f64 {
    ends(column, at, rows_back).map_or(f64::NAN, |(now, then)| now / then - 1.0)
}

/// Difference over `rows_back` rows, in the column's unit: `x - x[-k]`.
#[must_use]
pub fn difference(column: &[f64], at: usize, rows_back: usize) -> f64 {
    ends(column, at, rows_back).map_or(f64::NAN, |(now, then)| now - then)
}

/// Arithmetic mean of the last `rows` values, in the column's unit.
///
/// Not `ta`'s `SimpleMovingAverage`: its running sum is exact enough on a year of hourly prices (3e-15), but what it has
/// seen never quite leaves it. One absent volume would make every later mean undefined, one huge value would blur them,
/// and a row would depend on where its column began.
#[must_use]
pub fn mean(column: &[f64], at: usize, rows: usize) -> f64 {
    window(column, at, rows).map_or(f64::NAN, mean_of)
}

/// Standard deviation of the last `rows` values as a sample (Bessel: divided by n - 1), in the column's unit. Two passes:
/// the sum of squares minus the square of the sum would lose every digit on a nearly flat market.
#[must_use]
pub fn sample_std(column: &[f64], at: usize, rows: usize) -> f64 {
    let Some(values) = window(column, at, rows).filter(|values| values.len() > 1) else { return f64::NAN };
    let centre = mean_of(values);
    let squares = sum(values, |value| (value - centre) * (value - centre));
    (squares / count(values.len() - 1)).sqrt()
}

/// Relative strength index in Cutler's form, 0 to 100: `100 - 100 / (1 + G/L)` with simple means of the gains and of the
/// losses of the last `rows` rows, each against the row before it. A market that did not move is at 50, one that only rose
/// at 100. A column's first row has nothing before it and counts as no move, as it did where the models were trained.
#[must_use]
pub fn cutler_rsi(column: &[f64], at: usize, rows: usize) -> f64 {
    if window(column, at, rows).is_none() {
        return f64::NAN;
    }
    let (mut gains, mut losses) = (0.0, 0.0);
    for pair in column[(at + 1 - rows).saturating_sub(1)..=at].windows(2) {
        let step = pair[1] - pair[0];
        let gain = if step > 0.0 { step } else { 0.0 };
        gains += gain;
        // An undefined step ends up here, and with it the result is undefined.
        losses += gain - step;
    }
    if losses == 0.0 {
        return if gains == 0.0 { 50.0 } else { 100.0 };
    }
    // The two means have the same divisor, which cancels.
    100.0 - 100.0 / (1.0 + gains / losses)
}

fn mean_of(values: &[f64]) -> f64 {
    sum(values, |value| value) / count(values.len())
}

/// Four sums side by side: one alone would wait for its own last addition, which is most of what a frame costs.
fn sum(values: &[f64], term: impl Fn(f64) -> f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += term(*value);
        }
    }
    let rest: f64 = rest.iter().map(|value| term(*value)).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[expect(clippy::cast_precision_loss, reason = "window lengths are far below 2^53")]
fn count(rows: usize) -> f64 {
    rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_defined_before_its_window_is_full() {
        let column = [1.0, 2.0, 4.0];
        assert!(change(&column, 1, 2).is_nan());
        assert!(difference(&column, 0, 1).is_nan());
        assert!(mean(&column, 1, 3).is_nan());
        assert!(sample_std(&column, 1, 3).is_nan());
        assert!(cutler_rsi(&column, 1, 3).is_nan());
    }

    #[test]
    fn windows_end_at_the_row_that_is_asked_for() {
        let column = [1.0, 2.0, 4.0, 100.0];
        assert_eq!(change(&column, 2, 2), 3.0);
        assert_eq!(difference(&column, 2, 1), 2.0);
        assert_eq!(mean(&column, 2, 2), 3.0);
        assert_eq!(sample_std(&column, 2, 2), 2.0_f64.sqrt());
        assert_eq!(cutler_rsi(&column, 2, 2), 100.0);
    }

    #[test]
    fn an_undefined_value_makes_every_window_that_holds_it_undefined() {
        let column = [f64::NAN, 1.0, 2.0];
        assert!(mean(&column, 2, 3).is_nan());
        assert!(sample_std(&column, 2, 3).is_nan());
        assert!(cutler_rsi(&column, 2, 2).is_nan());
        assert_eq!(mean(&column, 2, 2), 1.5);
    }

    #[test]
    fn what_has_left_the_window_leaves_no_trace() {
        let column = [1e300, f64::NAN, 0.1, 0.2, 0.3];
        assert_eq!(mean(&column, 4, 3).to_bits(), mean(&column[2..], 2, 3).to_bits());
        assert_eq!(sample_std(&column, 4, 3).to_bits(), sample_std(&column[2..], 2, 3).to_bits());
    }

    #[test]
    fn the_strength_of_a_market_that_does_not_move_is_50() {
        assert_eq!(cutler_rsi(&[1.1; 15], 14, 14), 50.0);
    }

    #[test]
    fn the_first_row_of_a_column_counts_as_no_move() {
        assert_eq!(cutler_rsi(&[4.0, 7.0, 6.0], 2, 3), 75.0);
        assert!(cutler_rsi(&[4.0, 7.0, 6.0], 2, 4).is_nan());
    }

    #[test]
    fn gains_three_times_the_losses_are_a_strength_of_75() {
        assert_eq!(cutler_rsi(&[4.0, 7.0, 6.0], 2, 2), 75.0);
    }
}
