//! Which windows are announced, when, and which are taken back.

use std::time::Duration;

use sentinel_actors::domain::schedule::Window;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::Announcer as _;
use sentinel_testbed::chain::Windows;

use super::site::{Setup, Site, TOPIC};

/// Block time of a height: five seconds each.
pub fn time_of(site: &Site, height: i64) -> UtcMs {
    let truth = site.truth();
    UtcMs(truth.time_ms - (truth.height - height) * 5_000)
}

/// Lesson 11: windows open by block height, whatever the clock says.
#[tokio::test]
async fn a_window_opens_by_its_block_and_its_anchor_is_that_blocks_time() {
    let site = Site::new();
    let mut worker = site.live();
    for height in 1_000..1_005 {
        let answer = worker.ask_at(height).await;
        assert_eq!(answer.announced, [], "{height}");
    }
    let answer = worker.ask_at(1_005).await;
    let [window] = &answer.announced[..] else { panic!("{answer:?}") };
    assert_eq!((window.id(), window.opens()), ("1005", time_of(&site, 1_005)));
    let lasts = window.closes().since(window.opens());
    assert_eq!(lasts.as_secs(), 160, "its height ends it: ten blocks that take twice as long, and a minute");
    assert_eq!(answer.as_of, Some(time_of(&site, 1_005)));
    assert_eq!(answer.next, Some(time_of(&site, 1_025)), "five seconds a block were measured");
    assert_eq!(answer.waits_for, None);
    assert_eq!(worker.ask_at(1_007).await.announced, [], "it is durable");
}

/// Lessons 11 and the hobby worker's `skipped_no_nonce`: no nonce is quiet, with the next window's time.
#[tokio::test]
async fn without_an_open_window_there_is_no_nonce_but_the_time_of_the_next() {
    let site = Site::new();
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    let answer = worker.ask_at(1_018).await;
    assert_eq!((answer.announced.len(), answer.waits_for, answer.withdrawn), (0, None, vec![]));
    assert!(answer.next.is_some_and(|next| next > time_of(&site, 1_018)));
}

#[tokio::test]
async fn windows_that_passed_while_nobody_looked_are_announced_with_their_times() {
    let site = Site::new();
    site.chain.blocks_to(1_092);
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    let first = worker.ask().await;
    assert_eq!(first.announced[0].id(), "1085", "what is open has no time to lose");
    assert!(first.as_of < Some(time_of(&site, 1_025)), "not everything is known yet: {:?}", first.as_of);
    let second = worker.ask_at(1_093).await;
    let passed: Vec<_> = second.announced.iter().map(|window| (window.id(), window.opens(), window.closes())).collect();
    let expected = [1_025, 1_045, 1_065].map(|nonce| (nonce, time_of(&site, nonce), time_of(&site, nonce + 10)));
    for ((id, opens, closes), (nonce, opened, closed)) in passed.iter().zip(expected) {
        assert_eq!((*id, *opens, *closes), (&*nonce.to_string(), opened, closed));
    }
    assert_eq!((passed.len(), second.as_of), (3, Some(time_of(&site, 1_093))));
    assert_eq!(worker.announced, [1_085, 1_025, 1_045, 1_065]);
}

/// The feeder has got the answer with the newest window, and not the one with those before it.
#[tokio::test]
async fn windows_of_a_lost_answer_are_announced_again_although_a_later_one_is_durable() {
    let site = Site::new();
    site.chain.blocks_to(1_092);
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    worker.ask().await;
    assert_eq!(worker.announced, [1_085]);
    worker.open.clear();
    site.chain.blocks_to(1_097);
    for _ in 0..2 {
        let lost = worker.announcer.ask(&worker.request()).await.unwrap();
        assert_eq!(lost.announced.len(), 3, "{lost:?}");
    }
    worker.ask().await;
    assert_eq!(worker.announced, [1_085, 1_025, 1_045, 1_065]);
    worker.open.clear();
    assert_eq!(worker.ask_at(1_098).await.announced, [], "each of them has come back as durable");
}

