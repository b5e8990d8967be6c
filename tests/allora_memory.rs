//! What a core dump would show: this process reads its own memory after a wallet was opened, used and dropped.
//!
//! The words are written here so that they are nowhere in the program: each byte is changed, and stays so in the search. It is the
//! only test of its process, so that little memory is to be read.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking too")]

use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;

use data_encoding::HEXLOWER;
use sentinel::config::Env;
use sentinel::venues::allora::decimal::Dec;
use sentinel::venues::allora::messages::Emissions;
use sentinel::venues::allora::signing::WorkerData;
use sentinel::venues::allora::wallet::Wallet;
use zeroize::Zeroizing;

const MASK: u8 = 0x5a;
/// Twelve words that no other test has.
const WORDS: &str = "283b39393535347a293b3e3e363f7a2e2f282e363f7a303b3d2f3b287a39283339313f2e7a3e35362a3233347a292b2f3328283f367a3633203b283e7a2d3b36342f2e7a203f38283b7a292a333e3f287a323b203b283e";
const ADDRESS: &str = "allo1x8rjzftjtyhtp23lhzkx242rwzls7axm6rzua4";
/// Their key, big-endian.
const MASKED_KEY: &str = "d55ac2d343e5b26a6d30df830d82f4f44672f2591e274b88e54939ba0791647b";

/// What their key is derived from: the entropy, the seed, and the key and the chain code of the root.
const MASKED_STEPS: [&str; 5] = [
    "ea0de1f1e1c96cdbeeb64cac85a91cee",
    "1995c76134f82ac115ed290c3fa5a1fd0baf5ece7dcd10aeb66be8e7202828d5",
    "3a49e500f77ad2e30a0957ada3adcb80cdeb8a57f2eb0f19cedab2be48d09187",
    "a7ce1d915747c1ddbc8e065caa39f2df665ff21b840b6fd34b5aa9bae4f484cf",
    "ed16e913e6748a2f52e3ec7f7a417f78688418c2d94adcbab8040b4eb2708f57",
];

fn masked(hex: &str) -> Vec<u8> {
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

/// How often the unmasked bytes are in the memory that this process can write to. The search keeps no copy of what it reads,
/// and never unmasks what it looks for.
fn found(masked: &[u8]) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut memory = File::open("/proc/self/mem").unwrap();
    let mut part = Zeroizing::new(vec![0; 1 << 16]);
    // What was read last is no copy of the program's.
    let own = part.as_ptr().addr() as u64..(part.as_ptr().addr() + part.len()) as u64;
    let mut count = 0;
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [mut from, to] = [from, to].map(|address| u64::from_str_radix(address, 16).unwrap());
        while from + (masked.len() as u64) <= to {
            let wanted = part.len().min((to - from) as usize);
            // A part that was freed meanwhile cannot be read, and holds nothing.
            let read = memory.seek(SeekFrom::Start(from)).and_then(|_| memory.read(&mut part[..wanted])).unwrap_or(0);
            if read < masked.len() {
                break;
            }
            let is_there = |window: &[u8]| window.iter().zip(masked).all(|(byte, masked)| byte ^ MASK == *masked);
            let windows = part[..read].windows(masked.len()).zip(from..);
            count += windows.filter(|(window, at)| !own.contains(at) && is_there(window)).count();
            // The next part begins with what may be the beginning of an occurrence.
            from += (read - masked.len() + 1) as u64;
        }
    }
    count
}

#[test]
fn a_wallet_that_was_dropped_has_left_nothing_in_the_memory() {
    let (words, key) = (masked(WORDS), masked(MASKED_KEY));
    let reversed: Vec<u8> = key.iter().rev().copied().collect();
    // Any two words in a row are enough.
    let pair = &words[..14];
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("words");
    {
        let plain: Zeroizing<Vec<u8>> = Zeroizing::new(words.iter().map(|byte| byte ^ MASK).collect());
        fs::write(&path, &plain[..]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(found(pair) > 0, "the search finds what is there");
    }
    let env: Env = [("ALLORA_MNEMONIC_FILE", path.to_str().unwrap())].into_iter().collect();
    let wallet = Wallet::open(&env).unwrap();
    assert_eq!(wallet.address().to_string(), ADDRESS);
    // The key itself is kept as a number, and so in the order of this machine.
    let steps = MASKED_STEPS.map(masked);
    let of_steps = || steps.iter().map(|step| found(step)).collect::<Vec<_>>();
    assert_eq!(of_steps(), [0; 5], "what the key was derived from");
    let copies = || [pair, &key, &reversed].map(found);
    assert_eq!(copies(), [0, 0, 1], "words, key, key of this wallet, once it is open");
    let data = WorkerData::of_value(67, 100, Dec::parse("0.1").unwrap());
    let _ = wallet.sign_worker_data(&data, Emissions::V10);
    assert_eq!(copies(), [0, 0, 1], "words, key, key of this wallet, once it has signed");
    drop(wallet);
    assert_eq!(copies(), [0, 0, 0], "words, key, key of this wallet, once it is gone");
}
