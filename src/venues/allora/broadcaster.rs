//! The one place that signs and sends transactions of a wallet, one after the other.
//!
//! A transaction is durable in the [outbox](super::outbox) before its bytes leave, and nothing new is signed while an earlier one
//! of the wallet may still get into a block. An outcome that is not known is settled by the transaction's hash, then by the
//! state of the chain. What is offered again meanwhile are the identical bytes, or a dearer transaction with the same sequence, of
//! which a chain takes one. So no submission has two effects, and none pays twice because an answer was lost.
//!
//! A simulation that rejects means that nothing is sent: it would cost a fee and fail.

mod fate;
mod outcome;
mod sign;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Clock, FaultInjector, FaultPoint, MayLeave, inject_fault};
use tokio::sync::{Mutex, MutexGuard};

use super::client::{AccountState, Client, ClientError};
use super::errors::{Action, Class, Stage};
use super::fees::FeeCaps;
use super::outbox::{Fate, Landed, OUTBOX_FILE, Outbox, SentTx};
use super::queries::Account;
use super::signing::TxHash;
use super::wallet::Wallet;
use super::wallet_lock::WalletLock;
use crate::http::Deadline;

pub use self::outcome::{Message, NotSent, OpenError, Outcome, Receipt, Request};

/// Transactions of one submission at most: a price may jump, a sequence may be read too early.
const ATTEMPTS_MAX: usize = 5;
/// Those that may have failed in a block, for want of gas, and are tried once more.
const PAID_FAILURES_MAX: usize = 2;

/// How long it waits between two looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks for a transaction.
    pub look: Duration,
    /// Before the sequence is read again after a mismatch.
    pub refresh: Duration,
}

impl Pace {
    /// A block takes 5.6 to 6 seconds.
    pub const LIVE: Self = Self { look: Duration::from_secs(2), refresh: Duration::from_secs(5) };
}

/// One wallet's broadcaster.
pub struct Broadcaster {
    client: Arc<Client>,
    wallet: Wallet,
    outbox: Outbox,
    caps: FeeCaps,
    pace: Pace,
    clock: Arc<dyn Clock>,
    faults: Arc<dyn FaultInjector>,
    /// Its transactions go one after the other.
    turn: Mutex<Taken>,
    /// The transaction whose row is being marked as offered. It stays here when the caller's time is over in between: the mark may
    /// still be written.
    marking: std::sync::Mutex<Option<TxHash>>,
    _lock: WalletLock,
}

/// What a broadcaster is made of.
pub struct Parts<'a> {
    pub client: Arc<Client>,
    pub wallet: Wallet,
    /// Where the outbox is.
    pub state_dir: &'a Path,
    pub caps: FeeCaps,
    pub pace: Pace,
    pub clock: Arc<dyn Clock>,
    pub faults: Arc<dyn FaultInjector>,
}

/// A step that ends the submission.
type Step<T> = Result<T, Box<Outcome>>;

impl<E: Into<NotSent>> From<E> for Box<Outcome> {
    fn from(error: E) -> Self {
        Self::new(Outcome::NotSent(error.into()))
    }
}

impl Broadcaster {
    /// The broadcaster of a wallet, of which a machine has one.
    ///
    /// # Errors
    /// When another process has the wallet, or the outbox cannot be used.
    pub fn open(parts: Parts<'_>) -> Result<Self, OpenError> {
        let Parts { client, wallet, state_dir, caps, pace, clock, faults } = parts;
        let lock = WalletLock::take(&wallet.address(), client.endpoints().chain_id())?;
        let outbox = Outbox::open(&state_dir.join(OUTBOX_FILE), wallet.address(), client.endpoints().chain_id())?;
        Ok(Self {
            client,
            wallet,
            outbox,
            caps,
            pace,
            clock,
            faults,
            turn: Mutex::default(),
            marking: Default::default(),
            _lock: lock,
        })
    }

