//! Which columns does a part's Parquet file have, and what are they called?
//!
//! A name without a point is a fixed column or a rest map. What stands before the first point of any other name is the family and
//! the kind, what stands behind it is the key, points and all.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use causeway_model::{Family, Kind, Table};
use hashbrown::HashMap;

use crate::part::KeyStatistics;
use crate::scan::{ScanColumn, text_map_type};

/// The resource attribute that is the fixed column `service_name` when it is a string.
pub(crate) const SERVICE_KEY: &str = "service.name";
/// That column.
pub(crate) const SERVICE_COLUMN: &str = "service_name";

/// A column of the file by what it means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Physical {
    /// Position in [`Table::columns`].
    Fixed(usize),
    /// All values of one kind of a promoted attribute.
    Attribute { family: Family, key: Arc<str>, kind: Kind },
    /// What is not promoted: key to JSON text.
    Rest(Family),
}

/// The word before the first point, by kind; an empty value has no column.
fn kind_suffix(kind: Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Empty => return None,
        Kind::String => "",
        Kind::Bool => "_bool",
        Kind::Int => "_int",
        Kind::Double => "_double",
        Kind::Array => "_array",
        Kind::Map => "_map",
        Kind::Bytes => "_bytes",
    })
}

impl Physical {
    /// The column's name in the file.
    pub(crate) fn name(&self, table: Table) -> String {
        match self {
            Self::Fixed(index) => table.columns().get(*index).map_or_else(String::new, |column| column.name.to_owned()),
            Self::Attribute { family, key, kind } => {
                format!("{}{}.{key}", family.prefix(), kind_suffix(*kind).unwrap_or_default())
            }
            Self::Rest(family) => format!("{}_rest", family.prefix()),
        }
    }

    /// What the column of this name means; `None` for a column that only a later version knows.
    pub(crate) fn from_name(table: Table, name: &str) -> Option<Self> {
        let Some((head, key)) = name.split_once('.') else {
            let rest = Family::ALL.into_iter().map(Self::Rest).find(|rest| rest.name(table) == name);
            return rest.or_else(|| fixed_position(table, name).map(Self::Fixed));
        };
        for family in Family::ALL {
            let Some(suffix) = head.strip_prefix(family.prefix()) else { continue };
            let kind = Kind::ALL.into_iter().find(|kind| kind_suffix(*kind) == Some(suffix));
            if let Some(kind) = kind {
                return Some(Self::Attribute { family, key: Arc::from(key), kind });
            }
        }
        None
    }

    /// The column as an Arrow field.
    pub(crate) fn field(&self, table: Table) -> Field {
        let scanned = match self {
            Self::Fixed(index) => ScanColumn::Fixed(*index),
            Self::Attribute { family, key, kind } => {
                ScanColumn::Attribute { family: *family, key: key.clone(), kind: *kind }
            }
            Self::Rest(_) => return Field::new(self.name(table), text_map_type(), false),
        };
        let nullable = !matches!(self, Self::Fixed(index) if table.columns().get(*index).is_some_and(|c| !c.nullable));
        Field::new(self.name(table), scanned.data_type(table), nullable)
    }
}

/// The position of a fixed column.
pub(crate) fn fixed_position(table: Table, name: &str) -> Option<usize> {
    table.columns().iter().position(|column| column.name == name)
}

/// Whether this attribute is the table's column `service_name`.
pub(crate) fn is_service_name(table: Table, family: Family, key: &str, kind: Kind) -> bool {
    family == Family::Resource
        && kind == Kind::String
        && key == SERVICE_KEY
        && fixed_position(table, SERVICE_COLUMN).is_some()
}

/// The columns of one file, in order: fixed, promoted, rest maps (only of families of which something is left over).
#[derive(Debug, Clone)]
pub(crate) struct PartSchema {
    pub(crate) table: Table,
    pub(crate) columns: Vec<Physical>,
    pub(crate) arrow: SchemaRef,
    positions: HashMap<Physical, usize>,
}

impl PartSchema {
    /// The columns for these keys.
    pub(crate) fn of_keys<'a>(
        table: Table,
        keys: impl Iterator<Item = &'a KeyStatistics> + Clone,
        complete: bool,
    ) -> Self {
        let mut columns: Vec<Physical> = (0..table.columns().len()).map(Physical::Fixed).collect();
        let mut promoted: Vec<&KeyStatistics> = keys
            .clone()
            .filter(|key| key.promoted && !is_service_name(table, key.family, &key.key, key.kind))
            .collect();
        promoted.sort_by(|a, b| (a.family, &a.key, a.kind).cmp(&(b.family, &b.key, b.kind)));
        columns.extend(promoted.into_iter().map(|key| Physical::Attribute {
            family: key.family,
            key: Arc::from(key.key.as_str()),
            kind: key.kind,
        }));
        let left_over = |family| !complete || keys.clone().any(|key| key.family == family && !key.promoted);
        let families = Family::ALL.into_iter().filter(|family| table.has_attributes() && left_over(*family));
        columns.extend(families.map(Physical::Rest));
        Self::new(table, columns)
    }

    /// These columns.
    pub(crate) fn new(table: Table, columns: Vec<Physical>) -> Self {
        let fields: Vec<Field> = columns.iter().map(|column| column.field(table)).collect();
        let positions = columns.iter().cloned().enumerate().map(|(at, column)| (column, at)).collect();
        Self { table, columns, arrow: Arc::new(Schema::new(fields)), positions }
    }

    /// Where a column stands.
    pub(crate) fn position(&self, column: &Physical) -> Option<usize> {
        self.positions.get(column).copied()
    }
}
