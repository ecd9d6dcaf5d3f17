//! How does a column that a scan names come out of the columns that a part has? As it stands where one column holds it all, put
//! together row by row where it does not.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use causeway_model::{Error, Family, Kind, Result, Table, Value};

use crate::part::columns::{PartSchema, Physical, SERVICE_COLUMN, SERVICE_KEY, fixed_position, is_service_name};
use crate::part::dictionary;
use crate::part::json::with_json;
use crate::part::values::{ColumnBuilder, ColumnValues, TextMapBuilder};
use crate::scan::{ScanColumn, text_map_type};

/// What a reader wants: a scan's column, or what a merge leaves over.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    Scan(ScanColumn),
    /// All attributes of a family that have no column in another schema, as lossless JSON text.
    LeftOver(Family, Arc<PartSchema>),
}

/// A physical column: its place among those read, its key and kind.
#[derive(Debug, Clone)]
struct Held {
    at: usize,
    key: Arc<str>,
    kind: Kind,
}

/// How a wanted column is made.
#[derive(Debug, Clone)]
enum Source {
    Whole(usize),
    Absent(DataType, bool),
    /// One attribute, of the kinds wanted, from columns and the rest map.
    One {
        key: Arc<str>,
        kinds: Vec<Kind>,
        held: Vec<Held>,
        rest: Option<usize>,
        shape: Shape,
    },
    /// Many attributes.
    All {
        held: Vec<Held>,
        rest: Option<usize>,
        form: MapForm,
    },
    /// Another one as numbers of a dictionary of texts.
    Dictionary(Box<Source>),
}

impl Source {
    /// The places of the columns that it is made of.
    fn places(&mut self) -> Vec<&mut usize> {
        match self {
            Self::Whole(at) => vec![at],
            Self::Absent(..) => Vec::new(),
            Self::One { held, rest, .. } | Self::All { held, rest, .. } => {
                held.iter_mut().map(|held| &mut held.at).chain(rest).collect()
            }
            Self::Dictionary(inner) => inner.places(),
        }
    }
}

/// What the map of many attributes holds.
#[derive(Debug, Clone)]
enum MapForm {
    Text,
    Json,
    /// As JSON, but for what has a column in another schema.
    LeftOver(Family, Arc<PartSchema>),
}

/// The form of a single attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Typed(Kind),
    Text,
    Number,
}

/// Which columns to read, and how to make the wanted ones of them.
#[derive(Debug, Clone)]
pub(crate) struct Resolved {
    /// Positions in the part's schema, ascending; batches to be resolved have exactly these columns.
    pub(crate) columns: Vec<usize>,
    /// Those among them that may come as dictionaries.
    pub(crate) numbered: Vec<usize>,
    sources: Vec<Source>,
    schema: SchemaRef,
}

/// The schema of the batches of a scan: columns are named by their number, as several may mean the same attribute.
pub(crate) fn scan_schema(table: Table, columns: &[ScanColumn]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(number, column)| match column {
            ScanColumn::Fixed(index) => table
                .columns()
                .get(*index)
                .map_or_else(|| Field::new("", DataType::Null, true), |column| column.field()),
            _ => Field::new(
                format!("column_{number}"),
                column.data_type(table),
                !matches!(column, ScanColumn::Attributes(_) | ScanColumn::AttributesJson(_)),
            ),
        })
        .collect();
    Arc::new(Schema::new(fields))
}

/// Refuses a scan that names fixed columns which the table does not have.
pub(crate) fn check_columns(table: Table, columns: &[ScanColumn]) -> Result<()> {
    let outside = |column: &ScanColumn| matches!(column, ScanColumn::Fixed(index) if *index >= table.columns().len());
    match columns.iter().find(|column| outside(column)) {
        Some(column) => Err(Error::invalid(format!("{} has no column {column:?}", table.name()))),
        None => Ok(()),
    }
}

impl Resolved {
    /// Resolves a scan's columns against a part's.
    pub(crate) fn scan(part: &PartSchema, columns: &[ScanColumn]) -> Result<Self> {
        check_columns(part.table, columns)?;
        let wanted = columns.iter().cloned().map(Wanted::Scan).collect::<Vec<_>>();
        Ok(Self::new(part, &wanted, scan_schema(part.table, columns)))
    }

