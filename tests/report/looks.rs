//! The document in a real browser, from a file.

use std::path::PathBuf;

use serde_json::json;

use crate::chromium::Browser;
use crate::node::run;
use crate::year::{Job, Year};

fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("report")
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn a_document_opens_from_a_file_without_a_complaint_or_a_request_in_light_and_dark() {
    let folder = tempfile::tempdir().unwrap();
    Year::write(folder.path(), 1_200, &Job::ALL);
    run(folder.path(), ["report", "--state", "state", "--ledger", "ledger.db", "--html", "report.html"]).expect(0);
    let address = format!("file://{}", folder.path().join("report.html").display());
    let mut browser = Browser::start();
    for (width, is_dark) in [(1280, false), (1280, true), (390, false)] {
        browser.look(width, is_dark);
        browser.told();
        browser.open(&address);
        let told = browser.told();
        assert_eq!(told.complaints, [] as [String; 0], "{width}, dark: {is_dark}");
        let others: Vec<&String> =
            told.requests.iter().filter(|url| **url != address && !url.starts_with("data:")).collect();
        assert!(others.is_empty(), "it asks for {others:?}");
        let over = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
        assert_eq!(over, json!(0), "at {width} it is wider than its window");
        let shade = if is_dark { "dark" } else { "light" };
        browser.picture(&pictures().join(format!("report-{width}-{shade}.png")), true);
    }
    let background = browser.eval("getComputedStyle(document.body).backgroundColor");
    browser.look(1280, true);
    assert_ne!(browser.eval("getComputedStyle(document.body).backgroundColor"), background, "dark is not light");
    // Every drawing is there, and has a name that a screen reader says.
    let drawings = browser
        .eval("[...document.querySelectorAll('main svg:not(.cells)')].map((svg) => svg.getAttribute('aria-label'))");
    let drawings = drawings.as_array().unwrap();
    assert!(drawings.len() >= 8, "{drawings:?}");
    assert!(drawings.iter().all(|name| name.as_str().is_some_and(|name| name.len() > 20)), "{drawings:?}");
    assert_eq!(browser.eval("document.querySelectorAll('script, a[href]:not([href^=\"#\"])').length"), json!(0));
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn what_a_venue_or_a_person_wrote_stays_text_in_the_document() {
    let folder = tempfile::tempdir().unwrap();
    Year::with_hostile_texts(folder.path());
    run(folder.path(), ["report", "--state", "state", "--html", "report.html"]).expect(0);
    let mut browser = Browser::start();
    browser.told();
    browser.open(&format!("file://{}", folder.path().join("report.html").display()));
    assert_eq!(browser.eval("document.querySelectorAll('script, img, b[onclick]').length"), json!(0));
    assert_eq!(browser.eval("document.body.textContent.includes('<script>alert(1)</script>')"), json!(true));
    assert_eq!(browser.told().complaints, [] as [String; 0]);
}
