//! How many does a sampled row stand for? `sample_weight(trace_state)`, by OpenTelemetry's rejection threshold in the W3C tracestate
//! (`ot=th:…`, "Probability sampling"): 2^56 / (2^56 - T). What carries no threshold stands for itself.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// 2^56: a threshold is one of so many numbers.
const THRESHOLDS: u64 = 1 << 56;
/// Hex digits of a threshold in full; zeros at its end may be left out.
const DIGITS: usize = 14;

/// `sample_weight(Utf8) -> Float64`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct SampleWeight {
    signature: Signature,
}

impl SampleWeight {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SampleWeight {
    fn name(&self) -> &str {
        "sample_weight"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null] => Ok(DataType::Float64),
            _ => plan_err!("sample_weight takes a tracestate, such as spans.trace_state"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return plan_err!("sample_weight takes one argument");
        };
        if array.null_count() == array.len() {
            return Ok(ColumnarValue::Scalar(ScalarValue::Float64(Some(1.0))));
        }
        let states = cast(array, &DataType::Utf8)?;
        let weights = states.as_string::<i32>().iter().map(|state| state.and_then(weight).unwrap_or(1.0));
        let weights: ArrayRef = Arc::new(weights.map(Some).collect::<Float64Array>());
        Ok(ColumnarValue::Array(weights))
    }
}

/// The weight that a tracestate tells; `None` where it tells none or can't be read.
fn weight(state: &str) -> Option<f64> {
    let members = state.split(',').map(|member| member.trim_matches([' ', '\t']));
    let vendor = members.into_iter().find_map(|member| member.strip_prefix("ot="))?;
    let text = vendor.split(';').find_map(|pair| pair.strip_prefix("th:"))?;
    let hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if !hex || text.is_empty() || text.len() > DIGITS {
        return None;
    }
    let threshold = u64::from_str_radix(&format!("{text:0<DIGITS$}"), 16).ok()?;
    Some(THRESHOLDS as f64 / THRESHOLDS.checked_sub(threshold)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_says_how_many_a_row_stands_for() {
        let cases = [
            ("ot=th:0", Some(1.0)),
            ("ot=th:8", Some(2.0)),
            ("ot=th:c", Some(4.0)),
            ("vendor=x, ot=rv:00000000000001;th:fd70a3d70a3d71", Some(100.0)),
            ("ot=th:ffffffffffffff", Some((1_u64 << 56) as f64)),
            ("ot=th:", None),
            ("ot=th:8G", None),
            ("ot=th:C", None),
            ("ot=th:000000000000000", None),
            ("ot=rv:00000000000001", None),
            ("other=th:8", None),
            ("", None),
        ];
        for (state, expected) in cases {
            let found = weight(state);
            let close = match (found, expected) {
                (Some(found), Some(expected)) => (found / expected - 1.0).abs() < 1e-9,
                (found, expected) => found == expected,
            };
            assert!(close, "{state}: {found:?}, expected {expected:?}");
        }
    }
}
