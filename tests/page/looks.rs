//! How it looks: pictures to look at, names for who hears it, and contrast for who sees little.

use std::path::PathBuf;

use serde_json::json;

use crate::chromium::Browser;
use crate::site::{Site, hour};

/// Where pictures are kept.
fn pictures() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("page")
}

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn pictures_are_kept_of_each_width_in_light_and_dark_and_nothing_runs_out_of_its_page() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    let story = format!("/p/eurusd/slots/{}", hour(-2));
    for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        browser.look(width, is_dark);
        let shade = if is_dark { "dark" } else { "light" };
        for (path, name) in [("/", "first"), ("/p/eurusd", "pipeline"), (story.as_str(), "story")] {
            browser.open(&site.at(path));
            browser.wait_for("document.fonts.status === 'loaded'");
            browser.picture(&pictures().join(format!("{name}-{width}-{shade}.png")), true);
            let over = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
            assert_eq!(over, json!(0), "{path} at {width}: it is wider than its window");
        }
        browser.open(&site.at("/"));
        browser.eval("document.querySelector('#slots li:not(.fold) a').click()");
        browser.wait_for("document.querySelector('#drawer').open");
        browser.picture(&pictures().join(format!("drawer-{width}-{shade}.png")), false);
    }
}

/// `SENTINEL_BLESS` takes the README's picture anew. Dates and fonts differ, so pictures are not compared; `tests/docs` looks at the one
/// that is there.
#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn the_picture_of_the_readme_shows_the_page_with_a_week_of_work_and_a_held_order() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    browser.look(1280, false);
    let size = json!({"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": false});
    browser.ask("Emulation.setDeviceMetricsOverride", size);
    // On a busy machine the rows of a chart may take longer than a page waits for them; the picture has all charts.
    let has_both = "document.querySelector('#charts')?.classList.contains('two') ?? false";
    let is_drawn = (0..100).any(|_| {
        browser.open(&site.at("/"));
        browser.eval(has_both) == json!(true)
    });
    assert!(is_drawn, "a chart is missing");
    browser.wait_for("document.fonts.status === 'loaded'");
    // Its directory is one of this test; a reader should see where a service keeps its state.
    browser.eval(
        r"document.querySelectorAll('code').forEach((code) => {
        code.textContent = code.textContent.replace(/--state \S+/, '--state /var/lib/sentinel');
    })",
    );
    let shown = browser.eval("document.body.innerText");
    for word in ["eurusd", "btc-allora", "sentinel settle"] {
        assert!(shown.as_str().unwrap().contains(word), "the page does not show {word}: {shown}");
    }
    let is_blessed = std::env::var_os("SENTINEL_BLESS").is_some();
    let docs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs");
    browser.picture(&if is_blessed { docs } else { pictures() }.join("page.png"), false);
}

/// Whoever cannot be named is counted: controls, drawings, and parts of the page.
const UNNAMED: &str = r#"(() => {
    const text = (e) => (e.getAttribute("aria-label") || e.textContent || e.getAttribute("title") || "").trim();
    const named = (e) => {
        const by = e.getAttribute("aria-labelledby");
        if (by) return by.split(" ").every((id) => text(document.getElementById(id)));
        if (e.labels?.length) return [...e.labels].some(text);
        if (e.tagName === "svg") return e.closest("[aria-hidden=true]") || e.getAttribute("aria-label");
        return text(e);
    };
    return [...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary, dialog, nav, section, svg")]
        .filter((e) => !named(e)).map((e) => e.outerHTML.slice(0, 120));
})()"#;

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn every_control_and_drawing_has_a_name_and_the_keyboard_reaches_the_state_first() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    for path in
        ["/".to_owned(), "/p/eurusd".to_owned(), format!("/p/eurusd/slots/{}", hour(-2)), "/nowhere/p".to_owned()]
    {
        browser.open(&site.at(&path));
        let unnamed = browser.eval(UNNAMED);
        assert_eq!(unnamed, json!([]), "{path}");
    }
    browser.open(&site.at("/"));
    browser.eval("document.querySelector('#slots li:not(.fold) a').click()");
    browser.wait_for("document.querySelector('#drawer').open");
    assert_eq!(browser.eval(UNNAMED), json!([]));
    // By what a screen reader is told, too.
    let tree = browser.ask("Accessibility.getFullAXTree", json!({}));
    for node in tree["nodes"].as_array().unwrap() {
        let role = node["role"]["value"].as_str().unwrap_or_default();
        if ["link", "button", "combobox", "dialog", "image", "searchbox"].contains(&role)
            && node["ignored"] != json!(true)
        {
            let name = node["name"]["value"].as_str().unwrap_or_default();
            assert!(!name.trim().is_empty(), "{node}");
        }
    }
    browser.press("Escape");
    browser.open(&site.at("/"));
    browser.press("Tab");
    assert_eq!(browser.eval("document.activeElement.textContent"), json!("Skip to the state"));
    browser.press("Enter");
    browser.wait_for("document.activeElement.id === 'main'");
}

/// The lowest contrast of any text with what is behind it, by the formula of WCAG.
const CONTRAST: &str = r#"(() => {
    const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return { r: m[0], g: m[1], b: m[2], a: m[3] ?? 1 }; };
    const light = ({ r, g, b }) => {
        const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (e) => {
        for (let at = e; at; at = at.parentElement) {
            const c = parse(getComputedStyle(at).backgroundColor);
            if (c.a === 1) return c;
        }
        return { r: 255, g: 255, b: 255 };
    };
    let worst = [21, "nothing"], count = 0;
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let t; (t = walk.nextNode());) {
        const e = t.parentElement;
        if (!t.data.trim() || !e.checkVisibility() || e.closest("noscript, script, .skip, .hide, option")) continue;
        const style = getComputedStyle(e), front = parse(e.closest("svg") ? style.fill : style.color);
        const [a, b] = [light(front), light(behind(e.closest("svg")?.parentElement ?? e))].sort((x, y) => y - x);
        const contrast = (a + 0.05) / (b + 0.05);
        count += 1;
        if (contrast < worst[0]) worst = [contrast, `${e.tagName}.${e.className.baseVal ?? e.className}: ${t.data.trim().slice(0, 40)}`];
    }
    return [...worst, count];
})()"#;

#[test]
#[cfg_attr(not(has_program = "chromium"), ignore = "chromium is missing")]
fn text_has_a_contrast_of_at_least_4_5_in_light_and_dark() {
    let site = Site::with_a_week();
    let mut browser = Browser::start();
    for is_dark in [false, true] {
        browser.look(1280, is_dark);
        for path in ["/".to_owned(), format!("/p/eurusd/slots/{}", hour(-2))] {
            browser.open(&site.at(&path));
            browser.eval("document.querySelectorAll('details').forEach((d) => { d.open = true; })");
            let worst = browser.eval(CONTRAST);
            println!("{path}, dark: {is_dark}: {worst}");
            assert!(worst[2].as_u64().unwrap() > 20, "{worst}");
            assert!(worst[0].as_f64().unwrap() >= 4.5, "{path}, dark: {is_dark}: {worst}");
        }
    }
}
