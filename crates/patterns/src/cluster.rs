//! Which lines are of one kind? Online clustering by tokens, after Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree",
//! ICWS 2017): lines are compared only with kinds of as many tokens and the same punctuation.
//!
//! Otherwise than there, no share of equal tokens decides but what differs: tokens that look like names, paths or values may differ at once; a
//! plain word has to have differed [`WORDS_MIN`] times while all else was equal, since `FOLLOWING` and `LOOKING` are two kinds and users' names are one.

use hashbrown::{HashMap, HashTable};
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::mask::{Masked, Token, WILDCARD};

/// How many words have to stand in a place, all else equal, before the place is taken for a variable.
const WORDS_MIN: usize = 4;
/// Kinds that a line is compared with. 128: more with as many tokens and the same punctuation differ in what is not seen to vary.
const COMPARED_MAX: usize = 128;
/// Masked lines whose kind is remembered, so that most lines cost a look-up. 65,536: some 2 MB.
const REMEMBERED_MAX: usize = 65_536;
/// Kinds of one service. 1,000: as many as have series.
pub(crate) const KINDS_OF_SERVICE_MAX: usize = 1_000;
/// Kinds in all. 20,000: some 20 MB.
pub(crate) const KINDS_MAX: usize = 20_000;
/// Of a service or in all so many eighths may be taken at the end of a turn; the kinds that were not seen for longest make room.
const EIGHTHS_FULL_MAX: usize = 7;
/// Kinds that were seen in this turn or the one before are not let go.
const SPARED_TURNS: u64 = 1;
/// Levels that are told apart.
pub(crate) const LEVELS: [&str; 7] = ["unknown", "trace", "debug", "info", "warn", "error", "fatal"];

/// A place that varies, among hashes of tokens.
const VARIES: u64 = 0;

/// A kind of lines.
#[derive(Debug)]
pub(crate) struct Kind {
    pub service: u32,
    bucket: u64,
    /// Hash of the token in each place.
    tokens: Box<[u64]>,
    loose: Box<[bool]>,
    /// Where each token ends in the text, and where it begins.
    places: Box<[(u32, u32)]>,
    pub text: Box<str>,
    /// Lines of this turn, by level.
    pub counts: [u32; LEVELS.len()],
    used: u64,
}

/// All kinds, by number; those let go leave a place free.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    kinds: Vec<Option<Kind>>,
    free: Vec<u32>,
    buckets: HashMap<u64, Vec<u32>>,
    of_service: HashMap<u32, usize>,
    /// Of masked lines: their hash and their kind.
    remembered: HashTable<(u64, u32)>,
    turn: u64,
    /// Lines of kinds beyond the limits.
    pub overflowed: u64,
    /// Kinds that made room for others.
    pub let_go: u64,
    /// Times that what was remembered was forgotten.
    pub forgotten: u64,
}

/// How a line differs from a kind.
enum Difference {
    /// In places that may differ; how many.
    Loose(usize),
    /// In one place that holds a word.
    Word(usize),
    TooMuch,
}

/// The hashes of a line's tokens.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Vec<u64>);

impl Kinds {
    /// The kind of a masked line, a new one where there is none yet; none beyond the limits.
    pub fn kind_of(&mut self, service: u32, masked: &Masked, scratch: &mut Scratch) -> Option<u32> {
        let hash = xxh3_64_with_seed(masked.bytes(), u64::from(service));
        if let Some((_, kind)) = self.remembered.find(hash, |(known, _)| *known == hash) {
            return Some(*kind);
        }
        let bucket = hash_tokens(service, masked, &mut scratch.0);
        let kind = self.learn(service, bucket, masked, &scratch.0)?;
        if self.remembered.len() >= REMEMBERED_MAX {
            self.forget();
        }
        self.remembered.insert_unique(hash, (hash, kind), |(hash, _)| *hash);
        Some(kind)
    }

    fn forget(&mut self) {
        self.remembered.clear();
        self.forgotten += 1;
    }

