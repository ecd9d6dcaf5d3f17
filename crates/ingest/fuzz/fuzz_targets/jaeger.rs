//! Does any request of Jaeger's collector get past the decoder's checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::jaeger(data));