    /// Carries a submission out, unless it was before, and waits until a block has it. Calling again with the same key goes on
    /// where the last call ended, in whichever process that was.
    pub async fn submit(&self, request: &Request<'_>, until: Deadline) -> Outcome {
        self.submit_while(request, until, &|| true).await
    }

    /// The same, and asks `may_leave` right before anything is signed or leaves for the first time. What has left is seen through.
    pub async fn submit_while(&self, request: &Request<'_>, until: Deadline, may_leave: MayLeave<'_>) -> Outcome {
        let worked = tokio::time::timeout(until.left(), async {
            let mut turn = self.turn.lock().await;
            self.carry_out(&mut turn, request, until, may_leave).await
        });
        match worked.await {
            Ok(Ok(receipt)) => Outcome::Included(receipt),
            Ok(Err(outcome)) => self.unless_open(request.key, *outcome).await,
            Err(_) => match self.half_marked(request.key).await {
                Some(unknown) => unknown,
                None => self.unless_open(request.key, Outcome::NotSent(NotSent::Late)).await,
            },
        }
    }

    /// The outcome of a submission whose time was over while its row was being marked as offered. Its bytes have not left, but a row
    /// that says otherwise would let a later call offer them: so nothing is certain before it is settled.
    async fn half_marked(&self, key: &str) -> Option<Outcome> {
        let hash = *self.marking.lock().unwrap_or_else(PoisonError::into_inner);
        let history = self.outbox.of_key(key).await.ok()?;
        let sent = history.into_iter().find(|sent| Some(sent.hash) == hash && sent.fate == Fate::Open)?;
        let why = "its time was over in the moment before it left".to_owned();
        Some(Outcome::Unknown { hash: sent.hash, last_height: sent.terms.timeout_height, why })
    }

