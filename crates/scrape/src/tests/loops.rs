//! What does a whole scraper do? It finds targets, scrapes them on time, follows changes of files and configuration, and ends series.

use std::sync::Arc;
use std::time::Duration;

use causeway_ingest::{SeriesLimitOptions, SeriesLimits};
use causeway_model::SystemClock;

use super::stand::{Reader, Site, answer, config, job_text, outlet};
use crate::scraper::{Scraper, Settings};
use crate::status::Health;

const QUICK: &str = "  scrape_interval: 100ms\n";

async fn start(text: &str) -> (Scraper, Reader) {
    start_within(text, SeriesLimitOptions::default()).await
}

async fn start_within(text: &str, series: SeriesLimitOptions) -> (Scraper, Reader) {
    let (appender, reader) = outlet();
    let series = Arc::new(SeriesLimits::new(series));
    let settings = Settings { hostname: "me".to_owned(), file_look_interval: Duration::from_millis(10), series };
    (Scraper::start(config(text), appender, Arc::new(SystemClock::new()), settings).await, reader)
}

#[tokio::test]
async fn targets_are_scraped_and_told_of() {
    let site = Site::of_text("a 1\n").await;
    let keys =
        format!("{QUICK}  relabel_configs: [{{source_labels: [__address__], regex: 'gone:.*', action: drop}}]\n");
    let text = job_text(&format!("{}', 'gone:1", site.address), &keys);
    let (scraper, mut reader) = start(&text).await;
    let first = reader.until(|kept| kept.has("a{")).await;
    let second = reader.until(|kept| kept.has("a{")).await;
    assert_ne!(first.samples.values().next(), second.samples.values().next());
    let targets = scraper.targets();
    let [target] = targets.active.as_slice() else { panic!("{targets:?}") };
    assert_eq!(target.scrape_url, format!("http://{}/metrics", site.address));
    let port = site.address.split(':').nth(1).unwrap();
    assert_eq!(target.global_url, format!("http://me:{port}/metrics"));
    assert_eq!((target.scrape_pool.as_str(), target.health), ("j", Health::Up));
    assert!(target.last_scrape_unix_nano.is_some());
    assert_eq!(target.discovered_labels.get("__scrape_interval__"), Some("100ms"));
    assert_eq!(target.labels.get("instance"), Some(site.address.as_str()));
    assert_eq!(targets.dropped[0].discovered_labels.get("__address__"), Some("gone:1"));
    assert_eq!(targets.dropped_counts["j"], 1);
    scraper.stop().await;
    assert!(scraper.targets().active.is_empty());
}

#[tokio::test]
async fn a_target_with_too_many_series_is_up_and_its_known_ones_go_on() {
    let site = Site::of_text("a{user=\"1\"} 1\na{user=\"2\"} 1\na{user=\"3\"} 1\nb 1\n").await;
    let limits = SeriesLimitOptions { per_metric_max: 2, ..SeriesLimitOptions::default() };
    let (scraper, mut reader) = start_within(&job_text(&site.address, QUICK), limits).await;
    for _ in 0..2 {
        let kept = reader.until(|kept| kept.has("b{")).await;
        let of_a = kept.samples.keys().filter(|series| series.starts_with("a{")).count();
        assert_eq!((of_a, kept.value("up{")), (2, Some(1.0)));
    }
    // A scrape is kept before its status is told, so the one before the last that was seen is.
    let targets = scraper.targets();
    let [target] = targets.active.as_slice() else { panic!("{targets:?}") };
    assert_eq!(target.health, Health::Up);
    assert!(target.last_error.contains("series-per-metric-max"), "{}", target.last_error);
}

#[tokio::test]
async fn changes_of_a_file_are_followed() {
    let (one, two) = (Site::of_text("a 1\n").await, Site::of_text("b 1\n").await);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("targets.json");
    std::fs::write(&file, format!("[{{\"targets\": [\"{}\"], \"labels\": {{\"env\": \"x\"}}}}]", one.address)).unwrap();
    let text = format!(
        "scrape_configs: [{{job_name: j, scrape_interval: 100ms, file_sd_configs: [{{files: ['{}/*.json']}}]}}]",
        directory.path().display()
    );
    let (scraper, mut reader) = start(&text).await;
    let kept = reader.until(|kept| kept.has("a{env=\"x\"")).await;
    assert!(kept.value("a{") == Some(1.0));
    let path = file.display().to_string();
    assert_eq!(scraper.targets().active[0].discovered_labels.get("__meta_filepath"), Some(path.as_str()));
    // A broken file changes nothing.
    std::fs::write(&file, "[{\"targets\": ").unwrap();
    reader.until(|kept| kept.has("a{")).await;
    reader.until(|kept| kept.has("a{")).await;
    std::fs::write(&file, format!("[{{\"targets\": [\"{}\"]}}]", two.address)).unwrap();
    // The series of the target that is gone end, those about its scrapes too.
    let end = reader.until(|kept| kept.has("up{env") && kept.value("up{env").is_none()).await;
    assert_eq!((end.value("a{"), end.value("scrape_duration_seconds")), (None, None));
    reader.until(|kept| kept.has("b{")).await;
    // One more file is found.
    std::fs::write(directory.path().join("more.json"), format!("[{{\"targets\": [\"{}\"]}}]", one.address)).unwrap();
    reader.until(|kept| kept.has("a{instance")).await;
    assert_eq!(scraper.targets().active.len(), 2);
}

