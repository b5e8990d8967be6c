//! A mnemonic of unmistakable words, looked for in everything that the program says and writes while it has it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sentinel::config::Env;
use sentinel::venues::allora::wallet::Wallet;
use serde_json::json;

use super::node::{Ended, Node, SENTINEL, program, run};
use super::wallets::{address, write};

const MNEMONIC: &str = "zebra walnut ostrich lobster velvet pumpkin tornado buffalo giraffe mushroom cactus kangaroo";
const KEY: &str = "3e2f7a9b1c4d5e6f70819aabbccddeeff0112233445566778899aabbccddeeff";

/// No word of the mnemonic, and no part of the key.
#[track_caller]
fn is_clean(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let key = [&KEY[..8], &KEY[20..28], &KEY[56..]];
    for part in MNEMONIC.split(' ').chain(key) {
        assert!(!text.contains(part), "{what} has '{part}'");
    }
}

#[track_caller]
fn said_nothing(ended: &Ended) {
    is_clean("standard output", ended.out.as_bytes());
    is_clean("standard error", ended.err.as_bytes());
}

/// Everything below `dir` but what the test itself has put there.
fn wrote_nothing(dir: &Path, given: &[&str]) -> usize {
    let mut files = 0;
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            files += wrote_nothing(&path, given);
        } else if !given.contains(&path.file_name().unwrap().to_str().unwrap()) {
            is_clean(&path.display().to_string(), &fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

#[test]
fn no_word_of_a_wallet_is_in_an_error_of_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let swapped = MNEMONIC.replace("zebra walnut", "walnut zebra");
    let wrong = [
        MNEMONIC.to_owned(),
        swapped,
        MNEMONIC.replace("kangaroo", "kangaro"),
        MNEMONIC.replace(" kangaroo", ""),
        MNEMONIC.to_uppercase(),
        MNEMONIC.replace(' ', ","),
        KEY.to_owned(),
        KEY.replace('3', "g"),
        KEY[..60].to_owned(),
        format!("{KEY}{KEY}"),
    ];
    for text in &wrong {
        for mode in [0o600, 0o644] {
            write(&dir.path().join("words"), text, mode);
            said_nothing(&address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "words")]));
        }
        said_nothing(&address(dir.path(), &[("MNEMONIC", text), ("ALLORA_WALLET_ADDR", "allo1")]));
        let case = json!({"kind": "register", "emissions": "v10", "input": {"mnemonic": text}});
        fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
        said_nothing(&run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(1));
        for line in [format!("MNEMONIC={text}\n"), format!("MNEMONIC='{text}\n"), format!("NAME={text} {text}\n")] {
            write(&dir.path().join(".env"), &line, 0o600);
            said_nothing(&address(dir.path(), &[]));
            said_nothing(&run(dir.path(), ["report"]));
        }
        fs::remove_file(dir.path().join(".env")).unwrap();
    }
    // A mnemonic in the wrong place of a case is not quoted either.
    for case in [json!({"kind": MNEMONIC}), json!({"kind": "register", "emissions": MNEMONIC}), json!(MNEMONIC)] {
        fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
        said_nothing(&run(dir.path(), ["allora", "sign", "--input", "case.json"]).expect(1));
    }
}

#[test]
fn no_word_of_a_wallet_is_in_what_can_be_printed_or_in_a_panic() {
    let env: Env = [("MNEMONIC", MNEMONIC), ("ALLORA_WALLET_ADDR", "allo1")].into_iter().collect();
    let wallet = Wallet::parse(MNEMONIC).unwrap();
    is_clean("debug", format!("{wallet:?} {wallet:#?} {env:?} {env:#?}").as_bytes());
    let error = Wallet::open(&env).unwrap_err();
    is_clean("an error", format!("{error} {error:?} {error:#?}").as_bytes());
    for text in [KEY, &MNEMONIC.replace("zebra", "walnut")] {
        let error = Wallet::parse(text).map(|wallet| wallet.address());
        is_clean("a result", format!("{error:?}").as_bytes());
    }
    let panic = catch_unwind(AssertUnwindSafe(|| {
        Wallet::open(&env).unwrap();
    }));
    is_clean("a panic", panic.unwrap_err().downcast_ref::<String>().unwrap().as_bytes());
}

/// The whole node with a wallet in its environment, while parts of it panic, hang and are killed.
#[test]
fn no_word_of_a_wallet_is_in_logs_panics_or_the_journal_of_a_node() {
    for by_file in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = program(SENTINEL, dir.path());
        if by_file {
            write(&dir.path().join(".env"), &format!("MNEMONIC={MNEMONIC}\nSENTINEL_LOG_LEVEL=trace\n"), 0o600);
            command.env_remove("MNEMONIC");
        } else {
            command.env("MNEMONIC", MNEMONIC).env("SENTINEL_LOG_LEVEL", "trace");
        }
        let args = ["demo", "--chaos", "--seed", "7", "--bars", "400", "--speed", "max", "--state", "state"];
        let ended = Node::spawn(dir.path(), command.args(args)).end().expect(0);
        said_nothing(&ended);
        assert!(dir.path().join("state/journal.db").is_file());
        assert!(wrote_nothing(dir.path(), &[".env"]) >= 3);
    }
}
