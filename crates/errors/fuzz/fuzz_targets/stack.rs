//! Can any text make the reader of stack traces, or the masking of lines, panic or say more than it may?
#![no_main]

use causeway_errors::fingerprint::{Told, of};
use causeway_errors::stack::Stack;
use causeway_patterns::{LogPatterns, Masked};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let stack = Stack::parse(text);
    assert_eq!(stack, Stack::parse(text));
    let mut masked = Masked::default();
    let told = Told { service: "s", error_type: "", message: text, stack: text };
    if let Some(known) = of(&told, &mut masked) {
        assert!(known.error_type.len() <= 256 && known.culprit.len() <= 256);
    }
    let mut patterns = LogPatterns::default();
    text.lines().for_each(|line| patterns.learn("s", "info", line));
});
