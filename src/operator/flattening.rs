//! What closing everything means for an operator: the words that confirm it, the halt that goes before it, and what is told after it.
//! The same on a running and on a stopped node.

use sentinel_actors::domain::flatten::Flattened;
use sentinel_actors::domain::halt::{Halt, NewHalt, Place, RaisedBy, Scope, TradingState};
use sentinel_actors::domain::time::UtcMs;

use crate::exit;

/// Why the halt was raised; it stands in the row of each slot.
const WHY: &str = "flatten: everything is closed, and nothing is opened";

/// What is typed to confirm it: what is closed, and where.
#[must_use]
pub fn phrase(place: &Place) -> String {
    format!("{}@{}", place.symbol, place.account)
}

fn scope(place: &Place) -> Scope {
    Scope::Symbol { account: place.account.clone(), symbol: place.symbol.clone() }
}

/// The halt that keeps new exposure here while everything is closed, and afterwards.
#[must_use]
pub fn new_halt(place: &Place, id: &str, who: String, since: UtcMs) -> NewHalt {
    NewHalt {
        request: format!("flatten {id}"),
        scope: scope(place),
        state: TradingState::Reducing,
        by: RaisedBy::Operator,
        who,
        why: WHY.to_owned(),
        evidence: String::new(),
        since,
    }
}

/// Whether a halt is that of an earlier command of the same place, and stands.
#[must_use]
pub fn keeps_flat(halt: &Halt, place: &Place) -> bool {
    halt.stands() && is_of(&halt.raised, &place.account, &place.symbol)
}

/// Whether a halt was raised to close everything of this symbol, and stands or not.
#[must_use]
pub fn is_of(raised: &NewHalt, account: &str, symbol: &str) -> bool {
    let of = Scope::Symbol { account: account.to_owned(), symbol: symbol.to_owned() };
    raised.why == WHY && raised.scope == of
}

/// What is told of it, and the exit code: 0 only when nothing of the symbol is listed any more.
#[must_use]
pub fn told(halt: &Halt, flattened: &Flattened) -> (String, u8) {
    let id = halt.id;
    let (conclusion, code) = if flattened.is_flat() {
        (format!("nothing is open; new orders leave again after `sentinel resume {id}`"), exit::OK)
    } else {
        let text = "it is NOT flat. Give this command again, which repeats no close whose result is not known, or close in the \
                    terminal what is left";
        (format!("{text}; {id} stands"), exit::FAILED)
    };
    (format!("{halt}\n{flattened}\n{conclusion}"), code)
}
