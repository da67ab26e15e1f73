//! The property a fuzzer checks: a stream says the same however it is cut.
//!
//! Deliberately absent: the fuzz target itself and its corpus.

use super::{EventKind, Watch};

/// One event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Kind.
    pub kind: EventKind,
    /// Data as given.
    pub data: Vec<u8>,
    /// Data was cut.
    pub truncated: bool,
    /// Name as given.
    pub name: Vec<u8>,
}

/// Everything a stream says: its events, and whether it ends inside one. Feeds the pieces in order and checks
/// on the way that every byte is used exactly once.
#[must_use]
pub fn transcript<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Seen>, bool) {
    let mut watch = Watch::new();
    let mut events = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let fed = watch.feed(piece);
            let used = fed.used;
            assert!(used > 0 && used <= piece.len(), "used {used} of {}", piece.len());
            match fed.event {
                Some(event) => events.push(Seen {
                    kind: event.kind,
                    data: event.data.to_vec(),
                    truncated: event.truncated,
                    name: event.name.to_vec(),
                }),
                None => assert_eq!(used, piece.len(), "stopped without an event"),
            }
            piece = &piece[used..];
        }
    }
    (events, watch.in_event())
}

/// Fuzz body: the first byte says how long the pieces are, the rest is the stream. Whole, in such pieces, and
/// byte by byte, it must say the same.
pub fn exercise(input: &[u8]) {
    let Some((step, stream)) = input.split_first() else { return };
    let whole = transcript([stream]);
    assert_eq!(whole, transcript(stream.chunks(usize::from(*step) + 1)), "cut into pieces");
    assert_eq!(whole, transcript(stream.chunks(1)), "cut at every byte");
}
