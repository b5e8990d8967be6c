//! What must not happen: a page that lies, leaves its origin, or takes a text for more than a text.

use std::time::{Duration, Instant};

use sentinel_actors::domain::reason::Reason;
use serde_json::json;

use crate::chromium::Browser;
use crate::site::{Site, hour, record};

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn a_page_that_is_cut_off_fades_and_says_so_within_15_s() {
    let mut browser = Browser::start_alone();
    let mut took = Vec::new();
    // A busy machine may take its time once; a slow page does it each time.
    while took.len() < 3 && took.last().is_none_or(|took| *took > Duration::from_secs(15)) {
        let mut site = Site::with_a_week();
        browser.open(&site.at("/"));
        browser.wait_for("document.querySelector('#age').textContent.startsWith('updated')");
        assert_eq!(browser.eval("document.documentElement.classList.contains('stale')"), json!(false));
        site.cut();
        let cut = Instant::now();
        browser.wait_for("document.documentElement.classList.contains('stale')");
        took.push(cut.elapsed());
    }
    println!("it said so {took:?} after the connection was cut");
    assert!(took.last().is_some_and(|took| *took <= Duration::from_secs(15)), "{took:?}");
    browser.wait_for("document.querySelector('#say h1').textContent.startsWith('No news since ')");
    browser.wait_for("document.title.startsWith('No news since ')");
    browser.wait_for("document.querySelector('#icon').href.endsWith('/assets/stale.svg')");
    browser.wait_for("getComputedStyle(document.querySelector('#pipelines')).opacity < 0.5");
    browser.wait_for("document.querySelector('#age').textContent.startsWith('no news for ')");
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn a_browser_complains_of_nothing_and_asks_nobody_else() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    for is_dark in [false, true] {
        browser.look(1280, is_dark);
        for path in ["/", "/p/eurusd", "/?outcome=acted", "/p/btc-allora"] {
            browser.open(&site.at(path));
            browser.wait_for("document.querySelector('#age').textContent.startsWith('updated')");
            browser.eval("document.querySelector('#slots li:not(.fold) a').click()");
            browser.wait_for("document.querySelector('#drawer').open");
            browser.press("Escape");
        }
    }
    browser.open(&site.at(&format!("/p/eurusd/slots/{}", hour(-2))));
    let told = browser.told();
    assert!(told.complaints.is_empty(), "{:#?}", told.complaints);
    assert!(told.requests.len() > 20, "{:?}", told.requests);
    let origin = format!("{}/", site.origin());
    let others: Vec<&String> = told.requests.iter().filter(|address| !address.starts_with(&origin)).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn hostile_names_and_texts_stay_text_in_a_browser() {
    let names = ["<img src=x onerror=window.hit=1>", "\"'><script>window.hit=1</script>", "a\u{202e}b\n</title>"];
    let mut site = Site::new(&names);
    "<svg onload=window.hit=1>\u{202e}".clone_into(&mut site.node.name);
    for name in names {
        let mut row = record(name, hour(0), Reason::VenueUnavailable);
        row.detail = format!("the venue said {name}");
        row.signal = Some(name.to_owned());
        site.end_slot(row);
        site.change(name, |status| status.waits_for = Some(name.to_owned()));
    }
    let mut browser = Browser::start();
    browser.open(&site.at("/"));
    browser.wait_for("document.querySelector('#age').textContent.startsWith('updated')");
    for n in 0..names.len() {
        browser.eval(&format!("document.querySelectorAll('#slots li:not(.fold) a')[{n}].click()"));
        browser.wait_for("document.querySelector('#drawer').open");
        browser.press("Escape");
        browser.wait_for("!document.querySelector('#drawer').open");
    }
    assert_eq!(browser.eval("window.hit ?? null"), json!(null));
    let foreign = "document.querySelectorAll('img, script:not([src=\"/assets/page.js\"]), svg[onload]').length";
    assert_eq!(browser.eval(foreign), json!(0));
    let text = browser.eval("document.querySelector('#pipelines').textContent");
    assert!(text.as_str().unwrap().contains("<img src=x onerror=window.hit=1>"), "{text}");
    assert!(!text.as_str().unwrap().contains('\u{202e}'), "{text}");
    // Its own page is reached under its name, whatever it is.
    browser.eval("[...document.querySelectorAll('.pipes td:first-child a')].find((a) => a.textContent.includes('onerror')).click()");
    browser.wait_for(
        "location.pathname.startsWith('/p/') && document.querySelector('.back').textContent.includes('onerror')",
    );
    let told = browser.told();
    assert!(told.complaints.is_empty(), "{:#?}", told.complaints);
}
