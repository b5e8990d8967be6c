//! Rows on their way to the journal, in order, kept until they are durable.
//!
//! The journal's mailbox dies with it. Whenever its incarnation changes, everything unconfirmed is sent again before
//! anything newer: rows are written in slot order or not at all, and writing one twice changes nothing. A long outage leaves
//! more rows than one transaction may have: they go in pieces, one after the other, and others get their turn between them.

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
    waiting: VecDeque<Waiting>,
    next_number: u64,
    sent_to: Option<Generation>,
}

struct Waiting {
    number: u64,
    write: JournalWrite,
    is_sent: bool,
}

impl Outbox {
    #[must_use]
    pub fn new(journal: Address<JournalMsg>) -> Self {
        Self { journal, waiting: VecDeque::new(), next_number: 0, sent_to: None }
    }

    /// Writes that are not durable yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether everything is durable.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes a write and sends it, now or when those before it are durable.
    pub fn push(&mut self, write: JournalWrite, myself: &ActorRef<PipelineMsg>) {
        let number = self.number();
        self.waiting.push_back(Waiting { number, write, is_sent: false });
        self.send(myself);
    }

    /// Sends what may be sent; everything again when the journal is another one than it was sent to.
    pub fn send(&mut self, myself: &ActorRef<PipelineMsg>) {
        let Some((generation, _)) = self.journal.current() else { return };
        if self.sent_to != Some(generation) {
            self.sent_to = Some(generation);
            self.waiting.iter_mut().for_each(|waiting| waiting.is_sent = false);
        }
        let mut index = self.waiting.iter().take_while(|waiting| waiting.is_sent).count();
        let mut rows: u64 = self.waiting.iter().take(index).map(|waiting| waiting.write.rows()).sum();
        while rows < ROWS_MAX && index < self.waiting.len() {
            self.divide(index);
            let waiting = &mut self.waiting[index];
            (waiting.is_sent, rows) = (true, rows + waiting.write.rows());
            let (number, write) = (waiting.number, waiting.write.clone());
            if !self.send_one(number, write, myself) {
                self.sent_to = None; // it was replaced between two writes; start over with the new one
                return;
            }
            index += 1;
        }
    }

    /// A write is durable.
    pub fn confirm(&mut self, number: u64, myself: &ActorRef<PipelineMsg>) {
        self.waiting.retain(|waiting| waiting.number != number);
        self.send(myself);
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Leaves no more than one piece of the write at `index` there, and the rest behind it.
    fn divide(&mut self, index: usize) {
        let JournalWrite::MissSlots { schedule, after, until, .. } = &mut self.waiting[index].write else { return };
        if schedule.count(*after, *until) <= ROWS_MAX {
            return;
        }
        let last = *until;
        *until = schedule.nth_after(*after, ROWS_MAX);
        let end_of_piece = *until;
        let mut rest = self.waiting[index].write.clone();
        if let JournalWrite::MissSlots { after, until, .. } = &mut rest {
            (*after, *until) = (end_of_piece, last);
        }
        let number = self.number();
        self.waiting.insert(index + 1, Waiting { number, write: rest, is_sent: false });
    }

    /// Whether it went where everything before it went.
    fn send_one(&self, number: u64, write: JournalWrite, myself: &ActorRef<PipelineMsg>) -> bool {
        let myself = myself.clone();
        let confirm = Box::new(move || {
            let _ = myself.cast(PipelineMsg::Recorded { number });
        });
        self.journal.send(JournalMsg::Record(write, confirm)).is_ok_and(|generation| self.sent_to == Some(generation))
    }
}
