//! Recorded bars in a fifth of the room: a year of minutes in 10 MB, because a backtest looks at a window at a time.
//!
//! Prices in files are decimals of a few digits. A block whose prices all are keeps them as whole numbers; any other one keeps them as
//! they are. What is unpacked is bit for bit what was packed, because a number is packed only when it comes back as itself.

use sentinel_actors::domain::bar::RawBar;
use sentinel_actors::domain::time::UtcMs;

use super::csv::BarLine;

/// Bars that are packed together.
const BLOCK: usize = 1024;
/// Decimal places that prices may have to be packed.
const DIGITS_MAX: i32 = 9;

/// Bars and the lines that they stand in, in the order in which they were added.
#[derive(Debug, Clone, Default)]
pub struct PackedBars {
    blocks: Vec<Block>,
    /// Not yet packed; fewer than [`BLOCK`].
    newest: Vec<BarLine>,
    last: Option<UtcMs>,
    is_unsorted: bool,
}

#[derive(Debug, Clone)]
struct Block {
    times: Whole,
    lines: Whole,
    /// Open, high, low, close, volume.
    columns: [Column; 5],
}

#[derive(Debug, Clone)]
enum Whole {
    /// Each is the one before it and this much more.
    Steps(i64, i64),
    Each(Box<[i64]>),
}

#[derive(Debug, Clone)]
enum Column {
    Absent,
    /// Whole numbers of the last decimal place, and how many places there are.
    Decimals(i32, Box<[i32]>),
    Each(Box<[Option<f64>]>),
}

impl PackedBars {
    pub fn push(&mut self, line: BarLine) {
        self.is_unsorted |= self.last.is_some_and(|last| last > line.bar.time);
        self.last = Some(line.bar.time);
        self.newest.push(line);
        if self.newest.len() == BLOCK {
            self.blocks.push(Block::of(&self.newest, self.blocks.last()));
            self.newest.clear();
        }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.blocks.len() * BLOCK + self.newest.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sorted by time; those with equal times keep their order.
    #[must_use]
    pub fn sorted(self) -> Self {
        if !self.is_unsorted {
            return self;
        }
        let mut lines: Vec<BarLine> = self.iter().collect();
        lines.sort_by_key(|line| line.bar.time);
        lines.into_iter().collect()
    }

    /// The first `limit` of them.
    #[must_use]
    pub fn truncated(self, limit: usize) -> Self {
        if limit >= self.len() { self } else { self.iter().take(limit).collect() }
    }

    /// Line and open time of each.
    pub fn times(&self) -> impl Iterator<Item = (u64, UtcMs)> + Clone {
        let packed = self
            .blocks
            .iter()
            .flat_map(|block| (0..BLOCK).map(|at| (block.lines.get(at).unsigned_abs(), UtcMs(block.times.get(at)))));
        packed.chain(self.newest.iter().map(|line| (line.line, line.bar.time)))
    }

    /// The open time of one.
    #[must_use]
    pub fn time(&self, at: usize) -> Option<UtcMs> {
        match self.blocks.get(at / BLOCK) {
            Some(block) => Some(UtcMs(block.times.get(at % BLOCK))),
            None => self.newest.get(at - self.blocks.len() * BLOCK).map(|line| line.bar.time),
        }
    }

    /// All of them with their lines, one block in memory at a time.
    pub fn iter(&self) -> impl Iterator<Item = BarLine> {
        let packed = self.blocks.iter().flat_map(|block| {
            (0..BLOCK).map(|at| BarLine { line: block.lines.get(at).unsigned_abs(), bar: block.bar(at) })
        });
        packed.chain(self.newest.iter().copied())
    }

    /// Those of `from..until`, as far as there are any.
    #[must_use]
    pub fn unpack(&self, from: usize, until: usize) -> Vec<RawBar> {
        let bar = |at: usize| match self.blocks.get(at / BLOCK) {
            Some(block) => Some(block.bar(at % BLOCK)),
            None => self.newest.get(at - self.blocks.len() * BLOCK).map(|line| line.bar),
        };
        (from..until.min(self.len())).filter_map(bar).collect()
    }
}

impl FromIterator<BarLine> for PackedBars {
    fn from_iter<I: IntoIterator<Item = BarLine>>(lines: I) -> Self {
        let mut packed = Self::default();
        lines.into_iter().for_each(|line| packed.push(line));
        packed
    }
}

impl Block {
    /// `before`: the block before it, whose decimal places are tried first.
    fn of(lines: &[BarLine], before: Option<&Self>) -> Self {
        let values: [fn(&RawBar) -> Option<f64>; 5] =
            [|bar| bar.open, |bar| bar.high, |bar| bar.low, |bar| bar.close, |bar| bar.volume];
        let mut at = 0;
        let columns = values.map(|value| {
            let digits = match before.map(|before| &before.columns[at]) {
                Some(Column::Decimals(digits, _)) => *digits,
                _ => 0,
            };
            at += 1;
            Column::of(lines, value, digits)
        });
        let whole = |of: fn(&BarLine) -> i64| Whole::of(lines.iter().map(of));
        let line = |line: &BarLine| i64::try_from(line.line).unwrap_or(i64::MAX);
        Self { times: whole(|line| line.bar.time.0), lines: whole(line), columns }
    }

