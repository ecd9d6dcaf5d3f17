//! Which targets do addresses and labels come to?

use super::stand::config;
use crate::config::Discovery;
use crate::target::{Found, Target, targets_of};

fn found(keys: &str) -> Found {
    let job = config(&format!("scrape_configs:\n- job_name: j\n{keys}")).jobs.remove(0);
    let Discovery::Static(groups) = &job.discovery[0] else { panic!() };
    targets_of(&groups[0], &job).next().unwrap()
}

fn target(keys: &str) -> Target {
    match found(keys) {
        Found::Active(target) => *target,
        other => panic!("{other:?}"),
    }
}

fn labels(target: &Target) -> Vec<(&str, &str)> {
    target.labels.iter().collect()
}

#[test]
fn defaults_make_a_url_and_an_instance() {
    let plain = target("  static_configs: [{targets: [host]}]\n");
    // Since Prometheus 3 no port is added.
    assert_eq!(plain.url, "http://host/metrics");
    assert_eq!(labels(&plain), [("instance", "host"), ("job", "j")]);
    let discovered: Vec<&str> = plain.discovered_labels.iter().map(|(name, _)| name).collect();
    let expected =
        ["__address__", "__metrics_path__", "__scheme__", "__scrape_interval__", "__scrape_timeout__", "job"];
    assert_eq!(discovered, expected);
    assert_eq!(
        target("  scheme: https\n  static_configs: [{targets: ['host:443']}]\n").url,
        "https://host:443/metrics"
    );
    assert_eq!(target("  static_configs: [{targets: ['[::1]:80']}]\n").url, "http://[::1]:80/metrics");
}

#[test]
fn labels_of_the_group_stand_in_for_the_configuration() {
    let keys =
        "  static_configs: [{targets: ['h:1'], labels: {job: other, __metrics_path__: /p, __scrape_interval__: 5s,
      __scrape_timeout__: 4s, __param_x: '1 2', instance: me, __meta_a: b, __tmp: c, env: prod}}]
  params: {y: [z]}
";
    let target = target(keys);
    assert_eq!(target.url, "http://h:1/p?x=1+2&y=z");
    assert_eq!(labels(&target), [("env", "prod"), ("instance", "me"), ("job", "other")]);
    assert_eq!((target.interval.as_secs(), target.timeout.as_secs()), (5, 4));
}

#[test]
fn rules_change_what_is_scraped() {
    // The blackbox exporter, as its documentation says.
    let keys = "  metrics_path: /probe
  params: {module: [http_2xx]}
  static_configs: [{targets: ['https://prometheus.io']}]
  relabel_configs:
  - {source_labels: [__address__], target_label: __param_target}
  - {source_labels: [__param_target], target_label: instance}
  - {target_label: __address__, replacement: '127.0.0.1:9115'}
";
    let target = target(keys);
    assert_eq!(target.url, "http://127.0.0.1:9115/probe?module=http_2xx&target=https%3A%2F%2Fprometheus.io");
    assert_eq!(labels(&target), [("instance", "https://prometheus.io"), ("job", "j")]);
}

#[test]
fn what_can_not_be_scraped_is_refused() {
    let refused = |keys: &str, part: &str| match found(keys) {
        Found::Failed(error) => assert!(error.message.contains(part), "{error}"),
        other => panic!("{other:?}"),
    };
    let rule = |rule: &str| format!("  static_configs: [{{targets: ['h:1']}}]\n  relabel_configs: [{{{rule}}}]\n");
    refused(&rule("target_label: __address__, replacement: ''"), "no address");
    refused(&rule("target_label: __address__, replacement: 'http://a'"), "not a valid hostname");
    refused(&rule("target_label: __address__, replacement: 'a b'"), "a b");
    refused(&rule("target_label: __scheme__, replacement: ftp"), "invalid scheme: \"ftp\"");
    refused(&rule("target_label: __scrape_interval__, replacement: 0s"), "scrape interval cannot be 0");
    refused(&rule("target_label: __scrape_timeout__, replacement: x"), "error parsing scrape timeout");
    refused(&rule("target_label: __scrape_timeout__, replacement: 2m"), "cannot be greater than scrape interval");
    assert!(matches!(found(&rule("action: drop")), Found::Dropped(_)));
}

#[test]
fn a_target_is_told_from_others_by_labels_and_url() {
    let one = target("  static_configs: [{targets: ['h:1']}]\n");
    let same = target("  static_configs: [{targets: ['h:1'], labels: {__meta_x: y}}]\n");
    let other = target("  static_configs: [{targets: ['h:1'], labels: {x: y}}]\n");
    assert_eq!((one.key(), one.hash()), (same.key(), same.hash()));
    assert!(one.key() != other.key() && one.hash() != other.hash());
}
