//! Byte for byte what the official SDK makes of the same input: through the library, and through `sentinel allora sign`.

use std::fs;
use std::path::Path;

use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::messages::{Emissions, TxRaw};
use sentinel::venues::allora::signing::{TxHash, TxTerms};
use sentinel::venues::allora::wallet::Wallet;
use serde_json::{Value, json};

use prost::Message as _;

use super::node::run;

/// A mnemonic of the vectors, with its address and key.
pub const MNEMONIC: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
pub const ADDRESS: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";
pub const KEY: &str = "c4a48e2fce1481cd3294b4490f6678090ea98d3d0e5cd984558ab0968741b104";

/// What `sign` prints of a payload; of a registration all but the first three.
const FIELDS: [&str; 11] = [
    "canonical_value",
    "inner_bundle_bytes_hex",
    "inner_signature_hex",
    "address",
    "msg_bytes_hex",
    "tx_body_bytes_hex",
    "auth_info_bytes_hex",
    "sign_doc_bytes_hex",
    "tx_signature_hex",
    "tx_raw_bytes_hex",
    "tx_hash",
];

pub fn vectors() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/allora/public.json");
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// Every transaction, with the version of emissions that it is for.
pub fn cases() -> Vec<(Emissions, Value)> {
    let vectors = vectors();
    let of = |name: &str, emissions| {
        vectors[name].as_array().unwrap().iter().map(move |case| (emissions, case.clone())).collect::<Vec<_>>()
    };
    let cases = [of("cases", Emissions::V10), of("v9_cases", Emissions::V9)].concat();
    assert_eq!(cases.len(), 9);
    cases
}

#[track_caller]
fn text<'v>(case: &'v Value, name: &str) -> &'v str {
    case[name].as_str().unwrap_or_else(|| panic!("{name} is missing in {case}"))
}

#[test]
fn every_vector_is_signed_byte_for_byte_by_the_command() {
    let dir = tempfile::tempdir().unwrap();
    for (emissions, case) in cases() {
        let name = text(&case, "name");
        let input = json!({"kind": case["kind"], "emissions": emissions.to_string(), "input": case["input"]});
        fs::write(dir.path().join("case.json"), input.to_string()).unwrap();
        let ended = run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(0);
        let said: Value = serde_json::from_str(&ended.out).unwrap();
        let fields = if name == "register_worker" { &FIELDS[3..] } else { &FIELDS[..] };
        assert_eq!(said.as_object().unwrap().len(), fields.len(), "{name}: {said}");
        for field in fields {
            assert_eq!(text(&said, field), text(&case, field), "{name}: {field}");
        }
    }
}

#[test]
fn a_whole_vector_is_a_case_too_and_its_version_is_the_newest_one() {
    let dir = tempfile::tempdir().unwrap();
    let (_, case) = cases().remove(0);
    fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
    let ended = run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(0);
    let said: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(text(&said, "tx_hash"), text(&case, "tx_hash"));
}

#[test]
fn fee_timeout_height_and_memo_of_a_case_are_signed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, mut case) = cases().remove(0);
    case["input"]["timeout_height"] = json!(6_766_900);
    case["input"]["memo"] = json!("of a test");
    case["input"]["fee_amount"] = json!("75000000000000");
    fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
    let signed = run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(0);
    let signed: Value = serde_json::from_str(&signed.out).unwrap();
    let decoded = run(dir.path(), ["allora", "decode", text(&signed, "tx_raw_bytes_hex")]).expect(0);
    let decoded: Value = serde_json::from_str(&decoded.out).unwrap();
    assert_eq!(decoded["timeout_height"], 6_766_900);
    assert_eq!((text(&decoded, "memo"), &decoded["fee"]), ("of a test", &json!(["75000000000000uallo"])));
    assert_eq!(text(&decoded, "tx_hash"), text(&signed, "tx_hash"));
}

#[test]
fn keys_and_addresses_of_the_vectors_follow_from_words_and_from_raw_keys() {
    for (_, case) in cases() {
        let words = Wallet::parse(text(&case["input"], "mnemonic")).unwrap();
        let raw = Wallet::parse(text(&case, "private_key_hex")).unwrap();
        let prefixed = Wallet::parse(&format!("0x{}\n", text(&case, "private_key_hex").to_uppercase())).unwrap();
        for wallet in [&words, &raw, &prefixed] {
            assert_eq!(wallet.address().to_string(), text(&case, "address"));
            assert_eq!(data_encoding::HEXLOWER.encode(wallet.public_key()), text(&case, "public_key_hex"));
        }
    }
}

#[test]
fn every_decimal_of_the_vectors_is_written_as_the_chain_writes_it() {
    let vectors = vectors();
    let decimals = vectors["dec_canonical"].as_array().unwrap();
    assert_eq!(decimals.len(), 34);
    for vector in decimals {
        let canonical = Dec::parse(text(vector, "in")).unwrap();
        assert_eq!(canonical.as_str(), text(vector, "canonical"), "{vector}");
        if text(vector, "kind") == "f64" {
            let bits = u64::from_str_radix(text(vector, "f64_bits_hex"), 16).unwrap();
            assert_eq!(Dec::of_f64(f64::from_bits(bits)).unwrap().as_str(), text(vector, "canonical"), "{vector}");
        }
    }
}

/// What a node is asked to simulate differs from what is broadcast in the signature alone.
#[test]
fn a_transaction_for_a_simulation_has_an_empty_signature_and_all_the_rest() {
    let wallet = Wallet::parse(MNEMONIC).unwrap();
    let message = wallet.registration(67, Emissions::V10);
    let terms = TxTerms {
        chain_id: "allora-testnet-1".to_owned(),
        account_number: 7,
        sequence: 3,
        gas_limit: 200_000,
        fee_uallo: 1,
        timeout_height: 90,
        memo: String::new(),
    };
    let simulated = TxRaw::decode(&wallet.tx_for_simulation(message.clone(), &terms)[..]).unwrap();
    let signed = wallet.sign_tx(message, &terms);
    assert_eq!(simulated.signatures, [Vec::<u8>::new()]);
    assert_eq!((simulated.body_bytes, simulated.auth_info_bytes), (signed.body.clone(), signed.auth_info.clone()));
    assert_eq!(TxRaw::decode(&signed.bytes[..]).unwrap().signatures, [signed.signature.to_vec()]);
    assert_eq!(signed.hash, TxHash::of(&signed.bytes));
}
