//! Which bars a model was trained on, and which it never saw. Only the second kind says anything about its skill.

use std::fmt;

use sentinel_actors::domain::time::UtcMs;

/// The bars that a model was trained on, and those that it never saw, by the open time of the newest bar of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    /// Open time of the first bar and of the last one.
    pub trained: (UtcMs, UtcMs),
    pub unseen_from: UtcMs,
}

/// What a model knew of a bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// It was trained on it: in-sample.
    Training,
    /// It never saw it: out of sample.
    Unseen,
    /// Before the training part, or between the two, where targets may reach into both.
    Neither,
    /// No manifest says it, or the bar is not known.
    Unknown,
}

impl Part {
    pub const ALL: [Self; 4] = [Self::Training, Self::Unseen, Self::Neither, Self::Unknown];

    /// As it stands in a table.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Unseen => "unseen",
            Self::Neither => "neither",
            Self::Unknown => "unknown",
        }
    }

    /// For a person.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Training => "in training bars",
            Self::Unseen => "in unseen bars",
            Self::Neither => "in bars of neither part",
            Self::Unknown => "in bars of an unknown part",
        }
    }

    /// The part of a bar that may not be known, for a model whose periods may not be known.
    #[must_use]
    pub fn of(periods: Option<&Periods>, bar: Option<UtcMs>) -> Self {
        periods.zip(bar).map_or(Self::Unknown, |(periods, bar)| periods.part_of(bar))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Periods {
    /// The part of the bar that opened at `bar`; never unknown.
    #[must_use]
    pub fn part_of(&self, bar: UtcMs) -> Part {
        let (from, to) = self.trained;
        if bar >= self.unseen_from {
            Part::Unseen
        } else if (from..=to).contains(&bar) {
            Part::Training
        } else {
            Part::Neither
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_belongs_to_the_part_that_its_model_knew_it_in() {
        let periods = Periods { trained: (UtcMs(10), UtcMs(12)), unseen_from: UtcMs(15) };
        let part = |bar| Part::of(Some(&periods), Some(UtcMs(bar)));
        let parts = [9, 10, 12, 13, 14, 15, 99].map(part);
        use Part::{Neither, Training, Unseen};
        assert_eq!(parts, [Neither, Training, Training, Neither, Neither, Unseen, Unseen]);
        assert_eq!([Part::of(None, Some(UtcMs(11))), Part::of(Some(&periods), None)], [Part::Unknown; 2]);
    }
}
