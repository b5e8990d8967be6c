//! A transaction read back.

use data_encoding::{BASE64, HEXLOWER};
use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use proptest::prelude::*;
use prost::Message as _;
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::decoding::{DecodedMessage, decode};
use sentinel::venues::allora::messages::{Any, Emissions, InsertWorkerPayloadRequest};
use sentinel::venues::allora::signing::{TxTerms, WorkerData};
use sentinel::venues::allora::wallet::Wallet;
use serde_json::{Value, json};

use super::node::run;
use super::vectors::{ADDRESS, KEY, MNEMONIC, cases};

fn bytes(case: &Value) -> Vec<u8> {
    HEXLOWER.decode(case["tx_raw_bytes_hex"].as_str().unwrap().as_bytes()).unwrap()
}

/// A payload's message in a transaction, as the chain would get it.
fn with_message(message: Any) -> Vec<u8> {
    let terms = TxTerms {
        chain_id: "allora-testnet-1".to_owned(),
        account_number: 1,
        sequence: 2,
        gas_limit: 3,
        fee_uallo: 30,
        timeout_height: 0,
        memo: String::new(),
    };
    Wallet::parse(MNEMONIC).unwrap().sign_tx(message, &terms).bytes
}

fn inner_signature_is_valid(message: Any) -> bool {
    let decoded = decode(&with_message(message)).unwrap();
    let [DecodedMessage::InsertWorkerPayload(payload)] = &decoded.messages[..] else { panic!("{decoded:?}") };
    payload.inner_signature_is_valid
}

#[test]
fn every_vector_is_read_back_as_what_it_was_made_of() {
    for (emissions, case) in cases() {
        let decoded = serde_json::to_value(decode(&bytes(&case)).unwrap()).unwrap();
        let (input, message) = (&case["input"], &decoded["messages"][0]);
        assert_eq!(decoded["tx_hash"], case["tx_hash"]);
        assert_eq!(decoded["gas_limit"], case["gas_limit"]);
        assert_eq!(decoded["fee"], json!([format!("{}uallo", case["fee_amount"].as_str().unwrap())]));
        assert_eq!(decoded["signatures_hex"], json!([case["tx_signature_hex"]]));
        assert_eq!(decoded["signers"][0]["address"], case["address"]);
        assert_eq!(decoded["signers"][0]["public_key_hex"], case["public_key_hex"]);
        assert_eq!(decoded["signers"][0]["sequence"], input["sequence"]);
        assert_eq!((&message["kind"], &message["type_url"]), (&case["kind"], &case["msg_type_url"]));
        assert_eq!(message["topic_id"], input["topic_id"]);
        if message["kind"] == "register" {
            assert_eq!((&message["owner"], &message["is_reputer"]), (&case["address"], &json!(false)));
            continue;
        }
        assert_eq!(message["nonce"], input["nonce"]);
        assert_eq!(message["inner_signature_is_valid"], true);
        let expected = match emissions {
            Emissions::V9 => (case["canonical_value"].clone(), json!([])),
            Emissions::V10 => (json!("0"), json!([{"of": "y", "value": case["canonical_value"]}])),
        };
        assert_eq!((message["value"].clone(), message["values"].clone()), expected);
        let others = input["forecast_elements"].as_array().map_or(0, Vec::len);
        assert_eq!(message["forecast"].as_array().unwrap().len(), others);
    }
}

#[test]
fn the_command_takes_hexadecimal_and_base64_and_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (_, case) = cases().remove(1);
    let hex = HEXLOWER.encode(&bytes(&case));
    let said = run(dir.path(), ["allora", "decode", &hex]).expect(0).out;
    for same in [hex.to_uppercase(), BASE64.encode(&bytes(&case))] {
        assert_eq!(run(dir.path(), ["allora", "decode", &same]).expect(0).out, said);
    }
    assert!(said.contains("\"nonce\": 6643675") && said.contains("\"inner_signature_is_valid\": true"), "{said}");
    for (text, expected) in [
        ("not a transaction", "neither hexadecimal nor base64"),
        (&hex[2..], "its envelope is not one of a transaction"),
        (&hex[..hex.len() - 2], "its envelope is not one of a transaction"),
        ("", "it contains no message"),
    ] {
        let ended = run(dir.path(), ["allora", "decode", text]).expect(1);
        assert!(ended.err.contains(expected), "{}", ended.err);
    }
}

