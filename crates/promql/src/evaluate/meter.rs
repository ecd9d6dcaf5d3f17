//! How much may an evaluation take, and has someone called it off?

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use causeway_model::{Error, ErrorKind, Result};

use super::{Options, column::Column};

/// Counts what an evaluation holds.
pub(super) struct Meter {
    samples: AtomicUsize,
    bytes: AtomicUsize,
    samples_peak: AtomicUsize,
    bytes_peak: AtomicUsize,
    samples_max: usize,
    bytes_max: usize,
    interrupted: Arc<dyn Fn() -> Result<()> + Send + Sync>,
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meter").field("samples", &self.samples).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// A part of the limits that someone holds; it is free again when this goes. Small amounts are gathered before they are counted, so
/// that threads don't wait for each other.
#[derive(Debug)]
pub(super) struct Charge {
    meter: Arc<Meter>,
    samples: usize,
    bytes: usize,
    gathered_samples: usize,
    gathered_bytes: usize,
}

/// What is gathered is at most this part of a limit.
const GATHERED_PART: usize = 256;

impl Meter {
    pub fn new(options: &Options) -> Self {
        Self {
            samples: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            samples_peak: AtomicUsize::new(0),
            bytes_peak: AtomicUsize::new(0),
            samples_max: options.samples_max,
            bytes_max: options.memory_bytes_max,
            interrupted: options.interrupted.clone(),
        }
    }

    /// Fails where the evaluation was called off or its time is over.
    pub fn check(&self) -> Result<()> {
        (self.interrupted)()
    }

    /// An empty part of the limits, which can grow.
    pub fn charge(self: &Arc<Self>) -> Charge {
        Charge { meter: self.clone(), samples: 0, bytes: 0, gathered_samples: 0, gathered_bytes: 0 }
    }

    /// The most samples, and the most bytes, held at one time.
    pub fn peaks(&self) -> (usize, usize) {
        (self.samples_peak.load(Ordering::Relaxed), self.bytes_peak.load(Ordering::Relaxed))
    }
}

impl Charge {
    /// Takes more.
    pub fn add(&mut self, samples: usize, bytes: usize) -> Result<()> {
        let meter = &self.meter;
        self.gathered_samples = self.gathered_samples.saturating_add(samples);
        self.gathered_bytes = self.gathered_bytes.saturating_add(bytes);
        if self.gathered_samples < meter.samples_max / GATHERED_PART
            && self.gathered_bytes < meter.bytes_max / GATHERED_PART
        {
            return Ok(());
        }
        let (samples, bytes) = (std::mem::take(&mut self.gathered_samples), std::mem::take(&mut self.gathered_bytes));
        self.samples = self.samples.saturating_add(samples);
        self.bytes = self.bytes.saturating_add(bytes);
        let samples = meter.samples.fetch_add(samples, Ordering::Relaxed).saturating_add(samples);
        let bytes = meter.bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        meter.samples_peak.fetch_max(samples, Ordering::Relaxed);
        meter.bytes_peak.fetch_max(bytes, Ordering::Relaxed);
        if samples > meter.samples_max {
            let text = "query processing would load too many samples into memory in query execution";
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        if bytes > meter.bytes_max {
            let text =
                format!("query processing would take more than {} bytes of memory in query execution", meter.bytes_max);
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        Ok(())
    }

    /// Takes what a column holds.
    pub fn add_column(&mut self, column: &Column) -> Result<()> {
        self.add(column.samples(), column.memory_bytes())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.meter.samples.fetch_sub(self.samples, Ordering::Relaxed);
        self.meter.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
