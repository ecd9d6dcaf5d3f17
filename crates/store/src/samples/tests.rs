//! Do the samples of a series come back from a chunk as they went in, whatever their type?

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray, StructArray,
    TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Float64Type, UInt64Type};
use causeway_model::{Batch, ColumnLevel, Histogram, Result, Rng, Rollup, Table, TimeRange, rollups_of};

use super::chunk::{Chunk, SERIES_ID};
use super::{SampleSet, SampleTables, SeriesSamples, by_series};
use crate::TableSnapshot;
use crate::disk::{Disk, LocalDisk};
use crate::part::{NewPart, Part, PartMeta, PartOptions, merge_parts, roll_up, write_part, write_part_of_rows};

fn times(rng: &mut Rng, count: usize) -> ArrayRef {
    let mut time = 1_760_000_000_000_000_000i64;
    let mut next = || {
        time += 15_000_000_000 + rng.below(3) as i64 * 1_000_000;
        time
    };
    Arc::new(TimestampNanosecondArray::from_iter_values((0..count).map(|_| next())).with_timezone("UTC"))
}

/// A list as the table has it: its items are never null.
fn retyped(list: ListArray) -> ArrayRef {
    let (_, offsets, values, nulls) = list.into_parts();
    let item = Arc::new(Field::new("item", values.data_type().clone(), false));
    Arc::new(ListArray::new(item, offsets, values, nulls))
}

fn bounds(count: usize, buckets: usize, of: bool) -> ArrayRef {
    let one = || (0..buckets).map(|bound| Some(bound as f64 / 4.0)).collect::<Vec<_>>();
    retyped(ListArray::from_iter_primitive::<Float64Type, _, _>((0..count).map(|_| of.then(one))))
}

fn quantiles(rng: &mut Rng, count: usize, of: bool) -> ArrayRef {
    let lengths: Vec<usize> = (0..count).map(|_| if of { rng.below(4) as usize } else { 0 }).collect();
    let total: usize = lengths.iter().sum();
    let schema = Table::MetricSamples.schema(ColumnLevel::Record);
    let DataType::List(item) = schema.field_with_name("quantiles").unwrap().data_type().clone() else { panic!() };
    let DataType::Struct(fields) = item.data_type().clone() else { panic!() };
    let pair: Vec<ArrayRef> = vec![
        Arc::new(Float64Array::from_iter_values((0..total).map(|at| at as f64 / 100.0))),
        Arc::new(Float64Array::from(vec![0.1; total])),
    ];
    let pairs = Arc::new(StructArray::new(fields, pair, None));
    Arc::new(ListArray::new(item, OffsetBuffer::from_lengths(lengths), pairs, Some(NullBuffer::from(vec![of; count]))))
}

