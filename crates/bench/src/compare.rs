//! How long does it take to say what failed spans have in common? `compare` over spans with forty attributes, asked of the real program
//! over HTTP. No peer answers this question.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use causeway_model::{Error, Result};
use serde::Deserialize;
use serde_json::json;

use crate::causeway::{Causeway, RunningCauseway};
use crate::clock;
use crate::http::Connection;
use crate::load::{self, Door};
use crate::measure::{Settings, median, milliseconds};
use crate::program::{Program, Running};
use crate::report::{Better, Cell, Row, Section};
use crate::workload::Signal;
use crate::workload::wide::{CAUSE, END, SPANS_A_BODY, START, WIDTH, body};

/// What one question took.
struct Asked {
    milliseconds: f64,
    cpu_s: f64,
    right: bool,
}

/// Measures `compare` over so many spans.
pub fn measure(program: &Causeway, seed: u64, spans: u64, settings: &Settings) -> Section {
    let title = format!("compare: failed spans with the others, {spans} spans with {WIDTH} attributes");
    let mut section = Section { title, rows: Vec::new(), notes: Vec::new() };
    if let Err(error) = measure_into(&mut section, program, seed, spans, settings) {
        section.notes.push(format!("{} could not be measured: {error}", program.name()));
    }
    section
}

fn measure_into(section: &mut Section, program: &Causeway, seed: u64, spans: u64, settings: &Settings) -> Result<()> {
    let data = settings.scratch.join("causeway-compare");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    fs::create_dir_all(&data)?;
    eprintln!("loading {spans} spans with {WIDTH} attributes into {}", program.name());
    let running = program.start_on(&data)?;
    send(&running, seed, spans, settings.connections)?;
    running.process().wait_idle(program.settle())?;
    Box::new(running).into_process().stop()?;
    // Its memory while it answers is to be seen apart from that while it loads.
    let running = program.start_on(&data)?;
    let first = ask(&running, spans)?;
    let warm = (0..settings.warm_runs).map(|_| ask(&running, spans)).collect::<Result<Vec<Asked>>>()?;
    let usage = Box::new(running).into_process().stop()?;
    let wrong = !first.right || warm.iter().any(|asked| !asked.right);
    let of_warm = |value: fn(&Asked) -> f64| median(warm.iter().map(value).collect());
    let mut row = |label: &str, value: Option<f64>| {
        section.rows.push(Row { label: label.to_owned(), better: Better::Lower, cells: vec![Cell { value, wrong }] });
    };
    row("first after a start, ms", Some(first.milliseconds));
    row("warm ms", of_warm(|asked| asked.milliseconds));
    row("warm, CPU-s of the server", of_warm(|asked| asked.cpu_s));
    row("peak RSS answering, MiB", Some(usage.peak_rss_bytes as f64 / 1_048_576.0));
    Ok(())
}

/// Makes and sends all requests; made while loading, as they would fill a disk.
fn send(running: &RunningCauseway, seed: u64, spans: u64, connections: usize) -> Result<()> {
    let (next, bodies) = (AtomicU64::new(0), spans.div_ceil(SPANS_A_BODY));
    let door = Door { host: running.otlp_http(), path: Signal::Spans.otlp_path(), signal: Signal::Spans };
    let worker = || {
        let mut connection = Connection::open(door.host)?;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= bodies {
                return Ok(());
            }
            load::send_one(&mut connection, door, &body(seed, number, spans))?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..connections.max(1)).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(Error::internal("a sender panicked"))))
    })
}

#[derive(Deserialize)]
struct Compared {
    selection: Size,
    baseline: Size,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Size {
    count: u64,
}

#[derive(Deserialize)]
struct Finding {
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    key: String,
    value: String,
}

impl Compared {
    /// All spans were counted, and what was put in stands first.
    fn is_right(&self, spans: u64) -> bool {
        let first = self.findings.first().map_or(&[][..], |finding| &finding.attributes);
        let cause = matches!(first, [only] if (only.key.as_str(), only.value.as_str()) == CAUSE);
        cause && self.selection.count + self.baseline.count == spans
    }
}

fn ask(running: &RunningCauseway, spans: u64) -> Result<Asked> {
    let population = |filter: &str| json!({ "filter": filter, "start": START, "end": END });
    let question = json!({
        "table": "spans",
        "selection": population("status_code = 2"),
        "baseline": population("status_code <> 2"),
    });
    let cpu_s = running.process().cpu_s()?;
    let start = clock::now();
    let answer = running.post("/api/v1/diagnose/compare", &question.to_string())?;
    let milliseconds = milliseconds(start.elapsed());
    let cpu_s = running.process().cpu_s()? - cpu_s;
    let compared: Compared = serde_json::from_slice(&answer)
        .map_err(|error| Error::invalid(format!("the answer is not understood: {error}")))?;
    Ok(Asked { milliseconds, cpu_s, right: compared.is_right(spans) })
}
