//! Can any query make the parser panic, or be read but printed as something else?
#![no_main]

use causeway_traceql::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    let Ok(read) = parse(query) else { return };
    let again = parse(&read.to_string()).expect("what was printed can be read");
    assert_eq!(again, read);
});
