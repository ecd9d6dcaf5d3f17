//! How is the house? Health, the ledger and the store's numbers, and what the process uses.

use std::sync::Arc;

use causeway_api::serve::Connections;
use causeway_api::{Metric, Reading, Vitals};
use causeway_kit::Kit;
use causeway_live::{Live, LiveFigures};
use causeway_scrape::Scraper;
use causeway_store::{LedgerRow, Store};

use crate::counted::Counters;
use crate::prometheus::scrape_metrics;

/// Ticks a second in /proc/self/stat: a constant of Linux' interface to programs (USER_HZ), not of the kernel's own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads the vitals of a store and of this process.
pub struct HouseVitals {
    /// The store.
    pub store: Arc<Store>,
    /// The connections.
    pub connections: Connections,
    /// Its own telemetry.
    pub kit: Kit,
    /// What scrapes, where something is scraped.
    pub scraper: Option<Arc<Scraper>>,
    /// What tells of lines and spans as they come.
    pub live: Arc<Live>,
    /// What counts on the way to the store.
    pub counters: Counters,
}

impl Vitals for HouseVitals {
    fn problems(&self) -> Vec<String> {
        self.store.health().problems
    }

    fn degraded(&self) -> Vec<String> {
        self.store.health().damaged
    }

    fn metrics(&self) -> Vec<Metric> {
        let store = self.store.metrics().into_iter().map(|metric| Metric {
            name: metric.name,
            help: metric.help,
            labels: metric.labels,
            reading: if metric.counter { Reading::Counter(metric.value) } else { Reading::Gauge(metric.value) },
        });
        let mut metrics: Vec<Metric> = store.collect();
        for row in self.store.ledger() {
            ledger_metrics(&row, &mut metrics);
        }
        metrics.extend(self.connections.metrics());
        metrics.push(crate::telemetry::dropped(&self.kit));
        metrics.extend(self.scraper.iter().flat_map(|scraper| scrape_metrics(scraper)));
        metrics.extend(live_figures(&self.live));
        metrics.extend(self.counters.metrics());
        metrics.extend(process_metrics());
        metrics
    }
}

fn ledger_metrics(row: &LedgerRow, metrics: &mut Vec<Metric>) {
    let counted = |name, help, value: u64| {
        Metric::counter(name, help, value as f64).with("signal", row.signal.name()).with("sender", row.sender.clone())
    };
    metrics.push(counted("causeway_ledger_received_total", "Records received.", row.received));
    metrics.push(counted("causeway_ledger_stored_total", "Records stored.", row.stored));
    for (reason, count) in &row.dropped {
        let dropped = counted("causeway_ledger_dropped_total", "Records dropped.", *count);
        metrics.push(dropped.with("reason", reason.clone()));
    }
}

fn live_figures(live: &Live) -> impl Iterator<Item = Metric> {
    live.figures().into_iter().flat_map(|LiveFigures { table, followers, held_bytes, missed }| {
        let figures = [
            Metric::gauge("causeway_tails", "Who follows records as they come.", followers as f64),
            Metric::gauge("causeway_tail_held_bytes", "Bytes of records held for them.", held_bytes as f64),
            Metric::counter("causeway_tail_missed_total", "Records too many for them.", missed as f64),
        ];
        figures.map(|metric| metric.with("table", table.name()))
    })
}

/// Memory and processor time of this process; nothing where there is no /proc.
fn process_metrics() -> Vec<Metric> {
    let mut metrics = Vec::new();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    if let Some(bytes) = resident_bytes(&status) {
        let help = "Memory of the process that is in RAM.";
        metrics.push(Metric::gauge("process_resident_memory_bytes", help, bytes));
    }
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let Some(seconds) = processor_seconds(&stat) {
        let help = "Processor time of the process, user and system.";
        metrics.push(Metric::counter("process_cpu_seconds_total", help, seconds));
    }
    metrics
}

fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

fn processor_seconds(stat: &str) -> Option<f64> {
    // The program's name may hold anything, so fields are counted from its closing bracket: proc(5), fields 14 and 15.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_whatever_the_program_is_called() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 500 0 0 0 250 50 0 0 20 0 4 0 100 1000 200";
        assert_eq!(processor_seconds(stat), Some(3.0));
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2048.0 * 1024.0));
        assert_eq!((processor_seconds(""), resident_bytes("")), (None, None));
    }
}
