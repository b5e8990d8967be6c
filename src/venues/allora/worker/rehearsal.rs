//! A submission up to the broadcast: sequence, simulation, fee and caps, and the signature. Nothing leaves.

use std::sync::Arc;

use super::super::broadcaster::{Message, NotSent, Outcome, Request};
use super::super::client::{AccountState, Client, ClientError, Simulation};
use super::super::errors::Class;
use super::super::fees::{self, FeeCaps, FeeError, Takes};
use super::super::signing::TxTerms;
use super::super::wallet::Wallet;
use crate::http::Deadline;

/// More than a simulation can use: the limit must not be what it fails for.
const GAS_OF_SIMULATION: u64 = 10_000_000;

/// Rehearses the submissions of a wallet. It takes no lock and keeps no outbox: it sends nothing.
pub struct Rehearsal {
    client: Arc<Client>,
    wallet: Wallet,
    caps: FeeCaps,
}

impl Rehearsal {
    #[must_use]
    pub const fn new(client: Arc<Client>, wallet: Wallet, caps: FeeCaps) -> Self {
        Self { client, wallet, caps }
    }

    /// Does everything that the broadcaster does before bytes leave. A worker that is not registered is rehearsed as if it were: a
    /// live run registers it first.
    ///
    /// # Errors
    /// What the broadcaster would have answered.
    pub(super) async fn run(&self, request: &Request<'_>, until: Deadline) -> Result<(), Outcome> {
        let height = self.client.endpoints().latest(until).await.map_err(ClientError::from).map_err(not_sent)?.height;
        if height >= request.last_height {
            return Err(not_sent(NotSent::TooLate { height, last_height: request.last_height }));
        }
        let address = self.wallet.address();
        let account = match self.client.account(&address, until).await.map_err(not_sent)? {
            AccountState::Known(account) => account,
            AccountState::Unfunded => return Err(not_sent(NotSent::Unfunded(address))),
        };
        let emissions = self.client.emissions(until).await.map_err(not_sent)?;
        let message = match request.message {
            Message::Worker(data) => self.wallet.sign_worker_data(data, emissions),
            Message::Register { topic_id } => self.wallet.registration(topic_id, emissions),
        };
        let mut terms = TxTerms {
            chain_id: self.client.endpoints().chain_id().to_owned(),
            account_number: account.number,
            sequence: account.sequence,
            gas_limit: GAS_OF_SIMULATION,
            fee_uallo: 1,
            timeout_height: request.last_height,
            memo: String::new(),
        };
        let transaction = self.wallet.tx_for_simulation(message.clone(), &terms);
        let used = match self.client.simulate(transaction, until).await.map_err(not_sent)? {
            Simulation::Gas(used) => used,
            Simulation::NotOffered | Simulation::Rejected { class: Class::NotRegistered, .. } => fees::GAS_OF_PAYLOAD,
            Simulation::Rejected { class, text } => return Err(Outcome::Refused { class, text }),
        };
        terms.gas_limit = fees::gas_limit(used).map_err(not_sent)?;
        terms.fee_uallo = self.fee(terms.gas_limit, until).await?;
        let signed = self.wallet.sign_tx(message, &terms);
        tracing::info!(
            event = "allora_tx_rehearsed",
            submission = request.key,
            hash = %signed.hash,
            fee_uallo = %terms.fee_uallo,
            last_height = terms.timeout_height,
            "signed a transaction and sent nothing: this is a dry run"
        );
        Ok(())
    }

    async fn fee(&self, gas_limit: u64, until: Deadline) -> Result<u128, Outcome> {
        let price = self.client.gas_price(until).await.map_err(not_sent)?;
        let fee = fees::offered(gas_limit, price).map_err(not_sent)?;
        let balance = self.client.balance_uallo(&self.wallet.address(), until).await.map_err(not_sent)?;
        let params = self.client.params(until).await.map_err(not_sent)?;
        let takes = Takes::Data(params.data_sending_fee_uallo);
        let checked: Result<(), FeeError> = self.caps.check(fee, 0, takes, balance);
        checked.map_err(not_sent)?;
        Ok(fee)
    }
}

fn not_sent(error: impl Into<NotSent>) -> Outcome {
    Outcome::NotSent(error.into())
}
