//! The look at every row before a start: nothing is acted on that is not what was written.
//!
//! Promise kept: a node starts only on rows whose checksums fit, on intents that stand where their events lead, and on
//! events that belong to an intent. It reads in the order of the keys, past all indices, and repairs nothing.

use rusqlite::{Connection, Rows};
use sentinel_actors::domain::intent::{Intent, IntentKey, IntentState};
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;

use super::accounts;
use super::announced;
use super::halts;
use super::known::Known;
use super::queries;
use super::rows::{self, IntentStep};
use super::tables::{
    EVENTS, INTENTS, RowFault, SELECT_EVENTS, SELECT_INTENTS, SELECT_SLOTS, SELECT_STARTS, SLOTS, STARTS,
};

/// Verifies all intents and their events, and the slots: all of them, or in a large file only those that a start reads.
pub(super) fn audit(connection: &Connection, every_slot: bool) -> Result<Known, RowFault> {
    let mut known = Known::default();
    intents(connection, &mut known)?;
    if every_slot {
        slots(connection, &mut known)?;
        starts(connection)?;
    } else {
        newest_slots(connection, &mut known)?;
    }
    announced::audit(connection, &mut known)?;
    halts::audit(connection, &mut known)?;
    accounts::audit(connection, &mut known)?;
    for (pipeline, decided_bar) in queries::removed(connection, None)? {
        known.note_row(&pipeline, None, decided_bar);
    }
    Ok(known)
}

fn intents(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut events = connection.prepare(&format!("{} ORDER BY key, number", *SELECT_EVENTS))?;
    let mut history = History { rows: events.query([])?, next: None };
    history.advance()?;
    let mut statement = connection.prepare(&format!("{} ORDER BY key", *SELECT_INTENTS))?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let intent = rows::verified_intent(row)?;
        let events = history.leads_to(&intent)?;
        known.note_read(&intent, events);
    }
    match history.next {
        None => Ok(()),
        Some((key, number, _)) => Err(orphan(&key, number)),
    }
}

fn slots(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut statement = connection.prepare(&SELECT_SLOTS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        SLOTS.require_intact(row)?;
        let pipeline = row.get_ref("pipeline")?.as_str().map_err(rusqlite::Error::from)?;
        let decided = row.get::<_, Option<i64>>("decided_bar_ms")?.map(UtcMs);
        let is_withdrawn = row.get_ref("reason")?.as_str().map_err(rusqlite::Error::from)? == Reason::Withdrawn.code();
        let slot: i64 = row.get("slot_ms")?;
        known.note_row(pipeline, (!is_withdrawn).then_some(UtcMs(slot)), decided);
    }
    Ok(())
}

fn starts(connection: &Connection) -> Result<(), RowFault> {
    let mut statement = connection.prepare(&SELECT_STARTS)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        STARTS.require_intact(row)?;
    }
    Ok(())
}

fn newest_slots(connection: &Connection, known: &mut Known) -> Result<(), RowFault> {
    let mut statement = connection.prepare(queries::PIPELINES)?;
    let mut names = statement.query([])?;
    while let Some(name) = names.next()? {
        let name: String = name.get(0)?;
        for newest in [queries::newest_slot(connection, &name)?, queries::newest_decided(connection, &name)?] {
            newest.iter().for_each(|record| known.note_slot(record));
        }
    }
    Ok(())
}

/// All events in the order of their keys, read along with the intents.
struct History<'s> {
    rows: Rows<'s>,
    next: Option<(IntentKey, i64, IntentStep)>,
}

impl History<'_> {
    fn advance(&mut self) -> Result<(), RowFault> {
        self.next = match self.rows.next()? {
            None => None,
            Some(row) => {
                let (number, step) = rows::verified_step(row)?;
                Some((IntentKey::stored(row.get("key")?), number, step))
            }
        };
        Ok(())
    }

    /// Whether the events of an intent, from its plan on, lead to where it stands and to its receipt. Says how many there are.
    fn leads_to(&mut self, intent: &Intent) -> Result<i64, RowFault> {
        let wrong = |what: String| RowFault::damaged(format!("{} {}", INTENTS.name, intent.key), what);
        let (mut replayed, mut number) = (None::<Intent>, 0);
        loop {
            let step = match &self.next {
                Some((key, _, _)) if *key > intent.key => break,
                Some((key, found, step)) if *key == intent.key && *found == number => step,
                Some((key, found, _)) => return Err(orphan(key, *found)),
                None => break,
            };
            replayed = Some(match (replayed, &step.event) {
                (None, None) => {
                    let planned = intent.clone();
                    Intent {
                        state: IntentState::Planned,
                        receipt: None,
                        awaits: None,
                        grade: None,
                        listed: None,
                        venue_note: None,
                        ..planned
                    }
                }
                (Some(mut after), Some(event)) => {
                    after.take(event).map_err(|illegal| wrong(illegal.to_string()))?;
                    after
                }
                _ => return Err(wrong(format!("its event {number} cannot stand where it does"))),
            });
            self.advance()?;
            number += 1;
        }
        match replayed {
            None => Err(wrong("it has no events".to_owned())),
            Some(after) if after.state != intent.state => {
                Err(wrong(format!("it is {}, and its events add up to {}", intent.state, after.state)))
            }
            Some(after) if after.receipt != intent.receipt => {
                Err(wrong("its receipt is not the one in its events".to_owned()))
            }
            Some(after) if after.awaits != intent.awaits => {
                Err(wrong("what it awaits is not what its events leave open".to_owned()))
            }
            Some(after)
                if (after.grade, &after.listed, &after.venue_note)
                    != (intent.grade, &intent.listed, &intent.venue_note) =>
            {
                Err(wrong("its evidence is not the one in its events".to_owned()))
            }
            Some(_) => Ok(number),
        }
    }
}

fn orphan(key: &IntentKey, number: i64) -> RowFault {
    RowFault::damaged(format!("{} {key} {number}", EVENTS.name), "the intent or the event before it is missing")
}
