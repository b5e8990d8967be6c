//! What a transaction may cost. The chain spends the whole fee that is offered, so no more is offered than the fee market
//! requires, and a little for a price that rises meanwhile.

use super::queries::GasPrice;

/// The gas limit is this much of what the simulation used, in tenths.
const GAS_TENTHS: u128 = 12;
/// The same of what was not enough.
const GAS_TENTHS_AFTER_FAILURE: u128 = 13;
/// The fee is this much of what is required, in hundredths: the price may rise before the transaction is in a block.
const FEE_HUNDREDTHS: u128 = 105;
/// Gas where no endpoint simulates, before the margin. The official worker takes 240,000 for a payload, which needs about 404,000: it
/// runs out of gas, and the fee is gone.
pub const GAS_OF_PAYLOAD: u64 = 420_000;
/// The same for a registration.
pub const GAS_OF_REGISTRATION: u64 = 200_000;

/// What the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeeCaps {
    /// For one transaction, in uallo; with what the topic takes for a forecast.
    pub per_transaction: u128,
    /// For all transactions that were signed within 24 hours, in uallo; with what topics take for forecasts.
    pub per_day: u128,
    /// What a topic may take for the registration of a worker, in uallo: once, and beside the fee.
    pub registration: u128,
}

/// What the message of a transaction takes beside the fee, in uallo. The chain sets it, and can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// For a forecast.
    Data(u128),
    /// For the registration of a worker.
    Registration(u128),
}

impl Takes {
    const fn uallo(self) -> u128 {
        match self {
            Self::Data(uallo) | Self::Registration(uallo) => uallo,
        }
    }
}

/// Why a fee is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FeeError {
    /// One transaction would cost too much.
    #[error(
        "it would cost {fee} uallo, and one transaction may cost {cap}: wait for a lower price, or raise max_fee in [allora]"
    )]
    AboveCap {
        /// What it would cost, with what the topic takes for a forecast.
        fee: u128,
        /// What it may.
        cap: u128,
    },
    /// The day's transactions would.
    #[error(
        "it would cost {fee} uallo, {spent} were offered within 24 hours, and {cap} may be: wait, or raise max_fee_per_day in [allora]"
    )]
    AboveDaysCap {
        /// What it would cost, with what the topic takes for a forecast.
        fee: u128,
        /// What is spent, or may still be.
        spent: u128,
        /// What may be.
        cap: u128,
    },
    /// The topic takes too much for a registration.
    #[error(
        "the topic takes {needed} uallo for the registration of a worker, and {cap} are allowed: raise max_registration in [allora] if it \
         is worth that"
    )]
    AboveRegistrationCap {
        /// What it takes.
        needed: u128,
        /// What it may.
        cap: u128,
    },
    /// The account has less.
    #[error("it would cost {fee} uallo and {besides} for the topic, and the wallet has {balance}: fund it")]
    AboveBalance {
        /// What it would cost.
        fee: u128,
        /// What its message takes.
        besides: u128,
        /// What there is.
        balance: u128,
    },
    /// A number beyond every price.
    #[error(
        "a price or an amount of gas does not fit any fee: an endpoint answers nonsense; `sentinel allora status` names them"
    )]
    Overflow,
}

/// The gas limit for what a simulation used.
///
/// # Errors
/// [`FeeError::Overflow`].
pub fn gas_limit(used: u64) -> Result<u64, FeeError> {
    u64::try_from((u128::from(used) * GAS_TENTHS).div_ceil(10)).map_err(|_| FeeError::Overflow)
}

/// The gas limit after one that was too low: the greater one of the limit and what was used, and a third more.
///
/// # Errors
/// [`FeeError::Overflow`].
pub fn after_failure(gas: u64) -> Result<u64, FeeError> {
    u64::try_from((u128::from(gas) * GAS_TENTHS_AFTER_FAILURE).div_ceil(10)).map_err(|_| FeeError::Overflow)
}

/// The fee that is offered for this much gas, in uallo.
///
/// # Errors
/// [`FeeError::Overflow`].
pub fn offered(gas_limit: u64, price: GasPrice) -> Result<u128, FeeError> {
    let required = price.fee_uallo(gas_limit).ok_or(FeeError::Overflow)?;
    with_headroom(required).ok_or(FeeError::Overflow)
}

/// A required fee with the headroom.
#[must_use]
pub fn with_headroom(required: u128) -> Option<u128> {
    Some(required.checked_mul(FEE_HUNDREDTHS)?.div_ceil(100))
}

