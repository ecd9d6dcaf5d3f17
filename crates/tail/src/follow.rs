//! Which files are followed, and what is new in them? Everything that has to do with the disk, one step at a time: look for files, read, and
//! note what was acknowledged.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use causeway_model::Result;
use hashbrown::HashSet;

use crate::batch::{Batch, Members, Position};
use crate::checkpoint::{Checkpoint, Checkpoints};
use crate::file::{Fingerprint, Identity, last_line_start};
use crate::glob::Pattern;
use crate::lines::RECORD_BYTES_MAX;
use crate::records::{Joiner, Record};

/// Files that are followed at one time. 512: each is an open file, of which a program has 1,024 unless it is told otherwise, and holds up to two
/// records.
pub const FILES_MAX: usize = 512;
/// A file that has left its name is followed until nothing was written to it for so long. 5 s: programs open their new file within moments.
pub const ROTATED_WAIT: Duration = Duration::from_secs(5);
/// Bytes of one step of reading.
const READ_BYTES: usize = 64 << 10;
/// Endings of files that are copies of what was read already.
const COMPRESSED: &[&str] = &[".gz", ".zst", ".xz", ".bz2", ".zip", ".lz4"];

/// What to follow.
#[derive(Debug, Clone)]
pub struct Options {
    /// Paths and patterns.
    pub patterns: Vec<Pattern>,
    /// The `service.name` of all files; else each has that of its name.
    pub service: Option<String>,
    /// Whether files that are there already are read from their start the first time.
    pub is_from_start: bool,
    /// The file of checkpoints.
    pub state_file: PathBuf,
}

impl Options {
    /// Follows these paths and patterns, relative ones from `folder` on, and keeps checkpoints in a file of `state_folder`.
    pub fn new(patterns: &[String], folder: &Path, state_folder: &Path) -> Self {
        let patterns: Vec<Pattern> = patterns.iter().map(|text| Pattern::new(text, folder)).collect();
        let texts: Vec<String> = patterns.iter().map(Pattern::text).collect();
        let state_file = crate::state_file(state_folder, &texts);
        Self { patterns, service: None, is_from_start: false, state_file }
    }
}

/// What can be told of the work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Files that are followed.
    pub files: usize,
    /// Files that are not followed because there are too many.
    pub files_refused: usize,
    /// Lines that were acknowledged.
    pub lines: u64,
    /// Bytes of the files that were acknowledged.
    pub bytes: u64,
    /// Bytes that stand in the files and are not acknowledged.
    pub lag_bytes: u64,
    /// Records of which something was cut off.
    pub cut: u64,
    /// Records that the server dropped.
    pub dropped: u64,
    /// Reads that the disk refused.
    pub failed_reads: u64,
}

/// One followed file.
#[derive(Debug)]
struct Followed {
    number: u64,
    path: PathBuf,
    file: File,
    identity: Identity,
    /// By whole lines, so that it tells files apart: the first half of a line may be that of many.
    fingerprint: Fingerprint,
    /// By all that was read, so that it tells whether the file was emptied.
    read_fingerprint: Fingerprint,
    generation: u64,
    /// Bytes that were read, or a place that is not yet reached.
    read: u64,
    acknowledged: u64,
    /// Up to where records were put into batches.
    given: u64,
    /// A copy that is still being made and smaller than what is known of it.
    is_growing: bool,
    /// A copy of all of it is followed: what is left when it is emptied is read there.
    is_copied: bool,
    /// The file that it is a copy of, and that one's generation: what is acknowledged of it is acknowledged here.
    origin: Option<(u64, u64)>,
    /// What it was before it was emptied, if no copy of that has been seen yet.
    former: Option<Former>,
    joiner: Joiner,
    /// Since when no name leads to it, or nothing has come after none does.
    left_since: Option<u64>,
}

/// How far a file was read before it was emptied, so that a copy is read from there.
#[derive(Debug, Clone)]
struct Former {
    path: PathBuf,
    fingerprint: Fingerprint,
    generation: u64,
    given: u64,
    acknowledged: u64,
}

/// Follows files.
#[derive(Debug)]
pub struct Follower {
    options: Options,
    checkpoints: Checkpoints,
    /// What is known from an earlier run, until the first look.
    known: Option<Vec<Checkpoint>>,
    /// Whether files that are met are new: those of the first look without any checkpoint are not.
    has_looked: bool,
    files: Vec<Followed>,
    next_number: u64,
    /// Whose turn it is to be read first.
    turn: usize,
    figures: Figures,
}

impl Follower {
    /// Takes up where the last run ended.
    ///
    /// # Errors
    /// See [`Checkpoints::open`].
    pub fn open(options: Options) -> Result<Self> {
        let (checkpoints, known) = Checkpoints::open(&options.state_file)?;
        let has_looked = known.is_some();
        Ok(Self {
            options,
            checkpoints,
            known,
            has_looked,
            files: Vec::new(),
            next_number: 0,
            turn: 0,
            figures: Figures::default(),
        })
    }

