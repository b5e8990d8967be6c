//! The SDK's worker loop: it registers, polls, submits and reads back, and the chain takes all of it.

use std::time::Duration;

use sentinel_testbed::chain::{Chain, Effect, Genesis, Options};
use serde_json::{Value, json};

use super::{ADDRESS, MNEMONIC, finish, start};

/// The first needs the chain's spelling, or its signature fails.
const VALUES: [&str; 2] = ["-0.00000045", "0.0011430727317929268"];
const CANONICAL: [&str; 2] = ["-4.5E-7", "0.0011430727317929268"];

/// A block follows each time that the SDK asks for its transaction. Simulations are not metered: when one runs out of gas, this SDK
/// broadcasts with a limit of its own that is too small, and pays for a failure.
fn chain() -> Chain {
    let mut genesis = Genesis::with_balance(ADDRESS, 1_000_000_000);
    genesis.rules.simulation_is_metered = false;
    let chain = Chain::start(Options::by_hand(genesis)).unwrap();
    chain.script(0, &["GetTx:then-blocks=1"]).unwrap();
    chain.blocks_to(1_005);
    chain
}

#[test]
#[cfg_attr(not(has_program = "allora-sdk"), ignore = "needs allora-sdk: see CONTRIBUTING.md")]
fn the_official_worker_registers_submits_and_reads_back() {
    let chain = std::sync::Arc::new(chain());
    let worker = start("worker.py", &[&chain.grpc_url(0), "allora-testnet-1", MNEMONIC, VALUES[0], VALUES[1]]);
    // The second window opens as soon as the first submission is in.
    let of_hook = std::sync::Arc::downgrade(&chain);
    chain.watch(move |asked| {
        let Some(chain) = of_hook.upgrade() else { return };
        let is_in = chain.truth().submission(ADDRESS, 67, 1_005).effects > 0;
        if asked.method == "GetUnfulfilledWorkerNonces" && is_in {
            chain.blocks_to(1_025);
        }
    });
    let out = finish(worker, "", Duration::from_secs(100));
    chain.unwatch();
    let lines: Vec<Value> = out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let [first, second, read_back] = &lines[..] else { panic!("{out}") };
    for (line, value) in [first, second].into_iter().zip(VALUES) {
        assert_eq!((&line["submitted"], &line["code"]), (&json!(value), &json!(0)), "{out}");
    }
    assert_eq!(read_back["read_back"], json!({ ADDRESS: [CANONICAL[0]] }));
    assert_eq!(read_back["nonce"], 1_005);
    let truth = chain.truth();
    assert_eq!(truth.included.len(), 3);
    assert_eq!(truth.included[0].effect, Some(Effect::Registered { topic: 67, worker: ADDRESS.to_owned() }));
    for (nonce, value, line) in [(1_005, CANONICAL[0], first), (1_025, CANONICAL[1], second)] {
        let submission = truth.submission(ADDRESS, 67, nonce);
        assert_eq!((submission.paid, submission.effects), (1, 1));
        assert_eq!(json!(submission.included[0].hash), line["hash"]);
        let effect = submission.included[0].effect.clone().unwrap();
        assert!(matches!(effect, Effect::Inference { values, .. } if values == [value]));
    }
    assert!(truth.paid_twice().is_empty() && truth.broadcasts.len() == 3);
    let sequences: Vec<u64> = truth.sequences(ADDRESS).iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(sequences, [0, 1, 2]);
}
