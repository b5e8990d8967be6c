//! The worker's key: where it comes from, what it signs, and what keeps it out of every text.
//!
//! A wallet has no `Debug` of its key and no way to give it away. What was read is erased as soon as the key is derived, and the
//! key when the wallet is dropped. The environment of the process stays where the system has put it: a file is safer.
//! No error holds a part of what was read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER_PERMISSIVE;
use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use prost::Message as _;
use zeroize::{Zeroizing, zeroize_stack};

use super::address::{Address, AddressError};
pub use super::derivation::MnemonicError;
use super::derivation::{STACK_BYTES, derive, raw};
use super::messages::{Any, Emissions};
use super::signing::{SignedTx, Signer, TxTerms, Unsigned, WorkerData};
use crate::config::{Env, MNEMONIC};
use crate::exit::{self, ExitError};

/// Variable that names the file of the mnemonic or the key.
pub const MNEMONIC_FILE: &str = "ALLORA_MNEMONIC_FILE";
/// Variable with the address that the wallet must have.
pub const WALLET_ADDR: &str = "ALLORA_WALLET_ADDR";
/// Variable with the topic that forecasts go to.
pub const TOPIC_ID: &str = "TOPIC_ID";
/// Where systemd puts a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// A mnemonic of 24 words has 215 bytes at most.
const SECRET_BYTES_MAX: usize = 4_096;
const KEY_BYTES: usize = 32;

/// A key that signs for one address.
pub struct Wallet {
    /// Behind a pointer, so that a wallet that is moved leaves no copy behind.
    key: Box<SigningKey>,
    signer: Signer,
}

/// Why there is no wallet. None of these holds a part of the secret.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    #[error(
        "there is no wallet: neither ALLORA_MNEMONIC_FILE nor MNEMONIC is set, and systemd gives no credential MNEMONIC"
    )]
    Missing,
    #[error("the wallet's file {} cannot be read", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the wallet's file {} is no file", .0.display())]
    NotAFile(PathBuf),
    #[error("the wallet's file {} can be read by others (its mode is {mode:03o})", path.display())]
    ReadableByOthers { path: PathBuf, mode: u32 },
    #[error("the wallet's file {} has more than 4096 bytes, or is no text", .0.display())]
    NotText(PathBuf),
    #[error("the wallet in {place} cannot be used")]
    Secret { place: String, source: SecretError },
    #[error("ALLORA_WALLET_ADDR cannot be used")]
    Address(#[from] AddressError),
    #[error("the wallet in {place} has the address {wallet}, but ALLORA_WALLET_ADDR is {expected}")]
    OtherAddress { place: String, wallet: Address, expected: Address },
    #[error("TOPIC_ID is '{0}', which is no number of a topic")]
    Topic(String),
}

/// Why a text is neither a mnemonic nor a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("it is empty")]
    Empty,
    #[error("it is no mnemonic")]
    Mnemonic(#[from] MnemonicError),
    #[error("it is a raw key out of range: not between 1 and the order of secp256k1")]
    Key,
}

impl ExitError for WalletError {
    fn exit_code(&self) -> u8 {
        exit::CONFIG
    }

    fn advice(&self) -> Option<String> {
        Some(match self {
            Self::Missing => {
                "write the mnemonic, or the raw key, into a file that only this user can read (chmod 600), and set \
                              ALLORA_MNEMONIC_FILE to its path"
                    .to_owned()
            }
            Self::Unreadable { path, .. } => {
                format!("check that {} exists and that the user of this process may read it", path.display())
            }
            Self::NotAFile(_) => "name a plain file; pipes and directories are not read".to_owned(),
            Self::ReadableByOthers { path, .. } => format!(
                "chmod 600 {}; if others use this machine, they may have read it: then make a new wallet",
                path.display()
            ),
            Self::NotText(_) | Self::Secret { .. } => {
                "write 12, 15, 18, 21 or 24 English words of BIP39 in their order, or the \
                                                       raw key as 64 hexadecimal digits, and nothing else"
                    .to_owned()
            }
            Self::Address(_) => {
                "copy the address again, it begins with allo1; or leave ALLORA_WALLET_ADDR out".to_owned()
            }
            Self::OtherAddress { .. } => {
                "use the mnemonic of that address, or correct ALLORA_WALLET_ADDR; nothing was signed".to_owned()
            }
            Self::Topic(_) => "write a whole number above zero, such as 67, or leave TOPIC_ID out".to_owned(),
        })
    }
}

