//! Does telemetry go a way of the service's own, whole, and without making more of itself?

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use causeway_kit::{Fate, Sent, Signal, Transport};
use futures::FutureExt;
use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ScopeMetrics};
use parking_lot::Mutex;
use prost::Message;

use crate::receiver::{Lines, quiet};

/// Keeps requests, and says so aloud.
#[derive(Debug, Default)]
struct Memory {
    kept: Mutex<Vec<(Signal, Bytes)>>,
    answers: Mutex<Vec<Sent>>,
}

impl Transport for Memory {
    fn send(&self, signal: Signal, request: Bytes) -> BoxFuture<'_, Sent> {
        async move {
            tracing::error!("sending");
            self.kept.lock().push((signal, request));
            self.answers.lock().pop().unwrap_or(Sent::Accepted { rejected: 0 })
        }
        .boxed()
    }
}

impl Memory {
    fn logs(&self) -> Vec<String> {
        let kept = self.kept.lock();
        let logs = kept.iter().filter(|(signal, _)| *signal == Signal::Logs);
        let requests = logs.map(|(_, request)| ExportLogsServiceRequest::decode(request.clone()).unwrap());
        let scopes = requests.flat_map(|request| request.resource_logs).flat_map(|resource| resource.scope_logs);
        let named = scopes.flat_map(|scope| {
            let name = scope.scope.unwrap().name;
            scope.log_records.into_iter().map(move |record| format!("{name} {}", record.event_name))
        });
        named.collect()
    }
}

#[tokio::test]
async fn another_way_than_http() {
    let (memory, lines) = (Arc::new(Memory::default()), Lines::default());
    let mut settings = quiet("orders");
    settings.transport = Some(memory.clone());
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    kit.produce_metrics(|| {
        let metric = Metric { name: "counted.elsewhere".to_owned(), ..Metric::default() };
        ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }
    });
    kit.run(async {
        tracing::info!(event = "order.placed", "placed");
        tracing::info!(target: "elsewhere", event = "order.paid", "paid");
    })
    .await;
    kit.flush().await;
    kit.flush().await;
    assert_eq!(memory.logs(), ["door::transport order.placed", "elsewhere order.paid"], "a scope for each place");
    assert_eq!(lines.all().len(), 2, "what happens on the way is no telemetry");
    let kept = memory.kept.lock().clone();
    let metrics = kept.into_iter().find(|(signal, _)| *signal == Signal::Metrics).unwrap().1;
    let metrics = ExportMetricsServiceRequest::decode(metrics).unwrap();
    let mut scopes = metrics.resource_metrics[0].scope_metrics.iter();
    assert!(scopes.any(|scope| scope.metrics.iter().any(|metric| metric.name == "counted.elsewhere")));
}

#[tokio::test]
async fn its_answers_count_and_its_reasons_are_told() {
    let (memory, lines) = (Arc::new(Memory::default()), Lines::default());
    let mut settings = quiet("orders");
    settings.transport = Some(memory.clone());
    settings.log_output = Box::new(lines.clone());
    let kit = causeway_kit::init_scoped(settings).unwrap();
    let log = async |answers: Vec<Sent>| {
        // Logs are sent before metrics or after: only logs are answered so.
        kit.run(async { tracing::info!("again") }).await;
        *memory.answers.lock() = answers;
        kit.flush().await;
    };
    let refused = || Sent::Refused { reason: "too odd".to_owned() };
    let later = || Sent::Later { after: Some(Duration::from_secs(3600)), reason: "no disk".to_owned() };
    log(vec![refused(), refused()]).await;
    assert_eq!(kit.fates().count(Signal::Logs, Fate::Rejected), 1);
    log(vec![later(), later()]).await;
    assert_eq!(kit.fates().count(Signal::Logs, Fate::Exported), 0);
    log(vec![]).await;
    assert_eq!(kit.fates().count(Signal::Logs, Fate::Exported), 2, "what could not go at first went later");
    kit.run(async { tracing::info!("the last") }).await;
    *memory.answers.lock() = vec![later(); 8];
    kit.shutdown(Duration::from_secs(30)).await;
    assert_eq!(kit.fates().count(Signal::Logs, Fate::Unreachable), 1);
    let all = lines.all();
    let told = all.iter().rfind(|line| line["event"] == "telemetry.lost").unwrap();
    assert_eq!((&told["reason"], &told["lost_logs"]), (&"no disk".into(), &2.into()));
}
