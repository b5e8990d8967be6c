//! Each thing that happens is counted once, under the name that it is shown with.

use super::*;
use crate::domain::cycle::Stage;
use crate::pipeline::stages::child_id;
use crate::slot_feeder::SLOT_FEED;

fn seen(counted: impl Iterator<Item = (&'static str, u64)>) -> Vec<(&'static str, u64)> {
    counted.filter(|(_, count)| *count > 0).collect()
}

#[test]
fn every_reason_has_a_counter_of_its_own_and_only_those_seen_are_shown() {
    let meters = PipelineMeters::new(Mode::Live, false);
    assert_eq!(meters.slots().count(), 0);
    for (count, reason) in (1..).zip(Reason::ALL) {
        meters.count_slots(*reason, count);
    }
    let expected: Vec<(Reason, u64)> = Reason::ALL.iter().copied().zip(1..).collect();
    assert_eq!(meters.slots().collect::<Vec<_>>(), expected);
    assert_eq!(meters.windows().count(), 0, "a slot of a grid is no window");
}

#[test]
fn an_effect_is_counted_when_it_has_come_to_its_end_and_not_before() {
    let meters = PipelineMeters::new(Mode::Live, false);
    let text = || "seen".to_owned();
    for open in [IntentEvent::Send, IntentEvent::LostTrack { evidence: text() }, IntentEvent::Hold { evidence: text() }]
    {
        meters.count_event(&open);
    }
    assert_eq!(seen(meters.effects()), []);
    for ended in [
        IntentEvent::Rejected { code: None, text: text() },
        IntentEvent::Abandon,
        IntentEvent::NeverLeft { evidence: text() },
        IntentEvent::FoundAbsent { evidence: text() },
        IntentEvent::SettledAbsent { evidence: text() },
    ] {
        meters.count_event(&ended);
    }
    assert_eq!(seen(meters.effects()), [("rejected", 1), ("absent", 4)]);
}

#[test]
fn a_window_is_told_by_its_ledger_or_else_by_its_slot() {
    let meters = PipelineMeters::new(Mode::Live, true);
    let text = || "seen".to_owned();
    for fact in [
        Fact::Admitted,
        Fact::Stored { value: text(), evidence: text(), inclusions: None },
        Fact::Evicted { evidence: text() },
        Fact::Scored { score: text() },
    ] {
        meters.count_event(&IntentEvent::Noted { fact });
    }
    // It left, so its ledger tells the rest.
    meters.count_slots(Reason::ForecastAcked, 1);
    // A person or the competition kept it here.
    meters.count_slots(Reason::Halted, 1);
    meters.count_slots(Reason::CompetitionOver, 1);
    meters.count_slots(Reason::NodeDown, 3);
    meters.count_event(&IntentEvent::NeverLeft { evidence: text() });
    meters.count_slots(Reason::ForecastNeverLeft, 1);
    meters.count_event(&IntentEvent::FoundAbsent { evidence: text() });
    meters.count_event(&IntentEvent::Rejected { code: None, text: text() });
    let expected = [("stored", 1), ("scored", 1), ("evicted", 1), ("refused", 1), ("never_included", 1), ("missed", 4)];
    assert_eq!(seen(meters.windows()), expected);
}

#[test]
fn every_part_that_can_be_replaced_has_a_name_here() {
    let meters = PipelineMeters::new(Mode::Live, false);
    for stage in Stage::ALL {
        meters.count_restart(Some(child_id(stage).as_str()));
    }
    meters.count_restart(Some(SLOT_FEED));
    meters.count_restart(None);
    let expected: Vec<(&str, u64)> = PARTS.iter().map(|part| (*part, 1)).collect();
    assert_eq!(meters.restarts().collect::<Vec<_>>(), expected);
}
