//! Which errors are the same? Those of one service, of one type, thrown at the same place of its own code; where no place is known, those whose
//! message is of one kind.

use causeway_meters::{cut, cut_to};
use causeway_patterns::Masked;
use xxhash_rust::xxh3::Xxh3;

use crate::frame::Frame;
use crate::stack::{Stack, Thrown};

/// Frames that tell errors apart, from the innermost on. 5: with more, one error reached by several ways is several.
const FRAMES_MAX: usize = 5;
/// Bytes of a message that are shown. 200: a sentence.
const MESSAGE_BYTES_MAX: usize = 200;

/// An error as it was told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told<'a> {
    /// Of which service.
    pub service: &'a str,
    /// `exception.type`, or empty.
    pub error_type: &'a str,
    /// `exception.message`, or empty.
    pub message: &'a str,
    /// `exception.stacktrace`, or empty.
    pub stack: &'a str,
}

/// What an error is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The same for all that are the same.
    pub fingerprint: u64,
    /// The type of what it began with.
    pub error_type: String,
    /// The message of that, with what varies masked.
    pub message: String,
    /// The innermost function of the service's own, or of a library where there is none; empty where none is known.
    pub culprit: String,
}

/// What an error is; nothing where neither type, message nor stack say anything.
pub fn of(told: &Told<'_>, masked: &mut Masked) -> Option<Known> {
    let stack = Stack::parse(told.stack);
    let root = stack.root().filter(|_| stack.has_frames());
    let said = |in_stack: fn(&Thrown) -> &String, told: &str| {
        // What it was caused by says more than what was told; of one alone, the sender knows best.
        let is_caused = stack.chain.len() > 1;
        let in_stack = root.map(in_stack).filter(|text| !text.is_empty() && (is_caused || told.is_empty()));
        in_stack.map_or_else(|| cut(told).to_owned(), String::clone)
    };
    let error_type = said(|thrown| &thrown.error_type, told.error_type);
    let error_type = error_type.trim_start_matches('*').to_owned();
    masked.read(&said(|thrown| &thrown.message, told.message));
    let message = cut_to(masked.text(), MESSAGE_BYTES_MAX).to_owned();
    let frames = places(&stack);
    if error_type.is_empty() && message.is_empty() && frames.is_empty() {
        return None;
    }
    let mut hash = Xxh3::new();
    let mut add = |text: &str| {
        hash.update(text.as_bytes());
        hash.update(&[0xff]);
    };
    add(told.service);
    add(&error_type);
    if frames.is_empty() {
        add(&message);
    }
    frames.iter().for_each(|frame| add(&frame.function));
    let culprit = frames.first().map_or_else(String::new, |frame| frame.function.clone());
    Some(Known { fingerprint: hash.digest(), error_type, message, culprit })
}

/// The innermost frames of the service's own, of the exception nearest to the root that has any; of libraries where none has.
fn places(stack: &Stack) -> Vec<&Frame> {
    let own = |thrown: &'_ Thrown| thrown.frames.iter().any(|frame| frame.is_own);
    let thrown = stack.chain.iter().rev().find(|thrown| own(thrown));
    let wants_own = thrown.is_some();
    let thrown = thrown.or_else(|| stack.chain.iter().rev().find(|thrown| !thrown.frames.is_empty()));
    let frames = thrown.into_iter().flat_map(|thrown| &thrown.frames);
    frames.filter(|frame| frame.is_own || !wants_own).take(FRAMES_MAX).collect()
}
