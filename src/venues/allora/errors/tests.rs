//! One test for each row of the table of errors, and for each text of a simulation.

use proptest::prelude::*;

use super::*;

fn check(stage: Stage, rows: &[(&str, u32, &str)], class: Class, action: Action) {
    for (codespace, code, text) in rows {
        assert_eq!(Class::of(stage, codespace, *code, text), class, "{stage:?} {codespace} {code} {text}");
    }
    assert_eq!(class.action(), action);
}

fn delivered(rows: &[(&str, u32, &str)], class: Class, action: Action) {
    check(Stage::Deliver, rows, class, action);
}

fn checked(rows: &[(&str, u32, &str)], class: Class, action: Action) {
    check(Stage::Check, rows, class, action);
}

fn simulated(code: u32, text: &str, class: Class) {
    let whole = format!("{text} [cosmos/cosmos-sdk@v0.50.13/baseapp/baseapp.go:999] with gas used: '123456'");
    for text in [text, &whole] {
        assert_eq!(Class::of(Stage::Simulate, "sdk", code, text), class, "{text}");
    }
}

#[test]
fn code_0_of_a_delivered_transaction_is_recorded() {
    delivered(&[("", 0, "")], Class::Success, Action::Record);
}

#[test]
fn what_was_submitted_before_is_done_and_never_sent_again() {
    let rows = [
        ("emissions", 78, ""),
        ("undefined", 1, "failed to execute message; message index: 0: inference already submitted"),
        ("undefined", 1, "cannot update EMA more than once per window"),
    ];
    delivered(&rows, Class::AlreadySubmitted, Action::RecordAsDone);
}

#[test]
fn a_nonce_that_is_gone_is_verified_and_not_taken_for_submitted() {
    delivered(&[("emissions", 75, "")], Class::NonceGone, Action::VerifyThenMiss);
}

#[test]
fn the_window_of_reputers_is_not_taken_for_submitted() {
    delivered(&[("emissions", 68, "")], Class::Refused, Action::GiveUpNonce);
}

#[test]
fn outside_of_its_window_a_nonce_waits_or_is_missed() {
    delivered(&[("emissions", 67, "")], Class::OutsideWindow, Action::WaitOrMiss);
}

#[test]
fn a_wrong_sequence_is_read_anew_with_the_expected_one_at_hand() {
    let text = "account sequence mismatch, expected 42, got 41: incorrect account sequence";
    checked(&[("sdk", 32, text)], Class::Sequence { expected: Some(42) }, Action::RefreshSequence);
    checked(
        &[("sdk", 3, "invalid sequence"), ("sdk", 32, "")],
        Class::Sequence { expected: None },
        Action::RefreshSequence,
    );
}

#[test]
fn out_of_gas_names_the_greater_one_of_wanted_and_used() {
    let text = "out of gas in location: WriteFlat; gasWanted: 200000, gasUsed: 203114: out of gas";
    delivered(&[("sdk", 11, text)], Class::OutOfGas { gas: Some(203_114) }, Action::RaiseGas);
    delivered(&[("sdk", 11, "out of gas")], Class::OutOfGas { gas: None }, Action::RaiseGas);
}

#[test]
fn a_low_fee_names_what_is_required_in_uallo_only() {
    let text =
        "got: 10uallo required: 2160000uallo, minGasPrice: 10.000000000000000000uallo, gas: 216000: insufficient fee";
    let required = |uallo| Class::Fee { required_uallo: uallo };
    checked(&[("sdk", 13, text)], required(Some(2_160_000)), Action::RaiseFee);
    let beyond_u64 = "got: 1uallo required: 100000000000000000000000000uallo, gas: 1: insufficient fee";
    checked(&[("sdk", 13, beyond_u64)], required(Some(10_u128.pow(26))), Action::RaiseFee);
    checked(&[("sdk", 13, "required: 7uatom"), ("sdk", 13, "insufficient fee")], required(None), Action::RaiseFee);
}

#[test]
fn a_full_mempool_is_backed_off_from() {
    checked(&[("sdk", 20, "")], Class::MempoolFull, Action::BackOff);
}

#[test]
fn a_transaction_in_the_cache_is_awaited_and_no_error() {
    checked(&[("sdk", 19, "")], Class::InMempool, Action::AwaitByHash);
}

#[test]
fn what_would_be_refused_again_ends_the_nonce() {
    checked(&[("sdk", 30, "")], Class::Expired, Action::GiveUpNonce);
    let sdk = [4, 6, 7, 8, 12, 15, 18, 21, 29, 35, 38, 41].map(|code| ("sdk", code, ""));
    checked(&sdk, Class::Refused, Action::GiveUpNonce);
    let emissions = [7, 24, 44, 45, 47, 52, 53, 54, 69, 71, 77, 79, 80, 84, 85, 92, 95, 97, 98, 99];
    delivered(&emissions.map(|code| ("emissions", code, "")), Class::Refused, Action::GiveUpNonce);
    let others = [("math", 1, ""), ("math", 8, ""), ("feemarket", 2, ""), ("feemarket", 3, "")];
    delivered(&others, Class::Refused, Action::GiveUpNonce);
}