    /// What became of a submission. Sends nothing.
    pub async fn settle(&self, key: &str, until: Deadline) -> Outcome {
        let settled = tokio::time::timeout(until.left(), async {
            let mut turn = self.turn.lock().await;
            for sent in self.outbox.of_key(key).await? {
                match sent.fate {
                    Fate::Open if sent.offered => drop(self.find(&mut turn, &sent, until).await?),
                    // The process ended before. A later call may sign it anew.
                    Fate::Open => self.end(&sent, Fate::Never("it was never offered to a node".to_owned())).await?,
                    Fate::Landed(_) | Fate::Never(_) | Fate::Unproven(_) => {}
                }
            }
            self.summary(key).await
        });
        match settled.await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(outcome)) => self.unless_open(key, *outcome).await,
            Err(_) => self.unless_open(key, Outcome::NotSent(NotSent::Late)).await,
        }
    }

    /// A failure after bytes may have left is no proof that they had no effect, and neither is the refusal of those that were to take
    /// their place.
    async fn unless_open(&self, key: &str, outcome: Outcome) -> Outcome {
        let why = match &outcome {
            Outcome::NotSent(error) => chain(error),
            Outcome::Refused { text, .. } => text.clone(),
            _ => return outcome,
        };
        match self.summary(key).await {
            Ok(Outcome::Unknown { hash, last_height, .. }) => Outcome::Unknown { hash, last_height, why },
            Ok(Outcome::NotSent(_) | Outcome::Refused { .. }) => outcome,
            Ok(known) => known,
            Err(outcome) => *outcome,
        }
    }

    /// What the outbox knows of a submission.
    async fn summary(&self, key: &str) -> Step<Outcome> {
        let history = self.outbox.of_key(key).await?;
        let landed = best_landed(&history);
        if let Some((sent, landed)) = landed.filter(|(_, landed)| landed.code == 0) {
            return Ok(outcome_of(sent, landed));
        }
        // One that failed says nothing about the one that was signed after it.
        if let Some(open) = history.iter().rfind(|sent| sent.fate == Fate::Open && sent.offered) {
            let why = "it is not known whether a block has it".to_owned();
            return Ok(Outcome::Unknown { hash: open.hash, last_height: open.terms.timeout_height, why });
        }
        let failed = landed.map(|(sent, landed)| outcome_of(sent, landed));
        Ok(unproven(&history).or(failed).unwrap_or_else(|| {
            Outcome::NotSent(match history.last().map(|sent| &sent.fate) {
                None => NotSent::NeverSigned,
                Some(Fate::Never(why)) => NotSent::Never(why.clone()),
                Some(_) => NotSent::Late,
            })
        }))
    }

    async fn carry_out(
        &self,
        turn: &mut Turn<'_>,
        request: &Request<'_>,
        until: Deadline,
        may_leave: MayLeave<'_>,
    ) -> Step<Receipt> {
        let mut next = self.take_up(turn, request, until).await?;
        let (mut required_uallo, mut refused) = (None, None);
        for _ in 0..ATTEMPTS_MAX {
            let sent = match next.take() {
                Some(sent) => sent,
                None => match self.sign_next(turn, request, required_uallo, (until, may_leave)).await? {
                    Signed::Tx(sent) => *sent,
                    Signed::Rejected(class, text) => {
                        self.answer_refusal(class, &text, until).await?;
                        refused = Some(Outcome::Refused { class, text });
                        continue;
                    }
                },
            };
            required_uallo = match self.see_through(turn, &sent, until, may_leave).await? {
                Ended::Landed(landed) if landed.code == 0 => return Ok(receipt(&sent, &landed)),
                Ended::Landed(landed) => {
                    self.tries_again(request.key, &sent, &landed).await?;
                    required(class_of(&landed))
                }
                Ended::Refused(class, text) => {
                    self.answer_refusal(class, &text, until).await?;
                    refused = Some(Outcome::Refused { class, text });
                    required(class)
                }
                // The next one has the same sequence, because this one may still land.
                Ended::Outdated(class) => {
                    if class == Class::WrongVersion {
                        self.client.probe(until).await?;
                    }
                    tokio::time::sleep(self.pace.look).await;
                    required(class)
                }
                Ended::Never(why) => self.check_height(request, until, why).await.map(|()| None)?,
                Ended::Unproven => return Err(Box::new(self.summary(request.key).await?)),
            };
        }
        Err(Box::new(refused.unwrap_or(Outcome::NotSent(NotSent::GivenUp))))
    }

    /// What an earlier call, or an earlier process, has left open: this submission's own transaction is gone on with, and that of
    /// another one has to end first.
    async fn take_up(&self, turn: &mut Turn<'_>, request: &Request<'_>, until: Deadline) -> Step<Option<SentTx>> {
        let mut mine = None;
        for sent in self.outbox.open_ones().await? {
            if !sent.offered {
                // Signed anew it has the same bytes, if it is still right to send them.
                self.end(&sent, Fate::Never("it was never offered to a node".to_owned())).await?;
                continue;
            }
            match self.find(turn, &sent, until).await? {
                Fate::Open if sent.key == request.key => mine = Some(sent),
                Fate::Open => {
                    // The sooner it lands, the sooner this one gets its turn.
                    self.offer(&sent, false, until).await?;
                    let (hash, last_height) = (sent.hash, sent.terms.timeout_height);
                    return Err(NotSent::Busy { hash, last_height }.into());
                }
                Fate::Landed(_) | Fate::Never(_) | Fate::Unproven(_) => {}
            }
        }
        let history = self.outbox.of_key(request.key).await?;
        if let Some(unproven) = unproven(&history) {
            return Err(Box::new(unproven));
        }
        match best_landed(&history) {
            Some((sent, landed)) if landed.code == 0 => Err(Box::new(outcome_of(sent, landed))),
            Some((sent, landed)) => self.tries_again(request.key, sent, landed).await.map(|()| mine),
            None => Ok(mine),
        }
    }

    /// Whether a transaction that failed in a block is followed by another one: only for want of gas, and once.
    async fn tries_again(&self, key: &str, sent: &SentTx, landed: &Landed) -> Step<()> {
        let history = self.outbox.of_key(key).await?;
        let paid = history.iter().filter_map(self::landed).filter(|(_, landed)| landed.has_paid()).count();
        let is_worth_it =
            matches!(class_of(landed), Class::OutOfGas { .. } | Class::Sequence { .. } | Class::Fee { .. });
        if is_worth_it && paid < PAID_FAILURES_MAX { Ok(()) } else { Err(Box::new(outcome_of(sent, landed))) }
    }

    /// A refusal that another transaction may not meet; any other one ends the submission.
    async fn answer_refusal(&self, class: Class, text: &str, until: Deadline) -> Step<()> {
        match class.action() {
            Action::RefreshSequence | Action::BackOff => tokio::time::sleep(self.pace.refresh).await,
            Action::ProbeVersion => {
                self.client.probe(until).await?;
            }
            Action::RaiseFee => {}
            _ => return Err(Box::new(Outcome::Refused { class, text: text.to_owned() })),
        }
        Ok(())
    }

    /// Another transaction is of use only while a block that it may be in is still to come.
    async fn check_height(&self, request: &Request<'_>, until: Deadline, why: String) -> Step<()> {
        let height = self.client.endpoints().latest(until).await.map_err(ClientError::from)?.height;
        if height < request.last_height { Ok(()) } else { Err(NotSent::Never(why).into()) }
    }

    /// The wallet's account, as it is after a committed block.
    async fn account(&self, until: Deadline) -> Step<Account> {
        match self.client.account(&self.wallet.address(), until).await? {
            AccountState::Known(account) => Ok(account),
            AccountState::Unfunded => Err(NotSent::Unfunded(self.wallet.address()).into()),
        }
    }

    async fn fault(&self, point: FaultPoint) {
        inject_fault(&*self.faults, point, "broadcaster").await;
    }
}

