//! Can any bytes in the log's files make it panic, or keep it from taking records? The tests of `wal` run the same check, bounded.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use causeway_store::disk::simulated::SimulatedDisk;
use causeway_store::wal::{Wal, WalOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let disk = SimulatedDisk::from_seed(1);
    let (first, second) = bytes.split_at(bytes.len() / 2);
    disk.put(Path::new("wal/00000000000000000001.wal"), first);
    disk.put(Path::new("wal/00000000000000000004.wal"), second);
    let open = |replay: &mut dyn FnMut(u64)| {
        Wal::open(Arc::new(disk.clone()), WalOptions::default(), 0, &mut |sequence, _| {
            replay(sequence);
            Ok(())
        })
    };
    let Ok((mut wal, _)) = open(&mut |_| ()) else { return };
    let appended = wal.append_group(&[b"new"]);
    let mut last = None;
    let again = open(&mut |sequence| last = Some(sequence));
    assert!(again.is_ok());
    assert_eq!(last, appended.ok());
});
