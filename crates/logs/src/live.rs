//! Which lines come now, as a query wants them?

use std::sync::Arc;

use causeway_live::{Live, Newest};
use causeway_logql::ast::LogQuery;
use causeway_logql::{Entry, FoundLine, LineTail, Lines, Looked, Span};
use causeway_model::{Batch, Result, Table, Tailed};
use futures::stream::BoxStream;

/// The lines among what is kept just now.
pub struct LiveLines(Arc<Live>);

impl LiveLines {
    /// Those of this.
    pub fn new(live: Arc<Live>) -> Self {
        Self(live)
    }
}

impl LineTail for LiveLines {
    fn follow(&self, query: LogQuery) -> Result<BoxStream<'static, Tailed<FoundLine>>> {
        self.0.follow(Table::Logs, move |batches, newest| keep(&query, batches, newest))
    }
}

/// Takes the lines of some batches that a query keeps.
fn keep(query: &LogQuery, batches: Vec<Arc<Batch>>, newest: &mut Newest<FoundLine>) -> Result<()> {
    let span = Span { after_ns: i64::MIN, until_ns: i64::MAX };
    let wanted = Lines {
        matchers: &query.matchers,
        filters: &query.filters(),
        equal: &query.equal(),
        looked: &Looked::ALL,
        number: None,
        text: true,
        together: None,
        span,
        backward: false,
        ends_early: false,
        enough: None,
        interrupted: &|| Ok(()),
    };
    let take = |entry: Entry<'_>| {
        if let Some(line) = query.kept(&entry) {
            newest.push(line.time_ns, line.bytes(), line);
        }
        Ok(span)
    };
    crate::visit((batches, Vec::new()), &wanted, &mut [Box::new(take)])
}
