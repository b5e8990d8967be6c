//! From a forecast to the bytes that are broadcast: the worker's payload with its inner signature, and the transaction around
//! it, signed in `SIGN_MODE_DIRECT`.
//!
//! Both signatures are ECDSA over secp256k1 and SHA-256, deterministic by RFC 6979, with the lower s: the chain takes no other.
//! The transaction's hash is computed here, so that it can be written down before a byte leaves.

use std::fmt;
use std::str::FromStr;

use data_encoding::{HEXLOWER, HEXUPPER, HEXUPPER_PERMISSIVE};
use prost::Message as _;
use sha2::{Digest as _, Sha256};

use super::address::Address;
use super::decimal::Dec;
use super::messages::{
    Any, AuthInfo, Coin, Emissions, Fee, InputForecast, InputForecastElement, InputInference,
    InputInferenceForecastBundle, InputLabeledValue, InputWorkerDataBundle, InsertWorkerPayloadRequest, ModeInfo,
    Nonce, PublicKey, RegisterRequest, SIGN_MODE_DIRECT, SignDoc, SignerInfo, SingleMode, TxBody, TxRaw,
};

/// The unit in which fees are counted: 1 ALLO is 10^18 of them.
pub const DENOM: &str = "uallo";
/// The label of the only value in a topic with one output.
const LABEL: &str = "y";
const ZERO: &str = "0";

/// What a worker submits for one window of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerData {
    pub topic_id: u64,
    /// The block at whose end the window was opened.
    pub nonce: i64,
    pub value: Dec,
    /// What the worker expects of others, by the address of each.
    pub forecast: Vec<(Address, Dec)>,
    pub extra_data: Vec<u8>,
    pub proof: String,
}

impl WorkerData {
    /// A value and nothing else.
    #[must_use]
    pub const fn of_value(topic_id: u64, nonce: i64, value: Dec) -> Self {
        Self { topic_id, nonce, value, forecast: Vec::new(), extra_data: Vec::new(), proof: String::new() }
    }

    /// What the inner signature covers.
    pub(super) fn bundle(&self, worker: Address, emissions: Emissions) -> InputInferenceForecastBundle {
        let (value, values) = match emissions {
            Emissions::V9 => (self.value.to_string(), Vec::new()),
            Emissions::V10 => {
                let labeled = InputLabeledValue { label: LABEL.to_owned(), value: self.value.to_string() };
                (ZERO.to_owned(), vec![labeled])
            }
        };
        let inference = InputInference {
            topic_id: self.topic_id,
            block_height: self.nonce,
            inferer: worker.to_string(),
            value,
            extra_data: self.extra_data.clone(),
            proof: self.proof.clone(),
            values,
        };
        let element = |(inferer, value): &(Address, Dec)| InputForecastElement {
            inferer: inferer.to_string(),
            value: value.to_string(),
        };
        let forecast = (!self.forecast.is_empty()).then(|| InputForecast {
            topic_id: self.topic_id,
            block_height: self.nonce,
            forecaster: worker.to_string(),
            forecast_elements: self.forecast.iter().map(element).collect(),
            extra_data: Vec::new(),
        });
        InputInferenceForecastBundle { inference: Some(inference), forecast }
    }

    /// The message around a signed bundle.
    pub(super) fn payload(
        &self,
        signer: &Signer,
        bundle: InputInferenceForecastBundle,
        signature: [u8; 64],
        emissions: Emissions,
    ) -> Any {
        let worker = signer.address.to_string();
        let request = InsertWorkerPayloadRequest {
            sender: worker.clone(),
            worker_data_bundle: Some(InputWorkerDataBundle {
                worker,
                nonce: Some(Nonce { block_height: self.nonce }),
                topic_id: self.topic_id,
                inference_forecasts_bundle: Some(bundle),
                inferences_forecasts_bundle_signature: signature.to_vec(),
                pubkey: HEXLOWER.encode(&signer.public_key),
            }),
        };
        Any { type_url: emissions.payload_type_url(), value: request.encode_to_vec() }
    }
}

/// Who signs, as everyone may know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signer {
    pub(super) address: Address,
    /// Compressed.
    pub(super) public_key: [u8; 33],
}

impl Signer {
    /// The worker's registration in a topic, owned by itself.
    pub(super) fn registration(&self, topic_id: u64, emissions: Emissions) -> Any {
        let own = self.address.to_string();
        let request = RegisterRequest { sender: own.clone(), topic_id, owner: own, is_reputer: false };
        Any { type_url: emissions.register_type_url(), value: request.encode_to_vec() }
    }
}

/// What a transaction says besides its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxTerms {
    /// Such as `allora-testnet-1`. It is in the signature and not in the transaction.
    pub chain_id: String,
    pub account_number: u64,
    pub sequence: u64,
    pub gas_limit: u64,
    /// Spent to the last of it, whatever the gas.
    pub fee_uallo: u128,
    /// The last block that may contain the transaction; 0 for no limit.
    pub timeout_height: u64,
    pub memo: String,
}

/// A transaction without its signature.
pub(super) struct Unsigned {
    pub(super) body: Vec<u8>,
    pub(super) auth_info: Vec<u8>,
    pub(super) sign_doc: Vec<u8>,
}

