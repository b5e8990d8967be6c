//! Addresses, hashes and signatures, as the chain checks them.

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use data_encoding::HEXUPPER;
use k256::ecdsa::signature::Verifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use ripemd::Ripemd160;
use sha2::{Digest as _, Sha256};

/// What an account's address begins with.
const PREFIX: &str = "allo";

/// Whether the text is the address of an account: bech32, prefix `allo`, 20 bytes, lower case.
pub(super) fn is_address(text: &str) -> bool {
    CheckedHrpstring::new::<Bech32>(text).is_ok_and(|checked| {
        checked.hrp().as_str() == PREFIX
            && checked.byte_iter().count() == 20
            && !text.bytes().any(|byte| byte.is_ascii_uppercase())
    })
}

/// The address of a compressed public key; `None` when it is none.
pub(super) fn address_of(public_key: &[u8]) -> Option<String> {
    if public_key.len() != 33 || VerifyingKey::from_sec1_bytes(public_key).is_err() {
        return None;
    }
    let hash = Ripemd160::digest(Sha256::digest(public_key));
    bech32::encode::<Bech32>(Hrp::parse(PREFIX).ok()?, &hash).ok()
}

/// The hash of a transaction's bytes, as it is written: 64 upper-case hex digits.
pub fn hash_of(transaction: &[u8]) -> String {
    HEXUPPER.encode(&Sha256::digest(transaction))
}

/// Whether `signature` is 64 bytes r‖s with a low s (k256 takes no other), and of this key over the SHA-256 of `message`.
pub(super) fn is_signed(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    match (VerifyingKey::from_sec1_bytes(public_key), Signature::from_slice(signature)) {
        (Ok(key), Ok(signature)) => key.verify(message, &signature).is_ok(),
        _ => false,
    }
}
