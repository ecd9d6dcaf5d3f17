//! What do the bytes on the wire mean? Wire bytes -> [`causeway_model::Batch`], pure: no I/O, no clock. One folder a protocol.

pub mod otlp;
