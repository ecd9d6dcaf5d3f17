//! What does a Parquet file say of itself? Enough to enter it into a catalog again: the part's facts, and which parts it replaced.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use causeway_model::{Error, Result, Table, TimeRange};
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

use crate::disk::Disk;
use crate::index::IndexReader;
use crate::part::checked::CheckedFile;
use crate::part::{NewPart, PartMeta};

/// The key of the facts among Parquet's key-value metadata.
const FACTS_KEY: &str = "causeway.part";
/// The versions of what stands in the file. The second keeps some columns in another form.
pub(crate) const ROWS: u32 = 2;
/// The third holds chunks of samples as its rows.
pub(crate) const CHUNKED: u32 = 3;

/// The facts as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Facts {
    format: u32,
    id: u64,
    table: String,
    level: u32,
    rows: u64,
    time_start: i64,
    time_end: i64,
    first_sequence: u64,
    last_sequence: u64,
    created_unix_nano: i64,
    replaces: Vec<u64>,
}

/// What a file tells of a part whose catalog is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartRecord {
    /// As the catalog knew it.
    pub meta: PartMeta,
    /// The parts that were merged into it; their rows are in this one too.
    pub replaces: Vec<u64>,
}

/// The directory of a table's parts.
pub(crate) fn part_directory(table: Table) -> PathBuf {
    Path::new("parts").join(table.name())
}

/// The Parquet file of a part.
pub fn part_path(table: Table, id: u64) -> PathBuf {
    part_directory(table).join(format!("{id:016x}.parquet"))
}

/// The index file of a part.
pub fn index_path(table: Table, id: u64) -> PathBuf {
    part_directory(table).join(format!("{id:016x}.index"))
}

/// The facts as an entry of Parquet's key-value metadata.
pub(crate) fn facts_entry(
    format: u32,
    table: Table,
    new: &NewPart,
    rows: u64,
    time: TimeRange,
    replaces: &[u64],
) -> Result<KeyValue> {
    let facts = Facts {
        format,
        id: new.id,
        table: table.name().to_owned(),
        level: new.level,
        rows,
        time_start: time.start,
        time_end: time.end,
        first_sequence: new.sequences.0,
        last_sequence: new.sequences.1,
        created_unix_nano: new.created_unix_nano,
        replaces: replaces.to_vec(),
    };
    let text = serde_json::to_string(&facts).map_err(|error| Error::internal(format!("part facts: {error}")))?;
    Ok(KeyValue::new(FACTS_KEY.to_owned(), text))
}

/// Reads from the files of a part what the catalog should know of it.
///
/// # Errors
/// `Corrupt` with the file's name when they are damaged or not of this part.
pub fn read_meta(disk: &Arc<dyn Disk>, table: Table, id: u64) -> Result<PartRecord> {
    let (_, directory) = IndexReader::open(disk, index_path(table, id))?;
    let (path, index_bytes) = (part_path(table, id), disk.open(&index_path(table, id))?.len()?);
    let corrupt = |what: &dyn std::fmt::Display| Error::corrupt(format!("{}: {what}", path.display()));
    let file = CheckedFile::new(disk.open(&path)?, path.clone(), directory.part_bytes, directory.checksums)?;
    let footer = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(|error| corrupt(&error))?;
    let entries = footer.file_metadata().key_value_metadata().map(Vec::as_slice).unwrap_or_default();
    let text = entries.iter().find(|entry| entry.key == FACTS_KEY).and_then(|entry| entry.value.as_deref());
    let facts: Facts = serde_json::from_str(text.unwrap_or_default()).map_err(|error| corrupt(&error))?;
    if !(1..=CHUNKED).contains(&facts.format) || facts.id != id || facts.table != table.name() {
        return Err(corrupt(&"these are the facts of another part"));
    }
    let meta = PartMeta {
        id,
        table,
        level: facts.level,
        rows: facts.rows,
        bytes: directory.part_bytes + index_bytes,
        time: TimeRange { start: facts.time_start, end: facts.time_end },
        sequences: (facts.first_sequence, facts.last_sequence),
        created_unix_nano: facts.created_unix_nano,
    };
    Ok(PartRecord { meta, replaces: facts.replaces })
}
