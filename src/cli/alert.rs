//! `sentinel alert`: tries a route of the alerts, so that nobody first learns in the night that it leads nowhere.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, examples, exit, read_env};
use crate::config::{Config, DEAD_MAN, Flags};
use crate::node::alert_settings;
use crate::operator::alerts::courier::{AlertSettings, Courier, Told};
use crate::operator::alerts::dead_man::Ping;
use crate::operator::alerts::message::Message;
use crate::operator::alerts::outbox::Attempt;
use crate::system::{WallClock, random_id};

/// Arguments of `sentinel alert`.
#[derive(Debug, Clone, Args)]
pub struct AlertArgs {
    #[command(subcommand)]
    pub command: AlertCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub enum AlertCommand {
    /// Send one test message to a route, and print what it answered.
    #[command(after_help = examples::ALERT_TEST)]
    Test(TestArgs),
}

#[derive(Debug, Clone, Args)]
pub struct TestArgs {
    /// Name of a route in the configuration; `dead-man`: one ping of the check.
    pub route: String,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "config/sentinel.toml")]
    pub config: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the configuration cannot be used, or the route has not taken the message.
pub fn run(args: &AlertArgs) -> Ended {
    let AlertCommand::Test(args) = &args.command;
    let config = Config::load(&args.config, &read_env()?, &Flags { reads_only: true, ..Flags::default() })
        .map_err(|errors| Failure { code: exit::CONFIG, text: errors.to_string() })?;
    let wanted = |name: &str| name == args.route;
    let is_check = wanted(DEAD_MAN) && config.alerts.dead_man.is_some();
    if !is_check && !config.alerts.routes.iter().any(|route| wanted(&route.name)) {
        let names = config.alerts.routes.iter().map(|route| route.name.as_str());
        let names: Vec<&str> = names.chain(config.alerts.dead_man.iter().map(|_| DEAD_MAN)).collect();
        let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let text = format!("error: {} has no route '{}': {known}", args.config.display(), args.route);
        return Err(Failure { code: exit::CONFIG, text });
    }
    // Only what is tried needs its secret here.
    let mut alerts = config.alerts.clone();
    alerts.routes.retain(|route| wanted(&route.name));
    alerts.dead_man = alerts.dead_man.filter(|_| wanted(DEAD_MAN));
    let settings = alert_settings(&alerts).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(|problem| format!("error: {}", chain(problem))).collect();
        Failure { code: exit::CONFIG, text: problems.join("\n") }
    })?;
    let told = ask(&settings, &config.node.name)?;
    if told.attempt == Attempt::Accepted {
        println!("{} has taken it: {}", args.route, told.said);
        return Ok(exit::OK);
    }
    let what =
        if told.attempt == Attempt::Refused { "refuses it: look at its address and token" } else { "has not taken it" };
    Err(Failure { code: exit::UNAVAILABLE, text: format!("error: {} {what}\n  because: {}", args.route, told.said) })
}

fn ask(settings: &AlertSettings, node: &str) -> Result<Told, Failure> {
    let courier = Courier::new(settings).map_err(|error| Failure::new(exit::CONFIG, &error, None))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(exit::UNAVAILABLE, &error, None))?;
    let wall: UtcMs = WallClock.now();
    let told = runtime.block_on(async {
        match (settings.routes.first(), &settings.dead_man) {
            (Some(route), _) => Some(courier.tell(route, &Message::test(node, &random_id(), wall), wall).await),
            (None, Some(check)) => {
                let ping = Ping { is_fail: false, sentence: format!("{node}: a test by hand") };
                Some(courier.ping(check, &ping, wall).await)
            }
            (None, None) => None,
        }
    });
    runtime.shutdown_background();
    told.ok_or_else(|| Failure { code: exit::CONFIG, text: "error: there is nothing to try".to_owned() })
}
