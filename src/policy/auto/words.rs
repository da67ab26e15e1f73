//! Words that say something about a task, in English, as the text of a turn has them.
//!
//! Words are matched whole, in any case, so that "approve" is not "prove". What language or trade a word list
//! does not know gives no signal, and a request without signals goes to the default tier.
//! Deliberately absent: stems and synonyms (a list that grows by guesses measures its author), and weights.

/// What a word is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A plain task.
    Plain,
    /// A greeting.
    Greeting,
    /// Programming.
    Code,
    /// Mathematics.
    Math,
    /// Thought, on its own.
    Hard,
    /// Thought, when there are two of them.
    Thoughtful,
    /// A command of LaTeX, where a backslash stands before it.
    Latex,
}

/// Longest word in the list, in bytes.
const WORD_BYTES: usize = 14;
/// Bytes that are compared at once.
const KEY_BYTES: usize = 16;

/// Lower case, in the order of the alphabet: [`kind`] looks only at those with the right first letter.
const WORDS: &[(&str, Kind)] = &[
    ("algebra", Kind::Math),
    ("algorithm", Kind::Code),
    ("analyse", Kind::Thoughtful),
    ("analyze", Kind::Thoughtful),
    ("api", Kind::Code),
    ("architecture", Kind::Thoughtful),
    ("argue", Kind::Thoughtful),
    ("bash", Kind::Code),
    ("begin", Kind::Latex),
    ("bug", Kind::Code),
    ("bye", Kind::Greeting),
    ("calculus", Kind::Math),
    ("cdot", Kind::Latex),
    ("classify", Kind::Plain),
    ("code", Kind::Code),
    ("compare", Kind::Thoughtful),
    ("compile", Kind::Code),
    ("compiler", Kind::Code),
    ("complexity", Kind::Thoughtful),
    ("critique", Kind::Thoughtful),
    ("debug", Kind::Code),
    ("define", Kind::Plain),
    ("derivative", Kind::Math),
    ("derive", Kind::Hard),
    ("design", Kind::Thoughtful),
    ("diagnose", Kind::Hard),
    ("eigenvalue", Kind::Math),
    ("equation", Kind::Math),
    ("evaluate", Kind::Thoughtful),
    ("exception", Kind::Code),
    ("extract", Kind::Plain),
    ("frac", Kind::Latex),
    ("function", Kind::Code),
    ("goodbye", Kind::Greeting),
    ("grammar", Kind::Plain),
    ("hello", Kind::Greeting),
    ("hey", Kind::Greeting),
    ("hi", Kind::Greeting),
    ("hypothesis", Kind::Thoughtful),
    ("implement", Kind::Code),
    ("implications", Kind::Thoughtful),
    ("infty", Kind::Latex),
    ("int", Kind::Latex),
    ("integer", Kind::Math),
    ("integral", Kind::Math),
    ("java", Kind::Code),
    ("javascript", Kind::Code),
    ("justify", Kind::Thoughtful),
    ("kubernetes", Kind::Code),
    ("label", Kind::Plain),
    ("lemma", Kind::Math),
    ("leq", Kind::Latex),
    ("lim", Kind::Latex),
    ("list", Kind::Plain),
    ("mathbb", Kind::Latex),
    ("matrix", Kind::Math),
    ("method", Kind::Code),
    ("modulo", Kind::Math),
    ("mutex", Kind::Code),
    ("optimal", Kind::Thoughtful),
    ("optimise", Kind::Thoughtful),
    ("optimize", Kind::Thoughtful),
    ("paraphrase", Kind::Plain),
    ("plan", Kind::Thoughtful),
    ("polynomial", Kind::Math),
    ("postgres", Kind::Code),
    ("prime", Kind::Math),
    ("probability", Kind::Math),
    ("proof", Kind::Hard),
    ("proofread", Kind::Plain),
    ("prove", Kind::Hard),
    ("pytest", Kind::Code),
    ("python", Kind::Code),
    ("query", Kind::Code),
    ("refactor", Kind::Hard),
    ("regex", Kind::Code),
    ("rephrase", Kind::Plain),
    ("rewrite", Kind::Plain),
    ("rigorous", Kind::Hard),
    ("rigorously", Kind::Hard),
    ("rust", Kind::Code),
    ("script", Kind::Code),
    ("shorten", Kind::Plain),
    ("sql", Kind::Code),
    ("sqrt", Kind::Latex),
    ("stacktrace", Kind::Code),
    ("strategy", Kind::Thoughtful),
    ("struct", Kind::Code),
    ("sum", Kind::Latex),
    ("summarise", Kind::Plain),
    ("summarize", Kind::Plain),
    ("summary", Kind::Plain),
    ("tag", Kind::Plain),
    ("thank", Kind::Greeting),
    ("thanks", Kind::Greeting),
    ("theorem", Kind::Hard),
    ("tradeoff", Kind::Thoughtful),
    ("tradeoffs", Kind::Thoughtful),
    ("translate", Kind::Plain),
    ("typescript", Kind::Code),
    ("variance", Kind::Math),
    ("vector", Kind::Math),
    ("vulnerability", Kind::Code),
    ("why", Kind::Thoughtful),
];

