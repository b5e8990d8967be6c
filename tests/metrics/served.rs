//! The metrics of a real node, asked for as a scraper does.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use super::exposition::promtool;
use super::node::Node;
use super::outside::wait_for;
use super::samples::{Sample, read};

const WITHIN: Duration = Duration::from_secs(60);

/// Head and body.
fn get(address: &str, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.to_owned(), body.to_owned()))
}

fn sum(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let is_it = |sample: &&Sample| {
        sample.name == name
            && labels.iter().all(|(label, value)| sample.labels.get(*label).is_some_and(|own| own == value))
    };
    samples.iter().filter(is_it).map(|sample| sample.value).sum()
}

#[test]
fn a_node_at_work_counts_its_slots_stages_commits_orders_and_calls() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--speed", "200", "--listen", "127.0.0.1:0", "--state", "state"];
    let mut node = Node::start(dir.path(), args);
    node.wait_for("address of the page", |node| node.said().0.contains("Page:"));
    let said = node.said().0;
    let address = said.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
    let mut last = String::new();
    let samples = wait_for(
        "order that was acknowledged",
        WITHIN,
        || {
            let (head, body) = get(&address, "/metrics")?;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
            last.clone_from(&body);
            let samples = read(&body);
            (sum(&samples, "sentinel_orders_total", &[("result", "acked")]) >= 2.0).then_some(samples)
        },
        || "no order was acknowledged".to_owned(),
    );
    let sum = |name, labels: &[_]| sum(&samples, name, labels);
    for stage in ["data_fetcher", "feature_builder", "predictor", "executor"] {
        assert!(sum("sentinel_stage_duration_seconds_count", &[("stage", stage)]) >= 2.0, "{stage}");
    }
    assert!(sum("sentinel_slots_total", &[("reason", "order_acked")]) >= 1.0);
    assert!(sum("sentinel_slots_total", &[]) > sum("sentinel_slots_total", &[("outcome", "acted")]));
    assert!(sum("sentinel_journal_commit_duration_seconds_count", &[]) >= 2.0);
    for upstream in ["hub", "gateway"] {
        let asked = sum("sentinel_upstream_requests_total", &[("upstream", upstream), ("result", "ok")]);
        assert!(asked >= 2.0, "{upstream}: {asked}");
    }
    assert_eq!(sum("sentinel_upstream_requests_total", &[("upstream", "chain")]), 0.0);
    assert_eq!(sum("sentinel_model_info", &[]), 1.0);
    assert_eq!(sum("sentinel_verdict", &[]), 1.0);
    assert_eq!(sum("sentinel_open_intents", &[("state", "held")]), 0.0);
    assert!(sum("process_open_fds", &[]) >= 3.0 && sum("process_resident_memory_bytes", &[]) > 1e6);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    for part in ["control", "workers", "journal"] {
        let age = now - sum("sentinel_progress_timestamp_seconds", &[("part", part)]);
        assert!((-1.0..30.0).contains(&age), "{part} {age}");
    }
    if cfg!(has_program = "promtool") {
        promtool(&last);
    }
    node.signal(Signal::TERM);
    node.end().expect(0);
}
