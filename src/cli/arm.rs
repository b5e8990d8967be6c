//! `sentinel arm`: shows what `run --live` would let go live, and records that an operator has confirmed it.
//!
//! It sends nothing, starts nothing and stops nothing. What is confirmed is what was shown: when something changes between the
//! two, the node finds another thing than the one that was armed, and refuses it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rust_decimal::Decimal;
use sentinel_actors::domain::intent::Mode;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Arming as _, Clock as _};

use super::overrides::Overrides;
use super::text::wrapped;
use super::{Ended, Failure, exit, probe, read_env};
use crate::arming::record::Armed;
use crate::arming::{Limits, Live, Plan, Terms, Until, needs_wallet, parts, record};
use crate::config::{Config, Env, Flags, Origin, PipelineConfig, Setting, VenueConfig};
use crate::exit::ExitError as _;
use crate::journal::StateDir;
use crate::node::{self, UnknownModel};
use crate::system::WallClock;
use crate::venues::allora::address::Address;
use crate::venues::allora::wallet::{Wallet, WalletError};

/// Arms a node.
#[derive(Debug, Clone, clap::Args)]
pub struct ArmArgs {
    /// The configuration.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// As for the `run --live` that is armed.
    #[command(flatten)]
    pub overrides: Overrides,
    /// State directory, as for that `run`; overrides the configuration.
    #[arg(long, value_name = "DIR")]
    pub state: Option<String>,
    /// When it ends: a time like 2026-06-01T13:00:00Z, or a duration like 8h, counted from when it is recorded. By the clock, by
    /// the schedule and by elapsed time, whichever is first.
    #[arg(long, value_name = "TIME|DURATION")]
    pub until: Option<Until>,
    /// How many orders that open, or forecasts, may leave in all. Orders that only close are not counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_orders: Option<u32>,
    /// How much an account may lose, open positions included, in its currency and from when it is recorded. A deposit or withdrawal
    /// counts as profit or loss. Only for a dialect that tells what the account is worth.
    #[arg(long, value_name = "AMOUNT", value_parser = amount)]
    pub max_loss: Option<Decimal>,
    /// Confirm this identity, instead of typing it: for scripts. Any other one changes nothing.
    #[arg(long, value_name = "IDENTITY")]
    pub yes: Option<String>,
}

/// Shows what would go live, asks for its identity, and records it.
///
/// # Errors
/// When it is not known what would go live, something else was typed, or it cannot be recorded.
pub fn run(args: &ArmArgs) -> Ended {
    let stdin = io::stdin();
    arm(args, &read_env()?, &mut stdin.lock(), &mut io::stdout())
}

fn arm(args: &ArmArgs, env: &Env, input: &mut dyn BufRead, out: &mut dyn Write) -> Ended {
    let live = !args.overrides.dry_run;
    let flags = Flags { state: args.state.clone(), live, ..args.overrides.flags() };
    let config = Config::load(&args.config, env, &flags)
        .map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })?;
    if Plan::of(&config, None).is_dry() {
        let text = "error: there is nothing to arm: every pipeline stays in dry run, which needs no arm";
        return Err(Failure { code: exit::FAILED, text: text.to_owned() });
    }
    let worker = worker(&config, env)?;
    let limits = args.limits(&config, WallClock.now())?;
    let (terms, equity) = node::look(&config, worker.as_ref(), limits)?;
    refuse_unknown_worth(&terms, &equity)?;
    let (id, state) = (terms.id(), &config.node.state);
    let again = command(&config, &args.config, &args.overrides, "arm") + &args.limit_flags();
    (|| {
        writeln!(out, "{}", shown(&terms, state))?;
        if let Some(what) = config.plain_beyond() {
            writeln!(out, "{}\n", wrapped("warning: ", "  ", &what))?;
        }
        if let Some(text) = beside(state, &terms) {
            writeln!(out, "{text}\n")?;
        }
        match &args.yes {
            Some(_) => writeln!(out, "Identity: {id}"),
            None => write!(out, "Type {id} to arm it; anything else changes nothing: "),
        }?;
        out.flush()
    })()
    .map_err(|error| unwritten(&error))?;
    let typed = match &args.yes {
        Some(typed) => typed.clone(),
        None => {
            let mut line = String::new();
            input.read_line(&mut line).map_err(|error| Failure::new(exit::IO, &error, None))?;
            line
        }
    };
    if !id.is(&typed) {
        let text = format!(
            "error: that is not the identity of what would go live now, so nothing was changed\n  what to do: read it above, then type \
             it, or give it to the command: {again} --yes {id}"
        );
        return Err(Failure { code: exit::FAILED, text });
    }
    // Before its time is taken: what leaves in between counts.
    let effects = node::live_effects(state).map_err(Failure::from)?;
    let path = record::write(state, Armed { at: WallClock.now(), effects, equity, terms })?;
    let start = command(&config, &args.config, &args.overrides, "run");
    writeln!(out, "\narmed as {id}, in {}\nstart it with: {start} --live", path.display())
        .map_err(|error| unwritten(&error))?;
    Ok(exit::OK)
}