/// Where the words of each letter begin; the last entry is the end.
const STARTS: [u8; 27] = starts();

const fn starts() -> [u8; 27] {
    assert!(WORDS.len() < u8::MAX as usize);
    let mut starts = [0; 27];
    let (mut turn, mut letter) = (0, 0);
    while turn < WORDS.len() {
        let word = WORDS[turn].0.as_bytes();
        assert!(word.len() <= WORD_BYTES && word[0].is_ascii_lowercase());
        let own = (word[0] - b'a') as usize;
        assert!(own + 1 >= letter, "the words are in the order of the alphabet");
        while letter <= own {
            starts[letter] = turn as u8;
            letter += 1;
        }
        letter = own + 1;
        turn += 1;
    }
    while letter < starts.len() {
        starts[letter] = WORDS.len() as u8;
        letter += 1;
    }
    starts
}

/// The words as numbers: their bytes, the first one lowest, and zeros.
const KEYS: [u128; WORDS.len()] = keys();

const fn keys() -> [u128; WORDS.len()] {
    let mut keys = [0; WORDS.len()];
    let mut turn = 0;
    while turn < WORDS.len() {
        let word = WORDS[turn].0.as_bytes();
        let mut place = word.len();
        while place > 0 {
            place -= 1;
            keys[turn] = keys[turn] << u8::BITS | word[place] as u128;
        }
        turn += 1;
    }
    keys
}

/// What the words with one first letter have: most words are none of them by this alone.
#[derive(Clone, Copy)]
struct Shape {
    /// Lengths, one bit each.
    lengths: u32,
    /// Second letters, one bit each, by the five bits that both cases have.
    seconds: u32,
}

/// By the first byte, in either case.
const SHAPES: [Shape; 256] = shapes();

const fn shapes() -> [Shape; 256] {
    let mut shapes = [Shape { lengths: 0, seconds: 0 }; 256];
    let mut turn = 0;
    while turn < WORDS.len() {
        let word = WORDS[turn].0.as_bytes();
        assert!(word.len() >= 2);
        let own = &mut shapes[word[0] as usize];
        own.lengths |= 1 << word.len();
        own.seconds |= 1 << (word[1] & LETTER);
        shapes[word[0].to_ascii_uppercase() as usize] = *own;
        turn += 1;
    }
    shapes
}

/// What two letters differ in whatever their case.
const LETTER: u8 = 0x1f;
/// What makes letters of either case small ones, and no other byte a letter's.
const SMALL: u128 = u128::from_ne_bytes([0x20; KEY_BYTES]);

/// What the word is about whose `len` letters `text` begins with, if the list has it, in either case. Says no
/// of words with less than sixteen bytes to the end of `text`.
#[inline]
pub(super) fn kind(text: &[u8], len: usize) -> Option<Kind> {
    let bytes: &[u8; KEY_BYTES] = text.first_chunk()?;
    let shape = SHAPES[usize::from(bytes[0])];
    let length = len.min(WORD_BYTES + 1);
    if shape.lengths >> length & shape.seconds >> (bytes[1] & LETTER) & 1 == 0 {
        return None;
    }
    listed(bytes, length)
}

fn listed(bytes: &[u8; KEY_BYTES], len: usize) -> Option<Kind> {
    let unknown = u128::BITS - u8::BITS * len as u32;
    let key = (u128::from_le_bytes(*bytes) | SMALL) & u128::MAX >> unknown;
    let letter = usize::from((bytes[0] & LETTER).checked_sub(1)?);
    let (from, to) = (usize::from(*STARTS.get(letter)?), usize::from(*STARTS.get(letter + 1)?));
    let place = KEYS[from..to].iter().position(|known| *known == key)?;
    Some(WORDS[from + place].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_nothing_else() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, and no word twice");
        for (word, want) in WORDS {
            for (text, want) in [
                (format!("{word}................"), Some(*want)),
                (format!("{}................", word.to_uppercase()), Some(*want)),
                (format!("{}\u{ff}...............", &word[1..]), None),
            ] {
                assert!(kind(text.as_bytes(), word.len()) == want, "{text}");
            }
            assert_eq!(kind(format!("x{word}................").as_bytes(), word.len() + 1), None, "{word}");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        }
        for word in ["", "a", "approve", "prov", "proves", "zebra", "0", "{", "\u{ff}", "summarizesummarize"]
        {
            assert_eq!(kind(format!("{word}................").as_bytes(), word.len()), None, "{word}");
        }
    }
}
