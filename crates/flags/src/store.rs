//! Where are the flags kept? In one file of flagd's JSON that people edit by hand and programs by the API, with an audit beside it.
//!
//! The audit is what is known to have happened: whatever the file says differently, at start or later, is an edit by hand that is
//! then recorded. A file that can't be read, or has a flag that makes no sense, changes nothing: the last good flags stay in force.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Metadata};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use causeway_model::{Clock, Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use serde_json::{Map, Value, json};

use crate::audit::{Audit, Edit, Way, said};
use crate::definition::{FlagSet, SET_BYTES_MAX};

/// A file whose time of change is younger than this is read again even if it looks the same: file systems tell times no finer
/// than some milliseconds, so that a second edit may leave no other trace.
const RACY_FOR: Duration = Duration::from_secs(2);
/// Edits that wait to be told of. 256: what is made in hours; older ones are in the audit anyway.
const UNTOLD_MAX: usize = 256;
/// Edits of one flag that are shown. 1,000, the newest.
const HISTORY_MAX: usize = 1_000;

/// Who edits, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Author {
    /// Who.
    pub actor: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A flag as people see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// Its key.
    pub key: String,
    /// Its definition as it stands in the file.
    pub definition: Map<String, Value>,
    /// Number of its edits.
    pub version: u64,
    /// Time of the last one, in nanoseconds since 1970.
    pub changed_unix_nano: i64,
    /// Its author.
    pub changed_by: Option<String>,
}

/// What the audit says of a flag: its newest edit, without the definition before.
#[derive(Debug, Clone)]
struct Known {
    version: u64,
    time_unix_nano: i64,
    actor: Option<String>,
    definition: Option<Value>,
}

/// What tells that a file was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    changed_unix_nano: i128,
    bytes: u64,
    inode: u64,
}

#[derive(Debug, Default)]
struct Book {
    /// The file as last read well.
    document: Value,
    /// Its text, or that of the bad file.
    text: String,
    stamp: Option<Stamp>,
    known: BTreeMap<String, Known>,
    untold: VecDeque<Edit>,
}

/// The flags of one file.
#[derive(Debug)]
pub struct FlagStore {
    path: PathBuf,
    audit: Audit,
    clock: Arc<dyn Clock>,
    current: RwLock<Arc<FlagSet>>,
    problem: RwLock<Option<String>>,
    book: Mutex<Book>,
}

impl FlagStore {
    /// Opens the file, or creates it with no flags in it.
    ///
    /// # Errors
    /// `Unavailable` when the file can't be created or the audit not be written. A file that can't be understood is no error:
    /// [`Self::problem`].
    pub fn open(path: PathBuf, audit: PathBuf, clock: Arc<dyn Clock>) -> Result<Self> {
        if !path.exists() {
            replace(&path, &pretty(&json!({ "flags": {} }))?)?;
        }
        let audit = Audit::open(audit)?;
        let mut book = Book::default();
        let unread = audit.replay(|edit| book.learn(edit))?;
        if unread > 0 {
            tracing::warn!(target: "causeway::flags", unread, "lines of the audit of flags can't be read");
        }
        let store =
            Self { path, audit, clock, current: RwLock::default(), problem: RwLock::default(), book: Mutex::new(book) };
        store.refresh()?;
        Ok(store)
    }

    /// The flags in force.
    pub fn current(&self) -> Arc<FlagSet> {
        self.current.read().clone()
    }

    /// Why the file is not in force, if it isn't.
    pub fn problem(&self) -> Option<String> {
        self.problem.read().clone()
    }

    /// Looks whether the file was edited by hand.
    ///
    /// # Errors
    /// `Unavailable` when the audit can't be written: the edit is not in force until it can.
    pub fn refresh(&self) -> Result<()> {
        self.refresh_book(&mut self.book.lock())
    }

    /// All flags, by key.
    pub fn list(&self) -> Vec<Shown> {
        let book = self.book.lock();
        book.flags().into_iter().flat_map(Map::keys).filter_map(|key| book.show(key)).collect()
    }

