//! `[pipeline.source]`: where bars come from.

use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sentinel_actors::domain::bar::Interval;

use super::pipeline::FX_CALENDAR;
use super::problem::Location;
use super::reader::{Section, WhenAbsent};
use crate::http::{Secret, Url};
use crate::sources::vendor::{Market, Vendor};

/// `[pipeline.source]`.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceConfig {
    /// `kind = "csv"`: a file of bars, replayed on its own clock.
    Csv(CsvSource),
    /// `kind = "eodhd"` or `"tiingo"`: live bars.
    Vendor(VendorSource),
}

#[derive(Debug, Clone, PartialEq)]
pub struct CsvSource {
    pub path: PathBuf,
    pub speed: Speed,
    /// Stop after this many bars; `None`: at the end of the file.
    pub bars: Option<NonZeroUsize>,
    /// It has the made bars themselves, as `bars fetch` writes them.
    pub already_made: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Speed {
    /// The next bar as soon as the cycle has ended.
    Max,
    /// On average this many bars of schedule time per second of elapsed time.
    BarsPerSecond(f64),
}

#[derive(Debug, Clone, PartialEq)]
pub struct VendorSource {
    pub vendor: Vendor,
    pub market: Market,
    pub ticker: String,
    pub base_url: Url,
    /// `None` for commands that start nothing.
    pub key: Option<KeyPlace>,
    /// The key is a parameter of the address instead of a header.
    pub token_in_query: bool,
    pub requests_per_hour: Option<u32>,
    pub requests_per_day: Option<u32>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq)]
pub enum KeyPlace {
    /// In a file that only its owner can read.
    File(PathBuf),
    /// It was in the environment.
    Environment(Secret),
}

#[derive(Clone, Copy)]
enum Kind {
    Csv,
    Vendor(Vendor),
}

/// Tiingo's week of FX begins three hours later than that of others.
const TIINGO_FX_CALENDAR: &str = "America/New_York; Sun 20:00-Fri 17:00; closed 12-25 00:00-17:00, 01-01 00:00-17:00";

const KINDS: [(&str, Kind); 3] =
    [("csv", Kind::Csv), ("eodhd", Kind::Vendor(Vendor::Eodhd)), ("tiingo", Kind::Vendor(Vendor::Tiingo))];

/// Reads it. `reads_only`: nothing is started, so a vendor's key may be missing.
pub(super) fn source(mut s: Section<'_, '_>, symbol: Option<&str>, reads_only: bool) -> Option<SourceConfig> {
    let source = match s.choice("kind", WhenAbsent::Default("csv"), &KINDS)? {
        Kind::Csv => csv(&mut s).map(SourceConfig::Csv),
        Kind::Vendor(vendor) => vendor_source(&mut s, vendor, symbol, reads_only).map(SourceConfig::Vendor),
    };
    s.finish();
    source
}

fn csv(s: &mut Section<'_, '_>) -> Option<CsvSource> {
    let path = s.file("path");
    let speed = s.max_or_number("speed", WhenAbsent::Default("max"), 1e6);
    let bars = s.count("bars", WhenAbsent::Optional, 1..=u32::MAX);
    let already_made = s.boolean("already_made", WhenAbsent::Default("false"));
    Some(CsvSource {
        path: path?,
        speed: speed?.map_or(Speed::Max, Speed::BarsPerSecond),
        bars: bars.and_then(|bars| NonZeroUsize::new(bars as usize)),
        already_made: already_made?,
    })
}

fn vendor_source(
    s: &mut Section<'_, '_>,
    vendor: Vendor,
    symbol: Option<&str>,
    reads_only: bool,
) -> Option<VendorSource> {
    use WhenAbsent::Default;
    let market = s.choice("market", Default("fx"), &[("fx", Market::Fx), ("crypto", Market::Crypto)]);
    refuse_other_symbol(s);
    let default = vendor.ticker(symbol.unwrap_or("EURUSD"), market.unwrap_or(Market::Fx));
    let ticker = s.parsed_by("ticker", Default(&default), "the vendor's name of the symbol", |text| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        // A part of an address that is made of dots only would mean another address.
        let is_name = (1..=64).contains(&text.len()) && text.chars().all(plain) && text.contains(|c| c != '.');
        if is_name { Ok(text.to_owned()) } else { Err(format!("'{text}' is not a ticker")) }
    });
    let base_url = s.parsed_by("base_url", Default(vendor.base_url()), "an address like https://eodhd.com", base_url);
    let token_in_query = match vendor {
        Vendor::Eodhd => s.choice("token_in", Default("header"), &[("header", false), ("query", true)]),
        Vendor::Tiingo => Some(false),
    };
    let (per_hour, per_day) = match vendor {
        // 100,000 calls a day, of which a request takes 5.
        Vendor::Eodhd => ("none", "20000"),
        Vendor::Tiingo => ("50", "1000"),
    };
    let requests_per_hour = s.count_or_none("requests_per_hour", per_hour, 1..=1_000_000);
    let requests_per_day = s.count_or_none("requests_per_day", per_day, 1..=1_000_000);
    let key = key(s, vendor);
    if key == Ok(None) && !reads_only {
        let variable = vendor.key_variable();
        s.report(
            "token_file",
            format!("there is no key: set {variable} in the environment or in .env, or name a file that holds it"),
        );
    }
    Some(VendorSource {
        vendor,
        market: market?,
        ticker: ticker?,
        base_url: base_url?,
        key: key.ok()?,
        token_in_query: token_in_query?,
        requests_per_hour: requests_per_hour?,
        requests_per_day: requests_per_day?,
    })
}

