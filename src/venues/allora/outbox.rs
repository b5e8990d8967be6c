//! The wallet's outbox: `allora.db` in the state directory. Every transaction is in it before its bytes leave, and stays until
//! its fate is proven, so that a process that dies anywhere offers the same bytes again and never a second transaction.
//!
//! What is read back is verified before it is acted on: the bytes against their hash, the terms by decoding them, the rest
//! against a seal.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prost::Message as _;
use rusqlite::{Connection, OpenFlags, Row, Transaction, TransactionBehavior, params};
use sentinel_actors::domain::time::UtcMs;
use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::errors::has_reached_message;
use super::messages::{AuthInfo, TxBody, TxRaw};
use super::signing::{DENOM, TxHash};

/// The outbox's file in the state directory.
pub const OUTBOX_FILE: &str = "allora.db";
/// "SNTA": identifies an outbox among SQLite files.
const APPLICATION_ID: i32 = 0x534E_5441;
const SCHEMA_VERSION: i32 = 1;
const SCHEMA: &str = include_str!("outbox/schema.sql");
/// A reader is done by then.
const BUSY: Duration = Duration::from_secs(2);
const COLUMNS: &str = "hash, key, chain_id, address, bytes, signed_at, signed_height, offered, fate, height, code, codespace, gas_used, text, seal";

/// The outbox cannot be read or written. Nothing leaves then.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// SQLite failed.
    #[error(
        "the database of signed transactions, {OUTBOX_FILE}, failed: look at the disk; nothing is sent before it works"
    )]
    Database(#[from] rusqlite::Error),
    /// The file is something else.
    #[error("{OUTBOX_FILE} is not the outbox of this version: move it away, or start the version that wrote it")]
    NotAnOutbox,
    /// A row is not as it was written.
    #[error(
        "the row of transaction {0} in {OUTBOX_FILE} was changed: nothing is sent with this wallet. Restore the file from a backup, or \
         wait until the transaction's last block is over, and move the file away"
    )]
    Damaged(String),
    /// Another transaction of this hash is there.
    #[error("transaction {0} was signed for another submission already, and is not signed twice")]
    Twice(TxHash),
    /// The thread that writes has ended.
    #[error("{OUTBOX_FILE} could not be asked: start the node again")]
    Gone,
}

/// A signed transaction and what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct SentTx {
    /// The submission that it carries out.
    pub key: String,
    pub chain_id: String,
    pub address: Address,
    pub hash: TxHash,
    pub bytes: Vec<u8>,
    /// What the bytes say.
    pub terms: SignedTerms,
    pub signed_at: UtcMs,
    /// The newest block that was known when it was signed: no earlier one has it.
    pub signed_height: u64,
    /// Whether a node may have been handed the bytes.
    pub offered: bool,
    pub fate: Fate,
}

/// What the bytes of a transaction say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedTerms {
    pub sequence: u64,
    pub gas_limit: u64,
    pub fee_uallo: u128,
    /// The last block that may contain it.
    pub timeout_height: u64,
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It may still get into a block, or be in one.
    Open,
    /// A block has it.
    Landed(Landed),
    /// It is in no block, and never will be.
    Never(String),
    /// It may be in a block, and what could tell is gone: blocks are pruned. It can get into no other one.
    Unproven(String),
}

/// A transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    pub height: u64,
    /// 0 when its message was carried out.
    pub code: u32,
    pub codespace: String,
    pub gas_used: u64,
    /// What the chain says about a code that is not 0.
    pub text: String,
}

impl Landed {
    /// Whether the chain took the fee and the sequence. What fails before the message runs costs nothing.
    #[must_use]
    pub fn has_paid(&self) -> bool {
        has_reached_message(&self.codespace, self.code, &self.text)
    }
}

impl SentTx {
    /// The type of its only message, which names the version of the chain that it was signed for.
    #[must_use]
    pub fn message_type(&self) -> Option<String> {
        let body = TxBody::decode(&*TxRaw::decode(&*self.bytes).ok()?.body_bytes).ok()?;
        body.messages.into_iter().next().map(|message| message.type_url)
    }
}

