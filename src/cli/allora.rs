//! `sentinel allora`: what can be asked about a wallet and a transaction without a network, and of the chain about a worker.

mod backfill;
mod case;
mod doctor;
pub mod report;
mod standing;
mod status;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};

use self::case::{CaseError, sign};
pub(super) use self::doctor::doctor;
pub(super) use self::standing::Finding as Found;
use super::{Ended, Failure, examples, exit, read_env};
use crate::venues::allora::decimal::Dec;
use crate::venues::allora::decoding;
use crate::venues::allora::wallet::{Wallet, topic_of};

/// Arguments of `sentinel allora`.
#[derive(Debug, Clone, Args)]
pub struct AlloraArgs {
    #[command(subcommand)]
    pub command: AlloraCommand,
}

/// What to ask.
#[derive(Debug, Clone, Subcommand)]
pub enum AlloraCommand {
    /// Print the address of the wallet that a node would use here.
    #[command(after_help = examples::ALLORA_ADDRESS)]
    Address,
    /// Print a decimal number as the chain writes it, or say why it takes none.
    #[command(after_help = examples::ALLORA_CANONICAL)]
    Canonical {
        /// The number, such as -1.2e-07.
        #[arg(allow_hyphen_values = true)]
        text: String,
    },
    /// Sign the transaction of a test case, and print it as JSON.
    ///
    /// The case holds its mnemonic in clear. It is for tests: never put the words of a funded wallet there.
    #[command(after_help = examples::ALLORA_SIGN)]
    Sign {
        /// The case: JSON with kind, emissions and input.
        #[arg(long, value_name = "JSON")]
        input: PathBuf,
    },
    /// Print what a transaction contains as JSON.
    #[command(after_help = examples::ALLORA_DECODE)]
    Decode {
        /// The bytes of the transaction, in hexadecimal digits or in base64.
        tx: String,
    },
    /// Ask the chain how a worker stands in a topic, and what keeps it from submitting. Nothing is sent.
    ///
    /// It ends with 0 when nothing does, with 1 when something does, and with 69 without an answer of the chain.
    #[command(after_help = examples::ALLORA_STATUS)]
    Status(status::StatusArgs),
    /// Sum up the windows of a worker: stored or not, missed by reason, fees and scores.
    ///
    /// It reads journal and outbox, beside a running node too. With --backfill, and no node running, it first asks the chain for
    /// the proofs and scores that are missing, and keeps them in the journal.
    #[command(after_help = examples::ALLORA_REPORT)]
    Report(report::ReportArgs),
}

/// Runs the command.
///
/// # Errors
/// When there is no answer; the error knows the exit code.
pub fn run(args: &AlloraArgs, out: &mut impl Write) -> Ended {
    let answer = match &args.command {
        AlloraCommand::Address => address()?,
        AlloraCommand::Canonical { text } => {
            Dec::parse(text).map_err(|error| Failure::new(exit::FAILED, &error, None))?.to_string()
        }
        AlloraCommand::Sign { input } => json(&sign(input)?)?,
        AlloraCommand::Decode { tx } => decode(tx)?,
        AlloraCommand::Status(args) => return status::run(args, out),
        AlloraCommand::Report(args) => return report::run(args, out),
    };
    writeln!(out, "{answer}").map_err(|error| unwritten(&error))?;
    Ok(exit::OK)
}

fn address() -> Result<String, Failure> {
    let env = read_env()?;
    topic_of(&env)?;
    Ok(Wallet::open(&env)?.address().to_string())
}

fn decode(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    // Hexadecimal digits are base64 as well, but nobody's transaction begins like that.
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).or_else(|_| BASE64.decode(text.as_bytes()));
    let bytes = bytes.map_err(|_| Failure {
        code: exit::FAILED,
        text:
            "error: this is neither hexadecimal nor base64\n  what to do: give the whole transaction, without a prefix"
                .to_owned(),
    })?;
    let decoded = decoding::decode(&bytes).map_err(|error| Failure::new(exit::FAILED, &error, None))?;
    json(&decoded)
}

fn json(value: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string_pretty(value).map_err(|error| unwritten(&io::Error::from(error)))
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(exit::IO, error, None)
}

impl From<CaseError> for Failure {
    fn from(error: CaseError) -> Self {
        Self::new(error.exit_code(), &error, None)
    }
}