    /// One flag.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn get(&self, key: &str) -> Result<Shown> {
        self.book.lock().show(key).ok_or_else(unknown)
    }

    /// Edits of one flag, newest first.
    ///
    /// # Errors
    /// `NotFound` when there was never such a flag, `Unavailable` when the disk refuses.
    pub fn history(&self, key: &str) -> Result<Vec<Edit>> {
        let mut edits = VecDeque::new();
        self.audit.replay(|edit| {
            if edit.key == key {
                edits.push_front(edit);
                edits.truncate(HISTORY_MAX);
            }
        })?;
        if edits.is_empty() { Err(unknown()) } else { Ok(edits.into()) }
    }

    /// Edits one flag: `change` gets its definition (`None` when there is none) and answers the new one (`None` to remove it).
    ///
    /// # Errors
    /// Those of `change`; `Invalid` when the new definition makes no sense; `Unavailable` when the file is broken or the disk refuses.
    pub fn edit(
        &self,
        key: &str,
        author: Author,
        change: impl FnOnce(Option<Map<String, Value>>) -> Result<Option<Map<String, Value>>>,
    ) -> Result<()> {
        let mut book = self.book.lock();
        self.refresh_book(&mut book)?;
        if let Some(problem) = self.problem() {
            return Err(Error::unavailable(format!("{}: {problem}", self.path.display())));
        }
        let before = book.flags().and_then(|flags| flags.get(key)).cloned();
        let after = change(before.as_ref().and_then(Value::as_object).cloned())?.map(Value::Object);
        if after == before {
            return Ok(());
        }
        let mut document = book.document.clone();
        if let Some(flags) = document.get_mut("flags").and_then(Value::as_object_mut) {
            match after {
                Some(definition) => flags.insert(key.to_owned(), definition),
                None => flags.remove(key),
            };
        }
        let set = FlagSet::of(&document)?;
        if let Some(problem) = set.problems().into_iter().next() {
            return Err(Error::invalid(problem));
        }
        let text = pretty(&document)?;
        if text.len() > SET_BYTES_MAX {
            return Err(Error::new(
                ErrorKind::TooLarge,
                format!("the flags would have more than {SET_BYTES_MAX} bytes"),
            ));
        }
        let edits = book.differences(&document, self.clock.now_unix_nano(), Way::Api, &author);
        self.audit.append(&edits)?;
        edits.into_iter().for_each(|edit| book.learn(edit));
        // Now the audit is ahead. Should the file not follow, the next look sees it differ, as an edit back.
        book.stamp = None;
        book.stamp = Some(replace(&self.path, &text)?);
        self.install(&mut book, document, set, text);
        Ok(())
    }

    /// Edits that nobody was told of yet, oldest first: those since the start, and the newest before it, which may have been told.
    pub fn untold(&self) -> Vec<Edit> {
        self.book.lock().untold.iter().cloned().collect()
    }

    /// They were told of.
    pub fn told(&self, edits: &[Edit]) {
        let is_told = |edit: &Edit| edits.iter().any(|told| told.key == edit.key && told.version == edit.version);
        self.book.lock().untold.retain(|edit| !is_told(edit));
    }

    fn refresh_book(&self, book: &mut Book) -> Result<()> {
        let now = self.clock.now_unix_nano();
        let metadata = match std::fs::metadata(&self.path) {
            Ok(metadata) => metadata,
            Err(error) => return self.complain(book, None, error.to_string()),
        };
        let stamp = Stamp::of(&metadata);
        if book.stamp == Some(stamp) && stamp.is_settled(now) {
            return Ok(());
        }
        let text = match read(&self.path, &metadata) {
            Ok(text) => text,
            Err(error) => return self.complain(book, Some(stamp), error.message),
        };
        if book.stamp.is_some() && text == book.text {
            book.stamp = Some(stamp);
            return Ok(());
        }
        let set = FlagSet::parse(&text);
        let document = serde_json::from_str(&text).unwrap_or_default();
        book.text = text;
        match set {
            Err(error) => self.complain(book, Some(stamp), error.message),
            // At the start there are no last good flags: those that make sense are then better than none.
            Ok(set) if book.document.is_null() || set.problems().is_empty() => {
                let problems = set.problems();
                let edits = book.differences(&document, now, Way::File, &Author::default());
                self.audit.append(&edits)?;
                edits.into_iter().for_each(|edit| book.learn(edit));
                book.stamp = Some(stamp);
                let text = std::mem::take(&mut book.text);
                self.install(book, document, set, text);
                if problems.is_empty() { Ok(()) } else { self.complain(book, Some(stamp), problems.join("; ")) }
            }
            Ok(set) => self.complain(book, Some(stamp), set.problems().join("; ")),
        }
    }

    fn install(&self, book: &mut Book, document: Value, set: FlagSet, text: String) {
        book.document = document;
        book.text = text;
        *self.current.write() = Arc::new(set);
        if self.problem.write().take().is_some() {
            tracing::info!(target: "causeway::flags", path = %self.path.display(), "the file of flags is in force again");
        }
    }

    /// Says once what is wrong with the file.
    fn complain(&self, book: &mut Book, stamp: Option<Stamp>, why: String) -> Result<()> {
        book.stamp = stamp;
        let mut problem = self.problem.write();
        if problem.as_ref() != Some(&why) {
            tracing::error!(target: "causeway::flags", path = %self.path.display(), "the last good flags stay in force: {why}");
            *problem = Some(why);
        }
        Ok(())
    }
}

