//! Alerts of the real process: endpoints that hang cost no slot, a route can be tried by hand, and no secret comes out.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::alert_server::{Server, answer, ok};
use super::config::Site;
use super::facts::Facts;
use super::node::run;

const CANARY: &str = "c4n4ry-in-the-address";

fn secret(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), format!("{text}\n")).unwrap();
    fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o600)).unwrap();
}

/// A node that tells a webhook and a dead-man check, both behind this server.
fn site(server: &Server) -> Site {
    let site = Site::new().with(
        "[[pipeline]]",
        "[[alerts.route]]\nname = \"ops\"\nkind = \"webhook\"\nurl_file = \"ops.url\"\nsecret_file = \"ops.secret\"\n\n\
         [alerts.dead_man]\nurl_file = \"check.url\"\n\n[[pipeline]]",
    );
    secret(site.path(), "ops.url", &format!("http://{}/ops/{CANARY}", server.address));
    secret(site.path(), "check.url", &format!("http://{}/check/{CANARY}", server.address));
    secret(site.path(), "ops.secret", CANARY);
    site
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_node_whose_alert_endpoints_hang_decides_every_slot_and_ends_in_time() {
    let outcomes = |site: &Site| {
        let rows = Facts::read(&site.state()).slots;
        rows.into_iter().map(|slot| (slot.at_ms, slot.reason)).collect::<Vec<_>>()
    };
    let calm = Site::new().with_decisions(100);
    run(calm.path(), calm.args()).expect(0);

    let server = Server::start(|_| String::new());
    let site = site(&server).with_decisions(100);
    let ended = run(site.path(), site.args()).expect(0);
    let ping = server.next();
    assert_eq!(ping.path, format!("/check/{CANARY}"), "it was called, and never answered");
    assert_eq!(outcomes(&site), outcomes(&calm), "what is decided does not depend on who is told");
    assert!(ended.took < std::time::Duration::from_secs(30), "{:?}", ended.took);
    let leaks = files(&site.state()).into_iter().filter(|file| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes())
    });
    assert_eq!(leaks.collect::<Vec<_>>(), Vec::<std::path::PathBuf>::new());
    assert!(!ended.err.contains(CANARY) && !ended.out.contains(CANARY));
}

#[test]
fn a_route_is_tried_by_hand_and_says_what_it_answered() {
    let echo = |status: &'static str| Server::start(move |_| answer(status, "", &format!("no such thing: {CANARY}")));
    for (server, code, words) in [
        (Server::start(|_| ok()), 0, "ops has taken it: the server answered 200"),
        (echo("404 Not Found"), 69, "ops refuses it: look at its address and token"),
        (echo("500 Oops"), 69, "ops has not taken it"),
    ] {
        let site = site(&server);
        site.args();
        let ended = run(site.path(), ["alert", "test", "ops", "--config", "node.toml"]).expect(code);
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(words) && !said.contains(CANARY), "{said}");
        assert_eq!(server.next().json()["event"], "test");
        let checked = run(site.path(), ["check", "--config", "node.toml"]).expect(0);
        assert!(!checked.out.contains(CANARY));
    }
    let server = Server::start(|_| ok());
    let site = site(&server);
    site.args();
    run(site.path(), ["alert", "test", "dead-man", "--config", "node.toml"]).expect(0);
    assert_eq!(server.next().path, format!("/check/{CANARY}"));
    let ended = run(site.path(), ["alert", "test", "phone", "--config", "node.toml"]).expect(78);
    assert!(ended.err.contains("has no route 'phone': it has ops, dead-man"), "{}", ended.err);
}

#[test]
fn an_address_that_is_none_is_found_by_check_and_by_the_start() {
    let server = Server::start(|_| ok());
    let site = site(&server);
    secret(site.path(), "ops.url", &format!("http://elsewhere.example/{CANARY}"));
    secret(site.path(), "check.url", CANARY);
    let args = site.args();
    let checked = run(site.path(), ["check", "--config", "node.toml"]).expect(78);
    let started = run(site.path(), args).expect(78);
    for said in [checked.out, started.err] {
        assert!(
            said.contains("the address of route ops") && said.contains("the address of the dead-man check"),
            "{said}"
        );
        assert!(said.contains("write https") && !said.contains(CANARY), "{said}");
    }
}