/// Samples of all sorts: a type each run, with gaps, resets and changing buckets.
fn rows(rng: &mut Rng, count: usize) -> Vec<ArrayRef> {
    let sort = rng.below(6);
    let some = |rng: &mut Rng, of: bool| of && rng.below(5) > 0;
    let ints: Vec<Option<i64>> =
        (0..count).map(|_| some(rng, sort == 1).then(|| rng.below(1 << 40) as i64 - (1 << 39))).collect();
    let mut float = |int: &Option<i64>| match sort {
        0 => Some(rng.below(1_000) as f64 / 8.0),
        1 => int.map(|int| int as f64).or_else(|| (rng.below(50) == 0).then_some(f64::NAN)),
        _ => None,
    };
    let floats: Vec<Option<f64>> = ints.iter().map(&mut float).collect();
    let buckets = (sort == 2 || sort == 3) as usize * (1 + rng.below(20) as usize);
    let even = rng.below(2) == 0;
    let lists = |rng: &mut Rng, of: bool| {
        retyped(ListArray::from_iter_primitive::<UInt64Type, _, _>((0..count).map(|_| {
            let length = if even { buckets } else { rng.below(buckets as u64 + 1) as usize };
            some(rng, of).then(|| (0..length).map(|_| Some(rng.below(100))).collect::<Vec<_>>())
        })))
    };
    let numbers = |rng: &mut Rng, of: bool| {
        UInt64Array::from_iter((0..count).map(|_| some(rng, of).then(|| u64::MAX - rng.below(1000))))
    };
    let doubles = |rng: &mut Rng, of: bool| {
        Float64Array::from_iter((0..count).map(|_| some(rng, of).then(|| rng.below(1 << 53) as f64 / 7.0)))
    };
    let smalls = |rng: &mut Rng, of: bool| {
        Int32Array::from_iter((0..count).map(|_| some(rng, of).then(|| rng.below(40) as i32 - 20)))
    };
    let start = (0..count).map(|_| (sort != 5).then_some(1_759_999_999_000_000_000));
    vec![
        times(rng, count),
        Arc::new(FixedSizeBinaryArray::new(16, vec![7; 16 * count].into(), None)),
        Arc::new(TimestampNanosecondArray::from_iter(start).with_timezone("UTC")),
        Arc::new(UInt32Array::from_iter_values((0..count).map(|_| u32::from(rng.below(9) == 0)))),
        Arc::new(Float64Array::from(floats)),
        Arc::new(Int64Array::from(ints)),
        Arc::new(numbers(rng, buckets > 0 || sort == 4)),
        Arc::new(doubles(rng, buckets > 0)),
        Arc::new(doubles(rng, sort == 3)),
        Arc::new(doubles(rng, sort == 3)),
        lists(rng, sort == 2),
        bounds(count, buckets, sort == 2),
        Arc::new(smalls(rng, sort == 3)),
        Arc::new(numbers(rng, sort == 3)),
        Arc::new(doubles(rng, sort == 3)),
        Arc::new(smalls(rng, sort == 3)),
        lists(rng, sort == 3),
        Arc::new(smalls(rng, sort == 3)),
        lists(rng, sort == 3),
        quantiles(rng, count, sort == 4),
        Arc::new(smalls(rng, sort == 3)),
        bounds(count, buckets, sort == 3),
    ]
}

fn same(chunk: &Chunk, columns: &[ArrayRef]) {
    for (position, column) in columns.iter().enumerate().filter(|(position, _)| *position != SERIES_ID) {
        let name = Table::MetricSamples.columns()[position].name;
        let back = chunk.to_array(position).unwrap();
        // Text tells NaN equal to NaN, and hides what lies under a null.
        assert_eq!(
            format!("{back:?}"),
            format!("{:?}", &take(column, &UInt32Array::from_iter_values(0..column.len() as u32), None).unwrap()),
            "{name}"
        );
    }
}

#[test]
fn samples_of_all_types_come_back() {
    let mut rng = Rng::from_seed(11);
    for _ in 0..400 {
        let count = 1 + rng.below(200) as usize;
        let columns = rows(&mut rng, count);
        let chunk = Chunk::of_rows(&columns, 0..count).unwrap();
        same(&chunk, &columns);
        let mut bytes = Vec::new();
        chunk.encode(0..count, &mut bytes);
        same(&Chunk::decode(&bytes, |_| true).unwrap(), &columns);
        let from = rng.below(count as u64) as usize;
        bytes.clear();
        chunk.encode(from..count, &mut bytes);
        let tail: Vec<ArrayRef> = columns.iter().map(|column| column.slice(from, count - from)).collect();
        same(&Chunk::decode(&bytes, |_| true).unwrap(), &tail);
        for cut in 0..bytes.len().min(64) {
            let _ = Chunk::decode(&bytes[..cut], |_| true);
        }
        let at = rng.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << rng.below(8);
        // Damaged bytes give an error or other samples, at once or when they become arrays.
        if let Ok(chunk) = Chunk::decode(&bytes, |_| true) {
            for position in (0..columns.len()).filter(|position| *position != SERIES_ID) {
                let _ = chunk.to_array(position);
            }
        }
    }
}

#[test]
fn chunks_of_one_series_become_one() {
    let mut rng = Rng::from_seed(12);
    for _ in 0..200 {
        let (first, second) = (1 + rng.below(50) as usize, 1 + rng.below(50) as usize);
        let (early, late) = (rows(&mut rng, first), rows(&mut rng, second));
        let mut chunk = Chunk::of_rows(&early, 0..first).unwrap();
        chunk.append(&Chunk::of_rows(&late, 0..second).unwrap()).unwrap();
        let joined: Vec<ArrayRef> =
            early.iter().zip(&late).map(|(early, late)| concat(&[early.as_ref(), late.as_ref()]).unwrap()).collect();
        same(&chunk, &joined);
        // Both begin at the same time, so that they interleave.
        chunk.sort();
        assert!(chunk.times().is_sorted());
        assert_eq!(chunk.rows(), first + second);
        let mut bytes = Vec::new();
        chunk.encode(0..chunk.rows(), &mut bytes);
        assert_eq!(Chunk::decode(&bytes, |_| false).unwrap().times(), chunk.times());
    }
}

