//! Does a word stand in a text? `has_token(text, word)`: exactly, with words as the store's block filters see them.

use std::sync::Arc;

use causeway_store::index::tokens;
use datafusion::arrow::array::{AsArray, BooleanArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};
use memchr::memmem::Finder;

/// The name in SQL.
pub(crate) const NAME: &str = "has_token";

/// `has_token(text, word) -> Boolean`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct HasToken {
    signature: Signature,
}

impl HasToken {
    pub(crate) fn new() -> Self {
        Self { signature: Signature::string(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for HasToken {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, word] = args.args.as_slice() else {
            return plan_err!("has_token takes a text and a word");
        };
        let ColumnarValue::Scalar(ScalarValue::Utf8(word) | ScalarValue::LargeUtf8(word) | ScalarValue::Utf8View(word)) =
            word
        else {
            return plan_err!("has_token: the word must be a literal");
        };
        let Some(word) = word else {
            return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(None)));
        };
        if tokens(word).next() != Some(word.as_str()) {
            return plan_err!(
                "has_token takes one word (letters, digits, _); combine several with AND, or use LIKE for a phrase"
            );
        }
        let text = cast(&text.to_array(args.number_rows)?, &DataType::Utf8)?;
        let text: &StringArray = text.as_string();
        let finder = Finder::new(word.as_bytes());
        let found: BooleanArray = text.iter().map(|text| text.map(|text| contains_word(text, &finder))).collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

fn contains_word(text: &str, finder: &Finder<'_>) -> bool {
    let bytes = text.as_bytes();
    let width = finder.needle().len();
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| finder.find(rest)) {
        let start = from + at;
        let before = start.checked_sub(1).and_then(|position| bytes.get(position));
        if !before.is_some_and(is_word_byte) && !bytes.get(start + width).is_some_and(is_word_byte) {
            return true;
        }
        from = start + width;
    }
    false
}

/// Bytes of non-ASCII characters are word bytes too, as in [`tokens`].
fn is_word_byte(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || *byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_the_words_of_the_index(text in "[ab_1 é.-]{0,24}", word in "[ab_1é]{1,3}") {
            let expected = tokens(&text).any(|token| token == word);
            prop_assert_eq!(contains_word(&text, &Finder::new(word.as_bytes())), expected);
        }
    }
}
