//! What may a disk do to us at worst? A disk in memory that loses, tears, reorders and refuses as its seed decides, within
//! the contract of [`Disk`] and nothing kinder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_model::{Error, ErrorKind, Result, Rng};
use parking_lot::Mutex;

use super::{Disk, File};

/// What survives a power cut survives in pieces of this many bytes.
const SECTOR_BYTES: usize = 512;
/// Operations remembered for [`SimulatedDisk::operations`]; later ones are only counted.
const OPERATIONS_MAX: usize = 100_000;

/// What was done to the disk and succeeded or failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A file was created.
    Create(PathBuf),
    /// Bytes were appended to the file first created under this name: so many were asked for.
    Append(PathBuf, usize),
    /// A file was synced.
    Sync(PathBuf),
    /// A directory was synced.
    SyncDir(PathBuf),
    /// A file was renamed.
    Rename(PathBuf, PathBuf),
    /// A file was removed.
    Remove(PathBuf),
    /// A file was cut to this length.
    Truncate(PathBuf, u64),
}

/// What ends the operations of a [`SimulatedDisk`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The power goes off: [`SimulatedDisk::crash`] tells what is left.
    Power,
    /// The process is killed: the system still has all that was written, and [`SimulatedDisk::restart`] goes on.
    Process,
}

/// A disk in memory; clones are the same disk.
#[derive(Debug, Clone)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

/// A change of names that is not sure yet. Each stands for itself, so that any subset may survive.
#[derive(Debug, Clone)]
enum NameChange {
    Add(PathBuf, u64),
    Move(PathBuf, PathBuf, u64),
    Remove(PathBuf, u64),
}

impl NameChange {
    fn is_in(&self, directory: &Path) -> bool {
        match self {
            Self::Add(path, _) | Self::Remove(path, _) => path.parent() == Some(directory),
            Self::Move(from, to, _) => from.parent() == Some(directory) || to.parent() == Some(directory),
        }
    }

    fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Add(path, node) => {
                names.insert(path, node);
            }
            Self::Move(from, to, node) => {
                if names.get(&from) == Some(&node) {
                    names.remove(&from);
                }
                names.insert(to, node);
            }
            Self::Remove(path, node) => {
                if names.get(&path) == Some(&node) {
                    names.remove(&path);
                }
            }
        }
    }
}

/// Contents of one file: as read now, as on the platter, and the sectors in which the next sync makes them equal.
#[derive(Debug, Clone, Default)]
struct Node {
    current: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl Node {
    fn append(&mut self, bytes: &[u8]) {
        let start = self.current.len();
        self.current.extend_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(start / SECTOR_BYTES..=(self.current.len() - 1) / SECTOR_BYTES);
        }
    }

    /// Writes one sector to the platter, as far as `length` lets it.
    fn persist(&mut self, sector: usize, length: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.current.len()).min(length);
        if start < end {
            if self.durable.len() < end {
                self.durable.resize(end, 0);
            }
            self.durable[start..end].copy_from_slice(&self.current[start..end]);
        }
    }

    fn sync(&mut self) {
        let length = self.current.len();
        self.durable.resize(length, 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.persist(sector, length);
        }
    }

    /// Some sectors reach the platter; of the rest the system may think that they did (as Linux does after a failed fsync).
    fn sync_fails(&mut self, rng: &mut Rng) {
        self.tear(rng);
        if rng.below(2) == 0 {
            self.dirty.clear();
        }
    }

    /// What a power cut leaves on the platter.
    fn tear(&mut self, rng: &mut Rng) {
        let (written, synced) = (self.current.len(), self.durable.len());
        let (low, high) = (written.min(synced), written.max(synced));
        let length = match rng.below(3) {
            0 => synced,
            1 => written,
            _ if written > synced => low + rng.below((high - low + 1) as u64) as usize,
            _ => synced,
        };
        self.durable.resize(length, 0);
        let survive = rng.below(5);
        for sector in self.dirty.clone() {
            if rng.below(4) < survive {
                self.persist(sector, length);
            }
        }
    }
}

#[derive(Debug)]
struct State {
    rng: Rng,
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    directories: BTreeSet<PathBuf>,
    next_node: u64,
    capacity_bytes: u64,
    appends_to_failure: Option<u64>,
    syncs_to_failure: Option<u64>,
    /// Operations left, and what stops then.
    stop: Option<(u64, Stop)>,
    refuses_truncate: bool,
    operations: Vec<Operation>,
}

fn refused(what: &str, path: &Path) -> Error {
    Error::unavailable(format!("simulated disk: {what}: {}", path.display()))
}

fn missing(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("simulated disk: no such file: {}", path.display()))
}

