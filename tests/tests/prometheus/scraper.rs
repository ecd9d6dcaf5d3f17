//! Does Causeway scrape as Prometheus does? Its own scraper over targets found in two ways, with what may go wrong with each.

use std::path::Path;

use causeway_tests::Program;
use serde_json::Value;

use super::targets::{Answer, Target, shop};
use super::{Api, until};

/// The last scrape of the target that goes.
const GONE_AFTER: u64 = 6;

/// A target with an exemplar, in OpenMetrics' format.
fn with_exemplars(scrape: u64) -> Answer {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    Answer::OpenMetrics(format!(
        "# HELP jobs Jobs done.\n# TYPE jobs counter\n\
         jobs_total{{job=\"its own\",queue=\"a\"}} {} # {{trace_id=\"{trace}\",span_id=\"b7ad6b7169203331\",who=\"me\"}} 0.67\n\
         # TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n\
         wait_seconds_bucket{{le=\"1\"}} {} # {{trace_id=\"{trace}\"}} 0.5\n\
         wait_seconds_bucket{{le=\"+Inf\"}} {}\nwait_seconds_count {}\nwait_seconds_sum 3.5\n# EOF\n",
        10 + scrape,
        scrape + 1,
        scrape + 2,
        scrape + 2,
    ))
}

/// Five samples, one of them too many.
fn too_much(_: u64) -> Answer {
    Answer::Text((0..5).map(|number| format!("plenty{{number=\"{number}\"}} 1\n")).collect())
}

fn groups(targets: &[&Target]) -> String {
    let target = |target: &&Target| Value::from(target.address.to_string());
    let group = serde_json::json!({
        "targets": targets.iter().map(target).collect::<Vec<_>>(),
        "labels": {"found": "in a file", "queue": "of the target"},
    });
    Value::from(vec![group]).to_string()
}

/// Replaces a file at once, as those who write such files should.
fn replace(file: &Path, text: &str) {
    let beside = file.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, file).unwrap();
}

struct Scene {
    program: Program,
    api: Api,
    shop: Target,
    gone: Target,
    dropped: Target,
    files: [Target; 2],
    limited: Target,
    found: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

async fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let shop_target = Target::start(|scrape| Answer::Text(shop(1, scrape))).await;
    let gone = |scrape| if scrape < GONE_AFTER { Answer::Text(shop(2, scrape)) } else { Answer::Gone };
    let (gone, dropped) = (Target::start(gone).await, Target::start(|_| Answer::Text("never 1\n".to_owned())).await);
    let files = [Target::start(with_exemplars).await, Target::start(with_exemplars).await];
    let limited = Target::start(too_much).await;
    let found = folder.path().join("found.json");
    replace(&found, &groups(&[&files[0], &files[1]]));
    let configuration = format!(
        r#"
global: {{scrape_interval: 500ms, scrape_timeout: 400ms, external_labels: {{ignored: "here"}}}}
scrape_configs:
  - job_name: shops
    static_configs:
      - {{targets: ["{shop}", "{gone}", "{dropped}"], labels: {{zone: north, __secret: x}}}}
    relabel_configs:
      - {{source_labels: [__address__], regex: "{dropped}", action: drop}}
      - {{source_labels: [__address__], regex: "(.*):(\\d+)", replacement: "port-$2", target_label: port}}
      - {{source_labels: [__secret], target_label: from_secret}}
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: "shop_size.*", action: drop}}
      - {{source_labels: [room], regex: "(.)(.*)", replacement: "${{2}}${{1}}", target_label: moor}}
  - job_name: files
    honor_labels: true
    file_sd_configs: [{{files: ["found.json"], refresh_interval: 1s}}]
  - job_name: limited
    sample_limit: 4
    static_configs: [{{targets: ["{limited}"]}}]
"#,
        shop = shop_target.address,
        gone = gone.address,
        dropped = dropped.address,
        limited = limited.address,
    );
    let file = folder.path().join("prometheus.yml");
    std::fs::write(&file, configuration).unwrap();
    let settings = [("CAUSEWAY_SELF_TELEMETRY", "false"), ("CAUSEWAY_SCRAPE_CONFIG", file.to_str().unwrap())];
    let program = Program::start(&folder.path().join("data"), &settings).await;
    let api = Api::of_program(&program);
    Scene { program, api, shop: shop_target, gone, dropped, files, limited, found, _folder: folder }
}

