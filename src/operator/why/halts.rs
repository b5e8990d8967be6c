//! Halts: who raised them and why, what was seen, and whether they were lifted since.

use std::fmt::Write as _;

use sentinel_actors::domain::cycle::SlotRecord;
use sentinel_actors::domain::halt::{Halt, HaltId};

use crate::journal::{JournalError, JournalReader, Stored};

/// The halts that the row names. Its reason says what they kept here.
pub(super) fn named(reader: &JournalReader, record: &SlotRecord, text: &mut String) -> Result<(), JournalError> {
    let named = HaltId::named_in(&record.detail);
    if named.is_empty() {
        return Ok(());
    }
    describe(reader, |halt| named.contains(&halt.id), text)
}

/// Those that are `wanted`.
pub(super) fn describe(
    reader: &JournalReader,
    wanted: impl Fn(&Halt) -> bool,
    text: &mut String,
) -> Result<(), JournalError> {
    for Stored { record: halt, is_intact } in reader.halts()? {
        if !wanted(&halt) {
            continue;
        }
        let raised = &halt.raised;
        let _ = writeln!(
            text,
            "{} was raised at {} by {}: {} is {}: {}.",
            halt.id,
            raised.since,
            raised.who,
            raised.scope,
            raised.state,
            raised.why.trim_end_matches('.')
        );
        if !raised.evidence.is_empty() {
            let _ = writeln!(text, "  What was seen: {}.", raised.evidence.trim_end_matches('.'));
        }
        let _ = match &halt.lifted {
            None => writeln!(text, "  It stands; `sentinel resume {}` lifts it.", halt.id),
            Some(lifted) if lifted.why.is_empty() => {
                writeln!(text, "  It was lifted at {} by {}.", lifted.at, lifted.who)
            }
            Some(lifted) => writeln!(text, "  It was lifted at {} by {}: {}.", lifted.at, lifted.who, lifted.why),
        };
        if !is_intact {
            text.push_str("  DAMAGED ROW: its checksum does not fit.\n");
        }
    }
    Ok(())
}
