//! Who is let in: by name, by method, by what they send, and beyond loopback by the token.

use sentinel::operator::web::Limits;
use sentinel::operator::web::rules::Rules;

use super::support::{Answer, Page, TOKEN};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

#[test]
fn a_foreign_name_with_or_without_a_port_is_told_nothing_at_all() {
    let page = Page::of(&["eurusd"]);
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example:9464", "", "localhost, evil.example"] {
        for path in ["/", "/livez", "/api/v1/status", "/not/there"] {
            let answer = page.ask("GET", path, host, "");
            assert_eq!(answer.code, 421, "{host}{path}: {answer:?}");
            assert!(!answer.body.contains("eurusd"), "{answer:?}");
        }
        // The name comes before everything else.
        assert_eq!(page.ask("POST", "/livez", host, "content-length: 9999\r\n").code, 421);
    }
    for (head, code) in [
        ("GET /livez HTTP/1.1\r\n\r\n".to_owned(), 421),
        ("GET /livez HTTP/1.0\r\n\r\n".to_owned(), 421),
        ("GET /livez HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n".to_owned(), 421),
        ("GET http://evil.example/livez HTTP/1.1\r\nhost: localhost\r\n\r\n".to_owned(), 421),
        (format!("GET http://localhost:{0}/livez HTTP/1.1\r\nhost: localhost:{0}\r\n\r\n", page.port()), 200),
    ] {
        assert_eq!(page.said_to(head.as_bytes()).code, code, "{head}");
    }
}

#[test]
fn a_name_that_is_listed_is_known_on_loopback_without_a_token() {
    let rules = Rules { hosts: vec!["trader.example".to_owned()], token: None };
    let page = Page::with(&["eurusd"], "127.0.0.1:0", rules, Limits::default());
    assert_eq!(page.ask("GET", "/api/v1/status", "trader.example", "").code, 200);
    assert_eq!(page.ask("GET", "/api/v1/status", "other.example", "").code, 421);
}

#[test]
fn nothing_is_changed_over_tcp_whatever_the_method() {
    let page = Page::of(&["eurusd"]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "HALT"] {
        for path in ["/", "/livez", "/api/v1/status", "/halt", "/resume", "/settle", "/flatten", "/not/there"] {
            let answer = page.ask(method, path, "localhost", "");
            assert_eq!((answer.code, answer.header("allow")), (405, Some("get, head")), "{method} {path}");
        }
    }
    // Those of the control socket are not here.
    for path in ["/halt", "/resume", "/settle", "/flatten", "/status"] {
        assert_eq!(page.get(path).code, 404, "{path}");
    }
}

#[test]
fn a_head_is_a_get_without_its_body() {
    let page = Page::of(&["eurusd"]);
    for path in ["/livez", "/readyz", "/healthz", "/metrics", "/api/v1/status", "/events", "/not/there"] {
        let head = page.ask("HEAD", path, "localhost", "");
        assert!(head.body.is_empty(), "{head:?}");
        if path != "/events" {
            assert_eq!(head.code, page.get(path).code, "{path}");
        }
    }
}

#[test]
fn a_body_is_refused_when_it_is_long_or_has_no_length_and_never_waited_for() {
    let page = Page::of(&["eurusd"]);
    for (headers, code) in [
        ("content-length: 4097\r\n", 413),
        ("content-length: 99999999999\r\n", 413),
        ("transfer-encoding: chunked\r\n", 413),
        ("content-length: 4096\r\n", 200),
    ] {
        assert_eq!(page.ask("GET", "/livez", "localhost", headers).code, code, "{headers}");
    }
    // One that is sent is not read.
    let long = format!("GET /livez HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5000\r\n\r\n{}", "x".repeat(5000));
    assert_eq!(page.said_to(long.as_bytes()).code, 413);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let page = Page::of(&["eurusd"]);
    let line = format!("x: {}\r\n", "y".repeat(1000));
    assert_eq!(page.ask("GET", "/livez", "localhost", &line.repeat(14)).code, 200);
    assert_eq!(page.ask("GET", "/livez", "localhost", &line.repeat(20)).code, 431);
    assert_eq!(page.ask("GET", "/livez", "localhost", &format!("x: {}\r\n", "y".repeat(20_000))).code, 431);
}

