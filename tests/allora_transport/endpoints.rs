//! Several endpoints: who is asked, who is left alone, and what is said when nobody can be.

use std::sync::Arc;
use std::time::Duration;

use sentinel::http::Deadline;
use sentinel::venues::allora::chain_clock::ChainClock;
use sentinel::venues::allora::clocks::Disagreement;
use sentinel::venues::allora::endpoints::{Endpoints, EndpointsError};
use sentinel::venues::allora::health::{ClockOf, CoolDown, Trouble};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::{Clock as _, elapsed_now};
use serde_json::json;

use super::node::{Node, Reply, query_answer, status, status_of};
use super::{CALL_MAX, CHAIN, LONG, chance, clock, endpoints, settings, until};

const LATEST: &str = "2027-01-15T08:00:00Z";

/// A sound node that answers every query with its own byte.
fn answering(height: u64, byte: u8) -> Node {
    Node::with(height, move |method, _| (method == "abci_query").then(|| query_answer(height, &[byte])))
}

/// A node that says how it is, and fails at everything else.
fn failing(height: u64, reply: Reply) -> Node {
    Node::with(height, move |method, _| (method != "status").then(|| reply.clone()))
}

async fn read(endpoints: &Endpoints) -> Result<Vec<u8>, EndpointsError> {
    endpoints.read("/a.Query/B", &[], |_| false, until()).await.map(|answer| answer.value)
}

fn trouble(endpoints: &Endpoints, nth: usize) -> Option<Trouble> {
    endpoints.health().remove(nth).trouble
}

#[tokio::test]
async fn the_greatest_height_is_asked_first() {
    let (behind, ahead) = (answering(100, 1), answering(101, 2));
    assert_eq!(read(&endpoints(&[&behind, &ahead])).await, Ok(vec![2]));
    assert_eq!(behind.asked("abci_query"), 0);
}

#[tokio::test]
async fn every_failure_of_an_endpoint_makes_the_next_one_answer() {
    let statuses = ["403 x", "429 x", "500 x", "502 x", "503 x", "504 x", "505 x"];
    let of_proxies = statuses.map(|status| Reply::Raw(status, "", "<html>".to_owned()));
    let others = [
        Reply::Hang,
        Reply::Drop,
        Reply::BrokenOff(json!({ "response": {} })),
        Reply::Raw("200 OK", "", "<html>".to_owned()),
        Reply::Fault(-32_603, "Internal error", "height is not available".to_owned()),
    ];
    for reply in of_proxies.into_iter().chain(others) {
        let (first, second) = (failing(101, reply), answering(100, 2));
        assert_eq!(read(&endpoints(&[&first, &second])).await, Ok(vec![2]));
        assert!(first.asked("abci_query") >= 1);
    }
}

#[tokio::test]
async fn an_endpoint_that_failed_rests_and_is_not_asked_meanwhile() {
    let (first, second) = (failing(101, Reply::Raw("502 x", "", String::new())), answering(100, 2));
    let endpoints = endpoints(&[&first, &second]);
    for _ in 0..3 {
        assert_eq!(read(&endpoints).await, Ok(vec![2]));
    }
    assert_eq!((first.asked("abci_query"), first.asked("status")), (1, 1));
    assert!(matches!(trouble(&endpoints, 0), Some(Trouble::Resting { left, .. }) if left > LONG / 2));
}

#[tokio::test]
async fn rest_that_an_endpoint_asks_for_is_given_within_a_limit() {
    for (header, least, most) in [("Retry-After: 120\r\n", 115, 120), ("Retry-After: 999999\r\n", 195, 200)] {
        let (first, second) = (failing(101, Reply::Raw("429 x", header, String::new())), answering(100, 2));
        let endpoints = endpoints(&[&first, &second]);
        read(&endpoints).await.unwrap();
        let Some(Trouble::Resting { left, .. }) = trouble(&endpoints, 0) else { panic!("{header}") };
        assert!((least..=most).contains(&left.as_secs()), "{left:?}");
    }
}

