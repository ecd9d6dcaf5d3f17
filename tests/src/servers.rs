//! How are a real PostgreSQL and a real Redis had for a test? Of the system's packages, on ports and in folders of their own, ended by process id.
//!
//! Only the standard library: the kit's tests use this file too, and may not see this crate.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// A server that runs; it ends with this value.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    folder: PathBuf,
}

/// Where Debian keeps PostgreSQL's programs, version by version.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// A PostgreSQL; `None` where it is not installed, which is told.
pub fn postgres() -> Option<Server> {
    let versions = std::fs::read_dir(POSTGRES_VERSIONS).into_iter().flatten().flatten();
    let programs = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("initdb").is_file()).max();
    let Some(programs) = programs.filter(|_| !is_root() || runs("setpriv")) else {
        eprintln!("skipped: PostgreSQL is not installed (make tools-test), or setpriv is missing");
        return None;
    };
    let folder = folder("postgres");
    let data = folder.join("data");
    let made = as_anybody_but_root(&programs.join("initdb"))
        .args(["--no-sync", "--auth=trust", "--username=shop", "--encoding=UTF8", "--locale=C", "-D"])
        .arg(&data)
        .output()
        .unwrap();
    assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    let port = free_port();
    let mut command = as_anybody_but_root(&programs.join("postgres"));
    command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"] {
        command.args(["-c", setting]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let said = child.stderr.take().unwrap();
    Some(Server { child, port, folder }.once_it_says("ready to accept connections", said))
}

/// A Redis; `None` where it is not installed, which is told.
pub fn redis() -> Option<Server> {
    if !runs("redis-server") {
        eprintln!("skipped: Redis is not installed (make tools-test)");
        return None;
    }
    let (folder, port) = (folder("redis"), free_port());
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    command.arg(&folder).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let said = child.stdout.take().unwrap();
    Some(Server { child, port, folder }.once_it_says("Ready to accept connections", said))
}

impl Server {
    /// The URL of its database.
    pub fn postgres_url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/postgres", self.port)
    }

    /// The URL of its database number 0.
    pub fn redis_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits for these words, and lets it say more from then on.
    fn once_it_says(self, words: &str, said: impl std::io::Read + Send + 'static) -> Self {
        let mut lines = BufReader::new(said).lines().map_while(Result::ok);
        let mut before = Vec::new();
        while before.last().is_none_or(|line: &String| !line.contains(words)) {
            let Some(line) = lines.next() else { panic!("it ended before {words:?}: {before:#?}") };
            before.push(line);
        }
        std::thread::spawn(move || lines.for_each(drop));
        self
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "{signal} to {}", self.child.id());
    }

    /// Lets it stand still: it takes connections, and answers nothing.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // PostgreSQL ends at once at this, with all its processes; one that stands still has to go on to hear it.
        self.signal("-INT");
        self.resume();
        let _ended = self.child.wait();
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

fn runs(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}

/// PostgreSQL refuses to be root; its package brings a user for it.
fn as_anybody_but_root(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

/// A new folder that any user may write to.
fn folder(name: &str) -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("causeway-{name}-{}-{number}", std::process::id()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Neither server picks one itself. Nobody else is given this one so soon after.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}
