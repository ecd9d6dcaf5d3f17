//! Do parts keep what they were given, and does every way of reading them answer the same?
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampNanosecondArray, UInt32Array, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use causeway_model::{
    AttributeSetsBuilder, Batch, ColumnLevel, ErrorKind, Family, KeyDictionary, Kind, Rng, Side, Table, TimeRange,
    Value,
};
use proptest::prelude::*;

use super::columns::Physical;
use super::*;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;
use crate::index::tokens;
use crate::scan::{Filter, Pruning, Scan, ScanColumn};

const KEYS: [&str; 8] = ["", "service.name", "http.route", "a", "b.c", "user", "ü", "id"];
const WORDS: [&str; 6] = ["checkout", "slow", "", "a_1", "naïve", "\"quoted\\\n"];

fn text(rng: &mut Rng) -> String {
    (0..rng.below(3)).map(|_| WORDS[rng.below(6) as usize]).collect::<Vec<_>>().join(" ")
}

/// One of a few UUIDs.
fn uuid_text(rng: &mut Rng) -> String {
    format!("0190a{}ff-89ab-7cde-8f01-23456789abcd", rng.below(5))
}

fn bytes(rng: &mut Rng, length: usize) -> Vec<u8> {
    let low = rng.below(5) as u8;
    vec![low; length]
}

/// A column of any type that tables have.
fn random_column(field: &Field, rows: usize, rng: &mut Rng) -> ArrayRef {
    let present = |rng: &mut Rng| !field.is_nullable() || rng.below(4) > 0;
    macro_rules! primitive {
        ($array:ty, $value:expr) => {{
            let values: Vec<_> = (0..rows).map(|_| present(rng).then(|| $value(rng))).collect();
            Arc::new(<$array>::from(values))
        }};
    }
    match field.data_type() {
        DataType::Timestamp(..) => {
            let values: Vec<Option<i64>> = (0..rows).map(|_| present(rng).then(|| rng.below(50) as i64 - 25)).collect();
            Arc::new(TimestampNanosecondArray::from(values).with_timezone("UTC"))
        }
        DataType::Utf8 => primitive!(StringArray, text),
        DataType::Int32 => primitive!(Int32Array, |rng: &mut Rng| rng.below(5) as i32 - 2),
        DataType::Int64 => primitive!(Int64Array, |rng: &mut Rng| rng.next_u64() as i64),
        DataType::UInt32 => primitive!(UInt32Array, |rng: &mut Rng| rng.below(3) as u32),
        DataType::UInt64 => primitive!(UInt64Array, |rng: &mut Rng| rng.next_u64()),
        DataType::Float64 => primitive!(Float64Array, |rng: &mut Rng| rng.unit() - 0.5),
        DataType::Boolean => primitive!(BooleanArray, |rng: &mut Rng| rng.below(2) == 0),
        DataType::FixedSizeBinary(size) => {
            let values: Vec<Option<Vec<u8>>> =
                (0..rows).map(|_| present(rng).then(|| bytes(rng, *size as usize))).collect();
            Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values.into_iter(), *size).unwrap())
        }
        DataType::List(item) => {
            let valid: Vec<bool> = (0..rows).map(|_| present(rng)).collect();
            let lengths: Vec<usize> =
                valid.iter().map(|valid| if *valid { rng.below(3) as usize } else { 0 }).collect();
            let items = random_items(item, lengths.iter().sum(), rng);
            let nulls = field.is_nullable().then(|| valid.into());
            Arc::new(ListArray::new(item.clone(), OffsetBuffer::from_lengths(lengths), items, nulls))
        }
        other => panic!("no column of {other}"),
    }
}

fn random_items(item: &FieldRef, count: usize, rng: &mut Rng) -> ArrayRef {
    let DataType::Struct(fields) = item.data_type() else { return random_column(item, count, rng) };
    let columns = fields.iter().map(|field| random_column(field, count, rng)).collect();
    Arc::new(StructArray::new(fields.clone(), columns, None))
}

