//! `sentinel gateway`: a trade gateway on paper. The server is in `sentinel-testbed`, which shares no code with the
//! client; this is its command line.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::str::FromStr;

use rust_decimal::Decimal;
use sentinel_testbed::gateway::{self, AccountMode, Advisor, Fault, GatewayError, GatewayOptions, Trap};
use sentinel_testbed::{FaultRule, shutdown_on_signal};

use super::parent::ParentFlag;
use super::{Ended, Failure, exit};

const NOT_REAL: &str = "\
--paper is missing. A real trade gateway lives beside MetaTrader 5 and is not part of this program, which only plays one.
  to trade on paper:  sentinel gateway --paper";

/// Plays a trade gateway.
#[derive(Debug, Clone, clap::Args)]
pub struct GatewayArgs {
    /// Trade on paper. Required: there is no other kind in this program.
    #[arg(long)]
    pub paper: bool,
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// TCP port; 0 takes any that is free.
    #[arg(long, default_value_t = 5555)]
    pub port: u16,
    /// Whether orders of one symbol become one position or each their own.
    #[arg(long, default_value = "netting", value_parser = account_mode)]
    pub account: AccountMode,
    /// The gateway's own record of every message, order and position (SQLite).
    #[arg(long, value_name = "FILE", default_value = "state/gateway/ledger.db")]
    pub ledger: PathBuf,
    /// Prices of a symbol: CSV with timestamp,open,high,low,close,volume. The market's time picks the bar.
    #[arg(long, value_name = "SYMBOL=FILE", value_parser = pair::<PathBuf>)]
    pub bars: Vec<(String, PathBuf)>,
    /// The market's time of a symbol is that of a node's replay, which writes it to STATE/replay/PIPELINE.time; without this
    /// it is the wall clock's. The time in an order does not count: a late order gets late prices.
    #[arg(long, value_name = "SYMBOL=FILE", value_parser = pair::<PathBuf>)]
    pub clock: Vec<(String, PathBuf)>,
    /// A price that never changes. Without any --bars and --price: EURUSD at 1.10000.
    #[arg(long, value_name = "SYMBOL=PRICE", value_parser = pair::<Decimal>)]
    pub price: Vec<(String, Decimal)>,
    /// Distance between bid and ask, in price units.
    #[arg(long, default_value = "0.00010")]
    pub spread: Decimal,
    /// The most that a fill may lie against the trader, in price units.
    #[arg(long, default_value = "0.00002")]
    pub slippage: Decimal,
    /// Units of the base currency in one lot.
    #[arg(long, default_value = "100000")]
    pub contract_size: Decimal,
    /// Money in the account of a new ledger.
    #[arg(long, default_value = "10000")]
    pub balance: Decimal,
    /// Makes slippage repeatable.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Misbehave; see below.
    #[arg(long, alias = "mood", value_name = "RULE")]
    pub fault: Vec<FaultRule<Fault>>,
    /// Lie as public gateways do, in every message; see below.
    #[arg(long, value_name = "TRAP")]
    pub trap: Vec<Trap>,
    /// Play an Expert Advisor instead: newer or older.
    #[arg(long, value_parser = advisor)]
    pub advisor: Option<Advisor>,
    /// For the process that starts it.
    #[command(flatten)]
    pub parent: ParentFlag,
}

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// When it cannot start, or its socket or ledger fails.
pub fn run(args: &GatewayArgs) -> Ended {
    if !args.paper {
        return Err(Failure { code: exit::USAGE, text: format!("error: {NOT_REAL}") });
    }
    let colours = io::stderr().is_terminal();
    let format = tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(colours).with_target(false).compact();
    let _ = format.try_init(); // a second subscriber in one process keeps the first
    if !args.parent.arm() {
        return Ok(exit::OK);
    }
    let shutdown = shutdown_on_signal().map_err(|error| Failure::new(exit::SOFTWARE, &error, None))?;
    gateway::serve(options(args), &shutdown).map(|()| exit::OK).map_err(|error| {
        let code = exit_code(&error);
        Failure::new(code, &error, None)
    })
}

fn options(args: &GatewayArgs) -> GatewayOptions {
    GatewayOptions {
        host: args.host.clone(),
        port: args.port,
        account: args.account,
        ledger: args.ledger.clone(),
        bars: args.bars.clone(),
        clocks: args.clock.clone(),
        prices: args.price.clone(),
        spread: args.spread,
        slippage: args.slippage,
        contract_size: args.contract_size,
        balance: args.balance,
        seed: args.seed,
        faults: args.fault.clone(),
        traps: args.trap.clone(),
        advisor: args.advisor,
    }
}

