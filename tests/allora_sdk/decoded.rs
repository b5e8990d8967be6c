//! What this node signs, as the SDK reads it: field by field, and byte for byte when the SDK writes it again. The chain of the
//! testbed takes it too.

use std::time::Duration;

use data_encoding::HEXLOWER;
use sentinel::venues::allora::address::Address;
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::messages::Emissions;
use sentinel::venues::allora::signing::{SignedTx, TxTerms, WorkerData};
use sentinel::venues::allora::wallet::Wallet;
use sentinel_testbed::chain::{self, Chain, Genesis, Options};
use serde_json::{Value, json};

use super::{ADDRESS, MNEMONIC, finish, start};

/// Of the mnemonic.
const PUBLIC_KEY: &str = "024f4e2ad99c34d60b9ba6283c9431a8418af8673212961f97a77b6377fcd05b62";
const OTHER: &str = "allo1am058pdux3hyulcmfgj4m3hhrlfn8nzmf5xyce";
const NONCE: i64 = 1_005;

fn data() -> WorkerData {
    WorkerData {
        forecast: vec![(OTHER.parse::<Address>().unwrap(), Dec::parse("-0.00000045").unwrap())],
        extra_data: b"sentinel".to_vec(),
        proof: "p1".to_owned(),
        ..WorkerData::of_value(67, NONCE, Dec::parse("0.0011430727317929268").unwrap())
    }
}

fn terms(sequence: u64) -> TxTerms {
    TxTerms {
        chain_id: "allora-testnet-1".to_owned(),
        account_number: 123_456,
        sequence,
        gas_limit: 500_000,
        fee_uallo: 5_100_000,
        timeout_height: 1_014,
        memo: "a memo".to_owned(),
    }
}

/// Everything around the message.
fn around(tx: &SignedTx, type_url: &str, sequence: u64, message: Value) -> Value {
    json!({
        "type_url": type_url,
        "message": message,
        "memo": "a memo",
        "timeout_height": 1_014,
        "public_key_type": "/cosmos.crypto.secp256k1.PubKey",
        "public_key": PUBLIC_KEY,
        "sign_mode": 1,
        "sequence": sequence,
        "fee": [["5100000", "uallo"]],
        "gas_limit": 500_000,
        "payer": "",
        "granter": "",
        "signatures": [HEXLOWER.encode(&tx.signature)],
    })
}

fn payload(decoded: &Value, value: &str, values: &Value) -> Value {
    json!({
        "sender": ADDRESS,
        "worker": ADDRESS,
        "nonce": NONCE,
        "topic_id": 67,
        "inference": {
            "topic_id": 67,
            "block_height": NONCE,
            "inferer": ADDRESS,
            "value": value,
            "extra_data": HEXLOWER.encode(b"sentinel"),
            "proof": "p1",
            "values": values,
        },
        "forecast": {
            "topic_id": 67,
            "block_height": NONCE,
            "forecaster": ADDRESS,
            "elements": [[OTHER, "-4.5E-7"]],
            "extra_data": "",
        },
        // The chain verifies these two.
        "bundle": decoded["message"]["bundle"],
        "signature": decoded["message"]["signature"],
        "pubkey": PUBLIC_KEY,
    })
}

#[test]
#[cfg_attr(not(has_program = "allora-sdk"), ignore = "needs allora-sdk: see CONTRIBUTING.md")]
fn the_official_protobufs_decode_what_is_signed_here_field_by_field() {
    let wallet = Wallet::parse(MNEMONIC).unwrap();
    let versions = [Emissions::V9, Emissions::V10];
    let signed: Vec<SignedTx> = versions
        .into_iter()
        .flat_map(|version| {
            let registration = wallet.sign_tx(wallet.registration(67, version), &terms(0));
            [registration, wallet.sign_tx(wallet.sign_worker_data(&data(), version), &terms(1))]
        })
        .collect();
    let input: String = signed.iter().map(|tx| HEXLOWER.encode(&tx.bytes) + "\n").collect();
    let out = finish(start("decode.py", &[]), &input, Duration::from_secs(60));
    let decoded: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let registration = json!({ "sender": ADDRESS, "topic_id": 67, "owner": ADDRESS, "is_reputer": false });
    let value = "0.0011430727317929268";
    let expected = [
        around(&signed[0], "/emissions.v9.RegisterRequest", 0, registration.clone()),
        around(&signed[1], "/emissions.v9.InsertWorkerPayloadRequest", 1, payload(&decoded[1], value, &json!([]))),
        around(&signed[2], "/emissions.v10.RegisterRequest", 0, registration),
        around(
            &signed[3],
            "/emissions.v10.InsertWorkerPayloadRequest",
            1,
            payload(&decoded[3], "0", &json!([["y", value]])),
        ),
    ];
    assert_eq!(decoded, expected);
}

#[test]
fn the_chain_of_the_testbed_takes_what_is_signed_here() {
    let wallet = Wallet::parse(MNEMONIC).unwrap();
    for (version, of_chain) in [(Emissions::V9, chain::Emissions::V9), (Emissions::V10, chain::Emissions::V10)] {
        let genesis = Genesis { emissions: of_chain, ..Genesis::with_balance(ADDRESS, 1_000_000_000) };
        let chain = Chain::start(Options::by_hand(genesis)).unwrap();
        chain.blocks_to(NONCE);
        let messages = [wallet.registration(67, version), wallet.sign_worker_data(&data(), version)];
        for (sequence, message) in (0..).zip(messages) {
            let tx = wallet.sign_tx(message, &terms(sequence));
            chain.submit(0, &tx.bytes);
            chain.block();
            let truth = chain.truth();
            let included = truth.included.last().unwrap_or_else(|| panic!("{truth:?}"));
            assert_eq!((&included.hash, &included.refusal), (&tx.hash.to_string(), &None));
        }
        assert_eq!(chain.truth().submission(ADDRESS, 67, NONCE).effects, 1);
    }
}
