//! Is everything that was acknowledged replayed once, in order, with its bytes, whatever the disk did?
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use causeway_model::Rng;
use proptest::prelude::*;

use super::*;
use crate::disk::LocalDisk;
use crate::disk::simulated::{SimulatedDisk, Stop};

type Records = Vec<(u64, Vec<u8>)>;

fn open_on(disk: Arc<dyn Disk>, options: &WalOptions, after: u64) -> Result<(Wal, ReplayReport, Records)> {
    let mut records = Vec::new();
    let (wal, report) = Wal::open(disk, options.clone(), after, &mut |sequence, payload| {
        records.push((sequence, payload.to_vec()));
        Ok(())
    })?;
    assert_eq!(report.records, records.len() as u64);
    assert!(records.is_sorted_by(|a, b| a.0 < b.0), "in order, each once");
    assert!(records.iter().all(|record| record.0 > after));
    Ok((wal, report, records))
}

fn open(disk: &SimulatedDisk, segment_bytes_max: u64, after: u64) -> Result<(Wal, ReplayReport, Records)> {
    let options = WalOptions { segment_bytes_max, ..WalOptions::default() };
    open_on(Arc::new(disk.clone()), &options, after)
}

fn numbered(first: u64, payloads: &[&[u8]]) -> Records {
    (first..).zip(payloads.iter().map(|payload| payload.to_vec())).collect()
}

/// The bytes of a segment: its header, then groups of (sequence, payload).
fn segment(header: SegmentHeader, groups: &[&[(u64, &[u8])]]) -> Vec<u8> {
    pieces(header, groups).into_iter().flat_map(|(_, bytes)| bytes).collect()
}

/// The same in pieces, each with what it is.
fn pieces(header: SegmentHeader, groups: &[&[(u64, &[u8])]]) -> Vec<(String, Vec<u8>)> {
    let mut pieces = vec![("segment header".to_owned(), header.encode())];
    let mut offset = SEGMENT_HEADER_BYTES as u64;
    for group in groups {
        let synced_to = offset;
        for (sequence, payload) in *group {
            let payload_bytes = payload.len() as u32;
            let payload_crc = crc32c::crc32c(payload);
            let record = RecordHeader { payload_bytes, sequence: *sequence, synced_to, payload_crc };
            let bytes = record.encode(Place { first_sequence: header.first_sequence, offset });
            pieces.push((format!("header of record {sequence}"), bytes.to_vec()));
            pieces.push((format!("payload of record {sequence}"), payload.to_vec()));
            offset += record.record_bytes();
        }
    }
    pieces
}

fn header(first: u64, previous: u64, previous_synced_to: u64) -> SegmentHeader {
    SegmentHeader { first_sequence: first, previous_first_sequence: previous, previous_synced_to }
}

#[test]
fn records_come_back_from_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(LocalDisk::new(directory.path()));
    let options = WalOptions { segment_bytes_max: 300_000, record_bytes_max: 400_000 };
    let (mut wal, report, records) = open_on(Arc::clone(&disk), &options, 0).unwrap();
    assert!(records.is_empty() && report.corruptions.is_empty() && wal.last_sequence() == 0 && wal.bytes() == 0);
    let large = vec![7; 200_000];
    let group: [&[u8]; 4] = [b"one", &large, b"", b"four"];
    for round in 0..5 {
        assert_eq!(wal.append_group(&group).unwrap(), 4 * round + 1);
    }
    assert_eq!(wal.append_group(&[&vec![0; 400_001]]).unwrap_err().kind, ErrorKind::TooLarge);
    assert_eq!(wal.append_group(&[]).unwrap(), 21);
    assert_eq!(wal.last_sequence(), 20);
    let (bytes, names) = (wal.bytes(), disk.list(Path::new("wal")).unwrap());
    assert_eq!(names.len(), 5, "{names:?}");
    drop(wal);
    let (mut wal, report, records) = open_on(Arc::clone(&disk), &options, 0).unwrap();
    let all: Vec<&[u8]> = (0..5).flat_map(|_| group).collect();
    assert_eq!(records, numbered(1, &all));
    assert_eq!((report.torn_bytes, report.corruptions.len()), (0, 0));
    assert_eq!(wal.bytes(), bytes);
    assert_eq!(wal.append_group(&[b"after"]).unwrap(), 21);
    wal.cut(11).unwrap();
    let (wal, report, records) = open_on(disk, &options, 11).unwrap();
    assert_eq!(records.first().map(|record| record.0), Some(12));
    assert_eq!((report.records, report.skipped), (10, 3));
    assert_eq!(wal.last_sequence(), 21);
}

