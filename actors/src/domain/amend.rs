//! What the row of a slot says when the slot has intents.
//!
//! A row is written by a cycle that reports its end, or on behalf of one that is lost. Neither is complete: a lost cycle
//! reports nothing, and a cycle that is run again after a crash sees the effects of its first run (its order is refused,
//! because the position is open already). The intents of the slot are complete. Promise kept here: a slot whose order may have left is never reported as missed or skipped, and its row names every such order.

use super::action::EffectEnd;
use super::cycle::SlotRecord;
use super::intent::{Basis, Intent, IntentState, Mode};
use super::reason::{Outcome, Reason};
use super::time::UtcMs;

/// What an amended row says about itself.
const RECOVERED: &str = "recovered from the journal";

/// Amends the row that a cycle's end is reported with. `intents` are all of the slot, in whatever state and mode.
pub fn amend_ended(record: &mut SlotRecord, intents: &[Intent]) {
    let any_left = intents.iter().any(|intent| intent.state.may_have_left());
    if !intents.is_empty() && (record.outcome() == Outcome::Missed || any_left && record.outcome() != Outcome::Acted) {
        let reported = format!("{RECOVERED}; the cycle ended with '{}'", record.reason);
        end_as_intents(record, intents);
        record.detail = if record.detail.is_empty() { reported } else { format!("{reported}: {}", record.detail) };
    }
    for intent in intents.iter().filter(|intent| intent.state.may_have_left()) {
        if !record.intents.contains(&intent.key) {
            record.detail = format!("{}; {RECOVERED}: {} {}", record.detail, intent.action.role(), intent.state);
            record.intents.push(intent.key.clone());
            record.decided_bar = record.decided_bar.or_else(|| decided_bar(intent));
        }
    }
}

/// Amends the row of a missed slot. If it has intents, a cycle worked on it and was lost.
pub fn amend_missed(record: &mut SlotRecord, intents: &[Intent]) {
    if intents.is_empty() {
        return;
    }
    end_as_intents(record, intents);
    RECOVERED.clone_into(&mut record.detail);
}

/// Ends `record` as its intents ended.
fn end_as_intents(record: &mut SlotRecord, intents: &[Intent]) {
    // When a slot has intents of both modes, the live ones count: their effects were real.
    let mode = if intents.iter().any(|intent| intent.mode == Mode::Live) { Mode::Live } else { Mode::DryRun };
    let own: Vec<&Intent> = intents.iter().filter(|intent| intent.mode == mode).collect();
    let any = |states: &[IntentState]| own.iter().any(|intent| states.contains(&intent.state));
    let end = if any(&[IntentState::Acked]) {
        Some(EffectEnd::Acked)
    } else if any(&[IntentState::Unknown, IntentState::Held, IntentState::Sent]) {
        Some(EffectEnd::Unknown)
    } else if any(&[IntentState::Rejected]) {
        Some(EffectEnd::Rejected)
    } else {
        None
    };
    // A pipeline has one job: all effects of a slot are of one kind.
    record.reason = match (end, own.first()) {
        (Some(end), Some(intent)) => intent.action.reason(end),
        _ => Reason::IntentStands,
    };
    record.mode = mode;
    record.intents = own.iter().map(|intent| intent.key.clone()).collect();
    record.decided_bar = own.iter().find_map(|intent| decided_bar(intent));
}