fn random_side(table: Table, level: ColumnLevel, rows: usize, keys: &mut KeyDictionary, rng: &mut Rng) -> Side {
    let schema = table.schema(level);
    let columns: Vec<ArrayRef> = schema.fields().iter().map(|field| random_column(field, rows, rng)).collect();
    let service = schema.index_of("service_name").ok().map(|at| columns[at].as_string::<i32>());
    let mut sets = AttributeSetsBuilder::new();
    let all_uuids = rng.below(3) > 0;
    for row in 0..rows {
        for _ in 0..rng.below(5) {
            let name = KEYS[rng.below(KEYS.len() as u64) as usize];
            let key = keys.number(name);
            let string = text(rng);
            // The column service_name is the attribute where that is a string, and null where it is not.
            if let (Some(service), "service.name") = (service, name) {
                if service.is_null(row) {
                    sets.push(key, Value::Int(7));
                    continue;
                }
                sets.push(key, Value::String(service.value(row)));
                continue;
            }
            if name == "id" && (all_uuids || rng.below(4) > 0) {
                sets.push(key, Value::String(&uuid_text(rng)));
                continue;
            }
            let value = match rng.below(12) {
                0 => Value::Empty,
                1 => Value::Bool(rng.below(2) == 0),
                2 => Value::Int(rng.below(3) as i64 - 1),
                3 => Value::Double(rng.below(3) as f64),
                4 => Value::Array("[1,\"x\"]"),
                5 => Value::Map("{\"k\":null}"),
                6 => Value::Bytes(&[0, 255]),
                7 => Value::Double(f64::NEG_INFINITY),
                _ => Value::String(&string),
            };
            sets.push(key, value);
        }
        sets.finish_set();
    }
    Side { columns, attributes: sets.finish() }
}

pub(crate) fn random_batch(table: Table, rows: usize, rng: &mut Rng) -> Arc<Batch> {
    let mut keys = KeyDictionary::new();
    let (resources, scopes) = (1 + rng.below(3), 1 + rng.below(2));
    let records = random_side(table, ColumnLevel::Record, rows, &mut keys, rng);
    let resource_side = random_side(table, ColumnLevel::Resource, resources as usize, &mut keys, rng);
    let scope_side = random_side(table, ColumnLevel::Scope, scopes as usize, &mut keys, rng);
    let resource_of: UInt32Array = (0..rows).map(|_| Some(rng.below(resources) as u32)).collect();
    let scope_of: UInt32Array = (0..rows).map(|_| Some(rng.below(scopes) as u32)).collect();
    Arc::new(Batch::new(table, records, resource_of, resource_side, scope_of, scope_side, keys).unwrap())
}

fn random_attribute(rng: &mut Rng) -> ScanColumn {
    let family = Family::ALL[rng.below(3) as usize];
    let key: Arc<str> = Arc::from(KEYS[rng.below(KEYS.len() as u64) as usize]);
    match rng.below(5) {
        0 => ScanColumn::AttributeText { family, key },
        1 => ScanColumn::AttributeNumber { family, key },
        2 => ScanColumn::Attributes(family),
        3 => ScanColumn::AttributesJson(family),
        _ => ScanColumn::Attribute { family, key, kind: Kind::ALL[rng.below(8) as usize] },
    }
}

fn random_columns(table: Table, rng: &mut Rng) -> Vec<ScanColumn> {
    let mut columns: Vec<ScanColumn> = (0..rng.below(4)).map(|_| random_attribute(rng)).collect();
    columns.extend((0..rng.below(4)).map(|_| ScanColumn::Fixed(rng.below(table.columns().len() as u64) as usize)));
    if rng.below(2) == 0 { columns } else { columns.into_iter().map(|column| numbered(table, column)).collect() }
}

/// The column as numbers of dictionaries, where it can come so.
fn numbered(table: Table, column: ScanColumn) -> ScanColumn {
    match column.data_type(table) {
        DataType::Utf8 | DataType::Int32 | DataType::Int64 => ScanColumn::Dictionary(Box::new(column)),
        _ => column,
    }
}

/// Each row as text, so that rows can be compared as multisets whatever their types.
pub(crate) fn rows_of(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("∅");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options).unwrap()).collect();
    let row = |row: usize| columns.iter().map(|column| column.value(row).to_string()).collect::<Vec<_>>().join("|");
    (0..batch.num_rows()).map(row).collect()
}

pub(crate) fn all_of(table: Table) -> Vec<ScanColumn> {
    let mut columns: Vec<ScanColumn> = (0..table.columns().len()).map(ScanColumn::Fixed).collect();
    columns.extend(Family::ALL.map(ScanColumn::Attributes));
    columns
}

pub(crate) fn scan(table: Table, columns: Vec<ScanColumn>) -> Scan {
    Scan { table, columns, filters: vec![], pruning: Pruning::default(), batch_rows: 7 }
}