#[test]
fn an_idle_log_shrinks_to_nothing_and_goes_on_counting() {
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 1 << 20, 0).unwrap();
    wal.append_group(&[b"a", b"b"]).unwrap();
    wal.cut(1).unwrap();
    assert!(wal.bytes() > 0, "2 is still needed");
    wal.cut(2).unwrap();
    assert_eq!(wal.bytes(), 0);
    assert!(disk.list(Path::new("wal")).unwrap().is_empty());
    assert_eq!(wal.append_group(&[b"c"]).unwrap(), 3);
    let (wal, report, records) = open(&disk.crash(), 1 << 20, 2).unwrap();
    assert_eq!(records, numbered(3, &[b"c"]));
    assert!(report.corruptions.is_empty(), "{report:?}");
    assert_eq!(wal.last_sequence(), 3);
    let (wal, _, _) = open(&SimulatedDisk::from_seed(1), 1 << 20, 9).unwrap();
    assert_eq!(wal.last_sequence(), 9, "an empty log goes on after what is in parts");
}

#[test]
fn each_group_is_synced_once_and_a_segment_before_its_first_record() {
    use crate::disk::simulated::Operation::{Append, Create, Rename, Sync, SyncDir};
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 1 << 20, 0).unwrap();
    let before = disk.operations().len();
    wal.append_group(&[b"a", b"b"]).unwrap();
    wal.append_group(&[b"c"]).unwrap();
    let unnamed = PathBuf::from(UNNAMED);
    let expected = [
        Create(unnamed.clone()),
        Append(unnamed.clone(), 48),
        Sync(unnamed.clone()),
        Rename(unnamed.clone(), segment_path(1)),
        SyncDir(PathBuf::from(DIRECTORY)),
        Append(unnamed.clone(), 66),
        Sync(unnamed.clone()),
        Append(unnamed.clone(), 33),
        Sync(unnamed),
    ];
    // The first operation is the attempt to remove what an earlier failure may have left.
    assert_eq!(disk.operations()[before + 1..], expected);
}

#[test]
fn odd_files_are_handled() {
    let empty = segment(header(1, 0, 0), &[]);
    for (bytes, lines) in [(&empty[..], 0), (&[], 1), (&empty[..20], 1), (&[0; 4_000], 1)] {
        let disk = SimulatedDisk::from_seed(1);
        disk.put(&segment_path(1), bytes);
        disk.put(Path::new("wal/README"), b"hello");
        disk.put(Path::new("wal/1.wal"), b"hello");
        disk.put(Path::new("wal/99999999999999999999.wal"), b"hello");
        disk.put(Path::new(UNNAMED), b"half a header");
        let (mut wal, report, records) = open(&disk, 1 << 20, 0).unwrap();
        assert_eq!((records.len(), report.corruptions.len()), (0, lines), "{report:?}");
        assert_eq!(wal.append_group(&[b"x"]).unwrap(), 1);
        let (_, report, records) = open(&disk.crash(), 1 << 20, 0).unwrap();
        assert_eq!(records, numbered(1, &[b"x"]));
        assert!(report.corruptions.is_empty(), "{report:?}");
        assert!(disk.contents(Path::new("wal/README")).is_ok() && disk.contents(Path::new(UNNAMED)).is_err());
    }
}

