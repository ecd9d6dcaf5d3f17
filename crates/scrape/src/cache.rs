//! What is remembered of a target's series between two scrapes? What relabeling made of them, their last samples, and which are followed so
//! that their end is noted.

use causeway_ingest::prometheus::Known;
use causeway_model::{Error, ErrorKind, Labels, Result};
use hashbrown::HashMap;

/// Series of one target that are remembered; a scrape with more fails. As many rows as one request may have.
pub(crate) const SERIES_MAX: usize = 1 << 20;

/// Scrapes that fail may leave so many series behind beyond twice those of the last that went well (Prometheus, scrape/scrape.go).
const LEFTOVERS_MAX: usize = 1_000;

/// The UTC day of a time in milliseconds since 1970.
pub(crate) fn day_of(time_ms: i64) -> i64 {
    causeway_model::day_of(time_ms.saturating_mul(1_000_000))
}

/// A sample's time, and what tells its value from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) time_ms: i64,
    pub(crate) value: u64,
}

/// What a series as it was exposed came to.
#[derive(Debug, Clone, Copy)]
struct Exposed {
    scrape: u64,
    /// Nothing where relabeling drops it.
    series_id: Option<u128>,
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    /// The last sample that was kept.
    last: Option<Stamp>,
    /// The last sample of a scrape that is not over.
    scraped: Option<(u64, Stamp)>,
    /// Scrape that saw it last.
    scrape: u64,
    /// Scrape that followed it last.
    followed: u64,
    /// Whether the last scrape followed it.
    was_followed: bool,
    exemplar: Option<Stamp>,
}

/// Whether a sample can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Added,
    /// It is there already.
    Same,
    /// Another value has its time.
    Duplicate,
    /// A later one is there.
    OutOfOrder,
}

/// The memory of one target.
#[derive(Debug, Default)]
pub(crate) struct SeriesCache {
    /// Number of the scrape that runs.
    scrape: u64,
    exposed: HashMap<u128, Exposed>,
    series: HashMap<u128, Series>,
    /// How many there were in the last scrape that went well.
    exposed_before: usize,
    /// Days for which series have their rows in the store.
    pub(crate) known: Known,
}

/// What is known of a series that was exposed.
pub(crate) enum Lookup {
    /// Nothing.
    New,
    /// Relabeling drops it.
    Dropped,
    Series {
        id: u128,
        labels: Labels,
        /// Whether it stood in this scrape before.
        again: bool,
    },
}

impl SeriesCache {
    /// Forgets what relabeling said, as its rules have changed.
    pub(crate) fn forget_names(&mut self) {
        self.exposed.clear();
    }

    pub(crate) fn begin(&mut self) {
        self.scrape = self.scrape.wrapping_add(1);
    }

    pub(crate) fn lookup(&mut self, exposed: u128) -> Lookup {
        let scrape = self.scrape;
        let Some(known) = self.exposed.get_mut(&exposed) else { return Lookup::New };
        let again = known.scrape == scrape;
        known.scrape = scrape;
        match known.series_id {
            None => Lookup::Dropped,
            Some(id) => match self.series.get(&id) {
                Some(series) => Lookup::Series { id, labels: series.labels.clone(), again },
                None => Lookup::New,
            },
        }
    }

    fn remember(&mut self, exposed: u128, series_id: Option<u128>) -> Result<()> {
        if self.exposed.len() >= 2 * SERIES_MAX {
            return Err(Error::new(ErrorKind::TooLarge, format!("target has more than {SERIES_MAX} series")));
        }
        self.exposed.insert(exposed, Exposed { scrape: self.scrape, series_id });
        Ok(())
    }

    /// Remembers that relabeling drops a series.
    pub(crate) fn drop_series(&mut self, exposed: u128) -> Result<()> {
        self.remember(exposed, None)
    }

    /// Remembers a series that got a sample.
    pub(crate) fn name_series(&mut self, exposed: u128, series_id: u128) -> Result<()> {
        self.remember(exposed, Some(series_id))
    }

    /// Whether a sample can be added to a series. It counts only after [`Self::succeed`].
    pub(crate) fn admit(&mut self, id: u128, labels: &Labels, stamp: Stamp) -> Admission {
        let scrape = self.scrape;
        let series = self.series.entry(id).or_insert_with(|| Series {
            labels: labels.clone(),
            last: None,
            scraped: None,
            scrape,
            followed: 0,
            was_followed: false,
            exemplar: None,
        });
        series.scrape = scrape;
        let running = series.scraped.filter(|(of, _)| *of == scrape).map(|(_, stamp)| stamp);
        match running.or(series.last) {
            Some(last) if stamp == last => Admission::Same,
            Some(last) if stamp.time_ms == last.time_ms => Admission::Duplicate,
            Some(last) if stamp.time_ms < last.time_ms => Admission::OutOfOrder,
            _ => {
                series.scraped = Some((scrape, stamp));
                Admission::Added
            }
        }
    }

