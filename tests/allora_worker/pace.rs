//! How often the chain is asked, and how fast a window is used.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sentinel_actors::ports::{Submission, elapsed_now};
use sentinel_testbed::chain::Genesis;

use super::site::{Setup, Site, TOPIC};

const BLOCK: Duration = Duration::from_millis(60);

fn long_epochs(genesis: &mut Genesis) {
    let topic = genesis.topics.get_mut(&TOPIC).unwrap();
    (topic.epoch_length, topic.window, topic.epoch_last_ended) = (60, 12, 970);
}

#[tokio::test]
async fn a_window_is_asked_for_once_per_block_near_its_opening_and_rarely_otherwise() {
    let site = Site::every(1, Some(BLOCK), long_epochs);
    let mut worker = site.worker(Setup { known: vec![910, 970], block: BLOCK, ..Setup::default() });
    let began = elapsed_now();
    while site.chain.height() < 1_160 {
        assert!(began.elapsed() < Duration::from_secs(60));
        let answer = worker.ask().await;
        worker.open.clear(); // each is used at once
        tokio::time::sleep(answer.ask_again).await;
    }
    assert_eq!(worker.announced, [1_030, 1_090, 1_150]);
    let mut asked: BTreeMap<i64, usize> = BTreeMap::new();
    for question in site.windows_asked() {
        *asked.entry(question.height).or_default() += 1;
    }
    let total: usize = asked.values().sum();
    // Two whole epochs, when the time of a block is known.
    let of_two: usize = asked.range(1_036..1_156).map(|(_, count)| *count).sum();
    println!("{total} questions in 160 blocks, {of_two} in two epochs of 60 blocks");
    assert!(of_two <= 30, "{asked:?}");
    for opening in [1_090, 1_150] {
        let near: usize = asked.range(opening - 3..=opening + 1).map(|(_, count)| *count).sum();
        assert!((2..=10).contains(&near), "{opening}: {asked:?}");
    }
}

/// From the answer that shows the window open to the bytes at the node.
#[tokio::test]
async fn an_open_window_is_used_within_half_a_second() {
    let site = Site::every(3, Some(Duration::from_millis(300)), |_| {});
    let mut worker = site.worker(Setup { block: Duration::from_millis(20), ..Setup::default() });
    let times: Arc<Mutex<Vec<(String, tokio::time::Instant)>>> = Arc::default();
    let noted = times.clone();
    site.chain.watch(move |asked| {
        let name = if asked.query.is_empty() { asked.method.clone() } else { asked.query.clone() };
        noted.lock().unwrap().push((name, elapsed_now()));
    });
    let mut took = Vec::new();
    while took.len() < 3 {
        let from = times.lock().unwrap().len();
        let answer = worker.ask().await;
        let Some(window) = answer.announced.first() else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let shown = times.lock().unwrap()[from..]
            .iter()
            .find(|(name, _)| name == "GetWorkerSubmissionWindowStatus")
            .map(|(_, at)| *at)
            .unwrap();
        let nonce = window.id().parse().unwrap();
        let submission = worker.submit_within(nonce, Duration::from_secs(10), false).await;
        assert!(matches!(submission, Submission::Acked(_)), "{submission:?}");
        let log = times.lock().unwrap();
        let (at, left) = log.iter().enumerate().skip(from).find(|(_, (name, _))| name == "broadcast_tx_sync").unwrap();
        took.push((left.1.duration_since(shown), at - from));
        drop(log);
    }
    println!("from the answer to the broadcast, and requests in between to three nodes: {took:?}");
    // A busy machine may take its time once; a slow worker does it each time.
    assert!(took.iter().any(|(took, _)| *took <= Duration::from_millis(500)), "{took:?}");
}
