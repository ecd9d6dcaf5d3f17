//! Which functions does SQL have beyond DataFusion's, or in place of them? One file each, one line in a table here.

mod bounded;
mod has_token;
mod hex;
mod joined;
pub(crate) mod lengths;
mod percentile;
mod sample_weight;
mod tally;

use datafusion::logical_expr::{AggregateUDF, ScalarUDF};

pub(crate) use bounded::bounded;
pub(crate) use has_token::NAME as HAS_TOKEN;

/// All that give a value for each row.
pub(crate) fn scalar() -> Vec<ScalarUDF> {
    vec![
        ScalarUDF::from(has_token::HasToken::new()),
        ScalarUDF::from(hex::Hex::new()),
        ScalarUDF::from(sample_weight::SampleWeight::new()),
    ]
}

/// All that give a value for many rows.
pub(crate) fn aggregate() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::from(percentile::ApproxPercentile::new()),
        AggregateUDF::from(tally::Tally::each()),
        AggregateUDF::from(tally::Tally::joint()),
    ]
}
