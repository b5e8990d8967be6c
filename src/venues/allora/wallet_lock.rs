//! One node per wallet on a machine. Two that sign with one key take each other's sequence numbers, and each pays for what the
//! other has broken.
//!
//! The lock is a name among the machine's abstract sockets: it needs no file, any user of the machine sees it, and the kernel
//! takes it back when the process ends, however it ends. A container with a network of its own does not see it.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::address::Address;

/// The wallet cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum WalletLockError {
    /// Another process on this machine has it.
    #[error(
        "another process on this machine signs with the wallet {0}: stop it first, or give this one a wallet of its own"
    )]
    Taken(Address),
    /// The system refuses.
    #[error("the wallet {address} cannot be locked, for which this program needs Linux's abstract sockets")]
    Refused {
        /// Whose wallet.
        address: Address,
        /// Why.
        #[source]
        cause: io::Error,
    },
}

/// Held as long as it lives.
#[derive(Debug)]
pub struct WalletLock(#[expect(dead_code, reason = "it is held, not used")] UnixListener);

impl WalletLock {
    /// Takes the lock of a wallet on a chain: test keys may be in use on several.
    ///
    /// # Errors
    /// When another process holds it, or the system has no abstract sockets.
    pub fn take(address: &Address, chain_id: &str) -> Result<Self, WalletLockError> {
        // Such a name has at most 107 bytes, and a chain's may be long.
        let chain = HEXLOWER.encode(&Sha256::digest(chain_id)[..8]);
        let name = format!("sentinel-wallet/{chain}/{address}");
        let bound = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        bound.map(Self).map_err(|cause| match cause.kind() {
            io::ErrorKind::AddrInUse => WalletLockError::Taken(*address),
            _ => WalletLockError::Refused { address: *address, cause },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_is_locked_once_per_chain_and_free_again_afterwards() {
        let address = Address::of_public_key(&[7; 33]);
        let held = WalletLock::take(&address, "test-lock-1").unwrap();
        let taken = WalletLock::take(&address, "test-lock-1").unwrap_err();
        assert!(matches!(taken, WalletLockError::Taken(whose) if whose == address));
        assert!(WalletLock::take(&address, &"2".repeat(50)).is_ok(), "the same key on another chain");
        assert!(WalletLock::take(&Address::of_public_key(&[8; 33]), "test-lock-1").is_ok(), "another wallet");
        drop(held);
        assert!(WalletLock::take(&address, "test-lock-1").is_ok());
    }
}
