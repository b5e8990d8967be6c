//! What somebody does with the page: looks, filters, and asks why.

use std::time::SystemTime;

use sentinel_actors::domain::reason::Reason;
use serde_json::json;

use crate::chromium::Browser;
use crate::site::{Site, hour, record};

/// Since 1970, in milliseconds, as a page measures it.
fn now_ms() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1000.0
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn the_first_paint_comes_within_300_ms() {
    let site = Site::with_a_week();
    let mut browser = Browser::start_alone();
    browser.look(1280, false);
    let mut painted = |path: &str| {
        browser.open(&site.at(path));
        browser.wait_for("performance.getEntriesByName('first-paint').length === 1");
        browser.eval("performance.getEntriesByName('first-paint')[0].startTime").as_f64().unwrap()
    };
    let mut paints = Vec::new();
    // A busy machine takes its time for two letters too; a slow page takes it beyond them, each time.
    for _ in 0..20 {
        let (letters, page) = (painted("/livez"), painted("/"));
        paints.push((letters, page));
        if page < 300.0 || page - letters < 200.0 {
            println!("first paint of two letters and of the page after {paints:.0?} ms");
            return;
        }
    }
    panic!("first paint of two letters and of the page after {paints:.0?} ms");
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn a_decision_appears_within_a_second_of_its_row() {
    let site = Site::with_a_week();
    let mut browser = Browser::start_alone();
    browser.open(&site.at("/"));
    // It listens once it was told something.
    browser.wait_for("document.querySelector('#age').textContent.startsWith('updated')");
    let mut took = Vec::new();
    for (n, reason) in [(1, Reason::Gap), (2, Reason::StaleData), (3, Reason::ClockOff), (4, Reason::AnswerSum)] {
        browser.eval(&format!(
            "window.seen = new Promise((resolve) => {{
                const look = () => document.querySelector('#slots').textContent.includes('{text}')
                    && document.querySelector('#pipelines').textContent.includes('{text}') && resolve(Date.now());
                new MutationObserver(look).observe(document.body, {{ childList: true, subtree: true }});
            }}); 1",
            text = reason.short()
        ));
        site.end_slot(record("eurusd", hour(n), reason));
        let written = now_ms();
        took.push(browser.eval("window.seen").as_f64().unwrap() - written);
        if took.last().is_some_and(|took| *took < 1000.0) {
            println!("a decision appeared after {took:.0?} ms");
            return;
        }
    }
    panic!("decisions appeared after {took:.0?} ms");
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn filters_and_stories_work_with_script() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    browser.look(1280, false);
    browser.open(&site.at("/"));
    browser.wait_for_rows("document.querySelectorAll('#slots li:not(.fold)').length === 100");
    browser.eval("window.mark = 1; [...document.querySelectorAll('.chip')].find((c) => c.textContent.startsWith('Skipped')).click()");
    browser.wait_for(
        "location.search === '?outcome=skipped' && document.querySelectorAll('#slots li:not(.fold)').length < 100",
    );
    assert_eq!(
        browser.eval(
            "[...document.querySelectorAll('#slots li:not(.fold)')].every((r) => r.textContent.includes('skipped'))"
        ),
        json!(true)
    );
    browser.eval("const s = document.querySelector('#reason'); s.value = 'model_timeout'; s.dispatchEvent(new Event('change', { bubbles: true }))");
    browser.wait_for("location.search === '?outcome=skipped&reason=model_timeout' && document.querySelectorAll('#slots li:not(.fold)').length === 2");
    assert_eq!(browser.eval("window.mark"), json!(1), "it was the same page all the time");
    browser.eval("history.back()");
    browser.wait_for(
        "location.search === '?outcome=skipped' && document.querySelectorAll('#slots li:not(.fold)').length > 2",
    );

    // A story opens beside the page, and gives the focus back.
    browser.eval("document.querySelector('#slots li:not(.fold) a').focus()");
    browser.press("Enter");
    browser.wait_for("document.querySelector('#drawer').open");
    let told = browser.eval("document.querySelector('#drawer').textContent");
    for part in ["An earlier intent", "What happened", "Where the time went", "76eaa2395e6f3bcd", "sentinel why eurusd"]
    {
        assert!(told.as_str().unwrap().contains(part), "{part} in {told}");
    }
    browser.press("Escape");
    browser.wait_for("!document.querySelector('#drawer').open");
    assert_eq!(browser.eval("document.activeElement.textContent"), json!("why"));
    assert_eq!(browser.eval("location.pathname"), json!("/"));
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn filters_folds_and_stories_work_without_script() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    browser.look(1280, false);
    browser.without_script(true);
    browser.open(&site.at("/"));
    browser.wait_for_rows("document.querySelectorAll('#slots li:not(.fold)').length === 100");
    assert_eq!(browser.eval("document.querySelectorAll('.fold details[open]').length"), json!(0));
    click(&mut browser, "summary.row");
    browser.wait_for("document.querySelectorAll('.fold details[open]').length === 1");
    click(&mut browser, ".chip[href*='missed']");
    browser.wait_for("location.search === '?outcome=missed'");
    browser.wait_for("document.querySelector('.chip[aria-current]')?.textContent.startsWith('Missed')");
    browser.open(&site.at("/?outcome=skipped"));
    browser.eval("document.querySelector('#reason').value = 'model_timeout'");
    click(&mut browser, "form.by button");
    browser.wait_for("location.search.includes('reason=model_timeout') && location.search.includes('outcome=skipped')");
    browser.wait_for_rows("document.querySelectorAll('#slots li:not(.fold)').length === 2");
    click(&mut browser, "#slots li:not(.fold) a");
    browser.wait_for("location.pathname.startsWith('/p/eurusd/slots/')");
    browser.wait_for("document.querySelector('#story h2')?.textContent === 'It was skipped (model_timeout).'");
    assert_eq!(browser.eval("document.querySelector('noscript') !== null"), json!(false), "it is about live pages");
}

