//! Which samples do the lines of a range make? One for each line where its value counts by itself; where only the sum does, one for all lines of a
//! series that lie in the same windows.

use causeway_model::{Error, Labels, Result};
use causeway_promql::{Samples, Selection, SeriesSet};
use hashbrown::HashMap;

use crate::ast::{Grouping, Leaf, LeafValue, Stage, Unwrap};
use crate::evaluate::line_of;
use crate::labels::{ERROR, ERROR_DETAILS, Label, LineLabels, Looked};
use crate::looks;
use crate::source::{Entry, Span};

/// Stands for the empty value of a label, which PromQL takes for one that is absent. No text has it: it is no character.
pub(crate) const EMPTY: &str = "\u{10ffff}";
/// Sets of labels of which it is remembered what becomes of them, for each thread. 1,048,576: 16 MiB.
const OUTCOMES_MAX: usize = 1 << 20;
/// Sums of a series that are not put in order yet, at least. 1,024: below that it is not worth it.
const SETTLED_MIN: usize = 1_024;
/// Samples and bytes that a thread adds before it says so.
const SAMPLES_UNTOLD: i64 = 4_096;
const BYTES_UNTOLD: i64 = 1 << 20;

/// How a range of lines is read.
pub(crate) struct Reading<'a> {
    leaf: &'a Leaf,
    /// What happens to the lines that come: conditions on the text were looked at before.
    pub stages: Vec<&'a Stage>,
    /// The labels that are looked at.
    pub looked: Looked,
    /// The label of which nothing but the number is.
    pub number: Option<&'a str>,
    /// Whether the text is.
    pub text: bool,
    /// Whether what becomes of a line depends on its labels alone.
    by_labels: bool,
    /// Whether only sums matter: those of whole numbers, which are the same in any order.
    sums: bool,
    windows: Windows,
}

impl<'a> Reading<'a> {
    pub fn of(leaf: &'a Leaf, selection: &Selection) -> Self {
        let stages = leaf.log.behind_filters();
        let by_labels = looks::labels_alone(&stages);
        Self {
            leaf,
            text: !by_labels || matches!(leaf.value, LeafValue::Bytes),
            by_labels,
            looked: looks::labels(leaf),
            number: looks::number(leaf),
            sums: matches!(leaf.value, LeafValue::One | LeafValue::Bytes),
            windows: Windows::of(selection),
            stages,
        }
    }

    /// Whether nothing but the number of the lines of a set matters.
    pub fn counts(&self) -> bool {
        self.by_labels && matches!(self.leaf.value, LeafValue::One) && !self.leaf.in_order
    }

    /// The time around a moment whose lines lie in the same windows.
    pub fn piece(&self, time_ns: i64) -> Span {
        self.windows.around(time_ns)
    }
}

/// Neighbouring ends and begins of windows: lines between two of them lie in the same windows.
#[derive(Debug, Clone, Copy)]
struct Windows {
    /// The end of the first window.
    first_ns: i64,
    /// The distance of the others, 0 where there are none.
    step_ns: i64,
    /// Their length.
    range_ns: i64,
}

impl Windows {
    /// PromQL's milliseconds are nanoseconds here.
    fn of(selection: &Selection) -> Self {
        Self { first_ns: selection.first_ms, step_ns: selection.step_ms, range_ns: selection.range_ms }
    }

    /// The time around a moment in which no window begins or ends.
    fn around(&self, time_ns: i64) -> Span {
        let (after_end, end) = self.borders(self.first_ns, time_ns);
        let (after_begin, begin) = self.borders(self.first_ns.saturating_sub(self.range_ns), time_ns);
        Span { after_ns: after_end.max(after_begin), until_ns: end.min(begin) }
    }

    /// Of borders from a first one on: the last before a moment, and the first that is not.
    fn borders(&self, first_ns: i64, time_ns: i64) -> (i64, i64) {
        if time_ns <= first_ns {
            return (i64::MIN, first_ns);
        }
        if self.step_ns <= 0 {
            return (first_ns, i64::MAX);
        }
        let steps = (time_ns.saturating_sub(first_ns) - 1) / self.step_ns;
        let before = first_ns.saturating_add(steps.saturating_mul(self.step_ns));
        (before, before.saturating_add(self.step_ns))
    }
}

/// What becomes of all lines of a set of labels.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    Unknown,
    Gone,
    Series(usize),
}

/// What was added and not told yet; less where samples became one.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Added {
    pub samples: i64,
    pub bytes: i64,
}

