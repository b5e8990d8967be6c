//! `sentinel config`: the commented configurations that come with the program, to begin one's own with.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use super::{Ended, exit};

/// A configuration that is built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ConfigFile {
    /// EURUSD from EODHD to a gateway beside MetaTrader 5, with a model behind MLflow.
    Mt5,
    /// Recorded bars, a model server and a paper gateway, all on this machine.
    Local,
    /// Forecasts on a paper book.
    Forecast,
    /// BTC/USD from Tiingo to a topic of the Allora network.
    Allora,
    /// Every key with its default.
    Sentinel,
}

impl ConfigFile {
    /// Its text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Mt5 => include_str!("../../config/mt5.toml"),
            Self::Local => include_str!("../../config/local.toml"),
            Self::Forecast => include_str!("../../config/forecast.toml"),
            Self::Allora => include_str!("../../config/allora.toml"),
            Self::Sentinel => include_str!("../../config/sentinel.toml"),
        }
    }
}

/// Which one.
#[derive(Debug, Clone, clap::Args)]
pub struct ConfigArgs {
    /// Which one; without a name they are listed.
    pub name: Option<ConfigFile>,
}

/// Names each of them with what it is for.
#[must_use]
pub fn list() -> String {
    let values = ConfigFile::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let line = |value: PossibleValue| {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        format!("  {:<10}{help}\n", value.get_name())
    };
    let lines: String = values.map(line).collect();
    format!("{lines}\nto begin with one of them:  sentinel config mt5 > FILE\n")
}

/// Prints it.
///
/// # Errors
/// Never.
pub fn run(args: &ConfigArgs) -> Ended {
    match args.name {
        Some(file) => print!("{}", file.text()),
        None => print!("{}", list()),
    }
    Ok(exit::OK)
}
