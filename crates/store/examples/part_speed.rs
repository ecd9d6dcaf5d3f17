//! How fast is a part written, merged and skipped over, and how large is it? Deterministic logs and spans with 8 attributes.
//!
//! `cargo run --release -p causeway-store --example part_speed -- [records]`

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray, TimestampNanosecondArray, UInt32Array,
    new_null_array,
};
use arrow::datatypes::DataType;
use causeway_model::{
    AttributeSets, AttributeSetsBuilder, Batch, Clock, ColumnLevel, KeyDictionary, Result, Rng, Side, SystemClock,
    Table, Value,
};
use causeway_store::disk::{Disk, LocalDisk};
use causeway_store::part::{NewPart, Part, PartOptions, merge_parts, write_part};
use causeway_store::{Pruning, Scan, ScanColumn};

const BATCH_RECORDS: usize = 1_000;
const SERVICES: u64 = 10;
const ABSENT_WORDS: usize = 200;

fn main() -> Result<()> {
    let records: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(400_000);
    for table in [Table::Logs, Table::Spans] {
        measure(table, records)?;
    }
    Ok(())
}

fn measure(table: Table, records: usize) -> Result<()> {
    let clock = SystemClock::new();
    let root: PathBuf = std::env::temp_dir().join(format!("part_speed_{}_{}", std::process::id(), table.name()));
    std::fs::create_dir_all(&root)?;
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(root.clone()));
    let mut rng = Rng::from_seed(1);
    let batches: Vec<Arc<Batch>> =
        (0..records / BATCH_RECORDS).map(|number| batch(table, number, &mut rng)).collect::<Result<_>>()?;
    let options = PartOptions::default();
    let new = |id| NewPart { id, level: 0, sequences: (0, 0), created_unix_nano: 0 };
    let now = || cpu_nano().unwrap_or_else(|| clock.monotonic_nano());
    let micros = |from: u64| (now() - from) as f64 / 1000.0 / records as f64;

    let mut parts = Vec::new();
    let from = now();
    for (id, some) in (1u64..).zip(batches.chunks(batches.len().div_ceil(4))) {
        parts.push(write_part(&disk, table, some, &new(id), &options)?);
    }
    let write = micros(from);
    let parts: Vec<Arc<Part>> =
        parts.into_iter().map(|meta| Part::open(&disk, meta).map(Arc::new)).collect::<Result<_>>()?;
    let from = now();
    let merged = Part::open(&disk, merge_parts(&disk, &parts, &new(100), &options, &|| ())?)?;
    let merge = micros(from);
    let size = |part: &Part| part.meta().bytes as f64 / part.meta().rows as f64;
    println!("{}: write_part {write:.3} us/record, {:.1} bytes each", table.name(), size(&parts[0]));
    println!("  merge_parts of {} {merge:.3} us/record, {:.1} bytes each", parts.len(), size(&merged));
    for (name, bytes) in merged.column_bytes() {
        println!("  {:>8.3}  {name}", bytes as f64 / merged.meta().rows as f64);
    }
    let mut scan = Scan { table, columns: vec![], filters: vec![], pruning: Pruning::default(), batch_rows: 8_192 };
    let (mut blocks, mut passed, mut nanos) = (0, 0, 0);
    for number in 0..ABSENT_WORDS {
        scan.pruning.tokens = vec![format!("nowhere_{number}")];
        let from = now();
        let (_, stats) = merged.plan(&scan)?;
        nanos += now() - from;
        blocks += stats.blocks;
        passed += stats.blocks - stats.blocks_skipped;
    }
    let each = nanos as f64 / 1000.0 / blocks as f64;
    println!("  {ABSENT_WORDS} absent words: {passed} of {blocks} blocks pass by mistake, {each:.2} us a block");
    let everything = (0..table.columns().len()).map(ScanColumn::Fixed).collect();
    let text = table.columns().iter().position(|column| ["body", "name"].contains(&column.name)).unwrap_or(0);
    for (name, columns) in [("one text column", vec![ScanColumn::Fixed(text)]), ("all fixed columns", everything)] {
        let scan = Scan { columns, pruning: Pruning::default(), ..scan.clone() };
        let from = now();
        let mut rows = 0;
        for piece in merged.plan(&scan)?.0 {
            for batch in merged.read(&scan, &piece)? {
                rows += batch?.num_rows();
            }
        }
        println!("  read {name}: {:.3} us/record over {rows}", micros(from));
    }
    std::fs::remove_dir_all(root)?;
    Ok(())
}

