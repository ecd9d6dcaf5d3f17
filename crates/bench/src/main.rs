//! How fast is Causeway, beside its peers? Makes a workload from a seed, loads each program with it, asks the same
//! questions and prints the figures side by side.

#![allow(missing_docs, reason = "a program's insides: what a name does not say is commented")]

mod causeway;
mod chdb;
mod clock;
mod compare;
mod http;
mod kit;
mod languages;
mod limits;
mod load;
mod measure;
mod process;
mod program;
mod prometheus;
mod promql;
mod query;
mod report;
mod victoria;
mod workload;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use causeway_model::Result;
use clap::{Parser, ValueEnum};

use crate::measure::Settings;
use crate::program::Program;
use crate::report::{Report, Section};
use crate::victoria::{Family, Victoria};
use crate::workload::Signal;
use crate::workload::files::{Dataset, Plan};

/// Measures Causeway beside its peers.
#[derive(Debug, Parser)]
#[command(name = "causeway-bench")]
struct Arguments {
    /// The causeway program; without it only the peers are measured.
    #[arg(long)]
    causeway: Option<PathBuf>,
    /// Where peers.sh installed the peers; those that are missing are left out.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Where workloads are kept and data is written; outside the checkout.
    #[arg(long, default_value = "/tmp/causeway-bench")]
    cache: PathBuf,
    /// The kit's example `overhead`; without it the kit is not measured.
    #[arg(long)]
    kit: Option<PathBuf>,
    /// Measure one section that needs no workload, and nothing else.
    #[arg(long, value_name = "SECTION")]
    alone: Option<Alone>,
    /// A tenth of the logs and spans and a twentieth of the samples, for a first look.
    #[arg(long)]
    quick: bool,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Traces of the workload; each has ten lines and about eight spans. Overrides --quick.
    #[arg(long)]
    traces: Option<u64>,
    /// What is measured; `otlp-metrics` is the loading of the metrics' samples by OTLP instead of remote write.
    #[arg(long, value_delimiter = ',', default_value = "logs,spans,metrics")]
    signals: Vec<Signal>,
    /// Connections that send at once.
    #[arg(long, default_value_t = 4)]
    connections: usize,
    /// Warm runs of each question; the median counts.
    #[arg(long, default_value_t = 7)]
    warm_runs: usize,
    /// Also measure a start with at least so many logs on disk: the workload's, loaded again and again.
    #[arg(long)]
    start_records: Option<u64>,
    /// Spans with forty attributes for `compare`, 0 to leave it out: 10,000,000, or 500,000 with --quick.
    #[arg(long)]
    compare_spans: Option<u64>,
    /// Also write the report here.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Make the workload and stop.
    #[arg(long)]
    prepare_only: bool,
    /// Keep the programs' data and logs.
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Alone {
    Compare,
    Kit,
}

impl Arguments {
    fn settings(&self) -> Settings {
        let scratch = self.cache.join("data");
        Settings { scratch, connections: self.connections, warm_runs: self.warm_runs }
    }

    /// The signals that are made: those that are measured, and the logs of a start.
    fn prepared(&self) -> Vec<Signal> {
        let of_start = self.start_records.map(|_| Signal::Logs);
        self.signals.iter().copied().chain(of_start).collect()
    }

