use proptest::prelude::*;

use super::*;

const EPOCH: u64 = 20;
const WINDOW: u64 = 8;

fn topic(last: u64) -> Topic {
    Topic {
        id: 67,
        metadata: String::new(),
        epoch_last_ended: last,
        epoch_length: EPOCH,
        ground_truth_lag: 40,
        window: WINDOW,
        is_multi: false,
    }
}

fn closed(height: u64, next_start: u64) -> WindowStatus {
    WindowStatus {
        height,
        is_open: false,
        nonce: 0,
        start: 0,
        end: 0,
        next_start,
        next_end: next_start + WINDOW,
        is_registered: true,
        is_whitelisted: true,
        is_topic_active: true,
    }
}

fn opened(height: u64, nonce: u64) -> WindowStatus {
    WindowStatus { is_open: true, nonce, start: nonce, end: nonce + WINDOW, ..closed(height, nonce + EPOCH) }
}

const fn window(nonce: u64) -> Window {
    Window { nonce, end: nonce + WINDOW }
}

fn found(windows: &Windows) -> Vec<u64> {
    windows.found().map(|window| window.nonce).collect()
}

#[test]
fn the_first_start_ever_takes_the_open_window_and_none_before_it() {
    let mut windows = Windows::new(&[], &opened(103, 100), &topic(100));
    windows.see(&opened(103, 100), &topic(100));
    assert_eq!((found(&windows), windows.wanted()), (vec![100], None));
    let mut late = Windows::new(&[], &closed(110, 120), &topic(100));
    late.see(&closed(110, 120), &topic(100));
    assert_eq!((found(&late), late.wanted()), (vec![], None), "the window of 100 had passed before");
    late.see(&opened(121, 120), &topic(120));
    assert_eq!((found(&late), late.wanted()), (vec![120], None));
}

/// A pause after it moved the later windows, so that counting back from them does not lead to it.
#[test]
fn a_window_that_the_first_answer_expected_is_looked_for_although_later_ones_do_not_fit_it() {
    let mut windows = Windows::new(&[], &closed(143, 155), &topic(135));
    windows.see(&closed(143, 155), &topic(135));
    windows.see(&opened(176, 176), &topic(176));
    while let Some(nonce) = windows.wanted() {
        let verdict = if nonce == 155 { Verdict::Opened { end: 163 } } else { Verdict::No };
        windows.judge(nonce, verdict, &topic(176));
    }
    assert_eq!(found(&windows), [155, 176]);
}

#[test]
fn windows_that_passed_are_asked_for_by_their_blocks() {
    let status = closed(190, 200);
    let mut windows = Windows::new(&[80, 100], &status, &topic(180));
    windows.see(&status, &topic(180));
    for nonce in [120, 140, 160, 180] {
        assert_eq!(windows.wanted(), Some(nonce));
        windows.judge(nonce, Verdict::Opened { end: nonce + WINDOW }, &topic(180));
    }
    assert_eq!((found(&windows), windows.wanted()), (vec![120, 140, 160, 180], None));
}

#[test]
fn where_blocks_are_pruned_a_regular_window_is_taken_by_arithmetic_and_no_other() {
    let all = |last: u64| {
        let status = closed(last + 10, last + EPOCH);
        let mut windows = Windows::new(&[100], &status, &topic(last));
        windows.see(&status, &topic(last));
        while let Some(nonce) = windows.wanted() {
            windows.judge(nonce, Verdict::Pruned, &topic(last));
        }
        found(&windows)
    };
    assert_eq!(all(160), [120, 140, 160]);
    assert_eq!(all(165), Vec::<u64>::new(), "an epoch was longer, and which one is not known");
}

#[test]
fn after_a_pause_of_the_topic_windows_on_both_sides_of_it_are_found() {
    // 100, 120, 140, a pause, 187, 207 and 227.
    let real = [100, 120, 140, 187, 207, 227];
    let status = opened(229, 227);
    let mut windows = Windows::new(&[100], &status, &topic(227));
    windows.see(&status, &topic(227));
    while let Some(nonce) = windows.wanted() {
        let verdict = if real.contains(&nonce) { Verdict::Opened { end: nonce + WINDOW } } else { Verdict::No };
        windows.judge(nonce, verdict, &topic(227));
    }
    assert_eq!(found(&windows), real[1..]);
}

/// The newer ones were durable when the process died, and the older ones were not.
#[test]
fn a_gap_between_known_windows_is_looked_into_again() {
    let status = closed(210, 220);
    let mut windows = Windows::new(&[100, 160, 200], &status, &topic(200));
    windows.see(&status, &topic(200));
    for nonce in [120, 140, 180] {
        assert_eq!(windows.wanted(), Some(nonce));
        windows.judge(nonce, Verdict::Pruned, &topic(200));
    }
    assert_eq!((found(&windows), windows.wanted()), (vec![], None), "what is pruned there may never have been");
}

#[test]
fn a_latest_height_is_never_a_nonce() {
    // Lesson 11: a hobby worker took the chain's height.
    let mut windows = Windows::new(&[100], &closed(119, 120), &topic(100));
    for height in 119..140 {
        windows.see(&closed(height, 120), &topic(100));
        assert_eq!((found(&windows), windows.wanted()), (vec![], None));
    }
    for wrong in [opened(119, 120), opened(129, 120), WindowStatus { nonce: 0, ..opened(121, 120) }] {
        assert_eq!(open(&wrong), None, "{wrong:?}");
    }
    assert_eq!(open(&opened(128, 120)), Some(window(120)));
}

