//! Slots that are announced from outside: a chain opens a window, and says until when.
//!
//! An announced slot is durable before it is worked on. From then on it ends in exactly one row, whoever announced it and how
//! often, also when it was withdrawn or when the node was down (promise 1). Unlike on a grid, an old slot is worked on as long as
//! its window is open: nobody announces it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::cycle::{CycleInFlight, InFlight, SlotCommand, SlotEvent};
use super::reason::Reason;
use super::schedule::Window;
use super::time::UtcMs;

/// Longest id of an announcement, in bytes.
const ID_MAX: usize = 128;

/// What is announced: a window in which an effect may leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    id: String,
    opens: UtcMs,
    closes: UtcMs,
}

/// An announcement that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnouncement {
    #[error("an announcement needs an id of 1 to {ID_MAX} bytes, not {0}")]
    Id(usize),
    #[error("the announcement {id} closes at {closes}, before it opens at {opens}")]
    Window { id: String, opens: UtcMs, closes: UtcMs },
}

impl Announcement {
    /// `id` is unique among all announcements of a pipeline, for example a nonce. `closes` is the last instant at which the effect
    /// may leave.
    ///
    /// # Errors
    /// When the id is empty or too long, or the window ends before it begins.
    pub fn new(id: impl Into<String>, opens: UtcMs, closes: UtcMs) -> Result<Self, InvalidAnnouncement> {
        let id = id.into();
        if id.is_empty() || id.len() > ID_MAX {
            return Err(InvalidAnnouncement::Id(id.len()));
        }
        if closes < opens {
            return Err(InvalidAnnouncement::Window { id, opens, closes });
        }
        Ok(Self { id, opens, closes })
    }

    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// First instant at which the effect may leave.
    #[must_use]
    pub const fn opens(&self) -> UtcMs {
        self.opens
    }

    /// Last instant at which it may.
    #[must_use]
    pub const fn closes(&self) -> UtcMs {
        self.closes
    }
}

/// A slot that was announced, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedSlot {
    /// When it is due: when its window opens, or the first free millisecond after that, because the time of a slot is its identity.
    pub slot: UtcMs,
    /// Last instant at which its effect may leave.
    pub closes: UtcMs,
    /// What it was announced as.
    pub id: String,
    /// Schedule time at which the node learnt of it.
    pub announced_at: UtcMs,
}

/// What a pipeline learns when its feed was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedNews {
    /// Every durable slot without a row.
    pub open: Vec<AnnouncedSlot>,
    /// Ids that must not be worked on any more.
    pub withdrawn: BTreeSet<String>,
    /// Every slot that opened until then is known; `None`: the feed did not answer, and only what was known before is here.
    pub asked_at: Option<UtcMs>,
    /// Why no slot can be used at present, and what to do.
    pub waits_for: Option<String>,
    /// When the next slot is expected to open.
    pub next: Option<UtcMs>,
    /// For how long the account can pay; `None`: nothing new is known of it.
    pub runway: Option<Duration>,
}

/// Which announced slots wait, and which one is in flight. Knows no clock: time comes in events.
#[derive(Debug, Clone)]
pub struct AnnouncedSlots {
    window: Window,
    /// Windows that closed before this passed while the node was down.
    node_started_at: UtcMs,
    /// Those that closed before this, while the pipeline was.
    started_at: UtcMs,
    waiting: BTreeMap<UtcMs, AnnouncedSlot>,
    /// Slots that ended, and that the journal may still show without a row.
    ended: BTreeSet<UtcMs>,
    in_flight: CycleInFlight,
    current: Option<AnnouncedSlot>,
    is_current_withdrawn: bool,
    newest_passed: Option<UtcMs>,
    /// When the feed was asked for what is known now; `None`: it has not answered since the start. A withdrawal may be unknown
    /// until then, so nothing is worked on.
    asked_at: Option<UtcMs>,
}

impl AnnouncedSlots {
    /// The slots of a pipeline that starts at `now`, on a node that started at `node_started_at`. `newest_passed`: what an earlier
    /// incarnation worked on last.
    #[must_use]
    pub const fn new(window: Window, node_started_at: UtcMs, now: UtcMs, newest_passed: Option<UtcMs>) -> Self {
        Self {
            window,
            node_started_at,
            started_at: now,
            waiting: BTreeMap::new(),
            ended: BTreeSet::new(),
            in_flight: CycleInFlight::NONE,
            current: None,
            is_current_withdrawn: false,
            newest_passed,
            asked_at: None,
        }
    }

