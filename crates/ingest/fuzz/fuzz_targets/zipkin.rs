//! Does any body of Zipkin's spans get past the decoder's checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::zipkin(data));
