//! Flags that override the configuration, the same for `run`, `arm` and `check`.

use crate::config::Flags;

/// What overrides the configuration.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Overrides {
    /// Send orders to the gateways of the configuration, as armed with `sentinel arm`; without it they go to a local paper
    /// book. A pipeline with mode = "dry_run" keeps to the paper book.
    #[arg(long, conflicts_with = "dry_run")]
    pub live: bool,
    /// Send no order to a gateway, whatever the configuration says. This is the default.
    #[arg(long)]
    pub dry_run: bool,
    /// Where the page is served, as 127.0.0.1:9464; overrides the configuration.
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
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
    /// What replaces a value, as it is typed: the flag and its value.
    #[must_use]
    pub fn given(&self) -> Vec<(&'static str, String)> {
        let all = [
            ("--listen", self.listen.clone()),
            ("--hub-host", self.hub_host.clone()),
            ("--hub-port", self.hub_port.map(|port| port.to_string())),
            ("--gtw-host", self.gtw_host.clone()),
            ("--gtw-port", self.gtw_port.map(|port| port.to_string())),
            ("--symbol", self.symbol.clone()),
            ("--ticker", self.ticker.clone()),
            ("--threshold", self.threshold.map(|threshold| threshold.to_string())),
        ];
        all.into_iter().filter_map(|(flag, value)| Some((flag, value?))).collect()
    }

    /// As the configuration takes them.
    #[must_use]
    pub fn flags(&self) -> Flags {
        Flags {
            dry_run: self.dry_run,
            live: self.live,
            listen: self.listen.clone(),
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
