//! Does any text of lines get past the checks of what lines mean?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::log_lines(data));