    /// Counts a line of a kind.
    pub fn count(&mut self, kind: u32, level: usize) {
        let turn = self.turn;
        if let Some(Some(kind)) = self.kinds.get_mut(kind as usize) {
            kind.used = turn;
            if let Some(count) = kind.counts.get_mut(level) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kinds.len().saturating_sub(self.free.len())
    }

    /// A kind by its number.
    pub fn get(&self, kind: u32) -> Option<&Kind> {
        self.kinds.get(kind as usize)?.as_ref()
    }

    /// Visits all, ends the turn, and makes room where it becomes scarce.
    pub fn end_turn(&mut self, mut visit: impl FnMut(&mut Kind)) {
        self.kinds.iter_mut().flatten().for_each(&mut visit);
        self.turn += 1;
        let full = |limit: usize| limit / 8 * EIGHTHS_FULL_MAX;
        let crowded: Vec<u32> = self
            .of_service
            .iter()
            .filter(|(_, count)| **count > full(KINDS_OF_SERVICE_MAX))
            .map(|(it, _)| *it)
            .collect();
        for service in crowded {
            self.make_room(full(KINDS_OF_SERVICE_MAX), |kind| kind.service == service);
        }
        if self.len() > full(KINDS_MAX) {
            self.make_room(full(KINDS_MAX), |_| true);
        }
    }

    /// Lets kinds go that were not seen for longest, until so many are left.
    fn make_room(&mut self, left: usize, of: impl Fn(&Kind) -> bool) {
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        let among = self.kinds.iter().enumerate();
        let among =
            among.filter_map(|(at, kind)| kind.as_ref().filter(|kind| of(kind)).map(|kind| (kind.used, number(at))));
        let mut among: Vec<(u64, u32)> = among.collect();
        among.sort_unstable();
        let surplus = among.len().saturating_sub(left);
        let spared = self.turn.saturating_sub(SPARED_TURNS + 1);
        let gone: Vec<u32> =
            among.into_iter().take(surplus).filter(|(used, _)| *used < spared).map(|(_, kind)| kind).collect();
        self.let_go += gone.len() as u64;
        gone.iter().for_each(|kind| drop(self.remove(*kind)));
        if !gone.is_empty() {
            self.forget();
        }
    }

    fn remove(&mut self, number: u32) -> Option<Kind> {
        let kind = self.kinds.get_mut(number as usize)?.take()?;
        self.free.push(number);
        if let Some(bucket) = self.buckets.get_mut(&kind.bucket) {
            bucket.retain(|each| *each != number);
            if bucket.is_empty() {
                self.buckets.remove(&kind.bucket);
            }
        }
        if let Some(count) = self.of_service.get_mut(&kind.service) {
            *count = count.saturating_sub(1);
        }
        Some(kind)
    }

    fn learn(&mut self, service: u32, bucket: u64, masked: &Masked, tokens: &[u64]) -> Option<u32> {
        let mut best: Option<(usize, u32)> = None;
        let mut by_word: Vec<(usize, u32)> = Vec::new();
        let known = self.buckets.get(&bucket).map_or(&[][..], Vec::as_slice);
        for number in known.iter().rev().take(COMPARED_MAX) {
            let Some(Some(kind)) = self.kinds.get(*number as usize) else { continue };
            match difference(kind, masked.tokens(), tokens) {
                Difference::Loose(0) => return Some(*number),
                Difference::Loose(count) if best.is_none_or(|(best, _)| count < best) => best = Some((count, *number)),
                Difference::Word(place) => by_word.push((place, *number)),
                Difference::Loose(_) | Difference::TooMuch => {}
            }
        }
        if let Some((_, number)) = best {
            self.widen(number, |place, token| tokens.get(place) != Some(&token));
            return Some(number);
        }
        if let Some(place) = varying_place(&by_word) {
            return self.join(place, &by_word);
        }
        self.add(service, bucket, masked, tokens)
    }

    fn add(&mut self, service: u32, bucket: u64, masked: &Masked, tokens: &[u64]) -> Option<u32> {
        let of_service = self.of_service.entry(service).or_insert(0);
        if *of_service >= KINDS_OF_SERVICE_MAX || self.kinds.len() - self.free.len() >= KINDS_MAX {
            self.overflowed += 1;
            return None;
        }
        *of_service += 1;
        let kind = Kind {
            service,
            bucket,
            tokens: tokens.into(),
            loose: masked.tokens().iter().map(|token| token.is_loose).collect(),
            places: masked.tokens().iter().map(|token| (token.start, token.end)).collect(),
            text: masked.text().into(),
            counts: [0; LEVELS.len()],
            used: self.turn,
        };
        let number = match self.free.pop() {
            Some(number) => {
                *self.kinds.get_mut(number as usize)? = Some(kind);
                number
            }
            None => {
                self.kinds.push(Some(kind));
                u32::try_from(self.kinds.len() - 1).ok()?
            }
        };
        self.buckets.entry(bucket).or_default().push(number);
        Some(number)
    }

    /// Makes one kind of those that differ only by the word in one place.
    fn join(&mut self, place: usize, by_word: &[(usize, u32)]) -> Option<u32> {
        let mut joined = by_word.iter().filter(|(each, _)| *each == place).map(|(_, number)| *number);
        let stays = joined.clone().min()?;
        for number in joined.by_ref().filter(|number| *number != stays) {
            let gone = self.remove(number)?;
            let kind = self.kinds.get_mut(stays as usize)?.as_mut()?;
            kind.used = kind.used.max(gone.used);
            kind.counts.iter_mut().zip(gone.counts).for_each(|(count, more)| *count = count.saturating_add(more));
            self.widen(stays, |place, token| gone.tokens.get(place) != Some(&token));
        }
        self.widen(stays, |each, _| each == place);
        self.forget();
        Some(stays)
    }

    /// Lets a kind vary in some places.
    fn widen(&mut self, number: u32, varies: impl Fn(usize, u64) -> bool) {
        let Some(Some(kind)) = self.kinds.get_mut(number as usize) else { return };
        let mut text = String::with_capacity(kind.text.len());
        let mut end = 0;
        for (place, (token, at)) in kind.tokens.iter_mut().zip(&mut kind.places).enumerate() {
            let (from, to) = (at.0 as usize, at.1 as usize);
            text.push_str(kind.text.get(end..from).unwrap_or_default());
            let start = text.len();
            if *token != VARIES && varies(place, *token) {
                *token = VARIES;
                text.push_str(WILDCARD);
            } else {
                text.push_str(kind.text.get(from..to).unwrap_or_default());
            }
            end = to;
            let place = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
            *at = (place(start), place(text.len()));
        }
        text.push_str(kind.text.get(end..).unwrap_or_default());
        kind.text = text.into();
    }
}

/// Hashes the tokens of a line; the answer is the hash of what lies between them, of how many they are, and of their service.
fn hash_tokens(service: u32, masked: &Masked, tokens: &mut Vec<u64>) -> u64 {
    tokens.clear();
    let text = masked.bytes();
    let mut shape = Xxh3::with_seed(u64::from(service));
    let mut end = 0;
    for token in masked.tokens() {
        let (from, to) = (token.start as usize, token.end as usize);
        shape.update(text.get(end..from).unwrap_or_default());
        shape.update(&[0]);
        let bytes = text.get(from..to).unwrap_or_default();
        tokens.push(if token.is_wild { VARIES } else { xxh3_64(bytes).max(1) });
        end = to;
    }
    shape.update(text.get(end..).unwrap_or_default());
    shape.digest()
}

fn difference(kind: &Kind, line: &[Token], tokens: &[u64]) -> Difference {
    let (mut loose, mut word, mut equal) = (0, None, 0);
    for (place, (known, token)) in kind.tokens.iter().zip(tokens).enumerate() {
        if known == token {
            equal += usize::from(*known != VARIES);
            continue;
        }
        if *known == VARIES {
            continue;
        }
        if *token == VARIES
            || line.get(place).is_some_and(|token| token.is_loose)
            || kind.loose.get(place).is_some_and(|is_loose| *is_loose)
        {
            loose += 1;
        } else if word.replace(place).is_some() {
            return Difference::TooMuch;
        }
    }
    // What has nothing in common but its shape is not of one kind.
    match word {
        _ if loose + usize::from(word.is_some()) > equal => Difference::TooMuch,
        Some(_) if loose > 0 => Difference::TooMuch,
        Some(place) => Difference::Word(place),
        None => Difference::Loose(loose),
    }
}

/// The place in which enough words have stood.
fn varying_place(by_word: &[(usize, u32)]) -> Option<usize> {
    let count = |place: usize| by_word.iter().filter(|(each, _)| *each == place).count();
    by_word.iter().map(|(place, _)| *place).find(|place| count(*place) + 1 >= WORDS_MIN)
}
