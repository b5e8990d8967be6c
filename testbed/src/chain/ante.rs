//! What stands before a transaction's message: who signed it, in which order, and who pays. The same code checks, delivers and
//! simulates, in the chain's order; the first thing that is wrong decides.

use prost::Message as _;

use super::crypto::{address_of, is_address, is_signed};
use super::proto::{PublicKey, SignDoc};
use super::refusal::Refusal;
use super::state::State;
use super::strict::PUBLIC_KEY;
use super::tx::Tx;

/// Longest memo, in bytes.
const MEMO_MAX: usize = 256;
/// The only sign mode that is taken.
const SIGN_MODE_DIRECT: i32 = 1;
const PUBLIC_KEY_URL: &str = "/cosmos.crypto.secp256k1.PubKey";
/// Bytes of a signature, which a simulation does not have yet.
const SIGNATURE_BYTES: usize = 64;
/// By what prices are scaled.
const ONE: u128 = 10_u128.pow(18);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Check,
    Deliver,
    Simulate,
}

/// What the ante took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paid {
    pub(super) payer: String,
    pub(super) sequence: u64,
    pub(super) fee: u128,
    pub(super) gas_used: u64,
}

/// Checks a transaction, raises the sequence and takes the fee. On an error nothing has changed.
///
/// # Errors
/// With the code of the first thing that is wrong.
pub(super) fn ante(state: &mut State, tx: &Tx, mode: Mode) -> Result<Paid, Refusal> {
    let [command] = &tx.commands[..] else {
        return Err(Refusal::sdk(18, "must contain exactly one message"));
    };
    let sender = command.sender();
    if !is_address(sender) {
        return Err(Refusal::sdk(7, format!("invalid sender address '{sender}'")));
    }
    let timeout = tx.body.timeout_height;
    let height = u64::try_from(state.height).unwrap_or_default();
    if timeout != 0 && height > timeout {
        return Err(Refusal::sdk(30, format!("block height: {height}, timeout height: {timeout}")));
    }
    if tx.body.memo.len() > MEMO_MAX {
        return Err(Refusal::sdk(
            12,
            format!("maximum number of bytes is {MEMO_MAX} but received {}", tx.body.memo.len()),
        ));
    }
    let fee = tx.auth.fee.clone().unwrap_or_default();
    let gas_used = gas_of_size(state, tx, mode);
    let is_unlimited = fee.gas_limit == 0 || (mode == Mode::Simulate && !state.rules.simulation_is_metered);
    if gas_used > fee.gas_limit && !is_unlimited {
        return Err(out_of_gas("txSize", fee.gas_limit, gas_used));
    }
    let public_key = public_key(state, tx, sender)?;
    let sequence = signature(state, tx, sender, &public_key, mode)?;
    let amount = fee_amount(state, tx, mode)?;
    if !fee.granter.is_empty() || !(fee.payer.is_empty() || fee.payer == sender) {
        return Err(Refusal::sdk(18, "the sender pays here, and nobody else"));
    }
    if !state.charge(sender, amount) {
        let balance = state.accounts.get(sender).map_or(0, |account| account.balance);
        return Err(Refusal::sdk(5, format!("spendable balance {balance}uallo is smaller than {amount}uallo")));
    }
    if let Some(account) = state.accounts.get_mut(sender) {
        account.sequence += 1;
        account.public_key = Some(public_key);
    }
    Ok(Paid { payer: sender.to_owned(), sequence, fee: amount, gas_used })
}

pub(super) fn out_of_gas(location: &str, wanted: u64, used: u64) -> Refusal {
    Refusal::sdk(11, format!("out of gas in location: {location}; gasWanted: {wanted}, gasUsed: {used}"))
}

fn gas_of_size(state: &State, tx: &Tx, mode: Mode) -> u64 {
    let missing = match (mode, tx.raw.signatures.first()) {
        (Mode::Simulate, Some(signature)) => SIGNATURE_BYTES.saturating_sub(signature.len()),
        _ => 0,
    };
    let size = u64::try_from(tx.size + missing).unwrap_or(u64::MAX);
    state.rules.ante_gas.saturating_add(state.rules.gas_per_byte.saturating_mul(size))
}

