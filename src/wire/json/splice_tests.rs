//! Tests of `splice`: order of edits, pieces, and every subset of removed members.
//!
//! Deliberately absent: which members a dialect removes.

use super::exercise::Entries;
use super::peek::{Key, peek};
use super::splice::{EDITS, Piece, Splice};
use crate::base::span::Span;

type Act = (usize, usize, &'static str);

/// Edits in any order must give the same text.
#[track_caller]
fn check(body: &str, acts: &[Act], want: &str) {
    for turn in 0..acts.len().max(1) {
        let mut turned = acts.to_vec();
        turned.rotate_left(turn);
        for reversed in [false, true] {
            if reversed {
                turned.reverse();
            }
            let mut splice = Splice::new();
            for (start, end, with) in &turned {
                splice.replace(Span::new(*start, *end), with.as_bytes());
            }
            assert_eq!(String::from_utf8_lossy(&splice.apply(body.as_bytes())), want, "{turned:?}");
            assert_eq!(splice.len(body.len()), want.len(), "{turned:?}");
        }
    }
}

#[test]
fn edits_apply_in_any_order() {
    check("abcdef", &[], "abcdef");
    check("abcdef", &[(0, 6, "")], "");
    check("abcdef", &[(1, 2, "XY"), (4, 5, "")], "aXYcdf");
    check("abcdef", &[(0, 0, "<"), (6, 6, ">"), (3, 3, "|")], "<abc|def>");
    check("abcdef", &[(0, 2, ""), (2, 4, "Z"), (4, 4, "+"), (4, 6, "")], "Z+");
    check("abcdef", &[(1, 1, "+"), (1, 3, ""), (3, 3, "-")], "a+-def");
    check("", &[(0, 0, "x")], "x");
}

#[test]
fn insertions_at_one_place_keep_their_order() {
    let mut splice = Splice::new();
    splice.insert(1, b"1");
    splice.remove(Span::new(1, 2));
    splice.insert(1, b"2");
    assert_eq!(splice.apply(b"abc"), b"a12c");
    let pieces: Vec<_> = splice.pieces(3).collect();
    let body = |start, end| Piece::Body(Span::new(start, end));
    let own = |start, end| Piece::Own(Span::new(start, end));
    assert_eq!(pieces, [body(0, 1), own(0, 1), own(1, 2), body(2, 3)]);
    splice.clear();
    assert_eq!((splice.apply(b"abc"), splice.own()), (b"abc".to_vec(), &b""[..]));
    assert_eq!(splice.pieces(0).count(), 0);
}

#[test]
fn overlaps_and_floods_are_bugs() {
    let overlaps = |first: (usize, usize), second: (usize, usize)| {
        std::panic::catch_unwind(|| {
            let mut splice = Splice::new();
            splice.remove(Span::new(first.0, first.1));
            splice.remove(Span::new(second.0, second.1));
        })
        .is_err()
    };
    assert!(overlaps((1, 4), (3, 5)) && overlaps((3, 5), (1, 4)) && overlaps((1, 4), (2, 2)));
    assert!(overlaps((1, 4), (1, 4)) && overlaps((2, 3), (1, 4)));
    assert!(!overlaps((1, 4), (4, 5)) && !overlaps((1, 4), (1, 1)) && !overlaps((1, 4), (4, 4)));
    let flood = std::panic::catch_unwind(|| {
        let mut splice = Splice::new();
        (0..=EDITS).for_each(|at| splice.insert(at, b"x"));
    });
    assert!(flood.is_err());
}

/// Removes every subset of the known members of bodies with known and unknown members at all places.
#[test]
fn any_subset_can_be_removed() {
    let bodies = [
        r#"{"model":"a","provider":{},"route":null,"x":1,"usage":{},"y":2,"trace":1,"debug":[1,2]}"#,
        r#"{ "x" : 1 , "model" : "a" , "models":["b"] , "user":"u" , "stream" : true }"#,
        r#"{"provider":{"a":"},"},"plugins":[],"transforms":[","]}"#,
        r#"{"model":"a"}"#,
        "{\n  \"model\": \"a\",\n  \"route\": \"r\",\n  \"z\": 0\n}",
    ];
    for body in bodies {
        let peek = peek(body.as_bytes()).expect("well formed");
        let Entries(all) = serde_json::from_str(body).expect("well formed");
        for subset in 0..1_u32 << peek.members().len() {
            let gone: Vec<Key> = (peek.members().iter().enumerate())
                .filter_map(|(place, member)| (subset & (1 << place) != 0).then_some(member.key))
                .collect();
            let mut splice = Splice::new();
            let left = splice.remove_members(&peek, |key| gone.contains(&key));
            let edited = splice.apply(body.as_bytes());
            let found: Entries = serde_json::from_slice(&edited).unwrap_or_else(|error| {
                panic!("{error}: {gone:?} leaves {}", String::from_utf8_lossy(&edited))
            });
            let mut want = all.clone();
            want.retain(|(key, _)| !gone.iter().any(|gone| gone.text() == key));
            assert_eq!((found, left), (Entries(want.clone()), want.len()), "{gone:?}");
        }
    }
}
