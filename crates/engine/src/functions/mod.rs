//! Which functions does SQL have beyond DataFusion's? One file each, one line in the table here.

mod bounded;
mod has_token;
mod hex;
mod joined;
pub(crate) mod lengths;

use datafusion::logical_expr::ScalarUDF;

pub(crate) use bounded::bounded;
pub(crate) use has_token::NAME as HAS_TOKEN;

/// All of them.
pub(crate) fn all() -> Vec<ScalarUDF> {
    vec![ScalarUDF::from(has_token::HasToken::new()), ScalarUDF::from(hex::Hex::new())]
}
