//! What is there at the start? The catalog (or what can be rebuilt of it), the parts that it names, the rest from the log;
//! everything else is swept away.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use causeway_model::{Clock, ErrorKind, Result, Table};
use futures::executor::block_on;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::StoreOptions;
use super::core::Core;
use super::keeper::Keeper;
use super::lock::DirectoryLock;
use super::metrics::Counters;
use super::state::State;
use crate::catalog::rebuild::{read_copy, surviving};
use crate::catalog::sqlite::{FILE, SqliteCatalog, move_aside};
use crate::catalog::{Catalog, CatalogCommit, CatalogState, Flushed};
use crate::delivery;
use crate::disk::{Disk, LocalDisk};
use crate::part::{Part, PartMeta, read_meta};
use crate::wal::{ReplayReport, Wal};

/// On what a store stands.
pub struct Ground {
    /// The data directory.
    pub disk: Arc<dyn Disk>,
    /// The catalog; one that answers `None` is new, or stands for one that was lost.
    pub catalog: Box<dyn Catalog>,
    /// Held as long as the store is open.
    pub lock: Option<DirectoryLock>,
}

/// The store of a directory of this machine.
///
/// # Errors
/// As [`super::Store::open`].
pub fn local(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Core> {
    std::fs::create_dir_all(&options.directory)?;
    let lock = DirectoryLock::take(&options.directory)?;
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(&options.directory));
    let path = options.directory.join(FILE);
    let mut damage = None;
    let catalog = match block_on(SqliteCatalog::open(&path)) {
        Err(error) if error.kind == ErrorKind::Corrupt => {
            let aside = move_aside(&path)?;
            damage = Some(format!("{error}; moved to {} and rebuilt from the parts", aside.display()));
            block_on(SqliteCatalog::open(&path))?
        }
        opened => opened?,
    };
    let core = open(options, clock, Ground { disk, catalog: Box::new(catalog), lock: Some(lock) })?;
    if let Some(damage) = damage {
        core.counters.corruption(&damage);
    }
    Ok(core)
}

/// The store on any ground.
///
/// # Errors
/// As [`super::Store::open`].
pub fn open(options: StoreOptions, clock: Arc<dyn Clock>, mut ground: Ground) -> Result<Core> {
    let counters = Counters::default();
    for table in Table::ALL {
        ground.disk.create_dir_all(&directory_of(table))?;
    }
    let loaded = match block_on(ground.catalog.load())? {
        Some(state) => state,
        None => rebuilt(&mut ground, &counters)?,
    };
    let copied = read_copy(&ground.disk).ok().flatten();
    let highest = sweep(&ground.disk, &loaded.parts)?;
    let mut state = State {
        sequence: loaded.flushed.sequence,
        flushed_sequence: loaded.flushed.sequence,
        copied_sequence: copied.as_ref().map_or(0, |copied| copied.sequence.min(loaded.flushed.sequence)),
        // A copy without a catalog would tell the next start that the catalog was lost.
        uncopied: (loaded.version > 0 && copied.as_ref() != Some(&loaded.flushed)).then(|| loaded.flushed.clone()),
        ledger: loaded.flushed.ledger,
        tracker: loaded.flushed.tracker,
        ..State::default()
    };
    for meta in loaded.parts {
        let part = served(&ground.disk, &meta, &counters)?;
        state.add(meta, part);
    }
    let core = Core {
        wal: Mutex::default(),
        keeper: Mutex::new(Keeper { catalog: ground.catalog, version: loaded.version, doubt: None }),
        state: Mutex::new(state),
        counters,
        problems: Mutex::default(),
        queue_bytes: Default::default(),
        next_part_id: AtomicU64::new(loaded.next_part_id.max(highest.saturating_add(1))),
        flushing: Mutex::default(),
        memory_freed: Notify::new(),
        disk: ground.disk,
        _lock: ground.lock,
        options,
        clock,
    };
    replay(&core)?;
    if let Err(error) = core.finish_flush() {
        tracing::warn!(target: "causeway::store", "the copy beside the catalog is older than it: {error}");
    }
    Ok(core)
}

/// The part, open; `None` when it is damaged or its files are gone, which is told and counted.
fn served(disk: &Arc<dyn Disk>, meta: &PartMeta, counters: &Counters) -> Result<Option<Arc<Part>>> {
    match Part::open(disk, meta.clone()) {
        Ok(part) => Ok(Some(Arc::new(part))),
        // The disk refuses for now: to start without the part would hide its rows.
        Err(error) if error.kind == ErrorKind::Unavailable => Err(error),
        Err(error) => {
            counters.corruption(&format!("part {}/{:016x} can't be served: {error}", meta.table.name(), meta.id));
            Ok(None)
        }
    }
}

fn directory_of(table: Table) -> std::path::PathBuf {
    Path::new("parts").join(table.name())
}