/// The active target at an address.
async fn active(api: &Api, target: &Target) -> Option<Value> {
    let targets = api.get("targets", &[]).await;
    let at = |active: &&Value| active["discoveredLabels"]["__address__"] == target.address.to_string();
    targets["activeTargets"].as_array().unwrap().iter().find(at).cloned()
}

async fn labels_are_those_of_the_configuration(scene: &Scene) {
    let Scene { api, shop, .. } = scene;
    let kitchen =
        api.vector("shop_temperature_celsius{room=\"kitchen\",job=\"shops\"} and on (instance) up == 1", "").await;
    let of_shop = kitchen.iter().find(|(labels, _)| labels["instance"] == shop.address.to_string());
    let expected = serde_json::json!({
        "__name__": "shop_temperature_celsius",
        "from_secret": "x",
        "instance": shop.address.to_string(),
        "job": "shops",
        "moor": "itchenk",
        "port": format!("port-{}", shop.address.port()),
        "room": "kitchen",
        "zone": "north",
    });
    assert_eq!(of_shop.map(|(labels, _)| labels), Some(&expected), "{kitchen:?}");
    assert_eq!(api.number("count({__name__=~\"shop_size.*|never\"})").await, None);
    // Honored labels stand, and those of the target give way.
    assert_eq!(api.number("count(jobs_total{job=\"its own\",queue=\"a\",found=\"in a file\"})").await, Some(2.0));
    assert_eq!(
        api.number("count(wait_seconds_bucket{job=\"files\",queue=\"of the target\",le=\"1.0\"})").await,
        Some(2.0)
    );
    assert_eq!(api.number("count(up{job=\"files\"} == 1)").await, Some(2.0));
    let scraped = "count(scrape_samples_scraped{job=\"shops\"} > scrape_samples_post_metric_relabeling and on (instance) up == 1)";
    assert!(api.number(scraped).await.is_some_and(|count| count >= 1.0));
}

async fn the_limit_costs_the_whole_scrape(scene: &Scene) {
    let Scene { api, limited, .. } = scene;
    until("the limited target is down", async || {
        active(api, limited).await.filter(|target| target["health"] == "down")
    })
    .await;
    assert_eq!(api.number("up{job=\"limited\"}").await, Some(0.0));
    assert_eq!(api.number("scrape_samples_scraped{job=\"limited\"}").await, Some(5.0));
    assert_eq!(api.number("count(plenty)").await, None);
    let target = active(api, limited).await.unwrap();
    assert_eq!(target["lastError"], "sample limit exceeded");
}

async fn a_target_that_goes_away_ends_its_series(scene: &Scene) {
    let Scene { api, gone, .. } = scene;
    let instance = gone.address.to_string();
    gone.scraped(GONE_AFTER).await;
    let up = format!("up{{instance=\"{instance}\"}}");
    until("the target is down", async || api.number(&up).await.filter(|up| *up == 0.0)).await;
    // Its series were there, and are no more; not because they are old, but as their end is marked.
    assert_eq!(api.number(&format!("count({{instance=\"{instance}\",__name__=~\"shop_.*\"}})")).await, None);
    let before = format!("count(count_over_time({{instance=\"{instance}\",__name__=\"shop_born_total\"}}[5m]))");
    assert_eq!(api.number(&before).await, Some(1.0));
    let target = active(api, gone).await.unwrap();
    assert!(target["health"] == "down" && target["lastError"].as_str().unwrap().contains("refused"), "{target}");
}

async fn a_target_that_leaves_its_file_ends_with_its_up(scene: &Scene) {
    let Scene { api, files, found, .. } = scene;
    replace(found, &groups(&[&files[0]]));
    let left = files[1].address.to_string();
    let up = format!("count(up{{instance=\"{left}\"}}) or vector(0)");
    until("the target has left", async || api.number(&up).await.filter(|count| *count == 0.0)).await;
    assert_eq!(api.number(&format!("count({{instance=\"{left}\"}})")).await, None);
    assert_eq!(api.number("count(up{job=\"files\"} == 1)").await, Some(1.0));
    assert_eq!(active(api, &files[1]).await, None);
}