#[test]
fn a_missing_registration_is_made_once_and_a_second_one_is_no_error() {
    let missing = [9, 10, 13].map(|code| ("emissions", code, ""));
    delivered(&missing, Class::NotRegistered, Action::Register);
    delivered(&[("emissions", 8, "")], Class::AlreadyRegistered, Action::RecordAsDone);
}

#[test]
fn what_only_an_operator_can_change_pauses_the_job() {
    delivered(&[("emissions", 83, "")], Class::NotWhitelisted, Action::Pause);
    let funds = [("sdk", 5, ""), ("sdk", 9, ""), ("emissions", 46, ""), ("emissions", 48, ""), ("emissions", 73, "")];
    delivered(&funds, Class::Funds, Action::Pause);
    delivered(&[("sdk", 28, "")], Class::WrongChain, Action::Pause);
    delivered(&[6, 23, 93, 94].map(|code| ("emissions", code, "")), Class::Topic, Action::Pause);
}

#[test]
fn a_message_that_cannot_be_decoded_is_of_another_version() {
    checked(&[("sdk", 2, "tx parse error")], Class::WrongVersion, Action::ProbeVersion);
}

#[test]
fn an_unknown_code_is_no_success_and_is_not_repeated() {
    let rows = [("sdk", 99, ""), ("emissions", 3, ""), ("undefined", 1, "panic"), ("", 1, ""), ("wasm", 5, "")];
    delivered(&rows, Class::Unknown, Action::GiveUpNonce);
}

#[test]
fn a_simulation_with_a_wrong_sequence_names_the_expected_one() {
    let text = "account sequence mismatch, expected 8, got 7: incorrect account sequence";
    simulated(6, text, Class::Sequence { expected: Some(8) });
}

#[test]
fn a_simulation_that_runs_out_of_gas_is_known_by_its_text() {
    let text = "out of gas in location: ReadFlat; gasWanted: 100, gasUsed: 1042: out of gas";
    simulated(6, text, Class::OutOfGas { gas: Some(1042) });
}

#[test]
fn a_simulation_for_a_closed_nonce_is_known_by_its_text() {
    simulated(6, "failed to execute message; message index: 0: unfulfilled nonce not found", Class::NonceGone);
}

#[test]
fn a_simulation_outside_of_the_window_is_known_by_either_text() {
    simulated(6, "worker nonce window not available", Class::OutsideWindow);
    simulated(6, "Worker window not open for topic: 67", Class::OutsideWindow);
}

#[test]
fn a_simulation_of_a_second_submission_is_known_by_either_text() {
    simulated(6, "cannot update EMA more than once per window", Class::AlreadySubmitted);
    simulated(6, "inference already submitted", Class::AlreadySubmitted);
}

#[test]
fn a_simulation_without_whitelisting_is_known_by_its_text() {
    simulated(6, "Worker is not permitted to submit payload", Class::NotWhitelisted);
}

#[test]
fn a_simulation_without_registration_is_known_by_its_text() {
    simulated(6, "worker is not registered in this topic", Class::NotRegistered);
}

#[test]
fn a_simulation_for_an_unknown_topic_is_known_by_its_text() {
    simulated(6, "invalid topic ID", Class::Topic);
}

#[test]
fn a_simulation_that_cannot_pay_for_its_data_is_known_by_its_text() {
    simulated(6, "data sender does not have enough denom", Class::Funds);
}

#[test]
fn a_simulation_with_a_wrong_label_is_known_by_its_text() {
    simulated(18, "single-arity label must be \"y\": invalid request", Class::Refused);
}

#[test]
fn a_simulation_of_an_unfunded_account_is_code_22_and_not_5() {
    simulated(22, "account allo1xyz not found: key not found", Class::Funds);
    simulated(6, "account allo1xyz does not exist: unknown address", Class::Funds);
}

#[test]
fn a_node_that_cannot_simulate_now_rejects_nothing() {
    for text in [
        "failed to load state at height 1200; version does not exist (latest height: 1199)",
        "allora-1 is not ready; please wait for first block: invalid height",
        "context deadline exceeded",
        "context canceled",
    ] {
        simulated(6, text, Class::NodeTrouble);
        simulated(18, text, Class::NodeTrouble);
    }
    assert_eq!(Class::NodeTrouble.action(), Action::BackOff);
}

#[test]
fn a_simulation_that_nothing_is_known_of_is_no_success() {
    simulated(6, "something new", Class::Unknown);
    simulated(4, "unauthorised", Class::Refused);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(
        before in "\\PC{0,20}",
        mark in "(expected |gasWanted: |required: |gasUsed: |account sequence mismatch|out of gas|insufficient fee)",
        after in "[0-9]{0,60}\\PC{0,20}",
        code in 0_u32..100,
    ) {
        let text = format!("{before}{mark}{after}");
        for stage in [Stage::Simulate, Stage::Check, Stage::Deliver] {
            for codespace in ["sdk", "emissions", "undefined"] {
                let class = Class::of(stage, codespace, code, &text);
                prop_assert_eq!(class == Class::Success, code == 0);
            }
        }
    }
}