impl SignedTerms {
    /// Read from a transaction. `None` when the bytes are none with one signer and one fee.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let raw = TxRaw::decode(bytes).ok()?;
        let body = TxBody::decode(&*raw.body_bytes).ok()?;
        let auth = AuthInfo::decode(&*raw.auth_info_bytes).ok()?;
        let ([signer], Some(fee)) = (&*auth.signer_infos, auth.fee) else { return None };
        let [coin] = &*fee.amount else { return None };
        (coin.denom == DENOM).then_some(())?;
        Some(Self {
            sequence: signer.sequence,
            gas_limit: fee.gas_limit,
            fee_uallo: coin.amount.parse().ok()?,
            timeout_height: body.timeout_height,
        })
    }
}

/// The open outbox of one wallet on one chain. Its calls wait for the disk, on a thread that may.
#[derive(Clone)]
pub struct Outbox {
    connection: Arc<Mutex<Connection>>,
    address: Address,
    chain_id: String,
}

impl Outbox {
    /// Opens the outbox, or begins one. What other wallets, or this one on another chain, have in the file is not seen.
    ///
    /// # Errors
    /// When the file cannot be used, or is something else.
    pub fn open(path: &Path, address: Address, chain_id: &str) -> Result<Self, OutboxError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY)?;
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let versions = (number("application_id")?, number("user_version")?);
        let is_empty = || connection.query_row("SELECT count(*) = 0 FROM sqlite_master", [], |row| row.get(0));
        if versions != (APPLICATION_ID, SCHEMA_VERSION) && !(versions == (0, 0) && is_empty()?) {
            return Err(OutboxError::NotAnOutbox);
        }
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        for (pragma, value) in [("synchronous", "FULL"), ("trusted_schema", "OFF"), ("cache_size", "-128")] {
            connection.pragma_update(None, pragma, value)?;
        }
        if versions == (0, 0) {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            transaction.commit()?;
        }
        Ok(Self { connection: Arc::new(Mutex::new(connection)), address, chain_id: chain_id.to_owned() })
    }

    /// Writes a signed transaction. It is durable when this returns. One that is in no block may be signed again, byte for byte.
    ///
    /// # Errors
    /// When it could not be made durable: then its bytes must not leave.
    pub async fn add(&self, sent: &SentTx) -> Result<(), OutboxError> {
        let sent = sent.clone();
        self.with(move |connection| {
            match select(connection, "hash = ?1", params![sent.hash.to_string()])?.pop().map(|known| known.fate) {
                None => {}
                Some(Fate::Never(_)) => {
                    connection.execute("DELETE FROM transactions WHERE hash = ?1", [sent.hash.to_string()])?;
                }
                Some(Fate::Open | Fate::Landed(_) | Fate::Unproven(_)) => return Err(OutboxError::Twice(sent.hash)),
            }
            insert(connection, &sent)
        })
        .await
    }

    /// Notes that a node may be handed the bytes from now on.
    ///
    /// # Errors
    /// When it could not be made durable: then the bytes must not leave.
    pub async fn offer(&self, hash: TxHash) -> Result<(), OutboxError> {
        self.with(move |connection| {
            let sent = one(connection, hash)?;
            update(connection, &SentTx { offered: true, ..sent })
        })
        .await
    }

    /// Notes a proven fate. One that is proven stays.
    ///
    /// # Errors
    /// When it could not be made durable.
    pub async fn end(&self, hash: TxHash, fate: Fate) -> Result<(), OutboxError> {
        self.with(move |connection| {
            let sent = one(connection, hash)?;
            if sent.fate != Fate::Open {
                return Ok(());
            }
            if let Fate::Landed(landed) = &fate
                && landed.has_paid()
            {
                end_others_of_sequence(connection, &sent)?;
            }
            update(connection, &SentTx { fate, ..sent })
        })
        .await
    }

    /// The transactions of a submission, oldest first.
    ///
    /// # Errors
    /// When they cannot be read, or one was changed.
    pub async fn of_key(&self, key: &str) -> Result<Vec<SentTx>, OutboxError> {
        let (address, chain_id) = self.wallet();
        let key = key.to_owned();
        let of_key = "address = ?1 AND chain_id = ?2 AND key = ?3";
        self.with(move |connection| select(connection, of_key, params![address, chain_id, key])).await
    }

    /// The transactions whose fate is not proven, oldest first.
    ///
    /// # Errors
    /// As [`Outbox::of_key`].
    pub async fn open_ones(&self) -> Result<Vec<SentTx>, OutboxError> {
        let (address, chain_id) = self.wallet();
        let open = "address = ?1 AND chain_id = ?2 AND fate = 'open'";
        self.with(move |connection| select(connection, open, params![address, chain_id])).await
    }

    fn wallet(&self) -> (String, String) {
        (self.address.to_string(), self.chain_id.clone())
    }

    /// What the transactions that were signed from `since` on have cost, or may still cost, in uallo. An open one with the
    /// sequence `next` is left out: it and the next one will not both be in a block. Each is taken to have cost `besides` too, what
    /// a topic takes for a forecast now, although one that failed has not.
    ///
    /// # Errors
    /// As [`Outbox::of_key`].
    pub async fn spent(&self, next: u64, since: UtcMs, besides: u128) -> Result<u128, OutboxError> {
        let (address, chain_id) = self.wallet();
        let signed = "address = ?1 AND chain_id = ?2 AND signed_at >= ?3";
        let sent = self.with(move |connection| select(connection, signed, params![address, chain_id, since.0]));
        let mut spent: BTreeMap<u64, u128> = BTreeMap::new();
        for sent in sent.await? {
            let may_cost = match &sent.fate {
                Fate::Open => sent.terms.sequence != next,
                Fate::Unproven(_) => true,
                Fate::Landed(landed) => landed.has_paid(),
                Fate::Never(_) => false,
            };
            if may_cost {
                // Of several with one sequence, one can be in a block.
                let of_sequence = spent.entry(sent.terms.sequence).or_default();
                *of_sequence = sent.terms.fee_uallo.saturating_add(besides).max(*of_sequence);
            }
        }
        Ok(spent.values().fold(0, |sum, fee| sum.saturating_add(*fee)))
    }

    /// Runs one transaction of the database on a thread that may wait for the disk. It runs to its end even if the caller gives up.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, OutboxError> + Send + 'static,
    ) -> Result<T, OutboxError> {
        let shared = self.connection.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut connection = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        });
        done.await.unwrap_or(Err(OutboxError::Gone))
    }
}

