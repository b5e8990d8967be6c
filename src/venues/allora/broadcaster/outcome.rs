//! What is asked of the broadcaster, and what may come of it.

use super::super::address::Address;
use super::super::client::ClientError;
use super::super::errors::Class;
use super::super::fees::FeeError;
use super::super::outbox::OutboxError;
use super::super::signing::{TxHash, WorkerData};
use super::super::wallet_lock::WalletLockError;
use super::ATTEMPTS_MAX;

/// What is to be carried out on the chain, once.
#[derive(Debug, Clone, PartialEq)]
pub struct Request<'a> {
    /// Names the submission for ever: the same key is the same effect.
    pub key: &'a str,
    pub message: Message<'a>,
    /// The last block that may contain it. After it the submission is of no use, and its fate is certain.
    pub last_height: u64,
}

/// The message of a transaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Message<'a> {
    /// A worker's inference.
    Worker(&'a WorkerData),
    /// The worker's registration in a topic.
    Register {
        /// Which one.
        topic_id: u64,
    },
}

/// What became of a submission.
#[derive(Debug)]
pub enum Outcome {
    /// A block has it, and its message was carried out.
    Included(Receipt),
    /// A block has it, and its message failed.
    Failed {
        receipt: Receipt,
        class: Class,
        /// What the chain says.
        text: String,
    },
    /// The chain does not take it, and it has cost nothing.
    Refused {
        class: Class,
        /// What the chain says.
        text: String,
    },
    /// Nothing was sent, or what was sent can be in no block.
    NotSent(NotSent),
    /// It may be in a block, and the blocks that could tell are pruned at every endpoint. Only a person can find out, with the
    /// explorer. It is never sent again.
    Unproven {
        hash: TxHash,
        /// What is known.
        why: String,
    },
    /// It may be in a block, or get into one until `last_height`. Asking again settles it.
    Unknown {
        hash: TxHash,
        last_height: u64,
        /// What stands in the way of knowing.
        why: String,
    },
}

/// A submission in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub hash: TxHash,
    pub height: u64,
    /// What it has cost.
    pub fee_uallo: u128,
    pub gas_used: u64,
}

/// Why nothing was sent. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// There is nothing of this key.
    #[error("nothing was ever signed for this submission, so nothing of it is on the chain")]
    NeverSigned,
    /// The process ended, or time, before the bytes left.
    #[error(
        "its time was over before it left: the endpoints are slow, or another transaction of this wallet had its turn; `sentinel allora \
         status` shows how the endpoints answer"
    )]
    Late,
    /// What wanted it does so no more.
    #[error("it was not to leave any more when its turn came: its time was over, or it was withdrawn or disarmed")]
    Recalled,
    /// One of the wallet's transactions may still get into a block.
    #[error(
        "transaction {hash} of this wallet may still get into a block until {last_height}: nothing else is signed before"
    )]
    Busy {
        /// Which one.
        hash: TxHash,
        /// Its last block.
        last_height: u64,
    },
    /// The block is too late, or has come too close.
    #[error(
        "block {height} is committed, and the submission has to be in a block up to {last_height}: it would come too late"
    )]
    TooLate {
        /// The newest block.
        height: u64,
        /// The last one that would do.
        last_height: u64,
    },
    /// The block that opens the window is not committed: the transaction could be carried out in a wrong one.
    #[error("block {nonce} is the nonce, and only block {height} is committed: wait for it")]
    TooEarly {
        /// The nonce.
        nonce: i64,
        /// The newest block.
        height: u64,
    },
    /// The account is as good as empty.
    #[error("the chain does not know the account {0}, because nobody has ever sent it anything: fund it with ALLO")]
    Unfunded(Address),
    /// What was sent is in no block and never will be.
    #[error("it is in no block and never will be: {0}")]
    Never(String),
    /// Transaction after transaction was outdated before a block had it.
    #[error(
        "price or sequence changed with each of {ATTEMPTS_MAX} attempts: find out whether another program signs with this wallet"
    )]
    GivenUp,
    /// It would cost too much.
    #[error(transparent)]
    Fee(#[from] FeeError),
    /// The chain cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What is signed could not be made durable.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}

/// A broadcaster cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the wallet.
    #[error(transparent)]
    Lock(#[from] WalletLockError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
}
