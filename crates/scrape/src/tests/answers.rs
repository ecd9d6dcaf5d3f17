//! What becomes of answers of all kinds? Formats, compression, limits, failures, labels, staleness.

use std::io::Write as _;

use axum::body::Body;
use axum::response::Response;
use causeway_model::ErrorKind;

use super::stand::{Site, Stand, answer, status};

fn label(name: &str, site: &Site) -> String {
    format!("{name}{{instance=\"{}\",job=\"j\"}}", site.address)
}

#[tokio::test]
async fn series_end_after_their_last_sample_even_at_once() {
    let site = Site::of_text("a 1\n").await;
    let mut stand = Stand::new(&site, "");
    let kept = stand.scrape(10).await;
    assert_eq!(kept.value("a{"), Some(1.0));
    let end = stand.leave(10).await;
    assert_eq!(end.own().iter().map(|(_, value)| *value).collect::<Vec<_>>(), [None]);
    assert!(end.samples.values().all(|(time_ms, value)| (*time_ms, *value) == (10_001, None)), "{end:?}");
}

#[tokio::test]
async fn a_text_becomes_samples_and_series_about_the_scrape() {
    let site = Site::of_text("# TYPE a counter\na 1\nb{x=\"y\"} 2 5000\n").await;
    let mut stand = Stand::new(&site, "");
    let kept = stand.scrape(10).await;
    assert_eq!(kept.sender, format!("scrape j {}", site.address));
    assert_eq!(kept.samples[&label("a", &site)], (10_000, Some(1.0)));
    assert_eq!(kept.samples[&format!("b{{instance=\"{}\",job=\"j\",x=\"y\"}}", site.address)], (5_000, Some(2.0)));
    assert_eq!(kept.samples[&label("up", &site)], (10_000, Some(1.0)));
    assert_eq!(kept.value("scrape_samples_scraped"), Some(2.0));
    assert_eq!(kept.value("scrape_samples_post_metric_relabeling"), Some(2.0));
    assert_eq!(kept.value("scrape_series_added"), Some(2.0));
    assert!(kept.has("scrape_duration_seconds") && !kept.has("scrape_timeout_seconds"));
    assert_eq!((kept.entry.received, kept.entry.stored), (7, 7));
    assert_eq!((kept.rows["metric_series"], kept.rows["metric_metadata"]), (7, 1));
    // What the store knows is not told again.
    let kept = stand.scrape(25).await;
    assert_eq!(kept.value("scrape_series_added"), Some(0.0));
    assert_eq!(kept.rows.get("metric_series"), None);
    assert_eq!(kept.rows.get("metric_metadata"), None);
    // On another day it is.
    assert_eq!(stand.scrape(86_400).await.rows["metric_metadata"], 1);
}

#[tokio::test]
async fn requests_say_what_is_wanted_and_who_asks() {
    let site = Site::of_text("a 1\n").await;
    let keys = "  scrape_interval: 15s\n  params: {module: [a b, c]}\n  metrics_path: /m\n  basic_auth: {username: u, password: p}\n  \
                http_headers: {x-tenant: {values: [t]}}\n";
    let mut stand = Stand::new(&site, keys);
    stand.scrape(10).await;
    let requests = site.requests.lock();
    let request = &requests[0];
    assert_eq!(request.uri.to_string(), "/m?module=a+b&module=c");
    let header = |name: &str| request.headers[name].to_str().unwrap();
    assert_eq!(header("x-prometheus-scrape-timeout-seconds"), "10");
    assert_eq!(header("accept-encoding"), "gzip");
    assert_eq!(header("authorization"), "Basic dTpw");
    assert_eq!(header("x-tenant"), "t");
    assert!(header("user-agent").starts_with("Causeway/"));
    assert!(header("accept").starts_with("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"));
}

