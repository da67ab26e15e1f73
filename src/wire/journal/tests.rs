//! Records written and read back, against a golden file too.
//!
//! Deliberately absent: files on a disk.

use std::borrow::Cow;
use std::fmt::Write;

use expect_test::expect_file;

use super::decode::{ADMIT, SETTLE, Unread, decode};
use super::frame::{Frame, Look, NodeId, RECORD_BYTES, Seed, look};
use super::page::{PAGE_BYTES, Page};
use super::scan::{Found, Scan};
use super::*;
use crate::base::ids::GenerationId;
use crate::base::record::{Billed, Usage};
use crate::base::time::UnixSeconds;

const NODE: NodeId = NodeId(*b"golden node 0001");

fn seed() -> Seed {
    Seed::new(NODE, 2)
}

fn id(word: u64) -> GenerationId {
    GenerationId::new(UnixSeconds(1_783_514_921), [word, word])
}

fn admitted() -> Admit<'static> {
    Admit {
        id: id(3),
        at: UnixSeconds(1_783_514_921),
        caller: Caller { key_digest: [0xab; 32], key: "laptop", team: "search", user_hash: 77 },
        served: Served { model: "acme/one", provider: "acme", endpoint: "acme/fp8", price_version: 5 },
        prompt_tokens: 1_000,
        most_completion_tokens: 4_096,
        reserved: 123_456_789,
    }
}

fn attempt(fault: &'static str, billed: Billed) -> Attempt<'static> {
    Attempt {
        provider: "acme",
        endpoint: "acme/fp8",
        status: 503,
        fault,
        billed,
        hedged: billed == Billed::Estimated,
        began_micros: 12,
        took_micros: u32::MAX,
        prompt_tokens: 900,
        completion_tokens: 17,
        cost: -5,
    }
}

fn settled() -> Settle<'static> {
    Settle {
        id: id(3),
        upstream_id: "chatcmpl-é1",
        at: UnixSeconds(1_783_514_925),
        caller: admitted().caller,
        served: admitted().served,
        api: "chat.completions",
        ending: Ending::Cut,
        status: 200,
        fault: "upstream_reset",
        finish_reason: "stop",
        service_tier: "flex",
        flags: Flags::STREAMED.with(Flags::DRAINED, true),
        usage: Usage {
            prompt_tokens: 1,
            completion_tokens: 2,
            cached_tokens: 3,
            cache_write_tokens: 4,
            cache_write_1h_tokens: 5,
            reasoning_tokens: 6,
            audio_tokens: 7,
            images: 8,
        },
        source: Source::Mixed,
        counted_tokens: 9,
        cost: Cost { total: 10, upstream: 11, prompt: 12, completion: 13, cache_discount: -14 },
        answer_bytes: 1 << 40,
        first_byte_micros: 15,
        took_micros: 16,
        attempts: Cow::Owned(vec![attempt("connect_refused", Billed::No), attempt("", Billed::Estimated)]),
    }
}

fn written(entry: &Entry<'_>, sequence: u64) -> Vec<u8> {
    let mut bytes = vec![0xee; RECORD_BYTES];
    let length = match entry {
        Entry::Admit(admit) => encode::admit(&mut bytes, admit, Sequence(sequence), seed()),
        Entry::Settle(settle) => encode::settle(&mut bytes, settle, Sequence(sequence), seed()),
    };
    bytes.truncate(length);
    bytes
}

#[track_caller]
fn check(entry: &Entry<'_>) {
    let bytes = written(entry, 41);
    let Look::Record(frame) = look(&bytes, seed()) else { panic!("no record") };
    assert_eq!(frame.sequence, Sequence(41));
    // As text: lifetimes of the two cannot be made equal.
    assert_eq!(format!("{:?}", decode(&frame)), format!("Ok({entry:?})"));
    for cut in 0..frame.body.len() {
        let refused = decode(&Frame { body: &frame.body[..cut], ..frame });
        assert!(matches!(refused, Err(Unread::Malformed(_))), "cut at {cut}: {refused:?}");
    }
    let longer = [frame.body, b"x"].concat();
    assert!(matches!(decode(&Frame { body: &longer, ..frame }), Err(Unread::Malformed(_))));
    for (kind, version) in [(0, 1), (3, 1), (frame.kind, 2)] {
        assert_eq!(decode(&Frame { kind, version, ..frame }), Err(Unread::Foreign { kind, version }));
    }
}