/// Whoever has it may sign and send.
type Turn<'t> = MutexGuard<'t, Taken>;

/// What is known beyond one call.
#[derive(Debug, Default)]
struct Taken {
    /// Up to which block each transaction was searched for.
    searched: BTreeMap<TxHash, u64>,
}

/// How a transaction ended, as far as another one may follow.
enum Ended {
    Landed(Landed),
    /// The first node that was offered it refused it, so that no node has it.
    Refused(Class, String),
    /// The price has risen above its fee, or the chain was upgraded. It may still land.
    Outdated(Class),
    Never(String),
    Unproven,
}

/// A transaction that is in the outbox now, or why there is none.
enum Signed {
    Tx(Box<SentTx>),
    /// The simulation rejects it.
    Rejected(Class, String),
}

fn landed(sent: &SentTx) -> Option<(&SentTx, &Landed)> {
    match &sent.fate {
        Fate::Landed(landed) => Some((sent, landed)),
        Fate::Open | Fate::Never(_) | Fate::Unproven(_) => None,
    }
}

/// The one that was carried out, else the last one that failed.
fn best_landed(history: &[SentTx]) -> Option<(&SentTx, &Landed)> {
    history.iter().filter_map(landed).max_by_key(|(_, landed)| landed.code == 0)
}

fn unproven(history: &[SentTx]) -> Option<Outcome> {
    history.iter().find_map(|sent| match &sent.fate {
        Fate::Unproven(why) => Some(Outcome::Unproven { hash: sent.hash, why: why.clone() }),
        _ => None,
    })
}

fn receipt(sent: &SentTx, landed: &Landed) -> Receipt {
    let fee_uallo = if landed.has_paid() { sent.terms.fee_uallo } else { 0 };
    Receipt { hash: sent.hash, height: landed.height, fee_uallo, gas_used: landed.gas_used }
}

fn outcome_of(sent: &SentTx, landed: &Landed) -> Outcome {
    let receipt = receipt(sent, landed);
    if landed.code == 0 {
        return Outcome::Included(receipt);
    }
    Outcome::Failed { receipt, class: class_of(landed), text: landed.text.clone() }
}

fn class_of(landed: &Landed) -> Class {
    Class::of(Stage::Deliver, &landed.codespace, landed.code, &landed.text)
}

const fn required(class: Class) -> Option<u128> {
    match class {
        Class::Fee { required_uallo } => required_uallo,
        _ => None,
    }
}
