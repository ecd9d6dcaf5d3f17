//! Which program is it? `causeway`: it serves (telemetry in, answers out) and asks.

mod cli;
mod config;
mod diagnose;
mod house;
mod serve;
mod sql;
mod table;
mod telemetry;
mod vitals;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

// Long-lived processes with many threads fragment under glibc's allocator; jemalloc gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("causeway-io").build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(1, &format!("no threads can be started: {error}")),
    };
    match cli.command {
        Command::Serve(arguments) => {
            let settings = match arguments.settings() {
                Ok(settings) => settings,
                Err(error) => return fail(2, &error.message),
            };
            match runtime.block_on(serve::run(settings, arguments.print_addresses)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => fail(1, &error.message),
            }
        }
        Command::Sql(arguments) => match runtime.block_on(sql::run(&arguments)) {
            Ok(sql::Outcome::Complete) => ExitCode::SUCCESS,
            Ok(sql::Outcome::Partial) => ExitCode::from(4),
            Err(sql::Failure::Query(message)) => fail(1, &message),
            Err(sql::Failure::Connection(message)) => fail(3, &message),
        },
        Command::Triage(arguments) => diagnosed(runtime.block_on(diagnose::symptom("triage", &arguments))),
        Command::Where(arguments) => diagnosed(runtime.block_on(diagnose::symptom("where", &arguments))),
        Command::Suspects(arguments) => diagnosed(runtime.block_on(diagnose::symptom("suspects", &arguments))),
        Command::Compare(arguments) => diagnosed(runtime.block_on(diagnose::compare(&arguments))),
        Command::Validate(arguments) => diagnosed(runtime.block_on(diagnose::validate(&arguments))),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "causeway", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Version => {
            println!("causeway {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
    }
}

fn diagnosed(outcome: Result<(), sql::Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sql::Failure::Query(message)) => fail(1, &message),
        Err(sql::Failure::Connection(message)) => fail(3, &message),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("causeway: {message}");
    ExitCode::from(code)
}
