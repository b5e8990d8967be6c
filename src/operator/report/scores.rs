//! How well probabilities fit what happened: Brier score, log loss and the reliability of each range of probabilities, beside those of
//! the base rate.
//!
//! * Brier score: the mean of (p - o)^2, where o is 1 when the event happened and else 0. G. W. Brier, "Verification of forecasts
//!   expressed in terms of probability", Monthly Weather Review 78 (1950).
//! * Log loss: the mean of -ln p when it happened and of -ln(1 - p) when not, in nats. I. J. Good, "Rational decisions", Journal of the
//!   Royal Statistical Society B 14 (1952). A probability of 0 or 1 that was wrong would cost infinitely much; it is moved to
//!   [`CLIPPED`] from the end, as scikit-learn did.
//! * The base rate o is the share of events that happened. Who had stated it each time would have the Brier score o(1 - o), the
//!   "uncertainty" of A. H. Murphy, "A new vector partition of the probability score", Journal of Applied Meteorology 12 (1973), and the
//!   entropy of o as log loss. It is known only afterwards, so a model that is not better than it may still be better than nothing that
//!   was known before.
//! * The range of the share that happened in a bin is the score interval of E. B. Wilson, "Probable inference, the law of succession, and
//!   statistical inference", Journal of the American Statistical Association 22 (1927), at 95 %.

/// How far from 0 and 1 a probability is kept before its logarithm is taken.
pub const CLIPPED: f64 = 1e-15;
/// Bins of equal width.
pub const BINS: usize = 10;
/// Two-sided 95 % of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Probabilities and what happened, summed up as they come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Calibration {
    bins: [Bin; BINS],
    count: u64,
    happened: u64,
    brier_sum: f64,
    log_loss_sum: f64,
}

/// Probabilities of one range.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bin {
    pub count: u64,
    /// For how many the event happened.
    pub happened: u64,
    sum: f64,
}

/// Both scores, and those of stating the base rate each time. Lower is better.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scores {
    pub count: u64,
    /// The share of events that happened.
    pub base_rate: f64,
    pub brier: f64,
    pub brier_of_base_rate: f64,
    pub log_loss: f64,
    pub log_loss_of_base_rate: f64,
}

impl Calibration {
    /// One probability, and whether its event happened. What is no probability is not counted; the answer says whether it was.
    pub fn add(&mut self, probability: f64, happened: bool) -> bool {
        if !(0.0..=1.0).contains(&probability) {
            return false;
        }
        let outcome = f64::from(u8::from(happened));
        self.count += 1;
        self.happened += u64::from(happened);
        self.brier_sum += (probability - outcome).powi(2);
        self.log_loss_sum += log_loss(probability, happened);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it lies in [0, 10]")]
        let index = ((probability * BINS as f64) as usize).min(BINS - 1);
        if let Some(bin) = self.bins.get_mut(index) {
            bin.count += 1;
            bin.happened += u64::from(happened);
            bin.sum += probability;
        }
        true
    }

    /// How many were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// `None` while there is nothing to score.
    #[must_use]
    pub fn scores(&self) -> Option<Scores> {
        let count = self.count as f64;
        (self.count > 0).then(|| {
            let base_rate = self.happened as f64 / count;
            Scores {
                count: self.count,
                base_rate,
                brier: self.brier_sum / count,
                brier_of_base_rate: base_rate * (1.0 - base_rate),
                log_loss: self.log_loss_sum / count,
                log_loss_of_base_rate: entropy(base_rate),
            }
        })
    }

    /// Every bin with its range, those without a probability too.
    pub fn bins(&self) -> impl Iterator<Item = ((f64, f64), &Bin)> {
        let edge = |index: usize| index as f64 / BINS as f64;
        self.bins.iter().enumerate().map(move |(index, bin)| ((edge(index), edge(index + 1)), bin))
    }
}

impl Bin {
    /// The mean of its probabilities, and the share that happened; `None` while it is empty.
    #[must_use]
    pub fn means(&self) -> Option<(f64, f64)> {
        let count = self.count as f64;
        (self.count > 0).then(|| (self.sum / count, self.happened as f64 / count))
    }

    /// Between which shares the true one lies, at 95 %, if its events are independent; `None` while it is empty.
    #[must_use]
    pub fn interval(&self) -> Option<(f64, f64)> {
        let (_, share) = self.means()?;
        let count = self.count as f64;
        let width = 1.0 + Z * Z / count;
        let middle = (share + Z * Z / (2.0 * count)) / width;
        let half = Z / width * (share * (1.0 - share) / count + Z * Z / (4.0 * count * count)).sqrt();
        Some(((middle - half).max(0.0), (middle + half).min(1.0)))
    }
}

fn log_loss(probability: f64, happened: bool) -> f64 {
    let of_truth = if happened { probability } else { 1.0 - probability };
    -of_truth.clamp(CLIPPED, 1.0 - CLIPPED).ln()
}