/// Processor time of this thread where the system tells it, so that other work on the machine does not count.
fn cpu_nano() -> Option<u64> {
    std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

fn hex(rng: &mut Rng, digits: usize) -> String {
    format!("{:016x}", rng.next_u64()).chars().take(digits).collect()
}

fn attributes(rng: &mut Rng, keys: &mut KeyDictionary, sets: &mut AttributeSetsBuilder) {
    let methods = ["GET", "GET", "GET", "POST", "PUT"];
    let route = format!("/api/v1/resource{}/{{id}}", rng.below(40));
    let (user, request) = (format!("user-{}", rng.below(50_000)), hex(rng, 16));
    let status = [200i64, 200, 200, 200, 404, 500][rng.below(6) as usize];
    sets.push(keys.number("http.request.method"), Value::String(methods[rng.below(5) as usize]));
    sets.push(keys.number("http.route"), Value::String(&route));
    sets.push(keys.number("http.response.status_code"), Value::Int(status));
    sets.push(keys.number("user.id"), Value::String(&user));
    sets.push(keys.number("request.id"), Value::String(&request));
    sets.push(keys.number("region"), Value::String(["eu-west-1", "us-east-1", "ap-south-1"][rng.below(3) as usize]));
    sets.push(keys.number("duration_ms"), Value::Double((rng.unit() * 100_000.0).round() / 100.0));
    sets.push(keys.number("cache.hit"), Value::Bool(rng.below(4) > 0));
    sets.finish_set();
}

fn batch(table: Table, number: usize, rng: &mut Rng) -> Result<Arc<Batch>> {
    let mut keys = KeyDictionary::new();
    let service = number as u64 % SERVICES;
    let (mut records, mut resource) = (AttributeSetsBuilder::new(), AttributeSetsBuilder::new());
    (0..BATCH_RECORDS).for_each(|_| attributes(rng, &mut keys, &mut records));
    let (name, host) = (format!("service-{service}"), format!("host-{}.example.com", service * 3));
    for (key, value) in
        [("service.name", &name), ("host.name", &host), ("deployment.environment.name", &"production".into())]
    {
        resource.push(keys.number(key), Value::String(value));
    }
    resource.finish_set();
    let side = |level: ColumnLevel, rows: usize, attributes: AttributeSets, rng: &mut Rng| {
        let schema = table.schema(level);
        let columns = schema.fields().iter().map(|field| column(field, rows, number, &name, rng)).collect();
        Side { columns, attributes }
    };
    let records = side(ColumnLevel::Record, BATCH_RECORDS, records.finish(), rng);
    let resources = side(ColumnLevel::Resource, 1, resource.finish(), rng);
    let scopes = side(ColumnLevel::Scope, 1, AttributeSets::empty(1), rng);
    let zeros = || UInt32Array::from(vec![0u32; BATCH_RECORDS]);
    Ok(Arc::new(Batch::new(table, records, zeros(), resources, zeros(), scopes, keys)?))
}

fn column(field: &arrow::datatypes::Field, rows: usize, number: usize, service: &str, rng: &mut Rng) -> ArrayRef {
    let times = |rng: &mut Rng| -> Vec<i64> {
        let start = 1_700_000_000_000_000_000 + (number as i64) * 10_000_000;
        (0..rows as i64).map(|row| start + row * 10_000 + rng.below(5_000) as i64).collect()
    };
    let ids = |rng: &mut Rng, bytes: usize, each: usize| -> ArrayRef {
        let mut id = vec![0; bytes];
        let all = (0..rows).map(|row| {
            if row % each == 0 {
                id.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&rng.next_u64().to_le_bytes()));
            }
            Some(id.clone())
        });
        let all: Vec<Option<Vec<u8>>> = all.collect();
        let size = i32::try_from(bytes).unwrap_or(0);
        FixedSizeBinaryArray::try_from_sparse_iter_with_size(all.into_iter(), size)
            .map_or_else(|_| new_null_array(field.data_type(), rows), |array| Arc::new(array) as ArrayRef)
    };
    match field.name().as_str() {
        "time" => Arc::new(TimestampNanosecondArray::from(times(rng)).with_timezone("UTC")),
        "observed_time" => Arc::new(TimestampNanosecondArray::from(times(rng)).with_timezone("UTC")),
        "trace_id" => ids(rng, 16, 8),
        "span_id" | "parent_span_id" => ids(rng, 8, 1),
        "service_name" => Arc::new(StringArray::from(vec![service; rows])),
        "severity_text" => Arc::new(StringArray::from(vec!["INFO"; rows])),
        "severity_number" => Arc::new(Int32Array::from(vec![9; rows])),
        "name" => Arc::new(StringArray::from_iter_values((0..rows).map(|_| format!("operation {}", rng.below(30))))),
        "duration_ns" => Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.below(900_000_000) as i64))),
        "body" => Arc::new(StringArray::from_iter_values((0..rows).map(|_| {
            let (order, took) = (rng.below(1_000_000), rng.below(4_000));
            format!(
                "request {order} for the checkout service completed after {took} ms: {} items were reserved in the warehouse, payment {}",
                rng.below(20),
                hex(rng, 8)
            )
        }))),
        _ => empty(field.data_type(), field.is_nullable(), rows),
    }
}

fn empty(data_type: &DataType, nullable: bool, rows: usize) -> ArrayRef {
    let nulls = new_null_array(data_type, rows);
    if nullable {
        return nulls;
    }
    nulls.to_data().into_builder().nulls(None).build().map_or(nulls, arrow::array::make_array)
}
