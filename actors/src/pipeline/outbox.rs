//! Rows on their way to the journal, in order, kept until they are durable.
//!
//! The journal's mailbox dies with it. Whenever its incarnation changes, everything unconfirmed is sent again before
//! anything newer: rows are written in slot order or not at all, and writing one twice changes nothing.

use std::collections::VecDeque;

use ractor::ActorRef;

use crate::journal::JournalMsg;
use crate::pipeline::PipelineMsg;
use crate::ports::JournalWrite;
use crate::supervision::{Address, Generation};

/// Unconfirmed rows of one Pipeline incarnation.
pub struct Outbox {
    journal: Address<JournalMsg>,
    rows: VecDeque<(u64, JournalWrite)>,
    next_number: u64,
    sent_to: Option<Generation>,
}

impl Outbox {
    /// An empty one.
    #[must_use]
    pub fn new(journal: Address<JournalMsg>) -> Self {
        Self { journal, rows: VecDeque::new(), next_number: 0, sent_to: None }
    }

    /// Rows that are not durable yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether every row is durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Takes a row and sends it.
    pub fn push(&mut self, row: JournalWrite, myself: &ActorRef<PipelineMsg>) {
        let number = self.next_number;
        self.next_number += 1;
        self.rows.push_back((number, row.clone()));
        match self.journal.current() {
            Some((generation, _)) if self.sent_to == Some(generation) => self.send(number, row, myself),
            _ => self.resend_if_needed(myself),
        }
    }

    /// Sends everything again when the journal is another one than it was sent to.
    pub fn resend_if_needed(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some((generation, _)) = self.journal.current() else { return };
        if self.sent_to == Some(generation) {
            return;
        }
        self.sent_to = Some(generation);
        for (number, row) in self.rows.clone() {
            self.send(number, row, myself);
        }
    }

    /// A row is durable.
    pub fn confirm(&mut self, number: u64) {
        self.rows.retain(|(waiting, _)| *waiting != number);
    }

    fn send(&mut self, number: u64, row: JournalWrite, myself: &ActorRef<PipelineMsg>) {
        let myself = myself.clone();
        let confirm = Box::new(move || {
            let _ = myself.cast(PipelineMsg::Recorded { number });
        });
        match self.journal.send(JournalMsg::Record(row, confirm)) {
            Ok(generation) if self.sent_to == Some(generation) => {}
            // It was replaced between two rows; start over with the new one.
            _ => self.sent_to = None,
        }
    }
}
