//! How do the programs compare on one signal? Loaded one after the other, then asked in turns, so that a noisy moment of the
//! machine falls on all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_model::{Error, Result};

use crate::clock;
use crate::load::Load;
use crate::process::{self, Usage};
use crate::program::{Program, Running};
use crate::query::{Answer, Compared, Query};
use crate::report::{Better, Cell, Row, Section};
use crate::workload::Signal;
use crate::workload::files::{Bodies, Dataset};

/// A program just started is left alone so long before its memory counts as idle.
const IDLE_AFTER_START: Duration = Duration::from_secs(3);

/// Starts with much data; the median counts.
const STARTS: usize = 5;

/// How it is measured.
#[derive(Debug, Clone)]
pub struct Settings {
    pub scratch: PathBuf,
    pub connections: usize,
    pub warm_runs: usize,
}

/// A program with its data of one signal.
struct Candidate<'a> {
    program: &'a dyn Program,
    data: PathBuf,
}

/// What loading one program came to.
struct Loaded {
    load: Load,
    usage: Usage,
    idle_rss_bytes: u64,
    disk_bytes: u64,
}

/// Measures all programs on one signal. A program that takes no such signal has empty cells; one that fails has the reason
/// in a note, and the others go on.
pub fn signal(programs: &[Box<dyn Program>], dataset: &Dataset, signal: Signal, settings: &Settings) -> Section {
    let bodies = dataset.bodies(signal);
    let mut section = Section::new(signal, &bodies);
    let mut ready = Vec::new();
    let mut loads = Vec::new();
    for program in programs {
        let candidate = program.takes(signal).then(|| Candidate {
            program: program.as_ref(),
            data: settings.scratch.join(format!("{}-{}", program.name(), signal.name())),
        });
        let loaded = candidate.as_ref().map(|candidate| load_one(candidate, dataset, signal, settings));
        let (candidate, loaded) = match loaded {
            Some(Ok(loaded)) => (candidate, Some(loaded)),
            Some(Err(error)) => {
                section.notes.push(format!("{} could not be loaded: {error}", program.name()));
                (None, None)
            }
            None => (None, None),
        };
        ready.push(candidate);
        loads.push(loaded);
    }
    section.rows.extend(load_rows(&loads, &bodies, signal));
    for (program, loaded) in programs.iter().zip(&loads) {
        if let Some(loaded) = loaded.as_ref().filter(|loaded| loaded.load.retries > 0) {
            section.notes.push(format!("{} put {} requests off", program.name(), loaded.load.retries));
        }
    }
    let queries: Vec<Query> = Query::ALL.into_iter().filter(|query| query.signal() == signal).collect();
    if !queries.is_empty() {
        cold(&ready, dataset, &queries, &mut section);
        warm(&ready, dataset, &queries, settings, &mut section);
    }
    if signal == Signal::Metrics {
        merged(&ready, bodies.records, &mut section);
    }
    section
}

fn start_empty(candidate: &Candidate, signal: Signal) -> Result<Box<dyn Running>> {
    eprintln!("loading {} into {}", signal.name(), candidate.program.name());
    if candidate.data.exists() {
        fs::remove_dir_all(&candidate.data)?;
    }
    fs::create_dir_all(&candidate.data)?;
    candidate.program.start(&candidate.data)
}

fn load_one(candidate: &Candidate, dataset: &Dataset, signal: Signal, settings: &Settings) -> Result<Loaded> {
    let mut running = start_empty(candidate, signal)?;
    clock::pause(IDLE_AFTER_START);
    let (idle_rss_bytes, _) = running.process().rss_bytes()?;
    let load = running.load(dataset, signal, settings.connections)?;
    let sent = dataset.bodies(signal).records;
    if load.records != sent {
        return Err(Error::internal(format!("{} of {sent} records were taken", load.records)));
    }
    running.process().wait_idle(candidate.program.settle())?;
    let usage = running.into_process().stop()?;
    Ok(Loaded { load, usage, idle_rss_bytes, disk_bytes: process::disk_bytes(&candidate.data)? })
}