impl Book {
    fn flags(&self) -> Option<&Map<String, Value>> {
        self.document.get("flags")?.as_object()
    }

    fn show(&self, key: &str) -> Option<Shown> {
        let definition = self.flags()?.get(key)?.as_object()?.clone();
        let known = self.known.get(key)?;
        let (version, changed_unix_nano, changed_by) = (known.version, known.time_unix_nano, known.actor.clone());
        Some(Shown { key: key.to_owned(), definition, version, changed_unix_nano, changed_by })
    }

    fn learn(&mut self, edit: Edit) {
        let known = Known {
            version: edit.version,
            time_unix_nano: edit.time_unix_nano,
            actor: edit.actor.clone(),
            definition: edit.after.clone(),
        };
        self.known.insert(edit.key.clone(), known);
        self.untold.push_back(edit);
        if self.untold.len() > UNTOLD_MAX {
            self.untold.pop_front();
        }
    }

    /// What a document says differently from the audit.
    fn differences(&self, document: &Value, now: i64, way: Way, author: &Author) -> Vec<Edit> {
        let flags = document.get("flags").and_then(Value::as_object);
        let mut keys: Vec<&String> = flags.into_iter().flat_map(Map::keys).chain(self.known.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let edit = |key: &String| {
            let known = self.known.get(key);
            let before = known.and_then(|known| known.definition.clone());
            let after = flags.and_then(|flags| flags.get(key)).cloned();
            (before != after).then(|| Edit {
                time_unix_nano: now,
                key: key.clone(),
                version: known.map_or(0, |known| known.version).saturating_add(1),
                way,
                actor: author.actor.clone(),
                reason: author.reason.clone(),
                before,
                after,
            })
        };
        keys.into_iter().filter_map(edit).collect()
    }
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let changed_unix_nano = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self { changed_unix_nano, bytes: metadata.len(), inode: metadata.ino() }
    }

    fn is_settled(self, now_unix_nano: i64) -> bool {
        let age = i128::from(now_unix_nano) - self.changed_unix_nano;
        age.unsigned_abs() > RACY_FOR.as_nanos()
    }
}

fn unknown() -> Error {
    Error::new(ErrorKind::NotFound, "there is no flag with this key")
}

fn pretty(document: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(document).map_err(|error| Error::internal(error.to_string()))?;
    Ok(text + "\n")
}

fn read(path: &Path, metadata: &Metadata) -> Result<String> {
    if metadata.len() > SET_BYTES_MAX as u64 {
        return Err(Error::new(ErrorKind::TooLarge, format!("it has more than {SET_BYTES_MAX} bytes")));
    }
    std::fs::read_to_string(path).map_err(|error| said(path, error))
}

/// Puts a whole new file in the place of the old one: whoever reads, and whatever crashes, sees the one or the other.
fn replace(path: &Path, text: &str) -> Result<Stamp> {
    // Where the path is a link, what it points to is replaced.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let new = target.with_extension("json.new");
    let write = || -> std::io::Result<Stamp> {
        let mut file = File::create(&new)?;
        if let Ok(old) = std::fs::metadata(&target) {
            file.set_permissions(old.permissions())?;
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        let stamp = Stamp::of(&file.metadata()?);
        std::fs::rename(&new, &target)?;
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        Ok(stamp)
    };
    write().map_err(|error| said(path, error))
}
