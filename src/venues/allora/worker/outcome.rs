//! What an outcome of the broadcaster means for an intent.

use sentinel_actors::error_chain::chain;
use sentinel_actors::ports::{Evidence, Submission, Withheld};

use super::{NO_HASH, NotSent, Outcome, inclusion};
use crate::venues::allora::broadcaster::Receipt;
use crate::venues::allora::errors::Class;
use crate::venues::allora::fees::FeeError;
use crate::venues::allora::signing::TxHash;

/// Whether the chain has to be asked for the worker's own inference: somebody may have submitted it, perhaps this node before it lost
/// its outbox.
pub(super) const fn asks_for_own(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Failed { class, .. } | Outcome::Refused { class, .. } => {
            matches!(class, Class::AlreadySubmitted | Class::NonceGone)
        }
        Outcome::NotSent(error) => matches!(error, NotSent::NeverSigned),
        Outcome::Unproven { .. } => true,
        Outcome::Included(_) | Outcome::Unknown { .. } => false,
    }
}

/// Whether it may be tried again at once, as long as the window is open: nothing has left, and what was in the way may have passed.
pub(super) const fn may_pass(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::NotSent(error) => matches!(
            error,
            NotSent::Client(_) | NotSent::Busy { .. } | NotSent::TooEarly { .. } | NotSent::Never(_) | NotSent::GivenUp
        ),
        Outcome::Refused { class, .. } => {
            matches!(class, Class::Sequence { .. } | Class::MempoolFull | Class::NodeTrouble | Class::WrongVersion)
        }
        Outcome::Included(_) | Outcome::Failed { .. } | Outcome::Unproven { .. } | Outcome::Unknown { .. } => false,
    }
}

/// `is_done`: the chain has the worker's own inference for this nonce.
pub(super) fn submission(outcome: Outcome, is_done: bool) -> Submission {
    match outcome {
        Outcome::Included(receipt) => Submission::Acked(included(receipt).into()),
        Outcome::Failed { receipt, .. } if is_done => {
            Submission::Acked(inclusion(NO_HASH, receipt.height, was_there(&receipt)).into())
        }
        Outcome::Refused { text, .. } if is_done => Submission::Acked(inclusion(NO_HASH, 0, text).into()),
        Outcome::Failed { receipt, text, .. } => {
            Submission::Rejected { code: None, text: failed(&receipt, &text), lasting: false }
        }
        Outcome::Refused { class, text } => match withheld(class) {
            Some(why) => Submission::Withheld { why, text },
            None => Submission::Rejected { code: None, text, lasting: false },
        },
        Outcome::Unproven { hash, why } if is_done => Submission::Acked(stored_all_the_same(&hash, &why).into()),
        Outcome::NotSent(error @ NotSent::Recalled) => Submission::NeverLeft(chain(&error)),
        // The outbox may have had it, and cannot be read.
        Outcome::NotSent(error @ NotSent::Outbox(_)) => Submission::Unknown(chain(&error)),
        Outcome::NotSent(error) => Submission::Withheld { why: why_not_sent(&error), text: chain(&error) },
        Outcome::Unproven { hash, why } => Submission::Unknown(format!("transaction {hash}: {why}")),
        Outcome::Unknown { hash, last_height, why } => {
            Submission::Unknown(format!("transaction {hash} may get into a block until {last_height}: {why}"))
        }
    }
}

/// What is known of a submission that may have left.
pub(super) fn evidence(outcome: Outcome, is_done: bool) -> Evidence {
    match outcome {
        Outcome::Included(receipt) => Evidence::Found(included(receipt).into()),
        Outcome::Failed { receipt, .. } if is_done => {
            Evidence::Found(inclusion(NO_HASH, receipt.height, was_there(&receipt)).into())
        }
        Outcome::NotSent(_) | Outcome::Refused { .. } if is_done => {
            let text = "the chain has this worker's inference for the window".to_owned();
            Evidence::Found(inclusion(NO_HASH, 0, text).into())
        }
        // Only a transaction of this node carries the intent's bytes; which block has it is not known any more.
        Outcome::Unproven { hash, why } if is_done => Evidence::Found(stored_all_the_same(&hash, &why).into()),
        Outcome::Failed { receipt, text, .. } => Evidence::Refused { code: None, text: failed(&receipt, &text) },
        Outcome::Refused { text, .. } => Evidence::Refused { code: None, text },
        Outcome::NotSent(error @ (NotSent::NeverSigned | NotSent::Never(_))) => Evidence::Absent(chain(&error)),
        // Nothing open is in the outbox: what was signed has not left.
        Outcome::NotSent(error @ NotSent::Late) => Evidence::NotNow(chain(&error)),
        Outcome::NotSent(error) => Evidence::NotNow(chain(&error)),
        Outcome::Unproven { hash, why } => Evidence::Undecidable(format!("transaction {hash}: {why}")),
        Outcome::Unknown { hash, last_height, why } => {
            Evidence::NotNow(format!("transaction {hash} may get into a block until {last_height}: {why}"))
        }
    }
}

fn included(receipt: Receipt) -> sentinel_actors::domain::action::Inclusion {
    let text = format!("included for {} uallo, {} gas", receipt.fee_uallo, receipt.gas_used);
    inclusion(receipt.hash, receipt.height, text)
}

fn stored_all_the_same(hash: &TxHash, why: &str) -> sentinel_actors::domain::action::Inclusion {
    inclusion(NO_HASH, 0, format!("the chain has the inference; of transaction {hash} it is not known any more: {why}"))
}

fn was_there(receipt: &Receipt) -> String {
    format!("the chain had it already; transaction {} has cost {} uallo for nothing", receipt.hash, receipt.fee_uallo)
}

fn failed(receipt: &Receipt, text: &str) -> String {
    let Receipt { hash, height, fee_uallo, .. } = receipt;
    format!("transaction {hash} failed in block {height} for {fee_uallo} uallo: {text}")
}

/// Why a refusal that has cost nothing keeps this window from being used; `None`: the transaction itself is wrong.
const fn withheld(class: Class) -> Option<Withheld> {
    match class {
        Class::NonceGone | Class::OutsideWindow | Class::Expired => Some(Withheld::WindowClosed),
        Class::NotWhitelisted | Class::NotRegistered | Class::Topic => Some(Withheld::NotPermitted),
        Class::Funds => Some(Withheld::Unfunded),
        Class::Fee { .. } => Some(Withheld::FeeCap),
        Class::Sequence { .. } | Class::MempoolFull | Class::InMempool | Class::WrongVersion | Class::NodeTrouble => {
            Some(Withheld::LedgerUnavailable)
        }
        Class::Success
        | Class::AlreadySubmitted
        | Class::AlreadyRegistered
        | Class::OutOfGas { .. }
        | Class::Refused
        | Class::WrongChain
        | Class::Unknown => None,
    }
}

const fn why_not_sent(error: &NotSent) -> Withheld {
    match error {
        NotSent::TooLate { .. } | NotSent::Never(_) => Withheld::WindowClosed,
        NotSent::Unfunded(_) | NotSent::Fee(FeeError::AboveBalance { .. }) => Withheld::Unfunded,
        NotSent::Fee(_) => Withheld::FeeCap,
        NotSent::NeverSigned
        | NotSent::Late
        | NotSent::Busy { .. }
        | NotSent::TooEarly { .. }
        | NotSent::GivenUp
        | NotSent::Recalled
        | NotSent::Client(_)
        | NotSent::Outbox(_) => Withheld::LedgerUnavailable,
    }
}