const fn exit_code(error: &GatewayError) -> u8 {
    match error {
        GatewayError::Bind { .. } => exit::UNAVAILABLE,
        GatewayError::LedgerInUse { .. } => exit::TEMPORARY,
        GatewayError::Shadowed(_) => exit::USAGE,
        GatewayError::Ledger { .. } | GatewayError::LedgerFile { .. } | GatewayError::Output(_) => exit::IO,
        GatewayError::Socket { .. } | GatewayError::Freeze(_) => exit::SOFTWARE,
        GatewayError::NotALedger(_)
        | GatewayError::OtherMode { .. }
        | GatewayError::Bars { .. }
        | GatewayError::Twice(_)
        | GatewayError::ClockOfNothing(_)
        | GatewayError::Number { .. } => exit::CONFIG,
    }
}

fn account_mode(text: &str) -> Result<AccountMode, String> {
    let modes = [AccountMode::Netting, AccountMode::Hedging];
    modes.into_iter().find(|mode| mode.name() == text).ok_or_else(|| "expected netting or hedging".to_owned())
}

fn advisor(text: &str) -> Result<Advisor, String> {
    let advisors = [Advisor::Newer, Advisor::Older];
    advisors.into_iter().find(|advisor| advisor.name() == text).ok_or_else(|| "expected newer or older".to_owned())
}

/// `SYMBOL=VALUE`.
fn pair<T: FromStr>(text: &str) -> Result<(String, T), String> {
    let parsed = text.split_once('=').filter(|(symbol, value)| !symbol.is_empty() && !value.is_empty());
    let parsed = parsed.and_then(|(symbol, value)| Some((symbol.to_owned(), value.parse().ok()?)));
    parsed.ok_or_else(|| "expected SYMBOL=VALUE, for example EURUSD=1.1".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::{Cli, Command};
    use super::*;

    fn parse(args: &str) -> Result<GatewayArgs, clap::Error> {
        match Cli::try_parse_from(["sentinel", "gateway"].into_iter().chain(args.split_whitespace()))?.command {
            Command::Gateway(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_earlier_name_of_the_fault_flag_is_still_taken() {
        assert_eq!(parse("--paper --mood die@2").unwrap().fault, parse("--paper --fault die@2").unwrap().fault);
    }

    #[test]
    fn without_arguments_the_command_line_means_the_defaults_of_the_server() {
        assert_eq!(options(&parse("--paper").unwrap()), GatewayOptions::default());
    }

    #[test]
    fn every_argument_reaches_the_server() {
        let args = "--paper --host 0.0.0.0 --port 0 --account hedging --ledger l.db --bars EURUSD=a=b.csv --clock EURUSD=t.time --price X=2 --spread 0.1 \
                    --slippage 0 --contract-size 1 --balance 7 --seed 3 --fault die@2 --fault refuse=-4 --trap blind --advisor older";
        let expected = GatewayOptions {
            host: "0.0.0.0".to_owned(),
            port: 0,
            account: AccountMode::Hedging,
            ledger: "l.db".into(),
            bars: vec![("EURUSD".to_owned(), "a=b.csv".into())],
            clocks: vec![("EURUSD".to_owned(), "t.time".into())],
            prices: vec![("X".to_owned(), Decimal::TWO)],
            spread: Decimal::new(1, 1),
            slippage: Decimal::ZERO,
            contract_size: Decimal::ONE,
            balance: Decimal::from(7),
            seed: Some(3),
            faults: ["die@2", "refuse=-4"].map(|rule| rule.parse().unwrap()).to_vec(),
            traps: vec![Trap::Blind],
            advisor: Some(Advisor::Older),
        };
        assert_eq!(options(&parse(args).unwrap()), expected);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for args in ["--fault moody", "--account both", "--bars EURUSD", "--price EURUSD=cheap", "--port 70000"] {
            assert!(parse(args).is_err(), "{args} was taken");
        }
        let refused = run(&parse("").unwrap()).unwrap_err();
        assert_eq!(refused.code, exit::USAGE);
        assert!(refused.text.contains("MetaTrader 5"), "{}", refused.text);
    }
}