fn load_rows(loads: &[Option<Loaded>], bodies: &Bodies, signal: Signal) -> Vec<Row> {
    const MIB: f64 = 1_048_576.0;
    let records = bodies.records.max(1) as f64;
    let row = |label: &str, better, value: &dyn Fn(&Loaded) -> f64| {
        let cells = loads.iter().map(|loaded| Cell::of(loaded.as_ref().map(value))).collect();
        Row { label: label.to_owned(), better, cells }
    };
    vec![
        row(&format!("{}/s", signal.unit()), Better::Higher, &|one| records / one.load.time.as_secs_f64().max(1e-9)),
        row("CPU-s per million", Better::Lower, &|one| one.usage.cpu_s / records * 1e6),
        row("bytes each on disk", Better::Lower, &|one| one.disk_bytes as f64 / records),
        row("peak RSS loading, MiB", Better::Lower, &|one| one.usage.peak_rss_bytes as f64 / MIB),
        row("idle RSS after start, MiB", Better::Lower, &|one| one.idle_rss_bytes as f64 / MIB),
    ]
}

/// Each question as the first after a start with nothing of the data in memory.
fn cold(candidates: &[Option<Candidate>], dataset: &Dataset, queries: &[Query], section: &mut Section) {
    let mut starts: Vec<Vec<f64>> = candidates.iter().map(|_| Vec::new()).collect();
    for query in queries {
        let mut row = Row::empty(&format!("{}, cold ms", query.label()), Better::Lower);
        for (candidate, starts) in candidates.iter().zip(&mut starts) {
            let outcome = candidate.as_ref().map(|candidate| cold_one(candidate, dataset, *query));
            row.cells.push(match outcome {
                Some(Ok((start, asked))) => {
                    starts.push(milliseconds(start));
                    Cell::of(asked.map(milliseconds))
                }
                Some(Err(_)) | None => Cell::of(None),
            });
        }
        section.rows.push(row);
    }
    let cells = starts.into_iter().map(|all| Cell::of(median(all))).collect();
    section.rows.push(Row { label: "start to ready with data, cold ms".to_owned(), better: Better::Lower, cells });
}

fn cold_one(candidate: &Candidate, dataset: &Dataset, query: Query) -> Result<(Duration, Option<Duration>)> {
    process::drop_page_cache(&candidate.data)?;
    let mut running = candidate.program.start(&candidate.data)?;
    let asked = running.ask(query, &dataset.manifest.known);
    let process = running.into_process();
    let ready_after = process.ready_after;
    process.stop()?;
    // What goes wrong with a question is reported by its warm runs.
    Ok((ready_after, asked.ok().flatten().map(|timed| timed.time)))
}

/// Bytes once more where a program can be told to merge: as it would lie there after a quiet day.
fn merged(candidates: &[Option<Candidate>], records: u64, section: &mut Section) {
    let mut row = Row::empty("bytes each on disk, merged", Better::Lower);
    for candidate in candidates {
        let outcome = candidate.as_ref().map(merge_one);
        if let (Some(candidate), Some(Err(error))) = (candidate, &outcome) {
            section.notes.push(format!("{} could not be merged: {error}", candidate.program.name()));
        }
        let disk_bytes = outcome.and_then(Result::ok).flatten();
        row.cells.push(Cell::of(disk_bytes.map(|bytes| bytes as f64 / records.max(1) as f64)));
    }
    section.rows.push(row);
}

fn merge_one(candidate: &Candidate) -> Result<Option<u64>> {
    let mut running = candidate.program.start(&candidate.data)?;
    let merges = running.merge()?;
    if merges {
        running.process().wait_idle(candidate.program.settle())?;
    }
    running.into_process().stop()?;
    if merges { process::disk_bytes(&candidate.data).map(Some) } else { Ok(None) }
}

/// How long the programs take to start with at least so many logs on disk.
pub fn start(programs: &[Box<dyn Program>], dataset: &Dataset, records: u64, settings: &Settings) -> Section {
    let loads = records.div_ceil(dataset.bodies(Signal::Logs).records.max(1));
    let title = format!("start with {} logs on disk", loads * dataset.bodies(Signal::Logs).records);
    let mut section = Section { title, rows: Vec::new(), notes: Vec::new() };
    let mut row = Row::empty(&format!("start to ready, cold ms, median of {STARTS}"), Better::Lower);
    for program in programs {
        let outcome = program.takes(Signal::Logs).then(|| {
            let data = settings.scratch.join(format!("{}-start", program.name()));
            start_one(&Candidate { program: program.as_ref(), data }, dataset, loads, settings)
        });
        if let Some(Err(error)) = &outcome {
            section.notes.push(format!("{} could not be measured: {error}", program.name()));
        }
        row.cells.push(Cell::of(outcome.and_then(Result::ok).and_then(median)));
    }
    section.rows.push(row);
    section
}

