//! Where a wallet may come from, and the texts of those that cannot be used. Each ends with 78 and says what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::node::{Ended, Node, SENTINEL, program};
use super::vectors::{ADDRESS, KEY, MNEMONIC};

const OTHER_ADDRESS: &str = "allo1am058pdux3hyulcmfgj4m3hhrlfn8nzmf5xyce";
const OTHER_MNEMONIC: &str = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo wrong";

pub fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// `sentinel allora address` in `dir`, with these variables and no others that could name a wallet.
pub fn address(dir: &Path, variables: &[(&str, &str)]) -> Ended {
    let mut command = program(SENTINEL, dir);
    for name in ["MNEMONIC", "ALLORA_MNEMONIC_FILE", "ALLORA_WALLET_ADDR", "TOPIC_ID", "CREDENTIALS_DIRECTORY"] {
        command.env_remove(name);
    }
    Node::spawn(dir, command.args(["allora", "address"]).envs(variables.iter().copied())).end()
}

#[track_caller]
fn refused(ended: Ended, says: &[&str]) {
    let ended = ended.expect(78);
    assert!(ended.out.is_empty() && ended.err.contains("\n  what to do: "), "{ended:?}");
    for text in says {
        assert!(ended.err.contains(text), "'{text}' is missing in {}", ended.err);
    }
}

#[test]
fn a_wallet_comes_from_a_file_a_credential_the_environment_or_dotenv() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("words"), &format!("{MNEMONIC}\n"), 0o600);
    write(&dir.path().join("key"), &format!("{KEY}\n"), 0o400);
    fs::create_dir(dir.path().join("credentials")).unwrap();
    // As systemd shows what an access list lets the service's user read.
    write(&dir.path().join("credentials/MNEMONIC"), MNEMONIC, 0o440);
    for variables in [
        [("ALLORA_MNEMONIC_FILE", "words")],
        [("ALLORA_MNEMONIC_FILE", "key")],
        [("CREDENTIALS_DIRECTORY", "credentials")],
        [("MNEMONIC", MNEMONIC)],
        [("MNEMONIC", KEY)],
    ] {
        assert_eq!(address(dir.path(), &variables).expect(0).out, format!("{ADDRESS}\n"), "{variables:?}");
    }
    for line in [format!("MNEMONIC={MNEMONIC}\n"), format!("A=1\nexport MNEMONIC=\"{MNEMONIC}\" # of a test\n")] {
        write(&dir.path().join(".env"), &line, 0o600);
        assert_eq!(address(dir.path(), &[]).expect(0).out, format!("{ADDRESS}\n"), "{line}");
    }
    write(&dir.path().join(".env"), "ALLORA_MNEMONIC_FILE=words\n", 0o644);
    assert_eq!(address(dir.path(), &[]).expect(0).out, format!("{ADDRESS}\n"), "a path is no secret");
}

#[test]
fn a_named_file_goes_before_a_credential_and_both_before_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("words"), MNEMONIC, 0o600);
    write(&dir.path().join("MNEMONIC"), OTHER_MNEMONIC, 0o400);
    let environment = ("MNEMONIC", "not looked at");
    let credential = ("CREDENTIALS_DIRECTORY", ".");
    let by_file = address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "words"), credential, environment]).expect(0);
    assert_eq!(by_file.out, format!("{ADDRESS}\n"));
    let by_credential = address(dir.path(), &[credential, environment]).expect(0);
    assert_eq!(by_credential.out, format!("{OTHER_ADDRESS}\n"));
    // A service has other credentials, and its wallet in the environment.
    fs::remove_file(dir.path().join("MNEMONIC")).unwrap();
    let by_environment = address(dir.path(), &[credential, ("MNEMONIC", MNEMONIC)]).expect(0);
    assert_eq!(by_environment.out, format!("{ADDRESS}\n"));
    write(&dir.path().join(".env"), &format!("MNEMONIC={OTHER_MNEMONIC}\n"), 0o644);
    let by_process = address(dir.path(), &[("MNEMONIC", MNEMONIC)]).expect(0);
    assert_eq!(by_process.out, format!("{ADDRESS}\n"), "the process goes before .env, which then does not matter");
}

#[test]
fn a_wallet_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o640, 0o604, 0o644, 0o620, 0o601, 0o777] {
        write(&dir.path().join("words"), MNEMONIC, mode);
        let said = format!("words can be read by others (its mode is {mode:o})");
        refused(address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "words")]), &[&said, "chmod 600 words"]);
    }
    write(&dir.path().join("MNEMONIC"), MNEMONIC, 0o444);
    refused(address(dir.path(), &[("CREDENTIALS_DIRECTORY", ".")]), &["MNEMONIC can be read by others"]);
    write(&dir.path().join(".env"), &format!("MNEMONIC={MNEMONIC}\n"), 0o644);
    refused(address(dir.path(), &[]), &[".env can be read by others (its mode is 644)", "chmod 600 ./.env"]);
}

#[test]
fn a_wallet_that_is_not_there_or_is_none_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    refused(address(dir.path(), &[]), &["there is no wallet", "set ALLORA_MNEMONIC_FILE to its path"]);
    refused(address(dir.path(), &[("MNEMONIC", "")]), &["there is no wallet"]);
    let file = |text: &str| {
        write(&dir.path().join("words"), text, 0o600);
        address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "words")])
    };
    for (text, said) in [
        ("", "it is empty"),
        (&MNEMONIC[8..], "it has 11 words"),
        (&MNEMONIC.replace("about", "abutt"), "its word 12 is not in the English list of BIP39"),
        (&MNEMONIC.replace("about", "abandon"), "but the checksum is wrong"),
        (&KEY[1..], "it has 1 words; a mnemonic has 12, 15, 18, 21 or 24, and a raw key is 64 hexadecimal digits"),
        (&"0".repeat(64), "a raw key out of range"),
        (&"abandon ".repeat(600), "more than 4096 bytes"),
    ] {
        refused(file(text), &[said, "in their order"]);
    }
    fs::write(dir.path().join("words"), [0xff, 0xfe]).unwrap();
    refused(address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "words")]), &["or is no text"]);
    refused(
        address(dir.path(), &[("ALLORA_MNEMONIC_FILE", "none")]),
        &["the wallet's file none cannot be read", "because: No such file", "check that none exists"],
    );
    refused(address(dir.path(), &[("ALLORA_MNEMONIC_FILE", ".")]), &["is no file"]);
    refused(address(dir.path(), &[("MNEMONIC", "zoo")]), &["the wallet in the variable MNEMONIC cannot be used"]);
}

#[test]
fn the_address_and_the_topic_of_the_environment_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let with = |name, value| address(dir.path(), &[("MNEMONIC", MNEMONIC), (name, value)]);
    assert_eq!(with("ALLORA_WALLET_ADDR", ADDRESS).expect(0).out, format!("{ADDRESS}\n"));
    assert_eq!(with("TOPIC_ID", "67").expect(0).out, format!("{ADDRESS}\n"));
    let both = format!("has the address {ADDRESS}, but ALLORA_WALLET_ADDR is {OTHER_ADDRESS}");
    refused(with("ALLORA_WALLET_ADDR", OTHER_ADDRESS), &[&both, "use the mnemonic of that address"]);
    refused(with("ALLORA_WALLET_ADDR", &ADDRESS[1..]), &["ALLORA_WALLET_ADDR cannot be used", "is no address"]);
    for topic in ["0", "-1", "BTC", "67.0", "18446744073709551616"] {
        refused(with("TOPIC_ID", topic), &[&format!("TOPIC_ID is '{topic}', which is no number of a topic")]);
    }
}