impl Added {
    /// All that was added, where it is much or `all` of it is wanted.
    pub fn take(&mut self, all: bool) -> Option<Self> {
        let much = self.samples >= SAMPLES_UNTOLD || self.bytes >= BYTES_UNTOLD;
        (all || much).then(|| std::mem::take(self))
    }
}

struct Growing {
    labels: Labels,
    /// Times, and how many of the values, which follow each other, have each.
    times: Vec<(i64, usize)>,
    values: Vec<f64>,
    /// How many sums there may be until they are put in order again.
    settled_max: usize,
}

/// Series as they are made by one thread.
pub(crate) struct Made<'a> {
    reading: &'a Reading<'a>,
    /// The time whose lines lie in the same windows as the last one.
    piece: Span,
    outcomes: Vec<Outcome>,
    /// By the labels as they lie in a line, of which one set may lie in several orders.
    keys: HashMap<Vec<u8>, usize>,
    numbers: HashMap<Labels, usize>,
    series: Vec<Growing>,
    /// Of each series the time and the sum that are added to: beside each other, as lines come in the order of no series. Only where sums matter.
    open: Vec<Option<(i64, f64)>>,
    key: Vec<u8>,
    pub added: Added,
}

impl<'a> Made<'a> {
    pub fn by(reading: &'a Reading<'a>) -> Self {
        Self {
            reading,
            piece: Span::NONE,
            outcomes: Vec::new(),
            keys: HashMap::new(),
            numbers: HashMap::new(),
            series: Vec::new(),
            open: Vec::new(),
            key: Vec::new(),
            added: Added::default(),
        }
    }

    /// Takes a line.
    pub fn add(&mut self, entry: &Entry<'_>) -> Result<()> {
        let known = match &self.reading.leaf.value {
            LeafValue::One => Some(f64::from(entry.count)),
            LeafValue::Bytes => Some(entry.text.len() as f64),
            LeafValue::Unwrapped(_) => entry.number,
        };
        let set = entry.set.map(|set| set as usize).filter(|set| *set < OUTCOMES_MAX);
        if let (Some(set), Some(value), true) = (set, known, self.reading.by_labels) {
            let outcome = match self.outcomes.get(set) {
                Some(Outcome::Series(number)) => Outcome::Series(*number),
                Some(Outcome::Gone) => Outcome::Gone,
                _ => {
                    let outcome = self.evaluated(entry)?.map_or(Outcome::Gone, |(number, _)| Outcome::Series(number));
                    if self.outcomes.len() <= set {
                        self.outcomes.resize(set + 1, Outcome::Unknown);
                    }
                    self.outcomes.get_mut(set).into_iter().for_each(|place| *place = outcome);
                    outcome
                }
            };
            if let Outcome::Series(number) = outcome {
                self.push(number, entry.time_ns, value);
            }
        } else if let Some((number, value)) = self.evaluated(entry)? {
            self.push(number, entry.time_ns, value);
        }
        Ok(())
    }

    /// The series of a line and its value; `None` where it counts for nothing.
    fn evaluated(&mut self, entry: &Entry<'_>) -> Result<Option<(usize, f64)>> {
        let Reading { leaf, stages, looked, .. } = self.reading;
        let mut line = line_of(entry, looked);
        if !line.pass(stages.iter().copied()) {
            return Ok(None);
        }
        let value = match &leaf.value {
            LeafValue::One => Some(f64::from(entry.count)),
            LeafValue::Bytes => Some(line.text.len() as f64),
            LeafValue::Unwrapped(unwrap) => unwrapped(unwrap, entry.number, &mut line.labels),
        };
        let Some(value) = value else { return Ok(None) };
        if let Some(error) = line.labels.error() {
            let details = line.labels.get(ERROR_DETAILS).unwrap_or_default();
            // All lines of a set say the same, whatever else the stream of the first has.
            let message = format!(
                "pipeline error: '{error}' for series: '{:?}'. Use a label filter to intentionally skip this error. (e.g | \
                 __error__!=\"{error}\"): {details}",
                entry.stream.filter(|name| looked.has(name))
            );
            return Err(Error::invalid(message));
        }
        Ok(Some((self.number(&line.labels, leaf.grouping.as_ref()), value)))
    }

