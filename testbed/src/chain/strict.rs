//! Refuses fields that a message does not have, as the chain's decoder does before it reads a transaction. Without it a client
//! could send a field of another version and never notice.

use prost::encoding::{WireType, decode_key, decode_varint};

/// What a field holds.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Varint,
    Bytes,
    Message(&'static Shape),
}

/// The fields of a message.
pub(super) struct Shape {
    name: &'static str,
    fields: &'static [(u32, Kind)],
}

use Kind::{Bytes, Message as In, Varint};

static ANY: Shape = Shape { name: "google.protobuf.Any", fields: &[(1, Bytes), (2, Bytes)] };
static COIN: Shape = Shape { name: "cosmos.base.v1beta1.Coin", fields: &[(1, Bytes), (2, Bytes)] };
pub(super) static TX_RAW: Shape =
    Shape { name: "cosmos.tx.v1beta1.TxRaw", fields: &[(1, Bytes), (2, Bytes), (3, Bytes)] };
pub(super) static TX_BODY: Shape =
    Shape { name: "cosmos.tx.v1beta1.TxBody", fields: &[(1, In(&ANY)), (2, Bytes), (3, Varint)] };
static SINGLE: Shape = Shape { name: "cosmos.tx.v1beta1.ModeInfo.Single", fields: &[(1, Varint)] };
static MODE_INFO: Shape = Shape { name: "cosmos.tx.v1beta1.ModeInfo", fields: &[(1, In(&SINGLE))] };
static SIGNER_INFO: Shape =
    Shape { name: "cosmos.tx.v1beta1.SignerInfo", fields: &[(1, In(&ANY)), (2, In(&MODE_INFO)), (3, Varint)] };
static FEE: Shape =
    Shape { name: "cosmos.tx.v1beta1.Fee", fields: &[(1, In(&COIN)), (2, Varint), (3, Bytes), (4, Bytes)] };
pub(super) static AUTH_INFO: Shape =
    Shape { name: "cosmos.tx.v1beta1.AuthInfo", fields: &[(1, In(&SIGNER_INFO)), (2, In(&FEE))] };
pub(super) static PUBLIC_KEY: Shape = Shape { name: "cosmos.crypto.secp256k1.PubKey", fields: &[(1, Bytes)] };

static NONCE: Shape = Shape { name: "emissions.v3.Nonce", fields: &[(1, Varint)] };
static LABELED: Shape = Shape { name: "emissions.v10.InputLabeledValue", fields: &[(1, Bytes), (2, Bytes)] };
static INFERENCE_V9: Shape = Shape {
    name: "emissions.v9.InputInference",
    fields: &[(1, Varint), (2, Varint), (3, Bytes), (4, Bytes), (5, Bytes), (6, Bytes)],
};
static INFERENCE_V10: Shape = Shape {
    name: "emissions.v10.InputInference",
    fields: &[(1, Varint), (2, Varint), (3, Bytes), (4, Bytes), (5, Bytes), (6, Bytes), (7, In(&LABELED))],
};
static ELEMENT: Shape = Shape { name: "emissions.v9.InputForecastElement", fields: &[(1, Bytes), (2, Bytes)] };
static FORECAST: Shape = Shape {
    name: "emissions.v9.InputForecast",
    fields: &[(1, Varint), (2, Varint), (3, Bytes), (4, In(&ELEMENT)), (5, Bytes)],
};
static BUNDLE_V9: Shape =
    Shape { name: "emissions.v9.InputInferenceForecastBundle", fields: &[(1, In(&INFERENCE_V9)), (2, In(&FORECAST))] };
