//! The writer on real files in a temporary folder.
//!
//! Deliberately absent: reading as the ledger does it (`control/journal`), and kills (`tests/kill.rs`).

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::base::ids::GenerationId;
use crate::base::record::Usage;
use crate::base::time::UnixSeconds;
use crate::wire::journal::frame::{NodeId, RECORD_BYTES, Seed};
use crate::wire::journal::marks::Marks;
use crate::wire::journal::page::{PAGE_BYTES, Page};
use crate::wire::journal::scan::{Found, Scan};
use crate::wire::journal::{
    Admit, Caller, Cost, Ending, Flags, Full, Journal, Sequence, Served, Settle, Source,
};

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("millrace-io-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn slots(&self, count: u16, records: usize) -> Vec<Slot> {
        let slot = |number| {
            let path = self.0.join(format!("{number}.mrj"));
            preallocate(&path, (PAGE_BYTES + records * RECORD_BYTES) as u64).unwrap();
            Slot { path, end: PAGE_BYTES as u64, ..Slot::default() }
        };
        (0..count).map(slot).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const NODE: NodeId = NodeId([3; 16]);

fn writer(slots: Vec<Slot>, after: u64) -> Writer {
    let marks = Arc::new(Marks::default());
    Writer::open(Setup { node: NODE, core: 1, slots, after: Sequence(after), marks }).unwrap()
}

fn id(word: u64) -> GenerationId {
    GenerationId::new(UnixSeconds(1), [word, word])
}

fn admit(word: u64) -> Admit<'static> {
    Admit {
        id: id(word),
        at: UnixSeconds(1_783_514_921),
        caller: Caller { key: "laptop", ..Caller::default() },
        served: Served { model: "acme/one", provider: "acme", endpoint: "acme", price_version: 1 },
        prompt_tokens: 10,
        most_completion_tokens: 20,
        reserved: 30,
    }
}

/// A settle record that is as long as one may be.
fn settle(word: u64) -> Settle<'static> {
    const LONG: &str = concat!(
        "a text that is longer than any text in a record may be, a text that is longer than any text in a ",
        "record may be, a text that is longer than any text in a record may be, a text that is longer than ",
        "any text in a record may be, and so on"
    );
    let attempt = crate::wire::journal::Attempt {
        provider: LONG,
        endpoint: LONG,
        status: 200,
        fault: LONG,
        billed: crate::base::record::Billed::Yes,
        hedged: false,
        began_micros: 1,
        took_micros: 2,
        prompt_tokens: 3,
        completion_tokens: 4,
        cost: 5,
    };
    Settle {
        id: id(word),
        upstream_id: LONG,
        at: UnixSeconds(1_783_514_922),
        caller: Caller { key: LONG, team: LONG, ..Caller::default() },
        served: Served { model: LONG, provider: LONG, endpoint: LONG, price_version: 1 },
        api: LONG,
        ending: Ending::Complete,
        status: 200,
        fault: LONG,
        finish_reason: LONG,
        service_tier: LONG,
        flags: Flags::default(),
        usage: Usage::default(),
        source: Source::Reported,
        counted_tokens: 0,
        cost: Cost::default(),
        answer_bytes: 1,
        first_byte_micros: 2,
        took_micros: 3,
        attempts: Cow::Owned(vec![attempt; 8]),
    }
}

/// Sequences in a file, as a reader finds them that looks at nothing but the file.
fn sequences(path: &std::path::Path) -> Vec<u64> {
    let bytes = fs::read(path).unwrap();
    let Ok(page) = Page::decode(&bytes) else { return Vec::new() };
    let readable = &bytes[..page.published as usize];
    Scan::new(readable, Seed::new(NODE, 1), Sequence(page.first.0 - 1))
        .map(|found| match found {
            Found::Record(_, frame) => frame.sequence.0,
            Found::Damage(from, to) => panic!("{}: damage from {from} to {to}", path.display()),
        })
        .collect()
}

#[test]
fn a_record_is_in_the_file_when_the_call_returns() {
    let folder = Folder::new();
    let slots = folder.slots(2, 40);
    let mut writer = writer(slots.clone(), 0);
    for turn in 0..10 {
        assert_eq!(writer.admit(&admit(turn)), Ok(Sequence(2 * turn + 1)));
        assert_eq!(sequences(&slots[0].path), (1..=2 * turn + 1).collect::<Vec<u64>>());
        assert_eq!(writer.settle(&settle(turn)), Sequence(2 * turn + 2));
        assert_eq!(sequences(&slots[0].path), (1..=2 * turn + 2).collect::<Vec<u64>>());
        assert_eq!(writer.marks().written(), Sequence(2 * turn + 2));
    }
}

