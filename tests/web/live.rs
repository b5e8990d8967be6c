//! `/events`: how an open page learns that something is new.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use sentinel::operator::web::Limits;
use sentinel::operator::web::events::LIVE_PAGES;
use sentinel::operator::web::rules::Rules;
use sentinel_actors::domain::reason::Reason;
use sentinel_actors::domain::time::UtcMs;
use sentinel_actors::ports::elapsed_now;

use super::support::{PATIENCE, Page, QUICK, wait_for};

/// An open page.
struct Open {
    lines: BufReader<TcpStream>,
    code: u16,
}

impl Open {
    fn on(page: &Page) -> Self {
        let mut stream = page.connect();
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        lines.read_line(&mut head).unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { lines, code }
    }

    /// The data of the next event of a kind.
    fn next(&mut self, event: &str) -> String {
        let (wanted, began) = (format!("event: {event}\n"), elapsed_now());
        loop {
            assert!(began.elapsed() < PATIENCE, "no event {event}");
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended before an event {event}");
            if line == wanted {
                let mut data = String::new();
                self.lines.read_line(&mut data).unwrap();
                return data.trim_end().to_owned();
            }
        }
    }
}

#[test]
fn an_open_page_is_told_of_each_new_slot_within_a_second_and_ticked_at_once() {
    let page = Page::of(&["eurusd", "gbpusd"]);
    let mut open = Open::on(&page);
    assert_eq!(open.code, 200);
    assert!(open.next("tick").starts_with("data: {\"at_ms\":"));
    let mut took = Vec::new();
    for (number, name) in ["eurusd", "gbpusd", "eurusd"].into_iter().enumerate() {
        let slot = UtcMs(1_700_000_000_000 + i64::try_from(number).unwrap());
        let began = elapsed_now();
        page.end_slot(name, slot, Reason::BelowThreshold);
        assert_eq!(open.next("slot"), format!("data: {{\"pipeline\":\"{name}\",\"slot_ms\":{}}}", slot.0));
        took.push(began.elapsed());
    }
    // A busy machine may take its time once; a slow page does it each time.
    assert!(took.iter().any(|took| *took < Duration::from_secs(1)), "{took:?}");
    // One that was missed has no later slot, and is news all the same.
    page.end_slot("eurusd", UtcMs(1_700_000_000_002), Reason::NodeDown);
    open.next("slot");
    page.park("gbpusd");
    // That it works now was news too.
    while open.next("needs") != "data: {\"needs\":1}" {}
}

#[test]
fn eight_pages_are_kept_up_to_date_and_the_next_one_when_one_of_them_has_left() {
    let page = Page::of(&["eurusd"]);
    let mut open: Vec<Open> = (0..LIVE_PAGES).map(|_| Open::on(&page)).collect();
    assert!(open.iter().all(|open| open.code == 200));
    assert_eq!(Open::on(&page).code, 503);
    // The others are answered meanwhile.
    assert_eq!(page.get("/livez").code, 200);
    open.pop();
    wait_for("free place", || Open::on(&page).code == 200);
}

#[test]
fn an_open_page_lasts_longer_than_any_other_connection() {
    let limits =
        Limits { connection_max: Duration::from_millis(500), taken_within: Duration::from_millis(500), ..QUICK };
    let page = Page::with(&["eurusd"], "127.0.0.1:0", Rules::default(), limits);
    let mut open = Open::on(&page);
    open.next("tick");
    // The second one comes after five seconds.
    let began = elapsed_now();
    open.next("tick");
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    page.end_slot("eurusd", UtcMs(1_700_000_000_000), Reason::BelowThreshold);
    open.next("slot");
}

#[test]
fn a_name_that_would_break_a_line_stays_one_line() {
    let page = Page::of(&["a\nevent: needs\ndata: x"]);
    let mut open = Open::on(&page);
    open.next("tick");
    page.end_slot("a\nevent: needs\ndata: x", UtcMs(1), Reason::BelowThreshold);
    assert_eq!(open.next("slot"), r#"data: {"pipeline":"a\nevent: needs\ndata: x","slot_ms":1}"#);
}