fn read(part: &Part, scan: &Scan) -> causeway_model::Result<Vec<String>> {
    let mut rows = Vec::new();
    for piece in part.plan(scan)?.0 {
        for batch in part.read(scan, &piece)? {
            let batch = batch?;
            assert!(batch.num_rows() <= scan.batch_rows);
            rows.extend(rows_of(&batch));
        }
    }
    Ok(rows)
}

fn sorted(mut rows: Vec<String>) -> Vec<String> {
    rows.sort();
    rows
}

fn in_memory(batches: &[Arc<Batch>], scan: &Scan) -> Vec<String> {
    batches.iter().flat_map(|batch| rows_of(&scan_batch(batch, scan).unwrap())).collect()
}

fn small_options(rng: &mut Rng) -> PartOptions {
    let block_rows = 1 + rng.below(12) as usize;
    let promoted_keys_max = rng.below(12) as usize;
    PartOptions {
        promoted_keys_max,
        row_group_rows: block_rows * (1 + rng.below(3) as usize),
        block_rows,
        zstd_level: 1,
    }
}

fn new_part(id: u64) -> NewPart {
    NewPart { id, level: 0, sequences: (id, id + 1), created_unix_nano: 5 }
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(SimulatedDisk::from_seed(1))
}

type TextCondition = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A filter that keeps rows by the text of its first column, and what may be skipped because of it.
fn random_condition(table: Table, rng: &mut Rng) -> (Filter, Pruning) {
    let mut pruning = Pruning::default();
    let position = |name: &str| table.columns().iter().position(|column| column.name == name);
    let (column, wanted): (ScanColumn, TextCondition) = match rng.below(5) {
        0 => {
            let start = rng.below(50) as i64 - 25;
            pruning.time = TimeRange { start, end: start + rng.below(10) as i64 };
            let time = pruning.time;
            let options = FormatOptions::new();
            let inside: Vec<String> = (time.start..=time.end)
                .map(|nano| {
                    let array = TimestampNanosecondArray::from(vec![nano]).with_timezone("UTC");
                    ArrayFormatter::try_new(&array, &options).unwrap().value(0).to_string()
                })
                .collect();
            (ScanColumn::Fixed(0), Box::new(move |text| inside.iter().any(|one| one == text)))
        }
        1 if position("service_name").is_some() => {
            let service = text(rng);
            pruning.services = Some(vec![service.clone()]);
            (ScanColumn::Fixed(position("service_name").unwrap()), Box::new(move |text| text == service))
        }
        2 if position("body").is_some() => {
            let words: Vec<String> = tokens(&text(rng)).map(str::to_owned).collect();
            pruning.tokens = words.clone();
            let all_in = move |text: &str| words.iter().all(|word| tokens(text).any(|token| token == word));
            (ScanColumn::Fixed(position("body").unwrap()), Box::new(all_in))
        }
        3 if position("trace_id").is_some() => {
            let id = bytes(rng, 16);
            let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            let column = ScanColumn::Fixed(position("trace_id").unwrap());
            pruning.values = vec![(column.clone(), vec![id])];
            (column, Box::new(move |text| text == hex))
        }
        _ => {
            let (family, key) =
                (Family::ALL[rng.below(3) as usize], Arc::<str>::from(KEYS[rng.below(KEYS.len() as u64) as usize]));
            let values = if &*key == "id" { [uuid_text(rng), uuid_text(rng)] } else { [text(rng), "-1".to_owned()] };
            let column = match rng.below(2) {
                0 => ScanColumn::AttributeText { family, key },
                _ => ScanColumn::Attribute { family, key, kind: Kind::String },
            };
            pruning.values = vec![(column.clone(), values.iter().map(|value| value.clone().into_bytes()).collect())];
            (column, Box::new(move |text| values.iter().any(|value| value == text)))
        }
    };
    let keep = move |batch: &RecordBatch| Ok(rows_of(batch).iter().map(|row| Some(wanted(row))).collect());
    (Filter { columns: vec![column], keep: Arc::new(keep) }, pruning)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_part_answers_as_memory_does_and_a_merged_one_too(seed: u64, table in 0usize..6) {
        let (table, rng) = (Table::ALL[table], &mut Rng::from_seed(seed));
        let disk = disk();
        let mut batches: Vec<Arc<Batch>> = Vec::new();
        let mut parts = Vec::new();
        for id in 1..=1 + rng.below(3) {
            let of_part: Vec<Arc<Batch>> =
                (0..1 + rng.below(3)).map(|_| { let rows = 1 + rng.below(30) as usize; random_batch(table, rows, rng) }).collect();
            let meta = write_part(&disk, table, &of_part, &new_part(id), &small_options(rng)).unwrap();
            prop_assert_eq!(meta.rows, of_part.iter().map(|batch| batch.rows() as u64).sum::<u64>());
            prop_assert_eq!(&read_meta(&disk, table, id).unwrap(), &PartRecord { meta: meta.clone(), replaces: vec![] });
            let part = Arc::new(Part::open(&disk, meta).unwrap());
            let everything = scan(table, all_of(table));
            prop_assert_eq!(sorted(read(&part, &everything).unwrap()), sorted(in_memory(&of_part, &everything)));
            parts.push(part);
            batches.extend(of_part);
        }
        let merged = merge_parts(&disk, &parts, &new_part(9), &small_options(rng), &|| ()).unwrap();
        let merged = Part::open(&disk, merged).unwrap();
        let replaces: Vec<u64> = parts.iter().map(|part| part.meta().id).collect();
        prop_assert_eq!(read_meta(&disk, table, 9).unwrap().replaces, replaces);
        let everything = scan(table, all_of(table));
        prop_assert_eq!(sorted(read(&merged, &everything).unwrap()), sorted(in_memory(&batches, &everything)));

        let order = |part: &Part| {
            let columns = table.sort_columns().iter().map(|name| ScanColumn::Fixed(columns::fixed_position(table, name).unwrap()));
            read(part, &scan(table, columns.collect())).unwrap()
        };
        let together = write_part(&disk, table, &batches, &new_part(10), &small_options(rng)).unwrap();
        let together = Part::open(&disk, together).unwrap();
        prop_assert_eq!(order(&merged), order(&together));
        let counted = |part: &Part| {
            let mut keys: Vec<_> = part.keys().iter().map(|k| (k.family, k.key.clone(), k.kind, k.rows, k.distinct)).collect();
            keys.sort();
            keys
        };
        prop_assert_eq!(counted(&merged), counted(&together));

        for _ in 0..6 {
            let mut asked = scan(table, random_columns(table, rng));
            let expected = sorted(in_memory(&batches, &asked));
            prop_assert_eq!(sorted(read(&merged, &asked).unwrap()), expected);
            let (filter, pruning) = random_condition(table, rng);
            asked.filters = vec![filter];
            if rng.below(2) == 0 {
                asked.filters.push(random_condition(table, rng).0);
            }
            let expected = sorted(in_memory(&batches, &asked));
            asked.pruning = pruning;
            prop_assert_eq!(sorted(read(&merged, &asked).unwrap()), expected.clone(), "{:?}", asked);
            let apart: Vec<String> = parts.iter().flat_map(|part| read(part, &asked).unwrap()).collect();
            prop_assert_eq!(sorted(apart), expected, "{:?}", asked);
            let as_numbers = asked.columns.iter().cloned().map(|column| numbered(table, column)).collect();
            let as_numbers = Scan { columns: as_numbers, ..asked.clone() };
            prop_assert_eq!(read(&merged, &as_numbers).unwrap(), read(&merged, &asked).unwrap(), "{:?}", asked);
        }
    }
}