    /// Looks for files: new ones, those that have another name, and those that have none any more.
    pub fn look(&mut self, now_nano: u64) {
        let known = self.known.take().unwrap_or_default();
        self.figures.files_refused = 0;
        let named: Vec<(PathBuf, Identity)> = self.options.patterns.iter().flat_map(named).collect();
        let mut present = HashSet::new();
        for (path, identity) in &named {
            let is_new = present.insert(*identity) && self.files.iter().all(|followed| followed.identity != *identity);
            // Those that are followed have their old names here still, by which copies are known.
            if is_new && let Some((file, identity)) = open(path) {
                self.meet(path.clone(), file, identity, &known);
            }
        }
        for followed in &mut self.files {
            if let Some((path, _)) = named.iter().find(|(_, identity)| *identity == followed.identity) {
                (followed.path, followed.left_since) = (path.clone(), None);
            }
        }
        self.find_left(&known, &mut present, now_nano);
        for followed in &mut self.files {
            if !present.contains(&followed.identity) && followed.left_since.is_none() {
                followed.left_since = Some(now_nano);
            }
        }
        self.has_looked = true;
        self.figures.files = self.files.len();
    }

    /// Begins to follow a file that was not followed before.
    fn meet(&mut self, path: PathBuf, file: File, identity: Identity, known: &[Checkpoint]) {
        let Ok(size) = file.metadata().map(|metadata| metadata.len()) else { return };
        let mut same = known.iter().filter(|checkpoint| checkpoint.identity == identity).peekable();
        if same.peek().is_some() {
            let is_whole = |known: &&Checkpoint| size >= known.offset && known.fingerprint.fits(&file).unwrap_or(false);
            if let Some(checkpoint) = same.find(is_whole) {
                return self.follow(path, file, identity, checkpoint.offset);
            }
        } else if self.has_looked {
            // At the very first look nothing was read before, so that nothing can be a copy of it.
            if let Some(former) = self.files.iter_mut().find_map(|origin| origin.as_copied_to(&path, &file)) {
                return self.follow_copy(path, file, identity, former);
            }
            let is_copy = |of: &&Checkpoint| is_copy(&of.path, &of.fingerprint, &path, &file);
            if let Some(origin) = known.iter().find(is_copy) {
                return self.follow(path, file, identity, origin.offset);
            }
        }
        let is_new = self.has_looked || self.options.is_from_start;
        let offset = if is_new { 0 } else { last_line_start(&file, RECORD_BYTES_MAX).unwrap_or(size) };
        self.follow(path, file, identity, offset);
    }

    /// Goes on in a copy where its origin, a file by number, stands or stood.
    fn follow_copy(&mut self, path: PathBuf, file: File, identity: Identity, (number, former): (u64, Former)) {
        self.follow(path, file, identity, former.given);
        if let Some(copy) = self.files.last_mut().filter(|copy| copy.identity == identity) {
            (copy.origin, copy.acknowledged) = (Some((number, former.generation)), former.acknowledged);
        }
    }

    /// What an earlier run was reading may have got a name since then that no pattern has.
    fn find_left(&mut self, known: &[Checkpoint], present: &mut HashSet<Identity>, now_nano: u64) {
        for checkpoint in known {
            if self.files.iter().any(|followed| followed.goes_on_from(checkpoint)) {
                continue;
            }
            let folder = checkpoint.path.parent().map(std::fs::read_dir);
            let paths = folder.into_iter().flatten().flatten().flatten().map(|entry| entry.path());
            let may_be = |path: &PathBuf| *path == checkpoint.path || is_rotated_name(&checkpoint.path, path);
            for path in paths.filter(|path| may_be(path) && !is_compressed(path)) {
                let Some((file, identity)) = open(&path) else { continue };
                // Of a file that was not read yet only the inode is known.
                let is_it = (checkpoint.fingerprint.tells() || checkpoint.identity == identity)
                    && checkpoint.fingerprint.fits(&file).unwrap_or(false)
                    && file.metadata().is_ok_and(|metadata| metadata.len() >= checkpoint.offset);
                if is_it && present.insert(identity) {
                    self.follow(path, file, identity, checkpoint.offset);
                    if let Some(followed) = self.files.last_mut() {
                        followed.left_since = Some(now_nano);
                    }
                    break;
                }
            }
        }
    }

