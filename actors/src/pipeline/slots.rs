//! The slots of a pipeline: those of a grid, or those that are announced. Both are pure machines with the same commands.

use crate::domain::announced::{AnnouncedSlot, AnnouncedSlots};
use crate::domain::cycle::{InFlight, SlotCommand, SlotEvent, SlotMachine};
use crate::domain::time::UtcMs;

pub(super) enum Slots {
    Grid(SlotMachine),
    Announced(AnnouncedSlots),
}

impl Slots {
    pub(super) fn on(&mut self, event: SlotEvent) -> Vec<SlotCommand> {
        match self {
            Self::Grid(machine) => machine.on(event),
            Self::Announced(machine) => machine.on(event),
        }
    }

    pub(super) const fn in_flight(&self) -> Option<InFlight> {
        match self {
            Self::Grid(machine) => machine.in_flight(),
            Self::Announced(machine) => machine.in_flight(),
        }
    }

    /// The announcement of the slot in flight; `None` on a grid.
    pub(super) const fn announced(&self) -> Option<&AnnouncedSlot> {
        match self {
            Self::Grid(_) => None,
            Self::Announced(machine) => machine.current(),
        }
    }

    /// The next slot that will be due, or the oldest one that waits.
    pub(super) fn next_due(&self) -> Option<UtcMs> {
        match self {
            Self::Grid(machine) => machine.next_due(),
            Self::Announced(machine) => machine.next_due(),
        }
    }

    /// When there is something to do next, other than the end of the cycle in flight.
    pub(super) fn next_change(&self, now: UtcMs) -> Option<UtcMs> {
        match self {
            Self::Grid(machine) => machine.next_due(),
            Self::Announced(machine) => machine.next_change(now),
        }
    }

    /// Up to where slots have been handed out: a clock that shows an earlier time was set back.
    pub(super) const fn accounted(&self) -> Option<UtcMs> {
        match self {
            Self::Grid(machine) => Some(machine.accounted()),
            Self::Announced(machine) => machine.newest_passed(),
        }
    }

    /// Whether slots of the competition have not begun yet.
    pub(super) fn has_slots_left(&self) -> bool {
        match self {
            Self::Grid(machine) => machine.next_due().is_some(),
            Self::Announced(machine) => machine.has_slots_left(),
        }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.in_flight().is_none() && !self.has_slots_left()
    }
}