/// Deliveries of a few series, some late, some twice, with what each series then has.
fn deliveries(rng: &mut Rng, kept: &mut std::collections::BTreeMap<([u8; 16], i64), f64>) -> Vec<Arc<Batch>> {
    let mut batches = Vec::new();
    for round in 0..12 {
        let mut ids = Vec::new();
        let (mut times, mut values) = (Vec::new(), Vec::new());
        for _ in 0..1 + rng.below(300) {
            let id = [rng.below(9) as u8; 16];
            let time = (round * 40 + rng.below(60) as i64) * 1_000_000_000;
            let value = rng.below(1_000) as f64;
            ids.push(id);
            times.push(time);
            values.push(value);
            kept.insert((id, time), value);
        }
        let rows = ids.len();
        let mut columns: Vec<ArrayRef> = Table::MetricSamples
            .columns()
            .iter()
            .map(|column| arrow::array::new_null_array(&(column.data_type)(), rows))
            .collect();
        columns[0] = Arc::new(TimestampNanosecondArray::from(times).with_timezone("UTC"));
        columns[1] = Arc::new(FixedSizeBinaryArray::try_from_iter(ids.iter()).unwrap());
        columns[3] = Arc::new(UInt32Array::from(vec![0; rows]));
        columns[4] = Arc::new(Float64Array::from(values.clone()));
        if round % 3 == 0 {
            columns[5] = Arc::new(Int64Array::from_iter_values(values.iter().map(|value| *value as i64)));
        }
        let batch = Batch::of_columns(Table::MetricSamples, columns).unwrap();
        batches.push(Arc::new(by_series(&batch).unwrap().unwrap_or(batch)));
    }
    batches
}

#[test]
fn series_are_found_wherever_their_samples_lie() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory.path().to_owned()));
    let mut rng = Rng::from_seed(13);
    let options = PartOptions { block_rows: 64, ..PartOptions::default() };
    let new = |id| NewPart { id, level: 0, sequences: (id, id), created_unix_nano: 0 };
    for round in 0..20u64 {
        let mut kept = std::collections::BTreeMap::new();
        let batches = deliveries(&mut rng, &mut kept);
        let id = round * 10 + 1;
        let part = |meta: Result<PartMeta>| Arc::new(Part::open(&disk, meta.unwrap()).unwrap());
        let first = part(write_part_of_rows(&disk, &batches[..3], &new(id), &options));
        let second = part(write_part(&disk, Table::MetricSamples, &batches[3..6], &new(id + 1), &options));
        let third = part(write_part(&disk, Table::MetricSamples, &batches[6..9], &new(id + 2), &options));
        let parts = match round % 3 {
            0 => vec![first, second, third],
            1 => vec![first, part(merge_parts(&disk, &[second, third], &new(id + 3), &options, &|| ()))],
            _ => vec![part(merge_parts(&disk, &[first, second, third], &new(id + 4), &options, &|| ()))],
        };
        let rows: u64 = parts.iter().map(|part| part.meta().rows).sum();
        assert_eq!(rows, batches[..9].iter().map(|batch| batch.rows() as u64).sum::<u64>());
        let memory = batches[9..].to_vec();
        let snapshot = TableSnapshot { table: Table::MetricSamples, parts, memory, unreadable_rows: 0 };
        let ids: Vec<[u8; 16]> = (0..10u8).filter(|_| rng.below(3) > 0).map(|id| [id; 16]).collect();
        let start = rng.below(500) as i64 * 1_000_000_000;
        let time = TimeRange { start, end: start + rng.below(300) as i64 * 1_000_000_000 };
        let set = SampleSet::select(&SampleTables { samples: &snapshot, rollups: &[] }, &ids, time, 0).unwrap();
        let mut samples = SeriesSamples::default();
        for (number, id) in ids.iter().enumerate() {
            set.read(number, &mut samples).unwrap();
            let inside = |at: &i64| (time.start..=time.end).contains(at);
            let nanoseconds = |milliseconds: &i64| milliseconds * 1_000_000;
            let found: Vec<(i64, f64)> = samples
                .times
                .iter()
                .map(nanoseconds)
                .zip(samples.values.iter().copied())
                .filter(|(at, _)| inside(at))
                .collect();
            let expected: Vec<(i64, f64)> = kept
                .iter()
                .filter(|((of, at), _)| of == id && inside(at))
                .map(|((_, at), value)| (*at, *value))
                .collect();
            assert_eq!(found, expected, "round {round}");
            assert!(samples.others.is_empty() && samples.starts.is_empty());
        }
    }
}

