//! When is looked, read, sent and sent again? Until told to stop, or until standard input ends.

use std::fmt;
use std::time::Duration;

use causeway_model::{Clock, Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Members};
use crate::follow::{Figures, Follower};
use crate::records::{Joiner, Record};
use crate::send::Refusal;

/// How often files are looked at. 250 ms: nobody who watches notices it, and it costs a system call or two a file.
pub const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Pauses between attempts to reach a server, from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long a batch that is under way may take when told to stop. 5 s: its lines would else be sent again by the next run.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Bytes of one read of standard input.
const READ_BYTES: usize = 64 << 10;

/// How it goes, told after each step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What was done so far.
    pub figures: Figures,
    /// Why the last batch was not kept, until one is.
    pub trouble: Option<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { files, files_refused, lines, bytes, lag_bytes, cut, dropped, failed_reads } = self.figures;
        write!(f, "{files} files, {lines} lines ({}) sent, {} behind", size(bytes), size(lag_bytes))?;
        for (count, what) in [
            (files_refused as u64, "files too many"),
            (cut, "records cut short"),
            (dropped, "records dropped by the server"),
            (failed_reads, "reads failed"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        self.trouble.as_ref().map_or(Ok(()), |trouble| write!(f, "; trying again: {trouble}"))
    }
}

/// Bytes for a person.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// When the next attempt may be made.
#[derive(Debug, Default)]
struct Pause {
    last: Duration,
    until_nano: u64,
    trouble: Option<String>,
}

impl Pause {
    fn is_over(&self, now_nano: u64) -> bool {
        now_nano >= self.until_nano
    }

    fn begin(&mut self, now_nano: u64, message: String, after: Option<Duration>) {
        self.last = self.last.saturating_mul(2).clamp(PAUSE_FIRST, PAUSE_MAX);
        let pause = self.last.max(after.unwrap_or_default());
        self.until_nano = now_nano.saturating_add(u64::try_from(pause.as_nanos()).unwrap_or(u64::MAX));
        self.trouble = Some(message);
    }
}

/// What came of an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Records among it that the server dropped.
    Kept(u64),
    Refused,
    Stopped,
}

/// Sends a batch once; what is under way when told to stop may come to its end.
async fn attempt(
    batch: &Batch,
    pause: &mut Pause,
    clock: &dyn Clock,
    deliver: &mut impl AsyncFnMut(&Batch) -> Result<u64, Refusal>,
    stop: &CancellationToken,
) -> Result<Outcome> {
    let mut sent = std::pin::pin!(deliver(batch));
    let result = tokio::select! {
        result = &mut sent => result,
        () = stop.cancelled() => match timeout(STOP_MAX, &mut sent).await {
            Ok(Ok(dropped)) => Ok(dropped),
            _ => return Ok(Outcome::Stopped),
        },
    };
    match result {
        Ok(dropped) => {
            *pause = Pause::default();
            Ok(Outcome::Kept(dropped))
        }
        Err(Refusal::Later(message, after)) => {
            pause.begin(clock.monotonic_nano(), message, after);
            Ok(Outcome::Refused)
        }
        Err(Refusal::Never(message)) => Err(Error::invalid(message)),
    }
}

/// Follows files until `stop`. While the server is away, files are looked for but not read, so that nothing piles up and none is missed.
///
/// # Errors
/// `Invalid` when the server will never take what it gets; `Unavailable` when checkpoints can't be written.
pub async fn follow(
    mut follower: Follower,
    clock: &dyn Clock,
    mut deliver: impl AsyncFnMut(&Batch) -> Result<u64, Refusal>,
    mut tell: impl FnMut(&Told),
    stop: &CancellationToken,
) -> Result<()> {
    let (mut waiting, mut pause): (Option<Batch>, Pause) = (None, Pause::default());
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    follower.look(clock.monotonic_nano());
    follower.save()?;
    loop {
        tokio::select! {
            _ = ticks.tick() => (),
            () = stop.cancelled() => return follower.save(),
        }
        if waiting.is_some() {
            // What is rotated meanwhile stays open.
            follower.look(clock.monotonic_nano());
        }
        while pause.is_over(clock.monotonic_nano()) && !stop.is_cancelled() {
            let Some(batch) = waiting.take().or_else(|| follower.read(clock.monotonic_nano())) else { break };
            match attempt(&batch, &mut pause, clock, &mut deliver, stop).await? {
                Outcome::Kept(dropped) => follower.acknowledge(&batch, dropped)?,
                Outcome::Refused => waiting = Some(batch),
                Outcome::Stopped => return follower.save(),
            }
            tell(&told(&follower, &pause));
        }
        tell(&told(&follower, &pause));
    }
}

fn told(follower: &Follower, pause: &Pause) -> Told {
    Told { figures: follower.figures(), trouble: pause.trouble.clone() }
}

/// Sends what comes in from somewhere, such as standard input, until it ends or `stop`. While the server is away nothing is read, so that whoever
/// writes there waits.
///
/// # Errors
/// `Invalid` when the server will never take what it gets; `Unavailable` when the input can't be read.
pub async fn take_in(
    mut input: impl AsyncRead + Unpin,
    service: &str,
    clock: &dyn Clock,
    mut deliver: impl AsyncFnMut(&Batch) -> Result<u64, Refusal>,
    mut tell: impl FnMut(&Told),
    stop: &CancellationToken,
) -> Result<()> {
    let (mut joiner, mut records): (Joiner, Vec<Record>) = (Joiner::at(0), Vec::new());
    let (mut figures, mut pause, mut buffer) = (Figures::default(), Pause::default(), vec![0; READ_BYTES]);
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            read = input.read(&mut buffer) => {
                let read = read?;
                joiner.feed(buffer.get(..read).unwrap_or_default(), clock.monotonic_nano(), &mut records);
                is_over = read == 0;
            }
            _ = ticks.tick() => joiner.settle(clock.monotonic_nano(), &mut records),
            () = stop.cancelled() => is_over = true,
        }
        if is_over {
            joiner.finish(true, &mut records);
        }
        let mut batch = Batch::of(service);
        for record in records.drain(..) {
            figures.cut += u64::from(record.is_cut);
            batch.push(&record, &Members::default());
        }
        let mut is_kept = batch.records == 0;
        while !is_kept {
            if pause.is_over(clock.monotonic_nano()) {
                match attempt(&batch, &mut pause, clock, &mut deliver, stop).await? {
                    Outcome::Kept(dropped) => {
                        figures.dropped = figures.dropped.saturating_add(dropped);
                        is_kept = true;
                        continue;
                    }
                    Outcome::Refused => (),
                    Outcome::Stopped => return Ok(()),
                }
            }
            tell(&Told { figures, trouble: pause.trouble.clone() });
            tokio::select! {
                _ = ticks.tick() => (),
                () = stop.cancelled() => return Ok(()),
            }
        }
        figures.lines = figures.lines.saturating_add(batch.lines);
        figures.bytes = joiner.lines_end();
        tell(&Told { figures, trouble: None });
    }
    Ok(())
}