#[test]
fn a_settle_always_finds_room_and_an_admit_says_when_there_is_none() {
    for (slots, records) in [(2, 4), (3, 5), (4, 9), (2, 33)] {
        let folder = Folder::new();
        let mut writer = writer(folder.slots(slots, records), 0);
        let (mut open, mut refused) = (0_u64, 0);
        // As many as go, then all end; with a ledger that is always a little behind.
        for round in 0..40 {
            while writer.admit(&admit(open)).is_ok() {
                open += 1;
                assert!(open < 10_000, "it is bounded");
            }
            assert!(open > 0 || round > 0, "there is room for the first one");
            refused += 1;
            for turn in 0..open {
                let before = writer.marks().written();
                assert_eq!(writer.settle(&settle(turn)).0, before.0 + 1, "{slots} {records} {round}");
            }
            open = 0;
            let written = writer.marks().written();
            writer.marks().sync(written);
            writer.marks().fold(Sequence(written.0 - round % 3));
        }
        assert_eq!(refused, 40);
        assert!(writer.marks().written().0 > 2 * 40, "it went round: {:?}", writer.marks().written());
    }
}

#[test]
fn nothing_is_written_over_before_it_is_folded_and_on_disk() {
    let folder = Folder::new();
    let slots = folder.slots(3, 6);
    let mut writer = writer(slots.clone(), 0);
    let fill = |writer: &mut Writer| {
        let mut count = 0;
        while writer.admit(&admit(count)).is_ok() {
            writer.settle(&settle(count));
            count += 1;
        }
        count
    };
    assert!(fill(&mut writer) > 4);
    let all = |slots: &[Slot]| slots.iter().flat_map(|slot| sequences(&slot.path)).collect::<Vec<u64>>();
    let last = writer.marks().written();
    assert_eq!(all(&slots), (1..=last.0).collect::<Vec<u64>>());
    writer.marks().fold(last);
    assert_eq!(fill(&mut writer), 0, "folded, but not on disk");
    writer.marks().sync(last);
    assert!(fill(&mut writer) > 0, "now its place is free");
    let last = writer.marks().written();
    writer.marks().fold(last);
    writer.marks().sync(last);
    writer.marks().refuse(true);
    assert_eq!(writer.admit(&admit(0)), Err(Full));
    writer.marks().refuse(false);
    assert!(writer.admit(&admit(0)).is_ok());
}

#[test]
fn a_writer_goes_on_where_the_last_one_was() {
    let folder = Folder::new();
    let mut slots = folder.slots(3, 8);
    let mut last = 0;
    for life in 0..30_u64 {
        let mut writer = writer(slots.clone(), 0);
        writer.marks().fold(Sequence(last));
        writer.marks().sync(Sequence(last));
        for turn in 0..1 + life % 4 {
            assert_eq!(writer.admit(&admit(turn)), Ok(Sequence(last + 1)), "{life}");
            last = writer.settle(&settle(turn)).0;
        }
        drop(writer);
        for slot in &mut slots {
            let bytes = fs::read(&slot.path).unwrap();
            let Ok(page) = Page::decode(&bytes) else { continue };
            let found = sequences(&slot.path);
            slot.last = Sequence(found.last().copied().unwrap_or(0));
            (slot.end, slot.generation) = (page.published, page.generation);
        }
    }
    let mut writer = writer(slots, last + 1_000);
    assert_eq!(writer.admit(&admit(0)), Ok(Sequence(last + 1_001)), "above what the ledger has seen");
}

#[test]
fn what_cannot_be_a_journal_is_refused() {
    let folder = Folder::new();
    let open = |slots| {
        let marks = Arc::new(Marks::default());
        Writer::open(Setup { node: NODE, core: 1, slots, after: Sequence(0), marks }).is_ok()
    };
    assert!(!open(folder.slots(1, 8)) && !open(Vec::new()), "one segment is no ring");
    assert!(!open(folder.slots(2, 1)), "no room for two records");
    assert!(open(folder.slots(2, 8)));
    assert!(free_bytes(&folder.0).unwrap() > 0);
    assert!(free_bytes(&folder.0.join("nowhere")).is_err());
    // More than any disk has: the file is not left behind as if it could be used.
    assert!(preallocate(&folder.0.join("huge"), 1 << 60).is_err());
    assert!(preallocate(&folder.0.join("no/where"), 1 << 20).is_err());
}
