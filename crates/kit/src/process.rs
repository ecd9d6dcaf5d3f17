//! How much of the machine does this process use? The semantic conventions' process metrics, from Linux' /proc; elsewhere none.

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Ticks a second in /proc: USER_HZ, 100 in Linux' ABI on every architecture that it is built for here.
const TICKS_PER_SECOND: f64 = 100.0;
/// Kilobytes in VmRSS are of 1,024 bytes.
const KIB: u64 = 1024;

pub(crate) fn observe(meter: &Meter) {
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("CPU seconds of the process.")
        .with_callback(|observer| {
            let Some((user, system)) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds)
            else {
                return;
            };
            observer.observe(user, &[KeyValue::new("cpu.mode", "user")]);
            observer.observe(system, &[KeyValue::new("cpu.mode", "system")]);
        })
        .build();
    meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Memory of the process that is in RAM.")
        .with_callback(|observer| {
            if let Some(bytes) = std::fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
                observer.observe(bytes, &[]);
            }
        })
        .build();
}

/// Fields 14 and 15 of proc(5)'s stat; the name in field 2 may hold anything, also parentheses and spaces.
fn cpu_seconds(stat: &str) -> Option<(f64, f64)> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11).map(|ticks| ticks.parse::<u64>().ok());
    let mut next = || Some(fields.next()?? as f64 / TICKS_PER_SECOND);
    Some((next()?, next()?))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(KIB)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_is_read_as_documented() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 10 20 30 40 150 25 0 0 20 0";
        assert_eq!(cpu_seconds(stat), Some((1.5, 0.25)));
        assert_eq!(cpu_seconds("7 (x"), None);
        assert_eq!(resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t   12 kB\n"), Some(12_288));
    }
}
