//! Does any body of events for Splunk get past the decoder's checks?

#![no_main]

mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::splunk_events(data));
