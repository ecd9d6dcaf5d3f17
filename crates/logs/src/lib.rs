//! Which lines does the store hold, as LogQL sees them? A stream is a resource: its attributes are the labels, whoever sent them. All else that a
//! record says stands beside its line.

mod read;

use std::sync::Arc;

use causeway_logql::{Entry, LineSource, Lines, Span};
use causeway_model::{Labels, Result, Table, TimeRange};
use causeway_store::part::scan_batch;
use causeway_store::{Pruning, Scan, Store};
use hashbrown::HashSet;

use crate::read::{Columns, Rows};

/// Streams of one answer at most. 100,000: far more than anyone reads.
const STREAMS_MAX: usize = 100_000;

/// The logs of a store.
#[derive(Debug)]
pub struct Logs {
    store: Arc<Store>,
}

impl Logs {
    /// The logs of this store.
    pub fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    /// Gives all batches of rows that may be wanted; `open` tells which time is still of interest.
    fn scan(
        &self,
        columns: Columns,
        wanted: &Lines<'_>,
        take: &mut dyn FnMut(&Rows<'_>) -> Result<Span>,
    ) -> Result<()> {
        let snapshot = self.store.snapshot(&[Table::Logs]);
        let Some(logs) = snapshot.tables.first() else { return Ok(()) };
        let mut open = wanted.span;
        let range = |span: Span| TimeRange { start: span.after_ns.saturating_add(1), end: span.until_ns };
        let (columns, services) = (columns.list()?, read::services(wanted.matchers));
        let filters = services.iter().map(|services| read::of_services(services)).collect::<Result<Vec<_>>>()?;
        let tokens = wanted.needles.iter().flat_map(|text| read::whole_words(text)).map(str::to_owned).collect();
        let pruning = Pruning { services, tokens, ..Pruning::default() };
        let scan = |time| {
            let pruning = Pruning { time, ..pruning.clone() };
            let (columns, filters) = (columns.clone(), filters.clone());
            Scan { table: Table::Logs, columns, filters, pruning, batch_rows: 8_192 }
        };
        for batch in &logs.memory {
            (wanted.interrupted)()?;
            open = take(&Rows::of(&scan_batch(batch, &scan(range(open)))?)?)?;
        }
        let mut parts = logs.parts.clone();
        parts.sort_by_key(|part| {
            let time = part.meta().time;
            if wanted.backward { time.end.saturating_neg() } else { time.start }
        });
        for part in &parts {
            if !part.meta().time.overlaps(&range(open)) {
                continue;
            }
            let scan = scan(range(open));
            for piece in part.plan(&scan)?.0 {
                for batch in part.read(&scan, &piece)? {
                    (wanted.interrupted)()?;
                    open = take(&Rows::of(&batch?)?)?;
                }
            }
        }
        Ok(())
    }
}

impl LineSource for Logs {
    fn visit(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(Entry<'_>) -> Result<Span>) -> Result<()> {
        let mut streams = read::Streams::default();
        let mut metadata = Vec::new();
        let mut open = wanted.span;
        self.scan(Columns::Lines, wanted, &mut |rows| {
            for row in 0..rows.len() {
                let time_ns = rows.time(row);
                if !open.contains(time_ns) {
                    continue;
                }
                let Some(stream) = streams.matching(rows, row, wanted.matchers) else { continue };
                rows.metadata(row, &mut metadata)?;
                open = visit(Entry { time_ns, text: rows.body(row), stream, metadata: &metadata })?;
            }
            Ok(open)
        })
    }

    fn streams(&self, wanted: &Lines<'_>, visit: &mut dyn FnMut(&Labels) -> Result<()>) -> Result<()> {
        let mut streams = read::Streams::default();
        let mut seen: HashSet<Labels> = HashSet::new();
        self.scan(Columns::Streams, wanted, &mut |rows| {
            for row in 0..rows.len() {
                if !wanted.span.contains(rows.time(row)) {
                    continue;
                }
                let Some(stream) = streams.matching(rows, row, wanted.matchers) else { continue };
                if !seen.contains(stream) {
                    if seen.len() >= STREAMS_MAX {
                        return Err(read::too_many(STREAMS_MAX));
                    }
                    visit(stream)?;
                    seen.insert(stream.clone());
                }
            }
            Ok(wanted.span)
        })
    }
}

#[cfg(test)]
mod tests;
