//! Which program is it? `causeway`: it serves (telemetry in, answers out) and asks.

mod change;
mod cli;
mod client;
mod config;
mod counted;
mod demo;
mod dev;
mod diagnose;
mod find;
mod flag;
mod house;
mod kinds;
mod local_store;
mod logs;
mod prometheus;
mod recording;
mod sampled;
mod serve;
mod services;
mod sql;
mod syslog;
mod table;
mod tail;
mod telemetry;
mod trace;
mod traces;
mod use_method;
mod vitals;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};

// Long-lived processes with many threads fragment under glibc's allocator; jemalloc gives memory back.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Free pages go back to the system after 1 s instead of 10: a tenth less memory at the peak of a load, for up to a twentieth more
/// CPU. jemalloc reads this symbol as a C string before anything else runs.
#[unsafe(export_name = "_rjem_malloc_conf")]
static MALLOC_CONF: &[u8; 37] = b"dirty_decay_ms:1000,muzzy_decay_ms:0\0";

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
        Command::Demo(arguments) => said(runtime.block_on(demo::run(&arguments))),
        Command::Dev(arguments) => match runtime.block_on(dev::run(&arguments)) {
            Ok(code) => ExitCode::from(code),
            Err((code, message)) => fail(code, &message),
        },
        Command::Tail(arguments) => {
            let ended = runtime.block_on(tail::run(&arguments));
            // A read of standard input can't be called off; the end of the program must not wait for it.
            runtime.shutdown_background();
            said(ended)
        }
        Command::Open(arguments) => said(runtime.block_on(recording::open(&arguments))),
        Command::Sql(arguments) => ended(runtime.block_on(sql::run(&arguments))),
        Command::Change(command) => done(runtime.block_on(change::run(&command))),
        Command::Flag(command) => done(runtime.block_on(flag::run(&command))),
        Command::Trace(arguments) => done(runtime.block_on(trace::run(&arguments))),
        Command::Triage(arguments) => done(runtime.block_on(diagnose::symptom("triage", &arguments))),
        Command::Where(arguments) => done(runtime.block_on(diagnose::symptom("where", &arguments))),
        Command::Suspects(arguments) => done(runtime.block_on(diagnose::symptom("suspects", &arguments))),
        Command::Compare(arguments) => done(runtime.block_on(diagnose::compare(&arguments))),
        Command::Validate(arguments) => done(runtime.block_on(diagnose::validate(&arguments))),
        Command::Services(arguments) => done(runtime.block_on(services::run(&arguments))),
        Command::Logs(arguments) => done(runtime.block_on(logs::run(&arguments))),
        Command::Find(arguments) => done(runtime.block_on(find::run(&arguments))),
        Command::Traces(arguments) => done(runtime.block_on(traces::run(&arguments))),
        Command::Use(arguments) => done(runtime.block_on(use_method::used(&arguments))),
        Command::Patterns(arguments) => done(runtime.block_on(kinds::patterns(&arguments))),
        Command::Errors(arguments) => done(runtime.block_on(kinds::errors(&arguments))),
        Command::Cardinality(arguments) => done(runtime.block_on(diagnose::cardinality(&arguments))),
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

fn said(result: Result<(), String>) -> ExitCode {
    result.map_or_else(|message| fail(1, &message), |()| ExitCode::SUCCESS)
}

fn done(result: Result<(), sql::Failure>) -> ExitCode {
    ended(result.map(|()| sql::Outcome::Complete))
}

fn ended(result: Result<sql::Outcome, sql::Failure>) -> ExitCode {
    match result {
        Ok(sql::Outcome::Complete) => ExitCode::SUCCESS,
        Ok(sql::Outcome::Partial) => ExitCode::from(4),
        Err(sql::Failure::Query(message)) => fail(1, &message),
        Err(sql::Failure::Connection(message)) => fail(3, &message),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    eprintln!("causeway: {message}");
    ExitCode::from(code)
}