#[tokio::test]
async fn openmetrics_and_gzip_are_read() {
    let text = "# TYPE a counter\na_total 5.0 # {trace_id=\"x\"} 1.0\na_created 1.0\n# EOF\n";
    let site = Site::open(move |_| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        let body = Body::from(encoder.finish().unwrap());
        Response::builder()
            .header("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
            .header("content-encoding", "gzip")
            .body(body)
            .unwrap()
    })
    .await;
    let mut stand = Stand::new(&site, "  extra_scrape_metrics: true\n");
    let kept = stand.scrape(10).await;
    assert_eq!(kept.value("a_total"), Some(5.0));
    assert_eq!(kept.value("scrape_body_size_bytes"), Some(text.len() as f64));
    assert_eq!(kept.value("scrape_timeout_seconds"), Some(10.0));
    assert_eq!(kept.rows["exemplars"], 1);
    // The same exemplar again is no news.
    assert_eq!(stand.scrape(25).await.rows.get("exemplars"), None);
}

#[tokio::test]
async fn a_scrape_that_fails_ends_all_series() {
    let site = Site::of_text("a 1\nb 2\n").await;
    let mut stand = Stand::new(&site, "");
    stand.scrape(10).await;
    site.says(|_| status(503));
    let kept = stand.scrape(20).await;
    assert_eq!(stand.error(), "server returned HTTP status 503 Service Unavailable");
    assert_eq!(kept.value("up"), Some(0.0));
    assert_eq!(kept.own(), [(label("a", &site).as_str(), None), (label("b", &site).as_str(), None)]);
    // Once is enough.
    assert!(stand.scrape(30).await.own().is_empty());
    site.says_text("a 1\n");
    let kept = stand.scrape(40).await;
    assert_eq!((kept.value("a"), kept.value("up")), (Some(1.0), Some(1.0)));
    assert_eq!(kept.value("scrape_series_added"), Some(0.0));
    assert_eq!(stand.error(), "");
    assert_eq!(stand.scrape_loop.shared.counters.read().failed, 2);
}

#[tokio::test]
async fn a_series_that_vanishes_ends() {
    let site = Site::of_text("a 1\nb 2\nc 3 10000\n").await;
    let mut stand = Stand::new(&site, "");
    stand.scrape(10).await;
    site.says_text("a 1\n");
    let kept = stand.scrape(20).await;
    // A series with times of its own ends when nobody asks for it any more.
    assert_eq!(kept.own(), [(label("a", &site).as_str(), Some(1.0)), (label("b", &site).as_str(), None)]);
    assert_eq!(stand.scrape(30).await.own().len(), 1);
    let mut stand = Stand::new(&site, "  track_timestamps_staleness: true\n");
    site.says_text("c 3 10000\n");
    stand.scrape(10).await;
    site.says_text("a 1\n");
    assert_eq!(stand.scrape(20).await.value("c"), None);
}

#[tokio::test]
async fn broken_answers_cost_the_whole_scrape() {
    let site = Site::of_text("a 1\nb 2\nc{ 3\n").await;
    let mut stand = Stand::new(&site, "");
    let kept = stand.scrape(10).await;
    assert!(stand.error().contains("line 3"), "{}", stand.error());
    assert_eq!(kept.value("up"), Some(0.0));
    assert!(kept.own().is_empty());
    assert_eq!(kept.value("scrape_samples_scraped"), Some(2.0));
    assert_eq!(kept.entry.dropped, [("scrape_failed".to_owned(), 2)]);
    site.says(|_| answer("application/json", "{}"));
    stand.scrape(20).await;
    let message =
        "received unsupported Content-Type \"application/json\" and no fallback_scrape_protocol specified for target";
    assert_eq!(stand.error(), message);
    site.says(|_| answer("application/json", "a 1\n"));
    stand.plan = Stand::plan(&site, "  fallback_scrape_protocol: PrometheusText0.0.4\n");
    assert_eq!(stand.scrape(30).await.value("a"), Some(1.0));
}

#[tokio::test]
async fn what_takes_too_long_is_given_up() {
    let site = Site::open(|_| {
        let never = futures::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        answer("text/plain", Body::from_stream(never))
    })
    .await;
    let mut stand = Stand::new(&site, "  scrape_timeout: 50ms\n");
    let kept = stand.scrape(10).await;
    assert_eq!(kept.value("up"), Some(0.0));
    assert_eq!(stand.error(), format!("Get \"http://{}/metrics\": context deadline exceeded", site.address));
}