    /// Resolves what is wanted against a part's columns.
    pub(crate) fn new(part: &PartSchema, wanted: &[Wanted], schema: SchemaRef) -> Self {
        let mut sources: Vec<Source> = wanted.iter().map(|wanted| source(part, wanted)).collect();
        let (mut read, mut numbered) = (BTreeSet::new(), BTreeSet::new());
        for source in &mut sources {
            match source {
                Source::Dictionary(inner) if matches!(**inner, Source::Whole(_)) => &mut numbered,
                _ => &mut read,
            }
            .extend(source.places().into_iter().map(|at| *at));
        }
        // What is also wanted as it stands is read so.
        let numbered: Vec<usize> = numbered.difference(&read).copied().collect();
        read.extend(&numbered);
        let columns: Vec<usize> = read.into_iter().collect();
        // So far places are those in the part's schema; batches have only the columns that are read.
        for at in sources.iter_mut().flat_map(Source::places) {
            *at = columns.binary_search(at).unwrap_or(usize::MAX);
        }
        Self { columns, numbered, sources, schema }
    }

    /// The position in the part's schema of the one column that is wanted, where it is taken as it stands.
    pub(crate) fn whole(&self) -> Option<usize> {
        match (self.sources.as_slice(), self.columns.as_slice()) {
            ([Source::Whole(_)], [column]) => Some(*column),
            _ => None,
        }
    }

    /// The wanted columns from a batch of the columns that were asked for.
    ///
    /// # Errors
    /// `Corrupt` when a column does not have its type.
    pub(crate) fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.sources.iter().map(|source| column(source, batch)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}

fn source(part: &PartSchema, wanted: &Wanted) -> Source {
    match wanted {
        Wanted::Scan(ScanColumn::Fixed(index)) => fixed(part, *index),
        Wanted::Scan(ScanColumn::Attribute { family, key, kind }) => {
            one(part, *family, key, vec![*kind], Shape::Typed(*kind))
        }
        Wanted::Scan(ScanColumn::AttributeText { family, key }) => {
            one(part, *family, key, Kind::ALL.to_vec(), Shape::Text)
        }
        Wanted::Scan(ScanColumn::AttributeNumber { family, key }) => {
            one(part, *family, key, vec![Kind::Int, Kind::Double], Shape::Number)
        }
        Wanted::Scan(ScanColumn::Attributes(family)) => many(part, *family, MapForm::Text),
        Wanted::Scan(ScanColumn::AttributesJson(family)) => many(part, *family, MapForm::Json),
        Wanted::LeftOver(family, other) => {
            let held = held(part, *family, |key, kind| !has_column(other, *family, key, kind));
            let rest = part.position(&Physical::Rest(*family));
            Source::All { held, rest, form: MapForm::LeftOver(*family, other.clone()) }
        }
        Wanted::Scan(ScanColumn::Dictionary(inner)) => {
            Source::Dictionary(Box::new(source(part, &Wanted::Scan((**inner).clone()))))
        }
    }
}

fn many(part: &PartSchema, family: Family, form: MapForm) -> Source {
    let mut held = held(part, family, |_, _| true);
    let service = part.position(&Physical::Fixed(fixed_position(part.table, SERVICE_COLUMN).unwrap_or(usize::MAX)));
    if let (Family::Resource, Some(at)) = (family, service) {
        held.push(Held { at, key: Arc::from(SERVICE_KEY), kind: Kind::String });
        held.sort_by(|a, b| a.key.cmp(&b.key));
    }
    Source::All { held, rest: part.position(&Physical::Rest(family)), form }
}

fn has_column(schema: &PartSchema, family: Family, key: &str, kind: Kind) -> bool {
    schema.position(&Physical::Attribute { family, key: Arc::from(key), kind }).is_some()
}

fn fixed(part: &PartSchema, index: usize) -> Source {
    if let Some(at) = part.position(&Physical::Fixed(index)) {
        return Source::Whole(at);
    }
    let column = part.table.columns().get(index);
    Source::Absent(
        column.map_or(DataType::Null, |column| (column.data_type)()),
        column.is_none_or(|column| column.nullable),
    )
}

fn one(part: &PartSchema, family: Family, key: &Arc<str>, kinds: Vec<Kind>, shape: Shape) -> Source {
    let mut held: Vec<Held> = Vec::new();
    for kind in &kinds {
        let physical = if is_service_name(part.table, family, key, *kind) {
            Physical::Fixed(fixed_position(part.table, SERVICE_COLUMN).unwrap_or(usize::MAX))
        } else {
            Physical::Attribute { family, key: key.clone(), kind: *kind }
        };
        held.extend(part.position(&physical).map(|at| Held { at, key: key.clone(), kind: *kind }));
    }
    // A kind that has a column has all its values there, so that only the other kinds can be in the rest map.
    let rest = part.position(&Physical::Rest(family)).filter(|_| held.len() < kinds.len());
    match (held.as_slice(), rest) {
        ([], None) => Source::Absent(shape.data_type(), true),
        ([only], None) if shape == Shape::Typed(only.kind) || (shape == Shape::Text && only.kind == Kind::String) => {
            Source::Whole(only.at)
        }
        _ => Source::One { key: key.clone(), kinds, held, rest, shape },
    }
}

/// The promoted columns of a family, by key.
fn held(part: &PartSchema, family: Family, keep: impl Fn(&str, Kind) -> bool) -> Vec<Held> {
    let mut held: Vec<Held> = Vec::new();
    for (at, column) in part.columns.iter().enumerate() {
        if let Physical::Attribute { family: of, key, kind } = column
            && *of == family
            && keep(key, *kind)
        {
            held.push(Held { at, key: key.clone(), kind: *kind });
        }
    }
    held.sort_by(|a, b| a.key.cmp(&b.key));
    held
}

impl Shape {
    fn data_type(self) -> DataType {
        match self {
            Self::Typed(Kind::Bool) => DataType::Boolean,
            Self::Typed(Kind::Int) => DataType::Int64,
            Self::Typed(Kind::Bytes) => DataType::Binary,
            Self::Number | Self::Typed(Kind::Double) => DataType::Float64,
            Self::Typed(Kind::Empty | Kind::String | Kind::Array | Kind::Map) | Self::Text => DataType::Utf8,
        }
    }
}

/// Builds one attribute in its wanted form.
#[derive(Debug)]
pub(crate) struct AttributeBuilder {
    shape: Shape,
    values: ColumnBuilder,
    text: String,
    rows: usize,
}

impl AttributeBuilder {
    fn new(shape: Shape) -> Self {
        let kind = match shape {
            Shape::Typed(kind) => kind,
            Shape::Text => Kind::String,
            Shape::Number => Kind::Double,
        };
        Self { shape, values: ColumnBuilder::new(kind), text: String::new(), rows: 0 }
    }

