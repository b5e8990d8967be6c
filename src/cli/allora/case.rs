//! A test case of a transaction, as in the vectors of `tests/data/allora`: its input in, every byte that follows from it out.
//!
//! A case holds its mnemonic in clear. It is for tests.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use data_encoding::{DecodeError, HEXLOWER, HEXLOWER_PERMISSIVE};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::exit;
use crate::venues::allora::address::{Address, AddressError};
use crate::venues::allora::decimal::{Dec, DecError};
use crate::venues::allora::messages::{Any, Emissions, InsertWorkerPayloadRequest};
use crate::venues::allora::signing::{SignedTx, TxTerms, WorkerData};
use crate::venues::allora::wallet::{SecretError, Wallet};

/// The price of gas in the vectors.
const UALLO_PER_GAS: u128 = 10;

/// What is read of a case; what a vector says beyond it is its expected outcome.
#[derive(Deserialize)]
struct Case {
    kind: Kind,
    #[serde(default = "newest")]
    emissions: Emissions,
    input: Input,
}

const fn newest() -> Emissions {
    Emissions::V10
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    InsertWorkerPayload,
    Register,
}

/// A field that is not known would not be signed, so that there may be none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    mnemonic: Words,
    chain_id: String,
    topic_id: u64,
    #[serde(default)]
    nonce: i64,
    account_number: u64,
    sequence: u64,
    gas_limit: u64,
    #[serde(default)]
    fee_amount: Option<Amount>,
    #[serde(default)]
    timeout_height: u64,
    #[serde(default)]
    memo: String,
    #[serde(default)]
    value_input: Option<String>,
    #[serde(default)]
    value_kind: ValueKind,
    #[serde(default)]
    extra_data_hex: String,
    #[serde(default)]
    proof: String,
    #[serde(default)]
    forecast_elements: Vec<Element>,
}

#[derive(Deserialize, ZeroizeOnDrop)]
#[serde(transparent)]
struct Words(String);

