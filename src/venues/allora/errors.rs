//! What an answer of the chain means, and what to do about it: the error codes of the Cosmos SDK, the fee market and the
//! emissions module, and the texts of a simulation, which has no emissions codes.
//!
//! A chain speaks in codes and texts, so this is the one place that searches its texts. What is not known is
//! [`Class::Unknown`], never a success.
//!
//! Codes: `types/errors` of the Cosmos SDK 0.50, `x/emissions/types/errors` of the Allora chain, `x/feemarket/types/errors`.

/// When an answer was given. The same code means different things: what fails when it is simulated or checked is in no block
/// and costs nothing, and what fails when it is delivered has cost its fee and its sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// By `Simulate`, before anything was signed.
    Simulate,
    /// By `broadcast_tx_sync`: nothing but signature, sequence, fee and size.
    Check,
    /// In a block.
    Deliver,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Code 0. It is final only when it was delivered.
    Success,
    /// The worker's inference of this nonce is there already.
    AlreadySubmitted,
    /// The nonce is closed, or was never open.
    NonceGone,
    /// The block is outside of the nonce's window.
    OutsideWindow,
    /// Signed with another sequence than the account's next one.
    Sequence {
        /// The next one, as far as the answering node knows.
        expected: Option<u64>,
    },
    /// The gas limit is too low.
    OutOfGas {
        /// The greater one of gas wanted and gas used.
        gas: Option<u64>,
    },
    /// The fee is too low.
    Fee {
        /// What would have been enough for that gas limit, in uallo.
        required_uallo: Option<u128>,
    },
    /// The node takes no transaction at the moment.
    MempoolFull,
    /// The node has these bytes already.
    InMempool,
    /// The block is beyond the transaction's timeout height. Neither fee nor sequence is consumed.
    Expired,
    /// The transaction or its inference is wrong; the same would be refused again.
    Refused,
    /// The worker is not on the topic's whitelist.
    NotWhitelisted,
    /// The worker is not registered in the topic.
    NotRegistered,
    /// Answer to a registration: there was one before.
    AlreadyRegistered,
    /// The account cannot pay, or does not exist, because nobody has sent it anything.
    Funds,
    /// Signed for another chain.
    WrongChain,
    /// The chain does not know this version of the message.
    WrongVersion,
    /// The topic does not exist, or is not active.
    Topic,
    /// The node cannot look at it now: its state is not there, or it took too long.
    NodeTrouble,
    /// Nothing of the above. Before it is delivered it has cost nothing, and it may be what passes.
    Unknown,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Record the nonce as done.
    Record,
    /// The same, without having paid for it; never send again.
    RecordAsDone,
    /// Look for the own inference; without one the slot is missed.
    VerifyThenMiss,
    /// Before the window wait for it; after its end the slot is missed.
    WaitOrMiss,
    /// Read the sequence anew and sign again, a few times.
    RefreshSequence,
    /// Sign again with more gas.
    RaiseGas,
    /// Sign again with the fee that is required, below the cap.
    RaiseFee,
    /// Wait, then ask the next endpoint; bytes stay the same.
    BackOff,
    /// Wait for the transaction by its hash.
    AwaitByHash,
    /// Give up this nonce, and say why.
    GiveUpNonce,
    /// Register once; when that does not help, pause.
    Register,
    /// Ask for the chain's version and sign again; when it has not changed, pause.
    ProbeVersion,
    /// Pause the job, raise an alert, and look again every epoch. The process goes on.
    Pause,
}

/// Texts of a simulation, and of errors without a code of their own. The first that is found counts.
const TEXTS: [(&str, Class); 27] = [
    ("account sequence mismatch", Class::Sequence { expected: None }),
    ("out of gas", Class::OutOfGas { gas: None }),
    ("unfulfilled nonce not found", Class::NonceGone),
    ("worker nonce window not available", Class::OutsideWindow),
    ("Worker window not open", Class::OutsideWindow),
    ("cannot update EMA", Class::AlreadySubmitted),
    ("already submitted", Class::AlreadySubmitted),
    ("Worker is not permitted to submit payload", Class::NotWhitelisted),
    ("worker is not registered in this topic", Class::NotRegistered),
    ("address is already registered", Class::AlreadyRegistered),
    ("invalid topic ID", Class::Topic),
    ("topic does not exist", Class::Topic),
    ("data sender does not have enough denom", Class::Funds),
    ("does not have enough denom", Class::Funds),
    ("insufficient funds", Class::Funds),
    ("unknown address", Class::Funds),
    ("single-arity label must be", Class::Refused),
    ("insufficient fee", Class::Fee { required_uallo: None }),
    ("tx timeout height", Class::Expired),
    ("unable to resolve type URL", Class::WrongVersion),
    ("tx parse error", Class::WrongVersion),
    ("signature verification failed", Class::Refused),
    ("invalid chain-id", Class::WrongChain),
    ("failed to load state at height", Class::NodeTrouble),
    ("please wait for first block", Class::NodeTrouble),
    ("context deadline exceeded", Class::NodeTrouble),
    ("context canceled", Class::NodeTrouble),
];

