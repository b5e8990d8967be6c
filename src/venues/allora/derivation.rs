//! From the words of a mnemonic to the account's key: BIP39 without a passphrase, then BIP32 along `m/44'/118'/0'/0/0`, the path
//! of every Cosmos wallet.
//!
//! Whatever is computed on the way is as secret as the key. Named values are erased when they are dropped, and the stack below
//! is written over, for what the libraries and the compiler have put there.

use bip39::{Language, Mnemonic};
use hmac::{Hmac, KeyInit as _, Mac as _};
use k256::ecdsa::SigningKey;
use k256::elliptic_curve::PrimeField as _;
use k256::{FieldBytes, Scalar};
use sha2::Sha512;
use zeroize::{Zeroize as _, Zeroizing, zeroize_stack};

const HARDENED: u32 = 1 << 31;
/// Purpose, coin type of Cosmos, account, external chain, first address.
const PATH: [u32; 5] = [44 | HARDENED, 118 | HARDENED, HARDENED, 0, 0];
/// More than deriving or signing takes, also without optimisation.
pub(super) const STACK_BYTES: usize = 256 * 1024;

/// Why words are no mnemonic. It holds no word of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MnemonicError {
    #[error("it has {0} words; a mnemonic has 12, 15, 18, 21 or 24, and a raw key is 64 hexadecimal digits")]
    WordCount(usize),
    #[error("its word {0} is not in the English list of BIP39")]
    UnknownWord(usize),
    #[error(
        "all its words are known, but the checksum is wrong: a word was mistaken for another, or two have changed places"
    )]
    Checksum,
    /// One seed of 2^127 or so.
    #[error("its seed gives no key on the path m/44'/118'/0'/0/0")]
    NoKey,
}

/// The key of a mnemonic.
///
/// # Errors
/// When the text is no mnemonic.
pub(super) fn derive(words: &str) -> Result<Box<SigningKey>, MnemonicError> {
    let derived = derive_on_this_stack(words);
    zeroize_stack::<STACK_BYTES>();
    derived
}

/// The key of 32 bytes, unless they are no scalar of the curve.
pub(super) fn raw(bytes: &[u8; 32]) -> Option<Box<SigningKey>> {
    let key = raw_on_this_stack(bytes);
    zeroize_stack::<STACK_BYTES>();
    key
}

#[inline(never)]
fn raw_on_this_stack(bytes: &[u8; 32]) -> Option<Box<SigningKey>> {
    SigningKey::from_slice(bytes).ok().map(Box::new)
}

#[inline(never)]
fn derive_on_this_stack(words: &str) -> Result<Box<SigningKey>, MnemonicError> {
    let mnemonic = Mnemonic::parse_in_normalized(Language::English, words).map_err(|error| match error {
        bip39::Error::BadWordCount(count) => MnemonicError::WordCount(count),
        bip39::Error::UnknownWord(index) => MnemonicError::UnknownWord(index + 1),
        _ => MnemonicError::Checksum,
    })?;
    let seed = Zeroizing::new(mnemonic.to_seed_normalized(""));
    let mut node = Node::master(&seed)?;
    for index in PATH {
        node = node.child(index)?;
    }
    node.key()
}

/// An extended private key of BIP32.
struct Node {
    key: Zeroizing<[u8; 32]>,
    chain_code: Zeroizing<[u8; 32]>,
}

impl Node {
    fn master(seed: &[u8; 64]) -> Result<Self, MnemonicError> {
        let (key, chain_code) = split(hmac_sha512(b"Bitcoin seed", &[seed])?);
        Ok(Self { key, chain_code })
    }

    /// CKDpriv: the child's key is the left half of an HMAC, plus the parent's key, modulo the curve's order.
    fn child(&self, index: u32) -> Result<Self, MnemonicError> {
        let number = index.to_be_bytes();
        let output = if index >= HARDENED {
            hmac_sha512(&self.chain_code[..], &[&[0], &self.key[..], &number])?
        } else {
            let public = self.key()?.verifying_key().to_sec1_point(true);
            hmac_sha512(&self.chain_code[..], &[public.as_bytes(), &number])?
        };
        let (left, chain_code) = split(output);
        let mut sum = scalar(&left)? + scalar(&self.key)?;
        let mut bytes = sum.to_repr();
        let key = Zeroizing::new(bytes.into());
        bytes.zeroize();
        let is_zero = bool::from(sum.is_zero());
        sum.zeroize();
        if is_zero { Err(MnemonicError::NoKey) } else { Ok(Self { key, chain_code }) }
    }

    fn key(&self) -> Result<Box<SigningKey>, MnemonicError> {
        SigningKey::from_slice(&self.key[..]).map(Box::new).map_err(|_| MnemonicError::NoKey)
    }
}

fn scalar(bytes: &[u8; 32]) -> Result<Scalar, MnemonicError> {
    let mut bytes = FieldBytes::from(*bytes);
    let scalar: Option<Scalar> = Scalar::from_repr(bytes).into();
    bytes.zeroize();
    scalar.ok_or(MnemonicError::NoKey)
}

fn hmac_sha512(key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<[u8; 64]>, MnemonicError> {
    // A key of any length is taken.
    let mut mac = Hmac::<Sha512>::new_from_slice(key).map_err(|_| MnemonicError::NoKey)?;
    for part in parts {
        mac.update(part);
    }
    Ok(Zeroizing::new(mac.finalize().into_bytes().into()))
}

fn split(output: Zeroizing<[u8; 64]>) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut halves = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
    halves.0.copy_from_slice(&output[..32]);
    halves.1.copy_from_slice(&output[32..]);
    halves
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// Test vector 1 of [BIP32](https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki), chain m/0'/1.
    #[test]
    fn derivation_agrees_with_the_test_vector_of_bip32() {
        let mut master = Zeroizing::new([0; 64]);
        // The vector's seed has 16 bytes, which BIP39 never gives.
        let seed = HEXLOWER.decode(b"000102030405060708090a0b0c0d0e0f").unwrap();
        master.copy_from_slice(&hmac_sha512(b"Bitcoin seed", &[&seed]).unwrap()[..]);
        let (key, chain_code) = split(master);
        let master = Node { key, chain_code };
        let child = master.child(HARDENED).unwrap();
        let grandchild = child.child(1).unwrap();
        for (node, key) in [
            (&master, "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"),
            (&child, "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"),
            (&grandchild, "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368"),
        ] {
            assert_eq!(HEXLOWER.encode(&node.key[..]), key);
        }
    }

    #[test]
    fn what_is_no_mnemonic_is_refused_without_a_word_of_it() {
        let good = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
        for (words, expected) in [
            (String::new(), MnemonicError::WordCount(0)),
            (good.replace(" about", ""), MnemonicError::WordCount(11)),
            (good.replace("about", "abut"), MnemonicError::UnknownWord(12)),
            (good.replace("about", "above"), MnemonicError::Checksum),
            (good.to_uppercase(), MnemonicError::UnknownWord(1)),
        ] {
            let error = derive(&words).unwrap_err();
            assert_eq!(error, expected);
            assert!(!format!("{error} {error:?}").contains("ab"), "{error}");
        }
        assert!(derive(&good.replace(' ', "\n  ")).is_ok(), "lines and spaces do not matter");
    }

    #[test]
    fn a_raw_key_is_a_scalar_of_the_curve_and_not_zero() {
        let order = HEXLOWER.decode(b"fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141").unwrap();
        let order: [u8; 32] = order.try_into().unwrap();
        assert!(raw(&[0; 32]).is_none() && raw(&order).is_none());
        assert!(raw(&[1; 32]).is_some());
    }
}
