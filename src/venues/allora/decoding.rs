//! A transaction read back from its bytes, for people and for comparisons. It says what the transaction contains, and whether a
//! payload's inner signature is one that the chain would accept; not whether the transaction's own signature is right, which
//! depends on the chain id and the account number that are not in it.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use k256::ecdsa::signature::Verifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use prost::Message;
use serde::Serialize;

use super::address::Address;
use super::decimal::Dec;
use super::messages::{
    Any, AuthInfo, Emissions, Fee, InputForecastElement, InputInferenceForecastBundle, InputLabeledValue,
    InputWorkerDataBundle, InsertWorkerPayloadRequest, PublicKey, RegisterRequest, SignerInfo, TxBody, TxRaw,
};
use super::signing::TxHash;

/// What a transaction contains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decoded {
    pub tx_hash: String,
    pub messages: Vec<DecodedMessage>,
    pub memo: String,
    /// The last block that may contain it; 0 for no limit.
    pub timeout_height: u64,
    pub signers: Vec<DecodedSigner>,
    /// Such as `3000000uallo`.
    pub fee: Vec<String>,
    pub gas_limit: u64,
    pub signatures_hex: Vec<String>,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DecodedMessage {
    InsertWorkerPayload(DecodedPayload),
    Register {
        type_url: String,
        sender: String,
        topic_id: u64,
        owner: String,
        is_reputer: bool,
    },
    /// None that a worker sends.
    Other {
        type_url: String,
        value_hex: String,
    },
}

/// A worker's payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecodedPayload {
    pub type_url: String,
    pub sender: String,
    pub worker: String,
    pub topic_id: u64,
    pub nonce: i64,
    pub value: String,
    pub values: Vec<DecodedValue>,
    pub forecast: Vec<DecodedValue>,
    /// Whether the chain would accept the signature of the bundle: it is the worker's, over decimals as the chain writes them.
    pub inner_signature_is_valid: bool,
}

/// A value with its label, or with the address of the one that is expected to send it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecodedValue {
    pub of: String,
    pub value: String,
}

/// Who signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecodedSigner {
    pub address: String,
    pub public_key_hex: String,
    pub sequence: u64,
}

/// Why bytes are no transaction.
#[derive(Debug, thiserror::Error)]
pub enum DecodingError {
    #[error("its {part} is not one of a transaction")]
    Part { part: &'static str, source: prost::DecodeError },
    #[error("it contains no message")]
    NoMessage,
    #[error("its message {type_url} is not what its name says")]
    Message { type_url: String, source: prost::DecodeError },
}

/// Reads an encoded [`TxRaw`].
///
/// # Errors
/// When the bytes are none, or hold no message.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodingError> {
    let raw: TxRaw = part("envelope", bytes)?;
    let body: TxBody = part("body", &raw.body_bytes)?;
    let AuthInfo { signer_infos, fee } = part("list of signers", &raw.auth_info_bytes)?;
    if body.messages.is_empty() {
        return Err(DecodingError::NoMessage);
    }
    let Fee { amount, gas_limit, .. } = fee.unwrap_or_default();
    Ok(Decoded {
        tx_hash: TxHash::of(bytes).to_string(),
        messages: body.messages.iter().map(message).collect::<Result<_, _>>()?,
        memo: body.memo,
        timeout_height: body.timeout_height,
        signers: signer_infos.iter().map(signer).collect::<Result<_, _>>()?,
        fee: amount.iter().map(|coin| format!("{}{}", coin.amount, coin.denom)).collect(),
        gas_limit,
        signatures_hex: raw.signatures.iter().map(|signature| HEXLOWER.encode(signature)).collect(),
    })
}

fn part<M: Message + Default>(part: &'static str, bytes: &[u8]) -> Result<M, DecodingError> {
    M::decode(bytes).map_err(|source| DecodingError::Part { part, source })
}

