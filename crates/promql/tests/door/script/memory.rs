//! Where do the series of a script lie? In memory, as Prometheus' own storage would give them back.

use std::sync::Arc;

use causeway_model::{Histogram, Labels, METRIC_NAME, ResetHint, Result};
use causeway_promql::{Samples, Selection, SeriesSet, Source};
use hashbrown::HashMap;

use super::series::{Point, Series};

/// One sample: its time, its value, when accumulation began (0 where unknown).
#[derive(Debug, Clone)]
pub struct Sample {
    pub time_ms: i64,
    pub value: std::result::Result<f64, Arc<Histogram>>,
    pub start_ms: i64,
}

/// All that was loaded.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// In order of labels.
    series: Vec<(Labels, Vec<Sample>)>,
    /// Whether readers get all of a series rather than the window that they asked for; both must serve them.
    pub whole: bool,
}

impl Memory {
    /// Adds what one command loads; classic histograms also as native ones of custom bounds, where `convert` says so.
    pub fn load(&mut self, lines: &[Series], step_ms: i64, convert: bool) -> std::result::Result<(), String> {
        let mut loaded: Vec<(Labels, Vec<Sample>)> = Vec::new();
        for line in lines.iter().filter(|line| !line.starts) {
            let starts = lines.iter().find(|other| other.starts && other.labels == line.labels);
            let samples = line.points.iter().enumerate().filter_map(|(at, point)| {
                let time_ms = i64::try_from(at).ok()? * step_ms;
                let value = match point {
                    Point::Gap => return None,
                    Point::Float(value) => Ok(*value),
                    Point::Histogram(histogram, _) => Err(Arc::new(histogram.clone())),
                };
                let start_ms = match starts.and_then(|starts| starts.points.get(at)) {
                    Some(Point::Float(seconds)) => time_ms + (seconds * 1000.0).round() as i64,
                    _ => 0,
                };
                Some(Sample { time_ms, value, start_ms })
            });
            loaded.push((line.labels.clone(), samples.collect()));
        }
        if convert {
            let native = converted(&loaded)?;
            loaded.extend(native);
        }
        for (labels, samples) in loaded {
            match self.series.iter_mut().find(|(known, _)| *known == labels) {
                Some((_, known)) => {
                    known.retain(|sample| samples.iter().all(|new| new.time_ms != sample.time_ms));
                    known.extend(samples);
                    known.sort_by_key(|sample| sample.time_ms);
                }
                None => self.series.push((labels, samples)),
            }
        }
        self.series.sort_by(|(one, _), (other, _)| one.cmp(other));
        self.series.iter_mut().for_each(|(_, samples)| hint(samples));
        Ok(())
    }
}

/// Says of counters what storing them finds out: that no reset lies between a histogram and the one right before it. That one does is
/// not said (https://github.com/prometheus/prometheus/issues/15346).
fn hint(samples: &mut [Sample]) {
    for at in 1..samples.len() {
        let (Err(previous), Err(present)) = (&samples[at - 1].value, &samples[at].value) else { continue };
        if present.reset_hint != ResetHint::Unknown || previous.reset_hint == ResetHint::Gauge {
            continue;
        }
        let same_layout = present.schema == previous.schema
            && present.zero_threshold == previous.zero_threshold
            && present.custom_values == previous.custom_values;
        if same_layout && !present.detect_reset(previous) {
            let mut hinted = Histogram::clone(present);
            hinted.reset_hint = ResetHint::NotReset;
            samples[at].value = Err(Arc::new(hinted));
        }
    }
}

/// What is known of a classic histogram at one time.
#[derive(Default)]
struct Classic {
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

fn converted(loaded: &[(Labels, Vec<Sample>)]) -> std::result::Result<Vec<(Labels, Vec<Sample>)>, String> {
    let mut classics: HashMap<Labels, Vec<(i64, Classic)>> = HashMap::new();
    for (labels, samples) in loaded {
        let name = labels.metric_name().unwrap_or_default();
        let Some((base, suffix)) = name.rsplit_once('_') else { continue };
        let bound = labels.get("le").and_then(|bound| bound.parse::<f64>().ok()).filter(|bound| !bound.is_nan());
        if !matches!((suffix, bound), ("bucket", Some(_)) | ("count" | "sum", _)) {
            continue;
        }
        let times = classics.entry(labels.with("le", "").with(METRIC_NAME, base)).or_default();
        for sample in samples {
            let Ok(value) = sample.value else { continue };
            let at = match times.iter().position(|(time_ms, _)| *time_ms == sample.time_ms) {
                Some(at) => at,
                None => {
                    times.push((sample.time_ms, Classic::default()));
                    times.len() - 1
                }
            };
            let classic = &mut times[at].1;
            match suffix {
                "bucket" => {
                    // One bound may be written in several ways.
                    classic.buckets.retain(|(known, _)| Some(*known) != bound);
                    classic.buckets.extend(bound.map(|bound| (bound, value)));
                }
                "count" => classic.count = Some(value),
                _ => classic.sum = value,
            }
        }
    }
    let convert = |(time_ms, classic): (i64, Classic)| {
        let histogram = Histogram::from_cumulative(&classic.buckets, classic.count, classic.sum);
        let value = Err(Arc::new(histogram.map_err(|error| error.message)?));
        Ok(Sample { time_ms, value, start_ms: 0 })
    };
    classics
        .into_iter()
        .map(|(labels, mut times)| {
            times.sort_by_key(|(time_ms, _)| *time_ms);
            Ok((labels, times.into_iter().map(convert).collect::<std::result::Result<_, String>>()?))
        })
        .collect()
}

struct Selected {
    series: Vec<(Labels, Vec<Sample>)>,
}

impl Source for Memory {
    fn select(&self, selection: &Selection) -> Result<Arc<dyn SeriesSet>> {
        let fits = |labels: &Labels| {
            selection.matchers.iter().all(|matcher| matcher.matches(labels.get(matcher.name()).unwrap_or_default()))
        };
        let in_window = |sample: &&Sample| {
            self.whole || (sample.time_ms > selection.after_ms && sample.time_ms <= selection.until_ms)
        };
        let series = self.series.iter().filter(|(labels, _)| fits(labels));
        let series =
            series.map(|(labels, samples)| (labels.clone(), samples.iter().filter(in_window).cloned().collect()));
        Ok(Arc::new(Selected { series: series.collect() }))
    }
}

impl SeriesSet for Selected {
    fn len(&self) -> usize {
        self.series.len()
    }

    fn labels(&self, series: usize) -> Labels {
        self.series[series].0.clone()
    }

    fn read(&self, series: usize, samples: &mut Samples) -> Result<()> {
        samples.clear();
        let all = &self.series[series].1;
        let knows_starts = all.iter().any(|sample| sample.start_ms != 0);
        for sample in all {
            let (times, starts) = match &sample.value {
                Ok(value) => {
                    samples.values.push(*value);
                    (&mut samples.times, &mut samples.starts)
                }
                Err(histogram) => {
                    samples.histograms.push(histogram.clone());
                    (&mut samples.histogram_times, &mut samples.histogram_starts)
                }
            };
            times.push(sample.time_ms);
            if knows_starts {
                starts.push(sample.start_ms);
            }
        }
        Ok(())
    }
}