#[tokio::test]
async fn rest_ends_and_an_answer_to_a_question_ends_the_failures() {
    let node = failing(100, Reply::Drop);
    let mut settings = settings(&[&node]);
    settings.cool_down = CoolDown { first: Duration::ZERO, max: Duration::ZERO };
    let endpoints = Endpoints::new(settings, clock(), chance()).unwrap();
    for failures in 1..=2 {
        assert!(read(&endpoints).await.is_err());
        assert_eq!(endpoints.health()[0].failures, failures, "that it says how it is ends no failures");
    }
    node.follow(|method, _| (method == "abci_query").then(|| query_answer(100, &[7])));
    assert_eq!(read(&endpoints).await, Ok(vec![7]));
    assert_eq!(endpoints.health()[0].failures, 0);
}

#[tokio::test]
async fn the_only_endpoint_is_used_soon_after_it_is_back_however_long_it_was_down() {
    let node = Node::with(100, |_, _| Some(Reply::Raw("502 x", "", String::new())));
    let first = Duration::from_millis(100);
    let mut settings = settings(&[&node]);
    settings.cool_down = CoolDown { first, max: 100 * LONG };
    let endpoints = Endpoints::new(settings, clock(), chance()).unwrap();
    let began = elapsed_now();
    while endpoints.health()[0].failures < 9 {
        assert!(endpoints.latest(until()).await.is_err());
        assert!(began.elapsed() < LONG / 2, "it is not asked any more");
        tokio::time::sleep(first / 20).await;
    }
    assert!(began.elapsed() >= 6 * first, "it is asked all the time");
    assert!(matches!(trouble(&endpoints, 0), Some(Trouble::Resting { left, .. }) if left > LONG / 2));
    node.follow(|_, _| None);
    let back = elapsed_now();
    while endpoints.latest(until()).await.is_err() {
        assert!(back.elapsed() < LONG / 4, "it is back, and still not asked");
        tokio::time::sleep(first / 20).await;
    }
    assert_eq!((trouble(&endpoints, 0), endpoints.health()[0].failures), (None, 0));
}

#[tokio::test]
async fn a_failed_question_does_not_make_the_only_endpoint_unusable() {
    let node = failing(100, Reply::Raw("502 x", "", String::new()));
    let elsewhere = answering(100, 1);
    elsewhere.follow(|method, _| (method == "status").then(|| Reply::Result(status_of("other-1", 100, LATEST, false))));
    for nodes in [&[&node][..], &[&node, &elsewhere]] {
        node.follow(|method, _| (method != "status").then(|| Reply::Raw("502 x", "", String::new())));
        let endpoints = endpoints(nodes);
        let error = read(&endpoints).await.unwrap_err();
        assert!(matches!(error, EndpointsError::NoneAnswered { .. }), "{error}");
        assert_eq!(endpoints.latest(until()).await.unwrap().height, 100);
        assert_eq!((trouble(&endpoints, 0), endpoints.health()[0].failures), (None, 1));
        node.follow(|method, _| (method == "abci_query").then(|| query_answer(100, &[7])));
        assert_eq!(read(&endpoints).await, Ok(vec![7]));
    }
}

#[tokio::test]
async fn the_only_endpoint_is_left_alone_while_it_asks_for_that() {
    let node = failing(100, Reply::Raw("429 x", "Retry-After: 120\r\n", String::new()));
    let endpoints = endpoints(&[&node]);
    for _ in 0..3 {
        assert!(read(&endpoints).await.is_err());
    }
    assert_eq!((node.asked("abci_query"), node.asked("status")), (1, 1));
    assert!(matches!(trouble(&endpoints, 0), Some(Trouble::Resting { .. })));
}

