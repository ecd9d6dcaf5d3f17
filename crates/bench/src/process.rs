//! What does a program cost? Its processor time, memory and disk, as the kernel counts them.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use causeway_model::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::clock;

/// Ticks of /proc/PID/stat in a second: USER_HZ, which is 100 on every Linux that we run on.
const TICKS_PER_S: f64 = 100.0;
/// A program that is not ready by then has failed.
const READY_MAX: Duration = Duration::from_secs(180);
/// A program that has not ended by then is killed.
const STOP_MAX: Duration = Duration::from_secs(120);
/// Between two looks at whether it is ready; the error of start-to-ready.
const READY_POLL: Duration = Duration::from_millis(2);
/// Idle is: less than one percent of one core over two seconds, and not before flushes on a timer have come.
const IDLE_WINDOW: Duration = Duration::from_secs(2);
const IDLE_CPU_S: f64 = 0.02;
/// A program that never comes to rest is measured after this long.
const IDLE_MAX: Duration = Duration::from_secs(300);

/// A running program.
pub struct Process {
    child: Child,
    name: String,
    /// Processor seconds of our earlier children when it began.
    reaped_before_s: f64,
    /// From start to ready.
    pub ready_after: Duration,
    /// Processor seconds used until ready.
    pub cpu_at_ready_s: f64,
}

/// What a program has used by its end.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Processor seconds from ready to the end, what it wrote down while stopping included.
    pub cpu_s: f64,
    pub peak_rss_bytes: u64,
}

impl Process {
    /// Starts a program; its standard error goes to a file. `pipes` connects its standard input and output to us.
    pub fn start(name: &str, command: &mut Command, log: &Path, pipes: bool) -> Result<Self> {
        let log = File::options().create(true).append(true).open(log)?;
        if pipes {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(log.try_clone()?);
        }
        let reaped_before_s = reaped_cpu_s()?;
        let child = command.stderr(log).spawn();
        let child = child.map_err(|error| Error::unavailable(format!("can't start {name}: {error}")))?;
        Ok(Self { child, name: name.to_owned(), reaped_before_s, ready_after: Duration::ZERO, cpu_at_ready_s: 0.0 })
    }

    /// The program's end of its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until `ready` says so, and notes how long it took since `start`.
    pub fn wait_ready(&mut self, start: std::time::Instant, mut ready: impl FnMut() -> bool) -> Result<()> {
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                return Err(Error::unavailable(format!("{} ended before it was ready: {status}", self.name)));
            }
            if start.elapsed() > READY_MAX {
                return Err(Error::unavailable(format!("{} was not ready after {READY_MAX:?}", self.name)));
            }
            clock::pause(READY_POLL);
        }
        self.ready_after = start.elapsed();
        self.cpu_at_ready_s = self.cpu_s()?;
        Ok(())
    }

    /// Processor seconds so far, its ended children's included.
    pub fn cpu_s(&self) -> Result<f64> {
        let times = cpu_times(&format!("/proc/{}/stat", self.child.id()))?;
        Ok(times.iter().sum())
    }

    /// Waits until it does nothing any more, at least `settle` from now.
    pub fn wait_idle(&self, settle: Duration) -> Result<()> {
        let start = clock::now();
        let mut before = self.cpu_s()?;
        loop {
            clock::pause(IDLE_WINDOW);
            let now = self.cpu_s()?;
            if (now - before < IDLE_CPU_S && start.elapsed() >= settle) || start.elapsed() > IDLE_MAX {
                return Ok(());
            }
            before = now;
        }
    }

    /// Memory that it holds now, and the most that it held.
    pub fn rss_bytes(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        Ok((status_bytes(&status, "VmRSS:"), status_bytes(&status, "VmHWM:")))
    }

    /// Asks it to end, waits for that, and tells what it used.
    pub fn stop(mut self) -> Result<Usage> {
        let (_, peak_rss_bytes) = self.rss_bytes()?;
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| Error::internal(format!("can't stop {}: {error}", self.name)))?;
        let start = clock::now();
        let mut ended = false;
        while !ended && start.elapsed() < STOP_MAX {
            clock::pause(READY_POLL);
            ended = self.child.try_wait()?.is_some();
        }
        if !ended {
            return Err(Error::unavailable(format!("{} did not end within {STOP_MAX:?}", self.name)));
        }
        Ok(Usage { cpu_s: reaped_cpu_s()? - self.reaped_before_s - self.cpu_at_ready_s, peak_rss_bytes })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // On the way out of a failed run; what can't be killed is left to the operator.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Processor seconds of our own children that have ended. One program ends at a time, so the difference is that program's.
fn reaped_cpu_s() -> Result<f64> {
    let [_, _, user, system] = cpu_times("/proc/self/stat")?;
    Ok(user + system)
}

/// User and system seconds, its own and its reaped children's.
fn cpu_times(path: &str) -> Result<[f64; 4]> {
    parse_cpu_times(&fs::read_to_string(path)?).ok_or_else(|| Error::internal(format!("{path} is not understood")))
}

/// Fields 14 to 17 of /proc/PID/stat (proc(5)); the name before them may hold blanks and parentheses.
fn parse_cpu_times(stat: &str) -> Option<[f64; 4]> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || Some(ticks.next()?.ok()? / TICKS_PER_S);
    Some([next()?, next()?, next()?, next()?])
}

fn status_bytes(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kilobytes = line.and_then(|line| line.split_ascii_whitespace().next()).and_then(|number| number.parse().ok());
    kilobytes.map_or(0, |kilobytes: u64| kilobytes * 1_024)
}

/// Bytes on disk of all files below a directory.
pub fn disk_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    each_file(directory, &mut |path| {
        bytes += fs::metadata(path)?.blocks() * 512;
        Ok(())
    })?;
    Ok(bytes)
}

/// Drops the files below a directory from the page cache. Nobody may have them mapped.
pub fn drop_page_cache(directory: &Path) -> Result<()> {
    each_file(directory, &mut |path| {
        let file = File::open(path)?;
        // Only clean pages are dropped.
        file.sync_all()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)
            .map_err(|error| Error::internal(format!("fadvise: {error}")))
    })
}

fn each_file(directory: &Path, visit: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            each_file(&entry.path(), visit)?;
        } else if kind.is_file() {
            visit(&entry.path())?;
        }
    }
    Ok(())
}

/// A port that was free a moment ago, for programs that can't pick one and say which.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The first line that a command prints, for versions.
pub fn version_line(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    output.ok().and_then(|text| text.lines().next().map(str::to_owned)).unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 200 0 0 150 50 7 3 20 0 8 0 100 1000 10";
        assert_eq!(parse_cpu_times(stat), Some([1.5, 0.5, 0.07, 0.03]));
        assert_eq!(parse_cpu_times("42 (short) S 1"), None);
        assert_eq!(parse_cpu_times(""), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(status_bytes(status, "VmHWM:"), 2_097_152);
        assert_eq!(status_bytes(status, "VmRSS:"), 1_048_576);
        assert_eq!(status_bytes(status, "VmSwap:"), 0);
    }

    #[test]
    fn disk_counts_files_of_all_depths() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("deep")).unwrap();
        fs::write(directory.path().join("deep/file"), vec![1; 100_000]).unwrap();
        drop_page_cache(directory.path()).unwrap();
        assert!(disk_bytes(directory.path()).unwrap() >= 100_000);
    }
}