impl Unsigned {
    pub(super) fn new(message: Any, terms: &TxTerms, signer: &Signer) -> Self {
        let body = TxBody { messages: vec![message], memo: terms.memo.clone(), timeout_height: terms.timeout_height };
        let key = PublicKey { key: signer.public_key.to_vec() };
        let signer_info = SignerInfo {
            public_key: Some(Any { type_url: PublicKey::TYPE_URL.to_owned(), value: key.encode_to_vec() }),
            mode_info: Some(ModeInfo { single: Some(SingleMode { mode: SIGN_MODE_DIRECT }) }),
            sequence: terms.sequence,
        };
        // A coin of nothing is no valid coin.
        let coin = || Coin { denom: DENOM.to_owned(), amount: terms.fee_uallo.to_string() };
        let fee = Fee {
            amount: if terms.fee_uallo == 0 { Vec::new() } else { vec![coin()] },
            gas_limit: terms.gas_limit,
            ..Fee::default()
        };
        let auth_info = AuthInfo { signer_infos: vec![signer_info], fee: Some(fee) };
        let (body, auth_info) = (body.encode_to_vec(), auth_info.encode_to_vec());
        let sign_doc = SignDoc {
            body_bytes: body.clone(),
            auth_info_bytes: auth_info.clone(),
            chain_id: terms.chain_id.clone(),
            account_number: terms.account_number,
        };
        Self { body, auth_info, sign_doc: sign_doc.encode_to_vec() }
    }

    /// The transaction with this signature, which is not looked at.
    pub(super) fn raw(&self, signature: &[u8]) -> Vec<u8> {
        let raw = TxRaw {
            body_bytes: self.body.clone(),
            auth_info_bytes: self.auth_info.clone(),
            signatures: vec![signature.to_vec()],
        };
        raw.encode_to_vec()
    }

    pub(super) fn signed(self, signature: [u8; 64]) -> SignedTx {
        let bytes = self.raw(&signature);
        let hash = TxHash::of(&bytes);
        SignedTx { body: self.body, auth_info: self.auth_info, sign_doc: self.sign_doc, signature, bytes, hash }
    }
}

/// A transaction that can be broadcast, any number of times: the chain takes it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedTx {
    /// The encoded [`TxBody`].
    pub body: Vec<u8>,
    /// The encoded [`AuthInfo`].
    pub auth_info: Vec<u8>,
    /// The encoded [`SignDoc`].
    pub sign_doc: Vec<u8>,
    /// r and s of the SHA-256 of the sign doc.
    pub signature: [u8; 64],
    /// The encoded [`TxRaw`].
    pub bytes: Vec<u8>,
    pub hash: TxHash,
}

/// The hash by which a chain knows a transaction: SHA-256 of its bytes, written as 64 uppercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxHash([u8; 32]);

/// A text that is no hash of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no hash of a transaction, which has 64 hexadecimal digits")]
pub struct InvalidTxHash(String);

impl TxHash {
    /// Of the transaction's bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The hash itself, as JSON-RPC asks for it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for TxHash {
    type Err = InvalidTxHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXUPPER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| InvalidTxHash(text.to_owned()))
    }
}

impl fmt::Display for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&HEXUPPER.encode(&self.0))
    }
}

impl fmt::Debug for TxHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_in_either_case_and_written_in_upper_case() {
        let hash = TxHash::of(b"");
        let text = hash.to_string();
        assert!(text.starts_with("E3B0C44298FC1C14") && text.len() == 64);
        assert_eq!((text.parse(), text.to_lowercase().parse()), (Ok(hash), Ok(hash)));
        for wrong in ["", "E3", &text[1..], &text.replace('E', "G")] {
            assert!(wrong.parse::<TxHash>().is_err());
        }
    }

    #[test]
    fn a_fee_of_nothing_has_no_coin() {
        let terms = TxTerms {
            chain_id: "c".to_owned(),
            account_number: 1,
            sequence: 0,
            gas_limit: 7,
            fee_uallo: 0,
            timeout_height: 9,
            memo: "m".to_owned(),
        };
        let signer = Signer { address: Address::of_public_key(&[2; 33]), public_key: [2; 33] };
        let unsigned = Unsigned::new(signer.registration(1, Emissions::V10), &terms, &signer);
        let fee = AuthInfo::decode(&unsigned.auth_info[..]).unwrap().fee.unwrap();
        assert_eq!((fee.amount, fee.gas_limit), (Vec::new(), 7));
        let body = TxBody::decode(&unsigned.body[..]).unwrap();
        assert_eq!((body.memo.as_str(), body.timeout_height), ("m", 9));
        let dear = TxTerms { fee_uallo: u128::MAX, ..terms };
        let unsigned = Unsigned::new(signer.registration(1, Emissions::V10), &dear, &signer);
        let fee = AuthInfo::decode(&unsigned.auth_info[..]).unwrap().fee.unwrap();
        assert_eq!(fee.amount[0].amount, u128::MAX.to_string(), "amounts have more than 64 bits");
    }
}