#[test]
fn repeated_and_decreasing_sequences_are_ignored() {
    let disk = SimulatedDisk::from_seed(1);
    let bytes = segment(header(1, 0, 0), &[&[(1, b"a"), (2, b"b")], &[(2, b"B"), (1, b"A"), (3, b"c")]]);
    disk.put(&segment_path(1), &bytes);
    let (_, report, records) = open(&disk, 1 << 20, 0).unwrap();
    assert_eq!(records, numbered(1, &[b"a", b"b", b"c"]));
    assert!(report.corruptions.is_empty());
}

#[test]
fn a_missing_file_is_reported_and_what_follows_is_kept() {
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 1, 0).unwrap();
    for payload in [b"a", b"b", b"c"] {
        wal.append_group(&[payload]).unwrap();
    }
    disk.remove(&segment_path(2)).unwrap();
    let (_, report, records) = open(&disk, 1, 0).unwrap();
    assert_eq!(records, [(1, b"a".to_vec()), (3, b"c".to_vec())]);
    assert_eq!(report.corruptions.len(), 1, "{report:?}");
    assert!(report.corruptions[0].contains("records 2 to 2"), "{report:?}");
    let (_, report, _) = open(&disk, 1, 2).unwrap();
    assert!(report.corruptions.is_empty(), "what is in parts is not missed: {report:?}");
    disk.remove(&segment_path(1)).unwrap();
    disk.put(&segment_path(3), &segment(header(3, 2, 81), &[]));
    let (mut wal, report, _) = open(&disk, 1, 0).unwrap();
    assert_eq!(report.corruptions.len(), 1, "{report:?}");
    assert_eq!(wal.append_group(&[b"C"]).unwrap(), 3, "never below a segment that is there");
}

#[test]
fn a_shortened_segment_is_reported() {
    let disk = SimulatedDisk::from_seed(1);
    let first = segment(header(1, 0, 0), &[&[(1, b"aaaa")], &[(2, b"bbbb")]]);
    disk.put(&segment_path(3), &segment(header(3, 1, first.len() as u64), &[&[(3, b"c")]]));
    for length in 0..first.len() {
        disk.put(&segment_path(1), &first[..length]);
        let (_, report, records) = open(&disk, 1, 0).unwrap();
        assert!(!report.corruptions.is_empty(), "cut to {length}");
        assert_eq!(records.last(), Some(&(3, b"c".to_vec())));
        assert_eq!(records.len(), 1 + usize::from(length >= 84));
    }
}

#[test]
fn a_full_disk_refuses_and_works_again_once_there_is_space() {
    let disk = SimulatedDisk::from_seed(3);
    let (mut wal, _, _) = open(&disk, 4_096, 0).unwrap();
    disk.set_capacity_bytes(10_000);
    let payload = [5; 1_000];
    let mut kept = 0;
    for _ in 0..30 {
        kept += u64::from(wal.append_group(&[&payload, &payload]).is_ok()) * 2;
    }
    assert!((2..10).contains(&kept), "{kept}");
    assert_eq!(wal.last_sequence(), kept);
    wal.cut(kept).unwrap();
    assert_eq!(wal.append_group(&[&payload]).unwrap(), kept + 1);
    let (_, report, records) = open(&disk.crash(), 4_096, kept).unwrap();
    assert_eq!(records, numbered(kept + 1, &[&payload]));
    assert!(report.corruptions.is_empty(), "{report:?}");
}

#[test]
fn a_record_inside_a_payload_is_never_mistaken_for_one() {
    let forged = segment(header(1, 0, 0), &[&[(2, b"forged"), (3, b"forged too")]]);
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 1 << 20, 0).unwrap();
    wal.append_group(&[&forged]).unwrap();
    wal.append_group(&[b"real"]).unwrap();
    disk.flip(&segment_path(1), 50, 1).unwrap();
    let (_, report, records) = open(&disk, 1 << 20, 0).unwrap();
    assert_eq!(records, numbered(2, &[b"real"]));
    assert_eq!(report.corruptions.len(), 1);
}

