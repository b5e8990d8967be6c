//! Pipelines of both modes in one node: what is not armed stays here.

use super::config::Site;
use super::facts::Facts;
use super::gateway::{free_port, gateway, ledger};
use super::node::run;

/// A second pipeline like the first one, changed.
fn with_second(mut site: Site, changes: &[(&str, &str)]) -> Site {
    let mut second = site.text.split_once("[[pipeline]]").unwrap().1.to_owned();
    for (old, new) in changes {
        assert!(second.contains(old), "no {old:?}");
        second = second.replacen(old, new, 1);
    }
    let name = changes[0].1.split('"').nth(1).unwrap();
    site.text.push_str(&format!("\n[[pipeline]]{second}\n[pipeline.paper]\naccount = \"{name}\"\n"));
    site
}

/// Both see the same bars and ask the same model, so each decides what the other one does.
#[test]
fn a_dry_pipeline_of_a_live_node_sends_nothing_to_the_gateway() {
    let port = free_port();
    let site = Site::new().with_decisions(250).through_gateway(port);
    let shadow = [("name = \"eurusd\"", "name = \"shadow\"\nmode = \"dry_run\""), ("magic = 7", "magic = 8")];
    let site = with_second(site, &shadow).with("name = \"eurusd\"", "name = \"eurusd\"\nmode = \"live\"");
    let _gateway = gateway(site.path(), port, &[]);
    let ended = site.start_live(&[]).end().expect(0);

    let facts = Facts::with_ledger(&site.state(), &ledger(site.path()));
    let acked = |mode: &str| {
        let of_mode = facts.intents.iter().filter(|intent| intent.mode == mode && intent.state == "acked");
        i64::try_from(of_mode.count()).unwrap()
    };
    let live: Vec<i64> = facts.orders.iter().map(|order| order.magic).collect();
    assert!(live.len() > 5 && live.iter().all(|magic| *magic == 7), "{live:?}");
    assert_eq!(acked("live"), i64::try_from(live.len()).unwrap());
    assert_eq!((acked("dry_run"), Facts::orders_in_book(&site.state())), (acked("live"), acked("live")));

    let lines: Vec<serde_json::Value> = ended.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said = lines.iter().find(|line| line["about"] == "mode").unwrap()["message"].as_str().unwrap().to_owned();
    assert_eq!(said, "eurusd: LIVE, orders leave this node; shadow: dry run, orders go to a local paper book");
    for (pipeline, mode) in [("eurusd", "live"), ("shadow", "dry_run")] {
        let mut of_pipeline = lines.iter().filter(|line| line["pipeline"] == pipeline).peekable();
        assert!(of_pipeline.peek().is_some() && of_pipeline.all(|line| line["mode"] == mode), "{pipeline}");
    }
    // Said by the gateway's client, which is told of no pipeline.
    let mut handed = lines.iter().filter(|line| line["event"] == "order_handed_over").peekable();
    assert!(handed.peek().is_some() && handed.all(|line| line["pipeline"] == "eurusd" && line["slot"].is_string()));
    let config = site.path().join("node.toml").display().to_string();
    let ledger = ledger(site.path()).display().to_string();
    run(site.path(), ["prove", "--config", &config, "--ledger", &ledger]).expect(0);
    run(site.path(), ["check", "--config", &config, "--live"])
        .expect(0)
        .says(&["0.10 lots, live", "0.10 lots, dry_run"]);
    run(site.path(), ["check", "--config", &config])
        .expect(78)
        .says(&["'live' in a dry run: start the node with --live"]);
}

/// Nobody would ask about the order any more, while the account is traded on.
#[test]
fn a_lowered_pipeline_with_an_open_live_order_stops_a_live_start() {
    let port = free_port();
    let site = Site::new().with_decisions(30).through_gateway(port);
    let mut dying = gateway(site.path(), port, &["die@2"]);
    site.start_live(&[]).end().expect(0);
    dying.ended_within(super::node::LONG).unwrap();
    let open = |site: &Site| {
        let intents = Facts::with_ledger(&site.state(), &ledger(site.path())).intents;
        intents.into_iter().find(|intent| intent.mode == "live" && intent.state == "unknown").unwrap()
    };
    let key = open(&site).key;

    let other = [("name = \"eurusd\"", "name = \"other\""), ("symbol = \"EURUSD\"", "symbol = \"GBPUSD\"")];
    let site = with_second(site, &other).with("name = \"eurusd\"", "name = \"eurusd\"\nmode = \"dry_run\"");
    let ended = site.start_live(&[]).end().expect(78);
    ended.complains(&[&key, "pipeline 'eurusd'", "restore the former name or mode of the pipeline", "sentinel settle"]);
    // With nothing live in it, the node leaves the order for a later start, as a dry run does.
    let site = site.with("name = \"other\"", "name = \"other\"\nmode = \"dry_run\"");
    site.start_live(&[]).end().expect(0);
    assert_eq!(open(&site).key, key);
}
