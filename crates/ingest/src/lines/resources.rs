//! Which resources do lines belong to? Each set of attributes stands once, and once more for each service that its lines name.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray, StringBuilder, UInt32Array};
use causeway_model::{AttributeSetsBuilder, KeyDictionary, Side, Value};
use hashbrown::HashMap;

use super::keyring::Keyring;

const SERVICE: &str = "service.name";
/// Services that the lines of one delivery may name: each has a copy of its resource's attributes. Those of others stay with their lines.
const SERVICES_MAX: usize = 1_000;

/// Attributes by the numbers of their keys, and whether a service is among them.
#[derive(Debug)]
struct Resource {
    attributes: Vec<(u32, Box<str>)>,
    has_service: bool,
}

/// Resources in the order in which they were first named.
#[derive(Debug, Default)]
pub(super) struct Resources {
    /// By attributes as lengths and bytes.
    known: HashMap<Vec<u8>, u32>,
    /// By the resource, little-endian, and the name of the service.
    of_services: HashMap<Vec<u8>, u32>,
    key: Vec<u8>,
    all: Vec<Resource>,
    keyring: Keyring,
    service_name: StringBuilder,
}

impl Resources {
    pub(super) fn number(&mut self, attributes: &[(&str, &str)], keys: &mut KeyDictionary) -> u32 {
        self.key.clear();
        for text in attributes.iter().flat_map(|(key, value)| [key, value]) {
            self.key.extend_from_slice(&text.len().to_le_bytes());
            self.key.extend_from_slice(text.as_bytes());
        }
        if let Some(number) = self.known.get(&self.key) {
            return *number;
        }
        let service = attributes.iter().rfind(|(key, value)| *key == SERVICE && !value.is_empty());
        self.keyring.clear();
        attributes.iter().for_each(|(key, _)| self.keyring.push(keys.number(key)));
        let kept = |(place, (_, value)): (usize, &(&str, &str))| Some((self.keyring.kept(place)?, Box::from(*value)));
        let numbered: Vec<(u32, Box<str>)> = attributes.iter().enumerate().filter_map(kept).collect();
        let number = self.add(numbered, service.map(|(_, service)| *service));
        self.known.insert(self.key.clone(), number);
        number
    }

    fn add(&mut self, attributes: Vec<(u32, Box<str>)>, service: Option<&str>) -> u32 {
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.service_name.append_option(service);
        self.all.push(Resource { attributes, has_service: service.is_some() });
        number
    }

    /// The number of the same resource with a service; `None` where it has one, or there are too many.
    pub(super) fn with_service(&mut self, resource: u32, service: &str, keys: &mut KeyDictionary) -> Option<u32> {
        let bare = self.all.get(resource as usize)?;
        if bare.has_service {
            return None;
        }
        self.key.clear();
        self.key.extend_from_slice(&resource.to_le_bytes());
        self.key.extend_from_slice(service.as_bytes());
        if let Some(number) = self.of_services.get(&self.key) {
            return Some(*number);
        }
        if self.of_services.len() >= SERVICES_MAX {
            return None;
        }
        let mut attributes = bare.attributes.clone();
        let number = keys.number(SERVICE);
        // One that is there is empty.
        attributes.retain(|(key, _)| *key != number);
        attributes.push((number, service.into()));
        let number = self.add(attributes, Some(service));
        self.of_services.insert(self.key.clone(), number);
        Some(number)
    }

    pub(super) fn finish(mut self) -> Side {
        let mut sets = AttributeSetsBuilder::new();
        for resource in &self.all {
            for (key, value) in &resource.attributes {
                sets.push(*key, Value::String(value));
            }
            sets.finish_set();
        }
        let rows = self.all.len();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.service_name.finish()),
            Arc::new(StringArray::new_null(rows)),
            Arc::new(UInt32Array::from(vec![0; rows])),
        ];
        Side { columns, attributes: sets.finish() }
    }
}

/// The columns of the one scope that lines have: none.
pub(super) fn no_scope() -> Vec<ArrayRef> {
    let none = || Arc::new(StringArray::new_null(1)) as ArrayRef;
    vec![none(), none(), none(), Arc::new(UInt32Array::from(vec![0]))]
}