fn entropy(share: f64) -> f64 {
    let term = |part: f64| if part > 0.0 { -part * part.ln() } else { 0.0 };
    term(share) + term(1.0 - share)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(stated: &[(f64, bool)]) -> Calibration {
        let mut calibration = Calibration::default();
        for (probability, happened) in stated {
            assert!(calibration.add(*probability, *happened));
        }
        calibration
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn the_scores_of_four_probabilities_are_those_worked_out_by_hand() {
        let scores = of(&[(0.8, true), (0.6, false), (0.7, true), (0.9, true)]).scores().unwrap();
        // 0.04 + 0.36 + 0.09 + 0.01, and -ln of 0.8, 0.4, 0.7 and 0.9.
        assert!(near(scores.brier, 0.125) && near(scores.base_rate, 0.75));
        assert!(near(scores.log_loss, -(0.8_f64 * 0.4 * 0.7 * 0.9).ln() / 4.0));
        assert!(near(scores.brier_of_base_rate, 0.1875));
        assert!(near(scores.log_loss_of_base_rate, -(0.75 * 0.75_f64.ln() + 0.25 * 0.25_f64.ln())));
    }

    #[test]
    fn nothing_has_no_score_and_what_is_no_probability_is_not_counted() {
        let mut calibration = Calibration::default();
        assert_eq!(calibration.scores(), None);
        for wrong in [f64::NAN, f64::INFINITY, -0.1, 1.000_1] {
            assert!(!calibration.add(wrong, true));
        }
        assert_eq!((calibration.count(), calibration.scores()), (0, None));
    }

    #[test]
    fn certainty_that_is_wrong_costs_much_and_not_infinitely_much() {
        let wrong = of(&[(1.0, false)]).scores().unwrap();
        assert!(near(wrong.brier, 1.0) && wrong.log_loss > 34.0 && wrong.log_loss < 35.0, "{wrong:?}");
        let right = of(&[(1.0, true), (0.0, false)]).scores().unwrap();
        assert!(near(right.brier, 0.0) && right.log_loss < 1e-12);
    }

    #[test]
    fn the_interval_of_seven_in_ten_is_that_of_wilson() {
        let stated: Vec<(f64, bool)> = (0..10).map(|n| (0.72, n < 7)).collect();
        let calibration = of(&stated);
        let (range, bin) = calibration.bins().find(|(_, bin)| bin.count > 0).unwrap();
        let (low, high) = bin.interval().unwrap();
        assert!(near(range.0, 0.7) && near(range.1, 0.8));
        assert!((low - 0.3968).abs() < 1e-4 && (high - 0.8922).abs() < 1e-4, "{low} to {high}");
    }

    /// Probabilities with what happened.
    fn stated() -> impl Strategy<Value = Vec<(f64, bool)>> {
        proptest::collection::vec((0.0..=1.0_f64, any::<bool>()), 1..80)
    }

    proptest! {
        #[test]
        fn the_bins_hold_each_probability_once_in_its_range(stated in stated()) {
            let calibration = of(&stated);
            prop_assert_eq!(calibration.bins().map(|(_, bin)| bin.count).sum::<u64>(), stated.len() as u64);
            for ((from, to), bin) in calibration.bins() {
                if let (Some((mean, share)), Some((low, high))) = (bin.means(), bin.interval()) {
                    prop_assert!(mean >= from - 1e-9 && mean <= to + 1e-9);
                    prop_assert!(low <= share + 1e-9 && share <= high + 1e-9 && low >= 0.0 && high <= 1.0);
                }
            }
        }

        #[test]
        fn who_states_the_base_rate_scores_as_the_base_rate(outcomes in proptest::collection::vec(any::<bool>(), 1..80)) {
            let base = outcomes.iter().filter(|happened| **happened).count() as f64 / outcomes.len() as f64;
            let scores = of(&outcomes.iter().map(|happened| (base, *happened)).collect::<Vec<_>>()).scores().unwrap();
            prop_assert!(near(scores.brier, scores.brier_of_base_rate));
            prop_assert!(near(scores.log_loss, scores.log_loss_of_base_rate));
        }

        /// Murphy's partition: reliability less resolution plus uncertainty, exact where each bin holds one probability.
        #[test]
        fn the_brier_score_is_the_sum_of_its_parts(stated in proptest::collection::vec((0..BINS, any::<bool>()), 1..80)) {
            let stated: Vec<(f64, bool)> = stated.into_iter().map(|(bin, happened)| ((bin as f64 + 0.5) / 10.0, happened)).collect();
            let calibration = of(&stated);
            let scores = calibration.scores().unwrap();
            let mut parts = scores.brier_of_base_rate;
            for (_, bin) in calibration.bins() {
                let Some((mean, share)) = bin.means() else { continue };
                let weight = bin.count as f64 / scores.count as f64;
                parts += weight * ((mean - share).powi(2) - (share - scores.base_rate).powi(2));
            }
            prop_assert!(near(scores.brier, parts), "{} and {parts}", scores.brier);
        }

        #[test]
        fn both_scores_are_proper(probability in 0.01..0.99_f64, other in 0.01..0.99_f64) {
            // In the long run nothing scores better than the true probability.
            let expected = |said: f64| {
                let (yes, no) = (of(&[(said, true)]).scores().unwrap(), of(&[(said, false)]).scores().unwrap());
                let mean = |yes: f64, no: f64| probability * yes + (1.0 - probability) * no;
                (mean(yes.brier, no.brier), mean(yes.log_loss, no.log_loss))
            };
            let (truth, lie) = (expected(probability), expected(other));
            prop_assert!(truth.0 <= lie.0 + 1e-12 && truth.1 <= lie.1 + 1e-12);
        }
    }
}