#[test]
fn every_flipped_byte_is_corrupt_or_changes_nothing() {
    let rng = &mut Rng::from_seed(7);
    let simulated = Arc::new(SimulatedDisk::from_seed(1));
    let disk: Arc<dyn Disk> = simulated.clone();
    let batches = [random_batch(Table::Logs, 40, rng)];
    let options = PartOptions { block_rows: 16, row_group_rows: 32, promoted_keys_max: 3, zstd_level: 1 };
    let meta = write_part(&disk, Table::Logs, &batches, &new_part(1), &options).unwrap();
    let mut asked = scan(Table::Logs, all_of(Table::Logs));
    asked.pruning.tokens = vec!["slow".to_owned()];
    let expected = read(&Part::open(&disk, meta.clone()).unwrap(), &asked).unwrap();
    for path in [part_path(Table::Logs, 1), index_path(Table::Logs, 1)] {
        for offset in 0..simulated.contents(&path).unwrap().len() as u64 {
            simulated.flip(&path, offset, 0x10).unwrap();
            match Part::open(&disk, meta.clone()).and_then(|part| read(&part, &asked)) {
                Ok(rows) => assert_eq!(rows, expected, "{} at {offset}", path.display()),
                Err(error) => {
                    assert_eq!(error.kind, ErrorKind::Corrupt, "{error}");
                    assert!(error.message.contains("0000000000000001"), "{error}");
                }
            }
            simulated.flip(&path, offset, 0x10).unwrap();
        }
    }
}