/// A decision about a slot does not name its bar; the slot's time must not be taken for that of a bar.
const fn decided_bar(intent: &Intent) -> Option<UtcMs> {
    match intent.basis {
        Basis::Bar(bar) => Some(bar),
        Basis::Slot(_) | Basis::Operator(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::super::action::Action;
    use super::super::intent::IntentKey;
    use super::super::order::{Order, Role, Side, Ticket};
    use super::*;

    const SLOT: UtcMs = UtcMs(3_600_000);
    const BAR: UtcMs = UtcMs(0);

    fn intent(mode: Mode, role: Role, state: IntentState) -> Intent {
        Intent {
            key: IntentKey::derive(mode, "account", "eurusd", Basis::Bar(BAR), role),
            mode,
            account: "account".to_owned(),
            pipeline: "eurusd".to_owned(),
            slot: SLOT,
            announced_as: None,
            basis: Basis::Bar(BAR),
            action: Action::Order(Order {
                role,
                symbol: "EURUSD".to_owned(),
                side: Side::Buy,
                volume_lots: Decimal::ONE,
                stop_price: None,
                target_price: None,
                reference_price: Decimal::ONE,
            }),
            state,
            receipt: None,
            awaits: None,
            grade: None,
            listed: None,
            venue_note: None,
        }
    }

    fn open(state: IntentState) -> Intent {
        intent(Mode::Live, Role::Open, state)
    }

    fn close(state: IntentState) -> Intent {
        intent(Mode::Live, Role::Close(Ticket(7)), state)
    }

    fn row(reason: Reason) -> SlotRecord {
        SlotRecord::new("eurusd", SLOT, Mode::Live, reason, SLOT)
    }

    fn ended(reason: Reason, intents: &[Intent]) -> SlotRecord {
        let mut record = row(reason);
        amend_ended(&mut record, intents);
        record
    }

    #[test]
    fn a_row_without_intents_stays_as_it_was_reported() {
        for reason in Reason::ALL {
            assert_eq!(ended(*reason, &[]), row(*reason));
            let mut missed = row(*reason);
            amend_missed(&mut missed, &[]);
            assert_eq!(missed, row(*reason));
        }
    }

    #[test]
    fn no_row_is_missed_or_skipped_while_an_order_of_its_slot_may_have_left() {
        for state in IntentState::ALL {
            for reason in Reason::ALL {
                let record = ended(*reason, &[open(state)]);
                assert_ne!(record.outcome(), Outcome::Missed, "{reason} over {state}");
                if state.may_have_left() {
                    assert_eq!(record.outcome(), Outcome::Acted, "{reason} over {state}");
                    assert_eq!(record.intents, [open(state).key], "{reason} over {state}");
                }
            }
        }
    }

    #[test]
    fn an_order_that_never_left_does_not_change_what_a_cycle_reported() {
        for state in [IntentState::Planned, IntentState::Absent] {
            assert_eq!(ended(Reason::OrderNeverLeft, &[open(state)]), row(Reason::OrderNeverLeft));
        }
    }

    #[test]
    fn the_confirmed_order_weighs_most_then_the_unsettled_then_the_refused_one() {
        let reason = |intents: &[Intent]| {
            let mut record = row(Reason::NodeDown);
            amend_missed(&mut record, intents);
            assert_eq!((record.decided_bar, record.intents.len()), (Some(BAR), intents.len()));
            record.reason
        };
        use IntentState as S;
        assert_eq!(reason(&[close(S::Acked), open(S::Unknown)]), Reason::OrderAcked);
        for unsettled in [S::Sent, S::Unknown, S::Held] {
            assert_eq!(reason(&[close(S::Rejected), open(unsettled)]), Reason::OrderUnknown);
        }
        assert_eq!(reason(&[close(S::Rejected), open(S::Planned)]), Reason::OrderRejected);
        assert_eq!(reason(&[close(S::Absent), open(S::Planned)]), Reason::IntentStands);
    }

    #[test]
    fn a_run_again_cycle_names_the_close_that_its_first_run_did() {
        let mut record = row(Reason::OrderAcked);
        record.intents = vec![open(IntentState::Acked).key];
        amend_ended(&mut record, &[close(IntentState::Acked), open(IntentState::Acked)]);
        assert_eq!(record.reason, Reason::OrderAcked);
        assert_eq!(record.intents, [open(IntentState::Acked).key, close(IntentState::Acked).key]);
    }

    #[test]
    fn a_slot_that_only_closed_still_names_the_bar_it_had_decided() {
        let exit = Intent { basis: Basis::Slot(SLOT), ..close(IntentState::Acked) };
        let mut record = row(Reason::OrderAcked);
        record.intents = vec![exit.key.clone()];
        amend_ended(&mut record, &[exit, open(IntentState::Unknown)]);
        assert_eq!((record.decided_bar, record.intents.len()), (Some(BAR), 2));
    }

    #[test]
    fn live_intents_count_for_a_slot_with_both_modes_and_dry_ones_are_named() {
        let dry = intent(Mode::DryRun, Role::Open, IntentState::Acked);
        let record = ended(Reason::StageCrashed, &[dry.clone(), open(IntentState::Rejected)]);
        assert_eq!((record.mode, record.reason), (Mode::Live, Reason::OrderRejected));
        assert_eq!(record.intents, [open(IntentState::Rejected).key, dry.key]);
    }
}
