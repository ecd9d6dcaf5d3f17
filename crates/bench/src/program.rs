//! What does the benchmark need of a program? To start, to take a signal in and to answer.

use std::path::Path;
use std::time::Duration;

use causeway_model::Result;

use crate::load::Load;
use crate::process::Process;
use crate::query::{Answer, Compared, Known, Query};
use crate::workload::Signal;
use crate::workload::files::Dataset;

/// A program that may be measured.
pub trait Program {
    /// Its name in the report.
    fn name(&self) -> &str;
    /// Its version, as it says itself.
    fn version(&self) -> String;
    /// Whether it takes this signal.
    fn takes(&self, signal: Signal) -> bool;
    /// How much of its answer is compared with the others'.
    fn compared(&self, _query: Query) -> Compared {
        Compared::Whole
    }
    /// Whether its answers are right by definition, where the generator does not know them.
    fn defines(&self, _signal: Signal) -> bool {
        false
    }
    /// Rest after the last ack before idle counts: longer than its flush timers, so that their work is in its bill.
    fn settle(&self) -> Duration;
    /// Starts it on a data directory and waits until it is ready.
    fn start(&self, data: &Path) -> Result<Box<dyn Running>>;
}

/// A program that runs.
pub trait Running {
    /// Its process.
    fn process(&self) -> &Process;
    /// Sends it all of a signal; returns when all is acked.
    fn load(&mut self, dataset: &Dataset, signal: Signal, connections: usize) -> Result<Load>;
    /// Asks it; none where it has no words for the question.
    fn ask(&mut self, query: Query, known: &Known) -> Result<Option<Timed>>;
    /// Has it merge all that it has, which goes on after this returns; false where it can't be told to.
    fn merge(&mut self) -> Result<bool> {
        Ok(false)
    }
    /// Gives the process up, to be stopped.
    fn into_process(self: Box<Self>) -> Process;
}

/// An answer and how long it took, from the first byte sent to the last byte received.
#[derive(Debug, Clone, Copy)]
pub struct Timed {
    pub time: Duration,
    pub answer: Answer,
}
