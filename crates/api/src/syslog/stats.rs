//! What has become of connections and messages that are not in the ledger? Counted by reason, those among them that the kernel dropped.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::Error;
use parking_lot::Mutex;

use crate::observe::Metric;

/// Reasons why a connection is refused.
const CONNECTION_REASONS: [&str; 2] = ["too_many", "tls_handshake"];
/// Reasons why a message is dropped by us.
const MESSAGE_REASONS: [&str; 3] = ["queue_full", "refused", "stopping"];

/// Counts of all sockets.
#[derive(Debug, Default)]
pub(crate) struct SyslogStats {
    open: AtomicU64,
    cut: AtomicU64,
    waits: AtomicU64,
    connections_refused: [AtomicU64; CONNECTION_REASONS.len()],
    messages_dropped: [AtomicU64; MESSAGE_REASONS.len()],
    /// Inodes of the sockets for datagrams, as the kernel's tables name them.
    sockets: Mutex<Vec<String>>,
}

/// A connection that is open for as long as this lives.
pub(super) struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn count(counters: &[AtomicU64], reasons: &[&str], reason: &str, by: u64) {
    for (counter, _) in counters.iter().zip(reasons).filter(|(_, known)| **known == reason) {
        counter.fetch_add(by, Ordering::Relaxed);
    }
}

impl SyslogStats {
    pub(super) fn open(&self) -> Open<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(&self.open)
    }

    pub(super) fn refuse_connection(&self, reason: &str) {
        count(&self.connections_refused, &CONNECTION_REASONS, reason, 1);
    }

    pub(super) fn drop_messages(&self, reason: &str, messages: u64, error: &Error) {
        count(&self.messages_dropped, &MESSAGE_REASONS, reason, messages);
        tracing::debug!(reason, messages, %error, "messages of syslog were dropped");
    }

    pub(super) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn wait(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on what the kernel drops at this socket is counted, too.
    pub(super) fn watch_socket(&self, descriptor: i32) {
        let name = std::fs::read_link(Path::new("/proc/self/fd").join(descriptor.to_string()));
        let inode =
            name.ok().and_then(|name| Some(name.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()));
        self.sockets.lock().extend(inode);
    }

    fn kernel_drops(&self) -> u64 {
        let sockets = self.sockets.lock().clone();
        if sockets.is_empty() {
            return 0;
        }
        let tables =
            ["/proc/net/udp", "/proc/net/udp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
        tables.iter().map(|table| drops(table, &sockets)).sum()
    }

    /// All of it.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        let mut metrics = vec![
            Metric::gauge("causeway_syslog_connections", "Open connections of syslog.", read(&self.open)),
            Metric::counter(
                "causeway_syslog_messages_cut_total",
                "Messages of syslog that are kept without their end: too long, or the connection ended within them.",
                read(&self.cut),
            ),
            Metric::counter(
                "causeway_syslog_waits_total",
                "Times that messages of syslog were held back because the store could not keep them yet.",
                read(&self.waits),
            ),
        ];
        metrics.extend(CONNECTION_REASONS.iter().zip(&self.connections_refused).map(|(reason, counter)| {
            let help = "Connections of syslog that were refused, by reason.";
            Metric::counter("causeway_syslog_connections_refused_total", help, read(counter)).with("reason", *reason)
        }));
        let ours = MESSAGE_REASONS.iter().zip(&self.messages_dropped).map(|(reason, counter)| (*reason, read(counter)));
        let all = ours.chain([("kernel_buffer_full", self.kernel_drops() as f64)]);
        metrics.extend(all.map(|(reason, dropped)| {
            let help = "Messages of syslog that were dropped, by reason.";
            Metric::counter("causeway_syslog_messages_dropped_total", help, dropped).with("reason", reason)
        }));
        metrics
    }
}

/// Datagrams that the kernel dropped at these sockets, by its table: the inode stands in the tenth column, drops in the last.
fn drops(table: &str, inodes: &[String]) -> u64 {
    let of_line = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let is_ours = columns.get(9).is_some_and(|inode| inodes.iter().any(|known| known == inode));
        columns.get(12).filter(|_| is_ours).and_then(|drops| drops.parse::<u64>().ok())
    };
    table.lines().filter_map(of_line).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_drops_are_found_by_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n  \
                     12: 0100007F:0202 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n  \
                     13: 0100007F:0203 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 5\n";
        assert_eq!(drops(table, &["4711".to_owned()]), 17);
        assert_eq!(drops(table, &["4711".to_owned(), "4712".to_owned()]), 22);
        assert_eq!(drops(table, &["1".to_owned()]), 0);
    }
}