    fn plan(&self) -> Plan {
        let (traces, series, samples_per_series) =
            if self.quick { (20_000, 10_000, 24) } else { (200_000, 20_000, 240) };
        Plan { seed: self.seed, traces: self.traces.unwrap_or(traces), series, samples_per_series }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("causeway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    fs::create_dir_all(&arguments.cache)?;
    if let Some(alone) = arguments.alone {
        let section = match alone {
            Alone::Compare => comparison(arguments),
            Alone::Kit => kit_overhead(arguments)?,
        };
        let sections = section.into_iter().collect();
        return write(arguments, Report { programs: vec!["Causeway".to_owned()], preamble: vec![machine()], sections });
    }
    eprintln!("preparing the workload in {}", arguments.cache.display());
    let dataset = Dataset::prepare(&arguments.cache, &arguments.plan(), &arguments.prepared())?;
    if arguments.prepare_only {
        return Ok(());
    }
    let programs = programs(arguments);
    let settings = arguments.settings();
    let (mut names, mut measured) = (vec!["Causeway".to_owned()], Vec::new());
    let mut preamble = vec![machine(), workload_line(arguments)];
    for program in &programs {
        preamble.push(format!("{}: {}", program.name(), program.version()));
        if program.name() != "Causeway" {
            names.push(program.name().to_owned());
        }
    }
    preamble.extend(missing(arguments));
    for signal in &arguments.signals {
        measured.push(measure::signal(&programs, &dataset, *signal, &settings));
    }
    if let Some(records) = arguments.start_records {
        measured.push(measure::start(&programs, &dataset, records, &settings));
    }
    measured.extend(comparison(arguments));
    if arguments.causeway.is_none() {
        // Ours is always the first column, present or not.
        for row in measured.iter_mut().flat_map(|section| &mut section.rows) {
            row.cells.insert(0, report::Cell::of(None));
        }
    }
    measured.push(limits::zstd(&dataset, &arguments.signals)?);
    measured.push(limits::decode(&dataset, &arguments.signals)?);
    measured.push(limits::count(&dataset, &arguments.signals)?);
    measured.extend(kit_overhead(arguments)?);
    write(arguments, Report { programs: names, preamble, sections: measured })?;
    if arguments.keep { Ok(()) } else { measure::clean(&settings.scratch) }
}

fn comparison(arguments: &Arguments) -> Option<Section> {
    let spans = arguments.compare_spans.unwrap_or(if arguments.quick { 500_000 } else { 10_000_000 });
    let path = arguments.causeway.clone().filter(|_| spans > 0)?;
    Some(compare::measure(
        &causeway::Causeway { path, in_languages: false },
        arguments.seed,
        spans,
        &arguments.settings(),
    ))
}

fn kit_overhead(arguments: &Arguments) -> Result<Option<Section>> {
    let scratch = arguments.cache.join("data");
    arguments.kit.as_deref().map(|program| kit::overhead(program, &scratch, arguments.connections)).transpose()
}

fn write(arguments: &Arguments, report: Report) -> Result<()> {
    let report = report.markdown();
    println!("{report}");
    if let Some(out) = &arguments.out {
        fs::write(out, report)?;
    }
    Ok(())
}

/// The programs that are there, ours first.
fn programs(arguments: &Arguments) -> Vec<Box<dyn Program>> {
    let mut programs: Vec<Box<dyn Program>> = Vec::new();
    if let Some(path) = &arguments.causeway {
        for in_languages in [false, true] {
            programs.push(Box::new(causeway::Causeway { path: path.clone(), in_languages }));
        }
    }
    let Some(peers) = &arguments.peers else { return programs };
    for (family, name) in [(Family::Logs, "victoria-logs"), (Family::Metrics, "victoria-metrics")] {
        let path = peers.join("bin").join(name);
        if path.exists() {
            // `go install` stamps no version; peers.sh notes what it asked for.
            let version = fs::read_to_string(peers.join(format!("{name}.version")));
            let version = version.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned());
            programs.push(Box::new(Victoria { family, path, version }));
        }
    }
    let path = peers.join("bin/prometheus");
    if path.exists() {
        programs.push(Box::new(prometheus::Prometheus { path }));
    }
    let python = peers.join("venv/bin/python");
    if python.exists() {
        programs.push(Box::new(chdb::Chdb { python }));
    }
    programs
}

/// A line for each peer that is not there.
fn missing(arguments: &Arguments) -> Vec<String> {
    let all = ["bin/victoria-logs", "bin/victoria-metrics", "bin/prometheus", "venv/bin/python"];
    let absent = all.into_iter().filter(|path| arguments.peers.as_ref().is_none_or(|peers| !peers.join(path).exists()));
    absent.map(|path| format!("not measured, as it is not installed: {path} (crates/bench/peers.sh)")).collect()
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':'))
            .map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    let memory = field(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal");
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!(
        "machine: {cores} cores of {}, {memory} memory, Linux {}, load before the run {}, sender on the same cores",
        field(&cpu, "model name"),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default()
    )
}

fn workload_line(arguments: &Arguments) -> String {
    let plan = arguments.plan();
    format!(
        "workload: seed {}, {} traces, {} series of {} samples; logs and spans by OTLP/HTTP uncompressed, metrics by remote write 1.0, over {} connections; warm: median of {}",
        plan.seed, plan.traces, plan.series, plan.samples_per_series, arguments.connections, arguments.warm_runs
    )
}