#[test]
fn a_path_that_leads_out_of_the_page_leads_nowhere() {
    let page = Page::of(&["eurusd"]);
    for path in [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1/../../../etc/passwd",
        "/..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/api/v1/status/",
        "/api/v1/status%00",
        "/journal.db",
    ] {
        let answer = page.get(path);
        assert_eq!(answer.code, 404, "{path}: {answer:?}");
        assert!(!answer.body.contains("passwd") && !answer.body.contains("root:"), "{answer:?}");
    }
}

fn is_guarded(answer: &Answer) {
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{answer:?}");
    }
    assert!(!answer.head.contains("set-cookie") && !answer.head.contains("access-control"), "{answer:?}");
}

#[test]
fn every_answer_tells_the_browser_what_it_may_do_with_it() {
    let page = Page::of(&["eurusd"]);
    let origin = "origin: http://evil.example\r\naccess-control-request-method: GET\r\n";
    for (method, path, host) in [
        ("GET", "/livez", "localhost"),
        ("HEAD", "/readyz", "localhost"),
        ("GET", "/healthz", "localhost"),
        ("GET", "/api/v1/status", "localhost"),
        ("GET", "/not/there", "localhost"),
        ("OPTIONS", "/api/v1/status", "localhost"),
        ("GET", "/livez", "evil.example"),
    ] {
        is_guarded(&page.ask(method, path, host, origin));
    }
    let beyond = Page::beyond(&["trader"]);
    is_guarded(&beyond.ask("GET", "/livez", "trader", ""));
}

#[test]
fn beyond_loopback_nothing_is_answered_without_the_token() {
    let page = Page::beyond(&["trader", "127.0.0.1"]);
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    let ask = |path, host, headers: &str| page.ask("GET", path, host, headers).code;
    for host in ["trader:9464", "127.0.0.1"] {
        for path in ["/livez", "/readyz", "/api/v1/status", "/", "/not/there"] {
            let answer = page.ask("GET", path, host, "");
            assert_eq!(answer.code, 401, "{host}{path}");
            assert!(!answer.body.contains("eurusd") && answer.head.contains("www-authenticate: bearer"), "{answer:?}");
        }
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(ask(path, "trader:1", &bearer), 200, "{path}");
    }
    // A name of elsewhere is for programs only; what may be a browser's on this machine sees everything.
    assert_eq!((ask("/api/v1/status", "trader", &bearer), ask("/healthz", "trader", &bearer)), (404, 404));
    assert_eq!(ask("/api/v1/status", "127.0.0.1:9464", &bearer), 200);
    assert_eq!((ask("/livez", "localhost", &bearer), ask("/livez", "10.0.0.7", &bearer)), (421, 421));
    // A browser sends it as a password. With the user `ann`.
    let basic = format!("authorization: Basic {}\r\n", data_encoding::BASE64.encode(format!("ann:{TOKEN}").as_bytes()));
    assert_eq!(ask("/api/v1/status", "127.0.0.1:9464", &basic), 200);
}

#[test]
fn five_wrong_tokens_shut_out_their_address_and_none_of_them_is_said_again() {
    let page = Page::beyond(&["trader"]);
    let ask = |token: &str| page.ask("GET", "/livez", "trader", &format!("authorization: {token}\r\n"));
    let almost = format!("{}0", &TOKEN[..31]);
    for wrong in ["Bearer", "Bearer x", "Basic %%%", &format!("Bearer {almost}"), &format!("Token {TOKEN}")] {
        let answer = ask(wrong);
        assert_eq!(answer.code, 401, "{wrong}");
        assert!(!answer.body.contains(&almost) && !answer.body.contains(TOKEN), "{answer:?}");
    }
    let answer = ask(&format!("Bearer {TOKEN}"));
    assert_eq!((answer.code, answer.header("retry-after")), (429, Some("60")));
}
