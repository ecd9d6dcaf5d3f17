//! How many bytes and how much time do the candidates take that samples could be laid out by? A chunk of a series by our codec, its values by
//! pcodec, and a row of Parquet for each sample. docs/performance.md has the figures.
//!
//! `cargo run --release -p causeway-store --example sample_layouts -- [samples of a series | FILE]`; FILE is what `promtool tsdb dump` prints.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeBinaryArray, Float64Array, Int64Array, RecordBatch, TimestampNanosecondArray,
    UInt32Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema};
use causeway_model::{Clock, Error, Result, Rng, SystemClock, Table};
use causeway_store::samples::{CHUNK_ROWS_MAX, Chunk};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::WriterProperties;

/// Times in milliseconds and values.
type Series = (Vec<i64>, Vec<f64>);

fn main() -> Result<()> {
    let argument = std::env::args().nth(1).unwrap_or_else(|| "240".to_owned());
    let series = match argument.parse() {
        Ok(samples) => workload(samples),
        Err(_) => dumped(&argument)?,
    };
    let samples: usize = series.iter().map(|(times, _)| times.len()).sum();
    println!("{} series, {samples} samples", series.len());
    chunks(&series, samples)?;
    for level in [4, 8] {
        pcodec(&series, samples, level)?;
    }
    for split in [true, false] {
        rows(&series, samples, split)?;
    }
    Ok(())
}

fn normal(rng: &mut Rng) -> f64 {
    let mut uniform = || (rng.below(1 << 53) as f64 + 0.5) / (1u64 << 53) as f64;
    (-2.0 * uniform().ln()).sqrt() * (2.0 * std::f64::consts::PI * uniform()).cos()
}

/// What the benchmark's series are as remote write has them: counters, gauges, and histograms with 14 bounds.
fn workload(count: usize) -> Vec<Series> {
    const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
    let mut rng = Rng::from_seed(1);
    let times: Vec<i64> = (0..count as i64).map(|number| 1_760_000_000_000 + number * 15_000).collect();
    let mut all = Vec::new();
    for number in 0..20_000 {
        let mut level = if number % 10 < 5 { 0.0 } else { 2e8 + rng.below(1_000) as f64 * 4e5 };
        if number % 10 == 9 {
            let (mut columns, mut below) = (vec![Vec::new(); BOUNDS.len() + 3], vec![0.0; BOUNDS.len() + 3]);
            for _ in 0..count {
                for _ in 0..rng.below(30) {
                    let seconds = 0.04 * normal(&mut rng).exp();
                    let bucket = BOUNDS.iter().take_while(|bound| seconds > **bound).count();
                    below.iter_mut().take(BOUNDS.len() + 2).skip(bucket).for_each(|count| *count += 1.0);
                    below[BOUNDS.len() + 2] += seconds;
                }
                columns.iter_mut().zip(&below).for_each(|(column, value)| column.push(*value));
            }
            all.extend(columns.into_iter().map(|column| (times.clone(), column)));
            continue;
        }
        let mut next = || {
            level = if number % 10 < 5 {
                level + (40.0 * (0.8 * normal(&mut rng)).exp()).round()
            } else {
                (level + rng.below(4_000_000) as f64 - 2e6).max(1e6)
            };
            level
        };
        all.push((times.clone(), (0..count).map(|_| next()).collect()));
    }
    all
}

fn dumped(path: &str) -> Result<Vec<Series>> {
    let text = std::fs::read_to_string(path)?;
    let (mut all, mut last): (Vec<Series>, &str) = (Vec::new(), "");
    for line in text.lines() {
        let Some((labels, rest)) = line.rfind("} ").and_then(|at| line.split_at_checked(at + 1)) else { continue };
        let mut words = rest.split_whitespace();
        let value = words.next().and_then(|word| word.parse::<f64>().ok());
        let time = words.next().and_then(|word| word.parse::<i64>().ok());
        let (Some(value), Some(time)) = (value, time) else { continue };
        if labels != last {
            all.push((Vec::new(), Vec::new()));
            last = labels;
        }
        if let Some((times, values)) = all.last_mut() {
            times.push(time);
            values.push(value);
        }
    }
    Ok(all)
}

/// Times some work, in nanoseconds a sample.
fn timed<T>(samples: usize, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let clock = SystemClock::new();
    let from = clock.monotonic_nano();
    let done = work()?;
    Ok((done, (clock.monotonic_nano() - from) as f64 / samples as f64))
}

fn print(name: &str, bytes: usize, samples: usize, write: f64, read: f64) {
    println!("{name}: {:.3} bytes a sample, write {write:.1} ns, read {read:.1} ns", bytes as f64 / samples as f64);
}

