//! Does any answer to a scrape get past the parsers' checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::exposition(data));
