//! From a signed transaction to its fate: it is offered, looked for, and offered again, always the same bytes.

use std::sync::PoisonError;

use sentinel_actors::ports::{FaultPoint, MayLeave};

use super::{Broadcaster, Ended, NotSent, Outcome, Step, Turn};
use crate::http::Deadline;
use crate::venues::allora::client::ClientError;
use crate::venues::allora::endpoints::{Broadcast, EndpointsError, TxFate};
use crate::venues::allora::errors::Class;
use crate::venues::allora::health::LAG_BLOCKS_MAX;
use crate::venues::allora::outbox::{Fate, Landed, SentTx};
use crate::venues::allora::rpc::Delivered;

/// So many looks without finding it, and it is offered again: a mempool may have forgotten it.
const LOOKS_BEFORE_OFFER: usize = 4;

/// For so many blocks after a transaction's last one, blocks that cannot be had are asked for again.
const PATIENCE_BLOCKS: u64 = 100;
const UNPROVEN: &str = "its sequence was used, perhaps by itself, and no endpoint has its hash or the blocks that could have it: look \
                        for the hash in an explorer";

/// What came of offering a transaction.
pub(super) enum Offered {
    /// A node may have it.
    Perhaps,
    /// No node has it.
    Refused(Class, String),
    /// A node takes it no more, but one may have taken it before the price rose or the chain was upgraded.
    Outdated(Class),
}

impl Broadcaster {
    /// Offers a transaction until its fate is proven, or the caller gives up.
    pub(super) async fn see_through(
        &self,
        turn: &mut Turn<'_>,
        sent: &SentTx,
        until: Deadline,
        may_leave: MayLeave<'_>,
    ) -> Step<Ended> {
        let mut is_first = !sent.offered;
        if is_first && !may_leave() {
            return Err(NotSent::Recalled.into());
        }
        loop {
            match self.offer(sent, is_first, until).await? {
                Offered::Perhaps => {}
                Offered::Refused(class, text) => return Ok(Ended::Refused(class, text)),
                Offered::Outdated(class) => return Ok(Ended::Outdated(class)),
            }
            is_first = false;
            for _ in 0..LOOKS_BEFORE_OFFER {
                tokio::time::sleep(self.pace.look).await;
                match self.find(turn, sent, until).await {
                    Ok(Fate::Open) => {}
                    Ok(Fate::Landed(landed)) => return Ok(Ended::Landed(landed)),
                    Ok(Fate::Never(why)) => return Ok(Ended::Never(why)),
                    Ok(Fate::Unproven(_)) => return Ok(Ended::Unproven),
                    Err(outcome) if is_network(&outcome) => {}
                    Err(outcome) => return Err(outcome),
                }
            }
        }
    }

    /// Only the answer to the first offer is a proof: later ones may come because an earlier one was taken.
    pub(super) async fn offer(&self, sent: &SentTx, is_first: bool, until: Deadline) -> Step<Offered> {
        if is_first {
            let marking = |hash| *self.marking.lock().unwrap_or_else(PoisonError::into_inner) = hash;
            marking(Some(sent.hash));
            let marked = self.outbox.offer(sent.hash).await;
            marking(None);
            marked?;
        }
        self.fault(FaultPoint::BeforeBroadcast).await;
        let answer = self.client.endpoints().broadcast(&sent.bytes, until).await;
        self.fault(FaultPoint::AfterBroadcast).await;
        let unsent = match answer {
            Ok(Broadcast::Answered { answer, class, .. }) => {
                return self.judge(sent, is_first, class, answer.log).await;
            }
            Ok(Broadcast::ReplyLost { .. }) => return Ok(Offered::Perhaps),
            Ok(Broadcast::NotSent(endpoints)) => EndpointsError::NoneAnswered { endpoints }.into(),
            Err(error) => ClientError::from(error),
        };
        if !is_first {
            return Ok(Offered::Perhaps);
        }
        self.end(sent, Fate::Never("it has reached no node".to_owned())).await?;
        Err(unsent.into())
    }

    async fn judge(&self, sent: &SentTx, is_first: bool, class: Class, text: String) -> Step<Offered> {
        match class {
            Class::Success | Class::InMempool | Class::MempoolFull => Ok(Offered::Perhaps),
            // Behind the endpoint's address another node may have taken it right before.
            Class::Sequence { expected: Some(next) } if next == sent.terms.sequence + 1 => Ok(Offered::Perhaps),
            Class::Fee { .. } | Class::WrongVersion if !is_first => Ok(Offered::Outdated(class)),
            _ if !is_first => Ok(Offered::Perhaps),
            class => {
                self.end(sent, Fate::Never(format!("the first node refused it: {text}"))).await?;
                Ok(Offered::Refused(class, text))
            }
        }
    }

