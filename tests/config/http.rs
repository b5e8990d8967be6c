//! `[http]`: who may ask for the page, and from where.

use super::*;

const BEYOND: &str = "listen = \"0.0.0.0:9464\"\n";
const HOSTS: &str = "hosts = [\"trader.example\", \"127.0.0.1\"]\n";
const TOKEN: &str = "token_file = \"http.token\"\n";

fn with_http(lines: &[&str]) -> String {
    format!("[http]\n{}{MINIMAL}", lines.concat())
}

#[test]
fn nothing_is_served_unless_an_address_is_named_in_the_file_or_by_the_flag() {
    assert_eq!(read(MINIMAL).unwrap().http.listen, None);
    let config = read(&with_http(&["listen = \"127.0.0.1:9464\"\n"])).unwrap();
    assert_eq!(config.http.listen, Some("127.0.0.1:9464".parse().unwrap()));
    let flags = Flags { listen: Some("[::1]:0".to_owned()), ..Flags::default() };
    let config = read_with(MINIMAL, directory().path(), &Env::default(), &flags).unwrap();
    assert_eq!(config.http.listen, Some("[::1]:0".parse().unwrap()));
    assert!(
        config
            .settings
            .iter()
            .any(|one| one.key == "http.listen" && one.origin == Origin::Outside("--listen".to_owned()))
    );
}

#[test]
fn beyond_loopback_both_a_token_and_the_names_are_needed() {
    assert!(read(&with_http(&[BEYOND, HOSTS, TOKEN])).is_ok());
    for (lines, missing) in [
        (&[BEYOND][..], "node.toml:2: http.listen: others than this machine could ask: name the token"),
        (&[BEYOND, HOSTS], "http.token_file; or listen on 127.0.0.1 and come through `ssh -L`"),
        (&[BEYOND, TOKEN], "name what they ask for this node under, in http.hosts"),
    ] {
        check_refused(&with_http(lines), missing);
    }
    let flags = Flags { listen: Some("10.0.0.7:9464".to_owned()), ..Flags::default() };
    let refused = read_with(MINIMAL, directory().path(), &Env::default(), &flags).unwrap_err();
    assert!(refused.to_string().contains("others than this machine could ask"), "{refused}");
    assert_eq!(refused.exit_code(), sentinel::exit::CONFIG);
}

#[test]
fn an_address_a_name_or_a_token_that_cannot_be_used_is_named() {
    for (lines, wrong) in [
        (&["listen = \"localhost:9464\"\n"][..], "'localhost:9464' is not an address with a port; allowed: an address"),
        (&["listen = \"127.0.0.1\"\n"], "'127.0.0.1' is not an address with a port"),
        (&["hosts = [\"trader:9464\"]\n"], "'trader:9464' is no name of a machine"),
        (&["hosts = []\n"], "http.hosts: is empty"),
        (&["token_file = \"missing\"\n"], "there is no file"),
        (&["token = \"0123\"\n"], "http.token: unknown key; allowed: listen, hosts, token_file"),
    ] {
        check_refused(&with_http(lines), wrong);
    }
    let dir = directory();
    std::fs::set_permissions(dir.path().join("http.token"), Permissions::from_mode(0o640)).unwrap();
    let refused = read_with(&with_http(&[TOKEN]), dir.path(), &Env::default(), &Flags::default()).unwrap_err();
    assert!(refused.to_string().contains("can be read by others: chmod 600"), "{refused}");
}

#[test]
fn a_credential_of_systemd_is_the_token_when_no_file_is_named() {
    let dir = directory();
    std::fs::write(dir.path().join("SENTINEL_HTTP_TOKEN"), "x").unwrap();
    let env: Env = [("CREDENTIALS_DIRECTORY", dir.path().display().to_string())].into_iter().collect();
    let config = read_with(&with_http(&[BEYOND, HOSTS]), dir.path(), &env, &Flags::default()).unwrap();
    assert_eq!(config.http.token, Some(dir.path().join("SENTINEL_HTTP_TOKEN")));
}

#[test]
fn a_token_that_could_be_guessed_keeps_the_node_from_starting() {
    let dir = directory();
    let judged = |token: &str| {
        private(&dir.path().join("http.token"), token);
        let config = read_with(&with_http(&[TOKEN]), dir.path(), &Env::default(), &Flags::default()).unwrap();
        sentinel::cli::run::judge_node(&config).join("; ")
    };
    let said = judged("s3cret-and-short\n");
    assert!(said.contains("has 16 characters, and a token has from 32 to 1024") && !said.contains("s3cret"), "{said}");
    assert_eq!(judged(&"0123456789abcdef".repeat(4)), "");
}
