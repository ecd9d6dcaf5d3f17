//! What does the kit cost a service for each request? The same small service without it, and with it at a tenth and at all of the traces.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdout, Command};
use std::time::Duration;

use causeway_model::{Error, Result};

use crate::clock;
use crate::http::Connection;
use crate::measure::median;
use crate::process::Process;
use crate::report::{Better, Cell, Row, Section};

/// Requests of one connection in one round: a second or two, a hundred times the grain of the processor's clock.
const REQUESTS: u32 = 12_500;
/// Rounds that count; one more before them warms. The median counts, and the variants take turns.
const ROUNDS: usize = 5;
/// Left alone so long after a round, so that what was still to be sent is in the bill: ten times the interval of sending.
const SETTLE: Duration = Duration::from_secs(1);
/// The variants, bare first: what the program is told, and what it is called here.
const VARIANTS: [(&str, &str); 3] =
    [("bare", "bare axum"), ("0.1", "with the kit, a tenth of the traces"), ("1", "with the kit, every trace")];

/// A service that runs.
struct Service {
    process: Process,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
    cpu_us: Vec<f64>,
    requests_per_s: Vec<f64>,
}

impl Service {
    fn start(program: &Path, arguments: &[&str], scratch: &Path) -> Result<Self> {
        let log = scratch.join("kit.log");
        let mut process = Process::start("the kit's service", Command::new(program).args(arguments), &log, true)?;
        let output = process.child().stdout.take().ok_or_else(|| Error::internal("no pipe"))?;
        let mut output = BufReader::new(output);
        let address = line(&mut output)?.parse();
        let address = address.map_err(|_| Error::invalid("the kit's service does not say where it is"))?;
        Ok(Self { process, output, address, cpu_us: Vec::new(), requests_per_s: Vec::new() })
    }

    /// One round of requests; what it cost counts where `counts` says so.
    fn round(&mut self, connections: usize, counts: bool) -> Result<()> {
        let (before, start) = (self.process.cpu_s()?, clock::now());
        let address = self.address;
        std::thread::scope(|scope| {
            let senders: Vec<_> = (0..connections).map(|_| scope.spawn(move || send(address))).collect();
            let mut ended = senders.into_iter().map(|sender| sender.join());
            ended.try_for_each(|ended| ended.unwrap_or_else(|_| Err(Error::internal("a sender failed"))))
        })?;
        let time = start.elapsed();
        clock::pause(SETTLE);
        if counts {
            let requests = connections as f64 * f64::from(REQUESTS);
            self.cpu_us.push((self.process.cpu_s()? - before) / requests * 1e6);
            self.requests_per_s.push(requests / time.as_secs_f64().max(1e-9));
        }
        Ok(())
    }
}

fn line(output: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

fn send(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address)?;
    for _ in 0..REQUESTS {
        connection.request("GET", "/orders/17", "Accept: */*", b"")?.success()?;
    }
    Ok(())
}

/// Processor time and requests a second of each variant; `program` is the kit's example `overhead`.
pub fn overhead(program: &Path, scratch: &Path, connections: usize) -> Result<Section> {
    eprintln!("measuring the kit's overhead");
    fs::create_dir_all(scratch)?;
    let receiver = Service::start(program, &["receiver"], scratch)?;
    let url = format!("http://{}", receiver.address);
    let start = |(variant, _): (&str, &str)| match variant {
        "bare" => Service::start(program, &[variant], scratch),
        share => Service::start(program, &[share, &url], scratch),
    };
    let mut services = VARIANTS.into_iter().map(start).collect::<Result<Vec<_>>>()?;
    for round in 0..=ROUNDS {
        for service in &mut services {
            service.round(connections, round > 0)?;
        }
    }
    let requests = connections as u64 * u64::from(REQUESTS);
    let title =
        format!("the kit's overhead: median of {ROUNDS} rounds of {requests} requests over {connections} connections");
    let mut section = Section { title, rows: Vec::new(), notes: Vec::new() };
    let row = |label: String, better, value| Row { label, better, cells: vec![Cell::of(value)] };
    for ((_, name), service) in VARIANTS.into_iter().zip(services) {
        section.rows.push(row(format!("{name}, CPU-us a request"), Better::Lower, median(service.cpu_us)));
        section.rows.push(row(format!("{name}, requests/s"), Better::Higher, median(service.requests_per_s)));
        let mut output = service.output;
        service.process.stop()?;
        let lost = line(&mut output)?;
        if !lost.is_empty() && lost != "0" {
            section.notes.push(format!("{name}: {lost} spans were lost"));
        }
    }
    receiver.process.stop()?;
    Ok(section)
}
