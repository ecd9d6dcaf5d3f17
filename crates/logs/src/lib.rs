//! Which lines does the store hold, as LogQL sees them? A stream is a resource: its attributes are the labels, whoever sent them. All else that a
//! record says stands beside its line.

mod columns;
mod give;
mod live;
mod read;
mod scan;
mod sets;

use std::sync::Arc;

use causeway_logql::{LineSource, Lines, Span, Taker};
use causeway_model::{Labels, Result, Table};
use causeway_store::Store;
use hashbrown::HashSet;

pub use crate::live::LiveLines;

use crate::columns::{Reading, Shape};
use crate::give::Giver;
use crate::read::Rows;
use crate::scan::{Held, TakeRows, scan};

/// Streams of one answer at most. 100,000: far more than anyone reads.
const STREAMS_MAX: usize = 100_000;

/// The logs of a store.
#[derive(Debug)]
pub struct Logs {
    store: Arc<Store>,
    /// Threads that look for streams: the machine's cores.
    parallelism: usize,
}

impl Logs {
    /// The logs of this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store, parallelism: std::thread::available_parallelism().map_or(1, usize::from) }
    }

    /// What is in memory and in parts, at one moment.
    fn held(&self) -> Held {
        let logs = self.store.snapshot(&[Table::Logs]).tables.into_iter().next();
        logs.map_or_else(Default::default, |logs| (logs.memory, logs.parts))
    }
}

/// Gives lines to takers.
fn visit(held: Held, wanted: &Lines<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
    let takes = takers.iter_mut().map(|taker| {
        let mut giver = Giver::new(wanted);
        let take = move |shape: &Shape, rows: &Rows<'_>, open: Span| giver.give(taker, shape, rows, open);
        Box::new(take) as Box<TakeRows<'_>>
    });
    scan(held, Reading::Lines, wanted, &mut takes.collect::<Vec<_>>())
}

impl LineSource for Logs {
    fn visit(&self, wanted: &Lines<'_>, takers: &mut [Box<Taker<'_>>]) -> Result<()> {
        visit(self.held(), wanted, takers)
    }

    fn streams(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()> {
        let mut found: Vec<HashSet<Labels>> = (0..self.parallelism).map(|_| HashSet::new()).collect();
        let takes = found.iter_mut().map(|found| {
            let mut streams = read::Streams::default();
            let take = move |_: &Shape, rows: &Rows<'_>, open: Span| {
                for row in (0..rows.len()).filter(|row| open.contains(rows.time(*row))) {
                    let Some(stream) = streams.matching(rows, row, wanted.matchers) else { continue };
                    if !found.contains(stream) {
                        found.insert(stream.clone());
                    }
                    if found.len() > STREAMS_MAX {
                        return Err(read::too_many(STREAMS_MAX));
                    }
                }
                Ok(open)
            };
            Box::new(take) as Box<TakeRows<'_>>
        });
        scan(self.held(), Reading::Streams, wanted, &mut takes.collect::<Vec<_>>())?;
        let all = found.into_iter().reduce(|all, more| all.union(&more).cloned().collect()).unwrap_or_default();
        if all.len() > STREAMS_MAX {
            return Err(read::too_many(STREAMS_MAX));
        }
        all.iter().try_for_each(visit)
    }
}

#[cfg(test)]
mod tests;
