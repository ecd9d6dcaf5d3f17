//! Is every line delivered, and none twice, whatever happens to the files and to us?

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use causeway_model::{Clock, ErrorKind, Rng};
use parking_lot::Mutex;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::batch::{BATCH_BYTES_MAX, Batch};
use crate::follow::{Figures, Follower, Options, ROTATED_WAIT};
use crate::records::RECORD_WAIT;
use crate::run::{Told, follow, take_in};
use crate::send::{Refusal, Sender};

/// Files and a follower whose time is what the test says.
struct Scene {
    folder: TempDir,
    patterns: Vec<String>,
    is_from_start: bool,
    follower: Option<Follower>,
    now_nano: u64,
}

impl Scene {
    fn new(pattern: &str, is_from_start: bool) -> Self {
        let patterns = vec![pattern.to_owned()];
        Self { folder: tempfile::tempdir().unwrap(), patterns, is_from_start, follower: None, now_nano: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = File::options().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copy_and_empty(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        File::options().write(true).truncate(true).open(self.path(from)).unwrap();
    }

    fn wait(&mut self, time: Duration) {
        self.now_nano += u64::try_from(time.as_nanos()).unwrap();
    }

    fn options(&self) -> Options {
        let state = self.path("state");
        Options { is_from_start: self.is_from_start, ..Options::new(&self.patterns, self.folder.path(), &state) }
    }

    fn follower(&mut self) -> &mut Follower {
        if self.follower.is_none() {
            let mut follower = Follower::open(self.options()).unwrap();
            follower.look(self.now_nano);
            follower.save().unwrap();
            self.follower = Some(follower);
        }
        self.follower.as_mut().unwrap()
    }

    fn look(&mut self) {
        let now_nano = self.now_nano;
        self.follower().look(now_nano);
    }

    fn read(&mut self) -> Option<Batch> {
        let now_nano = self.now_nano;
        self.follower().read(now_nano)
    }

    /// Looks and reads until nothing comes any more, all of it acknowledged; the records.
    fn drain(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        for _ in 0..3 {
            self.look();
            while let Some(batch) = self.read() {
                found.extend(messages(&batch));
                self.follower().acknowledge(&batch, 0).unwrap();
            }
            self.wait(RECORD_WAIT);
        }
        found
    }
}

fn messages(batch: &Batch) -> Vec<String> {
    let message = |line: &[u8]| {
        let row: Value = serde_json::from_slice(line).unwrap();
        row["message"].as_str().unwrap().to_owned()
    };
    batch.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(message).collect()
}

#[test]
fn the_first_time_only_what_is_new_is_read_and_later_what_was_missed() {
    let mut scene = Scene::new("*.log", false);
    scene.append("a.log", "old\npart");
    assert!(scene.drain().is_empty());
    // A line of which the first half was there is whole.
    scene.append("a.log", "ial\nnew\n");
    scene.append("b.log", "born\n");
    assert_eq!(scene.drain(), ["partial", "new", "born"]);
    scene.follower = None;
    scene.append("a.log", "missed\n");
    scene.append("c.log", "born while away\n");
    let mut found = scene.drain();
    found.sort();
    assert_eq!(found, ["born while away", "missed"]);
    assert!(scene.drain().is_empty());
    let mut scene = Scene::new("*.log", true);
    scene.append("a.log", "old\n");
    scene.append("a.log.gz", "compressed\n");
    fs::create_dir(scene.path("folder.log")).unwrap();
    assert_eq!(scene.drain(), ["old"]);
}

#[test]
fn a_renamed_file_is_read_to_its_end_and_let_go() {
    let mut scene = Scene::new("app.log", true);
    scene.append("app.log", "1\n");
    assert_eq!(scene.drain(), ["1"]);
    scene.append("app.log", "2\n");
    scene.rename("app.log", "app.log.1");
    scene.append("app.log", "3\n");
    scene.look();
    // Who has it open goes on writing for a while.
    scene.append("app.log.1", "late, without an end");
    assert_eq!(scene.drain(), ["2", "3"]);
    scene.wait(ROTATED_WAIT);
    assert_eq!(scene.drain(), ["late, without an end"]);
    assert_eq!(scene.follower().figures().files, 1);
    // Renamed while we were away.
    scene.follower = None;
    scene.append("app.log", "4\n");
    scene.rename("app.log", "app.log.2");
    scene.append("app.log", "5\n");
    let mut found = scene.drain();
    found.sort();
    assert_eq!(found, ["4", "5"]);
}

#[test]
fn what_was_rotated_while_the_server_was_away_is_read_when_it_is_back() {
    let mut scene = Scene::new("*.log", true);
    let names = ["cart.log", "pay.log"];
    names.iter().for_each(|name| scene.append(name, "{\"n\":1}\n"));
    assert_eq!(scene.drain().len(), 2);
    for name in names {
        scene.append(name, &format!("{{\"last of\":\"{name}\"}}\n"));
        scene.rename(name, &format!("{name}.1"));
    }
    scene.look();
    scene.wait(2 * ROTATED_WAIT);
    // Each goes in a batch of its own; the other waits for its turn.
    let mut found = scene.drain();
    found.sort();
    assert_eq!(found, names.map(|name| format!("{{\"last of\":\"{name}\"}}")));
    scene.wait(ROTATED_WAIT);
    assert!(scene.drain().is_empty());
    assert_eq!(scene.follower().figures().files, 0);
    // Born and rotated while the server was away, and then we were restarted.
    let mut scene = Scene::new("app.log", true);
    scene.append("app.log", "1\n");
    assert_eq!(scene.drain(), ["1"]);
    scene.rename("app.log", "app.log.2");
    scene.append("app.log", "unread\n");
    scene.look();
    scene.rename("app.log", "app.log.1");
    scene.append("app.log", "new\n");
    scene.look();
    scene.follower().save().unwrap();
    scene.follower = None;
    let mut found = scene.drain();
    found.sort();
    assert_eq!(found, ["new", "unread"]);
}

#[test]
fn an_emptied_file_is_read_from_its_start() {
    let mut scene = Scene::new("app.log", true);
    scene.append("app.log", "first\nsecond\n");
    assert_eq!(scene.drain(), ["first", "second"]);
    // Shorter than before, as long as before, longer than before.
    for text in ["3\n", "4\n", "a longer line\n"] {
        scene.copy_and_empty("app.log", "app.log.1");
        scene.append("app.log", text);
        assert_eq!(scene.drain(), [text.trim_end()]);
    }
    // What was written and not read before it was emptied, while we were away, is in the copy.
    scene.follower = None;
    scene.append("app.log", "unread\n");
    scene.copy_and_empty("app.log", "app.log.1");
    scene.append("app.log", "anew\n");
    let mut found = scene.drain();
    found.sort();
    assert_eq!(found, ["anew", "unread"]);
}

#[test]
fn files_of_several_services_go_in_batches_of_their_own() {
    let mut scene = Scene::new("*.log", true);
    for name in ["cart.log", "pay.2026.log", "pay.log"] {
        scene.append(name, &format!("{name}\n"));
    }
    scene.look();
    assert!(scene.read().is_none(), "they may go on");
    scene.wait(RECORD_WAIT);
    let mut batches: Vec<(String, Vec<String>)> =
        std::iter::from_fn(|| scene.read()).map(|batch| (batch.service.clone(), messages(&batch))).collect();
    batches.sort();
    batches.iter_mut().for_each(|(_, messages)| messages.sort());
    let expected = [("cart", vec!["cart.log"]), ("pay", vec!["pay.2026.log", "pay.log"])];
    let expected =
        expected.map(|(service, messages)| (service.to_owned(), messages.into_iter().map(str::to_owned).collect()));
    assert_eq!(batches, expected);
}

#[test]
fn state_is_one_programs_and_has_to_be_readable() {
    let mut scene = Scene::new("*.log", true);
    scene.look();
    let other = Follower::open(scene.options()).unwrap_err();
    assert!(other.message.contains("another program"), "{}", other.message);
    scene.follower = None;
    fs::write(scene.options().state_file, "{\"version\":1}").unwrap();
    let damaged = Follower::open(scene.options()).unwrap_err();
    assert_eq!(damaged.kind, ErrorKind::Corrupt);
    assert!(damaged.message.contains(".json"), "{}", damaged.message);
}

/// Stories that are told: some seconds, as each acknowledgement waits for the disk. The first 150 of both kinds went well once.
const SEEDS: u64 = 25;

/// What may happen to a file and to us, as a seed has it.
struct Story {
    scene: Scene,
    random: Rng,
    may_crash: bool,
    written: Vec<String>,
    delivered: Vec<String>,
    /// Lines of batches after which we crashed before noting that they were kept.
    repeatable: Vec<String>,
    waiting: Option<Batch>,
    is_line_open: bool,
    rotations: u32,
}

impl Story {
    fn new(seed: u64, may_crash: bool) -> Self {
        let scene = Scene::new("app.log*", true);
        let random = Rng::from_seed(seed);
        let (written, delivered, repeatable) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            scene,
            random,
            may_crash,
            written,
            delivered,
            repeatable,
            waiting: None,
            is_line_open: false,
            rotations: 0,
        }
    }

    fn write(&mut self) {
        for _ in 0..=self.random.below(4) {
            if self.is_line_open {
                self.scene.append("app.log", " end\n");
                self.is_line_open = false;
                continue;
            }
            let indent = if self.random.below(4) == 0 { "\t" } else { "" };
            let line = format!("{indent}line {}", self.written.len());
            self.is_line_open = self.random.below(5) == 0;
            let (end, whole) = if self.is_line_open { ("", format!("{line} end")) } else { ("\n", line.clone()) };
            self.scene.append("app.log", &format!("{line}{end}"));
            self.written.push(whole);
        }
    }

    /// A line that has begun ends in the same file, as writers do that open the new one after it.
    fn rotate(&mut self, by_rename: bool) {
        if self.is_line_open {
            self.scene.append("app.log", " end\n");
            self.is_line_open = false;
        }
        if !self.scene.path("app.log").exists() {
            return;
        }
        self.rotations += 1;
        let name = format!("app.log.{}", self.rotations);
        if by_rename { self.scene.rename("app.log", &name) } else { self.scene.copy_and_empty("app.log", &name) }
    }

    /// Reads a batch, or takes the one that was refused, and delivers it or not.
    fn deliver(&mut self) {
        let Some(batch) = self.waiting.take().or_else(|| self.scene.read()) else { return };
        match self.random.below(6) {
            0 => self.waiting = Some(batch),
            1 if self.may_crash => {
                self.repeatable.extend(lines(&batch));
                self.delivered.extend(lines(&batch));
                self.scene.follower = None;
            }
            _ => {
                self.delivered.extend(lines(&batch));
                self.scene.follower().acknowledge(&batch, 0).unwrap();
            }
        }
    }

    fn step(&mut self) {
        match self.random.below(12) {
            0..4 => self.write(),
            4 => self.rotate(true),
            5 => self.rotate(false),
            6 | 7 => self.scene.look(),
            8..11 => self.deliver(),
            _ => (self.waiting, self.scene.follower) = (None, None),
        }
        let pause = Duration::from_millis(self.random.below(400));
        self.scene.wait(pause);
    }

    fn end(mut self) -> (Vec<String>, Vec<String>, Vec<String>) {
        self.rotate(true);
        if let Some(batch) = self.waiting.take() {
            self.delivered.extend(lines(&batch));
            self.scene.follower().acknowledge(&batch, 0).unwrap();
        }
        let rest = self.scene.drain();
        self.delivered.extend(rest.iter().flat_map(|record| record.lines()).map(str::to_owned));
        self.written.sort();
        self.delivered.sort();
        (self.written, self.delivered, self.repeatable)
    }
}

fn lines(batch: &Batch) -> Vec<String> {
    messages(batch).iter().flat_map(|record| record.lines()).map(str::to_owned).collect()
}

#[test]
fn whatever_happens_to_the_files_every_line_is_delivered_once() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed, false);
        (0..80).for_each(|_| story.step());
        let (written, delivered, _) = story.end();
        assert_eq!(delivered, written, "seed {seed}");
    }
}

