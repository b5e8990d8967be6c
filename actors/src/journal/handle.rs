//! The client side of the Journal: calls with a deadline, made again when the Journal was replaced meanwhile. A backtest has no
//! Journal, and asks its store itself.

use std::sync::Arc;
use std::time::Duration;

use ractor::RpcReplyPort;
use tokio::time::Instant;

use super::JournalMsg;
use crate::domain::account_risk::AccountRecord;
use crate::domain::announced::Announcement;
use crate::domain::halt::{Halt, HaltId, Lifted, NewHalt};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentKey, Mode};
use crate::domain::risk::Exposure;
use crate::domain::time::UtcMs;
use crate::meters::PipelineMeters;
use crate::ports::{
    AccountWrite, Announced, JournalAnswer, JournalRead, JournalStore, JournalWrite, Recovery, Written, elapsed_now,
};
use crate::supervision::{Address, CallError};

/// Longest wait for a commit; a slower disk counts as failed.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause before a replaced Journal is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(5);

/// The journal did not confirm in time. A write may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalUnavailable {
    #[error("the journal did not confirm: {0}")]
    Call(CallError),
    /// A bug: the answer does not belong to the query.
    #[error("the journal gave an answer of the wrong kind")]
    WrongAnswer,
}

/// The client side of the Journal.
#[derive(Clone)]
pub struct JournalHandle {
    to: To,
    until: Option<Instant>,
    /// Where what happens to intents is counted.
    meters: Option<Arc<PipelineMeters>>,
}

/// Who answers.
#[derive(Clone)]
enum To {
    Journal(Address<JournalMsg>),
    Store(Arc<dyn JournalStore>),
}

impl JournalHandle {
    #[must_use]
    pub const fn new(address: Address<JournalMsg>) -> Self {
        Self { to: To::Journal(address), until: None, meters: None }
    }

    /// Of a store that only this handle writes, one call after the other.
    #[must_use]
    pub fn of_store(store: Arc<dyn JournalStore>) -> Self {
        Self { to: To::Store(store), until: None, meters: None }
    }

    /// What happens to intents through this handle is counted there.
    #[must_use]
    pub fn counting(self, meters: Arc<PipelineMeters>) -> Self {
        Self { meters: Some(meters), ..self }
    }

    /// From now on every call ends by then, because the caller itself has to answer by then.
    pub const fn give_up_at(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Writes a new intent durably.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn plan(&self, intent: Intent) -> Result<Written, JournalUnavailable> {
        self.write(JournalWrite::Plan(Box::new(intent))).await
    }

    /// Applies an event to an intent durably.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn advance(&self, key: &IntentKey, event: IntentEvent, at: UtcMs) -> Result<Written, JournalUnavailable> {
        let written = self.write(JournalWrite::Advance { key: key.clone(), event: event.clone(), at }).await?;
        self.count(&event, &written);
        Ok(written)
    }

    /// Moves an intent, after all earlier writes, and does not wait. The change is lost when the Journal ends before it.
    pub fn advance_without_waiting(&self, key: &IntentKey, event: IntentEvent, at: UtcMs) {
        // Called when a write was not confirmed; a store that fails ends what it is the store of.
        let To::Journal(address) = &self.to else { return };
        let write = JournalWrite::Advance { key: key.clone(), event: event.clone(), at };
        let meters = self.meters.clone();
        let done = move || meters.iter().for_each(|meters| meters.count_event(&event));
        let _ = address.send(JournalMsg::Record(write, Box::new(done)));
    }

    /// What was refused, because it has happened before, is not counted again.
    fn count(&self, event: &IntentEvent, written: &Written) {
        if let (Some(meters), Written::Done) = (&self.meters, written) {
            meters.count_event(event);
        }
    }