#[tokio::test]
async fn what_is_too_long_is_not_read() {
    let site = Site::open(|_| {
        let line = "a 1\n".repeat(128).into_bytes();
        answer(
            "text/plain",
            Body::from_stream(futures::stream::repeat_with(move || Ok::<_, std::io::Error>(line.clone()))),
        )
    })
    .await;
    let mut stand = Stand::new(&site, "  body_size_limit: 1KB\n  extra_scrape_metrics: true\n");
    let kept = stand.scrape(10).await;
    assert_eq!(stand.error(), "body size limit exceeded");
    assert_eq!(kept.value("scrape_body_size_bytes"), Some(-1.0));
    // Few bytes can become many.
    site.says(|_| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b'\n'; 1 << 20]).unwrap();
        let body = Body::from(encoder.finish().unwrap());
        Response::builder().header("content-type", "text/plain").header("content-encoding", "gzip").body(body).unwrap()
    });
    stand.scrape(20).await;
    assert_eq!(stand.error(), "body size limit exceeded");
}

#[tokio::test]
async fn redirects_are_followed_where_wanted() {
    let site = Site::open(|request| {
        if request.uri().path() == "/there" {
            return answer("text/plain", "a 1\n");
        }
        Response::builder().status(302).header("location", "/there").body(Body::empty()).unwrap()
    })
    .await;
    let mut stand = Stand::new(&site, "");
    assert_eq!(stand.scrape(10).await.value("a"), Some(1.0));
    let mut stand = Stand::new(&site, "  follow_redirects: false\n");
    stand.scrape(10).await;
    assert_eq!(stand.error(), "server returned HTTP status 302 Found");
}

#[tokio::test]
async fn credentials_come_from_files_at_each_scrape() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "one\n").unwrap();
    let site = Site::open(|request| {
        let is_allowed = request.headers().get("authorization").is_some_and(|value| value == "Bearer two");
        if is_allowed { answer("text/plain", "a 1\n") } else { status(401) }
    })
    .await;
    let mut stand = Stand::new(&site, &format!("  authorization: {{credentials_file: '{}'}}\n", file.display()));
    stand.scrape(10).await;
    assert_eq!(stand.error(), "server returned HTTP status 401 Unauthorized");
    std::fs::write(&file, "two\n").unwrap();
    assert_eq!(stand.scrape(20).await.value("a"), Some(1.0));
    std::fs::remove_file(&file).unwrap();
    stand.scrape(30).await;
    assert!(stand.error().contains("token"), "{}", stand.error());
}

#[tokio::test]
async fn labels_of_target_and_series_get_along_both_ways() {
    let text = "a{job=\"own\",exported_job=\"mine\",instance=\"\",x=\"1\"} 1\n";
    let site = Site::of_text(text).await;
    let mut stand = Stand::new(&site, "");
    let kept = stand.scrape(10).await;
    let expected = format!(
        "a{{exported_exported_job=\"own\",exported_job=\"mine\",instance=\"{}\",job=\"j\",x=\"1\"}}",
        site.address
    );
    assert!(kept.has(&expected), "{:?}", kept.samples);
    let mut stand = Stand::new(&site, "  honor_labels: true\n");
    let kept = stand.scrape(10).await;
    // An empty label says that there is to be none.
    assert!(kept.has("a{exported_job=\"mine\",job=\"own\",x=\"1\"}"), "{:?}", kept.samples);
}

#[tokio::test]
async fn timestamps_of_the_target_count_where_wanted() {
    let site = Site::of_text("a 1 5000\nb 1 5000\n").await;
    let mut stand = Stand::new(&site, "  honor_timestamps: false\n");
    assert_eq!(stand.scrape(10).await.samples[&label("a", &site)].0, 10_000);
    let mut stand = Stand::new(&site, "");
    assert_eq!(stand.scrape(10).await.samples[&label("a", &site)].0, 5_000);
    // The same again is there already; another value at its time, an earlier time and one far ahead are refused.
    site.says_text("a 1 5000\nb 2 5000\nc 1 9999999\n");
    let kept = stand.scrape(20).await;
    assert!(kept.own().is_empty(), "{:?}", kept.samples);
    assert_eq!(kept.value("scrape_samples_post_metric_relabeling"), Some(3.0));
    let dropped = [("duplicate_timestamp".to_owned(), 1), ("out_of_bounds".to_owned(), 1)];
    assert_eq!(kept.entry.dropped, dropped);
    site.says_text("a 1 4000\n");
    assert_eq!(stand.scrape(30).await.entry.dropped, [("out_of_order".to_owned(), 1)]);
    assert_eq!(stand.scrape_loop.shared.counters.read().samples_out_of_order, 1);
}

