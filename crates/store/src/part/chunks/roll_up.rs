//! How does a part of samples become rollups? Series by series, for all resolutions in one pass.

use std::sync::Arc;

use causeway_model::{Error, Result, Table};

use super::merge::{Next, Stream};
use super::write::ChunkWriter;
use crate::disk::Disk;
use crate::part::{NewPart, Part, PartMeta, PartOptions};
use crate::samples::{Roller, SeriesSamples};

/// Samples of a series that are held at once. 64 Ki: some days at 15 s; of a series that has more, windows are joined.
const SAMPLES_HELD_MAX: usize = 64 << 10;
/// Series between two looks at whether to give way.
const SERIES_PER_LOOK: usize = 256;

/// Writes what the samples of a part were together, a part for each of these tables of rollups. `give_way` is called now and then and
/// may wait.
///
/// # Errors
/// `Corrupt` when the part can't be read; `Unavailable` when the disk refuses. Files may then be left behind.
pub fn roll_up(
    disk: &Arc<dyn Disk>,
    part: &Arc<Part>,
    new: &[(Table, NewPart)],
    options: &PartOptions,
    give_way: &dyn Fn(),
) -> Result<Vec<PartMeta>> {
    let writer = |(table, new)| ChunkWriter::create(disk, table, new, options);
    let mut writers = new.iter().map(|(table, new)| writer((*table, new))).collect::<Result<Vec<_>>>()?;
    let mut stream = Stream::open(part, options)?;
    let mut roller = Roller::new(new.iter().map(|(table, _)| *table));
    let (mut samples, mut series) = (SeriesSamples::default(), 0usize);
    while let Some(id) = stream.id() {
        while stream.id() == Some(id) {
            stream.take(&mut |_, next| match next {
                Next::Rows(chunk) => {
                    samples.add_chunk(chunk);
                    Ok(())
                }
                Next::Bytes(_, bytes) => samples.add_bytes(bytes),
            })?;
            if samples.held() >= SAMPLES_HELD_MAX {
                roller.add(&mut samples)?;
            }
        }
        roller.add(&mut samples)?;
        for (writer, chunk) in writers.iter_mut().zip(roller.take()?) {
            writer.add(id, chunk)?;
        }
        series += 1;
        if series.is_multiple_of(SERIES_PER_LOOK) {
            give_way();
        }
    }
    if series == 0 {
        return Err(Error::internal("a part without series"));
    }
    writers.into_iter().map(|writer| writer.finish(&[])).collect()
}