#[test]
fn cut_files_are_corrupt() {
    let rng = &mut Rng::from_seed(8);
    let simulated = Arc::new(SimulatedDisk::from_seed(1));
    let disk: Arc<dyn Disk> = simulated.clone();
    let meta =
        write_part(&disk, Table::Spans, &[random_batch(Table::Spans, 9, rng)], &new_part(1), &small_options(rng))
            .unwrap();
    for path in [part_path(Table::Spans, 1), index_path(Table::Spans, 1)] {
        let whole = simulated.contents(&path).unwrap();
        for length in (0..whole.len()).step_by(13) {
            simulated.put(&path, &whole[..length]);
            assert_eq!(Part::open(&disk, meta.clone()).unwrap_err().kind, ErrorKind::Corrupt, "{length}");
        }
        simulated.put(&path, &whole);
    }
    Part::open(&disk, meta).unwrap();
}

#[test]
fn skipping_is_counted() {
    let disk = disk();
    let times: Vec<i64> = (0..100).collect();
    let names: Vec<String> = (0..100).map(|row| format!("word{row}")).collect();
    let columns: Vec<ArrayRef> = Table::Logs
        .schema(ColumnLevel::Record)
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "time" => Arc::new(TimestampNanosecondArray::from(times.clone()).with_timezone("UTC")),
            "body" => Arc::new(StringArray::from(names.clone())) as ArrayRef,
            _ => resolve::absent(field.data_type(), field.is_nullable(), 100),
        })
        .collect();
    let batch = Arc::new(Batch::of_columns(Table::Logs, columns).unwrap());
    let options = PartOptions { block_rows: 10, row_group_rows: 50, ..PartOptions::default() };
    let part = Part::open(&disk, write_part(&disk, Table::Logs, &[batch], &new_part(1), &options).unwrap()).unwrap();
    let mut asked = scan(Table::Logs, vec![]);
    asked.pruning.tokens = vec!["word57".to_owned()];
    asked.pruning.time = TimeRange { start: 50, end: 69 };
    let (pieces, stats) = part.plan(&asked).unwrap();
    assert_eq!((pieces.len(), pieces[0].row_group, pieces[0].rows.clone()), (1, 1, std::iter::once(0..10).collect()));
    assert_eq!(pieces[0].time, TimeRange { start: 50, end: 59 });
    let counts = (stats.row_groups, stats.row_groups_skipped, stats.blocks, stats.blocks_skipped, stats.rows);
    assert_eq!(counts, (2, 1, 10, 9, 10));
    let blocks = part.split(&part.whole()[1]);
    let ranges: Vec<_> = blocks.iter().flat_map(|block| block.rows.clone()).collect();
    assert_eq!(ranges, [0..10, 10..20, 20..30, 30..40, 40..50]);
    assert_eq!(blocks[4].time, TimeRange { start: 90, end: 99 });
    assert_eq!(part.split(&pieces[0]).len(), 1);
    let with_body = scan(Table::Logs, vec![ScanColumn::Fixed(0), ScanColumn::Fixed(4)]);
    let bytes = |scan: &Scan, piece: &PartPiece| part.piece_bytes(scan, piece).unwrap();
    assert_eq!(bytes(&asked, &pieces[0]), 0);
    assert!(bytes(&with_body, &pieces[0]) > bytes(&scan(Table::Logs, vec![ScanColumn::Fixed(4)]), &pieces[0]));
    let each: u64 = blocks.iter().map(|block| bytes(&with_body, block)).sum();
    assert_eq!(bytes(&with_body, &part.whole()[1]), each);
    let key = ScanColumn::Attribute { family: Family::Record, key: Arc::from("nowhere"), kind: Kind::String };
    asked = scan(Table::Logs, vec![]);
    asked.pruning.values = vec![(key, vec![b"x".to_vec()])];
    assert_eq!(part.plan(&asked).unwrap().0.len(), 0);
}