/// As a person does it: a page without script cannot be told to.
fn click(browser: &mut Browser, selector: &str) {
    browser.wait_for(&format!("document.querySelector({selector:?}) !== null"));
    let at = browser.eval(&format!(
        "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }});
            const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()"
    ));
    for kind in ["mousePressed", "mouseReleased"] {
        let mouse = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
        browser.ask("Input.dispatchMouseEvent", mouse);
    }
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn rows_keep_their_places_and_what_was_opened_stays_open_while_the_page_is_updated() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    browser.open(&site.at("/"));
    let order = "[...document.querySelectorAll('.pipes tbody tr')].map((r) => r.querySelector('a').textContent).join()";
    assert_eq!(browser.eval(order), json!("eurusd,btc-allora"), "the worst first");
    browser
        .eval("document.querySelector('.fold details').open = true; document.querySelector('.fold summary').focus()");
    // Now the other one is the worst.
    site.change("btc-allora", |status| {
        (status.faults_in_a_row, status.last_fault) = (7, Some(Reason::LedgerUnavailable));
    });
    browser.wait_for("document.querySelector('#say h1').textContent.startsWith('Not working: btc-allora')");
    assert_eq!(browser.eval(order), json!("eurusd,btc-allora"));
    assert_eq!(browser.eval("document.querySelectorAll('.fold details[open]').length"), json!(1));
    // The focus is kept when its part is replaced.
    site.end_slot(record("eurusd", hour(1), Reason::Gap));
    browser.wait_for("document.querySelector('#slots').textContent.includes('Too many bars are missing')");
    assert_eq!(browser.eval("document.activeElement.tagName"), json!("SUMMARY"));
    browser.open(&site.at("/"));
    assert_eq!(browser.eval(order), json!("btc-allora,eurusd"), "sorted anew when it is loaded");
}