/// The flag `--symbol` with a ticker that stands in the file: orders for one symbol would be decided on bars of another.
fn refuse_other_symbol(s: &mut Section<'_, '_>) {
    let is_overridden = |s: &Section<'_, '_>, key: &str| s.reading.is_overridden(key);
    if s.has("ticker") && is_overridden(s, "pipeline.*.symbol") && !is_overridden(s, "pipeline.*.source.ticker") {
        let key = s.path_of("ticker");
        let what = "stands in the file, and --symbol does not change it: the model would see bars of another symbol; give \
                    --ticker too";
        s.reading.report(Location::Usage("--symbol".to_owned()), key, what.to_owned());
    }
}

fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|_| format!("'{text}' is not an address"))?;
    let here = matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    match url.scheme() {
        _ if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some() =>
        {
            Err("an address of a vendor has no user, query or fragment".to_owned())
        }
        "https" => Ok(url),
        "http" if here => Ok(url),
        "http" => Err(format!("'{text}' would send the key unencrypted; write https")),
        _ => Err(format!("'{text}' is not an address of the web")),
    }
}

/// Where the key is, as [`secret`] finds it.
fn key(s: &mut Section<'_, '_>, vendor: Vendor) -> Result<Option<KeyPlace>, ()> {
    secret(s, "token_file", vendor.key_variable())
}

/// Where a secret is: the file that is named, the environment (or `.env`), or a credential of systemd, in this order.
/// `Err`: what is named cannot be used, and that was said.
pub(super) fn secret(s: &mut Section<'_, '_>, key: &'static str, variable: &str) -> Result<Option<KeyPlace>, ()> {
    let is_named = s.has(key);
    let file = s.optional_file(key);
    if is_named {
        let file = file.ok_or(())?;
        return match readable_by_others(&file) {
            None => Ok(Some(KeyPlace::File(file))),
            Some(what) => {
                s.report(key, what);
                Err(())
            }
        };
    }
    if let Some(key) = s.reading.env.get(variable) {
        return Ok(Some(KeyPlace::Environment(Secret::new(key.trim().to_owned()))));
    }
    let credential = s.reading.env.get("CREDENTIALS_DIRECTORY").map(|folder| Path::new(folder).join(variable));
    Ok(credential.filter(|file| file.is_file()).map(KeyPlace::File))
}

/// What is wrong with a file of a secret, when others can read it.
pub(super) fn readable_by_others(file: &Path) -> Option<String> {
    let mode = file.metadata().ok()?.permissions().mode();
    let shown = file.display();
    (mode & 0o077 != 0).then(|| format!("'{shown}' can be read by others: chmod 600 {shown}"))
}

/// When the market of a source is open, unless the operator says it.
pub(super) const fn hours(source: &SourceConfig) -> &'static str {
    match source {
        SourceConfig::Csv(_) => FX_CALENDAR,
        SourceConfig::Vendor(VendorSource { market: Market::Crypto, .. }) => "always",
        SourceConfig::Vendor(VendorSource { vendor: Vendor::Eodhd, .. }) => FX_CALENDAR,
        SourceConfig::Vendor(VendorSource { vendor: Vendor::Tiingo, .. }) => TIINGO_FX_CALENDAR,
    }
}

/// What bars are made from: shorter ones, a whole number of which is one bar; `None`: as delivered. A vendor's hours of FX and its
/// minutes come from different feeds, and its minutes are the better ones, so hours are made of minutes there.
pub(super) fn made_from(
    s: &mut Section<'_, '_>,
    interval: Option<Interval>,
    source: Option<&SourceConfig>,
) -> Option<Interval> {
    const NATIVE: &str = "native";
    let minute = Interval::new(Duration::from_secs(60))?;
    let vendor = match source {
        Some(SourceConfig::Vendor(vendor)) => Some(vendor),
        _ => None,
    };
    let is_made = |vendor: &&VendorSource| (vendor.vendor, vendor.market) == (Vendor::Eodhd, Market::Fx);
    let when_absent = match vendor.filter(is_made) {
        Some(_) if interval.is_some_and(|interval| interval > minute) => WhenAbsent::Default("1m"),
        _ => WhenAbsent::Optional,
    };
    let allowed = "the length of shorter bars, like \"1m\", or \"native\": bars as delivered";
    let made_from = s
        .parsed_by("made_from", when_absent, allowed, |text| match text {
            NATIVE => Ok(None),
            text => text.parse::<Interval>().map(Some),
        })
        .flatten();
    let interval = interval?;
    if let Some(made_from) = made_from {
        let (part, whole) = (made_from.length().as_secs(), interval.length().as_secs());
        if part >= whole {
            let what = format!("{made_from} is not shorter than a bar, {interval}: \"native\" takes bars as delivered");
            s.report("made_from", what);
        } else if whole % part != 0 {
            let what = format!("{made_from} does not divide a bar, {interval}: write a length that does, like 1m");
            s.report("made_from", what);
        }
    }
    if let Some(VendorSource { vendor, .. }) = vendor {
        let wanted = made_from.unwrap_or(interval);
        if !vendor.has(wanted) {
            let key = if made_from.is_some() { "made_from" } else { "interval" };
            let what = format!("{} has no bars of {wanted}: write made_from = \"1m\" to have them made", vendor.name());
            s.report(key, what);
        }
    }
    made_from
}