#[test]
fn column_names_say_what_they_are() {
    for table in Table::ALL {
        let mut columns: Vec<Physical> = (0..table.columns().len()).map(Physical::Fixed).collect();
        for family in Family::ALL {
            columns.push(Physical::Rest(family));
            for key in ["", ".", "a.b", "rest", "int.x", "attr.x"] {
                let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Empty);
                columns.extend(kinds.map(|kind| Physical::Attribute { family, key: Arc::from(key), kind }));
            }
        }
        for column in columns {
            assert_eq!(Physical::from_name(table, &column.name(table)), Some(column.clone()), "{}", column.name(table));
        }
        assert_eq!(Physical::from_name(table, "later_column"), None);
        assert_eq!(Physical::from_name(table, "attr_later.key"), None);
    }
}

#[test]
fn refused_inputs_leave_an_error() {
    let (disk, rng) = (disk(), &mut Rng::from_seed(3));
    let options = PartOptions::default();
    let kind = |result: causeway_model::Result<PartMeta>| result.unwrap_err().kind;
    assert_eq!(kind(write_part(&disk, Table::Logs, &[], &new_part(1), &options)), ErrorKind::Invalid);
    let spans = random_batch(Table::Spans, 1, rng);
    assert_eq!(kind(write_part(&disk, Table::Logs, &[spans], &new_part(2), &options)), ErrorKind::Invalid);
    assert_eq!(kind(merge_parts(&disk, &[], &new_part(3), &options, &|| ())), ErrorKind::Invalid);
    let full = Arc::new(SimulatedDisk::from_seed(2));
    full.set_capacity_bytes(100);
    let full: Arc<dyn Disk> = full;
    let logs = random_batch(Table::Logs, 50, rng);
    assert_eq!(kind(write_part(&full, Table::Logs, &[logs], &new_part(1), &options)), ErrorKind::Unavailable);
}

#[test]
fn large_rows_end_blocks_and_row_groups_early() {
    let disk = disk();
    let mut keys = KeyDictionary::new();
    let mut sets = AttributeSetsBuilder::new();
    let large = "x".repeat(1 << 20);
    sets.push(keys.number("large"), Value::String(&large));
    sets.finish_set();
    let rows = 300;
    let bare = |level: ColumnLevel, rows: usize| -> Vec<ArrayRef> {
        let schema = Table::Logs.schema(level);
        schema.fields().iter().map(|field| resolve::absent(field.data_type(), field.is_nullable(), rows)).collect()
    };
    let side =
        |level, rows| Side { columns: bare(level, rows), attributes: causeway_model::AttributeSets::empty(rows) };
    let resource = Side { columns: bare(ColumnLevel::Resource, 1), attributes: sets.finish() };
    let zeros = || UInt32Array::from(vec![0; rows]);
    let batch = Batch::new(
        Table::Logs,
        side(ColumnLevel::Record, rows),
        zeros(),
        resource,
        zeros(),
        side(ColumnLevel::Scope, 1),
        keys,
    );
    let meta =
        write_part(&disk, Table::Logs, &[Arc::new(batch.unwrap())], &new_part(1), &PartOptions::default()).unwrap();
    let part = Part::open(&disk, meta).unwrap();
    let (pieces, stats) = part.plan(&scan(Table::Logs, vec![])).unwrap();
    assert!(pieces.len() >= 2 && stats.blocks >= 9, "{stats:?}");
}

/// The directory of a part as a version wrote it.
fn fixture(version: u32) -> String {
    format!("{}/../../tests/formats/part-{version}", env!("CARGO_MANIFEST_DIR"))
}

