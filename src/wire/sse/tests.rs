//! Tests of the watcher: tables, every cut, a naive twin on random streams, bounds.
//!
//! Deliberately absent: provider-specific events (their fixtures are in `dialect/`).

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::exercise::{Seen, transcript};
use super::*;

fn show((events, in_event): &(Vec<Seen>, bool)) -> String {
    let mut text = String::new();
    for event in events {
        let data = String::from_utf8_lossy(&event.data).into_owned();
        match event.kind {
            EventKind::Comment => text.push_str("comment"),
            EventKind::Done => text.push_str("done"),
            EventKind::Data => write!(text, "data {data:?}").expect("a String takes everything"),
        }
        if !event.name.is_empty() {
            write!(text, " name {:?}", String::from_utf8_lossy(&event.name))
                .expect("a String takes everything");
        }
        text.push_str(if event.truncated { " cut\n" } else { "\n" });
    }
    text.push_str(if *in_event { "in event\n" } else { "" });
    text
}

/// The stream whole, cut once and twice at every byte, and with all line ends changed, must read the same.
#[track_caller]
fn check(stream: &str, want: Expect) {
    let bytes = stream.as_bytes();
    let whole = transcript([bytes]);
    assert_eq!(whole, naive(bytes), "naive twin");
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            assert_eq!(transcript(pieces), whole, "cut at {first} and {second}");
        }
    }
    assert_eq!(transcript(bytes.chunks(1)), whole, "byte by byte");
    if !stream.contains('\r') {
        for end in ["\r\n", "\r"] {
            let other = stream.replace('\n', end);
            assert_eq!(transcript([other.as_bytes()]), whole, "line ends {end:?}");
            assert_eq!(transcript(other.as_bytes().chunks(1)), whole, "line ends {end:?} byte by byte");
        }
    }
    want.assert_eq(&show(&whole));
}