fn message(any: &Any) -> Result<DecodedMessage, DecodingError> {
    let Any { type_url, value } = any;
    let wrong = |source| DecodingError::Message { type_url: type_url.clone(), source };
    if Emissions::ALL.iter().any(|version| version.payload_type_url() == *type_url) {
        let request = InsertWorkerPayloadRequest::decode(&value[..]).map_err(wrong)?;
        return Ok(DecodedMessage::InsertWorkerPayload(payload(type_url, request)));
    }
    if Emissions::ALL.iter().any(|version| version.register_type_url() == *type_url) {
        let RegisterRequest { sender, topic_id, owner, is_reputer } =
            RegisterRequest::decode(&value[..]).map_err(wrong)?;
        return Ok(DecodedMessage::Register { type_url: type_url.clone(), sender, topic_id, owner, is_reputer });
    }
    Ok(DecodedMessage::Other { type_url: type_url.clone(), value_hex: HEXLOWER.encode(value) })
}

fn payload(type_url: &str, request: InsertWorkerPayloadRequest) -> DecodedPayload {
    let data = request.worker_data_bundle.unwrap_or_default();
    let inner_signature_is_valid = is_inner_signature_valid(&data);
    let bundle = data.inference_forecasts_bundle.unwrap_or_default();
    let inference = bundle.inference.unwrap_or_default();
    let labeled = |InputLabeledValue { label, value }| DecodedValue { of: label, value };
    let expected = |InputForecastElement { inferer, value }| DecodedValue { of: inferer, value };
    DecodedPayload {
        type_url: type_url.to_owned(),
        sender: request.sender,
        worker: data.worker,
        topic_id: data.topic_id,
        nonce: data.nonce.map_or(0, |nonce| nonce.block_height),
        value: inference.value,
        values: inference.values.into_iter().map(labeled).collect(),
        forecast: bundle.forecast.unwrap_or_default().forecast_elements.into_iter().map(expected).collect(),
        inner_signature_is_valid,
    }
}

/// The chain encodes the bundle anew before it verifies, with every decimal in its own spelling.
fn is_inner_signature_valid(data: &InputWorkerDataBundle) -> bool {
    let Some(bundle) = &data.inference_forecasts_bundle else { return false };
    let Ok(public_key) = HEXLOWER_PERMISSIVE.decode(data.pubkey.as_bytes()) else { return false };
    let Ok(key) = VerifyingKey::from_sec1_bytes(&public_key) else { return false };
    let Ok(signature) = Signature::from_slice(&data.inferences_forecasts_bundle_signature) else { return false };
    let is_low = signature.normalize_s() == signature;
    let is_own = Address::of_public_key(&public_key).to_string() == data.worker;
    let is_canonical = decimals(bundle).all(|text| Dec::parse(text).is_ok_and(|dec| dec.as_str() == text));
    is_low && is_own && is_canonical && key.verify(&bundle.encode_to_vec(), &signature).is_ok()
}

fn decimals(bundle: &InputInferenceForecastBundle) -> impl Iterator<Item = &str> {
    let of_inference = bundle.inference.iter().flat_map(|inference| {
        std::iter::once(inference.value.as_str()).chain(inference.values.iter().map(|labeled| labeled.value.as_str()))
    });
    let of_forecast = bundle.forecast.iter().flat_map(|forecast| &forecast.forecast_elements);
    of_inference.chain(of_forecast.map(|element| element.value.as_str()))
}

fn signer(info: &SignerInfo) -> Result<DecodedSigner, DecodingError> {
    let Any { type_url, value } = info.public_key.clone().unwrap_or_default();
    let PublicKey { key } =
        if type_url == PublicKey::TYPE_URL { part("public key", &value)? } else { PublicKey::default() };
    let address = if key.is_empty() { String::new() } else { Address::of_public_key(&key).to_string() };
    Ok(DecodedSigner { address, public_key_hex: HEXLOWER.encode(&key), sequence: info.sequence })
}