/// Where a secret is.
enum Place<'e> {
    /// A file that the operator names.
    File(PathBuf),
    /// A file that systemd has made for this service.
    Credential(PathBuf),
    /// A variable, of the process or of a `.env` file.
    Variable { text: &'e str, file: Option<&'e Path> },
}

impl<'e> Place<'e> {
    fn find(env: &'e Env) -> Result<Self, WalletError> {
        if let Some(path) = env.get(MNEMONIC_FILE) {
            return Ok(Self::File(path.into()));
        }
        let credential = env.get(CREDENTIALS).map(|folder| Path::new(folder).join(MNEMONIC));
        if let Some(path) = credential.filter(|path| path.exists()) {
            return Ok(Self::Credential(path));
        }
        let (text, file) = env.mnemonic().ok_or(WalletError::Missing)?;
        Ok(Self::Variable { text, file })
    }

    fn open(&self) -> Result<Wallet, WalletError> {
        match self {
            Self::File(path) => self.parse(file_text(path, 0o077)?.as_str()),
            // systemd lets the service's user in by an access list, which shows as rights of the group.
            Self::Credential(path) => self.parse(file_text(path, 0o007)?.as_str()),
            Self::Variable { text, file } => {
                if let Some(path) = file {
                    check_mode(path, &fs::metadata(path).map_err(|source| unreadable(path, source))?, 0o077)?;
                }
                self.parse(text)
            }
        }
    }

    fn parse(&self, text: &str) -> Result<Wallet, WalletError> {
        Wallet::parse(text).map_err(|source| WalletError::Secret { place: self.to_string(), source })
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Credential(path) => write!(f, "{}", path.display()),
            Self::Variable { file: Some(path), .. } => write!(f, "{MNEMONIC} of {}", path.display()),
            Self::Variable { file: None, .. } => write!(f, "the variable {MNEMONIC}"),
        }
    }
}

impl Wallet {
    /// The wallet that the environment names: the file of `ALLORA_MNEMONIC_FILE`, else systemd's credential `MNEMONIC`, else the
    /// variable `MNEMONIC` of the process or of `.env`. Each holds a mnemonic, or a raw key as 64 hexadecimal digits.
    ///
    /// # Errors
    /// When there is none, others can read it, it cannot be used, or its address is not that of `ALLORA_WALLET_ADDR`.
    pub fn open(env: &Env) -> Result<Self, WalletError> {
        let expected = env.get(WALLET_ADDR).map(|text| text.trim().parse::<Address>()).transpose()?;
        let place = Place::find(env)?;
        let wallet = place.open()?;
        match expected {
            Some(expected) if expected != wallet.address() => {
                Err(WalletError::OtherAddress { place: place.to_string(), wallet: wallet.address(), expected })
            }
            _ => Ok(wallet),
        }
    }

