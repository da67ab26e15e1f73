//! Random texts, and the proof that counting part by part comes to the same as counting the whole. Run by
//! tests, by the bench that takes a million of them, and by the comparison with other libraries.
//!
//! The texts are made of what pre-tokenizers trip over: letters of both cases and of none, English endings,
//! digits, spaces and line ends of all kinds, signs, accents, and a mark that one vocabulary writes for a
//! space.
//! Deliberately absent: any claim of their own about how many tokens a text has.

use super::{Meter, Scratch, Terms, Vocabulary};
use crate::dialect::openai::OpenAi;

const PARTS: &[&str] = &[
    "a",
    "b",
    "e",
    "s",
    "t",
    "r",
    "S",
    "T",
    "A",
    "Z",
    "'s",
    "'LL",
    "'ve",
    "'",
    "'",
    "1",
    "2",
    "23",
    "½",
    "0",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    "/",
    ".",
    "(",
    ")",
    "<",
    "</",
    "> </",
    ">",
    "_",
    "-",
    "=",
    "\"",
    "é",
    "É",
    "ß",
    "中",
    "文",
    "日本",
    "の",
    "カ",
    "ー",
    "・",
    "が",
    "。",
    "，",
    "😀",
    "👍🏽",
    "\u{301}",
    "\u{200d}",
    "ſ",
    "ǅ",
    "ʰ",
    "\u{a0}",
    "\u{3000}",
    "\u{85}",
    "\0",
    "\u{7f}",
    "ي",
    "한국",
    "ไทย",
    "हिन्दी",
    "٣",
    "₂",
    "the",
    "ing",
    "word",
    "Http",
    "XML",
    "function",
    "return",
    " the",
    " a",
    "\u{2581}",
    "{",
    "}",
    "  \n",
    "#",
    "$",
    "€",
    "²",
    "ª",
    "\u{2028}",
    "\u{feff}",
    "\\",
];

/// Blocks of characters, of which some are strewn in.
const BLOCKS: [u32; 9] = [0x20, 0xa0, 0x100, 0x400, 0x3040, 0x4e00, 0xac00, 0x2190, 0x1f600];

/// An endless row of texts that follows from its seed.
#[derive(Debug)]
pub struct Texts(u64);

impl Texts {
    /// From this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) as usize % bound
    }

    /// The next text: mostly short, of all parts or of a few.
    pub fn text(&mut self) -> String {
        let most = if self.below(20) == 0 { 200 } else { 24 };
        let (few, from, strewn) = (self.below(3) == 0, self.below(PARTS.len()), self.below(3) == 0);
        let mut text = String::new();
        for _ in 0..=self.below(most) {
            let part = if few { (from + self.below(12)) % PARTS.len() } else { self.below(PARTS.len()) };
            text.push_str(PARTS[part]);
            if strewn && self.below(6) == 0 {
                let code = BLOCKS[self.below(BLOCKS.len())] + self.below(0x50) as u32;
                text.extend(char::from_u32(code));
            }
        }
        text
    }
}

/// An event with one text, given as bytes: all of a text, or a part of it cut anywhere.
pub fn event(part: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(br#"{"id":"x","choices":[{"index":0,"delta":{"content":""#);
    for byte in part {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..0x20 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.extend_from_slice(br#""},"finish_reason":null}]}"#);
}

/// A text as the inside of a JSON string of nothing but ASCII, in parts that may each end one event: pairs of
/// escapes are two.
fn escapes(text: &str) -> impl Iterator<Item = String> + '_ {
    text.encode_utf16().map(|unit| format!("\\u{unit:04x}"))
}

/// Counts texts in every way, with one vocabulary.
#[derive(Debug)]
pub struct Counter {
    vocabulary: &'static Vocabulary,
    meter: Meter,
    scratch: Scratch,
    event: Vec<u8>,
}

impl Counter {
    /// With this vocabulary.
    #[must_use]
    pub fn new(vocabulary: &'static Vocabulary) -> Self {
        Self { vocabulary, meter: Meter::new(), scratch: Scratch::default(), event: Vec::new() }
    }

    /// The tokens of the whole text.
    pub fn whole(&mut self, text: &str) -> u32 {
        self.vocabulary.count(text, &mut self.scratch) as u32
    }

    /// The tokens of a text in these parts, one event each.
    pub fn in_parts<'t>(&mut self, parts: impl Iterator<Item = &'t [u8]>) -> u32 {
        self.meter.restart(Terms::plainly(self.vocabulary));
        for part in parts {
            event(part, &mut self.event);
            self.meter.event(&OpenAi, &self.event, &mut self.scratch);
        }
        let counted = self.meter.counted();
        assert!(counted.exact);
        counted.tokens
    }

    /// The same with every character escaped, an event for each escape.
    pub fn in_escapes(&mut self, text: &str) -> u32 {
        self.meter.restart(Terms::plainly(self.vocabulary));
        for escape in escapes(text) {
            self.event.clear();
            self.event.extend_from_slice(br#"{"choices":[{"delta":{"content":""#);
            self.event.extend_from_slice(escape.as_bytes());
            self.event.extend_from_slice(br#""}}]}"#);
            self.meter.event(&OpenAi, &self.event, &mut self.scratch);
        }
        self.meter.counted().tokens
    }

    /// A text cut in two at this byte, then in random parts.
    pub fn in_random_parts(&mut self, text: &str, texts: &mut Texts) -> u32 {
        let bytes = text.as_bytes();
        let mut cuts = vec![0];
        while let Some(last) = cuts.last().copied().filter(|last| *last < bytes.len()) {
            cuts.push((last + 1 + texts.below(24)).min(bytes.len()));
        }
        self.in_parts(cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]))
    }

    /// Counts `text` in parts of every kind. What came out differently, if anything did.
    pub fn differs(&mut self, text: &str, texts: &mut Texts, every_cut: bool) -> Option<String> {
        let (bytes, whole) = (text.as_bytes(), self.whole(text));
        let mut found = vec![
            ("byte by byte", self.in_parts(bytes.chunks(1))),
            ("in escapes", self.in_escapes(text)),
            ("in random parts", self.in_random_parts(text, texts)),
        ];
        if every_cut {
            let halves = |cut: usize| [&bytes[..cut], &bytes[cut..]].into_iter();
            found.extend((0..=bytes.len()).map(|cut| ("in two", self.in_parts(halves(cut)))));
        }
        let differs = found.iter().find(|(_, tokens)| *tokens != whole)?;
        Some(format!("{text:?}: {} {}, as a whole {whole}", differs.0, differs.1))
    }
}
