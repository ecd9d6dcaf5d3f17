//! Is it known of hosts and pods how busy they are, from what their usual agents send and nothing else?

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;

use causeway_tests::Program;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::prometheus::{Api, until};
use crate::senders::{prepared, skipped};
use crate::span_metrics::now_ns;

/// What an entity uses; nothing where it is not known.
fn used<'a>(answer: &'a Value, entity: &str, resource: &str, aspect: &str) -> Option<&'a Value> {
    let entities = answer["entities"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let uses = entities.iter().find(|it| it["entity"] == entity)?["uses"].as_array().unwrap();
    uses.iter().find(|it| it["resource"] == resource && it["aspect"] == aspect)
}

async fn ask(program: &Program, window: &str) -> Value {
    let (status, answer) = program.call("GET", &format!("/api/v1/use?window={window}"), &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer
}

#[tokio::test]
async fn a_real_node_exporter_tells_of_its_host() {
    let folder = match prepared("prometheus-node-exporter") {
        Ok(folder) => folder,
        Err(said) => return skipped("prometheus-node-exporter", &said),
    };
    let data = tempfile::tempdir().unwrap();
    // It can't choose a port itself. Nobody else is given this one so soon after.
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let mut exporter = Command::new(folder.join("usr/bin/prometheus-node-exporter"));
    exporter.arg(format!("--web.listen-address=127.0.0.1:{port}")).stdin(Stdio::null());
    let _exporter = exporter.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let scraped = data.path().join("prometheus.yml");
    let configuration = format!(
        "scrape_configs: [{{job_name: node, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    );
    std::fs::write(&scraped, configuration).unwrap();
    let scrape_config = scraped.to_str().unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_SCRAPE_CONFIG", scrape_config)];
    let program = Program::start(&data.path().join("data"), &settings).await;
    let host = format!("127.0.0.1:{port}");
    let answer = until("the host is known", async || {
        let answer = ask(&program, "10s").await;
        used(&answer, &host, "cpu", "utilisation").is_some().then_some(answer)
    })
    .await;
    for (resource, aspect) in
        [("cpu", "utilisation"), ("memory", "utilisation"), ("filesystem", "utilisation"), ("cpu", "saturation")]
    {
        let it = used(&answer, &host, resource, aspect).unwrap_or_else(|| panic!("{resource} {aspect}: {answer}"));
        let value = it["value"].as_f64().unwrap();
        assert!(value >= 0.0 && (aspect == "saturation" || value <= 1.0), "{it}");
        assert_eq!(it["sender"], "node_exporter");
        // The query can be asked as it stands.
        let (status, series) =
            Api::of_program(&program).ask("query", &[("query", it["query"].as_str().unwrap())]).await;
        assert!(status == StatusCode::OK && !series["data"]["result"].as_array().unwrap().is_empty(), "{series}");
    }
    let said = program.run(&["use", "--window", "10s"]).await;
    assert!(said.contains(&format!("host {host}")) && said.contains("memory     utilisation"), "{said}");
    program.end().await;
}

/// A metric as the collector sends it: a gauge, or a sum that only rises.
fn metric(name: &str, unit: &str, rises: bool, points: &[(&[(&str, &str)], f64)], time_ns: u64) -> Value {
    let point = |(labels, value): &(&[(&str, &str)], f64)| {
        let label = |(key, value): &(&str, &str)| json!({"key": key, "value": {"stringValue": value}});
        let labels: Vec<Value> = labels.iter().map(label).collect();
        json!({"timeUnixNano": time_ns.to_string(), "asDouble": value, "attributes": labels})
    };
    let points: Vec<Value> = points.iter().map(point).collect();
    let data = if rises {
        json!({"sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}})
    } else {
        json!({"gauge": {"dataPoints": points}})
    };
    let mut metric = json!({"name": name, "unit": unit});
    metric.as_object_mut().unwrap().extend(data.as_object().unwrap().clone());
    metric
}

fn of_resource(resource: &[(&str, &str)], metrics: Vec<Value>) -> Value {
    let attribute = |(key, value): &(&str, &str)| json!({"key": key, "value": {"stringValue": value}});
    let attributes: Vec<Value> = resource.iter().map(attribute).collect();
    json!({"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]})
}

/// What a host's agent and a kubelet's tell, one minute of it: the CPU is busy for a share of the time.
fn told(minute: u64, now_ns: u64) -> Value {
    let time = now_ns - (1 - minute) * 60_000_000_000;
    let seconds = minute as f64 * 60.0;
    let host = |name: &str, busy: f64| {
        let cpu: &[(&[(&str, &str)], f64)] = &[
            (&[("cpu", "cpu0"), ("state", "idle")], 1_000.0 + seconds * (1.0 - busy)),
            (&[("cpu", "cpu0"), ("state", "user")], 1_000.0 + seconds * busy),
        ];
        let memory: &[(&[(&str, &str)], f64)] = &[(&[("state", "used")], 3.0e9), (&[("state", "free")], 1.0e9)];
        let errors: &[(&[(&str, &str)], f64)] = &[(&[("device", "eth0"), ("direction", "receive")], seconds * 2.0)];
        of_resource(
            &[("host.name", name)],
            vec![
                metric("system.cpu.time", "s", true, cpu, time),
                metric("system.memory.usage", "By", false, memory, time),
                metric("system.network.errors", "{errors}", true, errors, time),
            ],
        )
    };
    let pod: &[(&[(&str, &str)], f64)] = &[(&[], 0.92)];
    let kubelet = of_resource(
        &[("k8s.namespace.name", "shop"), ("k8s.pod.name", "pay-1")],
        vec![metric("k8s.pod.memory_limit_utilization", "1", false, pod, time)],
    );
    json!({"resourceMetrics": [host("one", 0.25), host("two", 0.75), kubelet]})
}

#[tokio::test]
async fn the_collectors_host_metrics_and_kubelet_stats_are_known_under_any_naming() {
    for names in ["UnderscoreEscapingWithSuffixes", "NoUTF8EscapingWithSuffixes", "NoTranslation"] {
        let data = tempfile::tempdir().unwrap();
        let settings = [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_METRIC_NAMES", names)];
        let program = Program::start(&data.path().join("data"), &settings).await;
        let now = now_ns(&program).await;
        for minute in 0..2 {
            let url = format!("http://{}/v1/metrics", program.otlp_http);
            let sent = program.client.post(url).json(&told(minute, now)).send().await.unwrap();
            assert_eq!(sent.status(), StatusCode::OK);
        }
        let answer = ask(&program, "5m").await;
        let near = |entity: &str, resource: &str, aspect: &str, expected: f64| {
            let it = used(&answer, entity, resource, aspect)
                .unwrap_or_else(|| panic!("{names} {entity} {resource}: {answer}"));
            let value = it["value"].as_f64().unwrap();
            assert!((value / expected - 1.0).abs() < 0.01, "{names} {entity} {resource}: {it}");
        };
        near("one", "cpu", "utilisation", 0.25);
        near("two", "cpu", "utilisation", 0.75);
        near("one", "memory", "utilisation", 0.75);
        near("shop/pay-1", "memory", "utilisation", 0.92);
        let errors = used(&answer, "two", "network", "errors").unwrap();
        assert_eq!((&errors["part"]["device"], &errors["unit"]), (&json!("eth0"), &json!("per_second")), "{errors}");
        assert!(errors["value"].as_f64().unwrap() > 0.0);
        program.end().await;
    }
}
