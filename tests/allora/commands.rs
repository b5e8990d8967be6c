//! `sentinel allora` as a process: what it prints, and with which code it ends.

use std::fs;

use clap::CommandFactory as _;
use sentinel::cli::Cli;
use serde_json::{Value, json};

use super::node::run;
use super::vectors::{cases, vectors};

#[test]
fn canonical_prints_the_decimal_of_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let canonical = |text: &str| run(dir.path(), ["allora", "canonical", text]).expect(0).out;
    for vector in vectors()["dec_canonical"].as_array().unwrap() {
        let (text, expected) = (vector["in"].as_str().unwrap(), vector["canonical"].as_str().unwrap());
        assert_eq!(canonical(text), format!("{expected}\n"));
    }
}

#[test]
fn canonical_ends_with_1_and_the_reason_where_there_is_no_decimal() {
    let dir = tempfile::tempdir().unwrap();
    for (text, reason) in [
        ("nan", "'nan' is not a finite number"),
        ("-inf", "'-inf' is not a finite number"),
        ("1e41", "'1e41' is above 1e40"),
        ("-1e-41", "'-1e-41' is below 1e-40"),
        ("0,5", "'0,5' is not a decimal number"),
        ("", "'' is not a decimal number"),
        ("--x", "'--x' is not a decimal number"),
    ] {
        let ended = run(dir.path(), ["allora", "canonical", text]).expect(1);
        assert!(ended.err.contains(reason) && ended.out.is_empty(), "{text}: {}", ended.err);
    }
}

#[test]
fn a_case_that_cannot_be_signed_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let (_, good) = cases().remove(5);
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut case = good.clone();
        change(&mut case);
        case.to_string()
    };
    let cases: [(String, i32, &str); 11] = [
        ("{".to_owned(), 1, "look at line 1, column 1"),
        (changed(&|case| case["kind"] = json!("stake")), 1, "is not as in the vectors"),
        (changed(&|case| case["emissions"] = json!("v8")), 1, "is not as in the vectors"),
        (changed(&|case| case["input"]["fee_granter"] = json!("allo1")), 1, "is not as in the vectors"),
        (changed(&|case| drop(case["input"].as_object_mut().unwrap().remove("value_input"))), 1, "has no value_input"),
        (changed(&|case| case["input"]["value_input"] = json!("1e41")), 1, "because: '1e41' is above 1e40"),
        (changed(&|case| case["input"]["value_kind"] = json!("integer")), 1, "is not as in the vectors"),
        (changed(&|case| case["input"]["fee_amount"] = json!("-1")), 1, "fee_amount is no whole number"),
        (changed(&|case| case["input"]["extra_data_hex"] = json!("0g")), 1, "extra_data_hex is not hexadecimal"),
        (
            changed(&|case| case["input"]["forecast_elements"][0]["inferer"] = json!("allo1")),
            1,
            "because: 'allo1' is no address",
        ),
        (changed(&|case| case["input"]["mnemonic"] = json!("zoo zoo")), 78, "because: it has 2 words"),
    ];
    for (case, code, reason) in cases {
        fs::write(dir.path().join("case.json"), &case).unwrap();
        let ended = run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(code);
        assert!(ended.err.contains(reason) && ended.out.is_empty(), "{reason}: {}", ended.err);
    }
    let ended = run(dir.path(), ["allora", "sign", "--input", "none.json"]).expect(1);
    assert!(ended.err.contains("the case none.json cannot be read"), "{}", ended.err);
}

#[test]
fn the_command_that_signs_a_case_warns_of_the_words_in_it() {
    let mut program = Cli::command();
    let sign = program.find_subcommand_mut("allora").unwrap().find_subcommand_mut("sign").unwrap();
    assert!(sign.render_long_help().to_string().contains("holds its mnemonic in clear. It is for tests"));
}
