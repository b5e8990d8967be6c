//! `sentinel why`: the chain from due time to receipt of one slot, in the sentences of [`crate::operator::why`], and what became
//! known of its bar afterwards.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::Args;
use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::time::UtcMs;

use super::{StateFlag, exit};
use crate::exit::ExitError;
use crate::journal::{JournalError, JournalReader};
use crate::operator::why::{self, Story};
use crate::sources::cache::{BARS_FILE, BarCache, Review};

/// Slots that are named on either side of a time that has none.
const NEIGHBOURS: u32 = 3;

/// Explains one slot.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Due time of the slot, open time of the bar that it decided, or time of an operator's order, like 2017-06-01T13:00:00Z.
    pub time: UtcMs,
    /// Whose journal.
    #[command(flatten)]
    pub state: StateFlag,
}

/// Why a slot could not be explained.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    #[error("the journal cannot be read")]
    Journal(#[from] JournalError),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    #[error("no slot of '{pipeline}' was due at {time}, and none decided a bar that opened then{hint}")]
    NoSlot {
        pipeline: String,
        /// What was asked for.
        time: UtcMs,
        hint: String,
    },
}

impl ExitError for WhyError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Journal(error) => error.exit_code(),
            Self::Output(_) => exit::IO,
            Self::NoSlot { .. } => exit::FAILED,
        }
    }

    fn advice(&self) -> Option<String> {
        match self {
            Self::Journal(error) => error.advice(),
            _ => None,
        }
    }
}

/// Runs the command on the journal in `state`.
///
/// # Errors
/// When there is no such slot, the journal cannot be read, or the output not be written.
pub fn run(args: &WhyArgs, state: &Path, out: &mut dyn Write) -> Result<(), WhyError> {
    let reader = JournalReader::open(state)?;
    let commands = why::command(&reader, &args.pipeline, args.time)?;
    let Some(story) = Story::of(&reader, &args.pipeline, args.time)? else {
        if let Some(text) = commands {
            return Ok(out.write_all(text.as_bytes())?);
        }
        let hint = hint(&reader, args)?;
        return Err(WhyError::NoSlot { pipeline: args.pipeline.clone(), time: args.time, hint });
    };
    let mut text = format!("{}\n{}", story.headline, story.course);
    for effect in &story.effects {
        let _ = write!(text, "\n{effect}");
    }
    revised(&story.record, state, &mut text);
    if !story.durations.is_empty() {
        let _ = write!(text, "\n{}", story.durations);
    }
    if let Some(commands) = commands {
        let _ = write!(text, "\n{commands}");
    }
    Ok(out.write_all(text.as_bytes())?)
}

fn hint(reader: &JournalReader, args: &WhyArgs) -> Result<String, JournalError> {
    let pipelines = reader.pipelines()?;
    if !pipelines.contains(&args.pipeline) {
        return Ok(if pipelines.is_empty() {
            "; the journal holds no slots yet".to_owned()
        } else {
            format!("; the journal knows the pipelines: {}", pipelines.join(", "))
        });
    }
    let removed = reader.removed(&args.pipeline)?.filter(|removed| args.time <= removed.until);
    let removed = removed.map(|removed| format!("; retention has removed the rows up to {}", removed.until));
    let mut text = format!("{}; the slots nearby are:", removed.unwrap_or_default());
    for (slot, reason) in reader.slots_near(&args.pipeline, args.time, NEIGHBOURS)? {
        let _ = write!(text, "\n  {slot}  {} ({reason})", reason.outcome());
    }
    Ok(text)
}

/// What became of the decided bar afterwards. A cache that is not there or cannot be read knows nothing.
fn revised(record: &SlotRecord, state: &Path, text: &mut String) {
    let Some(bar) = record.decided_bar else { return };
    let reviews = BarCache::read_only(&state.join(BARS_FILE)).and_then(|cache| cache.reviews(&record.pipeline, bar));
    for Review { seen, was_close, is_close, differs, would_be, .. } in reviews.unwrap_or_default() {
        let _ = writeln!(
            text,
            "The vendor changed this bar later: its close was {was_close} and is {is_close}, seen at {seen}."
        );
        let _ = match differs {
            Some(true) => writeln!(text, "With it the decision would have been another one: {would_be}."),
            Some(false) => writeln!(text, "With it the decision would have been the same: {would_be}."),
            None => writeln!(text, "What the decision would have been with it is not known: {would_be}."),
        };
    }
}
