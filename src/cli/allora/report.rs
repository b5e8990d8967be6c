//! `sentinel allora report`: what became of the windows of a worker.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use sentinel_actors::ports::elapsed_now;
use tokio::runtime::{Builder, Runtime};

use super::super::prove::load;
use super::super::text::labelled;
use super::super::{Ended, Failure, StateFlag, exit};
use super::backfill::{Backfill, backfill};
use super::status::client;
use super::unwritten;
use crate::config::{AlloraConfig, Config};
use crate::exit::ExitError;
use crate::http::Deadline;
use crate::journal::{JournalReader, StateDir};
use crate::node::worker_report::{WorkerReport, WorkerReportError, worker_report};
use crate::system::WallClock;
use crate::venues::allora::client::Client;
use crate::venues::allora::queries::Topic;
use crate::venues::allora::report::{Fees, pruned_about};

/// For what is asked only to say when scores are there.
const TOPIC_MAX: Duration = Duration::from_secs(10);

/// Arguments of `sentinel allora report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// The configuration of the node.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Whose journal; a state directory goes before that of the configuration.
    #[command(flatten)]
    pub state: StateFlag,
    /// First ask the chain for missing proofs and scores, and keep them. The node must not run: it does this by itself.
    #[arg(long)]
    pub backfill: bool,
}

impl ExitError for WorkerReportError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Outbox(_) => exit::IO,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.advice(),
            Self::Outbox(_) => None,
        }
    }
}

/// Prints the report of each pipeline that has been announced windows.
///
/// # Errors
/// When the journal cannot be read, or with --backfill not be written, or the chain not be asked.
pub fn run(args: &ReportArgs, out: &mut impl Write) -> Ended {
    let config = load(&args.config)?;
    let state = args.state.of(Some(&config))?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unwritten(&error))?;
    let chain = config.allora.as_ref().map(open).transpose()?;
    let filled = match (args.backfill, &chain) {
        (false, _) => None,
        (true, Some(client)) => Some(backfill(&state, client, &runtime)?),
        (true, None) => return Err(no_section(&args.config)),
    };
    let mut text = text(&config, &state, chain.as_ref(), &runtime)?;
    if let Some(filled) = &filled {
        text = format!("{text}\n\n{}", labelled("Backfill", &filled.to_string()));
    }
    writeln!(out, "{text}").map_err(|error| unwritten(&error))?;
    Ok(if filled.as_ref().is_some_and(Backfill::is_cut_short) { exit::UNAVAILABLE } else { exit::OK })
}

/// The report of a configuration whose competitions have ended.
///
/// # Errors
/// When journal or outbox cannot be read.
pub fn at_the_end(config: &Config, state: &Path) -> Result<String, Failure> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| unwritten(&error))?;
    // Without the chain the report says the same, but for when scores will be there.
    let chain = config.allora.as_ref().and_then(|allora| open(allora).ok());
    text(config, state, chain.as_ref(), &runtime)
}

/// The report of each pipeline that has been announced windows.
fn text(config: &Config, state: &Path, chain: Option<&Client>, runtime: &Runtime) -> Result<String, Failure> {
    let mut text = labelled("State", &state.display().to_string());
    let mut line = |line: &str| {
        text.push('\n');
        text.push_str(line);
    };
    for pipeline in with_windows(config, state)? {
        let report = worker_report(state, &pipeline)?;
        let topic = chain.and_then(|client| asked(client, &report, runtime));
        line("");
        let about = report.topic.map_or_else(String::new, |topic| format!(", topic {topic}"));
        line(&labelled("Pipeline", &format!("{pipeline}{about}")));
        for (label, text) in report.lines(topic.as_ref().map(|(topic, _)| topic)) {
            line(&labelled(label, &text));
        }
        for page in config.allora.iter().flat_map(|allora| pages(allora, &report.fees)) {
            line(&labelled("Look up", &page));
        }
        if let Some(text) = to_do(&report, topic.as_ref(), state) {
            line(&labelled("", &text));
        }
    }
    Ok(text)
}

/// Where a person finds out what nobody can prove any more.
fn pages(allora: &AlloraConfig, fees: &Fees) -> Vec<String> {
    fees.unproven.iter().map(|hash| allora.transaction_page(hash)).collect()
}

fn no_section(file: &Path) -> Failure {
    Failure {
        code: exit::CONFIG,
        text: format!(
            "error: {} has no section [allora], which names the chain to ask\n  what to do: `sentinel config sentinel` shows one",
            file.display()
        ),
    }
}

fn open(config: &AlloraConfig) -> Result<Client, Failure> {
    client(config, Arc::new(WallClock)).map_err(|error| Failure::new(exit::CONFIG, &error, None))
}

/// The configured pipelines that have announced slots.
fn with_windows(config: &Config, state: &Path) -> Result<Vec<String>, Failure> {
    use sentinel_actors::domain::time::UtcMs;
    let reader = JournalReader::open(state)?;
    let mut found = Vec::new();
    for pipeline in &config.pipelines {
        if !reader.announced_between(&pipeline.name, UtcMs(i64::MIN), UtcMs(i64::MAX))?.is_empty() {
            found.push(pipeline.name.clone());
        }
    }
    Ok(found)
}

/// The topic and for how many epochs the chain keeps scores, when that matters and the chain answers.
fn asked(client: &Client, report: &WorkerReport, runtime: &Runtime) -> Option<(Topic, u64)> {
    let id = report.topic.filter(|_| report.tally.scores.pending > 0)?;
    let until = Deadline::of(TOPIC_MAX, elapsed_now());
    let ask = async {
        Ok::<_, crate::venues::allora::client::ClientError>((
            client.topic(id, until).await?,
            client.params(until).await?,
        ))
    };
    runtime.block_on(ask).ok().map(|(topic, params)| (topic, params.epochs_kept))
}

/// What an operator should know about scores that are not there yet.
fn to_do(report: &WorkerReport, topic: Option<&(Topic, u64)>, state: &Path) -> Option<String> {
    let oldest = report.tally.scores.oldest_pending?;
    let who = match StateDir::holder(state) {
        Some(_) => "the node asks for them by itself as long as it runs",
        None => "ask for them with --backfill",
    };
    Some(match topic {
        Some((topic, kept)) => {
            let (from, until) = (pruned_about(oldest, topic, 0), pruned_about(oldest, topic, *kept));
            format!(
                "{who}: the first is there from about block {from}, and the chain prunes it from about block {until}"
            )
        }
        None => format!("{who}; the chain did not say when they are there"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venues::allora::signing::TxHash;

    #[test]
    fn a_transaction_without_proof_is_named_with_its_page_in_the_explorer() {
        let testnet = AlloraConfig::of_network("testnet").unwrap();
        let fees = Fees { unproven: vec![TxHash::of(b"abc")], ..Fees::default() };
        let page = "https://testnet.explorer.allora.network/explorer/transactions/\
                    BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD";
        assert_eq!(pages(&testnet, &fees), [page]);
        assert_eq!(pages(&testnet, &Fees::default()), [""; 0]);
    }
}
