//! Which resource and which scope does each record point at? Each stands once per place where the sender wrote it.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringBuilder, UInt32Array};
use causeway_model::{AttributeSets, AttributeSetsBuilder, Batch, KeyDictionary, Result, Side, Table, Value};

use super::attributes::{Attributes, prefixed_into};
use crate::columns::append_text;
use crate::wire::{Fault, Fields};

/// The resources and scopes of one request, and the numbers of all its keys.
#[derive(Debug, Default)]
pub(super) struct Sources<'a> {
    pub(super) keys: KeyDictionary,
    resources: Resources<'a>,
    scopes: Scopes<'a>,
    order: Vec<usize>,
    /// Canonical bytes of the current resource's attributes, for series identity.
    pub(super) resource_identity: Vec<u8>,
    /// Canonical bytes of the current scope, for series identity.
    pub(super) scope_identity: Vec<u8>,
}

#[derive(Debug, Default)]
struct Resources<'a> {
    attributes: Attributes<'a>,
    service_name: StringBuilder,
    schema_url: StringBuilder,
    dropped: Vec<u32>,
    sets: AttributeSetsBuilder,
}

#[derive(Debug, Default)]
struct Scopes<'a> {
    attributes: Attributes<'a>,
    name: StringBuilder,
    version: StringBuilder,
    schema_url: StringBuilder,
    dropped: Vec<u32>,
    sets: AttributeSetsBuilder,
}

/// For each record of one table the row of its resource and of its scope.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    resource_of: Vec<u32>,
    scope_of: Vec<u32>,
}

impl Pointers {
    /// Points the next record at the current resource and scope.
    #[inline]
    pub(super) fn push(&mut self, sources: &Sources<'_>) {
        self.resource_of.push(last_row(&sources.resources.dropped));
        self.scope_of.push(last_row(&sources.scopes.dropped));
    }
}

#[inline]
fn last_row(rows: &[u32]) -> u32 {
    u32::try_from(rows.len().saturating_sub(1)).unwrap_or(u32::MAX)
}

impl<'a> Sources<'a> {
    /// Takes in the resource of a `ResourceLogs`, `ResourceSpans` or `ResourceMetrics` (fields 1 and 3 of each).
    pub(super) fn add_resource(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let rows = &mut self.resources;
        rows.attributes.clear();
        let (mut schema_url, mut dropped) = ("", 0);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => {
                    let mut resource = Fields::new(data.bytes()?);
                    while let Some((number, data)) = resource.next()? {
                        match number {
                            1 => rows.attributes.push(data.bytes()?, &mut self.keys)?,
                            2 => dropped = data.uint32()?,
                            _ => (),
                        }
                    }
                }
                3 => schema_url = data.text()?,
                _ => (),
            }
        }
        rows.attributes.settle();
        self.resource_identity.clear();
        rows.attributes.canonical_into(&self.keys, &mut self.order, &mut self.resource_identity);
        match rows.attributes.find("service.name", &self.keys) {
            Some(Value::String(name)) => rows.service_name.append_value(name),
            _ => rows.service_name.append_null(),
        }
        append_text(&mut rows.schema_url, schema_url);
        rows.dropped.push(dropped);
        rows.attributes.append_to(&mut rows.sets);
        Ok(())
    }

    /// Takes in the scope of a `ScopeLogs`, `ScopeSpans` or `ScopeMetrics` (fields 1 and 3 of each).
    pub(super) fn add_scope(&mut self, message: &'a [u8]) -> Result<(), Fault> {
        let rows = &mut self.scopes;
        rows.attributes.clear();
        let (mut name, mut version, mut schema_url, mut dropped) = ("", "", "", 0);
        let mut fields = Fields::new(message);
        while let Some((number, data)) = fields.next()? {
            match number {
                1 => {
                    let mut scope = Fields::new(data.bytes()?);
                    while let Some((number, data)) = scope.next()? {
                        match number {
                            1 => name = data.text()?,
                            2 => version = data.text()?,
                            3 => rows.attributes.push(data.bytes()?, &mut self.keys)?,
                            4 => dropped = data.uint32()?,
                            _ => (),
                        }
                    }
                }
                3 => schema_url = data.text()?,
                _ => (),
            }
        }
        rows.attributes.settle();
        self.scope_identity.clear();
        prefixed_into(name.as_bytes(), &mut self.scope_identity);
        prefixed_into(version.as_bytes(), &mut self.scope_identity);
        rows.attributes.canonical_into(&self.keys, &mut self.order, &mut self.scope_identity);
        append_text(&mut rows.name, name);
        append_text(&mut rows.version, version);
        append_text(&mut rows.schema_url, schema_url);
        rows.dropped.push(dropped);
        rows.attributes.append_to(&mut rows.sets);
        Ok(())
    }

    /// No more to come.
    pub(super) fn finish(mut self) -> FinishedSources {
        let resources: Vec<ArrayRef> = vec![
            Arc::new(self.resources.service_name.finish()),
            Arc::new(self.resources.schema_url.finish()),
            Arc::new(UInt32Array::from(self.resources.dropped)),
        ];
        let scopes: Vec<ArrayRef> = vec![
            Arc::new(self.scopes.name.finish()),
            Arc::new(self.scopes.version.finish()),
            Arc::new(self.scopes.schema_url.finish()),
            Arc::new(UInt32Array::from(self.scopes.dropped)),
        ];
        FinishedSources {
            keys: self.keys,
            resources,
            resource_sets: self.resources.sets.finish(),
            scopes,
            scope_sets: self.scopes.sets.finish(),
        }
    }
}

/// Resources and scopes as columns, ready for the batches of one or more tables.
#[derive(Debug)]
pub(super) struct FinishedSources {
    keys: KeyDictionary,
    resources: Vec<ArrayRef>,
    resource_sets: AttributeSets,
    scopes: Vec<ArrayRef>,
    scope_sets: AttributeSets,
}

impl FinishedSources {
    /// Puts the batch of one table together and adds it, unless it has no rows. A table without columns of the resource's and the
    /// scope's level still gets their attributes.
    pub(super) fn add_batch(
        &self,
        table: Table,
        columns: Vec<ArrayRef>,
        sets: AttributeSetsBuilder,
        pointers: Pointers,
        batches: &mut Vec<Batch>,
    ) -> Result<()> {
        if pointers.resource_of.is_empty() {
            return Ok(());
        }
        let bare = table == Table::Exemplars;
        let side = |columns: &[ArrayRef], attributes: &AttributeSets| Side {
            columns: if bare { Vec::new() } else { columns.to_vec() },
            attributes: attributes.clone(),
        };
        batches.push(Batch::new(
            table,
            Side { columns, attributes: sets.finish() },
            pointers.resource_of.into(),
            side(&self.resources, &self.resource_sets),
            pointers.scope_of.into(),
            side(&self.scopes, &self.scope_sets),
            self.keys.clone(),
        )?);
        Ok(())
    }
}
