//! An edit list over the client's own bytes: the body stays as it is, and goes out as slices around a few
//! replacements. What is not edited reaches the provider byte for byte (prompt caches depend on it).
//!
//! Deliberately absent: which members to edit (`dialect/` knows), and the sending.

use super::parameter;
use super::peek::{Key, Peek};
use super::scan::{Field, Fields};
use crate::base::span::Span;

/// Most edits of one body. A dialect needs one per known member, one per parameter and one insertion.
pub const EDITS: usize = 64;

const _: () = assert!(super::peek::KNOWN_KEYS + parameter::NAMES.len() < EDITS);

/// One edit: `at` of the body becomes `with` of our own bytes. An empty `at` inserts, an empty `with`
/// removes.
#[derive(Clone, Copy, Debug, Default)]
struct Edit {
    at: Span,
    with: Span,
}

/// The edits of one body, at most `MOST`. Reusable: [`Splice::clear`] keeps the memory.
///
/// Invariant: edits are sorted by position and do not overlap; insertions at one position come before a
/// replacement that starts there, in the order they were added.
#[derive(Clone, Debug)]
pub struct Splice<const MOST: usize = EDITS> {
    edits: [Edit; MOST],
    count: usize,
    own: Vec<u8>,
    /// Parameters to be left out.
    stripped: u32,
}

/// A part of the edited body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A slice of the client's body.
    Body(Span),
    /// A slice of [`Splice::own`].
    Own(Span),
}

impl<const MOST: usize> Default for Splice<MOST> {
    fn default() -> Self {
        Self { edits: [Edit::default(); MOST], count: 0, own: Vec::new(), stripped: 0 }
    }
}

impl Splice {
    /// No edits; allocates nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<const MOST: usize> Splice<MOST> {
    /// Forgets all edits.
    pub fn clear(&mut self) {
        self.count = 0;
        self.own.clear();
        self.stripped = 0;
    }

    /// `at` of the body becomes `with`.
    ///
    /// # Panics
    /// When `at` overlaps another edit, or at more than `MOST` edits: both are bugs of the caller.
    pub fn replace(&mut self, at: Span, with: &[u8]) {
        self.replace_with(at, |own| own.extend_from_slice(with));
    }

    /// `at` of the body becomes what `write` appends to [`Splice::own`]; `write` must not touch what is
    /// there.
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn replace_with(&mut self, at: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.own.len();
        write(&mut self.own);
        self.add(Edit { at, with: Span::new(start, self.own.len()) });
    }

    /// `bytes` come before the body's byte number `at`.
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn insert(&mut self, at: usize, bytes: &[u8]) {
        self.replace(Span::new(at, at), bytes);
    }

    /// `at` of the body is left out.
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn remove(&mut self, at: Span) {
        self.add(Edit { at, with: Span::default() });
    }

    /// Leaves out every known member that `unwanted` names, with the commas that go with it. Says how many
    /// members stay, unknown ones included.
    ///
    /// A member goes together with the comma before it. Only the members of an unbroken run at the front go
    /// with the comma behind them instead, because nothing stays before them. So no two removals share a
    /// comma, and what stays is separated by one each.
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn remove_members(&mut self, peek: &Peek, unwanted: impl Fn(Key) -> bool) -> usize {
        let mut removed = 0;
        for member in peek.members().iter().filter(|member| unwanted(member.key)) {
            self.remove_field(&member.field, usize::from(member.ordinal) == removed);
            removed += 1;
        }
        usize::from(peek.member_count) - removed
    }

    /// Names parameters, by their bits in [`parameter::NAMES`], that [`Splice::remove_unwanted`] leaves out.
    pub fn strip(&mut self, parameters: u32) {
        self.stripped = parameters;
    }

    /// As [`Splice::remove_members`], and leaves out the parameters named to [`Splice::strip`] besides. For
    /// them, and only if there are any, the body is walked once more: few of them are known members.
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn remove_unwanted(&mut self, peek: &Peek, body: &[u8], unwanted: impl Fn(Key) -> bool) -> usize {
        let parameters = self.stripped;
        let mut fields = match Fields::open(body, peek.object.start as usize, 0) {
            Ok(fields) if parameters != 0 => fields,
            _ => return self.remove_members(peek, unwanted),
        };
        let mut known = peek.members().iter().peekable();
        let (mut ordinal, mut removed) = (0, 0);
        // The same bytes were walked when the request came in, so no walk ends early.
        while let Ok(Some(field)) = fields.next_field() {
            let member = known.next_if(|member| usize::from(member.ordinal) == ordinal);
            let parameter = parameter::bit(field.key.of(body)).is_some_and(|bit| bit & parameters != 0);
            if parameter || member.is_some_and(|member| unwanted(member.key)) {
                self.remove_field(&field, ordinal == removed);
                removed += 1;
            }
            ordinal += 1;
        }
        ordinal - removed
    }

    /// Leaves out a member with one comma: the one before it, or behind it where no member stays before it
    /// (`front`).
    ///
    /// # Panics
    /// As [`Splice::replace`].
    pub fn remove_field(&mut self, field: &Field, front: bool) {
        let Span { start, end } = field.whole();
        self.remove(if front {
            Span { start, end: field.comma_after().map_or(end, |comma| comma + 1) }
        } else {
            Span { start: field.comma_before().unwrap_or(start), end }
        });
    }

    /// True when nothing is edited.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length in bytes of the edited body.
    #[must_use]
    pub fn len(&self, body_len: usize) -> usize {
        let edits = &self.edits[..self.count];
        edits.iter().fold(body_len, |len, edit| len + edit.with.len() - edit.at.len())
    }

    /// The edited body, part by part; no part is empty.
    pub fn pieces(&self, body_len: usize) -> impl Iterator<Item = Piece> + '_ {
        let ends = Edit { at: Span::new(body_len, body_len), with: Span::default() };
        let edits = self.edits[..self.count].iter().copied().chain([ends]);
        let mut behind = 0;
        edits.flat_map(move |edit| {
            let kept = Span { start: behind, end: edit.at.start };
            behind = edit.at.end;
            let kept = (!kept.is_empty()).then_some(Piece::Body(kept));
            let own = (!edit.with.is_empty()).then_some(Piece::Own(edit.with));
            kept.into_iter().chain(own)
        })
    }

    /// The bytes that [`Piece::Own`] points into.
    #[must_use]
    pub fn own(&self) -> &[u8] {
        &self.own
    }

    /// The edited body in one piece. A copy: for tests and small bodies.
    #[must_use]
    pub fn apply(&self, body: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len(body.len()));
        for piece in self.pieces(body.len()) {
            out.extend_from_slice(match piece {
                Piece::Body(span) => span.of(body),
                Piece::Own(span) => span.of(&self.own),
            });
        }
        out
    }

    fn add(&mut self, edit: Edit) {
        assert!(self.count < MOST, "more than {MOST} edits of one body");
        let sorted = &self.edits[..self.count];
        // An insertion goes behind the insertions at its position and before a replacement that starts there;
        // a replacement goes behind the insertions at its start.
        let place = sorted.partition_point(|known| {
            known.at.start < edit.at.start || (known.at.start == edit.at.start && known.at.is_empty())
        });
        assert!(place == 0 || sorted[place - 1].at.end <= edit.at.start, "edits overlap");
        assert!(sorted.get(place).is_none_or(|next| edit.at.end <= next.at.start), "edits overlap");
        self.edits.copy_within(place..self.count, place + 1);
        self.edits[place] = edit;
        self.count += 1;
    }
}