/// Takes what the log has beyond the parts back into memory, at most what memory holds while deliveries come: two generations.
/// A log that is longer, as flushes failed before, becomes parts on the way.
fn replay(core: &Core) -> Result<()> {
    let memory_bytes_max = core.options.memtable_bytes_max.saturating_mul(2);
    let (after, now) = (core.state.lock().flushed_sequence, core.clock.monotonic_nano());
    let (wal, report) = Wal::open(core.disk.clone(), core.options.wal.clone(), after, &mut |sequence, payload| {
        match delivery::decode(payload) {
            Ok(delivery) => core.state.lock().insert(sequence, delivery, now),
            Err(error) if error.kind == ErrorKind::Corrupt => {
                core.counters.corruption(&format!("delivery {sequence} of the log is lost: {error}"));
            }
            Err(error) => return Err(error),
        }
        if core.state.lock().memory_bytes() < memory_bytes_max {
            return Ok(());
        }
        core.flush()
            .map_err(|error| error.context("the log holds more than memory may, and can't be brought into parts"))
    })?;
    tell(&report, &core.counters);
    core.counters.wal_bytes(wal.bytes());
    let (flushed, copied) = {
        let mut state = core.state.lock();
        state.sequence = state.sequence.max(wal.last_sequence());
        (state.flushed_sequence > after, state.copied_sequence)
    };
    *core.wal.lock() = Some(wal);
    if flushed {
        core.cut_log(copied);
    }
    Ok(())
}

fn tell(report: &ReplayReport, counters: &Counters) {
    for corruption in &report.corruptions {
        counters.corruption(&format!("the log is damaged: {corruption}"));
    }
    let (records, skipped, torn) = (report.records, report.skipped, report.torn_bytes);
    tracing::info!(target: "causeway::store", "replayed {records} deliveries; {skipped} were in parts; {torn} bytes were torn");
}

/// Deletes files of parts that don't count; the highest id found.
fn sweep(disk: &Arc<dyn Disk>, parts: &[PartMeta]) -> Result<u64> {
    let counted: HashSet<(Table, u64)> = parts.iter().map(|part| (part.table, part.id)).collect();
    let mut highest = 0;
    for table in Table::ALL {
        for name in disk.list(&directory_of(table))? {
            let id = id_of(&name);
            highest = highest.max(id.unwrap_or(0));
            // A file that is not named as ours is not ours to delete.
            if id.is_some_and(|id| !counted.contains(&(table, id))) {
                disk.remove(&directory_of(table).join(&name))?;
            }
        }
    }
    Ok(highest)
}

/// The id in the name of a part's file, finished or not.
fn id_of(name: &str) -> Option<u64> {
    let (id, _) = name.split_once('.')?;
    if id.len() == 16 { u64::from_str_radix(id, 16).ok() } else { None }
}

/// The state of a catalog that was lost, from the parts and the copy beside them; committed. Empty where there is neither.
fn rebuilt(ground: &mut Ground, counters: &Counters) -> Result<CatalogState> {
    let copy = match read_copy(&ground.disk) {
        Err(error) if error.kind == ErrorKind::Corrupt => {
            counters.corruption(&format!("{error}; the ledger starts afresh"));
            Err(())
        }
        copy => Ok(copy?),
    };
    // Without a copy no flush ever cut the log: all is in it.
    if matches!(copy, Ok(None)) {
        return Ok(CatalogState::default());
    }
    let found = found_parts(&ground.disk, counters)?;
    let newest = found.iter().map(|part| part.sequences.1).max().unwrap_or(0);
    let flushed = copy.ok().flatten().unwrap_or(Flushed { sequence: newest, ..Flushed::default() });
    let next_part_id = found.iter().map(|part| part.id.saturating_add(1)).max().unwrap_or(0);
    let parts = surviving(found, flushed.sequence);
    tracing::error!(target: "causeway::store", "the catalog was rebuilt from {} parts", parts.len());
    let commit = CatalogCommit {
        version: 0,
        next_part_id,
        add: parts.clone(),
        remove: Vec::new(),
        flushed: Some(flushed.clone()),
    };
    block_on(ground.catalog.commit(&commit))?;
    Ok(CatalogState { version: 1, next_part_id, flushed, parts })
}

/// What the parts on disk say of themselves. One that can't be read may have counted: its files are set aside under a name
/// that is not swept.
fn found_parts(disk: &Arc<dyn Disk>, counters: &Counters) -> Result<Vec<PartMeta>> {
    let mut found = Vec::new();
    for table in Table::ALL {
        let directory = directory_of(table);
        for name in disk.list(&directory)? {
            let Some(id) = id_of(&name).filter(|_| name.ends_with(".parquet")) else { continue };
            match read_meta(disk, table, id) {
                Ok(record) => found.push(record.meta),
                Err(error) if error.kind == ErrorKind::Unavailable => return Err(error),
                Err(error) => {
                    let table = table.name();
                    counters.corruption(&format!("part {table}/{id:016x} can't be read and is set aside: {error}"));
                    disk.rename(&directory.join(&name), &directory.join(format!("damaged-{name}")))?;
                }
            }
        }
    }
    Ok(found)
}
