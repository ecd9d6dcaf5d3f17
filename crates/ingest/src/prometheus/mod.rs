//! What do Prometheus' protocols say? Remote write and the exposition formats.