    fn bar(&self, at: usize) -> RawBar {
        let [open, high, low, close, volume] = self.columns.each_ref().map(|column| column.get(at));
        RawBar { time: UtcMs(self.times.get(at)), open, high, low, close, volume }
    }
}

impl Whole {
    fn of(mut numbers: impl Iterator<Item = i64> + Clone) -> Self {
        let all = numbers.clone();
        let (first, second) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let steps = Self::Steps(first, second.wrapping_sub(first));
        let is_same = all.clone().enumerate().all(|(at, number)| steps.get(at) == number);
        if is_same { steps } else { Self::Each(all.collect()) }
    }

    fn get(&self, at: usize) -> i64 {
        match self {
            Self::Steps(first, step) => first.wrapping_add(step.wrapping_mul(i64::try_from(at).unwrap_or(0))),
            Self::Each(each) => each.get(at).copied().unwrap_or(0),
        }
    }
}

impl Column {
    fn of(lines: &[BarLine], value: fn(&RawBar) -> Option<f64>, digits: i32) -> Self {
        let values = lines.iter().map(|line| value(&line.bar));
        if values.clone().all(|value| value.is_none()) {
            return Self::Absent;
        }
        for digits in (digits..=DIGITS_MAX).chain(0..digits) {
            let decimals: Option<Box<[i32]>> = values.clone().map(|value| decimal(value?, digits)).collect();
            if let Some(decimals) = decimals {
                return Self::Decimals(digits, decimals);
            }
        }
        Self::Each(values.collect())
    }

