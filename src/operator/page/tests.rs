//! Parts of the page from facts, without a server.

mod made;

use std::collections::BTreeSet;

use sentinel_actors::domain::halt::TradingState;
use sentinel_actors::domain::reason::{Outcome, Reason};
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::domain::verdict::{NeedKind, Verdict};

use self::made::{hour, node, record, rows, with_held, with_late};
use super::asked::Asked;
use super::{cells, frame, needs, pipelines, sentence, slots};

fn first_page(node: &super::facts::Node, rows: &super::rows::Rows) -> String {
    frame::first_page(node, rows, &Asked::default()).into_string()
}

/// Of everything between `<` and `>`, the names of the elements.
fn elements(html: &str) -> BTreeSet<String> {
    let names = html.split('<').skip(1).map(|rest| {
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '!').collect();
        name.to_ascii_lowercase()
    });
    names.filter(|name| !name.is_empty()).collect()
}

const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'; a\u{202e}b",
    "a\nb\r\nc\u{0}",
    "</title></textarea>&lt;",
];

#[test]
fn names_and_texts_of_others_stay_text_wherever_they_stand() {
    for hostile in HOSTILE {
        let mut node = with_held(node(&[hostile]), hostile);
        node.name = hostile.to_owned();
        node.arm = Some(hostile.to_owned());
        for pipeline in node.pipelines.values_mut() {
            (pipeline.account, pipeline.symbol) = (hostile.to_owned(), hostile.to_owned());
        }
        let mut rows = rows(&node, 30);
        rows.error = Some(hostile.to_owned());
        let asked = Asked { pipeline: Some(hostile.to_owned()), ..Asked::default() };
        let calm = elements(&first_page(&made::node(&["eurusd"]), &made::rows(&made::node(&["eurusd"]), 30)));
        for html in [
            frame::first_page(&node, &rows, &asked).into_string(),
            frame::pipeline_page(&node, &rows, &asked, hostile).into_string(),
            frame::refusal(&node, hostile).into_string(),
        ] {
            let more: Vec<String> = elements(&html).difference(&calm).cloned().collect();
            let own = ["article", "b", "form", "input", "label", "nav", "li", "section", "h3", "small", "code", "ol"];
            assert!(more.iter().all(|name| own.contains(&name.as_str())), "{more:?}");
            assert!(!html.contains("<script>") && !html.contains("<img"), "{html}");
            // What a form sends is what it is.
            let shown: String =
                html.split(" value=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
            assert!(!shown.contains(['\u{202e}', '\0', '\r']), "{shown}");
            assert_eq!(html.matches("<title>").count(), html.matches("</title>").count());
        }
    }
}

#[test]
fn nothing_on_a_page_needs_a_style_or_a_script_of_its_own() {
    let node = with_held(node(&["eurusd", "gbpusd"]), "eurusd");
    let html = first_page(&node, &rows(&node, 100));
    for refused in [" style=", "<style", "javascript:", " onclick=", " onload=", "http://", "https://"] {
        let found = html.replace("http://www.w3.org/2000/svg", "").contains(refused);
        assert!(!found, "{refused}\n{html}");
    }
    assert_eq!(html.matches("<script").count(), 1, "only the one with an address");
}

#[test]
fn a_page_with_fifty_pipelines_of_long_names_stays_below_64_kilobytes() {
    let names: Vec<String> = (0..300).map(|n| format!("pipeline-with-a-name-{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let node = with_late(node(&names), &names[100..140]);
    let rows = rows(&node, 0);
    assert_eq!((rows.names.len(), rows.others), (50, 250));
    let html = first_page(&node, &rows);
    assert!(html.len() <= 64 << 10, "{} bytes", html.len());
    assert!(html.contains("the worst 50 of 300"), "{html}");
    assert!(!html.contains("<section class=\"card chart\""), "each has a page of its own");
}

#[test]
fn a_page_with_four_busy_charts_stays_below_64_kilobytes() {
    let node = node(&["audusd", "eurusd", "gbpusd", "usdjpy"]);
    let html = first_page(&node, &rows(&node, 168));
    assert_eq!(html.matches("<section class=\"card chart\"").count(), 4);
    assert!(html.len() <= 64 << 10, "{} bytes", html.len());
}

#[test]
fn the_worst_pipelines_come_first_and_a_halt_is_worse_than_nothing() {
    let mut node = with_late(node(&["a", "b", "c", "d"]), &["c"]);
    node.pipelines.get_mut("d").unwrap().state = TradingState::Halted;
    node.view.pipelines.get_mut("b").unwrap().faults_in_a_row = 2;
    assert_eq!(node.worst(|_| true), ["c", "d", "b", "a"]);
    assert_eq!(node.worst(|name| name != "c"), ["d", "b", "a"]);
}

#[test]
fn the_sentence_is_the_verdict_and_says_what_keeps_the_node_from_its_work() {
    let calm = node(&["eurusd"]);
    let html = sentence::part(&calm).into_string();
    assert!(html.contains("<h1>Working.</h1>") && html.contains("card say good"), "{html}");
    let late = with_late(calm, &["eurusd"]);
    assert_eq!(late.judgement.verdict, Verdict::NotWorking);
    let html = sentence::part(&late).into_string();
    assert!(html.contains("<h1>Not working: eurusd decision of "), "{html}");
    assert!(html.contains("card say bad"), "{html}");
}

#[test]
fn a_held_order_comes_with_both_commands_and_nothing_is_there_when_nothing_is_needed() {
    assert_eq!(needs::part(&node(&["eurusd"])).into_string(), "<div id=\"needs\" data-part hidden></div>");
    let node = with_held(node(&["eurusd"]), "eurusd");
    assert_eq!(node.judgement.needs[0].kind, NeedKind::Held);
    let html = needs::part(&node).into_string();
    for part in
        ["--ticket TICKET --evidence TEXT", "--absent --evidence TEXT", "href=\"/p/eurusd/slots/", "for 2 h 02 min"]
    {
        assert!(html.contains(part), "{part}\n{html}");
    }
}

#[test]
fn a_replay_shows_its_schedule_time_and_never_how_late_it_is() {
    let mut node = node(&["eurusd"]);
    let view = node.view.pipelines.get_mut("eurusd").unwrap();
    (view.wall_time, view.late_ms) = (false, 99_000_000_000);
    node.pipelines.get_mut("eurusd").unwrap().schedule_now = "2017-06-01T13:00:00Z".parse().unwrap();
    let table = pipelines::part(&node, &rows(&node, 3), &Asked::default()).into_string();
    assert!(table.contains("2017-06-01 13:00<small>its schedule time"), "{table}");
    let html = sentence::part(&node).into_string();
    assert!(!html.contains("Late by") && !html.contains("Next decision"), "{html}");
}

#[test]
fn three_quiet_slots_in_a_row_are_folded_with_their_sums_and_two_are_not() {
    let node = node(&["eurusd"]);
    let mut rows = rows(&node, 0);
    let reasons = [
        Reason::OrderAcked,
        Reason::Hold,
        Reason::BelowThreshold,
        Reason::Gap,
        Reason::BelowThreshold,
        Reason::BelowThreshold,
        Reason::MarketClosed,
        Reason::SourceTimeout,
    ];
    rows.listed = reasons.iter().zip(0..).map(|(reason, n)| record("eurusd", hour(-n), *reason)).collect();
    let html = slots::part(&node, &rows, &Asked::default()).into_string();
    assert_eq!(html.matches("<details").count(), 1);
    assert!(html.contains("3 quiet slots") && html.contains("2 × not confident enough, 1 × market closed"), "{html}");
    let asked = Asked { outcome: Some(Outcome::NoAction), ..Asked::default() };
    assert!(!slots::part(&node, &rows, &asked).into_string().contains("<details"), "what was looked for is in sight");
}

#[test]
fn filters_are_links_and_a_form_that_keep_each_other() {
    let node = node(&["eurusd", "gbpusd"]);
    let asked = Asked {
        outcome: Some(Outcome::Skipped),
        reason: Some(Reason::Gap),
        pipeline: Some("eur".to_owned()),
        path: None,
    };
    let html = slots::part(&node, &rows(&node, 20), &asked).into_string();
    for part in [
        "href=\"/?pipeline=eur#slots\"",
        "href=\"/?outcome=missed&amp;pipeline=eur#slots\"",
        "<input type=\"hidden\" name=\"outcome\" value=\"skipped\">",
        "<option value=\"gap\" selected>Too many bars are missing</option>",
        "<option value=\"eur\" selected>eur</option>",
    ] {
        assert!(html.contains(part), "{part}\n{html}");
    }
    let own = slots::part(&node, &rows(&node, 20), &Asked::default().of_pipeline("eurusd")).into_string();
    assert!(own.contains("href=\"/p/eurusd?outcome=missed#slots\"") && !own.contains("name=\"pipeline\""), "{own}");
}

#[test]
fn a_strip_of_cells_says_in_words_what_it_shows() {
    let cells: Vec<(UtcMs, Reason)> = [Reason::Hold, Reason::Gap, Reason::NodeDown, Reason::Hold]
        .into_iter()
        .zip(0..)
        .map(|(r, n)| (hour(n), r))
        .collect();
    assert_eq!(cells::spoken(&cells), "2 no action, 1 skipped, 1 missed");
    let html = cells::strip(&cells, 24).into_string();
    assert!(html.contains("d=\"M20 0h1M23 0h1\"") && html.contains("class=\"k-x\" d=\"M22 0h1\""), "{html}");
    assert_eq!(cells::spoken(&[]), "No slot yet");
}

#[test]
fn every_address_on_a_page_leads_to_this_node() {
    let node = with_held(node(&["a/../b?x=1"]), "a/../b?x=1");
    let html = first_page(&node, &rows(&node, 30));
    for href in html.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(href.starts_with('/') && !href.starts_with("//") || href.starts_with('#'), "{href}");
    }
    assert!(html.contains("href=\"/p/a%2F..%2Fb%3Fx%3D1\""), "{html}");
}
