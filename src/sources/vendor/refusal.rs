//! What a vendor's answer means when it is no bars.

/// Why a vendor gave no bars. Each holds what it said, not yet safe to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// A wrong key, or a plan without these bars: only an operator can change that.
    Credentials(String),
    /// The day's calls are used up: nothing before the vendor's next day.
    DayUsedUp(String),
    /// Asked too often: nothing for a while.
    TooOften(String),
    /// It does not know the ticker, or not with these bars.
    Ticker(String),
    /// The request itself is wrong, or went to another place than the vendor's interface.
    Request(String),
    /// Words instead of bars, which may mean anything: nothing for a while, and it says nothing about the ticker.
    Words(String),
    /// The vendor has trouble; the same request may work right away.
    Trouble(String),
    /// Not what a vendor sends: broken off, damaged, or of another shape.
    Unreadable(String),
}

/// A body as text.
pub(super) fn text(body: &[u8]) -> String {
    const BYTES_MAX: usize = 4096;
    String::from_utf8_lossy(&body[..body.len().min(BYTES_MAX)]).into_owned()
}

/// What a status means to every vendor, when it is not 200.
pub(super) fn by_status(status: u16, body: &[u8]) -> Refusal {
    let said = match text(body) {
        text if text.trim().is_empty() => format!("status {status}"),
        text => format!("status {status}: {text}"),
    };
    match status {
        401 | 403 => Refusal::Credentials(said),
        404 => Refusal::Ticker(said),
        408 | 500..=599 => Refusal::Trouble(said),
        429 => Refusal::TooOften(said),
        _ => Refusal::Request(said),
    }
}
