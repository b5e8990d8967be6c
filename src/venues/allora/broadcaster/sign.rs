//! From a request to a signed transaction in the outbox: sequence, gas, fee.

use std::time::Duration;

use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{FaultPoint, MayLeave};

use super::{Broadcaster, Message, NotSent, Request, Signed, Step, Turn, landed};
use crate::http::Deadline;
use crate::venues::allora::client::{ClientError, Simulation};
use crate::venues::allora::errors::Class;
use crate::venues::allora::fees::{self, FeeError, Takes};
use crate::venues::allora::messages::{Any, Emissions};
use crate::venues::allora::outbox::{Fate, SentTx, SignedTerms};
use crate::venues::allora::signing::TxTerms;

const DAY: Duration = Duration::from_secs(86_400);
/// More than a simulation can use: the limit must not be what it fails for.
const GAS_OF_SIMULATION: u64 = 10_000_000;

impl Broadcaster {
    /// The next transaction of a submission: the first one, or one with more gas or a higher fee than the last. `required_uallo`
    /// is what a node has asked for meanwhile.
    pub(super) async fn sign_next(
        &self,
        _: &Turn<'_>,
        request: &Request<'_>,
        required_uallo: Option<u128>,
        (until, may_leave): (Deadline, MayLeave<'_>),
    ) -> Step<Signed> {
        let height = self.client.endpoints().latest(until).await.map_err(ClientError::from)?.height;
        check_height(request, height)?;
        let history = self.outbox.of_key(request.key).await?;
        let open = history.iter().rfind(|sent| sent.fate == Fate::Open);
        let account = self.account(until).await?;
        if let Some(open) = open
            && account.sequence > open.terms.sequence
        {
            return Ok(Signed::Tx(Box::new(open.clone()))); // it is in a block, or never will be
        }
        let emissions = self.client.emissions(until).await?;
        let message = self.message(request.message, emissions);
        let mut terms = TxTerms {
            chain_id: self.client.endpoints().chain_id().to_owned(),
            account_number: account.number,
            sequence: open.map_or(account.sequence, |open| open.terms.sequence),
            gas_limit: GAS_OF_SIMULATION,
            fee_uallo: 1,
            timeout_height: request.last_height,
            memo: String::new(),
        };
        terms.gas_limit = match (self.gas_limit(request.message, &message, &terms, &history, until).await?, open) {
            (Ok(gas_limit), _) => gas_limit,
            // The node simulates after the open one, which it still has.
            (Err((Class::Sequence { .. }, _)), Some(open)) => open.terms.gas_limit,
            (Err((class, text)), _) => return Ok(Signed::Rejected(class, text)),
        };
        terms.fee_uallo = self.fee(request.message, &terms, required_uallo, until).await?;
        if let Some(open) = open
            && open.terms.fee_uallo >= terms.fee_uallo
            && open.message_type().as_ref() == Some(&message.type_url)
        {
            return Ok(Signed::Tx(Box::new(open.clone()))); // the price has fallen again
        }
        if !may_leave() {
            return Err(NotSent::Recalled.into());
        }
        self.fault(FaultPoint::BeforeSign).await;
        let signed = self.wallet.sign_tx(message, &terms);
        let sent = SentTx {
            key: request.key.to_owned(),
            chain_id: terms.chain_id,
            address: self.wallet.address(),
            hash: signed.hash,
            bytes: signed.bytes,
            terms: SignedTerms {
                sequence: terms.sequence,
                gas_limit: terms.gas_limit,
                fee_uallo: terms.fee_uallo,
                timeout_height: terms.timeout_height,
            },
            signed_at: self.clock.now(),
            signed_height: height,
            offered: false,
            fate: Fate::Open,
        };
        self.outbox.add(&sent).await?;
        tracing::info!(
            event = "allora_tx_signed",
            submission = request.key,
            hash = %sent.hash,
            sequence = terms.sequence,
            gas_limit = terms.gas_limit,
            fee_uallo = %terms.fee_uallo,
            last_height = terms.timeout_height,
            "signed a transaction and wrote it to the outbox; it leaves now"
        );
        self.fault(FaultPoint::AfterSign).await;
        Ok(Signed::Tx(Box::new(sent)))
    }

    fn message(&self, message: Message<'_>, emissions: Emissions) -> Any {
        match message {
            Message::Worker(data) => self.wallet.sign_worker_data(data, emissions),
            Message::Register { topic_id } => self.wallet.registration(topic_id, emissions),
        }
    }

    /// The gas limit by simulation, or what the simulation rejects the transaction with.
    async fn gas_limit(
        &self,
        kind: Message<'_>,
        message: &Any,
        terms: &TxTerms,
        history: &[SentTx],
        until: Deadline,
    ) -> Step<Result<u64, (Class, String)>> {
        let transaction = self.wallet.tx_for_simulation(message.clone(), terms);
        let used = match self.client.simulate(transaction, until).await? {
            Simulation::Gas(used) => used,
            Simulation::NotOffered => match kind {
                Message::Worker(_) => fees::GAS_OF_PAYLOAD,
                Message::Register { .. } => fees::GAS_OF_REGISTRATION,
            },
            Simulation::Rejected { class, text } => return Ok(Err((class, text))),
        };
        // What failed for want of gas is not tried with as little again.
        let failed = history.iter().filter_map(landed).filter_map(|(sent, landed)| match super::class_of(landed) {
            Class::OutOfGas { .. } => Some(sent.terms.gas_limit.max(landed.gas_used)),
            _ => None,
        });
        let limit = failed
            .map(fees::after_failure)
            .try_fold(fees::gas_limit(used)?, |most, limit| limit.map(|limit| limit.max(most)))?;
        Ok(Ok(limit))
    }

    /// The fee that the chain requires now, if it may be offered.
    async fn fee(
        &self,
        message: Message<'_>,
        terms: &TxTerms,
        required_uallo: Option<u128>,
        until: Deadline,
    ) -> Step<u128> {
        let price = self.client.gas_price(until).await?;
        let required = required_uallo.map_or(Some(0), fees::with_headroom).ok_or(FeeError::Overflow)?;
        let fee = fees::offered(terms.gas_limit, price)?.max(required);
        let balance = self.client.balance_uallo(&self.wallet.address(), until).await?;
        let day_ago = UtcMs(self.clock.now().0 - i64::try_from(DAY.as_millis()).unwrap_or(i64::MAX));
        // The fee is taken first: without the rest the message would fail, and the fee be gone.
        let params = self.client.params(until).await?;
        let takes = match message {
            Message::Worker(_) => Takes::Data(params.data_sending_fee_uallo),
            Message::Register { .. } => Takes::Registration(params.registration_fee_uallo),
        };
        // A registration counts as a forecast here: what it takes once is under a cap of its own.
        let spent = self.outbox.spent(terms.sequence, day_ago, params.data_sending_fee_uallo).await?;
        self.caps.check(fee, spent, takes, balance)?;
        Ok(fee)
    }
}

/// It lands in the next block at the earliest.
fn check_height(request: &Request<'_>, height: u64) -> Result<(), NotSent> {
    if let Message::Worker(data) = request.message
        && i64::try_from(height).unwrap_or(i64::MAX) < data.nonce
    {
        return Err(NotSent::TooEarly { nonce: data.nonce, height });
    }
    if height >= request.last_height {
        return Err(NotSent::TooLate { height, last_height: request.last_height });
    }
    Ok(())
}
