//! What does a row of a batch of spans say that matters to a policy?

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray, Int32Array, Int64Array, StringArray};
use arrow::array::{TimestampNanosecondArray, UInt32Array};
use arrow::datatypes::{Int32Type, Int64Type, TimestampNanosecondType};
use causeway_model::{Batch, Family, Value};

/// OpenTelemetry's names of an HTTP status, the present one and the former.
const HTTP_STATUS: [&str; 2] = ["http.response.status_code", "http.status_code"];
/// From here on the service failed, by RFC 9110, 15.6.
const HTTP_FAILED_MIN: i64 = 500;
const ROUTE: &str = "http.route";

pub(crate) fn text_of(column: Option<&ArrayRef>) -> Option<&StringArray> {
    column?.as_string_opt::<i32>()
}

/// The columns that are read; one that is all null may be held without its type.
pub(crate) struct Columns<'a> {
    pub times: &'a TimestampNanosecondArray,
    pub traces: &'a FixedSizeBinaryArray,
    pub ids: &'a FixedSizeBinaryArray,
    pub names: &'a StringArray,
    pub kinds: &'a Int32Array,
    pub statuses: &'a Int32Array,
    pub resource_of: &'a UInt32Array,
    durations: Option<&'a Int64Array>,
    parents: Option<&'a FixedSizeBinaryArray>,
    states: Option<&'a StringArray>,
}

impl<'a> Columns<'a> {
    pub fn of(batch: &'a Batch) -> Option<Self> {
        let column = |name: &str| batch.records().column_by_name(name);
        Some(Self {
            times: column("time")?.as_primitive_opt::<TimestampNanosecondType>()?,
            traces: column("trace_id")?.as_fixed_size_binary_opt()?,
            ids: column("span_id")?.as_fixed_size_binary_opt()?,
            names: text_of(column("name"))?,
            kinds: column("kind")?.as_primitive_opt::<Int32Type>()?,
            statuses: column("status_code")?.as_primitive_opt::<Int32Type>()?,
            resource_of: batch.resource_of(),
            durations: column("duration_ns").and_then(|it| it.as_primitive_opt::<Int64Type>()),
            parents: column("parent_span_id").and_then(|it| it.as_fixed_size_binary_opt()),
            states: text_of(column("trace_state")),
        })
    }

    pub fn trace(&self, row: usize) -> [u8; 16] {
        self.traces.value(row).try_into().unwrap_or_default()
    }

    pub fn parent(&self, row: usize) -> Option<[u8; 8]> {
        self.parents.filter(|it| it.is_valid(row))?.value(row).try_into().ok()
    }

    pub fn duration_ns(&self, row: usize) -> Option<i64> {
        Some(self.durations.filter(|it| it.is_valid(row))?.value(row).max(0))
    }

    /// Empty where there is none.
    pub fn state(&self, row: usize) -> &'a str {
        self.states.filter(|it| it.is_valid(row)).map_or("", |it| it.value(row))
    }

    /// Whether the span is a request that a service answered, or work that it began by itself.
    pub fn is_answered(&self, row: usize) -> bool {
        match self.kinds.value(row) {
            2 | 5 => true,
            3 | 4 => false,
            _ => self.parent(row).is_none(),
        }
    }
}

/// What the key of an attribute means to a policy.
#[derive(Debug, Clone, Copy)]
struct Role {
    is_status: bool,
    is_route: bool,
    /// Position among the attributes of which rare values are kept.
    rare: Option<usize>,
}

/// What the keys of a batch mean.
pub(crate) struct Roles(Vec<Option<Role>>);

/// What the attributes of a span say.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub failed: bool,
    pub route: Option<&'a str>,
}

impl Roles {
    pub fn of(batch: &Batch, rare: &[String]) -> Self {
        let role = |key: &Arc<str>| {
            let role = Role {
                is_status: HTTP_STATUS.contains(&&**key),
                is_route: &**key == ROUTE,
                rare: rare.iter().position(|each| **each == **key),
            };
            (role.is_status || role.is_route || role.rare.is_some()).then_some(role)
        };
        Self(batch.keys().keys().iter().map(role).collect())
    }

    /// Reads the attributes of a row; `rare` is told the position and the flat value of those whose rare values are kept.
    pub fn read<'a>(&self, batch: &'a Batch, row: usize, mut rare: impl FnMut(usize, &[u8])) -> Said<'a> {
        let sets = batch.attributes(Family::Record);
        let mut said = Said::default();
        for position in sets.entry_range(row) {
            let key = sets.keys().get(position).copied().unwrap_or(u32::MAX);
            let Some(role) = self.0.get(key as usize).copied().flatten() else { continue };
            match sets.entry(position).value {
                Value::Int(status) if role.is_status => said.failed |= status >= HTTP_FAILED_MIN,
                Value::String(text) if role.is_status => {
                    said.failed |= text.parse::<i64>().is_ok_and(|status| status >= HTTP_FAILED_MIN);
                }
                Value::String(text) if role.is_route => said.route = Some(text),
                _ => {}
            }
            if let Some(attribute) = role.rare {
                rare(attribute, sets.values().value(position));
            }
        }
        said
    }
}