#[tokio::test]
async fn an_endpoint_of_another_chain_is_not_asked_and_its_chain_is_named() {
    let elsewhere = answering(100, 1);
    elsewhere.follow(|method, _| (method == "status").then(|| Reply::Result(status_of("other-1", 100, LATEST, false))));
    let sound = answering(100, 2);
    assert_eq!(read(&endpoints(&[&elsewhere, &sound])).await, Ok(vec![2]));
    assert_eq!(elsewhere.asked("abci_query"), 0);
    let error = read(&endpoints(&[&elsewhere])).await.unwrap_err().to_string();
    let name = elsewhere.name();
    let expected = format!(
        "no endpoint of the chain {CHAIN} can be used: {name}: it is of the chain 'other-1': remove it, or correct chain_id"
    );
    assert_eq!(error, expected);
}

#[tokio::test]
async fn what_catches_up_or_is_stuck_or_behind_is_not_asked() {
    let sound = answering(100, 2);
    for status in [
        status_of(CHAIN, 101, LATEST, true),
        status_of(CHAIN, 101, "2027-01-15T07:58:59Z", false),
        status_of(CHAIN, 94, "2027-01-15T07:59:24Z", false),
    ] {
        let unsound = Node::with(0, move |method, _| (method == "status").then(|| Reply::Result(status.clone())));
        assert_eq!(read(&endpoints(&[&unsound, &sound])).await, Ok(vec![2]));
        assert_eq!(unsound.asked("abci_query"), 0);
    }
}

#[tokio::test]
async fn an_absurd_height_of_one_endpoint_is_not_believed_and_stops_nobody() {
    let (absurd, one, two) = (answering(9_000_000_000, 1), answering(100, 2), answering(101, 2));
    let three = endpoints(&[&absurd, &one, &two]);
    assert_eq!(three.latest(until()).await.unwrap().height, 101);
    assert_eq!(read(&three).await, Ok(vec![2]));
    let pair = endpoints(&[&absurd, &one]);
    assert_eq!(pair.latest(until()).await.unwrap().height, 100);
    assert_eq!(absurd.asked("abci_query"), 0);
    assert!(trouble(&pair, 0).unwrap().to_string().contains("9000000000, which no other endpoint confirms"));
}

#[tokio::test]
async fn with_all_endpoints_down_the_error_names_each_with_its_trouble() {
    let (mut one, two) = (Node::at(100), Node::with(100, |_, _| Some(Reply::Hang)));
    let endpoints = endpoints(&[&one, &two]);
    one.down();
    let error = endpoints.latest(until()).await.unwrap_err().to_string();
    for part in [&one.name(), &two.name(), "it is not asked for another", "not available", "no answer within 1s"] {
        assert!(error.contains(part), "no '{part}' in {error}");
    }
}

#[tokio::test]
async fn one_that_hangs_takes_its_share_of_the_time_and_not_all_of_it() {
    let (hangs, sound) = (failing(101, Reply::Hang), answering(100, 2));
    let endpoints = endpoints(&[&hangs, &sound]);
    let began = elapsed_now();
    assert_eq!(read(&endpoints).await, Ok(vec![2]));
    assert!(began.elapsed() >= CALL_MAX && began.elapsed() < LONG / 2);
}

#[tokio::test]
async fn a_caller_without_time_is_no_failure_of_the_endpoint() {
    let hangs = failing(100, Reply::Hang);
    let endpoints = endpoints(&[&hangs]);
    let soon = Deadline::of(CALL_MAX / 3, elapsed_now());
    assert!(endpoints.read("/a", &[], |_| false, soon).await.is_err());
    assert_eq!(endpoints.health()[0].failures, 0);
    assert_eq!(endpoints.latest(until()).await.unwrap().height, 100);
}

#[tokio::test]
async fn one_that_lacks_what_is_asked_for_is_passed_over_and_not_blamed() {
    let (without, with) = (answering(101, 0), answering(100, 2));
    let endpoints = endpoints(&[&without, &with]);
    let lacks = |answer: &sentinel::venues::allora::rpc::QueryAnswer| answer.value == [0];
    let read = endpoints.read("/a", &[], lacks, until()).await.unwrap();
    assert_eq!((read.value, trouble(&endpoints, 0)), (vec![2], None));
    let alone = super::endpoints(&[&without]).read("/a", &[], lacks, until()).await.unwrap();
    assert_eq!(alone.value, [0], "nobody has it: that is the answer");
}

