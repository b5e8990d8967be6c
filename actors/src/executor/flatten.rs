//! Flattening: an operator has everything closed that the node has opened, between two cycles.
//!
//! Each close is an intent of its own, whose basis is the command and no slot; it takes the same way through the protocol as any
//! other. What another hand has opened is shown and left alone. A close whose result is not known is never repeated.

use std::time::Duration;

use tokio::time::Instant;

use super::effect::Effect;
use super::positions::Open;
use super::{Executor, IntentProtocol, Strategy, TradeStrategy, VENUE_FIFTHS};
use crate::cycle_flow::Cycle;
use crate::domain::action::Action;
use crate::domain::cycle::SlotRecord;
use crate::domain::flatten::{Close, Flattened, Listed, NotFlattened};
use crate::domain::intent::{Basis, Intent, IntentEvent, IntentState, Mode};
use crate::domain::order::{Position, Role};
use crate::domain::reason::Reason;
use crate::domain::risk::Exposure;
use crate::messages::Flatten;
use crate::ports::{FaultPoint, PositionBook, Sink, Written, elapsed_now, inject_fault};

/// Of the time that a command has, so much is kept for reading the positions again.
const READ_AGAIN: Duration = Duration::from_secs(4);

/// Whether somebody still waits for the answer. What nobody waits for any more is not begun.
pub(super) fn is_wanted(asked: &Flatten) -> bool {
    !asked.reply.is_closed() && elapsed_now() + READ_AGAIN < asked.until
}

impl Executor {
    /// Closes what is open. Everything ends by `until`.
    ///
    /// # Errors
    /// When nothing was tried.
    pub async fn flatten(&mut self, until: Instant) -> Result<Flattened, NotFlattened> {
        let Self { protocol, strategy } = self;
        let Strategy::Trade(trade) = strategy else { return Err(NotFlattened::NoPositions) };
        require_closable(&*protocol.sink, &*trade.book)?;
        protocol.journal.give_up_at(until);
        let at = protocol.clock.now();
        let cycle = Cycle::of_operator(at, until.checked_sub(READ_AGAIN).unwrap_or(until));
        if protocol.settled_by_hand.take() {
            protocol.settled = false;
        }
        protocol.begin_venue_call(cycle.deadline);
        if !protocol.settled {
            inject_fault(&*protocol.faults, FaultPoint::BeforeSettle, &protocol.path).await;
            protocol.settle(None).await.map_err(|error| NotFlattened::Journal(error.to_string()))?;
        }
        let (account, symbol) = (protocol.sink.account().to_owned(), trade.symbol.clone());
        let exposure = protocol.journal.exposure(&account, &symbol, Mode::Live, at).await;
        let exposure = exposure.map_err(|error| NotFlattened::Journal(error.to_string()))?;
        protocol.begin_venue_call(cycle.deadline);
        let open = trade.positions(protocol, at).await;
        let open = open.map_err(|ending| NotFlattened::Unlisted(ending.detail))?;
        let mut closes = Vec::new();
        for position in &open.positions {
            protocol.begin_venue_call(cycle.deadline);
            closes.push(trade.close_for_operator(protocol, &cycle, position, &exposure, &open).await);
        }
        protocol.venue_until = until;
        let after = trade.positions(protocol, at).await.map(Listed::from).map_err(|ending| ending.detail);
        let openings = exposure.open_intents.iter();
        let openings = openings.filter(|intent| intent.order().is_some_and(|order| order.role == Role::Open));
        let in_doubt = openings.map(|intent| intent.key.clone()).collect();
        Ok(Flattened { before: open.into(), closes, in_doubt, after })
    }
}

impl IntentProtocol {
    /// One call of the venue takes no longer than in a cycle, so that one that hangs leaves time for the next.
    fn begin_venue_call(&mut self, until: Instant) {
        self.venue_until = until.min(elapsed_now() + self.deadlines.execute * VENUE_FIFTHS / 5);
    }
}

impl TradeStrategy {
    async fn close_for_operator(
        &mut self,
        protocol: &mut IntentProtocol,
        cycle: &Cycle,
        position: &Position,
        exposure: &Exposure,
        open: &Open,
    ) -> Close {
        let ticket = position.ticket;
        let not_sent = |became: String| Close { ticket, key: None, became };
        let earlier = exposure.open_intents.iter().find(|intent| closes(intent, position));
        let given_up = match earlier {
            Some(planned) if planned.state == IntentState::Planned => {
                let abandon = protocol.journal.advance(&planned.key, IntentEvent::Abandon, protocol.clock.now());
                matches!(abandon.await, Ok(Written::Done))
            }
            _ => false,
        };
        if let Some(earlier) = earlier.filter(|_| !given_up) {
            let key = &earlier.key;
            let text = format!("an earlier close is {}: nothing is sent twice. `sentinel settle {key}`", earlier.state);
            return Close { key: Some(key.clone()), ..not_sent(text) };
        }
        let order = match self.exit(protocol.sink.mode(), position) {
            Ok(order) => order,
            Err(ending) => return not_sent(format!("not sent ({}): {}", ending.reason, ending.detail)),
        };
        let (key, basis) = protocol.identity(Basis::Operator(cycle.slot), order.role, None);
        let action = Action::from(order);
        let mut record = SlotRecord::new(&protocol.pipeline, cycle.slot, Mode::Live, Reason::IntentStands, cycle.slot);
        let effect = match protocol.may_act(cycle, &action).await {
            Ok(()) => protocol.carry_out(cycle, &mut record, (key.clone(), basis), action, open.listed()).await,
            Err(ending) => Effect::Nothing(ending),
        };
        let became = match effect {
            Effect::Acted(reason, text) => format!("{reason}, {text}"),
            Effect::ActedEarlier { text, .. } => text,
            Effect::Nothing(ending) => format!("not sent ({}): {}", ending.reason, ending.detail),
        };
        Close { ticket, key: record.intents.contains(&key).then_some(key), became }
    }
}

/// Whether the positions of a pipeline can be closed at all.
///
/// # Errors
/// Why not.
pub fn require_closable(sink: &dyn Sink, book: &dyn PositionBook) -> Result<(), NotFlattened> {
    match sink.mode() {
        Mode::DryRun => Err(NotFlattened::DryRun),
        Mode::Live => book.closes_by_ticket().map_err(NotFlattened::CannotClose),
    }
}

fn closes(intent: &Intent, position: &Position) -> bool {
    intent.order().is_some_and(|order| order.role == Role::Close(position.ticket))
}

impl From<Open> for Listed {
    fn from(open: Open) -> Self {
        Self { own: open.positions, others: open.unexplained }
    }
}