    /// Writes a halt durably, or finds the one of the same request.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn halt(&self, new: NewHalt) -> Result<Halt, JournalUnavailable> {
        match self.write(JournalWrite::Raise(Box::new(new))).await? {
            Written::Halt(halt) => Ok(*halt),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Lifts a halt durably. `None`: there is no such halt.
    ///
    /// # Errors
    /// When it was not confirmed; it may be lifted.
    pub async fn lift(&self, id: HaltId, lifted: Lifted) -> Result<Option<Halt>, JournalUnavailable> {
        match self.write(JournalWrite::Lift { id, lifted }).await? {
            Written::Halt(halt) => Ok(Some(*halt)),
            Written::Refused(_) => Ok(None),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Applies an event to an intent, and raises a halt because of it, in one transaction.
    ///
    /// # Errors
    /// When it was not confirmed; both may be written.
    pub async fn advance_and_halt(
        &self,
        key: &IntentKey,
        event: IntentEvent,
        at: UtcMs,
        new: NewHalt,
    ) -> Result<(Written, Halt), JournalUnavailable> {
        let advance = JournalWrite::Advance { key: key.clone(), event: event.clone(), at };
        match <[Written; 2]>::try_from(self.write_all(vec![advance, JournalWrite::Raise(Box::new(new))]).await?) {
            Ok([written, Written::Halt(halt)]) => {
                self.count(&event, &written);
                Ok((written, *halt))
            }
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// What losses of an account are counted from, and how far its orders have got.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn account(&self, account: &str, mode: Mode) -> Result<AccountRecord, JournalUnavailable> {
        match self.read(JournalRead::Account { account: account.to_owned(), mode }).await? {
            JournalAnswer::Account(record) => Ok(*record),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Writes what losses of an account are counted from, durably, and the halt that comes with it.
    ///
    /// # Errors
    /// When it was not confirmed; it may be written.
    pub async fn keep_account(&self, write: AccountWrite) -> Result<Written, JournalUnavailable> {
        self.write(JournalWrite::Account(Box::new(write))).await
    }

    /// Writes in order, in one transaction.
    ///
    /// # Errors
    /// When it was not confirmed; all of it may be written.
    pub async fn write_all(&self, writes: Vec<JournalWrite>) -> Result<Vec<Written>, JournalUnavailable> {
        match &self.to {
            To::Journal(address) => self.ask(address, |reply| JournalMsg::Write(writes.clone(), reply)).await,
            To::Store(store) => store.commit(writes).await.map_err(|_| JournalUnavailable::Call(CallError::Ended)),
        }
    }

    async fn write(&self, write: JournalWrite) -> Result<Written, JournalUnavailable> {
        let written = self.write_all(vec![write]).await?;
        written.into_iter().next().ok_or(JournalUnavailable::WrongAnswer)
    }

    /// Calls the Journal, and calls again when it was replaced meanwhile. Every write is safe to repeat: a plan finds the same
    /// intent, a transition finds that it was made.
    async fn ask<R: Send + 'static>(
        &self,
        address: &Address<JournalMsg>,
        make: impl Fn(RpcReplyPort<R>) -> JournalMsg,
    ) -> Result<R, JournalUnavailable> {
        let give_up = elapsed_now() + REPLY_TIMEOUT;
        let give_up = self.until.map_or(give_up, |until| until.min(give_up));
        loop {
            let left = give_up.saturating_duration_since(elapsed_now());
            match address.call(&make, left).await {
                Ok(answer) => return Ok(answer),
                Err(CallError::NotRunning | CallError::Ended) if left > RETRY_PAUSE => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(JournalUnavailable::Call(error)),
            }
        }
    }

    /// What a pipeline has to know at its start.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn recovery(&self, pipeline: &str) -> Result<Recovery, JournalUnavailable> {
        match self.read(JournalRead::Recovery { pipeline: pipeline.to_owned() }).await? {
            JournalAnswer::Recovery(recovery) => Ok(recovery),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Makes announcements durable.
    ///
    /// # Errors
    /// When it was not confirmed; they may be written.
    pub async fn announce(
        &self,
        pipeline: &str,
        announced: Vec<Announcement>,
        at: UtcMs,
    ) -> Result<(), JournalUnavailable> {
        self.write(JournalWrite::Announce { pipeline: pipeline.to_owned(), announced, at }).await.map(|_| ())
    }

    /// Announced slots of a pipeline.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn announced(&self, pipeline: &str) -> Result<Announced, JournalUnavailable> {
        match self.read(JournalRead::Announced { pipeline: pipeline.to_owned() }).await? {
            JournalAnswer::Announced(announced) => Ok(announced),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// The ids of the newest announced slots, at most `limit`, oldest first.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn announced_ids(&self, pipeline: &str, limit: u32) -> Result<Vec<String>, JournalUnavailable> {
        match self.read(JournalRead::AnnouncedIds { pipeline: pipeline.to_owned(), limit }).await? {
            JournalAnswer::Ids(ids) => Ok(ids),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Confirmed forecasts about which their ledger has more to say, at most `limit`; those that await only their
    /// score come last.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn awaiting_intents(
        &self,
        pipeline: &str,
        account: &str,
        limit: u32,
    ) -> Result<Vec<Intent>, JournalUnavailable> {
        let (pipeline, account) = (pipeline.to_owned(), account.to_owned());
        self.intents(JournalRead::AwaitingIntents { pipeline, account, limit }).await
    }

    /// Open intents and recent orders of an account and symbol.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn exposure(
        &self,
        account: &str,
        symbol: &str,
        mode: Mode,
        now: UtcMs,
    ) -> Result<Exposure, JournalUnavailable> {
        let query = JournalRead::Exposure { account: account.to_owned(), symbol: symbol.to_owned(), mode, now };
        match self.read(query).await? {
            JournalAnswer::Exposure(exposure) => Ok(exposure),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    /// Intents of a pipeline that are not final, oldest first.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn open_intents(&self, pipeline: &str) -> Result<Vec<Intent>, JournalUnavailable> {
        self.intents(JournalRead::OpenIntents { pipeline: pipeline.to_owned() }).await
    }

    /// Confirmed orders of an account and symbol, oldest first.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn acked_intents(
        &self,
        account: &str,
        symbol: &str,
        mode: Mode,
    ) -> Result<Vec<Intent>, JournalUnavailable> {
        let (account, symbol) = (account.to_owned(), symbol.to_owned());
        self.intents(JournalRead::AckedIntents { account, symbol, mode }).await
    }

    /// Intents of one decision, in any state.
    ///
    /// # Errors
    /// When there was no answer.
    pub async fn existing_intents(
        &self,
        pipeline: &str,
        basis: Basis,
        slot: UtcMs,
    ) -> Result<Vec<Intent>, JournalUnavailable> {
        self.intents(JournalRead::ExistingIntents { pipeline: pipeline.to_owned(), basis, slot }).await
    }

    async fn intents(&self, query: JournalRead) -> Result<Vec<Intent>, JournalUnavailable> {
        match self.read(query).await? {
            JournalAnswer::Intents(intents) => Ok(intents),
            _ => Err(JournalUnavailable::WrongAnswer),
        }
    }

    async fn read(&self, query: JournalRead) -> Result<JournalAnswer, JournalUnavailable> {
        match &self.to {
            To::Journal(address) => self.ask(address, |reply| JournalMsg::Read(query.clone(), reply)).await,
            To::Store(store) => store.read(query).await.map_err(|_| JournalUnavailable::Call(CallError::Ended)),
        }
    }
}
