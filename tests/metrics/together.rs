//! Metrics, rules, dashboard and their document speak of the same things.

use std::collections::{BTreeMap, BTreeSet};

use sentinel::operator::metrics::FAMILIES;
use serde_json::Value;

use super::exposition::family_of;
use super::outside::repository_file;

const DOCUMENT: &str = "docs/metrics.md";
const RULES: &str = "deploy/prometheus/rules.yml";
const DASHBOARD: &str = "deploy/grafana/dashboards/sentinel.json";

fn file(path: &str) -> String {
    std::fs::read_to_string(repository_file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Each rule: its alert and its expression.
fn rules() -> Vec<(String, String)> {
    let mut rules = Vec::new();
    for line in file(RULES).lines().map(str::trim) {
        if let Some(alert) = line.strip_prefix("- alert: ") {
            rules.push((alert.to_owned(), String::new()));
        } else if let Some(expression) = line.strip_prefix("expr: ") {
            rules.last_mut().unwrap().1 = expression.to_owned();
        }
    }
    rules
}

/// What the dashboard asks, wherever it stands.
fn questions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if matches!(name.as_str(), "expr" | "query") => found.push(text.clone()),
                    other => questions(other, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|value| questions(value, found)),
        _ => {}
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

/// The metrics of an expression, each with the labels that stand in the braces after it.
fn metrics(expression: &str) -> Vec<(String, BTreeSet<String>)> {
    let mut found = Vec::new();
    for name in words(expression) {
        if !(name.starts_with("sentinel_") || name.starts_with("process_")) {
            continue;
        }
        for (at, _) in expression.match_indices(name) {
            let rest = &expression[at + name.len()..];
            // The beginning of a longer name.
            if rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
                continue;
            }
            let selector = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            let labels = selector.split(',').filter_map(|matcher| matcher.split(['=', '!']).next());
            let labels = labels.map(str::trim).filter(|label| !label.is_empty()).map(str::to_owned);
            found.push((name.to_owned(), labels.collect()));
        }
    }
    found
}

/// The labels that an expression groups by.
fn groups(expression: &str) -> Vec<BTreeSet<&str>> {
    let by = expression.split(" by (").skip(1).filter_map(|rest| rest.split(')').next());
    by.map(|labels| labels.split(',').map(str::trim).collect()).collect()
}

/// Labels that Prometheus adds, and that of buckets.
const ADDED: [&str; 3] = ["job", "instance", "le"];

fn check(expression: &str) {
    let mut known: BTreeSet<&str> = ADDED.into();
    for (name, labels) in metrics(expression) {
        let family = family_of(&name).unwrap_or_else(|| panic!("{name} is no metric: {expression}"));
        known.extend(family.labels);
        for label in labels {
            let is_known = family.labels.contains(&label.as_str()) || ADDED.contains(&label.as_str());
            assert!(is_known, "{name} has no label {label}: {expression}");
        }
    }
    for label in groups(expression).into_iter().flatten() {
        assert!(known.contains(label), "nothing has the label {label}: {expression}");
    }
}

#[test]
fn every_rule_asks_for_metrics_and_labels_that_exist() {
    let rules = rules();
    assert!(rules.len() >= 15, "{rules:?}");
    for (alert, expression) in rules {
        assert!(expression.contains("sentinel"), "{alert}: {expression}");
        check(&expression);
    }
}

#[test]
fn every_panel_asks_for_metrics_and_labels_that_exist_and_none_is_forgotten() {
    let dashboard: Value = serde_json::from_str(&file(DASHBOARD)).unwrap();
    let mut asked = Vec::new();
    questions(&dashboard, &mut asked);
    asked.iter().for_each(|expression| check(expression));
    let shown: BTreeSet<&str> =
        asked.iter().flat_map(|asked| metrics(asked)).filter_map(|(name, _)| Some(family_of(&name)?.name)).collect();
    let all: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
    assert_eq!(shown, all);
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "each has an id of its own");
    let source = file("deploy/grafana/provisioning/datasources/prometheus.yaml");
    for panel in panels {
        let uid = panel["datasource"]["uid"].as_str().unwrap();
        assert!(source.contains(&format!("uid: {uid}\n")), "{uid} is not provided");
    }
}

