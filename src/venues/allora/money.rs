//! What a worker's windows cost, and for how long its balance lasts.
//!
//! Amounts are whole uallo, of which 10^18 are one ALLO. People read and write ALLO.

use std::fmt;

use super::address::Address;
use super::client::{Client, ClientError};
use super::fees::{self, FeeError};
use super::queries::{GasPrice, Params};
use crate::http::Deadline;

/// uallo in one ALLO.
pub const UALLO_PER_ALLO: u128 = 1_000_000_000_000_000_000;
/// Decimal places of an amount in ALLO.
const PLACES: usize = 18;
const BLOCKS_PER_DAY_MS: u128 = 86_400_000;

/// An amount in uallo, which is shown in ALLO: exact, and without zeros at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allo(pub u128);

/// A text that is no amount in ALLO.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no amount in ALLO: write digits with at most one point and 18 decimals, such as 0.01")]
pub struct InvalidAllo(String);

impl std::str::FromStr for Allo {
    type Err = InvalidAllo;

    fn from_str(text: &str) -> Result<Self, InvalidAllo> {
        let bad = || InvalidAllo(text.chars().take(60).collect());
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) || part.len() > PLACES {
            return Err(bad());
        }
        let whole: u128 = whole.parse().map_err(|_| bad())?;
        let part: u128 = format!("{part:0<PLACES$}").parse().map_err(|_| bad())?;
        let uallo = whole.checked_mul(UALLO_PER_ALLO).and_then(|whole| whole.checked_add(part));
        uallo.map(Self).ok_or_else(bad)
    }
}

impl fmt::Display for Allo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:018}", self.0 / UALLO_PER_ALLO, self.0 % UALLO_PER_ALLO);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))?;
        f.write_str(" ALLO")
    }
}

/// What a worker has, and what it needs at the present price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purse {
    /// In uallo, as all amounts here.
    pub balance: u128,
    /// Fee and what the topic takes, for one window.
    pub window: u128,
    /// Fee and what the topic takes, once.
    pub registration: u128,
}

impl Purse {
    /// From the chain's own figures. Without a simulation a fee is that of the gas which is taken where none is.
    ///
    /// # Errors
    /// When a price does not fit any fee.
    pub fn of(balance: u128, price: GasPrice, params: &Params) -> Result<Self, FeeError> {
        let cost = |gas, besides: u128| {
            let fee = fees::offered(fees::gas_limit(gas)?, price)?;
            fee.checked_add(besides).ok_or(FeeError::Overflow)
        };
        Ok(Self {
            balance,
            window: cost(fees::GAS_OF_PAYLOAD, params.data_sending_fee_uallo)?,
            registration: cost(fees::GAS_OF_REGISTRATION, params.registration_fee_uallo)?,
        })
    }

    /// What is missing for one more window, and before the first one for the registration; 0: nothing.
    #[must_use]
    pub const fn missing(&self, is_registered: bool) -> u128 {
        let needed = if is_registered { self.window } else { self.window.saturating_add(self.registration) };
        needed.saturating_sub(self.balance)
    }

    /// For how many windows the balance lasts.
    #[must_use]
    pub const fn windows_left(&self) -> u128 {
        match self.balance.checked_div(self.window) {
            Some(windows) => windows,
            None => u128::MAX,
        }
    }

    /// For how many whole days it lasts, when a window opens every `epoch_ms`.
    #[must_use]
    pub fn days_left(&self, epoch_ms: u64) -> u128 {
        self.windows_left().saturating_mul(u128::from(epoch_ms.max(1))) / BLOCKS_PER_DAY_MS
    }
}

/// An amount with two digits that count, rounded up: for a text that is not to change with every price.
#[must_use]
pub const fn rounded_up(uallo: u128) -> u128 {
    let digits = match uallo.checked_ilog10() {
        Some(digits) if digits > 1 => digits - 1,
        _ => return uallo,
    };
    let unit = 10_u128.pow(digits);
    uallo.div_ceil(unit).saturating_mul(unit)
}

/// What a worker has and needs now.
///
/// # Errors
/// When the chain cannot be asked, or its price is nonsense.
pub async fn purse(client: &Client, worker: &Address, until: Deadline) -> Result<Purse, PurseError> {
    let balance = client.balance_uallo(worker, until).await?;
    let price = client.gas_price(until).await?;
    let params = client.params(until).await?;
    Ok(Purse::of(balance, price, &params)?)
}

/// What a worker has or needs is not known.
#[derive(Debug, thiserror::Error)]
pub enum PurseError {
    /// The chain cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A number beyond every price.
    #[error(transparent)]
    Fee(#[from] FeeError),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: GasPrice = GasPrice::from_scaled(10 * UALLO_PER_ALLO);
    const PARAMS: Params = Params { registration_fee_uallo: 200, data_sending_fee_uallo: 10, epochs_kept: 6 };

    #[test]
    fn an_amount_in_allo_is_exact_and_anything_else_is_none() {
        let read = |text: &str| text.parse::<Allo>().ok().map(|Allo(uallo)| uallo);
        assert_eq!(read("0.01"), Some(10_000_000_000_000_000));
        assert_eq!(read("0.000000000000000001"), Some(1));
        assert_eq!((read("3"), read("12.5")), (Some(3 * UALLO_PER_ALLO), Some(25 * UALLO_PER_ALLO / 2)));
        for wrong in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000000000000001", "340282366920938463464"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_reads_back_as_it_is_shown(uallo in any::<u128>()) {
            let shown = Allo(uallo).to_string();
            prop_assert_eq!(shown.trim_end_matches(" ALLO").parse::<Allo>(), Ok(Allo(uallo)));
        }
    }

    #[test]
    fn a_rounded_amount_has_two_digits_and_is_no_smaller() {
        assert_eq!([0, 7, 99, 100, 101, 5_292_010, 9_999].map(rounded_up), [0, 7, 99, 100, 110, 5_300_000, 10_000]);
        assert_eq!(rounded_up(u128::MAX), u128::MAX);
    }

    #[test]
    fn a_balance_lasts_for_so_many_whole_windows_and_days() {
        let purse = Purse::of(53_000_000, PRICE, &PARAMS).unwrap();
        assert_eq!(purse.window, 504_000 * 10 * 105 / 100 + 10);
        assert_eq!(purse.windows_left(), 10);
        let hour = 3_600_000;
        assert_eq!((purse.days_left(hour), purse.days_left(24 * hour)), (0, 10));
        assert_eq!(Purse { window: 0, ..purse }.windows_left(), u128::MAX, "what costs nothing lasts for ever");
    }

    #[test]
    fn what_is_missing_counts_the_registration_until_it_is_paid() {
        let purse = Purse::of(6_000_000, PRICE, &PARAMS).unwrap();
        assert_eq!(purse.missing(true), 0);
        assert_eq!(purse.missing(false), purse.window + purse.registration - 6_000_000);
        assert_eq!(Purse { balance: 0, ..purse }.missing(true), purse.window);
    }
}
