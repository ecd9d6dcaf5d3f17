//! Which spans come now, as a query wants them?

use std::sync::Arc;

use causeway_live::Live;
use causeway_model::{Result, Table, Tailed};
use causeway_traceql::{SpanTail, TailQuery, TailedSpan};
use futures::stream::BoxStream;

use crate::source::spans_of;

/// The spans among what is kept just now.
pub struct LiveSpans(Arc<Live>);

impl LiveSpans {
    /// Those of this.
    pub fn new(live: Arc<Live>) -> Self {
        Self(live)
    }
}

impl SpanTail for LiveSpans {
    fn follow(&self, filter: TailQuery) -> Result<BoxStream<'static, Tailed<TailedSpan>>> {
        self.0.follow(Table::Spans, move |batches, newest| {
            for batch in &batches {
                spans_of(batch, filter.fields(), &mut |spans| {
                    for span in spans.iter().filter_map(|span| filter.kept(span)) {
                        newest.push(span.start_ns, span.bytes(), span);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    }
}
