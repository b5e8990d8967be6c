//! Reads the bytes of a transaction as the chain does: nothing that it does not know, and every decimal as it will be written
//! again.

use prost::Message as _;

use super::decimal::Decimal;
use super::emissions::{Emissions, InsertWorkerPayload, Register};
use super::proto::{Any, AuthInfo, TxBody, TxRaw};
use super::refusal::Refusal;
use super::strict::{AUTH_INFO, PAYLOAD_V9, PAYLOAD_V10, REGISTER, TX_BODY, TX_RAW};

/// A transaction that could be read.
#[derive(Debug, Clone)]
pub(super) struct Tx {
    pub(super) size: usize,
    pub(super) raw: TxRaw,
    pub(super) body: TxBody,
    pub(super) auth: AuthInfo,
    pub(super) commands: Vec<Command>,
}

/// A message of a transaction.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// With its decimals in their canonical form, and the size of its bytes as they came.
    Payload(InsertWorkerPayload, usize),
    Register(Register),
}

impl Command {
    pub(super) fn sender(&self) -> &str {
        match self {
            Self::Payload(payload, _) => &payload.sender,
            Self::Register(register) => &register.sender,
        }
    }
}

impl Tx {
    /// # Errors
    /// The code 2, when the bytes are no transaction of this version.
    pub(super) fn decode(bytes: &[u8], emissions: Emissions) -> Result<Self, Refusal> {
        let bad = |what: String| Refusal::sdk(2, what);
        let broken = |error: prost::DecodeError| Refusal::sdk(2, error.to_string());
        TX_RAW.check(bytes).map_err(bad)?;
        let raw = TxRaw::decode(bytes).map_err(broken)?;
        if raw.encode_to_vec() != bytes {
            return Err(bad("the outer bytes are not encoded as ADR-027 demands".to_owned()));
        }
        TX_BODY.check(&raw.body_bytes).map_err(bad)?;
        AUTH_INFO.check(&raw.auth_info_bytes).map_err(bad)?;
        let body = TxBody::decode(&raw.body_bytes[..]).map_err(broken)?;
        let auth = AuthInfo::decode(&raw.auth_info_bytes[..]).map_err(broken)?;
        let commands = body.messages.iter().map(|any| command(any, emissions)).collect::<Result<_, _>>()?;
        Ok(Self { size: bytes.len(), raw, body, auth, commands })
    }
}

fn command(any: &Any, emissions: Emissions) -> Result<Command, Refusal> {
    let bad = |what: String| Refusal::sdk(2, what);
    let broken = |error: prost::DecodeError| Refusal::sdk(2, error.to_string());
    if any.type_url == emissions.type_url("InsertWorkerPayloadRequest") {
        let shape = match emissions {
            Emissions::V9 => &PAYLOAD_V9,
            Emissions::V10 => &PAYLOAD_V10,
        };
        shape.check(&any.value).map_err(bad)?;
        let mut payload = InsertWorkerPayload::decode(&any.value[..]).map_err(broken)?;
        write_decimals_again(&mut payload).map_err(bad)?;
        Ok(Command::Payload(payload, any.value.len()))
    } else if any.type_url == emissions.type_url("RegisterRequest") {
        REGISTER.check(&any.value).map_err(bad)?;
        Ok(Command::Register(Register::decode(&any.value[..]).map_err(broken)?))
    } else {
        Err(bad(format!("unable to resolve type URL {}", any.type_url)))
    }
}

/// The chain's decimals are no texts: what was read is written anew, and one that is missing is written as `0`. The inner
/// signature is checked over that.
fn write_decimals_again(payload: &mut InsertWorkerPayload) -> Result<(), String> {
    let Some(bundle) = payload.data.as_mut().and_then(|data| data.bundle.as_mut()) else { return Ok(()) };
    let inference = bundle.inference.as_mut();
    let of_inference = inference.into_iter().flat_map(|inference| {
        let labeled = inference.values.iter_mut().map(|labeled| &mut labeled.value);
        std::iter::once(&mut inference.value).chain(labeled)
    });
    let elements = bundle.forecast.as_mut().into_iter().flat_map(|forecast| &mut forecast.forecast_elements);
    for text in of_inference.chain(elements.map(|element| &mut element.value)) {
        *text = Decimal::parse(text).map_err(|error| error.to_string())?.to_string();
    }
    Ok(())
}
