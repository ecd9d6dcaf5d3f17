//! Do filters ever miss what they hold, and how often do they hold what they don't?
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;

use causeway_model::Rng;
use proptest::prelude::*;

use super::*;
use crate::disk::Disk;
use crate::disk::simulated::SimulatedDisk;

proptest! {
    #[test]
    fn words_are_what_stands_between_other_ascii(text: String) {
        let is_word = |c: char| !c.is_ascii() || c.is_ascii_alphanumeric() || c == '_';
        let expected: Vec<&str> = text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).collect();
        prop_assert_eq!(tokens(&text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_directory_never_panics(bytes: Vec<u8>) {
        let _ = Directory::decode(&bytes);
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
        let (mut expected, mut written) = (Vec::new(), Vec::new());
        let buckets = bloom::write_filter(&hashes, &mut expected);
        assert_eq!(gathered.write_filter(&mut written), buckets);
        assert_eq!(written, expected, "the last filter's hashes are gone");
    }
}

#[test]
fn filters_hold_all_and_little_else() {
    let disk: Arc<dyn Disk> = Arc::new(SimulatedDisk::from_seed(1));
    let path = PathBuf::from("x.index");
    for count in [0usize, 1, 100, 20_000] {
        let mut rng = Rng::from_seed(count as u64);
        let hashes: Vec<u64> = (0..count).map(|_| rng.next_u64()).collect();
        let mut bytes = Vec::new();
        let buckets = bloom::write_filter(&hashes, &mut bytes);
        assert_eq!(bytes.len() as u64, bloom::filter_bytes(buckets));
        disk.create(&path).unwrap().append(&bytes).unwrap();
        let file = disk.open(&path).unwrap();
        let may_hold = |hash: u64| {
            let mut sector = [0; bloom::SECTOR_LENGTH];
            buckets > 0 && {
                file.read_at(bloom::sector_offset(hash, buckets), &mut sector).unwrap();
                bloom::sector_may_hold(hash, buckets, &sector).unwrap()
            }
        };
        assert!(hashes.iter().all(|hash| may_hold(*hash)));
        let wrong = (0..10_000).filter(|_| may_hold(rng.next_u64())).count();
        assert!(wrong < 200, "{wrong} of 10,000 absent hashes look present among {count}");
        disk.remove(&path).unwrap();
    }
}