impl ArmArgs {
    /// What is to end the arm.
    fn limits(&self, config: &Config, now: UtcMs) -> Result<Limits, Failure> {
        if let Some(until) = self.until
            && until.instant(now) <= now
        {
            let text = format!("error: --until: {} has passed", until.instant(now));
            return Err(Failure { code: exit::USAGE, text });
        }
        let live = config.pipelines.iter().filter(|pipeline| pipeline.mode == Mode::Live);
        let silent =
            live.filter(|pipeline| self.max_loss.is_some() && !tells_worth(pipeline)).map(|pipeline| &pipeline.name);
        if let Some(pipeline) = { silent }.next() {
            return Err(untold(pipeline));
        }
        Ok(Limits { until: self.until, max_orders: self.max_orders, max_loss: self.max_loss })
    }

    /// The same as they are typed.
    fn limit_flags(&self) -> String {
        let until = self.until.map(|until| match until {
            Until::At(instant) => format!(" --until {instant}"),
            Until::AfterMs(ms) => {
                format!(" --until {}", quoted(&humantime::format_duration(Duration::from_millis(ms)).to_string()))
            }
        });
        let orders = self.max_orders.map(|orders| format!(" --max-orders {orders}"));
        let loss = self.max_loss.map(|loss| format!(" --max-loss {loss}"));
        [until, orders, loss].into_iter().flatten().collect()
    }
}

/// A sum of money on the command line.
fn amount(text: &str) -> Result<Decimal, String> {
    let amount = Decimal::from_str_exact(text).ok().filter(|amount| *amount > Decimal::ZERO);
    amount.ok_or_else(|| "an amount above 0 like 250 or 99.50".to_owned())
}

fn tells_worth(pipeline: &PipelineConfig) -> bool {
    let venue = pipeline.order().map(|order| &order.venue);
    matches!(venue, Some(VenueConfig::Gateway(gateway)) if gateway.dialect.tells_account)
}

fn untold(pipeline: &str) -> Failure {
    let text = format!(
        "error: --max-loss: the venue of the pipeline {pipeline} does not tell what the account is worth\n  what to do: leave --max-loss out, \
         keep the pipeline in dry run, or use a dialect that tells it: docs/dialects.md"
    );
    Failure { code: exit::CONFIG, text }
}

/// A dialect that could tell is not one that does.
fn refuse_unknown_worth(terms: &Terms, equity: &BTreeMap<String, Decimal>) -> Result<(), Failure> {
    let mut all = terms.pipelines.iter().map(|live| &live.place.pipeline).filter(|_| terms.limits.max_loss.is_some());
    all.find(|pipeline| !equity.contains_key(*pipeline)).map_or(Ok(()), |pipeline| Err(untold(pipeline)))
}

/// The address of the wallet that signs for live topics; `None` when there are none.
fn worker(config: &Config, env: &Env) -> Result<Option<Address>, WalletError> {
    if needs_wallet(config) { Wallet::open(env).map(|wallet| Some(wallet.address())) } else { Ok(None) }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(exit::IO, error, None)
}

/// What would go live, for a person.
fn shown(terms: &Terms, state: &Path) -> String {
    let mut text = "This would go live:\n".to_owned();
    for Live { place, model, venue_says } in &terms.pipelines {
        text += &format!("\npipeline {}\n  {:<9} {}\n", place.pipeline, place.job, place.goes_to);
        if place.job == "orders" {
            text += &shown_part("it says", &venue_says.to_string());
        }
        for part in [parts::ACCOUNT, parts::VENUE, parts::BARS, parts::RISK, parts::DECISION] {
            text += &shown_part(part, &place.settings.text(part));
        }
        text += &format!("  {:<9} {}\n            {}\n", "model", model.id, model.hash);
        text += &shown_part("", &place.settings.text(parts::MODEL));
    }
    text += &format!("\nit ends\n  {:<9} {}\n", "limits", terms.limits);
    text += &format!("\nconfiguration (file, environment and flags)\n  {:<9} {}\n", "digest", terms.config);
    text += &format!("  {:<9} {}\n", "state", state.display());
    text
}

fn shown_part(name: &str, values: &str) -> String {
    if values.is_empty() { String::new() } else { wrapped(&format!("  {name:<9} "), "            ", values) + "\n" }
}

/// What the operator should know of the state directory.
fn beside(state: &Path, terms: &Terms) -> Option<String> {
    let armed = record::read(&record::file_of(state)).ok();
    let other = armed.map(|armed| armed.terms).filter(|armed| armed != terms).map(|armed| armed.id());
    match (StateDir::holder(state), other) {
        (Some(pid), Some(other)) => Some(format!(
            "A node runs there (process {pid}), and {other} is armed. This arm takes the place of that one: a node that runs \
             something else than is shown here sends nothing new from then on."
        )),
        (Some(pid), None) => Some(format!("A node runs there (process {pid}); it need not be stopped.")),
        (None, Some(other)) => Some(format!("{other} is armed there; this arm takes its place.")),
        (None, None) => None,
    }
}

