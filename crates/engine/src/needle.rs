//! Which rows can a regular expression match at all? Those that hold its longest literal piece: one search through the
//! text of a whole batch finds them, and only on them is the expression evaluated.

use datafusion::arrow::array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, StringArray};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use memchr::memmem::Finder;
use regex_syntax::hir::{Hir, HirKind};

/// A text that must stand in a column wherever a condition holds.
#[derive(Debug)]
pub(crate) struct Needle {
    column: usize,
    finder: Finder<'static>,
}

impl Needle {
    /// The needle of `column ~ 'pattern'`; `None` for other conditions and patterns without a literal piece.
    pub(crate) fn of(expr: &dyn PhysicalExpr) -> Option<Self> {
        let binary = expr.downcast_ref::<BinaryExpr>().filter(|binary| *binary.op() == Operator::RegexMatch)?;
        let column = binary.left().downcast_ref::<Column>()?.index();
        let pattern = binary.right().downcast_ref::<Literal>()?.value().try_as_str()??;
        let mut longest = Vec::new();
        longest_literal(&regex_syntax::parse(pattern).ok()?, &mut longest);
        (!longest.is_empty()).then(|| Self { column, finder: Finder::new(&longest).into_owned() })
    }

    /// Rows that hold the needle; `None` when the column is not plain text.
    pub(crate) fn candidates(&self, batch: &RecordBatch) -> Option<BooleanArray> {
        let texts: &StringArray = batch.columns().get(self.column)?.as_string_opt()?;
        let offsets = texts.value_offsets();
        let mut found = BooleanBufferBuilder::new(texts.len());
        found.append_n(texts.len(), false);
        let (mut row, mut from) = (0, usize::try_from(*offsets.first()?).ok()?);
        let width = self.finder.needle().len();
        let end = usize::try_from(*offsets.last()?).ok()?;
        let bytes = texts.value_data().get(..end)?;
        while let Some(at) = bytes.get(from..).and_then(|rest| self.finder.find(rest)) {
            let start = from + at;
            let ends_by = |end: &i32| usize::try_from(*end).is_ok_and(|end| end <= start);
            row += offsets.get(row + 1..)?.partition_point(ends_by);
            let row_end = usize::try_from(*offsets.get(row + 1)?).ok()?;
            // What runs over the end of its row is no match, but the next one may begin inside.
            let inside = start + width <= row_end;
            if inside {
                found.set_bit(row, true);
            }
            from = if inside { row_end } else { start + 1 };
        }
        Some(BooleanArray::new(found.finish(), texts.nulls().cloned()))
    }
}

/// The longest piece that every match holds.
fn longest_literal(hir: &Hir, longest: &mut Vec<u8>) {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() > longest.len() => *longest = literal.0.to_vec(),
        HirKind::Capture(capture) => longest_literal(&capture.sub, longest),
        HirKind::Concat(parts) => parts.iter().for_each(|part| longest_literal(part, longest)),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::ArrayRef;
    use datafusion::physical_expr::expressions::lit;
    use proptest::prelude::*;

    use super::*;

    fn needle(pattern: &str) -> Option<Needle> {
        Needle::of(&BinaryExpr::new(Arc::new(Column::new("body", 0)), Operator::RegexMatch, lit(pattern)))
    }

    #[test]
    fn the_longest_certain_piece_is_looked_for() {
        let cases = [("ab[0-9]+cde?", "ab"), ("(x)yz1$", "yz1"), ("a|b", ""), ("(?i)abc", ""), ("ab+", "a"), ("", "")];
        for (pattern, expected) in cases {
            let found = needle(pattern).map(|needle| needle.finder.needle().to_vec());
            assert_eq!(found.unwrap_or_default(), expected.as_bytes(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn candidates_are_the_rows_that_hold_it(
            texts in proptest::collection::vec(proptest::option::of("[ab]{0,5}"), 0..12),
            literal in "[ab]{1,3}",
            skip in 0usize..3,
        ) {
            let texts: ArrayRef = Arc::new(StringArray::from(texts));
            let batch = RecordBatch::try_from_iter([("body", texts)]).unwrap();
            let skip = skip.min(batch.num_rows());
            let batch = batch.slice(skip, batch.num_rows() - skip);
            let texts: &StringArray = batch.column(0).as_string();
            let expected: BooleanArray = texts.iter().map(|text| text.map(|text| text.contains(&literal))).collect();
            let found = needle(&literal).unwrap().candidates(&batch).unwrap();
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
        }
    }
}