#[test]
fn what_is_written_is_what_is_read() {
    check(&Entry::Admit(admitted()));
    check(&Entry::Admit(Admit { caller: Caller::default(), served: Served::default(), ..admitted() }));
    let settle = |settle| check(&Entry::Settle(Box::new(settle)));
    settle(settled());
    settle(Settle { attempts: Cow::Borrowed(&[]), caller: Caller::default(), ..settled() });
    for ending in [Ending::Complete, Ending::Failed, Ending::Cut, Ending::ClientGone] {
        settle(Settle { ending, ..settled() });
    }
    for source in [Source::None, Source::Reported, Source::Mixed, Source::Counted, Source::Bytes] {
        settle(Settle { source, cost: Cost { total: i64::MIN, ..Cost::default() }, ..settled() });
    }
    for billed in [Billed::Yes, Billed::No, Billed::Maybe, Billed::Estimated] {
        settle(Settle { attempts: vec![attempt("", billed)].into(), ..settled() });
    }
}

#[test]
fn a_record_that_would_be_too_long_is_shortened_and_says_so() {
    let long = "é".repeat(1_000);
    let attempts =
        vec![Attempt { provider: &long, endpoint: &long, fault: &long, ..attempt("", Billed::Yes) }; 40];
    let served = Served { model: &long, provider: &long, endpoint: &long, price_version: 1 };
    let caller = Caller { key: &long, team: &long, ..Caller::default() };
    let entry = Settle {
        served,
        caller,
        api: &long,
        upstream_id: &long,
        fault: &long,
        finish_reason: &long,
        service_tier: &long,
        attempts: attempts.into(),
        ..settled()
    };
    let bytes = written(&Entry::Settle(Box::new(entry)), 1);
    let Look::Record(frame) = look(&bytes, seed()) else { panic!("no record") };
    let Ok(Entry::Settle(read)) = decode(&frame) else { panic!("unread") };
    assert!(read.flags.has(Flags::SHORTENED) && read.attempts.len() == 3, "{read:?}");
    assert_eq!((read.served.model.len(), read.caller.key.len(), read.fault.len()), (256, 64, 48));
    // Usual attempts: as many as there may be of one request.
    let many = Settle { attempts: vec![attempt("connect_refused", Billed::No); 16].into(), ..settled() };
    check(&Entry::Settle(Box::new(many)));
    let bytes = written(&Entry::Admit(Admit { caller, served, ..admitted() }), 1);
    let Look::Record(frame) = look(&bytes, seed()) else { panic!("no record") };
    assert!(matches!(decode(&frame), Ok(Entry::Admit(admit)) if admit.served.model.len() == 256));
}

#[test]
fn fields_with_values_that_nobody_writes_are_refused() {
    let refuse = |entry: &Entry<'_>, at: usize, value: u8| {
        let bytes = written(entry, 1);
        let Look::Record(frame) = look(&bytes, seed()) else { panic!("no record") };
        let mut body = frame.body.to_vec();
        body[at] = value;
        let read = decode(&Frame { body: &body, ..frame });
        assert!(matches!(read, Err(Unread::Malformed(_))), "{at}: {read:?}");
    };
    let (admit, settle) = (Entry::Admit(admitted()), Entry::Settle(Box::new(settled())));
    for (at, value) in [(0, b'x'), (35, 1), (110, 0xff)] {
        refuse(&admit, at, value);
    }
    for (at, value) in [(5, b'x'), (35, 4), (220, 5), (221, 1), (221, 3), (222, 1), (223, 1)] {
        refuse(&settle, at, value);
    }
}

