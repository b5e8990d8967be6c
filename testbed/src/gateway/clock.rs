//! What time it is. The market's time is the wall clock's, or, for a symbol whose bars are replayed, that of the replay. It
//! is never taken from an order: an order that comes late carries the time at which it was due, and would be filled at old
//! prices.
//!
//! A replay writes its time to a file: one line of three numbers, the market's time and the wall time at which it was
//! reached, both in Unix milliseconds, and the exclusive or of the two, which is wrong in a line that was read half written.
//! From there the market's time advances as fast as the wall clock.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// How often a line that is being written is read again.
const READS_MAX: usize = 1_000;

/// One moment, by the wall clock and by the market's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Now {
    /// Wall time in Unix milliseconds.
    pub wall_ms: i64,
    /// Market time in Unix milliseconds of the symbols that are replayed; `None` before the replay has begun.
    pub replayed: BTreeMap<String, Option<i64>>,
}

impl Now {
    /// Market time of a symbol in Unix milliseconds; `None` while it has none.
    #[must_use]
    pub fn market_ms(&self, symbol: &str) -> Option<i64> {
        self.replayed.get(symbol).copied().unwrap_or(Some(self.wall_ms))
    }

    /// This moment, with the time of `earlier` for each clock that was set back in between. A replay sets its clock back when
    /// its node starts again, but what came to a market cannot be traded before it came.
    #[must_use]
    pub(super) fn not_before(mut self, earlier: &Self) -> Self {
        self.wall_ms = self.wall_ms.max(earlier.wall_ms);
        for (symbol, at_ms) in &mut self.replayed {
            *at_ms = (*at_ms).max(earlier.replayed.get(symbol).copied().flatten());
        }
        self
    }
}

/// The clocks of a running gateway.
#[derive(Debug, Clone)]
pub(super) struct Clocks {
    /// Replayed symbols with the file that holds their time.
    replays: Vec<(String, PathBuf)>,
}

impl Clocks {
    pub(super) const fn new(replays: Vec<(String, PathBuf)>) -> Self {
        Self { replays }
    }

    pub(super) fn now(&self) -> Now {
        let wall_ms = wall_ms();
        let time = |(symbol, file): &(String, PathBuf)| (symbol.clone(), read(file, wall_ms));
        Now { wall_ms, replayed: self.replays.iter().map(time).collect() }
    }
}

fn read(file: &Path, wall_ms: i64) -> Option<i64> {
    let lines = (0..READS_MAX).map_while(|_| match fs::read_to_string(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        read => Some(read.ok()),
    });
    lines.flatten().find_map(|line| parse(&line)).map(|(market, reached)| {
        // The wall clock may have been set back meanwhile; the market's time does not go back with it.
        market.saturating_add(wall_ms.saturating_sub(reached).max(0))
    })
}

fn parse(line: &str) -> Option<(i64, i64)> {
    let mut numbers = line.split_whitespace().map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let (market, reached, check) = (next()?, next()?, next()?);
    (market ^ reached == check).then_some((market, reached))
}

#[expect(clippy::disallowed_methods, reason = "the gateway simulates another machine, which has a clock of its own")]
fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_goes_on_as_fast_as_the_wall_from_where_its_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("eurusd.time");
        assert_eq!(read(&file, 5_000), None, "it has not begun");
        fs::write(&file, format!("{:>20} {:>20} {:>20}\n", 100, 4_000, 100 ^ 4_000)).unwrap();
        assert_eq!(read(&file, 5_000), Some(1_100));
        assert_eq!(read(&file, 3_000), Some(100), "the wall clock was set back");
        fs::write(&file, "100 4000 7\n").unwrap();
        assert_eq!(read(&file, 5_000), None, "a line that was never finished");
        let now = Now { wall_ms: 9, replayed: BTreeMap::from([("EURUSD".to_owned(), None)]) };
        assert_eq!((now.market_ms("EURUSD"), now.market_ms("USDJPY")), (None, Some(9)));
    }
}
