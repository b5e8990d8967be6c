//! White's reality check: what the best of many rules would show if none of them earned anything.
//!
//! Who tries a thousand rules finds a good one among worthless ones. Whether the best has earned more than luck explains is asked of
//! all of them together: their results are drawn again and again from their own past, each around its own mean, so that in the drawn
//! past no rule earns anything, and how often the best of *those* does as well as the best of the real ones is the p-value.
//!
//! * H. White, "A Reality Check for Data Snooping", Econometrica 68 (2000), 1097–1126. The statistic is the largest of √n · mean over
//!   all rules; nothing earned is what each of them is compared with.
//! * D. N. Politis and J. P. Romano, "The Stationary Bootstrap", Journal of the American Statistical Association 89 (1994),
//!   1303–1313. Days are drawn in blocks of random length (geometric, the mean length below), because neighbouring days are alike; the
//!   past is a circle. All rules are drawn on the same days, so that what they have in common stays.
//!
//! The draws are seeded: the same results have the same p-value on every machine.

use fastrand::Rng;

/// How many pasts are drawn.
pub const DRAWS: u32 = 2_000;
/// Fewer days say nothing.
pub const DAYS_MIN: usize = 20;
const SEED: u64 = 0x5e17_19e1;

/// What the check says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reality {
    /// The rule with the largest mean.
    pub best: usize,
    /// How many days each had.
    pub days: usize,
    /// How often the best of rules that earn nothing did as well, of all draws.
    pub p: f64,
}

/// Checks rules by what each earned on each day; all have the same days. `None`: there are too few days, or no rules.
#[must_use]
pub fn check(rules: &[Vec<f64>]) -> Option<Reality> {
    check_by(rules, DRAWS)
}

fn check_by(rules: &[Vec<f64>], draws: u32) -> Option<Reality> {
    let days = rules.first()?.len();
    if days < DAYS_MIN || rules.iter().any(|rule| rule.len() != days) {
        return None;
    }
    let mean = |rule: &Vec<f64>| rule.iter().sum::<f64>() / days as f64;
    let means: Vec<f64> = rules.iter().map(mean).collect();
    let (best, highest) = means.iter().copied().enumerate().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))?;
    let mut rng = Rng::with_seed(SEED);
    let mut drawn = vec![0_u32; days];
    let mut as_good = 0_u32;
    for _ in 0..draws {
        draw(&mut rng, &mut drawn);
        let gain = |(rule, mean): (&Vec<f64>, &f64)| {
            let sum: f64 = rule.iter().zip(&drawn).map(|(earned, times)| earned * f64::from(*times)).sum();
            sum / days as f64 - mean
        };
        let luckiest = rules.iter().zip(&means).map(gain).fold(f64::NEG_INFINITY, f64::max);
        as_good += u32::from(luckiest >= highest);
    }
    // The real past is one of the pasts that could be drawn.
    let p = f64::from(as_good + 1) / f64::from(draws + 1);
    Some(Reality { best, days, p })
}

/// The mean length of a block: the cube root of the number of days, which is how it has to grow with them.
#[must_use]
pub fn block_days(days: usize) -> f64 {
    (days as f64).cbrt().max(1.0)
}

/// Draws as many days as there are, and counts how often each was drawn.
fn draw(rng: &mut Rng, times: &mut [u32]) {
    times.fill(0);
    let ends = 1.0 / block_days(times.len());
    let mut day = rng.usize(..times.len());
    for _ in 0..times.len() {
        times[day] += 1;
        day = if rng.f64() < ends { rng.usize(..times.len()) } else { (day + 1) % times.len() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: usize = 21;
    const DAYS: usize = 120;
    const FEW_DRAWS: u32 = 199;

    fn is_unlikely(rules: &[Vec<f64>]) -> bool {
        check_by(rules, FEW_DRAWS).is_some_and(|reality| reality.p < 0.05)
    }

    /// Rules that have much in common, as thresholds that lie beside one another have: each earns what the market gives all of them, and
    /// something of its own, in which `yesterday` has a part.
    fn noise(rng: &mut Rng, yesterday: f64) -> Vec<Vec<f64>> {
        noise_of(rng, (RULES, DAYS), yesterday)
    }

    fn noise_of(rng: &mut Rng, (rules, days): (usize, usize), yesterday: f64) -> Vec<Vec<f64>> {
        let normal = |rng: &mut Rng| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        let mut all = vec![Vec::with_capacity(days); rules];
        let mut before = vec![0.0; rules + 1];
        for _ in 0..days {
            for value in &mut before {
                *value = yesterday * *value + normal(rng);
            }
            for (rule, own) in all.iter_mut().zip(&before) {
                rule.push(0.7 * before[rules] + own);
            }
        }
        all
    }

    #[test]
    fn among_rules_that_earn_nothing_one_passes_at_five_percent_in_about_five_of_a_hundred_tries() {
        let tries = 400;
        // 20 are expected; two standard deviations of so many tries are 9. Where yesterday has a part in today, and with so few days,
        // a few more pass.
        for (yesterday, most) in [(0.0, 29), (0.2, 36)] {
            let mut rng = Rng::with_seed(18);
            let passed = (0..tries).filter(|_| is_unlikely(&noise(&mut rng, yesterday))).count();
            assert!((6..=most).contains(&passed), "{passed} of {tries} with {yesterday} of yesterday");
        }
    }

    #[test]
    fn the_best_alone_would_pass_far_more_often_which_is_why_it_is_checked_among_all() {
        let mut rng = Rng::with_seed(18);
        let tries = 100;
        let passed = (0..tries)
            .filter(|_| {
                let rules = noise(&mut rng, 0.2);
                let best = check_by(&rules, FEW_DRAWS).unwrap().best;
                is_unlikely(&rules[best..=best])
            })
            .count();
        assert!(passed > 30, "{passed} of {tries}");
    }

    #[test]
    fn a_rule_that_truly_earns_is_found_among_many_that_do_not() {
        let mut rng = Rng::with_seed(19);
        let tries = 50;
        let found = (0..tries)
            .filter(|_| {
                let mut rules = noise(&mut rng, 0.2);
                rules[17].iter_mut().for_each(|earned| *earned += 0.8);
                check_by(&rules, FEW_DRAWS).is_some_and(|reality| reality.best == 17) && is_unlikely(&rules)
            })
            .count();
        assert!(found >= 45, "{found} of {tries}");
    }

    #[test]
    fn the_same_results_have_the_same_p_value_and_too_few_days_have_none() {
        let rules = noise_of(&mut Rng::with_seed(1), (5, 100), 0.2);
        assert_eq!(check(&rules), check(&rules));
        assert_eq!(check(&noise_of(&mut Rng::with_seed(1), (5, DAYS_MIN - 1), 0.2)), None);
        assert_eq!(check(&[]), None);
        let idle = check(&vec![vec![0.0; 50]; 3]).unwrap();
        assert_eq!((idle.best, idle.p), (0, 1.0));
    }

    #[test]
    fn blocks_have_the_mean_length_that_is_stated() {
        let mut rng = Rng::with_seed(5);
        let (mut times, mut breaks) = (vec![0; 1_000], 0);
        for _ in 0..50 {
            draw(&mut rng, &mut times);
            assert_eq!(times.iter().sum::<u32>(), 1_000);
            // Where a block begins or ends, neighbours are drawn a different number of times.
            breaks += (0..1_000).filter(|day| times[*day] != times[(day + 1) % 1_000]).count();
        }
        // 100 blocks of 10 days begin and end in each draw; some of these places coincide.
        assert!((6_000..10_000).contains(&breaks), "{breaks}");
    }
}