fn fixture_bytes(version: u32, name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(format!("{}/{name}.base64", fixture(version))).unwrap();
    BASE64.decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn fixture_meta(version: u32, rows: u64, time: TimeRange) -> PartMeta {
    let facts = std::fs::read_to_string(format!("{}/bytes.txt", fixture(version))).unwrap();
    PartMeta {
        id: 1,
        table: Table::Logs,
        level: 0,
        rows,
        bytes: facts.trim().parse().unwrap(),
        time,
        sequences: (1, 2),
        created_unix_nano: 5,
    }
}

/// A part as any version wrote it must be read by every later one; and what its filters say must be right.
#[test]
fn every_format_is_read_forever() {
    for (version, rows, end, filtered) in [(1, 20, 23, false), (2, 23, i64::MAX, true)] {
        let simulated = Arc::new(SimulatedDisk::from_seed(1));
        simulated.put(&part_path(Table::Logs, 1), &fixture_bytes(version, "parquet"));
        simulated.put(&index_path(Table::Logs, 1), &fixture_bytes(version, "index"));
        let disk: Arc<dyn Disk> = simulated;
        let part = Part::open(&disk, read_meta(&disk, Table::Logs, 1).unwrap().meta).unwrap();
        assert_eq!(*part.meta(), fixture_meta(version, rows, TimeRange { start: -20, end }));
        let rows = read(&part, &scan(Table::Logs, all_of(Table::Logs))).unwrap();
        let expected = std::fs::read_to_string(format!("{}/rows.txt", fixture(version))).unwrap();
        assert_eq!(format!("{rows:#?}\n"), expected);

        let mut bodies = scan(Table::Logs, vec![ScanColumn::Fixed(4)]);
        let all = read(&part, &bodies).unwrap();
        for word in ["checkout", "slow", "a_1", "naïve", "quoted"] {
            bodies.pruning.tokens = vec![word.to_owned()];
            let holds = |rows: &[String]| rows.iter().filter(|body| tokens(body).any(|token| token == word)).count();
            assert_eq!(holds(&read(&part, &bodies).unwrap()), holds(&all), "{word} in version {version}");
        }
        bodies.pruning.tokens = vec!["nowhere".to_owned()];
        let (_, stats) = part.plan(&bodies).unwrap();
        assert_eq!(stats.blocks_skipped == stats.blocks, filtered, "{stats:?}");
        assert_eq!(part.index().filters_missing() == 0, filtered);
        let merged = merge_parts(&disk, &[Arc::new(part)], &new_part(2), &PartOptions::default(), &|| ()).unwrap();
        let merged = Part::open(&disk, merged).unwrap();
        let again = read(&merged, &scan(Table::Logs, all_of(Table::Logs))).unwrap();
        assert_eq!((sorted(again), merged.index().filters_missing()), (sorted(rows), 0));
    }
}

/// Writes the files that the test above reads; only for a new format, in a directory of its own.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_fixture() {
    let simulated = Arc::new(SimulatedDisk::from_seed(1));
    let disk: Arc<dyn Disk> = simulated.clone();
    let options = PartOptions { block_rows: 8, row_group_rows: 16, promoted_keys_max: 20, zstd_level: 1 };
    let random = random_batch(Table::Logs, 20, &mut Rng::from_seed(11));
    let ids = [UUIDS[0], UUIDS[1], UUIDS[1]].map(Some);
    let known = logs_of(&ids, &[1, i64::MAX, 3], &[None, Some(i64::MIN), Some(5)]);
    let meta = write_part(&disk, Table::Logs, &[random, known], &new_part(1), &options).unwrap();
    let part = Part::open(&disk, meta.clone()).unwrap();
    let names = file_columns(&part);
    assert!(
        ["observed_delay", "attr_uuid.id", "attr_rest"].iter().all(|name| names.iter().any(|n| n == name)),
        "{names:?}"
    );
    let directory = fixture(2);
    std::fs::create_dir_all(&directory).unwrap();
    for (name, path) in [("parquet", part_path(Table::Logs, 1)), ("index", index_path(Table::Logs, 1))] {
        let text = BASE64.encode(simulated.contents(&path).unwrap());
        let lines: Vec<&str> = text.as_bytes().chunks(120).map(|line| std::str::from_utf8(line).unwrap()).collect();
        std::fs::write(format!("{directory}/{name}.base64"), lines.join("\n") + "\n").unwrap();
    }
    let rows = read(&part, &scan(Table::Logs, all_of(Table::Logs))).unwrap();
    std::fs::write(format!("{directory}/rows.txt"), format!("{rows:#?}\n")).unwrap();
    std::fs::write(format!("{directory}/bytes.txt"), format!("{}\n", meta.bytes)).unwrap();
    println!("{meta:?}");
}

/// The names of a part's columns in the file.
fn file_columns(part: &Part) -> Vec<String> {
    part.column_bytes().into_iter().map(|(name, _)| name).collect()
}