/// A restart of the feeder, which tells what is durable, forgets nothing that is not.
#[tokio::test]
async fn what_is_known_can_be_told_while_the_topic_cannot_be_read_yet() {
    let site = Site::new();
    site.chain.blocks_to(1_052);
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    site.chain.script(0, &["GetTopic:query-fails=moody"]).unwrap();
    worker.try_ask().await.unwrap_err();
    site.chain.script(0, &[]).unwrap();
    let mut request = worker.request();
    request.known.clear();
    let _ = worker.announcer.ask(&request).await.unwrap();
    site.chain.blocks_to(1_057);
    let answer = worker.announcer.ask(&request).await.unwrap();
    let nonces: Vec<_> = answer.announced.iter().map(sentinel_actors::domain::announced::Announcement::id).collect();
    assert_eq!(nonces, ["1025", "1045"]);
}

#[tokio::test]
async fn a_catch_up_that_is_too_slow_for_one_answer_is_answered_in_pieces() {
    let site = Site::new();
    site.chain.blocks_to(1_177);
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    site.chain.script(0, &["block_results:delay=700ms"]).unwrap();
    let mut answers = 0;
    while worker.announced.len() < 8 {
        let answer = worker.try_ask().await.expect("it fits its deadline");
        let is_complete = worker.announced.len() == 8;
        assert_eq!(answer.as_of == Some(time_of(&site, 1_177)), is_complete, "{answer:?}");
        answers += 1;
        assert!(answers < 9, "{:?}", worker.announced);
    }
    worker.announced.sort_unstable();
    assert_eq!(worker.announced, [1_025, 1_045, 1_065, 1_085, 1_105, 1_125, 1_145, 1_165]);
}

/// An address may stand for several machines, of which one is a block behind.
#[tokio::test]
async fn the_newest_block_s_header_that_is_not_there_yet_costs_no_answer_and_no_window() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_001).await;
    site.chain.script(0, &["header:error=height must be less than or equal to the current one"]).unwrap();
    assert_eq!(worker.ask_at(1_003).await.as_of, Some(time_of(&site, 1_003)));
    let answer = worker.ask_at(1_005).await;
    assert_eq!(answer.announced.first().map(|window| window.opens()), Some(time_of(&site, 1_005)), "{answer:?}");
}

/// The process died between the two answers of the test above.
#[tokio::test]
async fn a_gap_that_a_crash_left_is_filled_after_the_next_start() {
    let site = Site::new();
    site.chain.blocks_to(1_097);
    let mut worker = site.worker(Setup { known: vec![1_005, 1_085], ..Setup::default() });
    worker.ask().await;
    worker.ask().await;
    assert_eq!(worker.announced, [1_025, 1_045, 1_065]);
}

#[tokio::test]
async fn the_first_start_ever_announces_nothing_that_had_passed() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_052).await;
    worker.ask_at(1_060).await;
    assert_eq!(worker.announced, [1_045]);
}

#[tokio::test]
async fn a_topic_that_pauses_has_windows_off_its_grid_and_each_is_found() {
    let site = Site::new();
    let mut worker = site.worker(Setup { known: vec![1_005], ..Setup::default() });
    worker.ask_at(1_027).await;
    site.chain.topic(TOPIC, |topic| topic.is_active = false);
    let answer = worker.ask_at(1_060).await;
    assert!(answer.waits_for.is_some_and(|why| why.contains("topic 67 is not active")));
    site.chain.topic(TOPIC, |topic| topic.is_active = true);
    // It opens at 1061 and 1081 while nobody looks.
    worker.ask_at(1_095).await;
    worker.ask_at(1_096).await;
    assert_eq!(worker.announced, [1_025, 1_061, 1_081]);
}

