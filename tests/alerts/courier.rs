//! What goes over the wire, and what is made of each answer.

use std::time::Duration;

use sentinel::http::{Secret, SecretUrl};
use sentinel::operator::alerts::courier::{AlertSettings, Courier, DeadManCheck, Place, Route, Told};
use sentinel::operator::alerts::dead_man::Ping;
use sentinel::operator::alerts::message::Message;
use sentinel::operator::alerts::outbox::Attempt;
use sentinel_actors::domain::time::UtcMs;
use sha2::{Digest as _, Sha256};

use super::server::{Server, answer, ok};

const KEY: &str = "c4n4ry-signing-key";
const TOKEN: &str = "123456:c4n4ry-bot-token";
const PATH: &str = "/hooks/c4n4ry-path";
const WALL: UtcMs = UtcMs(1_700_000_000_000);

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn webhook(server: &Server) -> Route {
    let url = SecretUrl::parse(&secret(&format!("http://{}{PATH}", server.address))).unwrap();
    Route { name: "ops".to_owned(), place: Place::Webhook { url, secret: Some(secret(KEY)) } }
}

fn telegram(server: &Server) -> Route {
    let url = SecretUrl::around(&format!("http://{}/bot", server.address), &secret(TOKEN), "/sendMessage").unwrap();
    Route { name: "phone".to_owned(), place: Place::Telegram { url, chat: "-100123".to_owned() } }
}

fn message() -> Message {
    let mut message = Message::test("node", "0123456789abcdef", WALL);
    message.title = "<b>\"quoted\" 'title'".to_owned();
    message
}