#[test]
fn a_flipped_byte_costs_its_record_at_most_and_is_reported() {
    let payloads: [&[u8]; 7] = [b"a", &[9; 700], b"", b"dd", b"e", b"ff", b"last"];
    let groups: [&[&[u8]]; 4] = [&payloads[..3], &payloads[3..4], &payloads[4..6], &payloads[6..]];
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 950, 0).unwrap();
    for group in groups {
        wal.append_group(group).unwrap();
    }
    let names = disk.list(Path::new("wal")).unwrap();
    assert_eq!(names.len(), 2, "{names:?}");
    let all = numbered(1, &payloads);
    for name in &names {
        let path = Path::new(DIRECTORY).join(name);
        let length = disk.contents(&path).unwrap().len() as u64;
        // Nothing was written after the last group, so that nothing proves that it had been synced.
        let proven = if Some(name) == names.last() { length - 36 } else { length };
        for (offset, mask) in (0..length).flat_map(|offset| [(offset, 0x01), (offset, 0x80)]) {
            disk.flip(&path, offset, mask).unwrap();
            let (mut wal, report, records) = open(&disk.crash(), 950, 0).unwrap();
            let lost: Vec<_> = all.iter().filter(|record| !records.contains(record)).collect();
            assert!(records.iter().all(|record| all.contains(record)), "{name} {offset}");
            assert_eq!(lost.len(), usize::from(offset >= 48), "{name} {offset}: {lost:?} {report:?}");
            assert_eq!(report.corruptions.len(), usize::from(offset < proven), "{name} {offset}: {report:?}");
            assert_eq!(report.torn_bytes > 0, offset >= proven);
            let next = records.last().unwrap().0 + 1;
            assert_eq!(wal.append_group(&[b"more"]).unwrap(), next);
            disk.flip(&path, offset, mask).unwrap();
        }
    }
}

/// What a log must and may hold, beside the log itself.
#[derive(Default)]
struct Model {
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// Payloads of groups that failed, with the sequences they would have had.
    failed: Vec<(u64, Vec<u8>)>,
    after: u64,
    payloads: u64,
}

impl Model {
    /// Checks what a replay handed out. What it handed out counts from now on: the log has synced it.
    fn check(&mut self, report: &ReplayReport, records: Records) {
        assert!(report.corruptions.is_empty(), "{report:?}");
        let replayed: BTreeMap<u64, Vec<u8>> = records.into_iter().collect();
        for (sequence, payload) in &self.acknowledged {
            assert_eq!(replayed.get(sequence), Some(payload), "record {sequence}");
        }
        for (sequence, payload) in replayed {
            if let Some(known) = self.acknowledged.insert(sequence, payload.clone()) {
                assert_eq!(known, payload, "record {sequence}");
            } else {
                assert!(self.failed.contains(&(sequence, payload)), "record {sequence} was never written");
            }
        }
    }

    /// Appends a random group of payloads, each unlike all others.
    fn append(&mut self, wal: &mut Wal, rng: &mut Rng) {
        let mut group = Vec::new();
        for _ in 0..=rng.below(4) {
            self.payloads += 1;
            let bytes_max = [8, 8, 200, 3_000, 90_000][rng.below(5) as usize];
            let mut payload = vec![rng.next_u64() as u8; rng.below(bytes_max) as usize];
            payload.extend_from_slice(&self.payloads.to_le_bytes());
            group.push(payload);
        }
        let first = wal.last_sequence() + 1;
        let numbered = (first..).zip(group.iter().cloned());
        let slices: Vec<&[u8]> = group.iter().map(Vec::as_slice).collect();
        match wal.append_group(&slices) {
            Ok(answered) => {
                assert_eq!(answered, first);
                self.acknowledged.extend(numbered);
            }
            Err(_) => self.failed.extend(numbered),
        }
    }

    fn cut(&mut self, wal: &mut Wal, rng: &mut Rng) {
        let through = self.after + rng.below(wal.last_sequence() - self.after + 1);
        self.after = through;
        self.acknowledged = self.acknowledged.split_off(&(through + 1));
        // A cut that fails leaves more than needed, never less.
        let _ = wal.cut(through);
    }
}

