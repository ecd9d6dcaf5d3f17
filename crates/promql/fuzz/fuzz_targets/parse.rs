//! Can any query make the parser panic, or be read but printed as something that can't be?
#![no_main]

use causeway_promql::{Syntax, parse, parse_selector};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|query: &str| {
    drop(parse_selector(query));
    let Ok(expr) = parse(query, &Syntax::ALL) else { return };
    assert!(query.get(expr.span.start..expr.span.end).is_some());
    assert!(expr.to_json().is_object());
    for printed in [expr.to_string(), expr.pretty()] {
        let again = parse(&printed, &Syntax::ALL).expect("what was printed can be read");
        assert_eq!(again.value_type(), expr.value_type());
    }
});