static BUNDLE_V10: Shape = Shape {
    name: "emissions.v10.InputInferenceForecastBundle",
    fields: &[(1, In(&INFERENCE_V10)), (2, In(&FORECAST))],
};
static DATA_V9: Shape = Shape {
    name: "emissions.v9.InputWorkerDataBundle",
    fields: &[(1, Bytes), (2, In(&NONCE)), (3, Varint), (4, In(&BUNDLE_V9)), (5, Bytes), (6, Bytes)],
};
static DATA_V10: Shape = Shape {
    name: "emissions.v10.InputWorkerDataBundle",
    fields: &[(1, Bytes), (2, In(&NONCE)), (3, Varint), (4, In(&BUNDLE_V10)), (5, Bytes), (6, Bytes)],
};
pub(super) static PAYLOAD_V9: Shape =
    Shape { name: "emissions.v9.InsertWorkerPayloadRequest", fields: &[(1, Bytes), (2, In(&DATA_V9))] };
pub(super) static PAYLOAD_V10: Shape =
    Shape { name: "emissions.v10.InsertWorkerPayloadRequest", fields: &[(1, Bytes), (2, In(&DATA_V10))] };
pub(super) static REGISTER: Shape =
    Shape { name: "emissions.RegisterRequest", fields: &[(1, Bytes), (4, Varint), (5, Bytes), (6, Varint)] };

impl Shape {
    /// Demands that the bytes are a message of this shape, down to its innermost ones.
    ///
    /// # Errors
    /// With the text of the chain's decoder.
    pub(super) fn check(&self, mut bytes: &[u8]) -> Result<(), String> {
        let bad = |what: &dyn ToString| format!("{}: {}", self.name, what.to_string());
        while !bytes.is_empty() {
            let (tag, wire) = decode_key(&mut bytes).map_err(|error| bad(&error))?;
            let Some((_, kind)) = self.fields.iter().find(|(number, _)| *number == tag) else {
                return Err(format!("errUnknownField \"/{}\": {{TagNum: {tag}, WireType: {wire:?}}}", self.name));
            };
            match (kind, wire) {
                (Kind::Varint, WireType::Varint) => {
                    decode_varint(&mut bytes).map_err(|error| bad(&error))?;
                }
                (Kind::Bytes | Kind::Message(_), WireType::LengthDelimited) => {
                    let length = decode_varint(&mut bytes).map_err(|error| bad(&error))?;
                    let length = usize::try_from(length).unwrap_or(usize::MAX);
                    let inner = bytes.split_off(..length).ok_or_else(|| bad(&"unexpected EOF"))?;
                    if let Kind::Message(shape) = kind {
                        shape.check(inner)?;
                    }
                }
                _ => return Err(bad(&format!("wrong wire type {wire:?} of field {tag}"))),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_a_message_does_not_have_is_refused_at_any_depth() {
        assert_eq!(TX_BODY.check(&[0x18, 0x05]), Ok(()));
        assert!(TX_BODY.check(&[0x20, 0x05]).is_err_and(|text| text.contains("TagNum: 4")));
        // A coin of a fee with a third field.
        let auth = [0x12, 0x04, 0x0a, 0x02, 0x18, 0x01];
        assert!(AUTH_INFO.check(&auth).is_err_and(|text| text.contains("Coin") && text.contains("TagNum: 3")));
    }

    #[test]
    fn version_nine_does_not_know_labelled_values() {
        // payload: 2 data { 4 bundle { 1 inference { 7 labelled } } }
        let payload = [0x12, 0x06, 0x22, 0x04, 0x0a, 0x02, 0x3a, 0x00];
        assert_eq!(PAYLOAD_V10.check(&payload), Ok(()));
        assert!(PAYLOAD_V9.check(&payload).is_err_and(|text| text.contains("TagNum: 7")));
    }

    #[test]
    fn bytes_that_end_early_or_have_another_type_are_refused() {
        assert!(TX_RAW.check(&[0x0a, 0x05, 0x01]).is_err_and(|text| text.contains("EOF")));
        assert!(TX_RAW.check(&[0x08, 0x05]).is_err_and(|text| text.contains("wire type")));
        assert!(TX_RAW.check(&[0xff]).is_err());
    }
}
