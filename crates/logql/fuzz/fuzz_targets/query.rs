//! Can any query panic, be read but do so over some line, or keep lines that its own conditions for skipping would have left unread?
#![no_main]

use std::borrow::Cow;

use causeway_logql::ast::{LogQuery, Query};
use causeway_logql::{Entry, FoundLine, detected_fields, parse};
use causeway_model::Labels;
use libfuzzer_sys::fuzz_target;

// The first line is the query, each of the others a line that it is asked about.
fuzz_target!(|text: &str| {
    let (query, lines) = text.split_once('\n').unwrap_or((text, ""));
    let Ok(query) = parse(query) else { return };
    let logs: Vec<&LogQuery> = match &query {
        Query::Log(log) => vec![log],
        Query::Metric(metric) => metric.leaves.iter().map(|leaf| &leaf.log).collect(),
    };
    let stream = Labels::new([("app", "a"), ("level", "info")]);
    let metadata: [(Cow<str>, Cow<str>); 2] = [("trace_id".into(), "abc".into()), ("status".into(), "200".into())];
    for log in logs {
        let (filters, equal) = (log.filters(), log.equal());
        let kept = |text: &str| -> Option<FoundLine> {
            let (set, number) = (None, None);
            let kept = log.kept(&Entry { time_ns: 1, text, stream: &stream, metadata: &metadata, set, count: 1, number })?;
            assert!(filters.iter().all(|filter| filter.keeps(text)), "{filters:?} of {text:?}");
            let mut needles = filters.iter().filter_map(|filter| filter.needle());
            assert!(needles.all(|needle| text.contains(needle)), "{filters:?} in {text:?}");
            let sent = |name: &str| metadata.iter().find(|(sent, _)| *sent == *name).map(|(_, value)| &**value);
            assert!(
                equal.iter().all(|(name, value)| sent(name).is_none_or(|sent| sent == value.as_str())),
                "{equal:?}"
            );
            Some(kept)
        };
        detected_fields(&lines.split('\n').filter_map(kept).collect::<Vec<_>>());
    }
});