/// The specification, written for reading: the whole stream at hand, one line after the other.
fn naive(stream: &[u8]) -> (Vec<Seen>, bool) {
    let mut rest = stream.strip_prefix(BOM).unwrap_or(stream);
    let mut events = Vec::new();
    let (mut data, mut name, mut lines) = (None::<Vec<u8>>, Vec::new(), 0);
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = &rest[..end];
        let skip = if rest[end..].starts_with(b"\r\n") { 2 } else { 1 };
        rest = &rest[end + skip..];
        if line.is_empty() {
            let mut value = data.clone().unwrap_or_default();
            let truncated = value.len() > EVENT_HOLD_BYTES;
            value.truncate(EVENT_HOLD_BYTES);
            name.truncate(EVENT_NAME_BYTES);
            let kind = match data {
                None => EventKind::Comment,
                Some(_) if value == DONE => EventKind::Done,
                Some(_) => EventKind::Data,
            };
            events.push(Seen { kind, data: value, truncated, name: core::mem::take(&mut name) });
            (data, lines) = (None, 0);
            continue;
        }
        lines += 1;
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => name = value.to_vec(),
            b"data" => match &mut data {
                None => data = Some(value.to_vec()),
                Some(known) => {
                    known.push(b'\n');
                    known.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    (events, lines > 0 || !rest.is_empty())
}

#[test]
fn events_of_providers() {
    check(
        "data: {\"a\":1}\n\ndata: [DONE]\n\n",
        expect![[r#"
        data "{\"a\":1}"
        done
    "#]],
    );
    check(
        "data:{}\n\ndata:[DONE]\n\n",
        expect![[r#"
        data "{}"
        done
    "#]],
    );
    check(
        ": OPENROUTER PROCESSING\n\nevent: error\ndata: {}\n\n",
        expect![[r#"
        comment
        data "{}" name "error"
    "#]],
    );
    check(
        "id: 7\nretry: 10\ndata: x\n: note\n\nevent: ping\n\n",
        expect![[r#"
        data "x"
        comment name "ping"
    "#]],
    );
}

#[test]
fn line_ends_mix() {
    check(
        "data: a\r\n\r\ndata: b\r\rdata: c\n\r\ndata: d\r\n\ndata: e\n\rdata: f\r\n\r\n",
        expect![[r#"
        data "a"
        data "b"
        data "c"
        data "d"
        data "e"
        data "f"
    "#]],
    );
    check(
        "\n\n\ndata: a\n\n\n",
        expect![[r#"
        comment
        comment
        comment
        data "a"
        comment
    "#]],
    );
}

#[test]
fn values_follow_the_standard() {
    check(
        "data: a\ndata:b\ndata\ndata:  c\n\n",
        expect![[r#"
        data "a\nb\n\n c"
    "#]],
    );
    check(
        "data\n\ndata:\n\n",
        expect![[r#"
        data ""
        data ""
    "#]],
    );
    check(
        "Data: a\ndata : b\ndatas: c\ndat: d\n data: e\n\n",
        expect![[r#"
        comment
    "#]],
    );
    check(
        "event: one\nevent: two\ndata: x\nevent\n\n",
        expect![[r#"
        data "x"
    "#]],
    );
    check(
        "data: [DONE]\ndata:\n\ndata: [DONE] \n\ndata:  [DONE]\n\n",
        expect![[r#"
        data "[DONE]\n"
        data "[DONE] "
        data " [DONE]"
    "#]],
    );
    check(
        "data: é\u{2028}\u{85}漢\0:x\n\n",
        expect![[r#"
        data "é\u{2028}\u{85}漢\0:x"
    "#]],
    );
}

#[test]
fn a_byte_order_mark_counts_only_at_the_start() {
    check(
        "\u{feff}data: a\n\n\u{feff}data: b\n\n",
        expect![[r#"
        data "a"
        comment
    "#]],
    );
    check("\u{feff}", expect![""]);
    check(
        "\u{feff}\u{feff}data: b\n\n",
        expect![[r#"
        comment
    "#]],
    );
    assert_eq!(transcript([&b"\xEF\xBBdata: a\n\n"[..]]), naive(b"\xEF\xBBdata: a\n\n"));
    assert!(transcript([&b"\xEF"[..]]).1);
}

#[test]
fn a_cut_stream_is_in_an_event() {
    for cut in ["d", "data", "data:", "data: ", "data: x", "data: x\n", ":", "\n\nid: 1\r", "data: x\n\ndata"]
    {
        assert!(transcript([cut.as_bytes()]).1, "{cut:?}");
    }
    for complete in ["", "\n", "data: x\n\n", "data: x\r\n\r", "data: x\r\n\r\n", "\u{feff}"] {
        assert!(!transcript([complete.as_bytes()]).1, "{complete:?}");
    }
}

#[test]
fn the_line_feed_of_a_cut_blank_line_is_swallowed() {
    let mut watch = Watch::new();
    let first = watch.feed(b"data: a\r\n\r");
    assert_eq!((first.used, first.event.map(|event| event.data)), (10, Some(&b"a"[..])));
    assert_eq!(watch.feed(b"\n"), Fed { used: 1, event: None });
    assert!(!watch.in_event());
    let mut watch = Watch::new();
    assert_eq!(watch.feed(b"data: a\r\n\r").used, 10);
    let next = watch.feed(b"\ndata: b\n\n");
    assert_eq!((next.used, next.event.map(|event| event.data)), (10, Some(&b"b"[..])));
}

#[test]
fn a_whole_event_is_not_copied() {
    let mut watch = Watch::new();
    let mut rest = &b"event: e\nid: 1\ndata: {\"a\":1}\n\ndata: [DONE]\r\n\r\n: c\n\n"[..];
    while !rest.is_empty() {
        let fed = watch.feed(rest);
        let event = fed.event.expect("each feed ends an event");
        let (piece, data) = (rest.as_ptr_range(), event.data.as_ptr_range());
        assert!(event.data.is_empty() || (piece.start <= data.start && data.end <= piece.end));
        rest = &rest[fed.used..];
    }
    assert_eq!((watch.data.memory(), watch.name.memory()), (0, 0));
}

#[test]
fn a_giant_event_needs_bounded_memory() {
    let filler = vec![b'x'; 64 * 1024];
    let mut watch = Watch::new();
    assert_eq!(watch.feed(b"event: big\ndata: ").used, 17);
    for _ in 0..800 {
        assert_eq!(watch.feed(&filler), Fed { used: filler.len(), event: None });
    }
    assert!(watch.in_event());
    let fed = watch.feed(b"\n\nrest");
    let event = fed.event.expect("the blank line ends it");
    assert_eq!(
        (fed.used, event.data.len(), event.truncated, event.name),
        (2, EVENT_HOLD_BYTES, true, &b"big"[..])
    );
    assert_eq!(watch.data.memory(), EVENT_HOLD_BYTES);
    let next = watch.feed(b"\n\n");
    assert_eq!(next.event.map(|event| (event.kind, event.truncated)), Some((EventKind::Comment, false)));
}

#[test]
fn values_are_cut_at_the_same_place_however_they_arrive() {
    for over in [0, 1, 2] {
        let mut stream = b"data: ".to_vec();
        stream.extend_from_slice(&vec![b'a'; EVENT_HOLD_BYTES - 3]);
        stream.extend_from_slice(b"\ndata: ");
        stream.extend_from_slice(&vec![b'b'; 2 + over]);
        stream.extend_from_slice(b"\n\nevent: ");
        stream.extend_from_slice(&vec![b'n'; EVENT_NAME_BYTES - 1 + over]);
        stream.extend_from_slice(b"\ndata: ");
        stream.extend_from_slice(&vec![b'c'; EVENT_HOLD_BYTES - 1 + over]);
        stream.extend_from_slice(b"\n\n");
        let want = naive(&stream);
        assert_eq!(want.0[0].truncated, over > 0);
        for step in [1, 7, 1000, 16 * 1024, stream.len()] {
            assert_eq!(transcript(stream.chunks(step)), want, "pieces of {step}");
        }
    }
}

/// xorshift64*: enough randomness for tests, no dependency.
fn random(state: &mut u64) -> usize {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize
}

#[test]
fn random_streams_agree_with_the_twin() {
    const PARTS: &[&str] = &[
        "data:",
        "data: ",
        "data",
        "event: ",
        "event:",
        "id: 1",
        ":",
        ": c",
        " ",
        "\n",
        "\n",
        "\n",
        "\r",
        "\r\n",
        "x",
        "[DONE]",
        "{\"a\":1}",
        "\n\n",
        "\r\n\r\n",
        "retry: 5",
        "é",
        "\u{feff}",
    ];
    for seed in 1..=3000_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut stream = Vec::new();
        for _ in 0..random(&mut state) % 40 {
            stream.extend_from_slice(PARTS[random(&mut state) % PARTS.len()].as_bytes());
        }
        let want = naive(&stream);
        assert_eq!(transcript([&stream[..]]), want, "seed {seed}: {:?}", String::from_utf8_lossy(&stream));
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at(1 + random(&mut state) % rest.len().min(9));
            pieces.push(piece);
            rest = behind;
        }
        assert_eq!(transcript(pieces), want, "seed {seed} in pieces: {:?}", String::from_utf8_lossy(&stream));
        exercise::exercise(&stream);
    }
}
