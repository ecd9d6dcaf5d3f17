//! Are traces understood? Written as text, asked at the room's door.

#![allow(clippy::unwrap_used)]

mod findings;
mod hostile;
mod picture;
mod properties;
mod script;
mod trees;