async fn targets_are_told_as_prometheus_does(scene: &Scene) {
    let Scene { api, shop, dropped, .. } = scene;
    let target = active(api, shop).await.unwrap();
    let port = format!("port-{}", shop.address.port());
    let labels = serde_json::json!({
        "from_secret": "x", "instance": shop.address.to_string(), "job": "shops", "port": port, "zone": "north",
    });
    assert_eq!(target["labels"], labels);
    for (name, value) in [
        ("scrapePool", "shops"),
        ("health", "up"),
        ("lastError", ""),
        ("scrapeInterval", "500ms"),
        ("scrapeTimeout", "400ms"),
        ("scrapeUrl", &format!("http://{}/metrics", shop.address)),
    ] {
        assert_eq!(target[name], value, "{name}: {target}");
    }
    assert_eq!(target["discoveredLabels"]["__secret"], "x");
    assert_eq!(target["discoveredLabels"]["__metrics_path__"], "/metrics");
    let targets = api.get("targets", &[("state", "dropped")]).await;
    assert_eq!(targets["activeTargets"], Value::Array(Vec::new()));
    assert_eq!(targets["droppedTargets"][0]["discoveredLabels"]["__address__"], dropped.address.to_string());
    let pools = api.get("scrape_pools", &[]).await;
    assert_eq!(pools["scrapePools"], serde_json::json!(["files", "limited", "shops"]));
}

async fn metadata_and_exemplars_are_kept(scene: &Scene) {
    let api = &scene.api;
    for (metric, kind, help, unit) in [
        ("shop_requests_total", "counter", "Requests.", ""),
        ("shop_latency_seconds", "histogram", "", ""),
        ("jobs", "counter", "Jobs done.", ""),
        ("wait_seconds", "histogram", "", "seconds"),
    ] {
        let metadata = api.get("metadata", &[("metric", metric)]).await;
        assert_eq!(
            metadata[metric][0],
            serde_json::json!({"type": kind, "help": help, "unit": unit}),
            "{metric}: {metadata}"
        );
    }
    let newest = api.vector("max(timestamp(jobs_total))", "").await[0].1;
    let (start, end) = ((newest - 60.0).to_string(), (newest + 60.0).to_string());
    let window = |query| [("query", query), ("start", start.as_str()), ("end", end.as_str())];
    let found = api.get("query_exemplars", &window("jobs_total")).await;
    let (series, exemplar) = (&found[0]["seriesLabels"], &found[0]["exemplars"][0]);
    assert!(series["__name__"] == "jobs_total" && series["job"] == "its own", "{found}");
    assert_eq!(
        exemplar["labels"],
        serde_json::json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331", "who": "me"})
    );
    assert_eq!(exemplar["value"], "0.67");
    let found = api.get("query_exemplars", &window("histogram_quantile(0.9, rate(wait_seconds_bucket[1m]))")).await;
    assert!(found[0]["seriesLabels"]["le"] == "1.0" && found[0]["exemplars"][0]["value"] == "0.5", "{found}");
}

#[tokio::test]
async fn causeway_scrapes_by_prometheus_configuration() {
    let scene = scene().await;
    scene.shop.scraped(4).await;
    for target in scene.files.iter().chain([&scene.limited]) {
        target.scraped(4).await;
    }
    labels_are_those_of_the_configuration(&scene).await;
    the_limit_costs_the_whole_scrape(&scene).await;
    targets_are_told_as_prometheus_does(&scene).await;
    metadata_and_exemplars_are_kept(&scene).await;
    a_target_that_goes_away_ends_its_series(&scene).await;
    a_target_that_leaves_its_file_ends_with_its_up(&scene).await;
    let ledger = "SELECT count(*) FROM ledger WHERE received <> stored + dropped";
    assert_eq!(scene.program.number(ledger).await, 0);
    let limited =
        scene.program.sql("SELECT received, stored, dropped FROM ledger WHERE sender LIKE 'scrape limited%'").await;
    let number = |column: &str| limited[0][column].as_i64().unwrap();
    assert!(limited.len() == 1 && number("dropped") > 0 && number("dropped") % 5 == 0, "{limited:?}");
}
