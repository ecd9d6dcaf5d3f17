//! How does the command run? With our terminal, environment and files, its signals passed on, its exit code ours.

use std::io::{ErrorKind, IsTerminal};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal as Send, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Where a command can't be run, and where there is none (POSIX, "Exit Status for Commands").
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The signals that are not for us but for the command.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    /// Whether Ctrl-C reaches the command by itself: it is in the terminal's group as we are.
    terminal: bool,
}

impl Signals {
    /// From now on they don't end us.
    ///
    /// # Errors
    /// When signals can't be waited for.
    pub fn new() -> std::io::Result<Self> {
        let terminal =
            std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
            terminal,
        })
    }

    /// The next one that the command does not get by itself.
    async fn next(&mut self) -> Send {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => if !self.terminal { return Send::INT },
                _ = self.terminate.recv() => return Send::TERM,
                _ = self.hang_up.recv() => return Send::HUP,
            }
        }
    }
}

/// Starts the command.
///
/// # Errors
/// The exit code, and what to tell the person in front of it.
pub fn start(command: &[String], set: Vec<(&'static str, String)>) -> Result<Child, (u8, String)> {
    let Some((program, arguments)) = command.split_first() else {
        return Err((NOT_FOUND, "there is no command".to_owned()));
    };
    Command::new(program).args(arguments).envs(set).spawn().map_err(|error| {
        let code = if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_RUNNABLE };
        (code, format!("{program}: {error}"))
    })
}

/// Waits for its end, however long it takes after a signal; what it was told, it does.
///
/// # Errors
/// When it can't be waited for.
pub async fn wait(mut child: Child, mut signals: Signals) -> std::io::Result<ExitStatus> {
    // Nothing once it has been waited for: the number may be somebody else's then.
    let process = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    loop {
        tokio::select! {
            // First, so that no signal goes to a process that has ended.
            biased;
            ended = child.wait() => return ended,
            send = signals.next() => {
                if let Some(process) = process {
                    // It may end at this moment; then there is nobody to tell.
                    let _gone = kill_process(process, send);
                }
            }
        }
    }
}

/// The exit code by which a shell would tell the same.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    u8::try_from(code).unwrap_or(u8::MAX)
}

/// A word as a shell reads it back.
pub fn shell_quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(exit_code(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_code(ExitStatus::from_raw(2)), 130);
        assert_eq!(exit_code(ExitStatus::from_raw(0)), 0);
    }

    #[test]
    fn words_come_back_as_they_were() {
        assert_eq!(shell_quoted("/a/b-c_1.d"), "/a/b-c_1.d");
        assert_eq!(shell_quoted("it's here"), "'it'\\''s here'");
    }

    #[test]
    fn a_command_that_is_not_there_says_so_as_a_shell_does() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _inside = runtime.enter();
        let code = |program: &str| start(&[program.to_owned()], Vec::new()).map(|_| ()).map_err(|(code, _)| code);
        assert_eq!(code("no-such-program-anywhere"), Err(NOT_FOUND));
        assert_eq!(code("/"), Err(NOT_RUNNABLE));
    }
}