fn plan_fault(disk: &SimulatedDisk, rng: &mut Rng) {
    match rng.below(8) {
        0 | 1 => disk.fail_sync(1 + rng.below(3)),
        2 => disk.fail_append(1 + rng.below(4)),
        3 => disk.stop_at_operation(1 + rng.below(20), Stop::Power),
        4 => disk.stop_at_operation(1 + rng.below(20), Stop::Process),
        5 => disk.set_capacity_bytes(rng.below(200_000)),
        _ => disk.set_capacity_bytes(u64::MAX),
    }
}

/// One life of a log: cycles of opening, appending under faults, cutting, and ending by a power cut, a kill or a plain restart.
fn live(seed: u64) -> Result<()> {
    let mut rng = Rng::from_seed(seed);
    let mut disk = SimulatedDisk::from_seed(rng.next_u64());
    let mut model = Model::default();
    let segment_bytes_max = [1, 500, 5_000, 100_000][rng.below(4) as usize];
    let refuses_truncate = rng.below(2) == 0;
    for _ in 0..8 {
        disk.refuse_truncate(refuses_truncate);
        let mut crashes = refuses_truncate || rng.below(2) == 0;
        if rng.below(4) == 0 {
            plan_fault(&disk, &mut rng);
        }
        if let Ok((mut wal, report, records)) = open(&disk, segment_bytes_max, model.after) {
            model.check(&report, records);
            for _ in 0..rng.below(12) {
                match rng.below(8) {
                    0 | 1 => plan_fault(&disk, &mut rng),
                    2 => model.cut(&mut wal, &mut rng),
                    _ => model.append(&mut wal, &mut rng),
                }
            }
        } else {
            // A sync that failed here may have left bytes in memory only; a later sync would lie about them.
            crashes |= disk.stopped() != Some(Stop::Process);
            disk.set_capacity_bytes(u64::MAX);
        }
        if crashes || disk.stopped() == Some(Stop::Power) {
            disk = disk.crash();
        } else {
            disk.restart();
        }
    }
    disk = disk.crash();
    disk.set_capacity_bytes(u64::MAX);
    let (_, report, records) = open(&disk, segment_bytes_max, model.after)?;
    model.check(&report, records);
    let (mut wal, report, records) = open(&disk.crash(), segment_bytes_max, model.after)?;
    model.check(&report, records);
    model.append(&mut wal, &mut rng);
    assert!(model.acknowledged.contains_key(&wal.last_sequence()), "a healthy disk takes records again");
    Ok(())
}

#[test]
fn what_was_acknowledged_is_replayed_once_whatever_the_disk_does() {
    for seed in 0..1_000 {
        let lived = std::panic::catch_unwind(|| live(seed).unwrap());
        assert!(lived.is_ok(), "seed {seed}");
    }
}

/// The same short script, ended by a power cut in the middle of each of its operations in turn.
#[test]
fn no_moment_is_a_bad_moment_to_lose_power() {
    for (moment, seed) in (1..40).flat_map(|moment| (0..12).map(move |seed| (moment, seed))) {
        let disk = SimulatedDisk::from_seed(seed * 1_000 + moment);
        let (mut rng, mut model) = (Rng::from_seed(seed), Model::default());
        let (mut wal, _, _) = open(&disk, 6_000, 0).unwrap();
        disk.stop_at_operation(moment, Stop::Power);
        for step in 0..8 {
            model.append(&mut wal, &mut rng);
            if step == 4 {
                model.cut(&mut wal, &mut rng);
            }
        }
        let mut disk = disk.crash();
        for _ in 0..3 {
            let (mut wal, report, records) = open(&disk, 6_000, model.after).unwrap();
            model.check(&report, records);
            model.append(&mut wal, &mut rng);
            disk = disk.crash();
        }
    }
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/formats/wal-1")
}

/// Hex digits as bytes; what follows `#` in a line is for people.
fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        text.lines().flat_map(|line| line.split('#').next().unwrap().chars()).filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn fixture(first: u64) -> Vec<u8> {
    let path = fixtures().join(format!("{first:020}.wal.hex"));
    from_hex(&std::fs::read_to_string(path).unwrap())
}

