//! Do targets, discovery and loops hold together? Real HTTP targets on one side, an appender on the other.

mod answers;
mod loops;
mod stand;
mod targets;
