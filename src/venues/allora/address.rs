//! An account's address: RIPEMD-160 of SHA-256 of its compressed public key, written in bech32 with the prefix `allo`
//! ([ADR-028](https://docs.cosmos.network/main/build/architecture/adr-028-public-key-addresses), "legacy" keys).

use std::fmt;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use ripemd::{Digest as _, Ripemd160};
use sha2::Sha256;

const PREFIX: Hrp = Hrp::parse_unchecked("allo");
const BYTES: usize = 20;

/// An address of an account, with a checksum that was right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address([u8; BYTES]);

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("'{0}' is no address: its checksum or its form is wrong")]
    Checksum(String),
    #[error("'{text}' is no address of Allora: it begins with '{prefix}' and not with 'allo'")]
    Prefix { text: String, prefix: String },
    #[error("'{text}' is no address of an account: it has {bytes} bytes and not 20")]
    Length { text: String, bytes: usize },
    /// The chain compares addresses as texts, and writes them in lower case.
    #[error("'{0}' is not written in lower case")]
    Case(String),
}

impl Address {
    /// Of a compressed public key, 33 bytes.
    #[must_use]
    pub fn of_public_key(compressed: &[u8]) -> Self {
        Self(Ripemd160::digest(Sha256::digest(compressed)).into())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let own = || text.to_owned();
        let checked = CheckedHrpstring::new::<Bech32>(text).map_err(|_| AddressError::Checksum(own()))?;
        if checked.hrp() != PREFIX {
            return Err(AddressError::Prefix { text: own(), prefix: checked.hrp().to_lowercase() });
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let address =
            Self(bytes.try_into().map_err(|bytes: Vec<u8>| AddressError::Length { text: own(), bytes: bytes.len() })?);
        // One spelling per address: also padding bits that are not zero end here.
        match address.to_string() {
            spelling if spelling == text => Ok(address),
            spelling if spelling == text.to_ascii_lowercase() => Err(AddressError::Case(own())),
            _ => Err(AddressError::Checksum(own())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_lower_to_fmt::<Bech32, _>(f, PREFIX, &self.0).map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv";

    #[test]
    fn an_address_is_read_and_written_as_it_was() {
        let address: Address = TEXT.parse().unwrap();
        assert_eq!((address.to_string().as_str(), format!("{address:?}").as_str()), (TEXT, TEXT));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<Address>().unwrap_err().to_string();
        for text in [
            "",
            "allo",
            "allo1",
            "allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gw",
            "allo1Ärl",
            " allo19rl4cm2hmr8afy4kldpxz3fka4jguq0ajnh7gv",
        ] {
            assert!(refused(text).ends_with("its checksum or its form is wrong"), "{text}");
        }
        let mixed = TEXT.replace("rl4", "RL4");
        assert!(refused(&mixed).ends_with("its checksum or its form is wrong"));
        assert!(refused(&TEXT.to_uppercase()).ends_with("is not written in lower case"));
        let of_another = bech32::encode::<Bech32>(Hrp::parse("cosmos").unwrap(), &[7; 20]).unwrap();
        assert!(refused(&of_another).contains("begins with 'cosmos'"));
        let module = bech32::encode::<Bech32>(PREFIX, &[7; 32]).unwrap();
        assert!(refused(&module).contains("it has 32 bytes and not 20"));
        let modified = bech32::encode::<bech32::Bech32m>(PREFIX, &[7; 20]).unwrap();
        assert!(refused(&modified).ends_with("its checksum or its form is wrong"));
    }
}
