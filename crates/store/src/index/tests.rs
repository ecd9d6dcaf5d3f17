//! Do filters ever miss what they hold, and how often do they hold what they don't?
#![allow(clippy::unwrap_used)]

use causeway_model::Rng;
use proptest::prelude::*;

use super::fuse::Shape;
use super::*;

proptest! {
    #[test]
    fn words_are_what_stands_between_other_ascii(text: String) {
        let is_word = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '_';
        let expected: Vec<&str> = text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        prop_assert_eq!(tokens(&text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_directory_never_panics(bytes: Vec<u8>) {
        let _ = Directory::decode(&bytes, true);
        let _ = Directory::decode(&bytes, false);
    }

    #[test]
    fn merged_sketches_are_one_over_both(seed: u64, left in 0usize..500, right in 0usize..500) {
        let mut rng = Rng::from_seed(seed);
        let (mut a, mut b, mut both) = (Sketch::new(), Sketch::new(), Sketch::new());
        for (count, sketch) in [(left, &mut a), (right, &mut b)] {
            for _ in 0..count {
                let hash = rng.next_u64();
                sketch.add(hash);
                both.add(hash);
            }
        }
        a.merge(&b);
        prop_assert_eq!(a, both);
    }
}

#[test]
fn estimates_are_near() {
    for count in [0u64, 1, 2, 10, 100, 1_000, 100_000] {
        let (mut rng, mut sketch) = (Rng::from_seed(count), Sketch::new());
        (0..count).for_each(|_| sketch.add(rng.next_u64()));
        let error = sketch.estimate().abs_diff(count);
        assert!(error * 3 <= count, "{count}: {}", sketch.estimate());
    }
}

#[test]
fn a_hash_counts_once_however_often_it_comes() {
    let mut gathered = file::Hashes::new();
    for count in [20_000u64, 300_000, 5] {
        let mut rng = Rng::from_seed(count);
        let hashes: Vec<u64> = (0..count).map(|_| rng.next_u64().max(1)).collect();
        for _ in 0..2 {
            hashes.iter().for_each(|hash| gathered.add(*hash));
        }
        let (mut expected, mut written, mut builder) = (Vec::new(), Vec::new(), fuse::Builder::default());
        let mut sorted = hashes.clone();
        sorted.sort_unstable();
        let shape = builder.write_filter(&sorted, &mut expected);
        assert_eq!(gathered.write_filter(&mut builder, &mut written), shape);
        assert_eq!(written, expected, "the last filter's hashes are gone");
    }
}

/// Whether a filter at the start of these bytes may hold a hash.
fn may_hold(shape: Shape, bytes: &[u8], hash: u64) -> bool {
    let Shape::Cells(cells) = shape else { return shape == Shape::Anything };
    let probe = cells.probe(hash);
    probe.answer(&bytes[probe.bytes.start as usize..probe.bytes.end as usize]).unwrap()
}

#[test]
fn filters_hold_all_and_little_else() {
    let mut builder = fuse::Builder::default();
    for count in [0usize, 1, 2, 3, 7, 30, 100, 500, 3_000, 45_000, 131_072, 400_000] {
        let mut rng = Rng::from_seed(count as u64);
        let hashes: Vec<u64> = (0..count).map(|_| rng.next_u64()).collect();
        let mut bytes = Vec::new();
        let shape = builder.write_filter(&hashes, &mut bytes);
        assert_eq!(Shape::decode(shape.encode()).unwrap(), shape);
        assert_eq!(bytes.len() as u64, shape.bytes());
        assert!(bytes.len() <= 20 + count * 2 && bytes.len() * 8 <= 3_000 + count * 10, "{} for {count}", bytes.len());
        assert!(hashes.iter().all(|hash| may_hold(shape, &bytes, *hash)));
        let wrong = (0..20_000).filter(|_| may_hold(shape, &bytes, rng.next_u64())).count();
        assert!(wrong < 120, "{wrong} of 20,000 absent hashes look present among {count}");
    }
}

#[test]
fn hashes_that_cannot_be_told_apart_end_in_a_filter_that_holds_anything() {
    let mut bytes = Vec::new();
    let mut builder = fuse::Builder::default();
    for same in [2, 1_000] {
        let shape = builder.write_filter(&vec![7; same], &mut bytes);
        assert_eq!((shape, bytes.len()), (Shape::Anything, 0));
        assert!(may_hold(shape, &bytes, 1));
        assert_eq!(Shape::decode(shape.encode()).unwrap(), shape);
    }
}

proptest! {
    #[test]
    fn crowded_hashes_are_all_held(seed: u64, low in 0u32..64, count in 1usize..300) {
        let mut rng = Rng::from_seed(seed);
        let mut hashes: Vec<u64> = (0..count).map(|_| rng.next_u64() >> low).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut bytes = Vec::new();
        let shape = fuse::Builder::default().write_filter(&hashes, &mut bytes);
        prop_assert!(hashes.iter().all(|hash| may_hold(shape, &bytes, *hash)));
    }
}
