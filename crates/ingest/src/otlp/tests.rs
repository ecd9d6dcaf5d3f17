//! Does OTLP decode to what was sent?