    #[must_use]
    pub const fn in_flight(&self) -> Option<InFlight> {
        self.in_flight.get()
    }

    /// The slot in flight.
    #[must_use]
    pub const fn current(&self) -> Option<&AnnouncedSlot> {
        self.current.as_ref()
    }

    /// The newest slot that was due and is not any more. A clock that shows an earlier time was set back.
    #[must_use]
    pub const fn newest_passed(&self) -> Option<UtcMs> {
        self.newest_passed
    }

    /// The oldest slot that waits.
    #[must_use]
    pub fn next_due(&self) -> Option<UtcMs> {
        self.waiting.keys().next().copied()
    }

    /// When the next slot opens, or closes without having been worked on.
    #[must_use]
    pub fn next_change(&self, now: UtcMs) -> Option<UtcMs> {
        let can_begin = self.in_flight().is_none() && self.asked_at.is_some();
        let change = |slot: &AnnouncedSlot| {
            if slot.slot > now || can_begin { slot.slot } else { UtcMs(slot.closes.0.saturating_add(1)) }
        };
        self.waiting.values().map(change).min()
    }

    /// Whether slots wait, or may still be announced: only an answer after the window's end shows that none is.
    #[must_use]
    pub fn has_slots_left(&self) -> bool {
        let all_known = self.window.end.is_some_and(|end| self.asked_at.is_some_and(|asked| asked >= end));
        !self.waiting.is_empty() || !all_known
    }