/// Parts of samples of a few series, each with its rollups, and what is in memory.
struct RolledUp {
    samples: TableSnapshot,
    rollups: Vec<TableSnapshot>,
}

impl RolledUp {
    fn new(disk: &Arc<dyn Disk>, of_parts: &[Vec<Arc<Batch>>], memory: Vec<Arc<Batch>>) -> Self {
        let table = |table, parts, memory| TableSnapshot { table, parts, memory, unreadable_rows: 0 };
        let mut rolled = Self {
            samples: table(Table::MetricSamples, Vec::new(), memory),
            rollups: Table::ROLLUPS.map(|rollup| table(rollup, Vec::new(), Vec::new())).to_vec(),
        };
        let options = PartOptions { block_rows: 64, ..PartOptions::default() };
        for (id, batches) in (1u64..).zip(of_parts) {
            let new = |place| NewPart { id: id * 3 + place, level: 2, sequences: (id, id), created_unix_nano: 0 };
            let part = write_part(disk, Table::MetricSamples, batches, &new(0), &options).unwrap();
            let part = Arc::new(Part::open(disk, part).unwrap());
            let of_rollups: Vec<_> = Table::ROLLUPS.into_iter().zip([new(1), new(2)]).collect();
            let metas = roll_up(disk, &part, &of_rollups, &options, &|| ()).unwrap();
            for (rollups, meta) in rolled.rollups.iter_mut().zip(metas) {
                rollups.parts.push(Arc::new(Part::open(disk, meta).unwrap()));
            }
            rolled.samples.parts.push(part);
        }
        rolled
    }

    fn select(&self, ids: &[[u8; 16]], resolution_ms: i64) -> SampleSet {
        let tables = SampleTables { samples: &self.samples, rollups: &self.rollups };
        SampleSet::select(&tables, ids, TimeRange::ALL, resolution_ms).unwrap()
    }
}

/// Batches of one after another, in which series come and reset, but never go back in time.
fn in_order(rng: &mut Rng, ids: &[[u8; 16]], from: &mut i64) -> Vec<Arc<Batch>> {
    let mut rows = Vec::new();
    for _ in 0..1 + rng.below(400) {
        *from += rng.below(60_000) as i64;
        for id in ids.iter().filter(|_| rng.below(3) > 0).collect::<Vec<_>>() {
            rows.push((*id, *from * 1_000_000, rng.below(30) as f64, rng.below(40) == 0));
        }
    }
    rows.push((ids[0], (*from + 1) * 1_000_000, 1.0, false));
    *from += 2;
    let mut columns: Vec<ArrayRef> = Table::MetricSamples
        .columns()
        .iter()
        .map(|column| arrow::array::new_null_array(&(column.data_type)(), rows.len()))
        .collect();
    columns[0] =
        Arc::new(TimestampNanosecondArray::from_iter_values(rows.iter().map(|row| row.1)).with_timezone("UTC"));
    columns[1] = Arc::new(FixedSizeBinaryArray::try_from_iter(rows.iter().map(|row| row.0)).unwrap());
    let start = rows.iter().map(|row| (row.0[0] % 2 == 0).then_some(row.1 / 3_000_000_000_000 * 3_000_000_000_000));
    columns[2] = Arc::new(TimestampNanosecondArray::from_iter(start).with_timezone("UTC"));
    columns[3] = Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| u32::from(row.3))));
    columns[4] = Arc::new(Float64Array::from_iter(rows.iter().map(|row| (!row.3).then_some(row.2))));
    let batch = Batch::of_columns(Table::MetricSamples, columns).unwrap();
    vec![Arc::new(by_series(&batch).unwrap().unwrap_or(batch))]
}

/// What a window tells; of one without values that a marker came.
fn told(window: &Rollup) -> String {
    if window.count == 0 { format!("{} stale", window.end_ms) } else { format!("{window:?}") }
}