/// An amount of uallo: a text in the vectors, because it may have more than 64 bits.
#[derive(Deserialize)]
#[serde(untagged)]
enum Amount {
    Number(u64),
    Text(String),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ValueKind {
    /// The text is read as a double first, as a model's answer is.
    F64,
    #[default]
    Decimal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    inferer: String,
    value: String,
}

/// What follows from a case, under the names of the vectors.
#[derive(Debug, Serialize)]
pub struct Signed {
    address: String,
    #[serde(flatten)]
    inner: Option<Inner>,
    msg_bytes_hex: String,
    tx_body_bytes_hex: String,
    auth_info_bytes_hex: String,
    sign_doc_bytes_hex: String,
    tx_signature_hex: String,
    tx_raw_bytes_hex: String,
    tx_hash: String,
}

/// Of a worker's payload only.
#[derive(Debug, Serialize)]
struct Inner {
    canonical_value: String,
    inner_bundle_bytes_hex: String,
    inner_signature_hex: String,
}

/// Why a case cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("the case {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Without the parser's error, which quotes what it found, and that may be the mnemonic.
    #[error("the case {} is not as in the vectors: look at line {line}, column {column}", path.display())]
    Form { path: PathBuf, line: usize, column: usize },
    #[error("the case has no value_input")]
    NoValue,
    #[error("'{0}' is no double")]
    NoDouble(String),
    #[error("a value of the case cannot be submitted")]
    Value(#[from] DecError),
    #[error("an inferer of the case has no address")]
    Inferer(#[from] AddressError),
    #[error("the case's extra_data_hex is not hexadecimal")]
    ExtraData(#[from] DecodeError),
    #[error("the case's fee_amount is no whole number")]
    Fee,
    #[error("the case's mnemonic cannot be used")]
    Wallet(#[from] SecretError),
}

impl CaseError {
    /// As of the wallet of a node.
    pub(super) const fn exit_code(&self) -> u8 {
        match self {
            Self::Wallet(_) => exit::CONFIG,
            _ => exit::FAILED,
        }
    }
}

/// Signs a case.
///
/// # Errors
/// When it cannot be read, or no transaction follows from it.
pub fn sign(path: &Path) -> Result<Signed, CaseError> {
    let text = fs::read_to_string(path).map_err(|source| CaseError::Unreadable { path: path.to_owned(), source })?;
    let text = Zeroizing::new(text);
    let case: Case = serde_json::from_str(&text).map_err(|error| CaseError::Form {
        path: path.to_owned(),
        line: error.line(),
        column: error.column(),
    })?;
    let Case { kind, emissions, input } = case;
    let wallet = Wallet::parse(&input.mnemonic.0)?;
    let terms = input.terms()?;
    let (message, inner) = match kind {
        Kind::Register => (wallet.registration(input.topic_id, emissions), None),
        Kind::InsertWorkerPayload => {
            let data = input.worker_data()?;
            let message = wallet.sign_worker_data(&data, emissions);
            let inner = Inner::of(&data.value, &message);
            (message, inner)
        }
    };
    let msg_bytes_hex = HEXLOWER.encode(&message.value);
    let SignedTx { body, auth_info, sign_doc, signature, bytes, hash } = wallet.sign_tx(message, &terms);
    Ok(Signed {
        address: wallet.address().to_string(),
        inner,
        msg_bytes_hex,
        tx_body_bytes_hex: HEXLOWER.encode(&body),
        auth_info_bytes_hex: HEXLOWER.encode(&auth_info),
        sign_doc_bytes_hex: HEXLOWER.encode(&sign_doc),
        tx_signature_hex: HEXLOWER.encode(&signature),
        tx_raw_bytes_hex: HEXLOWER.encode(&bytes),
        tx_hash: hash.to_string(),
    })
}

impl Inner {
    /// Taken from the encoded message, as the chain takes it.
    fn of(value: &Dec, message: &Any) -> Option<Self> {
        let bundle = InsertWorkerPayloadRequest::decode(&message.value[..]).ok()?.worker_data_bundle?;
        Some(Self {
            canonical_value: value.to_string(),
            inner_bundle_bytes_hex: HEXLOWER.encode(&bundle.inference_forecasts_bundle?.encode_to_vec()),
            inner_signature_hex: HEXLOWER.encode(&bundle.inferences_forecasts_bundle_signature),
        })
    }
}

impl Input {
    fn terms(&self) -> Result<TxTerms, CaseError> {
        let fee_uallo = match &self.fee_amount {
            None => u128::from(self.gas_limit) * UALLO_PER_GAS,
            Some(Amount::Number(amount)) => u128::from(*amount),
            Some(Amount::Text(text)) => text.parse().map_err(|_| CaseError::Fee)?,
        };
        Ok(TxTerms {
            chain_id: self.chain_id.clone(),
            account_number: self.account_number,
            sequence: self.sequence,
            gas_limit: self.gas_limit,
            fee_uallo,
            timeout_height: self.timeout_height,
            memo: self.memo.clone(),
        })
    }

    fn worker_data(&self) -> Result<WorkerData, CaseError> {
        let text = self.value_input.as_deref().ok_or(CaseError::NoValue)?;
        let value = match self.value_kind {
            ValueKind::Decimal => Dec::parse(text)?,
            ValueKind::F64 => Dec::of_f64(text.parse().map_err(|_| CaseError::NoDouble(text.to_owned()))?)?,
        };
        let forecast = self
            .forecast_elements
            .iter()
            .map(|Element { inferer, value }| Ok::<_, CaseError>((inferer.parse::<Address>()?, Dec::parse(value)?)));
        Ok(WorkerData {
            topic_id: self.topic_id,
            nonce: self.nonce,
            value,
            forecast: forecast.collect::<Result<_, _>>()?,
            extra_data: HEXLOWER_PERMISSIVE.decode(self.extra_data_hex.as_bytes())?,
            proof: self.proof.clone(),
        })
    }
}
