//! A vendor changes a bar after it was decided: the decision stands, and `why` says what it would have been.

use sentinel::cli::StateFlag;
use sentinel::cli::why::{self, WhyArgs};
use sentinel::sources::cache::{BARS_FILE, BarCache, Review};
use sentinel_actors::domain::time::UtcMs;
use sentinel_testbed::vendors::Market;

use super::support::*;

/// A day in which two bars are changed half an hour after they closed; the rows, and the reviews of the first.
fn day(is_made: bool) -> (tempfile::TempDir, Vec<Row>, Vec<Review>) {
    let dir = tempfile::tempdir().unwrap();
    let clock = TestClock::new(at("2017-06-13T23:30:00Z"));
    let revised = |text: &str| (at(text), at(text) + HOUR, at(text) + HOUR + 30 * MINUTE);
    let market = Market {
        weekend: Some(SUMMER_WEEKEND),
        revisions: vec![revised("2017-06-14T04:00:00Z"), revised("2017-06-14T09:00:00Z")],
        ..Market::plain("EURUSD.FOREX", 1.1, 5)
    };
    let vendor = vendor(market, &clock, no_fault);
    let (keys, model) =
        if is_made { ("", model_of_made_hours(dir.path())) } else { ("made_from = \"native\"", demo("model.onnx")) };
    // Many more days, so that the node is still there when the answer comes.
    let keys = format!("{keys}\nend = \"2017-07-14T12:00:00Z\"");
    let text = order_pipeline("eurusd", &vendor.base_url(), &keys, "kind = \"eodhd\"", &model);
    run(&config(&text, dir.path()), &clock);
    let cache = BarCache::read_only(&dir.path().join("state").join(BARS_FILE)).unwrap();
    let reviews = cache.reviews("eurusd", UtcMs(at("2017-06-14T04:00:00Z"))).unwrap();
    let rows = rows(dir.path(), "eurusd");
    (dir, rows, reviews)
}

#[test]
fn why_says_what_a_decision_would_have_been_with_the_bar_as_it_is_now() {
    for is_made in [false, true] {
        let (dir, rows, reviews) = day(is_made);
        let bar = UtcMs(at("2017-06-14T04:00:00Z"));
        assert!(rows.iter().any(|row| row.decided == Some(bar.0)), "{rows:#?}");
        let [review] = reviews.as_slice() else { panic!("{reviews:#?}") };
        assert_eq!(review.seen.0, at("2017-06-14T06:00:02Z"), "the fetch after the change shows it");
        assert!((review.is_close - review.was_close - 1.1 * 3e-4).abs() < 2e-5, "{review:?}");
        assert!(review.differs.is_some() && review.would_be.contains(" instead of "), "{review:?}");
        let args = WhyArgs { pipeline: "eurusd".to_owned(), time: bar, state: StateFlag::default() };
        let mut out = Vec::new();
        why::run(&args, &dir.path().join("state"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(&format!("its close was {} and is {}", review.was_close, review.is_close)), "{text}");
        assert!(text.contains("With it the decision would have been "), "{text}");
    }
}