/// Every transaction in an outbox, of all wallets, oldest first; none when there is no such file. It only reads, beside the node
/// that writes.
///
/// # Errors
/// When the file cannot be read, is something else, or a row was changed.
pub fn read_all(path: &Path) -> Result<Vec<SentTx>, OutboxError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY)?;
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if (number("application_id")?, number("user_version")?) != (APPLICATION_ID, SCHEMA_VERSION) {
        return Err(OutboxError::NotAnOutbox);
    }
    select(&connection, "1 = 1", [])
}

fn insert(connection: &Connection, sent: &SentTx) -> Result<(), OutboxError> {
    connection
        .prepare_cached(
            "INSERT INTO transactions (hash, key, chain_id, address, bytes, signed_at, signed_height, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, x'')",
        )?
        .execute(params![
            sent.hash.to_string(),
            sent.key,
            sent.chain_id,
            sent.address.to_string(),
            sent.bytes,
            sent.signed_at.0,
            stored(sent.signed_height),
        ])?;
    update(connection, sent)
}

/// Writes what changes, and the seal over all.
fn update(connection: &Connection, sent: &SentTx) -> Result<(), OutboxError> {
    let (fate, landed, text) = match &sent.fate {
        Fate::Open => ("open", None, None),
        Fate::Landed(landed) => ("landed", Some(landed), Some(&landed.text)),
        Fate::Never(why) => ("never", None, Some(why)),
        Fate::Unproven(why) => ("unproven", None, Some(why)),
    };
    connection
        .prepare_cached(
            "UPDATE transactions SET offered = ?2, fate = ?3, height = ?4, code = ?5, codespace = ?6, gas_used = ?7, text = ?8,
                 seal = ?9
             WHERE hash = ?1",
        )?
        .execute(params![
            sent.hash.to_string(),
            sent.offered,
            fate,
            landed.map(|landed| stored(landed.height)),
            landed.map(|landed| landed.code),
            landed.map(|landed| landed.codespace.as_str()),
            landed.map(|landed| stored(landed.gas_used)),
            text,
            seal(sent),
        ])?;
    Ok(())
}