#[tokio::test]
async fn a_service_names_targets() {
    let site = Site::of_text("a 1\n").await;
    let groups = format!("[{{\"targets\": [\"{}\"], \"labels\": {{\"env\": \"x\"}}}}]", site.address);
    let service = Site::open(move |_| answer("application/json", groups.clone())).await;
    let text = format!(
        "scrape_configs: [{{job_name: j, scrape_interval: 100ms, http_sd_configs: [{{url: 'http://{}/sd', refresh_interval: 50ms, \
         bearer_token: t}}]}}]",
        service.address
    );
    let (scraper, mut reader) = start(&text).await;
    reader.until(|kept| kept.has("a{env=\"x\"")).await;
    {
        let requests = service.requests.lock();
        assert_eq!(requests[0].headers["authorization"], "Bearer t");
        assert_eq!(requests[0].headers["x-prometheus-refresh-interval-seconds"], "0.05");
    }
    // A service that fails changes nothing.
    service.says(|_| super::stand::status(500));
    reader.until(|kept| kept.has("a{")).await;
    reader.until(|kept| kept.has("a{")).await;
    assert_eq!(scraper.targets().active.len(), 1);
    service.says(|_| answer("application/json", "[]"));
    reader.until(|kept| kept.has("up{env") && kept.value("up{env").is_none()).await;
}

#[tokio::test]
async fn another_configuration_keeps_the_loops_of_targets_that_stay() {
    let site = Site::of_text("a 1\ngo_b 2\n").await;
    let (scraper, mut reader) = start(&job_text(&site.address, QUICK)).await;
    reader.until(|kept| kept.has("go_b{")).await;
    let keys =
        format!("{QUICK}  metric_relabel_configs: [{{source_labels: [__name__], regex: go_.*, action: drop}}]\n");
    scraper.reload(config(&job_text(&site.address, &keys))).await;
    // The loop knows what it scraped before, so that the series that is dropped now ends.
    let kept = reader.until(|kept| kept.value("scrape_samples_post_metric_relabeling") == Some(1.0)).await;
    assert_eq!(kept.value("go_b{"), None);
    assert_eq!(kept.value("a{"), Some(1.0));
    scraper.reload(config("")).await;
    let end = reader.until(|kept| kept.value("up{").is_none()).await;
    assert_eq!(end.value("a{"), None);
    assert!(scraper.scrape_pools().is_empty());
}

#[tokio::test]
async fn series_of_a_target_go_on_under_another_url() {
    let site =
        Site::open(|request| answer("text/plain", if request.uri().path() == "/m" { "b 1\n" } else { "a 1\n" })).await;
    let (scraper, mut reader) = start(&job_text(&site.address, QUICK)).await;
    reader.until(|kept| kept.has("a{")).await;
    scraper.reload(config(&job_text(&site.address, &format!("{QUICK}  metrics_path: /m\n")))).await;
    let kept = reader.until(|kept| kept.has("b{")).await;
    assert_eq!((kept.value("a{"), kept.value("up{")), (None, Some(1.0)));
    assert_eq!(scraper.targets().active.len(), 1);
}

#[tokio::test]
async fn too_many_targets_are_not_scraped() {
    let site = Site::of_text("a 1\n").await;
    let keys = format!("{QUICK}  target_limit: 1\n");
    let text = job_text(&format!("{}', 'localhost:1", site.address), &keys);
    let (scraper, mut reader) = start(&text).await;
    let kept = reader.next().await;
    assert_eq!(kept.value("up{"), Some(0.0));
    reader.next().await;
    let targets = scraper.targets();
    let message = "target_limit exceeded (number of targets: 2, limit: 1)";
    assert!(targets.active.iter().any(|target| target.last_error == message), "{targets:?}");
    assert!(site.requests.lock().is_empty());
}