impl Class {
    /// The class of an answer.
    ///
    /// Simulations are classed by text first: `abci_query` has codes of its own kind, 22 for "not found", 18 for a wrong
    /// request, 4 for a wrong signature, and 6 for everything else.
    #[must_use]
    pub fn of(stage: Stage, codespace: &str, code: u32, text: &str) -> Self {
        if code == 0 {
            return Self::Success;
        }
        let class = match stage {
            Stage::Simulate => of_text(text).unwrap_or_else(|| of_simulation(code)),
            Stage::Check | Stage::Deliver => of_code(codespace, code, text),
        };
        class.with_details(text)
    }

    /// What to do about it.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Success => Action::Record,
            Self::AlreadySubmitted | Self::AlreadyRegistered => Action::RecordAsDone,
            Self::NonceGone => Action::VerifyThenMiss,
            Self::OutsideWindow => Action::WaitOrMiss,
            Self::Sequence { .. } => Action::RefreshSequence,
            Self::OutOfGas { .. } => Action::RaiseGas,
            Self::Fee { .. } => Action::RaiseFee,
            Self::MempoolFull | Self::NodeTrouble => Action::BackOff,
            Self::InMempool => Action::AwaitByHash,
            Self::Expired | Self::Refused | Self::Unknown => Action::GiveUpNonce,
            Self::NotRegistered => Action::Register,
            Self::WrongVersion => Action::ProbeVersion,
            Self::NotWhitelisted | Self::Funds | Self::WrongChain | Self::Topic => Action::Pause,
        }
    }

    fn with_details(self, text: &str) -> Self {
        match self {
            Self::Sequence { .. } => Self::Sequence { expected: number_after(text, "expected ") },
            Self::OutOfGas { .. } => {
                let gas = number_after(text, "gasWanted: ").max(number_after(text, "gasUsed: "));
                Self::OutOfGas { gas }
            }
            Self::Fee { .. } => Self::Fee { required_uallo: uallo_after(text, "required: ") },
            other => other,
        }
    }
}

/// Whether a transaction in a block came as far as its message, and so has paid its fee and used its sequence, whatever became of
/// the message. What fails before costs nothing.
#[must_use]
pub fn has_reached_message(codespace: &str, code: u32, text: &str) -> bool {
    code == 0 || (codespace, code) == ("sdk", 11) || text.contains("failed to execute message")
}

fn of_code(codespace: &str, code: u32, text: &str) -> Class {
    match (codespace, code) {
        ("sdk", code) => of_sdk(code),
        ("emissions", code) => of_emissions(code),
        ("feemarket", 2 | 3) | ("math", 1 | 8) => Class::Refused,
        // Bare errors of Go have no code: "undefined", 1.
        _ => of_text(text).unwrap_or(Class::Unknown),
    }
}

const fn of_sdk(code: u32) -> Class {
    match code {
        2 => Class::WrongVersion,
        3 | 32 => Class::Sequence { expected: None },
        5 | 9 => Class::Funds,
        11 => Class::OutOfGas { gas: None },
        13 => Class::Fee { required_uallo: None },
        19 => Class::InMempool,
        20 => Class::MempoolFull,
        28 => Class::WrongChain,
        30 => Class::Expired,
        4 | 6 | 7 | 8 | 12 | 15 | 18 | 21 | 29 | 35 | 38 | 41 => Class::Refused,
        _ => Class::Unknown,
    }
}

const fn of_emissions(code: u32) -> Class {
    match code {
        6 | 23 | 93 | 94 => Class::Topic,
        8 => Class::AlreadyRegistered,
        9 | 10 | 13 => Class::NotRegistered,
        46 | 48 | 73 => Class::Funds,
        67 => Class::OutsideWindow,
        75 => Class::NonceGone,
        78 => Class::AlreadySubmitted,
        83 => Class::NotWhitelisted,
        // 68 is about reputers: for a worker's payload it would be a mistake of this program.
        7 | 24 | 44 | 45 | 47 | 52 | 53 | 54 | 68 | 69 | 71 | 77 | 79 | 80 | 84..=92 | 95 | 97 | 98 | 99 => {
            Class::Refused
        }
        _ => Class::Unknown,
    }
}

/// "Not found" is the account: nothing else of a transaction is looked up before it runs.
const fn of_simulation(code: u32) -> Class {
    match code {
        22 => Class::Funds,
        4 | 18 => Class::Refused,
        _ => Class::Unknown,
    }
}

fn of_text(text: &str) -> Option<Class> {
    TEXTS.iter().find(|(part, _)| text.contains(part)).map(|(_, class)| *class)
}

fn digits_after<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let rest = &text[text.find(mark)? + mark.len()..];
    Some(rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())))
}

fn number_after(text: &str, mark: &str) -> Option<u64> {
    digits_after(text, mark)?.0.parse().ok()
}

/// An amount of another denomination would be no amount.
fn uallo_after(text: &str, mark: &str) -> Option<u128> {
    let (digits, rest) = digits_after(text, mark)?;
    if rest.starts_with("uallo") { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
