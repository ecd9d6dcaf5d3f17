//! What do the other rooms talk about? The vocabulary: tables and their columns, batches of decoded telemetry,
//! attribute values, errors, the clock, and the contract for keeping a delivery. No I/O happens here.

mod attribute;
mod batch;
mod calls;
mod clock;
mod delivery;
mod error;
mod gather;
mod hex;
mod histogram;
mod labels;
mod metrics;
mod nulls;
mod pattern;
mod rollup;
mod sampling;
mod table;
mod tailed;
pub mod trace;
mod value;

pub use attribute::{AttributeEntry, AttributeSets, AttributeSetsBuilder, Family, KeyDictionary};
pub use batch::{Batch, Side};
pub use calls::{CALL_SYSTEMS, CALL_TARGETS};
pub use clock::{Clock, Rng, SystemClock, TimeRange};
pub use delivery::{Appender, Delivery, LedgerEntry, Receipt, Signal};
pub use error::{Error, ErrorKind, Result};
pub use hex::hex;
pub use histogram::{
    Bucket, BucketRun, BucketSpan, ExponentialHistogram, Histogram, HistogramSample, HistogramSum, KahanSum,
    MixedSchemas, Reconciled, ResetHint, Trim, absolute_counts, exponential_bound, format_float,
};
pub use labels::{Labels, METRIC_NAME};
pub use metrics::{DAY_NS, NO_RECORDED_VALUE, day_of, series_row_identity};
pub use nulls::null_column;
pub use pattern::of_re2;
pub use rollup::{Point, Rollup, began_anew, join_rollups, larger, rollups_of, smaller};
pub use sampling::{
    SAMPLE_WEIGHT_MAX, sample_weight, sampling_randomness, sampling_threshold, threshold_of_share,
    with_sampling_threshold,
};
pub use table::{Column, ColumnLevel, Table};
pub use tailed::Tailed;
pub use value::{Kind, Value, json_escape_into};

/// `service.name` of the program's own telemetry, which lies in its own store beside everyone else's.
pub const OWN_SERVICE: &str = "causeway";