fn one(connection: &Connection, hash: TxHash) -> Result<SentTx, OutboxError> {
    let found = select(connection, "hash = ?1", params![hash.to_string()])?;
    found.into_iter().next().ok_or_else(|| OutboxError::Damaged(hash.to_string()))
}

/// A chain takes one transaction of a sequence.
fn end_others_of_sequence(connection: &Connection, landed: &SentTx) -> Result<(), OutboxError> {
    let open = "address = ?1 AND chain_id = ?2 AND fate = 'open' AND hash <> ?3";
    let others =
        select(connection, open, params![landed.address.to_string(), landed.chain_id, landed.hash.to_string()])?;
    for other in others.into_iter().filter(|other| other.terms.sequence == landed.terms.sequence) {
        let fate = Fate::Never(format!("a block has {} with the same sequence", landed.hash));
        update(connection, &SentTx { fate, ..other })?;
    }
    Ok(())
}

fn select(connection: &Connection, condition: &str, params: impl rusqlite::Params) -> Result<Vec<SentTx>, OutboxError> {
    let sql = format!("SELECT {COLUMNS} FROM transactions WHERE {condition} ORDER BY number");
    let mut query = connection.prepare_cached(&sql)?;
    let mut rows = query.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(verified(row)?);
    }
    Ok(found)
}

/// A row, if it is as it was written.
fn verified(row: &Row<'_>) -> Result<SentTx, OutboxError> {
    let hash: String = row.get(0)?;
    let sealed: Vec<u8> = row.get(14)?;
    read(row)?.filter(|sent| sent.hash.to_string() == hash && seal(sent) == sealed).ok_or(OutboxError::Damaged(hash))
}

fn read(row: &Row<'_>) -> Result<Option<SentTx>, OutboxError> {
    let bytes: Vec<u8> = row.get(4)?;
    let (address, fate): (String, String) = (row.get(3)?, row.get(8)?);
    let text: Option<String> = row.get(13)?;
    let fate = match fate.as_str() {
        "open" => Fate::Open,
        "never" => Fate::Never(text.unwrap_or_default()),
        "unproven" => Fate::Unproven(text.unwrap_or_default()),
        _ => Fate::Landed(Landed {
            height: number(row, 9)?,
            code: row.get(10)?,
            codespace: row.get(11)?,
            gas_used: number(row, 12)?,
            text: text.unwrap_or_default(),
        }),
    };
    let (Ok(address), Some(terms)) = (address.parse(), SignedTerms::of(&bytes)) else { return Ok(None) };
    Ok(Some(SentTx {
        key: row.get(1)?,
        chain_id: row.get(2)?,
        address,
        hash: TxHash::of(&bytes),
        bytes,
        terms,
        signed_at: UtcMs(row.get(5)?),
        signed_height: number(row, 6)?,
        offered: row.get(7)?,
        fate,
    }))
}

/// Heights and gas fit; a row where they do not has no valid seal.
fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row<'_>, index: usize) -> Result<u64, OutboxError> {
    Ok(u64::try_from(row.get::<_, i64>(index)?).unwrap_or(u64::MAX))
}

/// Each field with its length before it, so that no two rows have the same text.
fn seal(sent: &SentTx) -> Vec<u8> {
    let fate = match &sent.fate {
        Fate::Open => "open".to_owned(),
        Fate::Never(why) => format!("never {why}"),
        Fate::Unproven(why) => format!("unproven {why}"),
        Fate::Landed(Landed { height, code, codespace, gas_used, text }) => {
            format!("landed {height} {code} {gas_used} {codespace} {text}")
        }
    };
    let numbers = format!("{} {} {}", sent.signed_at.0, sent.signed_height, sent.offered);
    let mut hash = Sha256::new();
    for field in [&*sent.hash.to_string(), &sent.key, &sent.chain_id, &sent.address.to_string(), &numbers, &fate] {
        hash.update(u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().to_vec()
}