    /// The wallet of a mnemonic, or of a raw key as 64 hexadecimal digits. `text` is left to its owner to erase.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(SecretError::Empty);
        }
        let key = match key_bytes(text) {
            Some(bytes) => raw(&bytes).ok_or(SecretError::Key)?,
            None => derive(text)?,
        };
        let mut public_key = [0; 33];
        public_key.copy_from_slice(key.verifying_key().to_sec1_point(true).as_bytes());
        Ok(Self { key, signer: Signer { address: Address::of_public_key(&public_key), public_key } })
    }

    /// The account that pays and is known to the topic.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.signer.address
    }

    /// The compressed public key.
    #[must_use]
    pub const fn public_key(&self) -> &[u8; 33] {
        &self.signer.public_key
    }

    /// The message that submits `data`, with its inner signature.
    #[must_use]
    pub fn sign_worker_data(&self, data: &WorkerData, emissions: Emissions) -> Any {
        let bundle = data.bundle(self.address(), emissions);
        let signature = self.sign(&bundle.encode_to_vec());
        data.payload(&self.signer, bundle, signature, emissions)
    }

    /// The message that registers the worker in a topic.
    #[must_use]
    pub fn registration(&self, topic_id: u64, emissions: Emissions) -> Any {
        self.signer.registration(topic_id, emissions)
    }

    /// The transaction with this one message.
    #[must_use]
    pub fn sign_tx(&self, message: Any, terms: &TxTerms) -> SignedTx {
        let unsigned = Unsigned::new(message, terms, &self.signer);
        let signature = self.sign(&unsigned.sign_doc);
        unsigned.signed(signature)
    }

    /// The same transaction with an empty signature, to ask a node what it would cost. No node would execute it.
    #[must_use]
    pub fn tx_for_simulation(&self, message: Any, terms: &TxTerms) -> Vec<u8> {
        Unsigned::new(message, terms, &self.signer).raw(&[])
    }

    fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        let signature = sign_on_this_stack(&self.key, bytes);
        zeroize_stack::<STACK_BYTES>();
        signature
    }
}

/// A signature's nonce leads to the key, and is left on the stack by the library.
#[inline(never)]
fn sign_on_this_stack(key: &SigningKey, bytes: &[u8]) -> [u8; 64] {
    let signature: Signature = key.sign(bytes);
    signature.to_bytes().into()
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.signer.address)
    }
}

/// The topic that the environment names.
///
/// # Errors
/// When `TOPIC_ID` is no number of a topic.
pub fn topic_of(env: &Env) -> Result<Option<u64>, WalletError> {
    let read = |text: &str| {
        text.trim().parse().ok().filter(|topic| *topic > 0).ok_or_else(|| WalletError::Topic(text.to_owned()))
    };
    env.get(TOPIC_ID).map(read).transpose()
}

/// A text of 64 hexadecimal digits, also after `0x`.
fn key_bytes(text: &str) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    let is_key =
        digits.len() == 2 * KEY_BYTES && HEXLOWER_PERMISSIVE.decode_mut(digits.as_bytes(), &mut bytes[..]).is_ok();
    is_key.then_some(bytes)
}

fn unreadable(path: &Path, source: io::Error) -> WalletError {
    WalletError::Unreadable { path: path.to_owned(), source }
}

fn check_mode(path: &Path, metadata: &fs::Metadata, of_others: u32) -> Result<(), WalletError> {
    let mode = metadata.permissions().mode() & 0o777;
    if mode & of_others == 0 { Ok(()) } else { Err(WalletError::ReadableByOthers { path: path.to_owned(), mode }) }
}

/// The text of a file that none of `of_others` has a right to.
fn file_text(path: &Path, of_others: u32) -> Result<Zeroizing<String>, WalletError> {
    let failed = |source| unreadable(path, source);
    // Asked before it is opened: opening a pipe would wait for its other end.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(WalletError::NotAFile(path.to_owned()));
    }
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file.metadata().map_err(failed)?, of_others)?;
    // Large enough from the beginning: a buffer that grows leaves its old self behind.
    let mut text = Zeroizing::new(String::with_capacity(SECRET_BYTES_MAX + 1));
    match file.take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(WalletError::NotText(path.to_owned())),
        Err(error) => Err(failed(error)),
        Ok(count) if count > SECRET_BYTES_MAX => Err(WalletError::NotText(path.to_owned())),
        Ok(_) => Ok(text),
    }
}
