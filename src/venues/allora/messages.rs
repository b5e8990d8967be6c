//! The protobuf messages of a transaction.
//!
//! Field numbers are those of `cosmos.tx.v1beta1`, `cosmos.base.v1beta1`, `cosmos.crypto.secp256k1` (Cosmos SDK 0.50) and of the
//! chain's `emissions` module, versions 9 and 10. prost writes fields in ascending order and leaves out default values, as the
//! chain does when it encodes a message anew to verify its signature.

use std::fmt;
use std::str::FromStr;

use prost::Message;

/// `google.protobuf.Any`: a message with its name.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Any {
    #[prost(string, tag = "1")]
    pub type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// `cosmos.base.v1beta1.Coin`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Coin {
    #[prost(string, tag = "1")]
    pub denom: String,
    /// A whole number; amounts of `uallo` are larger than 64 bits.
    #[prost(string, tag = "2")]
    pub amount: String,
}

/// `cosmos.crypto.secp256k1.PubKey`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PublicKey {
    /// Compressed, 33 bytes.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
}

impl PublicKey {
    /// Its name in an [`Any`].
    pub const TYPE_URL: &str = "/cosmos.crypto.secp256k1.PubKey";
}

/// `cosmos.tx.v1beta1.TxBody`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxBody {
    #[prost(message, repeated, tag = "1")]
    pub messages: Vec<Any>,
    #[prost(string, tag = "2")]
    pub memo: String,
    /// The last block that may contain the transaction; 0 for no limit.
    #[prost(uint64, tag = "3")]
    pub timeout_height: u64,
}

/// `cosmos.tx.v1beta1.AuthInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AuthInfo {
    #[prost(message, repeated, tag = "1")]
    pub signer_infos: Vec<SignerInfo>,
    #[prost(message, optional, tag = "2")]
    pub fee: Option<Fee>,
}

/// `cosmos.tx.v1beta1.SignerInfo`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignerInfo {
    #[prost(message, optional, tag = "1")]
    pub public_key: Option<Any>,
    #[prost(message, optional, tag = "2")]
    pub mode_info: Option<ModeInfo>,
    #[prost(uint64, tag = "3")]
    pub sequence: u64,
}

/// `cosmos.tx.v1beta1.ModeInfo`, of one signer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ModeInfo {
    #[prost(message, optional, tag = "1")]
    pub single: Option<SingleMode>,
}

/// `cosmos.tx.v1beta1.ModeInfo.Single`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SingleMode {
    /// How the signature was made; see [`SIGN_MODE_DIRECT`].
    #[prost(int32, tag = "1")]
    pub mode: i32,
}

/// The signature covers the bytes of the transaction themselves.
pub const SIGN_MODE_DIRECT: i32 = 1;

/// `cosmos.tx.v1beta1.Fee`. The whole amount is spent, whatever the gas.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Fee {
    #[prost(message, repeated, tag = "1")]
    pub amount: Vec<Coin>,
    #[prost(uint64, tag = "2")]
    pub gas_limit: u64,
    #[prost(string, tag = "3")]
    pub payer: String,
    #[prost(string, tag = "4")]
    pub granter: String,
}

/// `cosmos.tx.v1beta1.SignDoc`: what a signature in direct mode covers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignDoc {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(string, tag = "3")]
    pub chain_id: String,
    #[prost(uint64, tag = "4")]
    pub account_number: u64,
}

/// `cosmos.tx.v1beta1.TxRaw`: what is broadcast.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TxRaw {
    #[prost(bytes = "vec", tag = "1")]
    pub body_bytes: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub auth_info_bytes: Vec<u8>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub signatures: Vec<Vec<u8>>,
}

/// A version of the `emissions` module. A chain accepts the messages of exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emissions {
    /// Chain versions 0.14 to 0.16.
    V9,
    /// From chain version 0.17 on: values have labels.
    V10,
}

/// A text that names no version that is known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no known version of emissions; known are v9 and v10")]
pub struct UnknownEmissions(String);

impl Emissions {
    /// Every version, the oldest first.
    pub const ALL: [Self; 2] = [Self::V9, Self::V10];

    /// The name of a worker's payload in an [`Any`].
    #[must_use]
    pub fn payload_type_url(self) -> String {
        format!("/emissions.{self}.InsertWorkerPayloadRequest")
    }

