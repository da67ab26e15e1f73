//! The properties a fuzzer checks: no bytes of a segment do harm, a record that is read is written the same,
//! and damage hides no record behind it.
//!
//! Deliberately absent: the fuzz target itself and its corpus.

use super::decode::{ADMIT, SETTLE, decode};
use super::frame::{self, ALIGN, Frame, HEADER_BYTES, Look, NodeId, RECORD_BYTES, Seed, look};
use super::page::{PAGE_BYTES, Page};
use super::scan::{Found, Scan};
use super::{Entry, Flags, Sequence, encode};

fn seed() -> Seed {
    Seed::new(NodeId([7; 16]), 1)
}

/// The first byte says what the others are: a body, the bytes of a segment, or how a segment is put together.
///
/// # Panics
/// When a law is broken.
pub fn exercise(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else { return };
    match how % 4 {
        0 => body(ADMIT, rest),
        1 => body(SETTLE, rest),
        2 => segment(rest),
        _ => put_together(rest),
    }
}

/// A body in a sound frame: it is read or refused, and what was read is written the same.
fn body(kind: u8, body: &[u8]) {
    let body = &body[..body.len().min(RECORD_BYTES - HEADER_BYTES - ALIGN)];
    let mut bytes = [0; RECORD_BYTES];
    bytes[HEADER_BYTES..HEADER_BYTES + body.len()].copy_from_slice(body);
    let length = frame::close(&mut bytes, body.len(), kind, Sequence(9), seed());
    let Look::Record(frame) = look(&bytes[..length], seed()) else { panic!("a frame of ours is not one") };
    assert_eq!((frame.body, frame.bytes, frame.kind), (body, length, kind));
    if let Ok(entry) = decode(&frame) {
        written_the_same(&entry, &bytes[..length]);
    }
    // Cut anywhere it is refused, never read as something else.
    for cut in 0..body.len() {
        let _ = decode(&Frame { body: &body[..cut], ..frame });
    }
}

fn written_the_same(entry: &Entry<'_>, bytes: &[u8]) {
    let mut again = [0; RECORD_BYTES];
    let length = match entry {
        Entry::Admit(admit) => encode::admit(&mut again, admit, Sequence(9), seed()),
        Entry::Settle(settle) => encode::settle(&mut again, settle, Sequence(9), seed()),
    };
    if again[..length] == *bytes {
        return;
    }
    // Only what nobody of ours writes differs: texts longer than they may be.
    let Look::Record(frame) = look(&again[..length], seed()) else { panic!("our own frame is not one") };
    match (entry, decode(&frame).expect("what we write can be read")) {
        (Entry::Admit(_), Entry::Admit(_)) => assert!(length < bytes.len()),
        (Entry::Settle(_), Entry::Settle(settle)) => assert!(settle.flags.has(Flags::SHORTENED)),
        (was, is) => panic!("{was:?} became {is:?}"),
    }
}

/// Any bytes: the walk ends, goes forward only, and sequences go up.
fn segment(bytes: &[u8]) {
    let _ = Page::decode(bytes);
    let (mut end, mut last) = (0, Sequence(0));
    for found in Scan::from_place(bytes, 0, seed(), last) {
        match found {
            Found::Record(at, frame) => {
                assert!(at >= end && frame.sequence > last && at + frame.bytes <= bytes.len());
                (end, last) = (at + frame.bytes, frame.sequence);
                let _ = decode(&frame);
            }
            Found::Damage(from, to) => {
                assert!(from == end && to > from && to < bytes.len());
                end = to;
            }
        }
    }
}

/// Each byte is a record, or so many words of something else: every record is found, in order.
fn put_together(script: &[u8]) {
    let mut bytes = vec![0; PAGE_BYTES];
    let (mut sequence, mut wanted) = (0, Vec::new());
    for (turn, &byte) in script.iter().take(256).enumerate() {
        let mut frame = [byte; RECORD_BYTES];
        if byte < 128 {
            sequence += 1 + u64::from(byte & 1);
            let length = frame::close(&mut frame, usize::from(byte) * 2, byte, Sequence(sequence), seed());
            wanted.push((bytes.len(), Sequence(sequence)));
            bytes.extend_from_slice(&frame[..length]);
        } else if byte < 192 {
            // A record of before: it counts for nothing.
            let length = frame::close(&mut frame, turn % 64, byte, Sequence(sequence), seed());
            bytes.extend_from_slice(&frame[..length]);
        } else {
            bytes.extend_from_slice(&frame[..usize::from(byte - 191) * ALIGN]);
        }
    }
    let mut scan = Scan::new(&bytes, seed(), Sequence(0));
    let found: Vec<_> = scan
        .by_ref()
        .filter_map(|found| match found {
            Found::Record(at, frame) => Some((at, frame.sequence)),
            Found::Damage(..) => None,
        })
        .collect();
    assert_eq!(found, wanted);
    assert_eq!(scan.newest(), wanted.last().map_or(Sequence(0), |(_, sequence)| *sequence));
}