#[test]
fn a_crash_before_the_checkpoint_repeats_its_batch_and_nothing_else() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed, true);
        (0..80).for_each(|_| story.step());
        let (written, mut delivered, repeatable) = story.end();
        for line in repeatable {
            // Where it was repeated, one of the two is taken away.
            let (first, count) = (
                delivered.partition_point(|each| *each < line),
                delivered.iter().filter(|each| **each == line).count(),
            );
            if count > 1 {
                delivered.remove(first);
            }
        }
        assert_eq!(delivered, written, "seed {seed}");
    }
}

/// A clock on which an hour passes whenever it is asked.
#[derive(Debug, Default)]
struct Hours(Mutex<u64>);

impl Clock for Hours {
    fn now_unix_nano(&self) -> i64 {
        0
    }

    fn monotonic_nano(&self) -> u64 {
        let mut now = self.0.lock();
        *now += 3_600_000_000_000;
        *now
    }
}

#[tokio::test]
async fn a_server_that_is_away_gets_everything_when_it_is_back() {
    let scene = Scene::new("app.log", true);
    scene.append("app.log", "one\n\tat two\nthree\n");
    let stop = CancellationToken::new();
    let (kept, attempts) = (Mutex::new(Vec::new()), Mutex::new(0));
    let deliver = async |batch: &Batch| {
        *attempts.lock() += 1;
        if *attempts.lock() < 3 {
            return Err(Refusal::Later("away".to_owned(), None));
        }
        kept.lock().extend(messages(batch));
        Ok(1)
    };
    let troubles = Mutex::new(Vec::new());
    let tell = |told: &Told| {
        troubles.lock().extend(told.trouble.clone());
        if told.figures.lines == 3 {
            stop.cancel();
        }
    };
    let follower = Follower::open(scene.options()).unwrap();
    follow(follower, &Hours::default(), deliver, tell, &stop).await.unwrap();
    assert_eq!(*kept.lock(), ["one\n\tat two", "three"]);
    assert!(troubles.lock().iter().all(|trouble| trouble == "away"));
    // The next run has nothing to do.
    let mut scene = scene;
    assert!(scene.drain().is_empty());
}

