//! The rules, judged by Prometheus' own tool: their spelling, and when they fire.

use std::process::Command;

use super::outside::{find, repository_file};

fn promtool(args: &[&str]) -> String {
    let mut promtool = Command::new(find("promtool", "SENTINEL_PROMTOOL"));
    let output = promtool.args(args).current_dir(repository_file("deploy/prometheus")).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "promtool {args:?}:\n{said}");
    said
}

#[test]
#[cfg_attr(not(has_program = "promtool"), ignore = "needs promtool: see CONTRIBUTING.md")]
fn promtool_has_nothing_to_remark_on_the_rules_and_the_scrape() {
    let said = promtool(&["check", "rules", "--lint-fatal", "rules.yml"]);
    assert!(said.contains("rules found"), "{said}");
    // The token's file is only there where it is scraped.
    promtool(&["check", "config", "--syntax-only", "prometheus.yml"]);
}

#[test]
#[cfg_attr(not(has_program = "promtool"), ignore = "needs promtool: see CONTRIBUTING.md")]
fn every_rule_fires_when_it_should_and_not_before() {
    let said = promtool(&["test", "rules", "rules_test.yml"]);
    assert!(said.contains("SUCCESS"), "{said}");
}

#[test]
fn every_rule_is_shown_firing_and_not_firing() {
    let read = |name: &str| std::fs::read_to_string(repository_file("deploy/prometheus").join(name)).unwrap();
    let (rules, tests) = (read("rules.yml"), read("rules_test.yml"));
    let alerts = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        let cases: Vec<&str> = tests.split("alertname: ").filter(|case| case.lines().next() == Some(alert)).collect();
        let quiet = cases.iter().filter(|case| case.contains("exp_alerts: []")).count();
        assert!(quiet > 0, "{alert} is never shown not firing");
        assert!(cases.len() > quiet, "{alert} is never shown firing");
    }
    // What tells rules of the same name apart is in what they are expected to say.
    for part in rules.split("labels: {").skip(1).filter_map(|rest| rest.split('}').next()) {
        let about = part.split("about: ").nth(1);
        assert!(
            about.is_none_or(|about| tests.contains(&format!("about: \"{about}\""))),
            "{part} is never shown firing"
        );
    }
}
