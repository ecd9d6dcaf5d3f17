//! Which rows are read for some lines, and in which order? The newest first where these are wanted first, until nothing is open any more.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::RecordBatch;
use causeway_logql::{Lines, Span};
use causeway_model::{Batch, Result, Table, TimeRange};
use causeway_store::part::Part;
use causeway_store::{Filter, Place, Pruning, Scan, Take, Visit};

use crate::columns::{Keys, Reading, SERVICE, Shape, keys_of_batch, keys_of_part};
use crate::read::{Rows, first_of, of_lines, of_services, of_value, services, whole_words};

/// Rows of a batch at most: as many as a block of a part has.
const BATCH_ROWS: usize = 8_192;

/// Takes rows of a time that is open; says what is still open then.
pub(crate) type TakeRows<'a> = dyn FnMut(&Shape, &Rows<'_>, Span) -> Result<Span> + Send + 'a;

/// Batches in memory, and parts.
pub(crate) type Held = (Vec<Arc<Batch>>, Vec<Arc<Part>>);

/// Gives all batches of rows that may be wanted, each to one of those who take them.
pub(crate) fn scan(
    (mut memory, mut parts): Held,
    reading: Reading,
    wanted: &Lines<'_>,
    takes: &mut [Box<TakeRows<'_>>],
) -> Result<()> {
    parts.sort_by_key(|part| {
        let time = part.meta().time;
        if wanted.backward { time.end } else { time.start.saturating_neg() }
    });
    if !wanted.backward {
        memory.reverse();
    }
    let services = services(wanted.matchers);
    let by_service = of_services(wanted.matchers).transpose();
    let by_text = (reading == Reading::Lines && !wanted.filters.is_empty()).then(|| of_lines(wanted.filters));
    let needles = wanted.filters.iter().filter_map(|filter| filter.needle());
    let work = Work {
        reading,
        wanted,
        filters: by_service.into_iter().chain(by_text).collect::<Result<_>>()?,
        pruning: Pruning {
            services,
            tokens: needles.flat_map(whole_words).map(str::to_owned).collect(),
            ..Pruning::default()
        },
        open: Arc::new(Open::of(wanted.span)),
    };
    let rank = |time: TimeRange| if wanted.backward { time.end.saturating_neg() } else { time.start };
    let scan_of = |place: Place<'_>| match place {
        Place::Memory(batch) => work.scan(&keys_of_batch(batch)).map(Some),
        Place::Part(part) => work.scan(&keys_of_part(part)).map(Some),
    };
    let visit = Visit {
        memory,
        parts,
        rank: wanted.ends_early.then_some(&rank),
        matters: &|time| time.overlaps(&work.range()),
        scan_of: &scan_of,
        interrupted: wanted.interrupted,
    };
    let takes = takes.iter_mut().map(|take| {
        let take = |batch: &RecordBatch, shape: &Shape| {
            work.open.narrow(take(shape, &Rows::of(shape, batch)?, work.open.span())?);
            Ok(ControlFlow::Continue(()))
        };
        Box::new(take) as Box<Take<'_, Shape>>
    });
    visit.give(&mut takes.collect::<Vec<_>>())
}

/// The time that is open still, narrowed down by all who take.
#[derive(Debug)]
pub(crate) struct Open {
    after_ns: AtomicI64,
    until_ns: AtomicI64,
}

impl Open {
    fn of(span: Span) -> Self {
        Self { after_ns: AtomicI64::new(span.after_ns), until_ns: AtomicI64::new(span.until_ns) }
    }

    pub(crate) fn span(&self) -> Span {
        Span { after_ns: self.after_ns.load(Ordering::Relaxed), until_ns: self.until_ns.load(Ordering::Relaxed) }
    }

    fn narrow(&self, span: Span) {
        self.after_ns.fetch_max(span.after_ns, Ordering::Relaxed);
        self.until_ns.fetch_min(span.until_ns, Ordering::Relaxed);
    }
}

struct Work<'a> {
    reading: Reading,
    wanted: &'a Lines<'a>,
    filters: Vec<Filter>,
    pruning: Pruning,
    open: Arc<Open>,
}

impl Work<'_> {
    fn range(&self) -> TimeRange {
        let open = self.open.span();
        TimeRange { start: open.after_ns.saturating_add(1), end: open.until_ns }
    }

    fn scan(&self, keys: &Keys<'_>) -> Result<(Scan, Shape)> {
        let shape = Shape::of(self.reading, self.wanted, keys)?;
        let values = if self.reading == Reading::Lines { Shape::values(self.wanted, keys)? } else { Vec::new() };
        let by_value = values.iter().map(|(column, value)| of_value(column.clone(), value));
        let mut filters: Vec<Filter> = by_value.chain(self.filters.iter().cloned()).collect();
        // Conditions on other labels are looked at behind the filters.
        let enough =
            self.wanted.enough.filter(|_| self.wanted.matchers.iter().all(|matcher| matcher.name() == SERVICE));
        if let Some(enough) = enough {
            filters.push(first_of(self.open.clone(), enough, self.wanted.backward)?);
        }
        let columns = shape.columns.clone();
        let values = values.into_iter().map(|(column, value)| (column, vec![value])).collect();
        let pruning = Pruning { time: self.range(), values, ..self.pruning.clone() };
        Ok((Scan { table: Table::Logs, columns, filters, pruning, batch_rows: BATCH_ROWS }, shape))
    }
}