    fn push(&mut self, number: usize, time_ns: i64, value: f64) {
        let mut at_ns = time_ns;
        if !self.reading.leaf.in_order {
            if !self.piece.contains(time_ns) {
                self.piece = self.reading.piece(time_ns);
            }
            at_ns = self.piece.until_ns;
        }
        let (Some(series), Some(open)) = (self.series.get_mut(number), self.open.get_mut(number)) else { return };
        let mut added = 1;
        if !self.reading.sums {
            series.push(at_ns, value);
        } else if let Some((_, sum)) = open.as_mut().filter(|(last_ns, _)| *last_ns == at_ns) {
            *sum += value;
            return;
        } else if let Some((last_ns, sum)) = open.replace((at_ns, value)) {
            series.push(last_ns, sum);
            if series.values.len() >= series.settled_max {
                added -= series.add_up() as i64;
                series.settled_max = SETTLED_MIN.max(2 * series.values.len());
            }
        }
        self.added.samples += added;
        self.added.bytes += added * size_of::<(i64, f64)>() as i64;
    }

    /// The number of the series that a line belongs to.
    fn number(&mut self, labels: &LineLabels<'_>, grouping: Option<&Grouping>) -> usize {
        self.key.clear();
        for label in grouped(labels, grouping) {
            for text in [&label.name, &label.value] {
                self.key.extend_from_slice(&(text.len() as u64).to_le_bytes());
                self.key.extend_from_slice(text.as_bytes());
            }
        }
        if let Some(number) = self.keys.get(&self.key) {
            return *number;
        }
        let value = |label: &Label<'_>| if label.value.is_empty() { EMPTY.to_owned() } else { label.value.to_string() };
        let pairs: Vec<(&str, String)> = grouped(labels, grouping).map(|label| (&*label.name, value(label))).collect();
        let labels = Labels::new(pairs.iter().map(|(name, value)| (*name, value.as_str())));
        let bytes = self.key.len() + 2 * labels.memory_bytes() + size_of::<(Growing, Option<(i64, f64)>)>();
        self.added.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        let number = self.numbered(labels);
        self.keys.insert(self.key.clone(), number);
        number
    }

    fn numbered(&mut self, labels: Labels) -> usize {
        *self.numbers.entry(labels).or_insert_with_key(|labels| {
            let (labels, times, values) = (labels.clone(), Vec::new(), Vec::new());
            self.series.push(Growing { labels, times, values, settled_max: SETTLED_MIN });
            self.open.push(None);
            self.series.len() - 1
        })
    }

    /// The series of both.
    pub fn merged(mut self, other: Self) -> Self {
        for Growing { labels, times, values, .. } in other.closed() {
            let number = self.numbered(labels);
            if let Some(all) = self.series.get_mut(number) {
                all.times.extend(times);
                all.values.extend(values);
            }
        }
        self
    }

    /// All series, with the sums that were added to last.
    fn closed(self) -> Vec<Growing> {
        let mut all = self.series;
        for (series, open) in all.iter_mut().zip(self.open) {
            open.into_iter().for_each(|(at_ns, sum)| series.push(at_ns, sum));
        }
        all
    }

    /// What was made, as PromQL reads it.
    pub fn finished(self) -> MadeSeries {
        let sums = self.reading.sums;
        let mut series = self.closed();
        for one in &mut series {
            if sums {
                one.add_up();
            } else {
                one.sort();
            }
        }
        MadeSeries(series)
    }
}

impl Growing {
    fn push(&mut self, at_ns: i64, value: f64) {
        match self.times.last_mut() {
            Some((last_ns, count)) if *last_ns == at_ns => *count += 1,
            _ => self.times.push((at_ns, 1)),
        }
        self.values.push(value);
    }

    fn samples(&self) -> impl Iterator<Item = (i64, f64)> {
        let times = self.times.iter().flat_map(|(time, count)| std::iter::repeat_n(*time, *count));
        times.zip(self.values.iter().copied())
    }

    /// Puts the values in order of time.
    fn sort(&mut self) {
        if !self.times.is_sorted_by_key(|(time, _)| *time) {
            let mut pairs: Vec<(i64, f64)> = self.samples().collect();
            pairs.sort_by_key(|(time, _)| *time);
            self.times = pairs.iter().map(|(time, _)| (*time, 1)).collect();
            self.values = pairs.into_iter().map(|(_, value)| value).collect();
        }
    }

    /// Makes one of all sums of a time; how many fewer there are then.
    fn add_up(&mut self) -> usize {
        self.sort();
        let before = self.values.len();
        let (mut times, mut values): (Vec<(i64, usize)>, Vec<f64>) = (Vec::new(), Vec::new());
        for (time, value) in self.samples() {
            match (times.last(), values.last_mut()) {
                (Some((last, _)), Some(sum)) if *last == time => *sum += value,
                _ => {
                    times.push((time, 1));
                    values.push(value);
                }
            }
        }
        (self.times, self.values) = (times, values);
        before - self.values.len()
    }
}