#[tokio::test]
async fn told_to_stop_it_does_not_catch_up_first() {
    let scene = Scene::new("app.log", true);
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(1000));
    scene.append("app.log", &line.repeat(4 * BATCH_BYTES_MAX / line.len()));
    let (stop, sent) = (CancellationToken::new(), Mutex::new(0));
    let deliver = async |_: &Batch| {
        *sent.lock() += 1;
        stop.cancel();
        Ok(0)
    };
    let told = Mutex::new(0);
    let tell = |now: &Told| *told.lock() = now.figures.lines;
    follow(Follower::open(scene.options()).unwrap(), &Hours::default(), deliver, tell, &stop).await.unwrap();
    assert_eq!(*sent.lock(), 1);
    assert!(*told.lock() > 0, "what was sent is told");
    let mut scene = scene;
    assert!(scene.read().is_some(), "the rest is for the next run");
}

#[tokio::test]
async fn standard_input_is_sent_to_its_end() {
    let (kept, attempts) = (Mutex::new(Vec::new()), Mutex::new(0));
    let deliver = async |batch: &Batch| {
        *attempts.lock() += 1;
        if *attempts.lock() == 1 {
            return Err(Refusal::Later("away".to_owned(), None));
        }
        assert_eq!(batch.service, "job");
        kept.lock().extend(messages(batch));
        Ok(1)
    };
    let input: &[u8] = b"one\n\ttwo\nlast without an end";
    let stop = CancellationToken::new();
    take_in(input, "job", &Hours::default(), deliver, |_| (), &stop).await.unwrap();
    assert_eq!(*kept.lock(), ["one\n\ttwo", "last without an end"]);
    let never = async |_: &Batch| Err(Refusal::Never("no".to_owned()));
    let refused = take_in(input, "job", &Hours::default(), never, |_| (), &stop).await.unwrap_err();
    assert_eq!(refused.message, "no");
}

