//! Does any body of OTLP logs get past the decoder's checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(causeway_model::Signal::Logs, data));
