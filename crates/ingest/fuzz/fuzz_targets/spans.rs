//! Does any body of OTLP spans get past the decoder's checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(causeway_model::Signal::Spans, data));
