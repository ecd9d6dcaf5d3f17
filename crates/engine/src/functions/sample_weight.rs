//! How many does a sampled row stand for? `sample_weight(trace_state)`, by the rule of [`causeway_model::sample_weight`].

use std::sync::Arc;

use causeway_model::sample_weight;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

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
        let weights = states.as_string::<i32>().iter().map(|state| state.map_or(1.0, sample_weight));
        let weights: ArrayRef = Arc::new(weights.map(Some).collect::<Float64Array>());
        Ok(ColumnarValue::Array(weights))
    }
}