    /// Whether an exemplar is not older than the last one, nor the same.
    pub(crate) fn admit_exemplar(&mut self, id: u128, stamp: Stamp) -> bool {
        let Some(series) = self.series.get_mut(&id) else { return false };
        let is_new = series.exemplar.is_none_or(|last| stamp.time_ms >= last.time_ms && stamp.value != last.value);
        if is_new {
            series.exemplar = Some(stamp);
        }
        is_new
    }

    /// Follows a series, so that its end is noted.
    pub(crate) fn follow(&mut self, id: u128) {
        let scrape = self.scrape;
        if let Some(series) = self.series.get_mut(&id) {
            series.followed = scrape;
        }
    }

    /// Ends a scrape that went well, and says which series ended.
    pub(crate) fn succeed(&mut self, time_ms: i64) -> Vec<Labels> {
        let scrape = self.scrape;
        self.exposed.retain(|_, exposed| exposed.scrape == scrape);
        self.exposed_before = self.exposed.len();
        let mut ended = Vec::new();
        self.series.retain(|_, series| {
            if let Some((of, stamp)) = series.scraped
                && of == scrape
            {
                series.last = Some(stamp);
            }
            let is_followed = series.followed == scrape;
            if series.was_followed && !is_followed {
                ended.extend(stale(series, time_ms));
            }
            series.was_followed = is_followed;
            series.scrape == scrape
        });
        ended
    }

    /// Ends a scrape that failed, or all scraping: every series that was followed ended.
    pub(crate) fn fail(&mut self, time_ms: i64) -> Vec<Labels> {
        if self.exposed.len() > self.exposed_before.saturating_mul(2).saturating_add(LEFTOVERS_MAX) {
            self.exposed.clear();
            self.series.retain(|_, series| series.was_followed || series.last.is_some());
        }
        let mut ended = Vec::new();
        for series in self.series.values_mut().filter(|series| series.was_followed) {
            series.was_followed = false;
            ended.extend(stale(series, time_ms));
        }
        if self.series.len() > SERIES_MAX {
            self.series.clear();
        }
        ended
    }
}

/// Notes the end of a series, unless a later sample is there.
fn stale(series: &mut Series, time_ms: i64) -> Option<Labels> {
    if series.last.is_some_and(|last| last.time_ms >= time_ms) {
        return None;
    }
    series.last = Some(Stamp { time_ms, value: causeway_model::Histogram::STALE });
    Some(series.labels.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn labels(number: u8) -> Labels {
        Labels::new([("__name__", "a"), ("number", number.to_string().as_str())])
    }

    /// Scrapes some series, or fails after them.
    fn scrape(cache: &mut SeriesCache, time_ms: i64, series: &[u8], fails: bool) -> BTreeSet<Labels> {
        cache.begin();
        for number in series {
            let id = u128::from(*number);
            let stamp = Stamp { time_ms, value: 1 };
            if let Lookup::Series { again: true, .. } = cache.lookup(id) {
                continue;
            }
            assert_eq!(cache.admit(id, &labels(*number), stamp), Admission::Added);
            cache.name_series(id, id).unwrap();
            cache.follow(id);
        }
        let ended = if fails { cache.fail(time_ms) } else { cache.succeed(time_ms) };
        let count = ended.len();
        let ended: BTreeSet<Labels> = ended.into_iter().collect();
        assert_eq!(ended.len(), count);
        ended
    }

    proptest! {
        #[test]
        fn what_was_there_and_is_not_ends_once(scrapes in prop::collection::vec((prop::collection::vec(0u8..8, 0..8), any::<bool>()), 1..20)) {
            let mut cache = SeriesCache::default();
            let mut alive = BTreeSet::new();
            for ((series, fails), time_ms) in scrapes.iter().zip(1i64..) {
                let there: BTreeSet<Labels> =
                    series.iter().filter(|_| !fails).map(|number| labels(*number)).collect();
                let expected: BTreeSet<Labels> = alive.difference(&there).cloned().collect();
                prop_assert_eq!(scrape(&mut cache, time_ms, series, *fails), expected);
                alive = there;
                prop_assert!(cache.series.len() <= 8 && cache.exposed.len() <= 8);
            }
        }
    }
}