/// Counts down; answers whether this is the one that fails.
fn strikes(countdown: &mut Option<u64>) -> bool {
    match countdown {
        Some(0 | 1) => {
            *countdown = None;
            true
        }
        Some(left) => {
            *left -= 1;
            false
        }
        None => false,
    }
}

impl State {
    /// Notes an operation; an error once all is stopped, and what stops when it does so in the middle of this one.
    fn begin(&mut self, operation: Operation, path: &Path) -> Result<Option<Stop>> {
        if self.operations.len() < OPERATIONS_MAX {
            self.operations.push(operation);
        }
        match &mut self.stop {
            Some((0, _)) => Err(refused("stopped", path)),
            Some((left, stop)) => {
                *left -= 1;
                Ok((*left == 0).then_some(*stop))
            }
            None => Ok(None),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|node| self.nodes.get(node)).map(|node| node.current.len() as u64).sum()
    }

    fn change_names(&mut self, change: NameChange) {
        change.clone().apply(&mut self.names);
        self.name_changes.push(change);
    }

    fn node(&self, path: &Path) -> Result<u64> {
        self.names.get(path).copied().ok_or_else(|| missing(path))
    }
}

impl SimulatedDisk {
    /// An empty disk whose every whim comes from the seed.
    pub fn from_seed(seed: u64) -> Self {
        Self::with_names(Rng::from_seed(seed), BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), u64::MAX)
    }

    fn with_names(
        rng: Rng,
        nodes: BTreeMap<u64, Node>,
        names: BTreeMap<PathBuf, u64>,
        directories: BTreeSet<PathBuf>,
        capacity_bytes: u64,
    ) -> Self {
        let next_node = nodes.keys().next_back().map_or(1, |last| last + 1);
        let state = State {
            rng,
            nodes,
            durable_names: names.clone(),
            names,
            name_changes: Vec::new(),
            directories,
            next_node,
            capacity_bytes,
            appends_to_failure: None,
            syncs_to_failure: None,
            stop: None,
            refuses_truncate: false,
            operations: Vec::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// The disk as it is found after a power cut now: of each file any subset of the unsynced sectors, any length between
    /// synced and written, any subset of the unsynced changes of names. Faults that were planned are gone; this disk stays as it is.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut state = self.state.lock();
        let mut rng = Rng::from_seed(state.rng.next_u64());
        let mut names = state.durable_names.clone();
        for change in state.name_changes.clone() {
            if rng.below(2) == 0 {
                change.apply(&mut names);
            }
        }
        let mut nodes = BTreeMap::new();
        for number in names.values() {
            let mut node = state.nodes.get(number).cloned().unwrap_or_default();
            node.tear(&mut rng);
            let durable = node.durable;
            nodes.insert(*number, Node { current: durable.clone(), durable, dirty: BTreeSet::new() });
        }
        Self::with_names(rng, nodes, names, state.directories.clone(), state.capacity_bytes)
    }

    /// The `count`-th append from now (1: the next) writes a part of its bytes and fails.
    pub fn fail_append(&self, count: u64) {
        self.state.lock().appends_to_failure = Some(count);
    }

    /// The `count`-th sync from now (1: the next), of a file or a directory, fails. What it leaves on the platter is open.
    pub fn fail_sync(&self, count: u64) {
        self.state.lock().syncs_to_failure = Some(count);
    }

    /// The power goes off, or the process is killed, in the middle of the `count`-th operation from now; all later ones fail.
    pub fn stop_at_operation(&self, count: u64, stop: Stop) {
        let mut state = self.state.lock();
        // What has stopped stays so: a later plan must not bring it back.
        if !matches!(state.stop, Some((0, _))) {
            state.stop = Some((count, stop));
        }
    }

    /// What has stopped the disk, if anything has.
    pub fn stopped(&self) -> Option<Stop> {
        self.state.lock().stop.and_then(|(left, stop)| (left == 0).then_some(stop))
    }

    /// A new process finds the disk as the last one left it, without a power cut in between.
    pub fn restart(&self) {
        self.state.lock().stop = None;
    }

    /// Whether each [`File::truncate`] fails.
    pub fn refuse_truncate(&self, refuse: bool) {
        self.state.lock().refuses_truncate = refuse;
    }

    /// The disk is full once its files hold this many bytes.
    pub fn set_capacity_bytes(&self, bytes: u64) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// Flips the bits of `mask` in one byte of a file, on the platter too.
    ///
    /// # Errors
    /// `NotFound` when there is no such file or byte.
    pub fn flip(&self, path: &Path, offset: u64, mask: u8) -> Result<()> {
        let mut state = self.state.lock();
        let number = state.node(path)?;
        let node = state.nodes.get_mut(&number).ok_or_else(|| missing(path))?;
        let at = usize::try_from(offset).map_err(|_| missing(path))?;
        *node.current.get_mut(at).ok_or_else(|| missing(path))? ^= mask;
        if let Some(byte) = node.durable.get_mut(at) {
            *byte ^= mask;
        }
        Ok(())
    }

    /// Puts a file in place, durably and without any fault, over one that is there.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.state.lock();
        let number = state.next_node;
        state.next_node += 1;
        state.nodes.insert(number, Node { current: bytes.to_vec(), durable: bytes.to_vec(), dirty: BTreeSet::new() });
        state.names.insert(path.to_path_buf(), number);
        state.durable_names.insert(path.to_path_buf(), number);
        for directory in path.ancestors().skip(1) {
            state.directories.insert(directory.to_path_buf());
        }
    }

    /// What a file holds now.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn contents(&self, path: &Path) -> Result<Vec<u8>> {
        let state = self.state.lock();
        let number = state.node(path)?;
        Ok(state.nodes.get(&number).map(|node| node.current.clone()).unwrap_or_default())
    }

    /// What was done, in order, failures included; the first 100,000.
    pub fn operations(&self) -> Vec<Operation> {
        self.state.lock().operations.clone()
    }

    fn file(&self, node: u64, path: &Path, writable: bool) -> Arc<dyn File> {
        Arc::new(SimulatedFile { state: Arc::clone(&self.state), node, path: path.to_path_buf(), writable })
    }
}