#[tokio::test]
async fn a_series_twice_in_an_answer_counts_once() {
    let site = Site::of_text("a 1\na 2\n").await;
    let mut stand = Stand::new(&site, "");
    let kept = stand.scrape(10).await;
    assert_eq!(kept.value("a"), Some(1.0));
    assert_eq!(kept.value("scrape_samples_post_metric_relabeling"), Some(2.0));
    assert_eq!(kept.entry.dropped, [("duplicate_timestamp".to_owned(), 1)]);
    assert_eq!(kept.value("up"), Some(1.0));
}

#[tokio::test]
async fn rules_drop_and_rename_series() {
    let site = Site::of_text("go_x 1\na{path=\"/x\"} 2\nb 3\n").await;
    let keys = "  metric_relabel_configs:
  - {source_labels: [__name__], regex: go_.*, action: drop}
  - {source_labels: [__name__], regex: b, target_label: __name__, replacement: renamed}
  - {regex: path, action: labeldrop}
";
    let mut stand = Stand::new(&site, keys);
    for seconds in [10, 20] {
        let kept = stand.scrape(seconds).await;
        let own = [(label("a", &site), Some(2.0)), (label("renamed", &site), Some(3.0))];
        assert_eq!(kept.own(), own.each_ref().map(|(name, value)| (name.as_str(), *value)));
        assert_eq!(kept.value("scrape_samples_scraped"), Some(3.0));
        assert_eq!(kept.value("scrape_samples_post_metric_relabeling"), Some(2.0));
    }
}

#[tokio::test]
async fn limits_cost_the_whole_scrape() {
    let site = Site::of_text("a{long=\"value\"} 1\nb 2\nc 3\n").await;
    let cases = [
        ("sample_limit: 2", "sample limit exceeded"),
        ("label_limit: 3", "label_limit exceeded (metric: a, number of labels: 4, limit: 3)"),
        (
            "label_name_length_limit: 7",
            "label_name_length_limit exceeded (metric: a, label name: __name__, length: 8, limit: 7)",
        ),
        ("label_value_length_limit: 4", "label_value_length_limit exceeded (metric: a, label name: instance, value: "),
        ("metric_relabel_configs: [{regex: __name__, action: labeldrop}]", "missing metric name (__name__ label)"),
    ];
    for (keys, message) in cases {
        let mut stand = Stand::new(&site, &format!("  {keys}\n"));
        let kept = stand.scrape(10).await;
        assert!(stand.error().contains(message), "{}", stand.error());
        assert_eq!(kept.value("up"), Some(0.0));
        assert!(kept.own().is_empty());
    }
    let mut stand = Stand::new(&site, "  sample_limit: 2\n");
    let kept = stand.scrape(10).await;
    // All are read, so that the counts are right.
    assert_eq!(kept.value("scrape_samples_scraped"), Some(3.0));
    assert_eq!(kept.value("scrape_series_added"), Some(2.0));
    let mut stand = Stand::new(&site, "  sample_limit: 3\n");
    assert_eq!(stand.scrape(10).await.own().len(), 3);
}

#[tokio::test]
async fn names_may_be_restricted() {
    let site = Site::of_text("{\"my.metric\"} 1\n").await;
    let mut stand = Stand::new(&site, "");
    assert_eq!(stand.scrape(10).await.value("my.metric"), Some(1.0));
    let mut stand = Stand::new(&site, "  metric_name_validation_scheme: legacy\n");
    stand.scrape(10).await;
    assert!(stand.error().contains("invalid metric name or label names"), "{}", stand.error());
    let requests = site.requests.lock();
    assert!(requests[1].headers["accept"].to_str().unwrap().contains("escaping=underscores"));
}