#[tokio::test]
async fn how_endpoints_are_is_asked_again_only_after_a_while() {
    let node = answering(100, 1);
    let mut settings = settings(&[&node]);
    settings.survey_every = LONG;
    let endpoints = Endpoints::new(settings, clock(), chance()).unwrap();
    for _ in 0..3 {
        read(&endpoints).await.unwrap();
    }
    assert_eq!(node.asked("status"), 1);
    node.follow(|method, _| (method == "status").then(|| Reply::Result(status(104))));
    assert_eq!(endpoints.latest(until()).await.unwrap().height, 104, "the newest height is never an old one");
}

#[tokio::test]
async fn the_time_at_a_height_comes_from_an_endpoint_that_has_the_block() {
    let pruned = Node::with(101, |method, _| {
        let text = || "height 9 is not available, lowest height is 50".to_owned();
        (method != "status").then(|| Reply::Fault(-32_603, "Internal error", text()))
    });
    let header = json!({ "header": { "height": "9", "time": "2027-01-15T07:00:00.5Z" } });
    let whole = Node::with(100, move |method, _| (method == "header").then(|| Reply::Result(header.clone())));
    let endpoints = endpoints(&[&pruned, &whole]);
    assert_eq!(endpoints.header(9, until()).await.unwrap().time.0, 1_800_000_000_000 - 3_599_500);
    assert_eq!(trouble(&endpoints, 0), None);
}

/// A sound node whose answers are dated by a clock that is an hour ahead of the tests' one.
fn an_hour_ahead(height: u64, block: &'static str, date: &'static str) -> Node {
    Node::with(height, move |method, _| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "result": status_of(CHAIN, height, block, false) }).to_string();
        (method == "status").then_some(Reply::Raw("200 OK", date, body))
    })
}

#[tokio::test]
async fn a_wrong_clock_of_this_machine_makes_no_endpoint_unusable_and_is_named() {
    let sound = an_hour_ahead(100, "2027-01-15T08:59:55Z", "Date: Fri, 15 Jan 2027 09:00:00 GMT\r\n");
    let stuck = an_hour_ahead(99, "2027-01-15T08:58:00Z", "Date: Fri, 15 Jan 2027 09:00:00 GMT\r\n");
    let endpoints = endpoints(&[&sound, &stuck]);
    assert_eq!(endpoints.clocks(), None);
    assert_eq!(endpoints.latest(until()).await.unwrap().height, 100);
    assert_eq!(trouble(&endpoints, 0), None);
    let by_its_own = Trouble::Stuck { height: 99, age: Duration::from_secs(120), clock: ClockOf::Endpoint };
    assert_eq!(trouble(&endpoints, 1), Some(by_its_own));
    let (_, apart) = endpoints.clocks().unwrap();
    assert_eq!(apart, Some(Disagreement::Machine { ahead_ms: -3_600_000 }));
}

#[tokio::test]
async fn the_chain_s_clock_follows_the_newest_block_whatever_this_machine_s_clock_says() {
    let node = an_hour_ahead(100, "2027-01-15T08:59:55Z", "Date: Fri, 15 Jan 2027 09:00:00 GMT\r\n");
    let chain_clock = Arc::new(ChainClock::new(clock()));
    let noted = chain_clock.clone();
    let endpoints = endpoints(&[&node]).observed_by(Arc::new(move |tip| noted.note(tip)));
    assert!(!chain_clock.is_of_chain());
    endpoints.latest(until()).await.unwrap();
    let ahead_ms = chain_clock.now().0 - "2027-01-15T08:59:55Z".parse::<UtcMs>().unwrap().0;
    assert!((0..20_000).contains(&ahead_ms), "{ahead_ms}");
}
