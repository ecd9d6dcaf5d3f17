//! Do targets, discovery and loops hold together?