    /// The builder of a scan's column; `None` when it is not one attribute.
    pub(crate) fn of_column(column: &ScanColumn) -> Option<Self> {
        Some(Self::new(match column {
            ScanColumn::Attribute { kind, .. } => Shape::Typed(*kind),
            ScanColumn::AttributeText { .. } => Shape::Text,
            ScanColumn::AttributeNumber { .. } => Shape::Number,
            ScanColumn::Fixed(_)
            | ScanColumn::Attributes(_)
            | ScanColumn::AttributesJson(_)
            | ScanColumn::Dictionary(_) => return None,
        }))
    }

    /// Adds a row; a value of a kind that is not wanted counts as none.
    pub(crate) fn push(&mut self, value: Option<Value<'_>>) {
        let row = self.rows;
        self.rows += 1;
        let Some(value) = value else { return };
        match self.shape {
            Shape::Typed(kind) if value.kind() == kind => value.with_flat(|flat| self.values.append_flat(row, flat)),
            Shape::Typed(_) => {}
            Shape::Text => {
                self.text.clear();
                value.write_text(&mut self.text);
                self.values.append_flat(row, self.text.as_bytes());
            }
            Shape::Number => {
                let number = match value {
                    Value::Int(value) => value as f64,
                    Value::Double(value) => value,
                    _ => return,
                };
                self.values.append_flat(row, &number.to_le_bytes());
            }
        }
    }

