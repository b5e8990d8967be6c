//! Rows on their way to the journal, in order, kept until they are durable.
//!
//! The journal's mailbox is lost with its incarnation. Whenever that changes, everything unconfirmed is sent again before
//! anything newer: rows are written in slot order or not at all, and writing one twice changes nothing. A long outage leaves
//! more rows than one transaction may have: they are sent in pieces, one after the other, so that other pipelines do not wait for all of them.

use std::collections::VecDeque;

use ractor::ActorRef;

use crate::journal::JournalMsg;
use crate::messages::PipelineMsg;
use crate::ports::JournalWrite;
use crate::supervision::{Address, Generation};

/// Rows of one write at most, and rows of one pipeline that wait at the journal before the next write follows.
const ROWS_MAX: u64 = 1000;

/// Unconfirmed rows of one Pipeline incarnation.
pub struct Outbox {
    journal: Address<JournalMsg>,
    /// Those that were sent come first.
    pending: VecDeque<PendingWrite>,
    next_number: u64,
    sent_to: Option<Generation>,
}

struct PendingWrite {
    number: u64,
    write: JournalWrite,
    is_sent: bool,
}

impl Outbox {
    #[must_use]
    pub fn new(journal: Address<JournalMsg>) -> Self {
        Self { journal, pending: VecDeque::new(), next_number: 0, sent_to: None }
    }

    /// Writes that are not durable yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending.len()
    }

    /// Whether everything is durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Adds a write and sends it, now or when those before it are durable.
    pub fn push(&mut self, write: JournalWrite, myself: &ActorRef<PipelineMsg>) {
        let number = self.number();
        self.pending.push_back(PendingWrite { number, write, is_sent: false });
        self.send(myself);
    }

    /// Sends what may be sent; everything again when the journal was replaced.
    pub fn send(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some((generation, _)) = self.journal.current() else { return };
        if self.sent_to != Some(generation) {
            self.sent_to = Some(generation);
            self.pending.iter_mut().for_each(|pending| pending.is_sent = false);
        }
        let mut index = self.pending.iter().take_while(|pending| pending.is_sent).count();
        let mut rows: u64 = self.pending.iter().take(index).map(|pending| pending.write.rows()).sum();
        while rows < ROWS_MAX && index < self.pending.len() {
            self.divide(index);
            let pending = &mut self.pending[index];
            (pending.is_sent, rows) = (true, rows + pending.write.rows());
            let (number, write) = (pending.number, pending.write.clone());
            if !self.send_one(number, write, myself) {
                self.sent_to = None; // it was replaced between two writes; start over with the new one
                return;
            }
            index += 1;
        }
    }

    /// A write is durable.
    pub fn confirm(&mut self, number: u64, myself: &ActorRef<PipelineMsg>) {
        self.pending.retain(|pending| pending.number != number);
        self.send(myself);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Splits the write at `index` if it has more rows than one piece may have.
    fn divide(&mut self, index: usize) {
        let JournalWrite::MissSlots { schedule, after, until, .. } = &mut self.pending[index].write else { return };
        if schedule.count(*after, *until) <= ROWS_MAX {
            return;
        }
        let last = *until;
        *until = schedule.nth_after(*after, ROWS_MAX);
        let end_of_piece = *until;
        let mut rest = self.pending[index].write.clone();
        if let JournalWrite::MissSlots { after, until, .. } = &mut rest {
            (*after, *until) = (end_of_piece, last);
        }
        let number = self.number();
        self.pending.insert(index + 1, PendingWrite { number, write: rest, is_sent: false });
    }

    /// Whether it went to the same incarnation as everything before it.
    fn send_one(&self, number: u64, write: JournalWrite, myself: &ActorRef<PipelineMsg>) -> bool {
        let myself = myself.clone();
        let confirm = Box::new(move || {
            let _ = myself.cast(PipelineMsg::Recorded { number });
        });
        self.journal.send(JournalMsg::Record(write, confirm)).is_ok_and(|generation| self.sent_to == Some(generation))
    }
}
