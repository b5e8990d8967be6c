//! Flags that override the configuration, the same for `run` and `check`.

use crate::config::Flags;

/// What overrides the configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Send orders to the gateways of the configuration; without it they go to a local paper book. A pipeline with
    /// mode = "dry_run" keeps to the paper book. This version reaches gateways and model servers on this machine only.
    #[arg(long, conflicts_with = "dry_run")]
    pub live: bool,
    /// Send no order to a gateway, whatever the configuration says. This is the default.
    #[arg(long)]
    pub dry_run: bool,
    /// Host of the model server; overrides the configuration.
    #[arg(long, value_name = "HOST")]
    pub hub_host: Option<String>,
    /// Port of the model server; overrides the configuration.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub hub_port: Option<u16>,
    /// Host of the trade gateway; overrides the configuration.
    #[arg(long, value_name = "HOST")]
    pub gtw_host: Option<String>,
    /// Port of the trade gateway; overrides the configuration.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub gtw_port: Option<u16>,
    /// Symbol of the one pipeline; overrides the configuration.
    #[arg(long, value_name = "SYMBOL")]
    pub symbol: Option<String>,
    /// The vendor's name of that symbol; overrides the configuration.
    #[arg(long, value_name = "TICKER")]
    pub ticker: Option<String>,
    /// Act only when the winner's probability is above this; overrides the configuration.
    #[arg(long, value_name = "0..1")]
    pub threshold: Option<f64>,
}

impl Overrides {
    /// As the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            dry_run: self.dry_run,
            live: self.live,
            hub_host: self.hub_host.clone(),
            hub_port: self.hub_port,
            gtw_host: self.gtw_host.clone(),
            gtw_port: self.gtw_port,
            symbol: self.symbol.clone(),
            ticker: self.ticker.clone(),
            threshold: self.threshold,
            ..Flags::default()
        }
    }
}
