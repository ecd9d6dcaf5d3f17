//! How do batches become the rows of a part's columns? Block by block in sorted order, each attribute straight into its column.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::interleave;
use causeway_model::{Batch, ColumnLevel, Family, Kind, Result};
use hashbrown::HashMap;

use crate::part::columns::{PartSchema, Physical, is_service_name};
use crate::part::picks::Picks;
use crate::part::sort::column_of;
use crate::part::values::{ColumnBuilder, TextMapBuilder};

/// Where an entry goes: a builder's number, or one of these.
const TO_REST: u16 = u16::MAX;
const NOWHERE: u16 = u16::MAX - 1;
type Targets = [u16; Kind::ALL.len()];

/// Bytes of a block at most, before it is ended early. 32 MiB: lines of a megabyte must not make one block of 8 GiB.
pub(crate) const BLOCK_BYTES_MAX: usize = 32 << 20;

/// Projects rows of batches onto the columns of a part.
pub(crate) struct Projector<'a> {
    schema: &'a PartSchema,
    batches: &'a [Arc<Batch>],
    /// For each batch and family, by key number: where its values go.
    targets: Vec<[Vec<Targets>; 3]>,
    builders: Vec<ColumnBuilder>,
    rests: [TextMapBuilder; 3],
    /// For each batch the bytes of a record's fixed columns, on average.
    record_bytes: Vec<usize>,
}

impl<'a> Projector<'a> {
    pub(crate) fn new(schema: &'a PartSchema, batches: &'a [Arc<Batch>]) -> Self {
        let mut builders = Vec::new();
        let mut by_key: HashMap<&str, [Targets; 3]> = HashMap::new();
        for column in &schema.columns {
            let Physical::Attribute { family, key, kind } = column else { continue };
            let number = u16::try_from(builders.len()).unwrap_or(TO_REST);
            by_key.entry(key).or_insert([[TO_REST; Kind::ALL.len()]; 3])[*family as usize][*kind as usize] = number;
            builders.push(ColumnBuilder::new(*kind));
        }
        let of_key = |key: &str, family: Family| {
            let mut targets = by_key.get(key).map_or([TO_REST; Kind::ALL.len()], |all| all[family as usize]);
            if is_service_name(schema.table, family, key, Kind::String) {
                targets[Kind::String as usize] = NOWHERE;
            }
            targets
        };
        let targets = batches
            .iter()
            .map(|batch| {
                Family::ALL.map(|family| {
                    let used = schema.table.has_attributes() && batch.attributes(family).entry_count() > 0;
                    let keys = if used { batch.keys().keys() } else { &[] };
                    keys.iter().map(|key| of_key(key, family)).collect()
                })
            })
            .collect();
        let record_bytes =
            batches.iter().map(|batch| batch.records().get_array_memory_size().div_ceil(batch.rows().max(1))).collect();
        Self { schema, batches, targets, builders, rests: Default::default(), record_bytes }
    }

    /// Bytes that a row takes in a block, about.
    pub(crate) fn row_bytes(&self, batch: usize, row: usize) -> usize {
        let of = &self.batches[batch];
        if !self.schema.table.has_attributes() {
            return self.record_bytes[batch];
        }
        let entries: usize = Family::ALL
            .into_iter()
            .map(|family| {
                let sets = of.attributes(family);
                let range = sets.entry_range(of.row_of(family).map_or(row, |of| of.value(row) as usize));
                let offsets = sets.values().value_offsets();
                usize::try_from(offsets[range.end] - offsets[range.start]).unwrap_or(0)
            })
            .sum();
        self.record_bytes[batch] + entries
    }