    /// Whether the feed has answered since the start.
    #[must_use]
    pub const fn has_asked(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Corrects when node and pipeline were started, by a clock that has learnt the time since.
    pub const fn started(&mut self, node_started_at: UtcMs, started_at: UtcMs) {
        self.node_started_at = node_started_at;
        self.started_at = started_at;
    }

    /// Takes over what the feed says. Saying it again changes nothing.
    #[must_use]
    pub fn take_over(&mut self, news: FeedNews) -> Vec<SlotCommand> {
        let FeedNews { open, withdrawn, asked_at, .. } = news;
        self.asked_at = self.asked_at.max(asked_at);
        self.ended.retain(|ended| open.iter().any(|slot| slot.slot == *ended));
        let current = self.current.as_ref().map(|current| current.slot);
        let is_new = |slot: &AnnouncedSlot| !self.ended.contains(&slot.slot) && current != Some(slot.slot);
        self.waiting = open.into_iter().filter(is_new).map(|slot| (slot.slot, slot)).collect();
        let mut commands = Vec::new();
        if let Some(current) = self.current.as_ref().filter(|current| withdrawn.contains(&current.id)) {
            self.is_current_withdrawn = true;
            commands.push(SlotCommand::Withdraw { slot: current.slot });
        }
        let gone: Vec<UtcMs> =
            self.waiting.values().filter(|slot| withdrawn.contains(&slot.id)).map(|slot| slot.slot).collect();
        for slot in gone {
            self.end(slot, Reason::Withdrawn, &mut commands);
        }
        commands
    }

    #[must_use]
    pub fn on(&mut self, event: SlotEvent) -> Vec<SlotCommand> {
        match event {
            SlotEvent::Tick { now } => self.tick(now),
            other => {
                let commands = self.in_flight.on(other, self.is_current_withdrawn.then_some(Reason::Withdrawn));
                if self.in_flight().is_none()
                    && let Some(ended) = self.current.take()
                {
                    self.ended.insert(ended.slot);
                    self.is_current_withdrawn = false;
                }
                commands
            }
        }
    }

    fn tick(&mut self, now: UtcMs) -> Vec<SlotCommand> {
        let mut commands = Vec::new();
        let over: Vec<(UtcMs, Reason)> =
            self.waiting.values().filter_map(|slot| Some((slot.slot, self.end_without_cycle(slot, now)?))).collect();
        for (slot, reason) in over {
            if slot <= now {
                self.newest_passed = self.newest_passed.max(Some(slot));
            }
            self.end(slot, reason, &mut commands);
        }
        if self.in_flight().is_some() || self.asked_at.is_none() {
            return commands;
        }
        // The one whose window closes first.
        let open = self.waiting.values().filter(|slot| slot.slot <= now);
        let Some(next) = open.min_by_key(|slot| (slot.closes, slot.slot)).map(|slot| slot.slot) else {
            return commands;
        };
        self.current = self.waiting.remove(&next);
        self.newest_passed = self.newest_passed.max(Some(next));
        commands.push(self.in_flight.begin(next));
        commands
    }

    /// Why a waiting slot is never worked on; `None` while it may be.
    fn end_without_cycle(&self, slot: &AnnouncedSlot, now: UtcMs) -> Option<Reason> {
        let closes = slot.closes;
        if closes >= now {
            // What opens before the end is used until it closes.
            return (!self.window.contains(slot.slot)).then_some(Reason::CompetitionOver);
        }
        Some(match () {
            () if closes < self.node_started_at => Reason::NodeDown,
            () if closes < self.started_at => Reason::PipelineDown,
            () if self.asked_at.is_none() => Reason::FeedSilent,
            () if self.in_flight().is_some() => Reason::Overrun,
            () => Reason::Late,
        })
    }

    fn end(&mut self, slot: UtcMs, reason: Reason, commands: &mut Vec<SlotCommand>) {
        self.waiting.remove(&slot);
        self.ended.insert(slot);
        commands.push(SlotCommand::End { slot, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(slot: i64, closes: i64) -> AnnouncedSlot {
        AnnouncedSlot { slot: UtcMs(slot), closes: UtcMs(closes), id: slot.to_string(), announced_at: UtcMs(0) }
    }

    fn news(open: &[AnnouncedSlot], withdrawn: &[i64]) -> FeedNews {
        let withdrawn = withdrawn.iter().map(i64::to_string).collect();
        FeedNews { open: open.to_vec(), withdrawn, asked_at: Some(UtcMs(0)), waits_for: None, next: None, runway: None }
    }

    fn at(now: i64) -> SlotEvent {
        SlotEvent::Tick { now: UtcMs(now) }
    }

    const fn begin(slot: i64) -> SlotCommand {
        SlotCommand::Begin { slot: UtcMs(slot), attempt: 1 }
    }

    const fn end(slot: i64, reason: Reason) -> SlotCommand {
        SlotCommand::End { slot: UtcMs(slot), reason }
    }

    const fn ended(slot: i64) -> SlotEvent {
        SlotEvent::Ended { slot: UtcMs(slot), attempt: 1 }
    }

    /// A pipeline that started at 100, on a node that started at 50.
    fn machine() -> AnnouncedSlots {
        AnnouncedSlots::new(Window::default(), UtcMs(50), UtcMs(100), None)
    }

    #[test]
    fn an_open_window_is_worked_on_however_late_it_is_noticed() {
        let mut machine = machine();
        assert_eq!(machine.take_over(news(&[slot(10, 900)], &[])), []);
        assert_eq!(machine.on(at(899)), [begin(10)]);
    }

    #[test]
    fn nothing_is_worked_on_before_the_feed_has_answered() {
        let mut machine = machine();
        assert_eq!(machine.take_over(FeedNews { asked_at: None, ..news(&[slot(110, 200)], &[]) }), []);
        assert_eq!(machine.on(at(150)), []);
        assert_eq!(machine.next_change(UtcMs(150)), Some(UtcMs(201)));
        assert_eq!(machine.on(at(201)), [end(110, Reason::FeedSilent)]);
    }

    #[test]
    fn an_announcement_that_is_repeated_is_worked_on_once() {
        let mut machine = machine();
        let same = news(&[slot(110, 200)], &[]);
        let _ = machine.take_over(same.clone());
        assert_eq!(machine.on(at(110)), [begin(110)]);
        let _ = machine.take_over(same.clone());
        assert_eq!(machine.on(at(111)), []);
        assert_eq!(machine.on(ended(110)), [SlotCommand::Finish { slot: UtcMs(110) }]);
        let _ = machine.take_over(same);
        assert_eq!(machine.on(at(112)), [], "its row is on the way");
        assert_eq!(machine.next_due(), None);
    }

    #[test]
    fn each_closed_window_ends_with_the_reason_that_kept_it() {
        let mut machine = machine();
        let _ = machine.take_over(news(&[slot(10, 40), slot(20, 90), slot(110, 120)], &[]));
        assert_eq!(
            machine.on(at(130)),
            [end(10, Reason::NodeDown), end(20, Reason::PipelineDown), end(110, Reason::Late)]
        );
        let _ = machine.take_over(news(&[slot(140, 900), slot(150, 160)], &[]));
        assert_eq!(machine.on(at(140)), [begin(140)]);
        assert_eq!(machine.on(at(161)), [end(150, Reason::Overrun)]);
    }

    #[test]
    fn the_window_that_closes_first_is_worked_on_first() {
        let mut machine = machine();
        let _ = machine.take_over(news(&[slot(110, 900), slot(120, 300)], &[]));
        assert_eq!(machine.on(at(130)), [begin(120)]);
        let _ = machine.on(ended(120));
        assert_eq!(machine.on(at(131)), [begin(110)]);
    }

    #[test]
    fn a_withdrawn_slot_ends_once_and_is_not_worked_on() {
        let mut machine = machine();
        let both = news(&[slot(110, 900), slot(120, 900)], &[110]);
        assert_eq!(machine.take_over(both.clone()), [end(110, Reason::Withdrawn)]);
        assert_eq!(machine.take_over(both), []);
        assert_eq!(machine.on(at(130)), [begin(120)]);
    }

    #[test]
    fn a_slot_that_is_withdrawn_in_flight_is_not_run_again() {
        let mut machine = machine();
        let _ = machine.take_over(news(&[slot(110, 900)], &[]));
        let _ = machine.on(at(110));
        let commands = machine.take_over(news(&[slot(110, 900)], &[110]));
        assert_eq!(commands, [SlotCommand::Withdraw { slot: UtcMs(110) }]);
        let failed = SlotEvent::StageFailed { slot: UtcMs(110), attempt: 1, time_left: true, same_input: false };
        assert_eq!(machine.on(failed), [SlotCommand::Abort { slot: UtcMs(110), reason: Reason::Withdrawn }]);
    }

    #[test]
    fn slots_are_left_until_the_feed_was_asked_after_the_end_of_the_competition() {
        let window = Window { start: None, end: Some(UtcMs(500)) };
        let mut machine = AnnouncedSlots::new(window, UtcMs(0), UtcMs(100), None);
        assert!(machine.has_slots_left());
        let _ = machine.take_over(FeedNews { asked_at: Some(UtcMs(499)), ..news(&[slot(400, 900)], &[]) });
        assert_eq!(machine.on(at(500)), [begin(400)], "it opened in the competition");
        assert_eq!(machine.on(ended(400)), [SlotCommand::Finish { slot: UtcMs(400) }]);
        assert!(machine.has_slots_left(), "one may have been announced since");
        let _ = machine.take_over(FeedNews { asked_at: Some(UtcMs(500)), ..news(&[], &[]) });
        assert!(!machine.has_slots_left());
    }

    #[test]
    fn a_window_that_opens_at_the_end_of_the_competition_is_not_used() {
        let window = Window { start: Some(UtcMs(200)), end: Some(UtcMs(500)) };
        let mut machine = AnnouncedSlots::new(window, UtcMs(0), UtcMs(100), None);
        let _ = machine.take_over(news(&[slot(199, 900), slot(500, 900)], &[]));
        assert_eq!(machine.on(at(500)), [end(199, Reason::CompetitionOver), end(500, Reason::CompetitionOver)]);
    }

    #[test]
    fn a_start_that_a_clock_learns_late_tells_what_passed_while_the_node_was_down() {
        let mut machine = machine();
        machine.started(UtcMs(450), UtcMs(500));
        let _ = machine.take_over(news(&[slot(400, 449), slot(460, 499)], &[]));
        assert_eq!(machine.on(at(510)), [end(400, Reason::NodeDown), end(460, Reason::PipelineDown)]);
    }

    #[test]
    fn an_announcement_needs_an_id_and_a_window() {
        assert!(Announcement::new("", UtcMs(0), UtcMs(1)).is_err());
        assert!(Announcement::new("x".repeat(ID_MAX + 1), UtcMs(0), UtcMs(1)).is_err());
        assert!(Announcement::new("1", UtcMs(2), UtcMs(1)).is_err());
        assert!(Announcement::new("1", UtcMs(1), UtcMs(1)).is_ok());
    }
}
