//! A market that is the same for everyone who looks: each price is a function of its time.

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The four prices of a bar, as a vendor would deliver them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    pub open: Option<f64>,
    pub high: Option<f64>,
    pub low: Option<f64>,
    pub close: Option<f64>,
    pub volume: Option<f64>,
}

/// What there is to deliver, and what is odd about it. Times are unix milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    pub tickers: Vec<String>,
    /// An ordinary price.
    pub level: f64,
    /// Decimal places of a price.
    pub digits: u32,
    /// Friday and Sunday, from and to which minute of the UTC week, counted from Monday, the market is closed; `None`: never.
    pub weekend: Option<(i64, i64)>,
    /// There are bars in the weekend all the same.
    pub has_weekend_rows: bool,
    /// Of a thousand bars, so many have no prices.
    pub nulls: u64,
    /// Of a thousand bars, so many have prices of zero.
    pub zeros: u64,
    /// There are no bars in these times.
    pub gaps: Vec<(i64, i64)>,
    /// A bar that opens in these times comes so much later than its close.
    pub late: Vec<(i64, i64, i64)>,
    /// The bars that open in these times have other prices from a time on.
    pub revisions: Vec<(i64, i64, i64)>,
    /// The newest bar is delivered while it forms.
    pub has_forming: bool,
}

impl Market {
    /// A market without oddities.
    #[must_use]
    pub fn plain(ticker: &str, level: f64, digits: u32) -> Self {
        Self {
            tickers: vec![ticker.to_owned()],
            level,
            digits,
            weekend: None,
            has_weekend_rows: false,
            nulls: 0,
            zeros: 0,
            gaps: Vec::new(),
            late: Vec::new(),
            revisions: Vec::new(),
            has_forming: true,
        }
    }

    /// Whether the market is open.
    #[must_use]
    pub fn is_open(&self, at: i64) -> bool {
        // 1970-01-01 was a Thursday.
        let minute = (at + 3 * DAY_MS).rem_euclid(WEEK_MS) / MINUTE_MS;
        !self.weekend.is_some_and(|(from, to)| (from..to).contains(&minute))
    }

    /// The bar that opens at `open` and lasts `length`, as it is delivered at `now`; `None`: there is none, or none yet.
    #[must_use]
    pub fn bar(&self, open: i64, length: i64, now: i64) -> Option<Prices> {
        let within = |(from, to): (i64, i64)| (from..to).contains(&open);
        let is_gap = self.gaps.iter().any(|gap| within(*gap));
        if is_gap || !(self.is_open(open) || self.has_weekend_rows) {
            return None;
        }
        let late = self.late.iter().find(|(from, to, _)| within((*from, *to))).map_or(0, |(.., late)| *late);
        let close = open + length;
        if now < close + late && (late > 0 || !self.has_forming || now < open) {
            return None;
        }
        let is_revised = self.revisions.iter().any(|(from, to, seen)| within((*from, *to)) && now >= *seen);
        let chance = hash(open / MINUTE_MS, 7) % 1000;
        if chance < self.nulls && !is_revised {
            return Some(Prices { open: None, high: None, low: None, close: None, volume: None });
        }
        if chance < self.nulls + self.zeros && !is_revised {
            let zero = Some(0.0);
            return Some(Prices { open: zero, high: zero, low: zero, close: zero, volume: None });
        }
        Some(self.prices(open, close.min(now.max(open + 1)), length, is_revised))
    }

    /// What really happened from `open` to `end`, in minutes.
    fn prices(&self, open: i64, end: i64, length: i64, is_revised: bool) -> Prices {
        let minutes = (end - open).div_euclid(MINUTE_MS).max(1);
        let path: Vec<f64> = (0..=minutes).map(|minute| self.price(open / MINUTE_MS + minute)).collect();
        // A vendor's longer bars come from another feed: their extremes are a little wider.
        let wick = self.level * if length > MINUTE_MS { 2e-4 } else { 1e-5 };
        let shift = if is_revised { self.level * 3e-4 } else { 0.0 };
        let round = |price: f64| {
            let factor = 10_f64.powi(i32::try_from(self.digits).unwrap_or(5));
            Some(((price + shift) * factor).round() / factor)
        };
        let highest = path.iter().copied().fold(f64::MIN, f64::max);
        let lowest = path.iter().copied().fold(f64::MAX, f64::min);
        Prices {
            open: round(path[0]),
            high: round(highest + wick),
            low: round(lowest - wick),
            close: round(path[path.len() - 1]),
            volume: None,
        }
    }

    /// The price at the beginning of a minute.
    #[expect(clippy::cast_precision_loss, reason = "minutes are far below 2^52")]
    fn price(&self, minute: i64) -> f64 {
        let time = minute as f64;
        let waves = (time / 97.0).sin() * 4e-4 + (time / 1511.0).sin() * 2e-3 + (time / 10_007.0).sin() * 8e-3;
        let noise = (hash(minute, 1) % 2001) as f64 / 1000.0 - 1.0;
        self.level * (1.0 + waves + noise * 1e-4)
    }
}

/// A number that looks like chance and is always the same (`SplitMix64`).
fn hash(number: i64, salt: u64) -> u64 {
    let mut x = number.cast_unsigned().wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}