/// The golden file: a page and three records, as any reader in any language has to read them.
#[test]
fn a_segment_is_written_as_the_golden_file_has_it() {
    let records = [
        written(&Entry::Admit(admitted()), 1),
        written(&Entry::Settle(Box::new(settled())), 2),
        written(&Entry::Settle(Box::new(Settle { attempts: Cow::Borrowed(&[]), ..settled() })), 3),
    ]
    .concat();
    let page = Page {
        node: NODE,
        core: 2,
        generation: 1,
        first: Sequence(1),
        created: UnixSeconds(1_783_514_900),
        segment_bytes: 65_536,
        published: (PAGE_BYTES + records.len()) as u64,
        sealed: false,
    };
    let mut bytes = page.encode().to_vec();
    bytes.resize(PAGE_BYTES, 0);
    bytes.extend_from_slice(&records);
    let mut text =
        String::from("# One line per 16 bytes that are not all zero: place and bytes, hexadecimal.\n");
    for (line, chunk) in bytes.chunks(16).enumerate().filter(|(_, chunk)| chunk.iter().any(|byte| *byte != 0))
    {
        write!(text, "{:06x}:", line * 16).unwrap();
        chunk.iter().for_each(|byte| write!(text, " {byte:02x}").unwrap());
        text.push('\n');
    }
    expect_file!["golden/v1.txt"].assert_eq(&text);
    // And it is read from there, not only written.
    let golden = from_dump(include_str!("golden/v1.txt"), bytes.len());
    assert_eq!(Page::decode(&golden), Ok(page));
    let (mut said, mut again) = (Vec::new(), Vec::new());
    for found in Scan::new(&golden, seed(), Sequence(0)) {
        let Found::Record(_, frame) = found else { panic!("{found:?}") };
        let entry = decode(&frame).unwrap();
        said.push(format!("{entry:?}"));
        again.extend(written(&entry, frame.sequence.0));
    }
    let wanted = [Entry::Admit(admitted()), Entry::Settle(Box::new(settled()))];
    assert_eq!(said[..2], wanted.map(|entry| format!("{entry:?}")));
    assert_eq!(again, golden[PAGE_BYTES..]);
}

fn from_dump(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (place, digits) = line.split_once(':').unwrap();
        let place = usize::from_str_radix(place, 16).unwrap();
        for (byte, digit) in bytes[place..].iter_mut().zip(digits.split_whitespace()) {
            *byte = u8::from_str_radix(digit, 16).unwrap();
        }
    }
    bytes
}

#[test]
fn a_walk_finds_every_record_around_any_damage() {
    let (admit, settle) = (Entry::Admit(admitted()), Entry::Settle(Box::new(settled())));
    let records: Vec<Vec<u8>> =
        (1..=4).map(|turn| written(if turn % 2 == 1 { &admit } else { &settle }, turn)).collect();
    let mut sound = vec![0; PAGE_BYTES];
    let places: Vec<usize> = records
        .iter()
        .map(|record| {
            sound.extend_from_slice(record);
            sound.len() - record.len()
        })
        .collect();
    sound.resize(sound.len() + 512, 0);
    let walk = |bytes: &[u8]| -> (Vec<u64>, Vec<(usize, usize)>) {
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        for found in Scan::new(bytes, seed(), Sequence(0)) {
            match found {
                Found::Record(_, frame) => records.push(frame.sequence.0),
                Found::Damage(from, to) => damage.push((from, to)),
            }
        }
        (records, damage)
    };
    assert_eq!(walk(&sound), (vec![1, 2, 3, 4], vec![]));
    for at in PAGE_BYTES..places[3] + records[3].len() {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        let hit = places.partition_point(|place| *place <= at);
        let left: Vec<u64> = (1..=4).filter(|sequence| *sequence != hit as u64).collect();
        // Of the last record nothing tells that it was one.
        let damage = if hit == 4 { vec![] } else { vec![(places[hit - 1], places[hit])] };
        assert_eq!(walk(&bytes), (left, damage), "byte {at}");
    }
    // Cut anywhere, what is whole before it is read.
    for cut in 0..sound.len() {
        let whole =
            places.iter().zip(&records).filter(|(place, record)| *place + record.len() <= cut).count();
        assert_eq!(walk(&sound[..cut]), ((1..=whole as u64).collect(), vec![]), "cut at {cut}");
    }
}

#[test]
fn records_of_an_earlier_use_of_the_file_are_not_read_again() {
    let admit = Entry::Admit(admitted());
    let mut bytes = vec![0; PAGE_BYTES];
    [900, 901, 5, 6, 7].iter().for_each(|sequence| bytes.extend(written(&admit, *sequence)));
    let mut scan = Scan::new(&bytes, seed(), Sequence(899));
    assert_eq!(scan.by_ref().count(), 2);
    assert_eq!((scan.newest(), scan.end()), (Sequence(901), PAGE_BYTES + 2 * written(&admit, 1).len()));
    assert_eq!(Scan::new(&bytes, seed(), Sequence(901)).count(), 0);
}

#[test]
fn kinds_have_names() {
    assert_eq!(decode::KINDS, [(ADMIT, "admit"), (SETTLE, "settle")]);
}