#[test]
fn progress_is_a_line() {
    let figures = Figures { files: 2, lines: 12, bytes: 1_234_567, lag_bytes: 999, ..Figures::default() };
    let mut told = Told { figures, trouble: None };
    assert_eq!(told.to_string(), "2 files, 12 lines (1.2 MB) sent, 999 B behind");
    (told.figures.cut, told.trouble) = (1, Some("away".to_owned()));
    assert_eq!(
        told.to_string(),
        "2 files, 12 lines (1.2 MB) sent, 999 B behind, 1 records cut short; trying again: away"
    );
}

/// A server that answers as the service's name says.
async fn server() -> String {
    use axum::extract::Query;
    use axum::http::StatusCode;
    type Given = Query<std::collections::BTreeMap<String, String>>;
    let answer = async |Query(given): Given, body: String| match &*given["service.name"] {
        "good" if given["host.name"] == "box" && body == "{\"message\":\"m\"}\n" => {
            (StatusCode::OK, [("retry-after", "0")], r#"{"received":5,"stored":2,"dropped":{"line_too_long":2,"x":1}}"#)
        }
        "another" => (StatusCode::OK, [("retry-after", "0")], "<html>Log in</html>"),
        "busy" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "later"),
        "bad" => (StatusCode::BAD_REQUEST, [("retry-after", "x")], "no"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, [("retry-after", "x")], ""),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().route("/api/v1/logs/lines", axum::routing::post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}/")
}

#[tokio::test]
async fn a_servers_answers_are_understood() {
    let client = causeway_kit::http_client("http:").no_proxy().build().unwrap();
    let sender = Sender::new(client.clone(), &server().await, "box".to_owned()).unwrap();
    let batch = |service: &str| Batch { body: b"{\"message\":\"m\"}\n".to_vec(), records: 5, ..Batch::of(service) };
    assert_eq!(sender.send(&batch("good")).await, Ok(3));
    let another = sender.send(&batch("another")).await.unwrap_err();
    assert!(matches!(&another, Refusal::Never(message) if message.contains("is it Causeway")), "{another:?}");
    let busy =
        Refusal::Later("the server answered 429 Too Many Requests: later".to_owned(), Some(Duration::from_secs(7)));
    assert_eq!(sender.send(&batch("busy")).await, Err(busy));
    let bad = Refusal::Never("the server answered 400 Bad Request: no".to_owned());
    assert_eq!(sender.send(&batch("bad")).await, Err(bad));
    assert!(matches!(sender.send(&batch("else")).await, Err(Refusal::Later(_, None))));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = Sender::new(client.clone(), &format!("http://{nobody}"), "box".to_owned()).unwrap();
    let refusal = away.send(&batch("good")).await.unwrap_err();
    assert!(matches!(&refusal, Refusal::Later(message, None) if message.contains("refused")), "{refusal:?}");
    assert!(Sender::new(client, "mailto:x", String::new()).is_err());
}
