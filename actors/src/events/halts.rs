//! The log lines about halts. They know nothing of what else the node shows.

use tracing::{error, warn};

use crate::domain::halt::{Halt, Lifted};

/// Effects of `scope` stay here from now on.
pub fn raised(halt: &Halt) {
    let raised = &halt.raised;
    error!(
        event = "halt_raised",
        halt = %halt.id,
        scope = %raised.scope,
        state = %raised.state,
        by = raised.by.code(),
        who = raised.who,
        why = raised.why,
        evidence = (!raised.evidence.is_empty()).then_some(raised.evidence.as_str()),
        "a halt was raised; it stands until an operator lifts it"
    );
}

/// A halt that was raised earlier still stands.
pub fn stands(halt: &Halt) {
    let raised = &halt.raised;
    warn!(
        event = "halt_stands",
        halt = %halt.id,
        scope = %raised.scope,
        state = %raised.state,
        by = raised.by.code(),
        who = raised.who,
        why = raised.why,
        since = %raised.since,
        "a halt keeps effects here until an operator lifts it"
    );
}

pub fn lifted(halt: &Halt, lifted: &Lifted) {
    warn!(
        event = "halt_lifted",
        halt = %halt.id,
        scope = %halt.raised.scope,
        who = lifted.who,
        why = (!lifted.why.is_empty()).then_some(lifted.why.as_str()),
        "an operator has lifted a halt"
    );
}