    /// The picked rows of the batches as columns of the part.
    ///
    /// # Errors
    /// `Corrupt` when a batch holds text that is not UTF-8.
    pub(crate) fn block(&mut self, picks: &Picks) -> Result<RecordBatch> {
        let (picks, used) = local(picks, self.batches.len());
        let places = [Family::Resource, Family::Scope].map(|family| self.places(family, &picks, &used));
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.columns.len()];
        for (column, filled) in self.schema.columns.iter().zip(&mut columns) {
            if let Physical::Fixed(index) = column {
                *filled = Some(self.fixed(*index, &picks, &used, &places)?);
            }
        }
        for family in Family::ALL {
            self.entries(family, &picks, &used);
        }
        let mut builders = self.builders.iter_mut();
        let mut finished = Vec::with_capacity(columns.len());
        for (column, filled) in self.schema.columns.iter().zip(columns) {
            let array = match (column, filled) {
                (_, Some(array)) => Some(array),
                (Physical::Rest(family), None) => Some(self.rests[*family as usize].finish()?),
                (_, None) => builders.next().map(|builder| builder.finish(picks.rows())).transpose()?,
            };
            finished.extend(array);
        }
        Ok(RecordBatch::try_new(self.schema.arrow.clone(), finished)?)
    }

    /// Batch and row of the resource or scope of each picked row.
    fn places(&self, family: Family, picks: &Picks, used: &[usize]) -> Vec<(usize, usize)> {
        let rows: Vec<Option<&[u32]>> =
            used.iter().map(|batch| self.batches[*batch].row_of(family).map(|of| &of.values()[..])).collect();
        picks.iter().map(|(source, row)| (source, rows[source].map_or(row, |of| of[row] as usize))).collect()
    }

    fn fixed(
        &self,
        index: usize,
        picks: &Picks,
        used: &[usize],
        places: &[Vec<(usize, usize)>; 2],
    ) -> Result<ArrayRef> {
        let column = self.schema.table.columns().get(index);
        let name = column.map_or("", |column| column.name);
        let sides = used
            .iter()
            .map(|batch| column_of(self.schema.table, &self.batches[*batch], name))
            .collect::<Result<Vec<_>>>()?;
        let arrays: Vec<&dyn Array> = sides.iter().map(|(array, _)| &***array).collect();
        match column.map(|column| column.level) {
            Some(ColumnLevel::Resource) => Ok(interleave(&arrays, &places[0])?),
            Some(ColumnLevel::Scope) => Ok(interleave(&arrays, &places[1])?),
            _ => picks.gather(&arrays),
        }
    }

    /// Puts the entries of one family into their builders.
    fn entries(&mut self, family: Family, picks: &Picks, used: &[usize]) {
        let has_rest = self.schema.position(&Physical::Rest(family)).is_some();
        let rest = &mut self.rests[family as usize];
        let mut row_out = 0;
        for run in picks.runs() {
            let number = used[run.source];
            let batch = &self.batches[number];
            let (sets, of) = (batch.attributes(family), batch.row_of(family));
            let targets = &self.targets[number][family as usize];
            for row in run.start..run.start + run.length {
                let row = of.map_or(row, |of| of.values()[row] as usize);
                for position in sets.entry_range(row) {
                    let (key, kind) = (sets.keys()[position], sets.kinds()[position]);
                    match targets.get(key as usize).and_then(|kinds| kinds.get(usize::from(kind))).copied() {
                        None | Some(NOWHERE) => {}
                        Some(TO_REST) => {
                            let name = batch.keys().key(key).map_or("", |key| key);
                            rest.push(name, |out| sets.entry(position).value.write_json(out));
                        }
                        Some(builder) => {
                            self.builders[usize::from(builder)].append_flat(row_out, sets.values().value(position));
                        }
                    }
                }
                if has_rest {
                    rest.finish_row();
                }
                row_out += 1;
            }
        }
    }
}

/// The same picks with only the sources that are used, numbered anew.
fn local(picks: &Picks, sources: usize) -> (Picks, Vec<usize>) {
    let (mut numbers, mut used, mut local) = (vec![usize::MAX; sources], Vec::new(), Picks::default());
    for run in picks.runs() {
        let number = &mut numbers[run.source];
        if *number == usize::MAX {
            *number = used.len();
            used.push(run.source);
        }
        local.push(*number, run.start, run.length);
    }
    (local, used)
}