#[tokio::test]
async fn a_store_that_is_busy_is_asked_again_and_one_that_refuses_loses() {
    let site = Site::of_text("a 1\n").await;
    let mut stand = Stand::new(&site, "");
    let busy = ErrorKind::Overloaded { retry_after: std::time::Duration::from_millis(1) };
    stand.reader.failures.lock().push(busy);
    assert_eq!(stand.scrape(10).await.value("a"), Some(1.0));
    stand.reader.failures.lock().push(ErrorKind::Internal);
    stand.scrape_loop.scrape(&stand.plan, 20_000, i64::MAX).await;
    assert_eq!(stand.error(), "the store did not keep the samples: told to fail");
    assert_eq!(stand.scrape_loop.shared.counters.read().samples_lost, 6);
}

#[tokio::test]
async fn rows_that_were_lost_are_told_again() {
    let site = Site::of_text("# HELP a b\na 1\n").await;
    let mut stand = Stand::new(&site, "");
    stand.reader.failures.lock().push(ErrorKind::Internal);
    stand.scrape_loop.scrape(&stand.plan, 10_000, i64::MAX).await;
    let kept = stand.scrape(20).await;
    assert_eq!((kept.rows["metric_series"], kept.rows["metric_metadata"]), (6, 1));
}

const HISTOGRAM: &str = "# TYPE h histogram
h_bucket{x=\"1\",le=\"1\"} 1
h_bucket{x=\"1\",le=\"+Inf\"} 3
h_sum{x=\"1\"} 7
h_count{x=\"1\"} 3
h_bucket{x=\"2\",le=\"+Inf\"} 4
h_sum{x=\"2\"} 9
h_count{x=\"2\"} 4
# TYPE other gauge
other_count 5
";

#[tokio::test]
async fn classic_histograms_become_native_ones_where_wanted() {
    let site = Site::of_text(HISTOGRAM).await;
    let mut stand = Stand::new(&site, "  convert_classic_histograms_to_nhcb: true\n");
    let kept = stand.scrape(10).await;
    let names: Vec<String> = kept.own().iter().map(|(name, _)| (*name).to_owned()).collect();
    let named = |x: &str| format!("h{{instance=\"{}\",job=\"j\",x=\"{x}\"}}", site.address);
    assert_eq!(names, [named("1"), named("2"), label("other_count", &site)]);
    assert_eq!(kept.value("scrape_samples_scraped"), Some(3.0));
    let histograms = kept.histograms;
    assert_eq!(histograms[&named("1")], (3, 7.0));
    assert_eq!(histograms[&named("2")], (4, 9.0));
    // The next scrape has the same; and both where both are wanted.
    assert_eq!(stand.scrape(20).await.histograms.len(), 2);
    let keys = "  convert_classic_histograms_to_nhcb: true\n  always_scrape_classic_histograms: true\n";
    let mut stand = Stand::new(&site, keys);
    assert_eq!(stand.scrape(10).await.own().len(), 10);
    // One whose counts fall is no histogram, and the rest is kept.
    site.says_text("# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n# TYPE a gauge\na 1\n");
    let mut stand = Stand::new(&site, "  convert_classic_histograms_to_nhcb: true\n");
    assert_eq!(stand.scrape(10).await.own().len(), 1);
}

#[tokio::test]
async fn buckets_are_merged_until_they_are_within_the_limit() {
    let site = Site::of_text(HISTOGRAM).await;
    let keys = "  convert_classic_histograms_to_nhcb: true\n  native_histogram_bucket_limit: 1\n";
    let mut stand = Stand::new(&site, keys);
    stand.scrape(10).await;
    // Custom buckets can't be merged.
    assert_eq!(stand.error(), "histogram bucket limit exceeded");
    let limits = crate::config::Limits { native_histogram_bucket: 2, ..Default::default() };
    let histogram = causeway_model::Histogram {
        schema: 2,
        count: 4.0,
        sum: 1.0,
        positive_spans: vec![causeway_model::BucketSpan { offset: 1, length: 4 }],
        positive_buckets: vec![1.0; 4],
        ..Default::default()
    };
    let fitted = crate::histogram::fit(&histogram, &limits).unwrap();
    assert_eq!((fitted.schema, fitted.positive_buckets.as_slice()), (1, [2.0, 2.0].as_slice()));
    let limits = crate::config::Limits { native_histogram_min_bucket_factor: 4.0, ..Default::default() };
    let fitted = crate::histogram::fit(&histogram, &limits).unwrap();
    assert_eq!((fitted.schema, fitted.positive_buckets.as_slice()), (-1, [4.0].as_slice()));
}
