//! Counts calls by how they ended, where somebody wants to know.

use std::sync::{Arc, OnceLock};

use sentinel_actors::meters::{Called, Calls};

use super::answer::Answer;
use super::error::CallError;

/// Where the calls of a client are counted; nowhere until it is told.
#[derive(Debug, Default)]
pub(super) struct Counted(OnceLock<Arc<Calls>>);

impl Counted {
    /// Only the first of several counts.
    pub(super) fn count_in(&self, calls: Arc<Calls>) {
        let _ = self.0.set(calls);
    }

    /// Takes in how a call ended. A call that nobody waits for any more has no end.
    pub(super) fn note<T: AsStatus>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if let Some(calls) = self.0.get() {
            calls.count(called(&result));
        }
        result
    }
}

/// What an answer says of itself.
pub(super) trait AsStatus {
    fn is_success(&self) -> bool;
}

impl AsStatus for Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// The body of an answer of status 200.
impl AsStatus for Vec<u8> {
    fn is_success(&self) -> bool {
        true
    }
}

fn called(result: &Result<impl AsStatus, CallError>) -> Called {
    match result {
        Ok(answer) if answer.is_success() => Called::Ok,
        Ok(_) | Err(CallError::Status { .. } | CallError::Encoded(_) | CallError::TooLong { .. }) => Called::Refused,
        Err(CallError::Timeout(_)) => Called::Timeout,
        Err(CallError::Unreachable(_) | CallError::Unavailable(_)) => Called::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_is_counted_by_how_it_ended_once_somebody_wants_to_know() {
        let (counted, calls) = (Counted::default(), Arc::new(Calls::default()));
        let answer = |status| Ok(Answer::new(status, Vec::new()));
        let _ = counted.note(answer(200));
        counted.count_in(calls.clone());
        let text = || "x".to_owned();
        let ends = [
            answer(204),
            answer(429),
            Err(CallError::Status { status: 500, text: text() }),
            Err(CallError::Timeout(Duration::from_secs(1))),
            Err(CallError::Unreachable(text())),
            Err(CallError::Unavailable(text())),
        ];
        for end in ends {
            let _ = counted.note(end);
        }
        let _ = counted.note(Ok(vec![1_u8]));
        assert_eq!(Called::ALL.map(|called| calls.read(called)), [2, 2, 1, 2]);
    }
}