/// Chain version 0.18 counts windows in seconds; what it says about the next one in blocks is then only a hint.
#[tokio::test]
async fn windows_by_time_are_announced_when_the_chain_shows_them() {
    let site = Site::of_topic(|topic| {
        (topic.windows, topic.epoch_length, topic.window) = (Windows::Seconds, 100, 50);
    });
    let mut worker = site.live();
    let mut shown = Vec::new();
    for height in 1_000..1_100 {
        worker.ask_at(height).await;
        shown.extend(site.truth().live.iter().map(|(_, nonce, _)| *nonce));
    }
    let opened: Vec<u64> = (1..5).map(|epoch| 1_000 + epoch * 20).collect();
    assert_eq!(worker.announced, opened);
}

#[tokio::test]
async fn a_window_that_the_chain_cuts_short_is_withdrawn() {
    let site = Site::new();
    let mut worker = site.live();
    worker.ask_at(1_005).await;
    assert_eq!(worker.ask_at(1_006).await.withdrawn, Vec::<String>::new());
    site.chain.topic(TOPIC, |topic| topic.window = 1);
    assert_eq!(worker.ask_at(1_008).await.withdrawn, ["1005"]);
}

#[tokio::test]
async fn a_window_outside_the_competition_is_not_announced() {
    let site = Site::new();
    site.chain.blocks_to(1_001);
    let competition = Window { start: Some(time_of(&site, 1_025)), end: Some(time_of(&site, 1_046)) };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    for height in 1_001..1_080 {
        worker.ask_at(height).await;
    }
    assert_eq!(worker.announced, [1_025, 1_045]);
}

/// Otherwise the final report would not know what became of it.
#[tokio::test]
async fn the_end_of_a_competition_waits_for_the_proof_of_its_last_window() {
    let site = Site::new();
    site.chain.blocks_to(1_001);
    let end = time_of(&site, 1_008);
    let competition = Window { start: None, end: Some(end) };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    worker.ask_at(1_005).await;
    worker.submit(1_005).await;
    for height in 1_009..1_015 {
        let as_of = worker.ask_at(height).await.as_of;
        assert!(as_of < Some(end), "{height}: {as_of:?}");
    }
    let proven = worker.ask_at(1_016).await;
    assert_eq!(worker.codes(), [(1_005, "admitted"), (1_005, "stored")]);
    assert!(proven.as_of >= Some(end), "{proven:?}");
}

#[tokio::test]
async fn the_end_of_a_competition_waits_for_a_last_window_whatever_has_become_of_it() {
    let site = Site::new();
    let end = time_of(&site, 1_008);
    let competition = Window { start: None, end: Some(end) };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    let announces = worker.ask_at(1_009).await;
    assert!(announces.announced.len() == 1 && announces.as_of < Some(end), "{announces:?}");
    assert!(worker.ask_at(1_010).await.as_of < Some(end), "its slot has no row");
    worker.open.clear();
    worker.unsettled.push(worker.intent(1_005));
    assert!(worker.ask_at(1_011).await.as_of < Some(end), "nobody knows whether it was submitted");
    assert!(worker.ask_at(1_070).await.as_of < Some(end));
    assert!(worker.ask_at(1_076).await.as_of >= Some(end), "not for ever");
}

#[tokio::test]
async fn a_competition_whose_last_window_came_to_nothing_ends_at_once() {
    let site = Site::new();
    let end = time_of(&site, 1_008);
    let competition = Window { start: None, end: Some(end) };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    worker.ask_at(1_005).await;
    worker.open.clear();
    assert!(worker.ask_at(1_009).await.as_of >= Some(end));
}

#[tokio::test]
async fn the_proof_of_a_last_window_is_not_waited_for_for_ever() {
    let site = Site::new();
    let end = time_of(&site, 1_008);
    let competition = Window { start: None, end: Some(end) };
    let mut worker = site.worker(Setup { competition, ..Setup::default() });
    worker.ask_at(1_005).await;
    worker.submit(1_005).await;
    site.chain.script(0, &["GetInferencesAtBlock:query-fails=moody"]).unwrap();
    assert!(worker.ask_at(1_070).await.as_of < Some(end));
    assert!(worker.ask_at(1_076).await.as_of >= Some(end));
    assert!(Duration::ZERO < worker.ask().await.ask_again);
}