/// The columns of `metric_samples` of one series.
fn columns((times, values): &Series) -> Vec<ArrayRef> {
    let rows = times.len();
    let column = |column: &causeway_model::Column| -> ArrayRef {
        match column.name {
            "time" => {
                let times = times.iter().map(|time| time * 1_000_000);
                Arc::new(TimestampNanosecondArray::from_iter_values(times).with_timezone("UTC"))
            }
            "series_id" => Arc::new(FixedSizeBinaryArray::new(16, vec![0; 16 * rows].into(), None)),
            "flags" => Arc::new(UInt32Array::from(vec![0; rows])),
            "value" => Arc::new(Float64Array::from(values.clone())),
            _ => new_null_array(&(column.data_type)(), rows),
        }
    };
    Table::MetricSamples.columns().iter().map(column).collect()
}

fn chunks(series: &[Series], samples: usize) -> Result<()> {
    let columns: Vec<Vec<ArrayRef>> = series.iter().map(columns).collect();
    let ((bytes, ends), write) = timed(samples, || {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for columns in &columns {
            let rows = columns[0].len();
            for start in (0..rows).step_by(CHUNK_ROWS_MAX) {
                let chunk = Chunk::of_rows(columns, start..rows.min(start + CHUNK_ROWS_MAX))?;
                chunk.encode(0..chunk.rows(), &mut bytes);
                ends.push(bytes.len());
            }
        }
        Ok((bytes, ends))
    })?;
    let (read_back, read) = timed(samples, || {
        let (mut start, mut rows) = (0, 0);
        for end in &ends {
            rows += Chunk::decode(&bytes[start..*end], |_| true)?.rows();
            start = *end;
        }
        Ok(rows)
    })?;
    assert_eq!(read_back, samples);
    print("chunk, own codec", bytes.len(), samples, write, read);
    let packed: usize =
        bytes.chunks(64 << 10).map(|page| zstd::bulk::compress(page, 1).map_or(0, |page| page.len())).sum();
    println!("  in pages of 64 KiB with zstd level 1: {:.3} bytes a sample", packed as f64 / samples as f64);
    Ok(())
}

fn pcodec(series: &[Series], samples: usize, level: usize) -> Result<()> {
    let failed = |error: pco::errors::PcoError| Error::internal(error.to_string());
    let config = pco::ChunkConfig::default().with_compression_level(level);
    let (packed, write) = timed(samples, || {
        let pieces = series.iter().flat_map(|(_, values)| values.chunks(CHUNK_ROWS_MAX));
        pieces
            .map(|values| pco::standalone::simple_compress(values, &config).map_err(failed))
            .collect::<Result<Vec<_>>>()
    })?;
    let (read_back, read) = timed(samples, || {
        packed.iter().try_fold(0, |rows, bytes| {
            Ok(rows + pco::standalone::simple_decompress::<f64>(bytes).map_err(failed)?.len())
        })
    })?;
    assert_eq!(read_back, samples);
    print(&format!("values alone, pcodec level {level}"), packed.iter().map(Vec::len).sum(), samples, write, read);
    Ok(())
}

fn rows(series: &[Series], samples: usize, split: bool) -> Result<()> {
    let failed = |error: parquet::errors::ParquetError| Error::internal(error.to_string());
    let schema = Arc::new(Schema::new(vec![
        Field::new("series_id", DataType::FixedSizeBinary(16), false),
        Field::new("time", DataType::Int64, false),
        Field::new("value", DataType::Float64, false),
    ]));
    let values_encoding = if split { Encoding::BYTE_STREAM_SPLIT } else { Encoding::PLAIN };
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
        .set_data_page_row_count_limit(8_192)
        .set_max_row_group_row_count(Some(131_072))
        .set_column_dictionary_enabled("time".into(), false)
        .set_column_encoding("time".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled("value".into(), !split)
        .set_column_encoding("value".into(), values_encoding)
        .build();
    let (bytes, write) = timed(samples, || {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, schema.clone(), Some(properties)).map_err(failed)?;
        for (number, (times, values)) in (0u128..).zip(series) {
            let ids = FixedSizeBinaryArray::new(16, number.to_be_bytes().repeat(times.len()).into(), None);
            let (times, values) = (Int64Array::from(times.clone()), Float64Array::from(values.clone()));
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids), Arc::new(times), Arc::new(values)])?;
            writer.write(&batch).map_err(failed)?;
        }
        writer.close().map_err(failed)?;
        Ok(bytes::Bytes::from(bytes))
    })?;
    let (read_back, read) = timed(samples, || {
        let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).map_err(failed)?;
        let wanted = parquet::arrow::ProjectionMask::leaves(builder.parquet_schema(), [1, 2]);
        let reader = builder.with_projection(wanted).with_batch_size(8_192).build().map_err(failed)?;
        reader.into_iter().try_fold(0, |rows, batch| Ok(rows + batch?.num_rows()))
    })?;
    assert_eq!(read_back, samples);
    let name = if split { "row a sample, values BYTE_STREAM_SPLIT" } else { "row a sample, values as a dictionary" };
    print(name, bytes.len(), samples, write, read);
    Ok(())
}
