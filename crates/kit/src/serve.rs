//! How does a service begin and end well? It serves until it is told to stop, finishes what runs, and sends what it still knows.

use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;

use crate::init::{Kit, SHUTDOWN_TIMEOUT};

/// Time for requests that still run when the service is told to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

impl Kit {
    /// Serves until `stop` is done, say `kit::terminated()`; then is not ready any more, finishes what runs and sends its telemetry.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        router: Router,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> std::io::Result<()> {
        let address = listener.local_addr()?;
        self.run(async { tracing::info!(event = "service.started", server.address = %address.ip(), server.port = address.port(), "serving") }).await;
        let (told, mut stopped) = tokio::sync::watch::channel(false);
        let kit = self.clone();
        let stopping = async move {
            stop.await;
            kit.drain();
            let _ends_anyway = told.send(true);
        };
        let serving = axum::serve(listener, router).with_graceful_shutdown(stopping);
        let overdue = async {
            // An error means that the sender is gone, after it told.
            let _told = stopped.wait_for(|told| *told).await;
            crate::clock::wait(DRAIN_TIMEOUT).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = overdue => Ok(()),
        };
        self.run(async { tracing::info!(event = "service.stopped", "stopped") }).await;
        self.shutdown(SHUTDOWN_TIMEOUT).await;
        served
    }
}

/// Done when the process is told to stop: SIGTERM, or Ctrl-C.
pub async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return interrupted.await };
    tokio::select! {
        () = interrupted => {}
        _ = terminate.recv() => {}
    }
}
