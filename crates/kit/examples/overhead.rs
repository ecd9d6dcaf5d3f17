//! What does the kit cost a request? One thread answers the same request without it, with it, and with it at a tenth of the traces.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::routing::{get, post};
use causeway_kit::{self as kit, Clock, Kit, Sampling, Settings, Signal, SystemClock};
use tower::ServiceExt;

const REQUESTS: u32 = 100_000;
/// So many are answered before the time is taken.
const WARM_UP: u32 = 5_000;

async fn handler() -> &'static str {
    tracing::debug!("not written");
    "ok"
}

async fn answer(router: &Router, requests: u32) -> Result<(), Box<dyn Error>> {
    for _ in 0..requests {
        let request = Request::get("/orders/17").header("host", "shop:8080").header("x-request-id", "a-1");
        router.clone().oneshot(request.body(Body::empty())?).await?;
    }
    Ok(())
}

async fn measure(name: &str, router: Router, kit: Option<&Kit>) -> Result<(), Box<dyn Error>> {
    answer(&router, WARM_UP).await?;
    let clock = SystemClock::new();
    answer(&router, REQUESTS).await?;
    let each = clock.monotonic() / REQUESTS;
    let lost = kit.map_or(0, |kit| kit.fates().lost(Signal::Spans));
    println!("{name:<24} {:>7.2} us a request, {lost} spans lost", each.as_secs_f64() * 1e6);
    Ok(())
}

fn instrumented(endpoint: &str, sampling: Sampling) -> Result<Kit, kit::InitError> {
    let mut settings = Settings::new("overhead", "1");
    settings.otlp_endpoint = Some(endpoint.to_owned());
    settings.sampling = sampling;
    settings.export_interval = Duration::from_millis(100);
    settings.queue_max = 1 << 20;
    kit::init_scoped(settings)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let receiver = Router::new().route("/v1/{signal}", post(|_: axum::body::Bytes| async {}));
    tokio::spawn(async move { axum::serve(listener, receiver).await });
    let router = || Router::new().route("/orders/{id}", get(handler));
    measure("bare axum", router(), None).await?;
    for (name, sampling) in [("every trace", 1.0), ("a tenth of the traces", 0.1)] {
        let kit = instrumented(&endpoint, Sampling::ParentBased(sampling))?;
        measure(name, router().layer(kit.server_layer()), Some(&kit)).await?;
        kit.shutdown(kit::SHUTDOWN_TIMEOUT).await;
    }
    Ok(())
}