    fn follow(&mut self, path: PathBuf, file: File, identity: Identity, offset: u64) {
        if self.files.len() >= FILES_MAX {
            self.figures.files_refused += 1;
            return;
        }
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        let fingerprint = Fingerprint::of(&file, size.min(offset)).unwrap_or_default();
        self.files.push(Followed {
            number: self.next_number,
            path,
            file,
            identity,
            fingerprint,
            read_fingerprint: fingerprint,
            generation: 0,
            read: offset,
            acknowledged: offset,
            given: offset,
            is_growing: size < offset,
            is_copied: false,
            origin: None,
            former: None,
            joiner: Joiner::at(offset),
            left_since: None,
        });
        self.next_number += 1;
    }

    /// Looks, then reads what is new of the files of one service; `None` when nothing is. Call it again until then: others may have something.
    pub fn read(&mut self, now_nano: u64) -> Option<Batch> {
        self.look(now_nano);
        let mut batch: Option<Batch> = None;
        let count = self.files.len();
        self.turn = self.turn.checked_add(1).unwrap_or_default();
        for step in 0..count {
            let at = (self.turn % count + step) % count;
            let Some(followed) = self.files.get_mut(at) else { continue };
            let service = self.options.service.clone().unwrap_or_else(|| service_of(&followed.path));
            if batch.as_ref().is_some_and(|batch| batch.is_full() || batch.service != service) {
                continue;
            }
            let into = batch.get_or_insert_with(|| Batch::of(&service));
            if followed.read_into(into, now_nano, &mut self.figures.cut).is_err() {
                self.figures.failed_reads += 1;
            }
            if into.records == 0 {
                batch = None;
            }
        }
        self.files.retain(|followed| !followed.is_done(now_nano));
        batch
    }

    /// The server has this batch, but for some records that it dropped: its positions count from now on, and are kept.
    ///
    /// # Errors
    /// `Unavailable` when they can't be written.
    pub fn acknowledge(&mut self, batch: &Batch, dropped: u64) -> Result<()> {
        for position in &batch.positions {
            let of = (position.file, position.generation);
            for followed in &mut self.files {
                if (followed.number, followed.generation) == of {
                    let bytes = position.offset.saturating_sub(followed.acknowledged);
                    self.figures.bytes = self.figures.bytes.saturating_add(bytes);
                    followed.acknowledged = position.offset;
                } else if followed.origin == Some(of) {
                    followed.acknowledged = followed.acknowledged.max(position.offset);
                } else if followed.number == position.file {
                    followed.former_acknowledged(position);
                }
            }
        }
        self.figures.dropped = self.figures.dropped.saturating_add(dropped);
        self.figures.lines = self.figures.lines.saturating_add(batch.lines);
        self.save()
    }

    /// Keeps how far each file has been acknowledged.
    ///
    /// # Errors
    /// `Unavailable` when it can't be written.
    pub fn save(&self) -> Result<()> {
        self.checkpoints.save(self.files.iter().flat_map(Followed::checkpoints).collect())
    }

    /// What can be told now.
    pub fn figures(&self) -> Figures {
        let lag = |followed: &Followed| {
            let size = followed.file.metadata().map_or(0, |metadata| metadata.len());
            size.saturating_sub(followed.acknowledged)
        };
        Figures { files: self.files.len(), lag_bytes: self.files.iter().map(lag).sum(), ..self.figures }
    }
}

impl Followed {
    /// Puts what is new into the batch.
    fn read_into(&mut self, batch: &mut Batch, now_nano: u64, cut: &mut u64) -> Result<()> {
        let mut records = Vec::new();
        let size = self.file.metadata()?.len();
        self.is_growing &= size < self.read;
        if self.is_growing {
            return Ok(());
        }
        if size < self.read || !self.read_fingerprint.fits(&self.file)? {
            self.emptied(&mut records, batch, cut);
        }
        let mut buffer = if size > self.read { vec![0; READ_BYTES] } else { Vec::new() };
        while !batch.is_full() {
            let read = self.file.read_at(&mut buffer, self.read)?;
            let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
            self.joiner.feed(bytes, now_nano, &mut records);
            self.read = self.read.saturating_add(read as u64);
            self.is_copied = false;
            self.left_since = self.left_since.map(|_| now_nano);
            self.put(&mut records, batch, cut);
        }
        self.fingerprint.grow(&self.file, self.joiner.lines_end())?;
        self.read_fingerprint.grow(&self.file, self.read)?;
        self.joiner.settle(now_nano, &mut records);
        if self.is_over(now_nano) {
            self.joiner.finish(true, &mut records);
        }
        self.put(&mut records, batch, cut);
        Ok(())
    }