fn public_key(state: &State, tx: &Tx, sender: &str) -> Result<Vec<u8>, Refusal> {
    let [info] = &tx.auth.signer_infos[..] else {
        let text = format!("wrong number of signers; expected 1, got {}", tx.auth.signer_infos.len());
        return Err(Refusal::sdk(4, text));
    };
    let Some(account) = state.accounts.get(sender) else {
        return Err(Refusal::sdk(9, format!("account {sender} does not exist")));
    };
    let Some(any) = &info.public_key else {
        return account.public_key.clone().ok_or_else(|| Refusal::sdk(8, "PubKey not found"));
    };
    if any.type_url != PUBLIC_KEY_URL {
        return Err(Refusal::sdk(2, format!("unable to resolve type URL {}", any.type_url)));
    }
    PUBLIC_KEY.check(&any.value).map_err(|text| Refusal::sdk(2, text))?;
    let key = PublicKey::decode(&any.value[..]).map_err(|error| Refusal::sdk(2, error.to_string()))?.key;
    if address_of(&key).as_deref() != Some(sender) {
        return Err(Refusal::sdk(8, format!("pubKey does not match signer address {sender} with signer index: 0")));
    }
    Ok(key)
}

fn signature(state: &State, tx: &Tx, sender: &str, public_key: &[u8], mode: Mode) -> Result<u64, Refusal> {
    let (Some(account), [info]) = (state.accounts.get(sender), &tx.auth.signer_infos[..]) else {
        return Err(Refusal::sdk(9, format!("account {sender} does not exist")));
    };
    let signature = match &tx.raw.signatures[..] {
        [] => return Err(Refusal::sdk(15, "")),
        [signature] => signature,
        more => {
            return Err(Refusal::sdk(4, format!("invalid number of signer;  expected: 1, got {}", more.len())));
        }
    };
    let (number, expected, got) = (account.number, account.sequence, info.sequence);
    if expected != got {
        return Err(Refusal::sdk(32, format!("account sequence mismatch, expected {expected}, got {got}")));
    }
    if mode == Mode::Simulate {
        return Ok(got);
    }
    let sign_mode = info.mode_info.as_ref().and_then(|info| info.single.as_ref()).map(|single| single.mode);
    let document = SignDoc {
        body_bytes: tx.raw.body_bytes.clone(),
        auth_info_bytes: tx.raw.auth_info_bytes.clone(),
        chain_id: state.chain_id.clone(),
        account_number: number,
    };
    if sign_mode != Some(SIGN_MODE_DIRECT) || !is_signed(public_key, &document.encode_to_vec(), signature) {
        let chain_id = &state.chain_id;
        return Err(Refusal::sdk(
            4,
            format!(
                "signature verification failed; please verify account number ({number}), sequence ({expected}) and chain-id \
                 ({chain_id}): (unable to verify single signer signature)"
            ),
        ));
    }
    Ok(got)
}

/// The whole amount that is offered; a simulation may offer less than the price.
fn fee_amount(state: &State, tx: &Tx, mode: Mode) -> Result<u128, Refusal> {
    let fee = tx.auth.fee.clone().unwrap_or_default();
    let coin = match &fee.amount[..] {
        [] if mode == Mode::Simulate => return Ok(0),
        [] => return Err(Refusal::new("feemarket", 2, "got length 0: no fee coin provided. Must provide one.")),
        [coin] => coin,
        more => {
            let text = format!("got length {}: too many fee coins. Only fee in one denom is accepted", more.len());
            return Err(Refusal::new("feemarket", 3, text));
        }
    };
    let amount = coin.amount.parse::<u128>().ok().filter(|amount| *amount > 0 && coin.denom == "uallo");
    let Some(amount) = amount else {
        return Err(Refusal::sdk(18, format!("invalid fee coin {}{}", coin.amount, coin.denom)));
    };
    if mode == Mode::Simulate {
        return Ok(amount);
    }
    if fee.gas_limit == 0 {
        return Err(Refusal::sdk(41, "must provide positive gas"));
    }
    let price = state.rules.gas_price;
    let required = required_fee(price, fee.gas_limit);
    if amount < required {
        let text = format!(
            "got: {amount}uallo required: {required}uallo, minGasPrice: {}.{:018}uallo, gas: {}",
            price / ONE,
            price % ONE,
            fee.gas_limit
        );
        return Err(Refusal::sdk(13, text));
    }
    Ok(amount)
}

/// Price times gas, rounded up.
pub(super) fn required_fee(price: u128, gas: u64) -> u128 {
    price.checked_mul(u128::from(gas)).map_or(u128::MAX, |scaled| scaled.div_ceil(ONE))
}