impl FeeCaps {
    /// Whether a fee may be offered, when `spent` was within 24 hours, the message takes `takes`, and the account has `balance`.
    ///
    /// # Errors
    /// The cap that it breaks.
    pub fn check(&self, fee: u128, spent: u128, takes: Takes, balance: u128) -> Result<(), FeeError> {
        let besides = takes.uallo();
        let capped = match takes {
            Takes::Data(_) => fee.saturating_add(besides),
            Takes::Registration(needed) if needed > self.registration => {
                return Err(FeeError::AboveRegistrationCap { needed, cap: self.registration });
            }
            Takes::Registration(_) => fee,
        };
        if capped > self.per_transaction {
            return Err(FeeError::AboveCap { fee: capped, cap: self.per_transaction });
        }
        if spent.saturating_add(capped) > self.per_day {
            return Err(FeeError::AboveDaysCap { fee: capped, spent, cap: self.per_day });
        }
        if fee.saturating_add(besides) > balance {
            return Err(FeeError::AboveBalance { fee, besides, balance });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PRICE: GasPrice = GasPrice::from_scaled(10_000_000_000_000_000_000);

    #[test]
    fn a_fee_is_what_is_required_and_a_twentieth() {
        assert_eq!(gas_limit(180_000), Ok(216_000));
        assert_eq!(offered(216_000, PRICE), Ok(2_268_000), "2,160,000 are required");
        assert_eq!(gas_limit(1), Ok(2), "rounded up");
        assert_eq!(offered(1, GasPrice::from_scaled(1)), Ok(2), "a part of a uallo is one, and so is its headroom");
        assert_eq!(after_failure(216_000), Ok(280_800));
    }

    #[test]
    fn a_number_beyond_every_price_is_an_error_and_not_a_small_fee() {
        assert_eq!(gas_limit(u64::MAX), Err(FeeError::Overflow));
        assert_eq!(after_failure(u64::MAX), Err(FeeError::Overflow));
        assert_eq!(offered(u64::MAX, GasPrice::from_scaled(u128::MAX)), Err(FeeError::Overflow));
    }

    #[test]
    fn each_cap_is_kept_to_the_last_uallo() {
        let caps = FeeCaps { per_transaction: 100, per_day: 250, registration: 1000 };
        let check = |fee, spent, besides, balance| caps.check(fee, spent, Takes::Data(besides), balance);
        assert_eq!(check(100, 150, 0, 100), Ok(()));
        assert_eq!(check(101, 0, 0, 1000), Err(FeeError::AboveCap { fee: 101, cap: 100 }));
        assert_eq!(check(100, 151, 0, 1000), Err(FeeError::AboveDaysCap { fee: 100, spent: 151, cap: 250 }));
        assert_eq!(check(90, 0, 7, 96), Err(FeeError::AboveBalance { fee: 90, besides: 7, balance: 96 }));
        assert_eq!(check(1, u128::MAX, 0, 1), Err(FeeError::AboveDaysCap { fee: 1, spent: u128::MAX, cap: 250 }));
    }

    #[test]
    fn what_the_topic_takes_is_under_a_cap_like_the_fee() {
        let caps = FeeCaps { per_transaction: 100, per_day: 250, registration: 1000 };
        let rich = u128::MAX;
        assert_eq!(caps.check(60, 150, Takes::Data(40), rich), Ok(()));
        assert_eq!(caps.check(60, 0, Takes::Data(41), rich), Err(FeeError::AboveCap { fee: 101, cap: 100 }));
        let of_day = FeeError::AboveDaysCap { fee: 100, spent: 151, cap: 250 };
        assert_eq!(caps.check(60, 151, Takes::Data(40), rich), Err(of_day));
        assert_eq!(
            caps.check(1, 0, Takes::Data(u128::MAX), rich),
            Err(FeeError::AboveCap { fee: u128::MAX, cap: 100 })
        );
        assert_eq!(caps.check(60, 0, Takes::Registration(1000), rich), Ok(()), "once, so it has a cap of its own");
        let error = caps.check(60, 0, Takes::Registration(1001), rich).unwrap_err();
        assert_eq!(error, FeeError::AboveRegistrationCap { needed: 1001, cap: 1000 });
        assert!(error.to_string().contains("takes 1001 uallo"), "{error}");
        assert!(error.to_string().contains("1000 are allowed: raise max_registration in [allora]"), "{error}");
        assert_eq!(caps.check(101, 0, Takes::Registration(0), rich), Err(FeeError::AboveCap { fee: 101, cap: 100 }));
    }

    proptest! {
        #[test]
        fn a_fee_is_never_below_what_is_required_nor_far_above(gas in 1_u64..50_000_000, price in 1_u128..1 << 90) {
            let price = GasPrice::from_scaled(price);
            let (fee, required) = (offered(gas, price).unwrap(), price.fee_uallo(gas).unwrap());
            prop_assert!(required <= fee && fee <= required + required / 20 + 1, "{required} {fee}");
        }
    }
}