fn unit(name: &str) -> &'static str {
    let name = name.trim_end_matches("_total");
    match name {
        _ if name.ends_with("_timestamp_seconds") || name.ends_with("start_time_seconds") => "Unix time, s",
        _ if name.ends_with("_seconds") => "s",
        _ if name.ends_with("_bytes") => "bytes",
        _ if name.ends_with("_ratio") => "0 to 1",
        _ => "",
    }
}

/// The table of the document, as the code has it.
fn table() -> String {
    let mut rules_of: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (alert, expression) in rules() {
        for (name, _) in metrics(&expression) {
            if let Some(family) = family_of(&name) {
                let link = format!("[{alert}](#{})", alert.to_lowercase());
                rules_of.entry(family.name).or_default().insert(link);
            }
        }
    }
    let mut table = "| metric | type | labels | unit | meaning | rule |\n|---|---|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let rules = rules_of.get(family.name).map(|rules| rules.iter().cloned().collect::<Vec<_>>().join(", "));
        let cells = [
            format!("`{}`", family.name),
            family.kind.code().to_owned(),
            labels.join(", "),
            unit(family.name).to_owned(),
            family.help.to_owned(),
            rules.unwrap_or_default(),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    table
}

#[test]
fn the_document_has_the_table_of_the_code_and_every_rule_by_its_name() {
    let text = file(DOCUMENT);
    let (begin, end) = (text.find("| metric |").unwrap_or(0), text.find("\n\nWhat the labels can be").unwrap_or(0));
    if std::env::var_os("SENTINEL_BLESS").is_some() {
        let (head, _) = text.split_once(if begin == 0 { "TABLE" } else { "| metric |" }).unwrap();
        std::fs::write(repository_file(DOCUMENT), format!("{head}{}{}", table().trim_end(), &text[end..])).unwrap();
        return;
    }
    let advice = "run SENTINEL_BLESS=1 cargo test --test metrics and look at the difference";
    assert_eq!(&text[begin..end], table().trim_end(), "{advice}");
    let alerts: BTreeSet<String> = rules().into_iter().map(|(alert, _)| alert).collect();
    let section = text.split("\n## Rules\n").nth(1).unwrap();
    let described: BTreeSet<String> =
        section.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect();
    assert_eq!(described, alerts);
}

#[test]
fn every_rule_says_how_bad_it_is_what_to_do_and_where_that_is_explained() {
    for rule in file(RULES).split("- alert: ").skip(1) {
        let alert = rule.lines().next().unwrap();
        let says = |text: &str| assert!(rule.contains(text), "{alert} has no {text}");
        ["{severity: now", "{severity: soon"].iter().find(|severity| rule.contains(**severity)).unwrap();
        says("summary: \"");
        says("action: \"");
        says(&format!("runbook: {DOCUMENT}#{}\n", alert.to_lowercase()));
    }
}

#[test]
fn what_compose_mounts_is_there_and_is_asked_where_the_node_listens() {
    let compose = file("deploy/docker/compose.yaml");
    let mounted = compose.lines().filter_map(|line| line.trim().strip_prefix("- ../")?.split(':').next());
    let mounted: Vec<_> = mounted.collect();
    assert_eq!(mounted, ["prometheus", "grafana/provisioning", "grafana/dashboards"]);
    mounted.iter().for_each(|path| assert!(repository_file("deploy").join(path).is_dir(), "{path}"));
    let scrape = file("deploy/prometheus/prometheus.yml");
    for line in
        ["job_name: sentinel\n", "targets: [\"sentinel:9464\"]", "credentials_file: /run/secrets/sentinel_token\n"]
    {
        assert!(scrape.contains(line), "{line}");
    }
    assert!(compose.contains("/prometheus.token:/run/secrets/sentinel_token:ro\n"));
    for published in compose.lines().filter(|line| line.trim().starts_with("ports:")) {
        assert!(published.contains("[\"127.0.0.1:"), "{published} can be reached from elsewhere");
    }
}