fn start_one(candidate: &Candidate, dataset: &Dataset, loads: u64, settings: &Settings) -> Result<Vec<f64>> {
    let mut running = start_empty(candidate, Signal::Logs)?;
    for _ in 0..loads {
        running.load(dataset, Signal::Logs, settings.connections)?;
    }
    running.process().wait_idle(candidate.program.settle())?;
    running.into_process().stop()?;
    let start = |_| {
        process::drop_page_cache(&candidate.data)?;
        let process = candidate.program.start(&candidate.data)?.into_process();
        let ready_after = process.ready_after;
        process.stop()?;
        Ok(milliseconds(ready_after))
    };
    (0..STARTS).map(start).collect()
}

/// Each question several times, the programs in turns; and whether they agree.
fn warm(
    candidates: &[Option<Candidate>],
    dataset: &Dataset,
    queries: &[Query],
    settings: &Settings,
    section: &mut Section,
) {
    let mut running: Vec<Option<Box<dyn Running>>> = Vec::new();
    for candidate in candidates {
        running.push(candidate.as_ref().and_then(|candidate| match candidate.program.start(&candidate.data) {
            Ok(running) => Some(running),
            Err(error) => {
                section.notes.push(format!("{} did not start again: {error}", candidate.program.name()));
                None
            }
        }));
    }
    for query in queries {
        warm_one(candidates, &mut running, dataset, *query, settings, section);
    }
    let mut row = Row::empty("peak RSS answering, MiB", Better::Lower);
    for program in running {
        let usage = program.and_then(|program| program.into_process().stop().ok());
        row.cells.push(Cell::of(usage.map(|usage| usage.peak_rss_bytes as f64 / 1_048_576.0)));
    }
    section.rows.push(row);
}

fn warm_one(
    candidates: &[Option<Candidate>],
    running: &mut [Option<Box<dyn Running>>],
    dataset: &Dataset,
    query: Query,
    settings: &Settings,
    section: &mut Section,
) {
    let mut times: Vec<Vec<f64>> = running.iter().map(|_| Vec::new()).collect();
    let mut answers: Vec<Option<Answer>> = running.iter().map(|_| None).collect();
    // The first round only warms.
    for round in 0..=settings.warm_runs {
        for (index, program) in running.iter_mut().enumerate() {
            let Some(program) = program else { continue };
            match program.ask(query, &dataset.manifest.known) {
                Ok(Some(timed)) if round > 0 => times[index].push(milliseconds(timed.time)),
                Ok(Some(timed)) => answers[index] = Some(timed.answer),
                Ok(None) => {}
                Err(error) if round == 0 => {
                    let name = candidates[index].as_ref().map_or("", |candidate| candidate.program.name());
                    section.notes.push(format!("{name}, {}: {error}", query.label()));
                }
                Err(_) => {}
            }
        }
    }
    let expected = dataset.manifest.truth.get(&query).copied().or_else(|| reference(candidates, &answers, query));
    let cells = times.into_iter().zip(&answers).zip(candidates).map(|((times, answer), candidate)| {
        let wrong = candidate.as_ref().zip(*answer).zip(expected).is_some_and(|((candidate, answer), expected)| {
            let compared = candidate.program.compared(query);
            let wrong = !answer.agrees(&expected, compared);
            let told = format!("{}, {}: {answer}", candidate.program.name(), query.label());
            if wrong {
                section.notes.push(format!("{told}, expected {expected}"));
            } else if compared == Compared::Rows {
                section.notes.push(format!("{told}, beside {expected}; only rows are compared"));
            }
            wrong
        });
        Cell { value: median(times), wrong }
    });
    let cells = cells.collect();
    section.rows.push(Row { label: format!("{}, warm ms", query.label()), better: Better::Lower, cells });
}

/// What the programs are compared with where the generator does not know: the answer of the one that defines it, else of
/// the first that answered.
fn reference(candidates: &[Option<Candidate>], answers: &[Option<Answer>], query: Query) -> Option<Answer> {
    let defining = candidates
        .iter()
        .position(|candidate| candidate.as_ref().is_some_and(|candidate| candidate.program.defines(query.signal())));
    let defined = defining.and_then(|at| answers.get(at).copied().flatten());
    defined.or_else(|| answers.iter().flatten().next().copied())
}

/// A time in milliseconds.
pub fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The middle of these, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    Some((upper + *values.get(middle.checked_sub(1)?)?) / 2.0)
}

/// Removes what was loaded.
pub fn clean(scratch: &Path) -> Result<()> {
    if scratch.exists() {
        fs::remove_dir_all(scratch)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
    }
}