#[test]
fn a_window_is_taken_back_only_by_a_block_in_its_middle() {
    let mine = [window(120)];
    assert_eq!(taken_back(&mine, &opened(121, 120)), Vec::<u64>::new());
    assert_eq!(taken_back(&mine, &closed(121, 140)), [120]);
    assert_eq!(taken_back(&mine, &opened(123, 122)), [120]);
    for height in [119, 128, 129, 150] {
        assert_eq!(taken_back(&mine, &closed(height, 140)), Vec::<u64>::new(), "{height}: not yet, or over");
    }
}

#[test]
fn a_window_is_asked_for_once_per_block_near_its_opening_and_rarely_otherwise() {
    let regular = Windows::new(&[80, 100], &closed(105, 120), &topic(100));
    let blocks = |height| regular.again(&closed(height, 120), &topic(100), false).blocks();
    assert_eq!([109, 116, 117, 118, 119, 120, 121].map(blocks), [8, 1, 1, 1, 1, 1, 1]);
    assert_eq!(blocks(131), WINDOW / 4, "overdue: irregular from here on");
    assert_eq!(regular.again(&opened(121, 120), &topic(120), false).blocks(), 16, "nothing of it waits");
    assert_eq!(regular.again(&opened(121, 120), &topic(120), true), Again::NextBlock);
    let inactive = WindowStatus { is_topic_active: false, ..closed(131, 120) };
    assert_eq!(regular.again(&inactive, &topic(100), false).blocks(), WINDOW / 4);
    let unsure = Windows::new(&[], &closed(105, 120), &topic(100));
    assert_eq!(unsure.again(&closed(105, 120), &topic(100), false).blocks(), WINDOW / 4);
}

/// A chain whose windows open when an epoch is over and the topic is active.
#[derive(Debug, Clone)]
struct Plan {
    /// Pauses: from which block on, and for how many.
    pause: (u64, u64),
    /// Heights at which the worker asks, and whether it was restarted before.
    asks: Vec<(u64, bool)>,
    /// Blocks below the newest one whose results are kept.
    kept: u64,
}

fn plans() -> impl Strategy<Value = Plan> {
    let asks = prop::collection::vec((1_u64..60, prop::bool::weighted(0.2)), 1..40);
    ((100_u64..400, 0_u64..90), asks, prop_oneof![Just(u64::MAX), 1_u64..80]).prop_map(|(pause, steps, kept)| {
        let mut height = 100;
        let asks = steps.into_iter().map(|(step, restarted)| {
            height += step;
            (height, restarted)
        });
        Plan { pause, asks: asks.collect(), kept }
    })
}

impl Plan {
    fn nonces(&self) -> Vec<u64> {
        let mut nonces = Vec::new();
        let mut last: u64 = 95;
        for height in 100..4_000 {
            let is_active = !(self.pause.0..self.pause.0 + self.pause.1).contains(&height);
            if is_active && height - last >= EPOCH {
                last = height;
                nonces.push(height);
            }
        }
        nonces
    }
}

proptest! {
    /// Whatever the worker's asks and restarts: no window is made up, each that it could know is announced, and one that is open is
    /// in the first answer that shows it.
    #[test]
    fn every_window_after_the_first_answer_is_announced_and_none_is_made_up(plan in plans()) {
        let nonces = plan.nonces();
        let mut announced: Vec<u64> = Vec::new();
        let mut memory: Option<Windows> = None;
        for (height, restarted) in &plan.asks {
            let last = nonces.iter().copied().filter(|nonce| nonce <= height).max().unwrap_or(95);
            let status = if last + WINDOW > *height && last >= 100 {
                opened(*height, last)
            } else {
                closed(*height, last + EPOCH)
            };
            let topic = topic(last);
            if *restarted {
                memory = None;
            }
            let windows = memory.get_or_insert_with(|| Windows::new(&announced, &status, &topic));
            windows.see(&status, &topic);
            if let Some(open) = open(&status) {
                let is_there = announced.contains(&open.nonce) || found(windows).contains(&open.nonce);
                prop_assert!(is_there, "{open:?} is open at {height}");
            }
            while let Some(nonce) = windows.wanted() {
                prop_assert!(nonce <= *height, "a block that is not there yet");
                let verdict = match nonces.contains(&nonce) {
                    _ if nonce.saturating_add(plan.kept) < *height => Verdict::Pruned,
                    true => Verdict::Opened { end: nonce + WINDOW },
                    false => Verdict::No,
                };
                windows.judge(nonce, verdict, &topic);
            }
            let new = found(windows);
            for nonce in new {
                let is_real = nonces.contains(&nonce);
                // A pause of whole epochs that nobody saw cannot be told from windows.
                let is_guessed = nonce.saturating_add(plan.kept) < *height && plan.pause.1 >= EPOCH;
                prop_assert!(is_real || is_guessed, "{nonce} was never a window");
                prop_assert!(!announced.contains(&nonce), "{nonce} twice");
                announced.push(nonce);
                windows.forget(nonce);
            }
            announced.sort_unstable();
        }
        let first = plan.asks[0].0;
        let last = plan.asks.last().map_or(0, |(height, _)| *height);
        if plan.kept == u64::MAX && !plan.asks.iter().any(|(_, restarted)| *restarted) {
            let due = nonces.iter().filter(|nonce| **nonce > first && **nonce <= last);
            for nonce in due {
                prop_assert!(announced.contains(nonce), "{nonce} was missed: {announced:?}");
            }
        }
    }
}