/// The number in a label, which goes; `None` where the line does not count.
fn unwrapped(unwrap: &Unwrap, number: Option<f64>, labels: &mut LineLabels) -> Option<f64> {
    let value = match number {
        Some(number) => Some(number),
        None => {
            let text = labels.get(&unwrap.label).filter(|text| !text.is_empty())?.to_owned();
            let value = unwrap.conversion.of(&text);
            if value.is_none() {
                labels.fail("SampleExtractionErr", format!("{}={text:?} is no such number", unwrap.label));
            }
            value
        }
    };
    let kept = unwrap.filters.iter().all(|filter| filter.keeps(labels));
    labels.remove(&unwrap.label);
    kept.then_some(value.unwrap_or(0.0))
}

/// The labels that make the series of a line.
fn grouped<'l>(labels: &'l LineLabels<'_>, grouping: Option<&'l Grouping>) -> impl Iterator<Item = &'l Label<'l>> {
    let wanted = move |name: &str| match grouping {
        None => true,
        Some(grouping) => grouping.labels.iter().any(|label| label == name) != grouping.without,
    };
    labels.iter().filter(move |label| wanted(&label.name) && ![ERROR, ERROR_DETAILS].contains(&&*label.name))
}

/// Puts each time a nanosecond before the next at least: samples of one time all count, and as windows hold their end and not their begin, none
/// leaves its window or comes into another.
fn spread(times: &mut [i64]) {
    let mut next = i64::MAX;
    for time in times.iter_mut().rev() {
        *time = (*time).min(next.saturating_sub(1));
        next = *time;
    }
}

/// Series that were made of lines.
pub(crate) struct MadeSeries(Vec<Growing>);

impl SeriesSet for MadeSeries {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.0.get(series).map_or_else(Labels::empty, |series| series.labels.clone())
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        let made = self.0.get(series).ok_or_else(|| Error::internal("no such series"))?;
        samples.clear();
        samples.values.extend_from_slice(&made.values);
        samples.times.reserve(made.values.len());
        made.times.iter().for_each(|(time, count)| samples.times.extend(std::iter::repeat_n(*time, *count)));
        spread(&mut samples.times);
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_window_begins_or_ends_within_a_piece() {
        for (first_ns, step_ns, range_ns) in [(100, 10, 25), (100, 10, 10), (100, 0, 30), (7, 3, 1), (-5, 4, 9)] {
            let windows = Windows { first_ns, step_ns, range_ns };
            let ends: Vec<i64> = (0..if step_ns == 0 { 1 } else { 20 }).map(|at| first_ns + at * step_ns).collect();
            let within = |time: i64| ends.iter().map(|end| time > end - range_ns && time <= *end).collect::<Vec<_>>();
            for time in first_ns - range_ns + 1..=ends[ends.len() / 2] {
                let piece = windows.around(time);
                assert!(piece.contains(time), "{windows:?} {time} {piece:?}");
                assert_eq!(within(time), within(piece.until_ns), "{windows:?} {time} {piece:?}");
                assert_ne!(
                    within(time),
                    within(piece.until_ns.saturating_add(1)),
                    "as long as can be: {windows:?} {time}"
                );
            }
        }
    }

    fn growing(times: &[(i64, usize)], values: &[f64]) -> Growing {
        Growing { labels: Labels::empty(), times: times.to_vec(), values: values.to_vec(), settled_max: SETTLED_MIN }
    }

    #[test]
    fn sums_of_a_time_become_one() {
        let mut sums = growing(&[(3, 1), (1, 1), (3, 1), (2, 1), (1, 1)], &[1.0, 2.0, 4.0, 8.0, 16.0]);
        assert_eq!(sums.add_up(), 2);
        assert_eq!((sums.times, sums.values), (vec![(1, 1), (2, 1), (3, 1)], vec![18.0, 8.0, 5.0]));
        let mut sorted = growing(&[(1, 2), (2, 1)], &[1.0, 2.0, 4.0]);
        assert_eq!(sorted.add_up(), 1);
        assert_eq!((sorted.times, sorted.values), (vec![(1, 1), (2, 1)], vec![3.0, 4.0]));
        assert_eq!(growing(&[], &[]).add_up(), 0);
    }

    #[test]
    fn values_of_one_time_are_all_read() {
        let mut values = growing(&[(30, 2), (10, 1), (30, 1)], &[1.0, 2.0, 4.0, 8.0]);
        values.sort();
        let mut samples = Samples::default();
        MadeSeries(vec![values]).read(0, &mut samples).unwrap();
        assert_eq!((samples.times, samples.values), (vec![10, 28, 29, 30], vec![4.0, 1.0, 2.0, 8.0]));
    }
}