impl Disk for SimulatedDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.begin(Operation::Create(path.to_path_buf()), path)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        if state.names.contains_key(path)
            || !(directory.as_os_str().is_empty() || state.directories.contains(directory))
        {
            return Err(refused("exists already, or its directory does not", path));
        }
        if state.used_bytes() >= state.capacity_bytes {
            return Err(refused("no space left", path));
        }
        let number = state.next_node;
        state.next_node += 1;
        state.nodes.insert(number, Node::default());
        state.change_names(NameChange::Add(path.to_path_buf(), number));
        drop(state);
        Ok(self.file(number, path, true))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn File>> {
        let number = self.state.lock().node(path)?;
        Ok(self.file(number, path, false))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Rename(from.to_path_buf(), to.to_path_buf()), from)?;
        let number = state.node(from)?;
        state.change_names(NameChange::Move(from.to_path_buf(), to.to_path_buf(), number));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::Remove(path.to_path_buf()), path)?;
        let number = state.node(path)?;
        state.change_names(NameChange::Remove(path.to_path_buf(), number));
        Ok(())
    }

    fn create_dir_all(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        for directory in path.ancestors() {
            state.directories.insert(directory.to_path_buf());
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> Result<Vec<String>> {
        let state = self.state.lock();
        if !path.as_os_str().is_empty() && !state.directories.contains(path) {
            return Err(missing(path));
        }
        let inside = state.names.keys().filter(|name| name.parent() == Some(path));
        Ok(inside.filter_map(|name| Some(name.file_name()?.to_str()?.to_owned())).collect())
    }

    fn sync_dir(&self, path: &Path) -> Result<()> {
        let mut state = self.state.lock();
        state.begin(Operation::SyncDir(path.to_path_buf()), path)?;
        if strikes(&mut state.syncs_to_failure) {
            return Err(refused("sync failed", path));
        }
        let changes = std::mem::take(&mut state.name_changes);
        for change in changes {
            if change.is_in(path) {
                change.apply(&mut state.durable_names);
            } else {
                state.name_changes.push(change);
            }
        }
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        let state = self.state.lock();
        Ok(state.capacity_bytes.saturating_sub(state.used_bytes()))
    }
}

/// A file of the disk; `path` is the name it was opened by.
#[derive(Debug)]
struct SimulatedFile {
    state: Arc<Mutex<State>>,
    node: u64,
    path: PathBuf,
    writable: bool,
}

impl SimulatedFile {
    fn check_writable(&self) -> Result<()> {
        if self.writable { Ok(()) } else { Err(refused("opened for reading", &self.path)) }
    }
}

impl File for SimulatedFile {
    fn append(&self, bytes: &[u8]) -> Result<()> {
        self.check_writable()?;
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let stops = state.begin(Operation::Append(self.path.clone(), bytes.len()), &self.path)?;
        let free = state.capacity_bytes.saturating_sub(state.used_bytes());
        let mut length = bytes.len();
        let mut problem = None;
        if free < length as u64 {
            length = usize::try_from(free).unwrap_or(length);
            problem = Some("no space left");
        }
        if strikes(&mut state.appends_to_failure) || stops.is_some() {
            length = usize::try_from(state.rng.below(length as u64 + 1)).unwrap_or(0);
            problem = Some("append failed");
        }
        let node = state.nodes.get_mut(&self.node).ok_or_else(|| missing(&self.path))?;
        node.append(bytes.get(..length).unwrap_or_default());
        problem.map_or(Ok(()), |problem| Err(refused(problem, &self.path)))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let state = self.state.lock();
        let node = state.nodes.get(&self.node).ok_or_else(|| missing(&self.path))?;
        let start = usize::try_from(offset).map_err(|_| refused("read past the end", &self.path))?;
        let bytes = start.checked_add(buffer.len()).and_then(|end| node.current.get(start..end));
        buffer.copy_from_slice(bytes.ok_or_else(|| refused("read past the end", &self.path))?);
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        let state = self.state.lock();
        Ok(state.nodes.get(&self.node).ok_or_else(|| missing(&self.path))?.current.len() as u64)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.check_writable()?;
        let mut state = self.state.lock();
        state.begin(Operation::Truncate(self.path.clone(), length), &self.path)?;
        if state.refuses_truncate {
            return Err(refused("truncate failed", &self.path));
        }
        let node = state.nodes.get_mut(&self.node).ok_or_else(|| missing(&self.path))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > node.current.len() {
            return Err(refused("truncate to more than it has", &self.path));
        }
        node.current.truncate(length);
        node.dirty.retain(|sector| sector * SECTOR_BYTES < length);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let stops = state.begin(Operation::Sync(self.path.clone()), &self.path)?;
        if stops == Some(Stop::Process) {
            return Err(refused("killed", &self.path));
        }
        let fails = strikes(&mut state.syncs_to_failure) || stops.is_some();
        let node = state.nodes.get_mut(&self.node).ok_or_else(|| missing(&self.path))?;
        if fails {
            node.sync_fails(&mut state.rng);
            return Err(refused("sync failed", &self.path));
        }
        node.sync();
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn created(seed: u64) -> (SimulatedDisk, Arc<dyn File>) {
        let disk = SimulatedDisk::from_seed(seed);
        disk.create_dir_all(Path::new("d")).unwrap();
        let file = disk.create(Path::new("d/x")).unwrap();
        (disk, file)
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_not() {
        let (mut lost_name, mut lost_bytes, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let (disk, file) = created(seed);
            file.append(&[1; 700]).unwrap();
            file.sync().unwrap();
            lost_name += u32::from(disk.crash().open(Path::new("d/x")).is_err());
            disk.sync_dir(Path::new("d")).unwrap();
            file.append(&[2; 3_000]).unwrap();
            let bytes = disk.crash().contents(Path::new("d/x")).unwrap();
            assert_eq!(&bytes[..700], &[1; 700]);
            assert!(bytes.len() <= 3_700);
            lost_bytes += u32::from(bytes.len() < 3_700);
            torn += u32::from(bytes[700..].contains(&0) && bytes[700..].contains(&2));
            file.sync().unwrap();
            assert_eq!(disk.crash().contents(Path::new("d/x")).unwrap().len(), 3_700);
        }
        assert!(lost_name > 50 && lost_bytes > 50 && torn > 50, "{lost_name} {lost_bytes} {torn}");
    }

    #[test]
    fn a_renamed_file_is_whole_under_one_name_or_the_other() {
        let mut renamed = 0;
        for seed in 0..100 {
            let (disk, file) = created(seed);
            file.append(b"new").unwrap();
            file.sync().unwrap();
            disk.put(Path::new("d/y"), b"old");
            disk.sync_dir(Path::new("d")).unwrap();
            disk.rename(Path::new("d/x"), Path::new("d/y")).unwrap();
            let after = disk.crash();
            let new = after.contents(Path::new("d/y")).unwrap() == b"new";
            assert_ne!(new, after.contents(Path::new("d/x")).is_ok());
            renamed += u32::from(new);
        }
        assert!(renamed > 20 && renamed < 80, "{renamed}");
    }

    #[test]
    fn faults_strike_where_they_were_planned() {
        let (disk, file) = created(7);
        disk.fail_append(2);
        file.append(b"one").unwrap();
        assert!(file.append(b"two").is_err());
        file.append(b"three").unwrap();
        disk.fail_sync(1);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        let used = file.len().unwrap();
        disk.set_capacity_bytes(used + 4);
        assert!(file.append(b"seven!!").is_err());
        assert_eq!(file.len().unwrap(), used + 4, "what fits is written");
        disk.set_capacity_bytes(u64::MAX);
        disk.stop_at_operation(1, Stop::Power);
        assert!(file.append(b"dark").is_err());
        assert!(file.sync().is_err() && disk.remove(Path::new("d/x")).is_err());
        assert_eq!(disk.stopped(), Some(Stop::Power));
        assert!(disk.operations().contains(&Operation::Remove(PathBuf::from("d/x"))));
        assert!(disk.open(Path::new("d/x")).unwrap().append(b"no").is_err());
    }
}
