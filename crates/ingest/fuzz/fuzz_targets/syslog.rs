//! Does any stream of syslog get past the framing and the reading?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::syslog(data));
