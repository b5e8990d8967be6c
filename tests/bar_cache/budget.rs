//! Requests are counted before they go out, over restarts and processes, whatever the clock does.

use std::time::Duration;

use proptest::prelude::*;
use sentinel::sources::cache::{Limit, Spent};
use sentinel_actors::domain::time::UtcMs;

use super::{file, open};

const LIMITS: [Limit; 2] =
    [Limit { within: Duration::from_secs(60), requests: 3 }, Limit { within: Duration::from_secs(600), requests: 8 }];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_span_has_more_requests_than_are_allowed(steps in prop::collection::vec((0_i64..40_000, 0_u8..20), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = open(&file(&dir));
        let mut now = 1_500_000_000_000_i64;
        let mut sent: Vec<i64> = Vec::new();
        for (step, restart) in steps {
            now += step;
            if restart == 0 {
                drop(cache);
                cache = open(&file(&dir));
            }
            match cache.spend("a", &LIMITS, UtcMs(now)).unwrap() {
                Spent::Allowed { .. } => sent.push(now),
                Spent::Refused { until } => {
                    prop_assert!(until.0 > now);
                    // It is refused for a reason, and only as long as that stands.
                    let is_full = |at: i64| LIMITS.iter().any(|limit| {
                        let begin = at - i64::try_from(limit.within.as_millis()).unwrap();
                        sent.iter().filter(|sent| **sent > begin).count() >= limit.requests as usize
                    });
                    prop_assert!(is_full(now) && is_full(until.0 - 1));
                }
            }
        }
        for limit in LIMITS {
            let within = i64::try_from(limit.within.as_millis()).unwrap();
            let most = sent.iter().map(|end| sent.iter().filter(|at| (end - within < **at) && *at <= end).count()).max();
            prop_assert!(most.unwrap_or(0) <= limit.requests as usize);
        }
    }
}

#[test]
fn a_clock_that_is_set_back_opens_no_budget() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let at = |seconds: i64| UtcMs::from_secs(1_500_000_000 + seconds);
    for second in 0..3 {
        assert_eq!(cache.spend("a", &LIMITS, at(second)).unwrap(), Spent::Allowed { left: 2 - second as u32 });
    }
    assert!(matches!(cache.spend("a", &LIMITS, at(-3600)).unwrap(), Spent::Refused { .. }));
    assert_eq!(cache.spend("b", &LIMITS, at(3)).unwrap(), Spent::Allowed { left: 2 }, "another key has its own");
    assert_eq!(cache.spend("a", &LIMITS, at(3)).unwrap(), Spent::Refused { until: at(60) });
    assert_eq!(cache.budget("a", &LIMITS, at(61)).unwrap(), Spent::Allowed { left: 2 });
}

#[test]
fn a_clock_that_was_two_days_ahead_for_a_while_opens_no_budget_and_closes_none_for_years() {
    let dir = tempfile::tempdir().unwrap();
    let cache = open(&file(&dir));
    let at = |seconds: i64| UtcMs::from_secs(1_500_000_000 + seconds);
    let day = 86_400;
    let limits = [Limit { within: Duration::from_secs(86_400), requests: 20 }];
    let spend = |second: i64| matches!(cache.spend("a", &limits, at(second)).unwrap(), Spent::Allowed { .. });
    assert!((0..20).all(spend));
    assert!(spend(2 * day), "by that clock the others are two days old");
    assert!(!spend(60) && !spend(61), "and by the right one they are not");
    // What the wrong clock has counted is over a day after the clock was put right.
    assert!(!spend(19) && spend(day + 62));
    cache.rest("a", at(100 * day), at(101 * day)).unwrap();
    assert_eq!(cache.rest_until("a", at(day)).unwrap(), None, "no vendor rests for months");
    cache.rest("a", at(day), at(day + 60)).unwrap();
    assert_eq!(cache.rest_until("a", at(day)).unwrap(), Some(at(day + 60)));
}

#[test]
fn processes_that_share_a_file_share_its_budget() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir);
    drop(open(&path));
    let limits = [Limit { within: Duration::from_secs(3600), requests: 50 }];
    let spend = |thread: i64| {
        let cache = open(&path);
        let at = |step: i64| UtcMs(1_500_000_000_000 + step * 10 + thread);
        (0..40).filter(|step| matches!(cache.spend("a", &limits, at(*step)).unwrap(), Spent::Allowed { .. })).count()
    };
    let sent: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || spend(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(sent, 50);
}

#[test]
fn a_vendors_wish_for_rest_outlives_a_restart_and_is_never_shortened() {
    let dir = tempfile::tempdir().unwrap();
    let at = UtcMs::from_secs;
    let cache = open(&file(&dir));
    assert_eq!(cache.rest_until("a", at(100)).unwrap(), None);
    cache.rest("a", at(100), at(200)).unwrap();
    cache.rest("a", at(100), at(150)).unwrap();
    drop(cache);
    let cache = open(&file(&dir));
    assert_eq!(cache.rest_until("a", at(100)).unwrap(), Some(at(200)));
    assert_eq!(cache.rest_until("a", at(200)).unwrap(), None);
    assert_eq!(cache.rest_until("b", at(100)).unwrap(), None);
}
