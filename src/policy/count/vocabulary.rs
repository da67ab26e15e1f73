//! A vocabulary that texts are counted with, and how it is read.
//!
//! Two forms are read, both plain lists: `SPLNTRV1` (count, then rank, length and bytes of each token, the
//! numbers as LEB128) and, for a vocabulary whose merges have an order of their own, `SPLNTRM1` (count, then
//! token and length of its left half of each merge, in order).
//! Deliberately absent: files, and when one is read (`control/` does both).

use super::merge::{self, Scratch, Symbols};
use super::split::{MARKER, piece_end};
use super::table::{RANKS, Table};

/// The vocabularies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VocabularyName {
    /// OpenAI since GPT-4o.
    O200k,
    /// OpenAI before.
    Cl100k,
    /// Qwen 2 and 3.
    Qwen,
    /// DeepSeek V3, R1 and later.
    DeepSeek,
    /// Mistral since NeMo, "Tekken".
    Mistral,
    /// GLM 4 and later.
    Glm,
    /// Gemma 4, which stands for Gemini too.
    Gemma4,
}

impl VocabularyName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::O200k, Self::Cl100k, Self::Qwen, Self::DeepSeek, Self::Mistral, Self::Glm, Self::Gemma4];

    /// As in documents.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::O200k => "o200k",
            Self::Cl100k => "cl100k",
            Self::Qwen => "qwen",
            Self::DeepSeek => "deepseek",
            Self::Mistral => "mistral",
            Self::Glm => "glm",
            Self::Gemma4 => "gemma4",
        }
    }

    /// Its place among all.
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    const fn spelling(self) -> Spelling {
        match self {
            Self::O200k | Self::Cl100k | Self::Qwen | Self::Glm => Spelling::Bytes,
            Self::DeepSeek | Self::Mistral => Spelling::Letters,
            Self::Gemma4 => Spelling::Marked,
        }
    }
}

/// How a list spells its tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// As they are.
    Bytes,
    /// A letter for each byte, as GPT-2 began it.
    Letters,
    /// As text, with a mark for each space.
    Marked,
}

/// Why a list cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It begins differently.
    Magic,
    /// It ends early, or a number in it is out of bounds.
    Cut,
    /// A token is too long, or there are too many.
    Size,
}

/// A vocabulary, ready for use. Some megabytes, the same for all cores.
#[derive(Debug)]
pub struct Vocabulary {
    name: VocabularyName,
    symbols: Symbols,
    table: Table,
}

/// Tokens of Gemma 4 that its own merges never make: other merges always come before. All tokens that no
/// merge makes at all are left out by their absence from the list of merges; of these few only trying tells.
const NEVER_MADE: &[&str] = &[" ::::::::", " YYYY", " diffformul", " yyyy"];

impl Vocabulary {
    /// Reads a list of tokens and, where merges have an order of their own, that of merges.
    ///
    /// # Errors
    /// [`Unreadable`], for a list that is not what it should be.
    pub fn read(name: VocabularyName, tokens: &[u8], merges: Option<&[u8]>) -> Result<Self, Unreadable> {
        let table = match merges {
            None => by_rank(name.spelling(), tokens)?,
            Some(merges) => by_merge(name.spelling(), tokens, merges)?,
        };
        let symbols = match merges {
            None => Symbols::Bytes,
            Some(_) => Symbols::Characters,
        };
        Ok(Self { name, symbols, table })
    }

    /// Which one.
    #[must_use]
    pub const fn name(&self) -> VocabularyName {
        self.name
    }

    /// How many tokens it knows.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.table.tokens()
    }

    /// Memory it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.table.memory_bytes()
    }

    /// Tokens that its own merges never make, although a look-up finds them.
    #[cfg(test)]
    pub(crate) fn never_made(&self) -> Vec<Vec<u8>> {
        let mut scratch = Scratch::default();
        let mut made = |token: &[u8]| merge::joined(&self.table, self.symbols, token, &mut scratch) == 1;
        self.table.iter().filter(|token| !made(token)).map(<[u8]>::to_vec).collect()
    }

    /// Does it write spaces as marks?
    pub(super) fn marks_spaces(&self) -> bool {
        self.symbols == Symbols::Characters
    }

    /// Where the piece that begins at `at` ends.
    #[inline]
    pub(super) fn piece_end(&self, text: &[u8], at: usize) -> usize {
        piece_end(self.name, text, at)
    }

    /// The tokens of one piece.
    #[inline]
    pub(super) fn piece_tokens(&self, piece: &[u8], scratch: &mut Scratch) -> u32 {
        merge::tokens(&self.table, self.symbols, piece, scratch)
    }
}