#[test]
fn rollups_tell_of_each_window_what_its_samples_do() {
    let directory = tempfile::tempdir().unwrap();
    let (mut told_all, mut asked) = (0, 0);
    let mut rng = Rng::from_seed(14);
    for round in 0..30 {
        let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory.path().join(round.to_string())));
        let ids: Vec<[u8; 16]> = (0..4u8).map(|id| [id; 16]).collect();
        let mut from = 1_760_000_000_000;
        let parts: Vec<_> = (0..1 + rng.below(4)).map(|_| in_order(&mut rng, &ids, &mut from)).collect();
        let memory = in_order(&mut rng, &ids, &mut from);
        let mut rolled = RolledUp::new(&disk, &parts, memory);
        // Of some parts there are no rollups (yet).
        if rng.below(2) == 0 {
            rolled.rollups.iter_mut().for_each(|rollups| drop(rollups.parts.remove(0)));
        }
        let whole = rolled.select(&ids, 0);
        let (mut samples, mut windows) = (SeriesSamples::default(), SeriesSamples::default());
        for resolution_ms in Table::ROLLUPS.map(|table| table.resolution_ms().unwrap()) {
            let set = rolled.select(&ids, resolution_ms);
            let mut again = SeriesSamples::default();
            for series in 0..ids.len() {
                whole.read(series, &mut samples).unwrap();
                let mut expected = Vec::new();
                rollups_of(&samples.times, &samples.values, &samples.starts, resolution_ms, &mut expected);
                // Where a part ends with a marker and another goes on in the same window, it can't be told.
                let all = set.read_rollups(series, &mut windows).unwrap();
                told_all += usize::from(all);
                asked += 1;
                let tell = |windows: &[Rollup]| windows.iter().map(told).collect::<Vec<_>>();
                assert!(!all || tell(&windows.rollups) == tell(&expected), "round {round}");
                // The samples themselves are still at hand.
                set.read(series, &mut again).unwrap();
                let bits =
                    |samples: &SeriesSamples| samples.values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(
                    (&again.times, bits(&again), &again.starts),
                    (&samples.times, bits(&samples), &samples.starts)
                );
                assert!(again.rollups.is_empty());
            }
        }
        // Without the samples their rollups are what is left.
        rolled.samples.memory.clear();
        let sequences: Vec<_> = rolled.rollups[0].parts.iter().map(|part| part.meta().sequences).collect();
        rolled.samples.parts.retain(|part| sequences.contains(&part.meta().sequences));
        rolled.select(&ids, 0).read(0, &mut samples).unwrap();
        let values = samples.values.iter().filter(|value| value.to_bits() != Histogram::STALE).count() as u64;
        rolled.samples.parts.clear();
        for resolution_ms in [0, 300_000, 3_600_000] {
            rolled.select(&ids, resolution_ms).read(0, &mut windows).unwrap();
            assert!(windows.times.is_empty());
            assert_eq!(windows.rollups.iter().map(|window| window.count).sum::<u64>(), values);
        }
    }
    assert!(told_all * 10 > asked * 8, "{told_all} of {asked} series were told by rollups");
}

#[test]
fn samples_that_came_late_or_twice_are_read_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory.path().to_owned()));
    let mut rng = Rng::from_seed(15);
    let mut kept = std::collections::BTreeMap::new();
    let batches = deliveries(&mut rng, &mut kept);
    let parts: Vec<Vec<Arc<Batch>>> = batches.chunks(3).map(<[_]>::to_vec).collect();
    let rolled = RolledUp::new(&disk, &parts, Vec::new());
    let ids: Vec<[u8; 16]> = (0..9u8).map(|id| [id; 16]).collect();
    let set = rolled.select(&ids, 300_000);
    let mut samples = SeriesSamples::default();
    let mut refused = 0;
    for (series, id) in ids.iter().enumerate() {
        refused += usize::from(!set.read_rollups(series, &mut samples).unwrap());
        set.read(series, &mut samples).unwrap();
        let expected: Vec<f64> = kept.iter().filter(|((of, _), _)| of == id).map(|(_, value)| *value).collect();
        assert_eq!(samples.values, expected);
    }
    assert_eq!(refused, ids.len(), "parts that overlap in time can't be joined window by window");
}