/// The command that arms a run with these flags, or starts it: with what the environment says, so that it does the same in another
/// shell.
#[must_use]
pub fn command(config: &Config, file: &Path, overrides: &Overrides, verb: &str) -> String {
    let mut words = Vec::new();
    let mut state = None;
    for Setting { key, value, origin } in &config.settings {
        match origin {
            Origin::Outside(_) if key == "node.state" => state = Some(value),
            Origin::Outside(origin) => {
                if let Some(variable) = origin.strip_prefix("environment ") {
                    words.push(format!("{variable}={}", quoted(value)));
                }
            }
            Origin::Default | Origin::File => {}
        }
    }
    words.extend(["sentinel".to_owned(), verb.to_owned(), "--config".to_owned(), quoted(&file.display().to_string())]);
    let more = state.map(|state| ("--state", state.clone()));
    for (flag, value) in overrides.given().into_iter().chain(more) {
        words.extend([flag.to_owned(), quoted(&value)]);
    }
    words.join(" ")
}

/// As a shell reads it back.
fn quoted(text: &str) -> String {
    let is_plain =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,@:".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// For `check`: whether what it has read is armed.
#[must_use]
pub fn standing(config: &Config, env: &Env, file: &Path, overrides: &Overrides) -> Option<String> {
    // A wallet that cannot be opened is another finding.
    let worker = worker(config, env).ok().flatten();
    let plan = Plan::of(config, worker.as_ref());
    if plan.is_dry() {
        return None;
    }
    let watch = node::watch_of(plan, &config.node.state, String::new());
    // What can be counted is; a journal that cannot be read is another finding.
    watch.count();
    // A model that cannot be used has been reported; a server is compared when the node asks it.
    for (pipeline, model) in local_models(config) {
        watch.note_model(&pipeline, &model);
    }
    let advice = || format!("\n  what to do: {}", command(config, file, overrides, "arm"));
    Some(match (watch.armed(), watch.left().unwrap_or_default()) {
        (Ok(id), left) if watch.has_ended() => format!("armed as {id}, which has {left}{}", advice()),
        (Ok(id), left) => format!("armed as {id}, {left}"),
        (Err(ended), _) => format!("not armed: {ended}{}", advice()),
    })
}

fn local_models(
    config: &Config,
) -> impl Iterator<Item = (String, sentinel_actors::domain::prediction::ModelIdentity)> + '_ {
    use crate::config::ModelConfig;
    let local = config.pipelines.iter().filter(|pipeline| matches!(pipeline.model, ModelConfig::Onnx { .. }));
    local.filter_map(|pipeline| Some((pipeline.name.clone(), node::live_model(pipeline).ok()?)))
}

impl From<UnknownModel> for Failure {
    fn from(error: UnknownModel) -> Self {
        match error {
            UnknownModel::Unusable(error) => (*error).into(),
            UnknownModel::Silent { ref pipeline, ref source } => {
                let advice = probe::remedy(&pipeline.model, source);
                let advice = format!("{advice}; then give this command again. Nothing was armed");
                Self::new(exit::UNAVAILABLE, &error, Some(advice))
            }
            UnknownModel::SilentVenue { .. } => {
                let advice = "start the gateway and its terminal, or correct [pipeline.venue]; then give this command again. Nothing was armed";
                Self::new(exit::UNAVAILABLE, &error, Some(advice.to_owned()))
            }
            UnknownModel::Obstructed { .. } => {
                let advice =
                    "correct the configuration or the terminal, then give this command again. Nothing was armed";
                Self::new(exit::CONFIG, &error, Some(advice.to_owned()))
            }
            UnknownModel::Runtime(_) => Self::new(exit::SOFTWARE, &error, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_says_what_flags_and_environment_said_and_quotes_it() {
        let dir = tempfile::tempdir().unwrap();
        let text = include_str!("../../config/sentinel.toml");
        let overrides = Overrides { threshold: Some(0.7), gtw_port: None, live: true, ..Overrides::default() };
        let env: Env = [("SENTINEL_STATE", "my state"), ("SENTINEL_LOG_LEVEL", "debug")].into_iter().collect();
        let read = |state: Option<&str>| {
            let flags = Flags { state: state.map(str::to_owned), live: false, ..overrides.flags() };
            Config::from_str_at(text, "sentinel.toml", Path::new("config"), &env, &flags).unwrap()
        };
        let file = dir.path().join("it's.toml");
        let expected = format!(
            "SENTINEL_LOG_LEVEL=debug sentinel arm --config '{}' --threshold 0.7 --state 'my state'",
            file.display().to_string().replace('\'', r"'\''")
        );
        assert_eq!(command(&read(None), &file, &overrides, "arm"), expected);
        assert!(command(&read(Some("/srv/s")), &file, &overrides, "arm").ends_with(" --state /srv/s"));
    }
}