    /// The name of a registration in an [`Any`].
    #[must_use]
    pub fn register_type_url(self) -> String {
        format!("/emissions.{self}.RegisterRequest")
    }
}

impl fmt::Display for Emissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::V9 => "v9",
            Self::V10 => "v10",
        })
    }
}

impl FromStr for Emissions {
    type Err = UnknownEmissions;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|version| version.to_string() == text);
        found.ok_or_else(|| UnknownEmissions(text.to_owned()))
    }
}

/// `emissions.v3.Nonce`: the block at whose end a window of submissions was opened.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Nonce {
    #[prost(int64, tag = "1")]
    pub block_height: i64,
}

/// `emissions.v10.InputLabeledValue`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputLabeledValue {
    /// `y` in a topic with one output.
    #[prost(string, tag = "1")]
    pub label: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `emissions.v10.InputInference`, and that of version 9, which has no `values`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputInference {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub inferer: String,
    /// The value in version 9. In version 10 it is not used and must still be there: the chain would write "0" for an empty
    /// one, and the signature would be wrong.
    #[prost(string, tag = "4")]
    pub value: String,
    #[prost(bytes = "vec", tag = "5")]
    pub extra_data: Vec<u8>,
    #[prost(string, tag = "6")]
    pub proof: String,
    #[prost(message, repeated, tag = "7")]
    pub values: Vec<InputLabeledValue>,
}

/// `emissions.vN.InputForecastElement`: what a forecaster expects of an inferer.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputForecastElement {
    #[prost(string, tag = "1")]
    pub inferer: String,
    #[prost(string, tag = "2")]
    pub value: String,
}

/// `emissions.vN.InputForecast`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputForecast {
    #[prost(uint64, tag = "1")]
    pub topic_id: u64,
    #[prost(int64, tag = "2")]
    pub block_height: i64,
    #[prost(string, tag = "3")]
    pub forecaster: String,
    #[prost(message, repeated, tag = "4")]
    pub forecast_elements: Vec<InputForecastElement>,
    #[prost(bytes = "vec", tag = "5")]
    pub extra_data: Vec<u8>,
}

/// `emissions.vN.InputInferenceForecastBundle`: what the inner signature covers.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputInferenceForecastBundle {
    #[prost(message, optional, tag = "1")]
    pub inference: Option<InputInference>,
    #[prost(message, optional, tag = "2")]
    pub forecast: Option<InputForecast>,
}

/// `emissions.vN.InputWorkerDataBundle`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InputWorkerDataBundle {
    #[prost(string, tag = "1")]
    pub worker: String,
    #[prost(message, optional, tag = "2")]
    pub nonce: Option<Nonce>,
    #[prost(uint64, tag = "3")]
    pub topic_id: u64,
    #[prost(message, optional, tag = "4")]
    pub inference_forecasts_bundle: Option<InputInferenceForecastBundle>,
    /// r and s, 64 bytes, of the SHA-256 of the bundle's bytes; s is the lower one.
    #[prost(bytes = "vec", tag = "5")]
    pub inferences_forecasts_bundle_signature: Vec<u8>,
    /// The compressed public key, as 66 lowercase hexadecimal digits.
    #[prost(string, tag = "6")]
    pub pubkey: String,
}

/// `emissions.vN.InsertWorkerPayloadRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct InsertWorkerPayloadRequest {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(message, optional, tag = "2")]
    pub worker_data_bundle: Option<InputWorkerDataBundle>,
}

/// `emissions.vN.RegisterRequest`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegisterRequest {
    #[prost(string, tag = "1")]
    pub sender: String,
    #[prost(uint64, tag = "4")]
    pub topic_id: u64,
    #[prost(string, tag = "5")]
    pub owner: String,
    #[prost(bool, tag = "6")]
    pub is_reputer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_one_name_and_no_other_is_taken() {
        for version in Emissions::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!(Emissions::V10.payload_type_url(), "/emissions.v10.InsertWorkerPayloadRequest");
        for text in ["v8", "10", "V10", ""] {
            assert!(text.parse::<Emissions>().unwrap_err().to_string().ends_with("known are v9 and v10"));
        }
    }
}