/// A list under way.
struct List<'t> {
    rest: &'t [u8],
    count: usize,
}

impl<'t> List<'t> {
    fn open(bytes: &'t [u8], magic: &[u8; 8]) -> Result<Self, Unreadable> {
        let rest = bytes.strip_prefix(magic).ok_or(Unreadable::Magic)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(Unreadable::Cut)?;
        let count = u32::from_le_bytes(*count);
        // A merge makes a token, and every token takes two bytes at least.
        if count > RANKS || count as usize > rest.len() / 2 {
            return Err(Unreadable::Size);
        }
        Ok(Self { rest, count: count as usize })
    }

    fn number(&mut self) -> Result<u32, Unreadable> {
        let mut value = 0_u32;
        for shift in [0, 7, 14, 21] {
            let (byte, rest) = self.rest.split_first().ok_or(Unreadable::Cut)?;
            self.rest = rest;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Unreadable::Cut)
    }

    /// The next token: its rank and its bytes.
    fn token(&mut self) -> Result<(u32, &'t [u8]), Unreadable> {
        let (rank, length) = (self.number()?, self.number()? as usize);
        let (token, rest) = self.rest.split_at_checked(length).ok_or(Unreadable::Cut)?;
        self.rest = rest;
        Ok((rank, token))
    }
}

const TOKENS: &[u8; 8] = b"SPLNTRV1";
const MERGES: &[u8; 8] = b"SPLNTRM1";

/// A vocabulary whose ranks are the order of its merges.
fn by_rank(spelling: Spelling, tokens: &[u8]) -> Result<Table, Unreadable> {
    let mut list = List::open(tokens, TOKENS)?;
    let mut table = Table::with_room(list.count, list.rest.len());
    let mut spelled = Vec::new();
    for _ in 0..list.count {
        let (rank, token) = list.token()?;
        // cl100k has an empty one: a place that was left free.
        if !token.is_empty() && respell(spelling, token, &mut spelled) && !table.insert(&spelled, rank) {
            return Err(Unreadable::Size);
        }
    }
    Ok(table)
}

/// A vocabulary with an order of merges beside it. What counts are the results of merges, and the single
/// characters that they begin with.
fn by_merge(spelling: Spelling, tokens: &[u8], merges: &[u8]) -> Result<Table, Unreadable> {
    let mut list = List::open(tokens, TOKENS)?;
    let room = list.rest.len();
    let mut texts = vec![&[][..]; list.count];
    for _ in 0..list.count {
        let (id, token) = list.token()?;
        *texts.get_mut(id as usize).ok_or(Unreadable::Cut)? = token;
    }
    let mut table = Table::with_room(texts.len(), room);
    let mut spelled = Vec::new();
    for (id, token) in (0..).zip(&texts) {
        let single = core::str::from_utf8(token).is_ok_and(|text| text.chars().count() == 1);
        if single && respell(spelling, token, &mut spelled) && !table.insert(&spelled, id) {
            return Err(Unreadable::Size);
        }
    }
    let mut list = List::open(merges, MERGES)?;
    for rank in 0..list.count as u32 {
        let (id, _left) = (list.number()?, list.number()?);
        let token = texts.get(id as usize).ok_or(Unreadable::Cut)?;
        let counts = !token.is_empty()
            && respell(spelling, token, &mut spelled)
            && !NEVER_MADE.iter().any(|never| never.as_bytes() == spelled);
        if counts && !table.insert(&spelled, rank) {
            return Err(Unreadable::Size);
        }
    }
    Ok(table)
}

/// Writes what a token stands for. False when it is in no text: a letter that is no byte.
fn respell(spelling: Spelling, token: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    match spelling {
        Spelling::Bytes => out.extend_from_slice(token),
        Spelling::Letters => {
            let Ok(text) = core::str::from_utf8(token) else { return false };
            for letter in text.chars() {
                let Some(byte) = byte_of(letter) else { return false };
                out.push(byte);
            }
        }
        Spelling::Marked => {
            let mut rest = token;
            while let Some(at) = memchr::memmem::find(rest, MARKER) {
                out.extend_from_slice(&rest[..at]);
                out.push(b' ');
                rest = &rest[at + MARKER.len()..];
            }
            out.extend_from_slice(rest);
        }
    }
    true
}

/// The byte that a letter of GPT-2's alphabet stands for: printable ones for themselves, the others, in
/// order, for the letters from U+0100 on.
fn byte_of(letter: char) -> Option<u8> {
    let prints = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(letter) {
        code @ 0..0x100 => u8::try_from(code).ok().filter(prints),
        code => (0..=u8::MAX).filter(|byte| !prints(byte)).nth(code as usize - 0x100),
    }
}
