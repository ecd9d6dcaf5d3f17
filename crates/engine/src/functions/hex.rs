//! What does an id look like? `hex(bytes)`: two lower-case digits a byte.

use std::fmt::Write as _;
use std::sync::Arc;

use datafusion::arrow::array::{Array, AsArray, BinaryArray, FixedSizeBinaryArray, StringBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// `hex(binary) -> Utf8`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hex {
    signature: Signature,
}

impl Hex {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Hex {
    fn name(&self) -> &str {
        "hex"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types {
            [
                DataType::FixedSizeBinary(_)
                | DataType::Binary
                | DataType::LargeBinary
                | DataType::BinaryView
                | DataType::Null,
            ] => Ok(DataType::Utf8),
            _ => plan_err!("hex takes bytes, such as trace_id; to_hex prints numbers"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let Some(array) = arrays.first() else {
            return plan_err!("hex takes one argument");
        };
        if let Some(fixed) = array.as_any().downcast_ref::<FixedSizeBinaryArray>() {
            return Ok(hex_of(fixed.iter(), fixed.len()));
        }
        let binary = cast(array, &DataType::Binary)?;
        let binary: &BinaryArray = binary.as_binary();
        Ok(hex_of(binary.iter(), binary.len()))
    }
}

fn hex_of<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, rows: usize) -> ColumnarValue {
    let mut builder = StringBuilder::with_capacity(rows, rows * 32);
    for value in values {
        match value {
            None => builder.append_null(),
            Some(bytes) => {
                for byte in bytes {
                    // Writing to a builder cannot fail.
                    let _ = write!(builder, "{byte:02x}");
                }
                builder.append_value("");
            }
        }
    }
    ColumnarValue::Array(Arc::new(builder.finish()))
}