    /// The column.
    pub(crate) fn finish(mut self) -> Result<ArrayRef> {
        self.values.finish(self.rows)
    }
}

fn wrong_type() -> Error {
    Error::corrupt("a column of the part does not have its type")
}

fn at(batch: &RecordBatch, place: usize) -> Result<&ArrayRef> {
    batch.columns().get(place).ok_or_else(|| Error::internal("a column was not read"))
}

fn column(source: &Source, batch: &RecordBatch) -> Result<ArrayRef> {
    match source {
        Source::Whole(place) => at(batch, *place).cloned(),
        Source::Absent(data_type, nullable) => Ok(absent(data_type, *nullable, batch.num_rows())),
        Source::One { key, kinds, held, rest, shape } => {
            let held = values(batch, held)?;
            let rest = rest.map(|place| rest_map(at(batch, place)?)).transpose()?;
            let mut out = AttributeBuilder::new(*shape);
            for row in 0..batch.num_rows() {
                match held.iter().find_map(|(_, values)| values.value(row)) {
                    Some(value) => out.push(Some(value)),
                    None => match rest.as_ref().and_then(|rest| rest.find(row, key)) {
                        Some(text) => {
                            with_json(text, |value| out.push(Some(value).filter(|v| kinds.contains(&v.kind()))))
                        }
                        None => out.push(None),
                    },
                }
            }
            out.finish()
        }
        Source::All { held, rest, form } => all(batch, held, *rest, form),
        Source::Dictionary(inner) => numbered(inner, batch),
    }
}

fn numbered(source: &Source, batch: &RecordBatch) -> Result<ArrayRef> {
    if let Source::One { held, rest: None, shape: Shape::Text, .. } = source
        && let [only] = held.as_slice()
    {
        let array = at(batch, only.at)?;
        let values = ColumnValues::new(array, only.kind).ok_or_else(wrong_type)?;
        if let Some(numbered) = dictionary::of_values(array, values)? {
            return Ok(numbered);
        }
    }
    dictionary::of_array(&column(source, batch)?)
}

/// Nulls, or where they are not allowed the value that stands for nothing: what an older part lacks.
pub(crate) fn absent(data_type: &DataType, nullable: bool, rows: usize) -> ArrayRef {
    let nulls = arrow::array::new_null_array(data_type, rows);
    if nullable {
        return nulls;
    }
    // Without its nulls a null array holds zeros, empty texts and empty lists.
    match nulls.to_data().into_builder().nulls(None).build() {
        Ok(data) => arrow::array::make_array(data),
        Err(_) => nulls,
    }
}

type KeyedValues<'a> = (&'a str, ColumnValues<'a>);

fn values<'a>(batch: &'a RecordBatch, held: &'a [Held]) -> Result<Vec<KeyedValues<'a>>> {
    held.iter()
        .map(|held| {
            let values = ColumnValues::new(at(batch, held.at)?, held.kind).ok_or_else(wrong_type)?;
            Ok((&*held.key, values))
        })
        .collect()
}

struct RestMap<'a> {
    map: &'a MapArray,
    keys: &'a StringArray,
    values: &'a StringArray,
}

fn rest_map(array: &ArrayRef) -> Result<RestMap<'_>> {
    let map = array.as_map_opt().ok_or_else(wrong_type)?;
    let keys = map.keys().as_string_opt().ok_or_else(wrong_type)?;
    Ok(RestMap { map, keys, values: map.values().as_string_opt().ok_or_else(wrong_type)? })
}

impl<'a> RestMap<'a> {
    fn row(&self, row: usize) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let (keys, values) = (self.keys, self.values);
        let offsets = self.map.value_offsets();
        let range = usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0);
        range.filter(|at| values.is_valid(*at)).map(|at| (keys.value(at), values.value(at)))
    }

    fn find(&self, row: usize, key: &str) -> Option<&'a str> {
        self.row(row).find(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

/// All attributes of a family with keys sorted, or what another schema leaves over.
fn all(batch: &RecordBatch, held: &[Held], rest: Option<usize>, form: &MapForm) -> Result<ArrayRef> {
    let held = values(batch, held)?;
    let rest = rest.map(|place| rest_map(at(batch, place)?)).transpose()?;
    let mut out = TextMapBuilder::default();
    let mut entries: Vec<(&str, Entry<'_>)> = Vec::new();
    for row in 0..batch.num_rows() {
        entries.clear();
        entries.extend(held.iter().filter_map(|(key, values)| Some((*key, Entry::Value(values.value(row)?)))));
        if let Some(rest) = &rest {
            entries.extend(rest.row(row).map(|(key, text)| (key, Entry::Json(text))));
            entries.sort_by_key(|(key, _)| *key);
        }
        for (key, entry) in &entries {
            match (form, entry) {
                (MapForm::Text, Entry::Value(value)) => out.push(key, |text| value.write_text(text)),
                (MapForm::Text, Entry::Json(json)) => {
                    with_json(json, |value| out.push(key, |text| value.write_text(text)));
                }
                (MapForm::Json | MapForm::LeftOver(..), Entry::Value(value)) => {
                    out.push(key, |text| value.write_json(text));
                }
                (MapForm::Json, Entry::Json(json)) => out.push(key, |text| text.push_str(json)),
                (MapForm::LeftOver(family, other), Entry::Json(json)) => {
                    if !with_json(json, |value| has_column(other, *family, key, value.kind())) {
                        out.push(key, |text| text.push_str(json));
                    }
                }
            }
        }
        out.finish_row();
    }
    let map = out.finish()?;
    debug_assert_eq!(*map.data_type(), text_map_type());
    Ok(map)
}

#[derive(Debug, Clone, Copy)]
enum Entry<'a> {
    Value(Value<'a>),
    Json(&'a str),
}