#[test]
fn an_inner_signature_holds_for_its_worker_its_bytes_and_canonical_decimals_only() {
    let wallet = Wallet::parse(MNEMONIC).unwrap();
    assert_eq!(wallet.address().to_string(), ADDRESS);
    let data = WorkerData::of_value(67, 100, Dec::parse("-0.0381357").unwrap());
    let message = wallet.sign_worker_data(&data, Emissions::V10);
    assert!(inner_signature_is_valid(message.clone()));
    let changed = |change: &dyn Fn(&mut InsertWorkerPayloadRequest)| {
        let mut request = InsertWorkerPayloadRequest::decode(&message.value[..]).unwrap();
        change(&mut request);
        Any { type_url: message.type_url.clone(), value: request.encode_to_vec() }
    };
    let other = "allo1am058pdux3hyulcmfgj4m3hhrlfn8nzmf5xyce";
    let changes: [&dyn Fn(&mut InsertWorkerPayloadRequest); 5] = [
        &|request| request.worker_data_bundle.as_mut().unwrap().worker = other.to_owned(),
        &|request| request.worker_data_bundle.as_mut().unwrap().inferences_forecasts_bundle_signature[7] ^= 1,
        &|request| request.worker_data_bundle.as_mut().unwrap().pubkey.replace_range(..2, "03"),
        &|request| {
            let bundle = request.worker_data_bundle.as_mut().unwrap().inference_forecasts_bundle.as_mut().unwrap();
            bundle.inference.as_mut().unwrap().values[0].value = "-0.0381358".to_owned();
        },
        &|request| request.worker_data_bundle.as_mut().unwrap().inference_forecasts_bundle = None,
    ];
    for (number, change) in changes.into_iter().enumerate() {
        assert!(!inner_signature_is_valid(changed(change)), "change {number}");
    }
}

/// Signed with the right key: the chain would refuse both for their form alone.
#[test]
fn an_inner_signature_over_a_decimal_of_another_spelling_or_with_a_high_s_does_not_hold() {
    let key = SigningKey::from_slice(&HEXLOWER.decode(KEY.as_bytes()).unwrap()).unwrap();
    let wallet = Wallet::parse(KEY).unwrap();
    let signed = |value: &str, is_high: bool| {
        let data = WorkerData::of_value(67, 100, Dec::parse(value).unwrap());
        let message = wallet.sign_worker_data(&data, Emissions::V9);
        let mut request = InsertWorkerPayloadRequest::decode(&message.value[..]).unwrap();
        let data = request.worker_data_bundle.as_mut().unwrap();
        let bundle = data.inference_forecasts_bundle.as_mut().unwrap();
        bundle.inference.as_mut().unwrap().value = value.to_owned();
        let low: Signature = key.sign(&bundle.encode_to_vec());
        let signature = if is_high { Signature::from_scalars(low.r(), -*low.s()).unwrap() } else { low };
        data.inferences_forecasts_bundle_signature = signature.to_bytes().to_vec();
        inner_signature_is_valid(Any { value: request.encode_to_vec(), ..message })
    };
    assert!(signed("1.2E-7", false));
    assert!(!signed("0.00000012", false), "the chain writes 1.2E-7 before it verifies");
    assert!(!signed("1.2e-07", false));
    assert!(!signed("1.2E-7", true));
}

#[test]
fn a_message_that_no_worker_sends_is_shown_by_its_name() {
    let value = Any { type_url: "/cosmos.bank.v1beta1.MsgSend".to_owned(), value: vec![1, 2, 255] };
    let decoded = decode(&with_message(value)).unwrap();
    let expected =
        DecodedMessage::Other { type_url: "/cosmos.bank.v1beta1.MsgSend".to_owned(), value_hex: "0102ff".to_owned() };
    assert_eq!(decoded.messages, [expected]);
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_or_refused_and_never_more(bytes: Vec<u8>) {
        let _ = decode(&bytes);
    }

    #[test]
    fn a_transaction_with_changed_bytes_is_read_or_refused_and_never_more(at in 0..600_usize, flip in 1..=255_u8) {
        let mut changed = bytes(&cases().remove(0).1);
        let at = at % changed.len();
        changed[at] ^= flip;
        let _ = decode(&changed);
    }
}