    fn get(&self, at: usize) -> Option<f64> {
        match self {
            Self::Absent => None,
            Self::Decimals(digits, decimals) => decimals.get(at).map(|decimal| number(*decimal, *digits)),
            Self::Each(each) => each.get(at).copied().flatten(),
        }
    }
}

/// The whole number that comes back as this one.
fn decimal(value: f64, digits: i32) -> Option<i32> {
    let scaled = (value * 10_f64.powi(digits)).round();
    #[expect(clippy::cast_possible_truncation, reason = "a number that does not fit does not come back")]
    let decimal = scaled as i32;
    (number(decimal, digits).to_bits() == value.to_bits()).then_some(decimal)
}

/// The nearest float to a decimal, as reading its text gives it: both parts of the division are exact.
fn number(decimal: i32, digits: i32) -> f64 {
    f64::from(decimal) / 10_f64.powi(digits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Prices of files, and anything else that a float can be.
    fn value() -> impl Strategy<Value = Option<f64>> {
        prop_oneof![
            40 => (1_i32..2_000_000_000, 0_i32..7).prop_map(|(whole, digits)| Some(f64::from(whole) / 10_f64.powi(digits))),
            1 => any::<f64>().prop_map(Some),
            1 => Just(None),
            1 => Just(Some(-0.0)),
            1 => Just(Some(f64::NAN)),
        ]
    }

    fn bits(bar: &RawBar) -> [Option<u64>; 5] {
        [bar.open, bar.high, bar.low, bar.close, bar.volume].map(|value| value.map(f64::to_bits))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_is_unpacked_is_bit_for_bit_what_was_packed(
            of_each in proptest::collection::vec(value(), 5),
            odd in proptest::collection::vec((0_usize..3_000, 0_usize..5, value()), 0..4),
            is_walk in any::<bool>(),
            count in 0_usize..3_000,
            steps in proptest::collection::vec((0_usize..3_000, 0_i64..7_200_000), 0..3),
        ) {
            let mut time = 1_500_000_000_000;
            let mut lines: Vec<BarLine> = (0..count).map(|at| {
                time += 60_000 + steps.iter().filter(|step| step.0 == at).map(|step| step.1).sum::<i64>();
                let cell = |of: usize| of_each[of].map(|value| {
                    if is_walk { ((value + at as f64 * 0.001) * 1000.0).round() / 1000.0 } else { value }
                });
                let bar = RawBar { time: UtcMs(time), open: cell(0), high: cell(1), low: cell(2), close: cell(3), volume: cell(4) };
                BarLine { line: at as u64 + 2, bar }
            }).collect();
            for (at, column, value) in odd {
                if let Some(line) = lines.get_mut(at) {
                    let RawBar { open, high, low, close, volume, .. } = &mut line.bar;
                    *[open, high, low, close, volume][column] = value;
                }
            }
            let packed: PackedBars = lines.iter().copied().collect();
            prop_assert_eq!(packed.len(), count);
            for (at, (line, unpacked)) in lines.iter().zip(packed.iter()).enumerate() {
                prop_assert_eq!((line.line, line.bar.time), (unpacked.line, unpacked.bar.time));
                prop_assert_eq!(bits(&line.bar), bits(&unpacked.bar));
                prop_assert_eq!(packed.time(at), Some(line.bar.time));
            }
            let part = packed.unpack(count / 3, count);
            prop_assert_eq!(part.len(), count - count / 3);
            prop_assert!(part.iter().zip(&lines[count / 3..]).all(|(a, b)| a.time == b.bar.time && bits(a) == bits(&b.bar)));
            prop_assert!(packed.times().eq(lines.iter().map(|line| (line.line, line.bar.time))));
        }
    }

    #[test]
    fn prices_of_a_file_take_a_fifth_of_the_room() {
        let bar = |at: u64| {
            let price = Some((110_000.0 + at as f64) / 100_000.0);
            let time = UtcMs(i64::try_from(at).unwrap() * 60_000);
            BarLine {
                line: at + 2,
                bar: RawBar { time, open: price, high: price, low: price, close: price, volume: None },
            }
        };
        let packed: PackedBars = (0..2_048).map(bar).collect();
        for block in &packed.blocks {
            assert!(matches!((&block.times, &block.lines), (Whole::Steps(..), Whole::Steps(..))));
            assert!(block.columns[..4].iter().all(|column| matches!(column, Column::Decimals(5, _))), "{block:?}");
            assert!(matches!(block.columns[4], Column::Absent));
        }
    }

    #[test]
    fn bars_that_are_not_in_the_order_of_their_times_are_sorted_and_keep_the_order_of_equal_ones() {
        let bar = |line: u64, time: i64| {
            let none = None;
            BarLine {
                line,
                bar: RawBar { time: UtcMs(time), open: none, high: none, low: none, close: none, volume: none },
            }
        };
        let packed: PackedBars = [bar(2, 5), bar(3, 4), bar(4, 5), bar(5, 1)].into_iter().collect();
        let sorted = packed.sorted();
        assert_eq!(sorted.times().collect::<Vec<_>>(), [(5, UtcMs(1)), (3, UtcMs(4)), (2, UtcMs(5)), (4, UtcMs(5))]);
        assert_eq!(sorted.truncated(2).times().count(), 2);
    }
}
