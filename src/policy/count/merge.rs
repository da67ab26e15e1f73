//! How many tokens a piece comes to: byte pair encoding, of which only the count is kept.
//!
//! Of all neighbours that together are a token, those of the lowest rank are joined, the leftmost first,
//! until none are left. Nearly every piece of a text is a token as a whole and takes one look-up. Short
//! pieces are searched anew for each join; long ones have a heap of the joins that may come, so that their
//! time is n log n and no text is slow.
//! Deliberately absent: which tokens these are, and where pieces are cut (`split`).

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use super::class::wide;
use super::table::{NO_RANK, RANKS, Table};

/// Longest piece, in symbols, that is searched anew for each join.
const SHORT: usize = 48;

/// Longest piece that is merged as one, in bytes: a longer one is cut there, at the cost of a token at most.
pub(super) const PIECE_BYTES: usize = 2048;

/// What symbols a vocabulary joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbols {
    /// Bytes.
    Bytes,
    /// Characters; one that is no token is as many tokens as it has bytes, and joins with nothing.
    Characters,
}

/// Memory for long pieces, to be used again and again; grows to some ten KiB at most.
#[derive(Debug, Default)]
pub struct Scratch {
    parts: Vec<Part>,
    /// Joins that may come: the rank, and the place of the left one.
    heap: BinaryHeap<Reverse<u32>>,
}

/// A symbol, or several that were joined, of a long piece.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u16,
    /// Where it ends; before `start` once it was joined to the one before it.
    end: u16,
    before: u16,
    behind: u16,
    /// Of the join with the one behind it.
    rank: u32,
}

const PLACE_BITS: u32 = 12;
const NOWHERE: u16 = u16::MAX;
const _: () = assert!(PIECE_BYTES <= 1 << PLACE_BITS && RANKS.ilog2() + PLACE_BITS <= u32::BITS);

/// The number of tokens of a piece.
#[inline]
pub(super) fn tokens(table: &Table, symbols: Symbols, piece: &[u8], scratch: &mut Scratch) -> u32 {
    if table.rank(piece) != NO_RANK {
        return 1;
    }
    joined(table, symbols, piece, scratch)
}

/// The same without the look-up of the whole.
pub(super) fn joined(table: &Table, symbols: Symbols, piece: &[u8], scratch: &mut Scratch) -> u32 {
    match symbols {
        Symbols::Bytes if piece.len() <= SHORT => short::<true>(table, piece),
        Symbols::Characters if piece.len() <= SHORT => short::<false>(table, piece),
        Symbols::Bytes | Symbols::Characters => {
            let mut count = 0;
            let mut rest = piece;
            while !rest.is_empty() {
                let length = cut_at(rest);
                count += long(table, symbols, &rest[..length], scratch);
                rest = &rest[length..];
            }
            count
        }
    }
}

/// All of it, or so much of it as is merged as one, up to the end of a character.
pub(super) fn cut_at(piece: &[u8]) -> usize {
    if piece.len() <= PIECE_BYTES {
        return piece.len();
    }
    let is_begin = |at: &usize| piece[*at] & 0xc0 != 0x80;
    (PIECE_BYTES - 3..=PIECE_BYTES).rev().find(is_begin).unwrap_or(PIECE_BYTES)
}

/// Where the symbol that begins at `at` ends, and how many tokens it is beyond one when nothing joins it.
#[inline(always)]
fn symbol<const BYTES: bool>(table: &Table, piece: &[u8], at: usize) -> (usize, u32) {
    if BYTES {
        return (at + 1, 0);
    }
    let length = if piece[at] < 0x80 { 1 } else { wide(&piece[at..]).1 };
    let more = if length > 1 && table.rank(&piece[at..at + length]) == NO_RANK { length - 1 } else { 0 };
    (at + length, more as u32)
}