/// Format 1 as it was first written: two groups, an abandoned one, the segment that took over, a torn end.
#[test]
fn format_1_opens_forever() {
    let disk = SimulatedDisk::from_seed(1);
    disk.put(&segment_path(1), &fixture(1));
    disk.put(&segment_path(4), &fixture(4));
    let text = std::fs::read_to_string(fixtures().join("records.txt")).unwrap();
    let expected: Records = text
        .lines()
        .map(|line| line.split_once('\t').unwrap())
        .map(|(sequence, payload)| (sequence.parse().unwrap(), payload.as_bytes().to_vec()))
        .collect();
    let (mut wal, report, records) = open(&disk, 1 << 20, 0).unwrap();
    assert_eq!(records, expected);
    assert!(report.corruptions.is_empty() && report.torn_bytes > 0, "{report:?}");
    assert_eq!(wal.append_group(&[b"next"]).unwrap(), 6);
}

#[test]
fn format_1_is_still_what_is_written() {
    let disk = SimulatedDisk::from_seed(1);
    let (mut wal, _, _) = open(&disk, 1 << 20, 0).unwrap();
    wal.append_group(&[b"first", b""]).unwrap();
    wal.append_group(&["third, with ünïcode".as_bytes()]).unwrap();
    let written = disk.contents(&segment_path(1)).unwrap();
    assert_eq!(fixture(1)[..written.len()], written);
}

#[test]
#[ignore = "writes the fixtures of a new format; those of an old one are never written again"]
fn write_fixtures() {
    assert!(!fixtures().exists(), "a format that is out in the world stays as it is");
    let third = "third, with ünïcode".as_bytes();
    let good = segment(header(1, 0, 0), &[&[(1, b"first"), (2, b"")], &[(3, third)]]).len() as u64;
    let first = pieces(header(1, 0, 0), &[&[(1, b"first"), (2, b"")], &[(3, third)], &[(4, b"abandoned")]]);
    let mut second = pieces(header(4, 1, good), &[&[(4, b"fourth, again"), (5, b"fifth")], &[(6, b"torn away")]]);
    second.last_mut().unwrap().1.truncate(4);
    std::fs::create_dir_all(fixtures()).unwrap();
    for (sequence, pieces) in [(1, first), (4, second)] {
        let mut text = String::new();
        for (what, bytes) in pieces {
            text.push_str(&format!("# {what}\n"));
            for line in bytes.chunks(16) {
                let line: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
                text.push_str(&format!("{}\n", line.join(" ")));
            }
        }
        std::fs::write(fixtures().join(format!("{sequence:020}.wal.hex")), text).unwrap();
    }
    std::fs::write(
        fixtures().join("records.txt"),
        "1\tfirst\n2\t\n3\tthird, with ünïcode\n4\tfourth, again\n5\tfifth\n",
    )
    .unwrap();
}

/// Whatever stands in the files, opening ends without panic and the log takes records: the fuzz target's promise.
fn survives(first: &[u8], second: &[u8]) {
    let disk = SimulatedDisk::from_seed(1);
    disk.put(&segment_path(1), first);
    disk.put(&segment_path(4), second);
    match open(&disk, 1 << 20, 0) {
        Err(error) => assert_eq!(error.kind, ErrorKind::Unsupported),
        Ok((mut wal, _, _)) => {
            let sequence = wal.append_group(&[b"new"]).unwrap();
            let (_, _, records) = open(&disk, 1 << 20, 0).unwrap();
            assert_eq!(records.last(), Some(&(sequence, b"new".to_vec())));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_can_be_opened(first in prop::collection::vec(any::<u8>(), 0..300), second in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&first, &second);
    }

    #[test]
    fn any_damage_can_be_opened(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut in any::<prop::sample::Index>()) {
        let (mut first, second) = (fixture(1), fixture(4));
        for (at, byte) in edits {
            let at = at.index(first.len());
            first[at] = byte;
        }
        survives(&first, &second[..cut.index(second.len() + 1)]);
        survives(&second[..cut.index(second.len() + 1)], &first);
    }
}