    /// The file was emptied, or emptied and written to again: what is held comes to its end, and the file begins anew.
    fn emptied(&mut self, records: &mut Vec<Record>, batch: &mut Batch, cut: &mut u64) {
        self.former = None;
        if !self.is_copied {
            // A line that has not ended is whole in the copy only.
            self.joiner.finish(false, records);
            self.put(records, batch, cut);
            self.former = self.fingerprint.tells().then(|| self.now());
        }
        self.generation += 1;
        (self.read, self.acknowledged, self.given, self.is_copied) = (0, 0, 0, false);
        self.joiner = Joiner::at(0);
        (self.fingerprint, self.read_fingerprint) = (Fingerprint::default(), Fingerprint::default());
    }

    fn now(&self) -> Former {
        let Self { fingerprint, generation, given, acknowledged, .. } = *self;
        Former { path: self.path.clone(), fingerprint, generation, given, acknowledged }
    }

    /// How far what was copied to another file is read: this file as it is, or as it was before it was emptied.
    fn as_copied_to(&mut self, path: &Path, file: &File) -> Option<(u64, Former)> {
        if is_copy(&self.path, &self.fingerprint, path, file) {
            self.is_copied = true;
            return Some((self.number, self.now()));
        }
        let former = self.former.take_if(|former| is_copy(&former.path, &former.fingerprint, path, file))?;
        Some((self.number, former))
    }

    fn former_acknowledged(&mut self, position: &Position) {
        if let Some(former) = self.former.as_mut().filter(|former| former.generation == position.generation) {
            former.acknowledged = position.offset;
        }
    }

    fn put(&mut self, records: &mut Vec<Record>, batch: &mut Batch, cut: &mut u64) {
        let Some(last) = records.last() else { return };
        let members = Members::of_file(&self.path);
        self.given = last.end;
        let position = Position { file: self.number, generation: self.generation, offset: last.end };
        batch.positions.retain(|earlier| (earlier.file, earlier.generation) != (self.number, self.generation));
        batch.positions.push(position);
        for record in records.drain(..) {
            *cut += u64::from(record.is_cut);
            batch.push(&record, &members);
        }
    }

    /// Whether it is read where an earlier run has ended.
    fn goes_on_from(&self, checkpoint: &Checkpoint) -> bool {
        let is_same = self.identity == checkpoint.identity && self.acknowledged == checkpoint.offset;
        is_same && checkpoint.fingerprint.fits(&self.file).unwrap_or(false)
    }

    /// Whether it has left its name, and nothing was written to it for long enough.
    fn is_over(&self, now_nano: u64) -> bool {
        self.left_since.is_some_and(|since| Duration::from_nanos(now_nano.saturating_sub(since)) >= ROTATED_WAIT)
    }

    /// Whether nothing more is expected of it, and all of it is read and acknowledged. While the server was away nothing was read of it.
    fn is_done(&self, now_nano: u64) -> bool {
        let is_read = || self.file.metadata().map_or(true, |metadata| metadata.len() <= self.read);
        self.is_over(now_nano) && is_read() && self.joiner.is_empty() && self.acknowledged >= self.given
    }

    /// Of the file as it is, and as it was before it was emptied.
    fn checkpoints(&self) -> impl Iterator<Item = Checkpoint> {
        let of = |Former { path, fingerprint, acknowledged, .. }: Former| Checkpoint {
            path,
            identity: self.identity,
            fingerprint,
            offset: acknowledged,
        };
        [Some(self.now()), self.former.clone()].into_iter().flatten().map(of)
    }
}

/// Whether a file was copied from the one of this name that began so.
fn is_copy(of: &Path, fingerprint: &Fingerprint, path: &Path, file: &File) -> bool {
    is_rotated_name(of, path) && fingerprint.tells() && fingerprint.fits(file).unwrap_or(false)
}

/// The files that a pattern names. No pipes, which would stand still, and no folders.
fn named(pattern: &Pattern) -> impl Iterator<Item = (PathBuf, Identity)> {
    pattern.files().into_iter().filter(|path| !is_compressed(path)).filter_map(|path| {
        let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_file)?;
        Some((path, Identity::of(&metadata)))
    })
}

fn open(path: &Path) -> Option<(File, Identity)> {
    if !std::fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let file = File::open(path).ok()?;
    let identity = Identity::of(&file.metadata().ok()?);
    Some((file, identity))
}

/// Whether a file is called as one that was rotated: in the same folder, the name with something behind it.
fn is_rotated_name(name: &Path, path: &Path) -> bool {
    let text = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let (name_text, path_text) = (text(name), text(path));
    name.parent() == path.parent() && path_text.len() > name_text.len() && path_text.starts_with(&name_text)
}

fn is_compressed(path: &Path) -> bool {
    let name = path.to_string_lossy();
    COMPRESSED.iter().any(|ending| name.ends_with(ending))
}

/// The service that a file's name tells: what stands before the first dot.
fn service_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.trim_start_matches('.').split('.').next().unwrap_or_default();
    if stem.is_empty() { name.into_owned() } else { stem.to_owned() }
}