/// Logs with these values of the attribute `id` and these times.
fn logs_of(ids: &[Option<&str>], times: &[i64], observed: &[Option<i64>]) -> Arc<Batch> {
    let (mut keys, mut sets) = (KeyDictionary::new(), AttributeSetsBuilder::new());
    for id in ids {
        if let Some(id) = id {
            sets.push(keys.number("id"), Value::String(id));
        }
        sets.finish_set();
    }
    let column = |field: &FieldRef, rows: usize| match field.name().as_str() {
        "time" => Arc::new(TimestampNanosecondArray::from(times.to_vec()).with_timezone("UTC")) as ArrayRef,
        "observed_time" => Arc::new(TimestampNanosecondArray::from(observed.to_vec()).with_timezone("UTC")),
        _ => resolve::absent(field.data_type(), field.is_nullable(), rows),
    };
    let columns = |level: ColumnLevel, rows: usize| -> Vec<ArrayRef> {
        Table::Logs.schema(level).fields().iter().map(|field| column(field, rows)).collect()
    };
    let side = |level| Side { columns: columns(level, 1), attributes: causeway_model::AttributeSets::empty(1) };
    let records = Side { columns: columns(ColumnLevel::Record, ids.len()), attributes: sets.finish() };
    let zeros = || UInt32Array::from(vec![0; ids.len()]);
    let (resource, scope) = (side(ColumnLevel::Resource), side(ColumnLevel::Scope));
    Arc::new(Batch::new(Table::Logs, records, zeros(), resource, zeros(), scope, keys).unwrap())
}

const UUIDS: [&str; 2] = ["0190a0ff-89ab-7cde-8f01-23456789abcd", "ffffffff-ffff-ffff-ffff-ffffffffffff"];

#[test]
fn what_takes_fewer_bytes_in_another_form_comes_back_as_it_was() {
    let disk = disk();
    let [uuid, other] = UUIDS;
    let batches = [
        logs_of(&[Some(uuid), None, Some(other)], &[i64::MIN, 5, i64::MAX], &[Some(i64::MAX), None, Some(i64::MIN)]),
        logs_of(&[None, Some(other)], &[1, 2], &[None, Some(3)]),
        logs_of(&[Some("0190A0FF-89AB-7CDE-8F01-23456789ABCD"), Some(uuid)], &[3, 4], &[Some(3), Some(-4)]),
    ];
    let mut parts = Vec::new();
    for (id, (batch, uuids)) in (1..).zip(batches.iter().zip([true, true, false])) {
        let meta = write_part(&disk, Table::Logs, std::slice::from_ref(batch), &new_part(id), &PartOptions::default())
            .unwrap();
        let part = Part::open(&disk, meta).unwrap();
        let names = file_columns(&part);
        assert!(names.iter().any(|name| name == "observed_delay") && names.iter().all(|name| name != "observed_time"));
        assert_eq!(names.iter().any(|name| name == "attr_uuid.id"), uuids, "{names:?}");
        assert_eq!(names.iter().any(|name| name == "attr.id"), !uuids, "{names:?}");
        parts.push(Arc::new(part));
    }
    let id = || ScanColumn::Attribute { family: Family::Record, key: Arc::from("id"), kind: Kind::String };
    let observed = columns::fixed_position(Table::Logs, "observed_time").unwrap();
    for (number, chosen, uuids) in [(8, &parts[..2], true), (9, &parts[..], false)] {
        let merged = merge_parts(&disk, chosen, &new_part(number), &PartOptions::default(), &|| ()).unwrap();
        let merged = Part::open(&disk, merged).unwrap();
        assert_eq!(file_columns(&merged).iter().any(|name| name == "attr_uuid.id"), uuids);
        for columns in [
            all_of(Table::Logs),
            vec![ScanColumn::Fixed(observed)],
            vec![id()],
            vec![id(), ScanColumn::Fixed(observed)],
        ] {
            let asked = scan(Table::Logs, columns);
            let expected = sorted(in_memory(&batches[..chosen.len()], &asked));
            assert_eq!(sorted(read(&merged, &asked).unwrap()), expected);
        }
        let mut asked = scan(Table::Logs, vec![ScanColumn::Fixed(observed)]);
        asked.pruning.values = vec![(id(), vec![uuid.as_bytes().to_vec()])];
        let keep = move |batch: &RecordBatch| Ok(rows_of(batch).iter().map(|row| Some(row == uuid)).collect());
        asked.filters = vec![Filter { columns: vec![id()], keep: Arc::new(keep) }];
        assert_eq!(read(&merged, &asked).unwrap().len(), chosen.len() - 1);
        asked.pruning.values = vec![(id(), vec![b"0190a0ff-89ab-7cde-8f01-23456789abce".to_vec()])];
        assert_eq!(merged.plan(&asked).unwrap().1.rows, 0);
    }
}
