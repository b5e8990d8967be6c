//! `sentinel flatten`: closes everything that is open of a live pipeline, once an operator has typed what.

use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};

use sentinel_actors::domain::halt::Place;
use sentinel_actors::ports::Clock as _;

use super::{Ended, Failure, StateFlag, exit, read_env, unanswered};
use crate::config::{Config, Env, Flags};
use crate::exit::ExitError as _;
use crate::node::{Closable, FlattenError};
use crate::operator::control::client::{self, ClientError};
use crate::operator::control::messages::{Answer, AskFlatten, FLATTEN, STATUS};
use crate::operator::flattening::{keeps_flat, new_halt, phrase, told};
use crate::operator::status::Status;
use crate::system::{WallClock, random_id};

/// Closes everything that is open of a pipeline.
#[derive(Debug, Clone, clap::Args)]
pub struct FlattenArgs {
    /// The pipeline, which trades live.
    pub pipeline: String,
    /// Confirm what is shown, SYMBOL@ACCOUNT, instead of typing it: for scripts. Anything else changes nothing.
    #[arg(long, value_name = "SYMBOL@ACCOUNT")]
    pub yes: Option<String>,
    /// The configuration, for a node that does not run: it says where its positions are.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whose positions.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Closes it: through the node while it runs, and without one under its lock.
///
/// # Errors
/// When nothing was closed, or what was is not known.
pub fn run(args: &FlattenArgs) -> Ended {
    let config = args.config.as_ref().map(|file| read(file, &read_env()?, args)).transpose()?;
    let state = args.state.of(config.as_ref())?;
    match client::get::<Status>(&state, STATUS) {
        Ok(status) => running(args, &status, &state),
        Err(ClientError::NotThere(_)) => match &config {
            Some(config) => stopped(args, config),
            None => Err(Failure {
                code: exit::UNAVAILABLE,
                text: format!(
                    "error: no node listens on {}, and where its positions are stands in its configuration\n  what to do: give it with \
                     --config, as to `sentinel run`",
                    state.display()
                ),
            }),
        },
        Err(error) => Err(unanswered(&error)),
    }
}

fn read(file: &Path, env: &Env, args: &FlattenArgs) -> Result<Config, Failure> {
    let state = args.state.state.as_ref().map(|state| state.display().to_string());
    let flags = Flags { state, live: true, ..Flags::default() };
    Config::load(file, env, &flags).map_err(|errors| Failure { code: errors.exit_code(), text: errors.to_string() })
}

fn running(args: &FlattenArgs, status: &Status, state: &Path) -> Ended {
    let place = status.pipelines.get(&args.pipeline).and_then(|pipeline| {
        let (account, symbol) = (pipeline.account.clone()?, pipeline.symbol.clone()?);
        Some(Place { pipeline: args.pipeline.clone(), account, symbol })
    });
    let place = place.ok_or_else(|| unknown(&args.pipeline, status.pipelines.keys()))?;
    let confirmed = confirmed(args, &place)?;
    let asked = AskFlatten { id: random_id(), pipeline: args.pipeline.clone(), confirmed };
    let answer = client::post::<Answer>(state, FLATTEN, &asked).map_err(|error| unanswered(&error))?;
    println!("{}", answer.text);
    Ok(answer.exit)
}

fn stopped(args: &FlattenArgs, config: &Config) -> Ended {
    let pipeline = config.pipelines.iter().find(|pipeline| pipeline.name == args.pipeline);
    let names = || config.pipelines.iter().map(|pipeline| &pipeline.name);
    let pipeline = pipeline.ok_or_else(|| unknown(&args.pipeline, names()))?;
    let closable = Closable::of(pipeline).map_err(FlattenError::from)?;
    let place = closable.place();
    confirmed(args, &place)?;
    let new = new_halt(&place, &random_id(), super::who(), WallClock.now());
    let (halt, flattened) = closable.flatten(config, |halt| keeps_flat(halt, &place), new)?;
    let (text, code) = told(&halt, &flattened);
    println!("{text}");
    Ok(code)
}

/// What an operator has typed, which is what is to be closed.
fn confirmed(args: &FlattenArgs, place: &Place) -> Result<String, Failure> {
    ask(args.yes.as_deref(), place, &mut io::stdin().lock(), &mut io::stdout())
}

fn ask(yes: Option<&str>, place: &Place, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<String, Failure> {
    let (phrase, Place { pipeline, account, symbol }) = (phrase(place), place);
    let unheard = |error: io::Error| Failure::new(exit::IO, &error, None);
    let typed = match yes {
        Some(yes) => yes.to_owned(),
        None => {
            write!(
                out,
                "This halts new orders of {symbol} on the account {account}, and closes at the market every position of it that the \
                 pipeline {pipeline} has opened.\nType {phrase} to do it; anything else changes nothing: "
            )
            .and_then(|()| out.flush())
            .map_err(unheard)?;
            let mut line = String::new();
            input.read_line(&mut line).map_err(unheard)?;
            line
        }
    };
    if typed.trim() == phrase {
        return Ok(phrase);
    }
    let text = format!(
        "error: that is not {phrase}, so nothing was changed\n  what to do: type it, or give the command --yes {phrase}"
    );
    Err(Failure { code: exit::FAILED, text })
}

fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a String>) -> Failure {
    let known: Vec<&str> = known.map(String::as_str).collect();
    Failure {
        code: exit::FAILED,
        text: format!("error: there is no pipeline '{name}'; there is: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<String, Failure> {
        let place = Place { pipeline: "eurusd".to_owned(), account: "demo-1".to_owned(), symbol: "EURUSD".to_owned() };
        ask(None, &place, &mut line.as_bytes(), &mut Vec::new())
    }

    #[test]
    fn only_what_is_shown_confirms_it() {
        assert_eq!(typed("EURUSD@demo-1\n").ok().as_deref(), Some("EURUSD@demo-1"));
        for line in ["", "y\n", "yes\n", "EURUSD\n", "eurusd@demo-1\n", "EURUSD@demo-2\n"] {
            assert!(typed(line).is_err(), "{line:?}");
        }
    }
}
