//! What does the kit cost a request? One small service without it, or with it at a share of the traces; `make bench` loads them in turns.
//!
//! `overhead bare`, `overhead 0.1 RECEIVER_URL`, `overhead receiver`: each says its address in its first line and serves until SIGTERM. With the kit
//! the last line is the number of spans that were lost.

use std::error::Error;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use causeway_kit::{self as kit, Sampling, Settings, Signal};

/// More than is made between two sendings: a span that is lost would cost less than one that is sent.
const QUEUE_MAX: usize = 1 << 20;

async fn handler() -> &'static str {
    tracing::debug!("not written");
    "ok"
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let router = Router::new().route("/orders/{id}", get(handler));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["receiver"] => {
            let receiver = Router::new().route("/v1/{signal}", post(|_: axum::body::Bytes| async {}));
            axum::serve(listener, receiver).with_graceful_shutdown(kit::terminated()).await?;
        }
        ["bare"] => axum::serve(listener, router).with_graceful_shutdown(kit::terminated()).await?,
        [share, receiver] => {
            let mut settings = Settings::new("overhead", "1");
            settings.otlp_endpoint = Some(receiver.to_owned());
            settings.sampling = Sampling::ParentBased(share.parse()?);
            settings.export_interval = Duration::from_millis(100);
            settings.queue_max = QUEUE_MAX;
            settings.log_output = Box::new(std::io::sink());
            let kit = kit::init(settings)?;
            kit.serve(listener, router.layer(kit.server_layer()), kit::terminated()).await?;
            println!("{}", kit.fates().lost(Signal::Spans));
        }
        _ => return Err("overhead bare | overhead SHARE RECEIVER_URL | overhead receiver".into()),
    }
    Ok(())
}