    /// Writes a proven fate, and says it.
    pub(super) async fn end(&self, sent: &SentTx, fate: Fate) -> Step<()> {
        self.outbox.end(sent.hash, fate.clone()).await?;
        let (hash, key) = (sent.hash, &*sent.key);
        match fate {
            Fate::Open => {}
            Fate::Landed(Landed { height, code, text, .. }) => tracing::info!(
                event = "allora_tx_landed",
                submission = key,
                %hash,
                height,
                code,
                fee_uallo = %sent.terms.fee_uallo,
                text,
                "a block has the transaction"
            ),
            Fate::Never(cause) => tracing::warn!(
                event = "allora_tx_never",
                submission = key,
                %hash,
                cause,
                "the transaction is in no block and never will be"
            ),
            Fate::Unproven(cause) => tracing::error!(
                event = "allora_tx_unproven",
                submission = key,
                %hash,
                cause,
                "whether a block has the transaction cannot be proven any more"
            ),
        }
        Ok(())
    }

    /// Looks for a transaction and notes its fate once it is proven: by its hash, else by the account's sequence and by the blocks
    /// that may have it.
    pub(super) async fn find(&self, turn: &mut Turn<'_>, sent: &SentTx, until: Deadline) -> Step<Fate> {
        let fate = match self.client.endpoints().tx(sent.hash, until).await.map_err(ClientError::from)? {
            TxFate::Found { transaction, .. } => Fate::Landed(landed(transaction)),
            TxFate::NotFound { .. } => self.judge_absence(turn, sent, until).await?,
        };
        if fate != Fate::Open {
            self.end(sent, fate.clone()).await?;
            turn.searched.remove(&sent.hash);
            self.fault(FaultPoint::AfterFate).await;
        }
        Ok(fate)
    }

    /// A transaction that is not found may be in a mempool, or in a block that an index does not have yet. It can be in no block when
    /// its last one is committed, or its sequence is used, and none of the blocks has it.
    async fn judge_absence(&self, turn: &mut Turn<'_>, sent: &SentTx, until: Deadline) -> Step<Fate> {
        let account = self.account(until).await?;
        let last = sent.terms.timeout_height;
        let is_used = account.sequence > sent.terms.sequence;
        if !is_used && account.height <= last {
            return Ok(Fate::Open);
        }
        let absent = if is_used {
            "another transaction took its sequence".to_owned()
        } else {
            format!("block {last} was its last one, and it is in none")
        };
        match self.search(turn, sent, account.height.min(last), until).await {
            Ok(Some(delivered)) => Ok(Fate::Landed(landed(delivered))),
            Ok(None) => Ok(Fate::Never(absent)),
            // Blocks may be pruned; without an end the wallet would wait for ever.
            Err(error) if account.height <= last.saturating_add(PATIENCE_BLOCKS) => Err(error),
            Err(_) if is_used => Ok(Fate::Unproven(UNPROVEN.to_owned())),
            Err(_) => Ok(Fate::Never(absent)),
        }
    }

    /// Looks into each block that may have it, up to `last`. A search that time interrupts goes on where it was.
    async fn search(&self, turn: &mut Turn<'_>, sent: &SentTx, last: u64, until: Deadline) -> Step<Option<Delivered>> {
        // The height that was known when it was signed may have been that of a node that boasts.
        let first = sent.signed_height.saturating_sub(LAG_BLOCKS_MAX);
        let searched = turn.searched.entry(sent.hash).or_insert(first);
        while *searched < last {
            let next = *searched + 1;
            let found = self.client.endpoints().tx_in_blocks(sent.hash, next..=next, until).await;
            if let Some(delivered) = found.map_err(ClientError::from)? {
                return Ok(Some(delivered));
            }
            *searched = next;
        }
        Ok(None)
    }
}

fn landed(transaction: Delivered) -> Landed {
    let Delivered { height, code, codespace, log, gas_used, .. } = transaction;
    Landed { height, code, codespace, gas_used, text: log }
}

/// Whether asking again may help.
fn is_network(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent(NotSent::Client(_)))
}