fn tell(route: Route) -> Told {
    let settings = AlertSettings { routes: vec![route], dead_man: None };
    let courier = Courier::new(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(courier.tell(&settings.routes[0], &message(), WALL))
}

/// What is made of an answer to a webhook, and to Telegram.
fn attempts(text: &str) -> [Attempt; 2] {
    let of = |text: &str| {
        let text = text.to_owned();
        Server::start(move |_| text.clone())
    };
    [tell(webhook(&of(text))).attempt, tell(telegram(&of(text))).attempt]
}

/// RFC 2104 by hand, over the digest alone.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0_u8; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    let outer = Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize();
    outer.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_webhook_gets_every_field_under_a_signature_that_others_can_check() {
    let server = Server::start(|_| answer("204 No Content", "", ""));
    assert_eq!(tell(webhook(&server)).attempt, Attempt::Accepted);
    let posted = server.next();
    assert_eq!((posted.path.as_str(), posted.header("content-type")), (PATH, Some("application/json")));
    let expected = format!("sha256={}", hmac(KEY.as_bytes(), &posted.body));
    assert_eq!(posted.header("x-sentinel-signature"), Some(expected.as_str()));
    let json = posted.json();
    let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
    let mut fields = [
        "version", "id", "node", "state", "severity", "event", "pipeline", "key", "since", "at", "count", "title",
        "text", "action",
    ];
    fields.sort_unstable();
    assert_eq!(keys, fields);
    assert_eq!(json["version"], 1);
    assert_eq!((json["state"].as_str(), json["severity"].as_str()), (Some("firing"), Some("info")));
    assert_eq!(json["title"], "<b>\"quoted\" 'title'");
}

#[test]
fn telegram_gets_plain_text_and_is_believed_only_when_it_says_ok() {
    let server = Server::start(|_| ok());
    assert_eq!(tell(telegram(&server)).attempt, Attempt::Accepted);
    let posted = server.next();
    assert_eq!(posted.path, format!("/bot{TOKEN}/sendMessage"));
    let json = posted.json();
    assert_eq!(json["chat_id"], "-100123");
    assert!(
        json["text"].as_str().unwrap().starts_with("node: <b>\"quoted\" 'title'\n") && json.get("parse_mode").is_none()
    );
    let failed = Attempt::Failed { retry_after: None };
    for lie in ["<html>log in to this network</html>", "{\"ok\":false}", ""] {
        assert_eq!(attempts(&answer("200 OK", "", lie)), [Attempt::Accepted, failed.clone()], "{lie}");
    }
}

#[test]
fn each_status_is_taken_for_what_it_means() {
    let failed = Attempt::Failed { retry_after: None };
    for status in
        ["500 Internal Server Error", "503 Service Unavailable", "429 Too Many Requests", "408 Request Timeout"]
    {
        assert_eq!(attempts(&answer(status, "", "{\"ok\":false}")), [failed.clone(), failed.clone()], "{status}");
    }
    for status in ["400 Bad Request", "401 Unauthorized", "403 Forbidden", "404 Not Found", "410 Gone"] {
        assert_eq!(attempts(&answer(status, "", "{\"ok\":false}")), [Attempt::Refused, Attempt::Refused], "{status}");
    }
}

#[test]
fn the_time_that_a_server_names_is_read_from_its_header_or_from_telegrams_answer() {
    let after = |seconds| Attempt::Failed { retry_after: Some(Duration::from_secs(seconds)) };
    let body = "{\"ok\":false,\"error_code\":429,\"parameters\":{\"retry_after\":77}}";
    assert_eq!(attempts(&answer("429 Too Many Requests", "", body))[1], after(77));
    assert_eq!(attempts(&answer("503 Service Unavailable", "retry-after: 33\r\n", ""))[0], after(33));
    let date = "retry-after: Tue, 14 Nov 2023 22:14:20 GMT\r\n";
    assert_eq!(attempts(&answer("503 Service Unavailable", date, ""))[0], after(60));
    assert_eq!(attempts(&answer("503 Service Unavailable", "retry-after: 0\r\n", ""))[0], after(1));
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(|_| ok());
    let location = format!("location: http://{}/\r\n", elsewhere.address);
    for status in ["302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        assert_eq!(attempts(&answer(status, &location, "")), [Attempt::Refused, Attempt::Refused], "{status}");
    }
    assert!(elsewhere.within(Duration::from_millis(100)).is_none());
}

#[test]
fn a_server_that_answers_at_length_is_not_read_to_its_end() {
    let long = answer("200 OK", "", &"x".repeat(4 << 20));
    let told = tell(webhook(&Server::start(move |_| long.clone())));
    assert_eq!(told.attempt, Attempt::Accepted);
    assert!(told.said.chars().count() < 400);
}

#[test]
fn nobody_listens_is_a_failure_that_is_tried_again() {
    let mut server = Server::start(|_| ok());
    server.address = "127.0.0.1:9".to_owned();
    let told = tell(webhook(&server));
    assert_eq!(told.attempt, Attempt::Failed { retry_after: None });
    assert!(told.said.contains("not available"), "{}", told.said);
}

#[test]
fn what_a_server_echoes_holds_no_address_no_token_and_no_key() {
    let echo = |server: &str| {
        format!("no {TOKEN} and no {PATH} with {KEY} at http://{server}{PATH}, {server}/bot{TOKEN}/sendMessage")
    };
    for status in ["200 OK", "404 Not Found", "500 Oops"] {
        let server = Server::start(|_| String::new());
        let body = echo(&server.address);
        let echoing = Server::start(move |_| answer(status, "", &body));
        for route in [webhook(&echoing), telegram(&echoing)] {
            let shown = format!("{route:?}");
            let said = format!("{shown} {:?}", tell(route));
            // Each route knows its own secrets; those of the other one are none to it.
            let own = if shown.contains("Telegram") { "bot-token" } else { "c4n4ry-path" };
            assert!(!said.contains(own), "{said}");
        }
    }
}

#[test]
fn a_ping_has_the_sentence_and_a_failure_goes_below_the_address() {
    let server = Server::start(|_| ok());
    let url = SecretUrl::parse(&secret(&format!("http://{}/ping/c4n4ry?rid=1", server.address))).unwrap();
    let check = DeadManCheck { url, every: Duration::from_secs(300) };
    let settings = AlertSettings { routes: Vec::new(), dead_man: Some(check.clone()) };
    let courier = Courier::new(&settings).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (is_fail, path) in [(false, "/ping/c4n4ry?rid=1"), (true, "/ping/c4n4ry/fail?rid=1")] {
        let ping = Ping { is_fail, sentence: "working".to_owned() };
        assert_eq!(runtime.block_on(courier.ping(&check, &ping, WALL)).attempt, Attempt::Accepted);
        let posted = server.next();
        assert_eq!((posted.path.as_str(), posted.body.as_slice()), (path, &b"working"[..]));
        assert!(posted.head.starts_with("POST "));
    }
}