#[inline(never)]
fn short<const BYTES: bool>(table: &Table, piece: &[u8]) -> u32 {
    let mut starts = [0_u8; SHORT + 2];
    let mut ranks = [NO_RANK; SHORT + 2];
    let (mut count, mut at, mut more) = (0, 0, 0);
    while at < piece.len() {
        starts[count] = at as u8;
        let (end, tokens) = symbol::<BYTES>(table, piece, at);
        (at, more) = (end, more + tokens);
        count += 1;
    }
    starts[count] = piece.len() as u8;
    let rank = |starts: &[u8; SHORT + 2], left: usize, count: usize| {
        if left + 1 < count {
            table.rank(&piece[usize::from(starts[left])..usize::from(starts[left + 2])])
        } else {
            NO_RANK
        }
    };
    for (left, slot) in ranks[..count].iter_mut().enumerate() {
        *slot = rank(&starts, left, count);
    }
    loop {
        let (mut best, mut least) = (0, NO_RANK);
        for (left, rank) in ranks[..count].iter().enumerate() {
            if *rank < least {
                (best, least) = (left, *rank);
            }
        }
        if least == NO_RANK {
            return count as u32 + more;
        }
        // The one behind it is gone.
        starts.copy_within(best + 2..=count, best + 1);
        ranks.copy_within(best + 2..count, best + 1);
        count -= 1;
        ranks[best] = rank(&starts, best, count);
        if best > 0 {
            ranks[best - 1] = rank(&starts, best - 1, count);
        }
    }
}

#[inline(never)]
fn long(table: &Table, symbols: Symbols, piece: &[u8], scratch: &mut Scratch) -> u32 {
    let Scratch { parts, heap } = scratch;
    parts.clear();
    heap.clear();
    let (mut at, mut more) = (0, 0);
    while at < piece.len() {
        let (end, tokens) = match symbols {
            Symbols::Bytes => symbol::<true>(table, piece, at),
            Symbols::Characters => symbol::<false>(table, piece, at),
        };
        more += tokens;
        let place = parts.len() as u16;
        let before = place.checked_sub(1).unwrap_or(NOWHERE);
        parts.push(Part { start: at as u16, end: end as u16, before, behind: place + 1, rank: NO_RANK });
        at = end;
    }
    if let Some(last) = parts.last_mut() {
        last.behind = NOWHERE;
    }
    for place in 0..parts.len() as u16 {
        offer(table, piece, parts, heap, place);
    }
    let mut count = parts.len() as u32;
    while let Some(Reverse(join)) = heap.pop() {
        let (rank, place) = (join >> PLACE_BITS, (join & ((1 << PLACE_BITS) - 1)) as u16);
        // A join that was offered before one of the two changed no longer counts.
        let left = parts[usize::from(place)];
        if left.rank != rank {
            continue;
        }
        let right = parts[usize::from(left.behind)];
        parts[usize::from(left.behind)].rank = NO_RANK;
        let joined = &mut parts[usize::from(place)];
        (joined.end, joined.behind) = (right.end, right.behind);
        if right.behind != NOWHERE {
            parts[usize::from(right.behind)].before = place;
        }
        count -= 1;
        offer(table, piece, parts, heap, place);
        if left.before != NOWHERE {
            offer(table, piece, parts, heap, left.before);
        }
    }
    count + more
}

/// Notes the join of a part with the one behind it.
fn offer(table: &Table, piece: &[u8], parts: &mut [Part], heap: &mut BinaryHeap<Reverse<u32>>, place: u16) {
    let Part { start, behind, .. } = parts[usize::from(place)];
    let rank = if behind == NOWHERE {
        NO_RANK
    } else {
        table.rank(&piece[usize::from(start)..usize::from(parts[usize::from(behind)].end)])
    };
    parts[usize::from(place)].rank = rank;
    if rank != NO_RANK {
        heap.push(Reverse(rank << PLACE_BITS | u32::from(place)));
    }
}
