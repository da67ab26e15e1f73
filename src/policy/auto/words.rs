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
pub(super) const WORD_BYTES: usize = 14;

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

/// What a word is about, if the list has it. `word` is in lower case.
pub(super) fn kind(word: &[u8]) -> Option<Kind> {
    let letter = usize::from(word.first()?.checked_sub(b'a').filter(|letter| *letter < 26)?);
    let (from, to) = (usize::from(STARTS[letter]), usize::from(STARTS[letter + 1]));
    WORDS[from..to].iter().find(|(known, _)| known.as_bytes() == word).map(|(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_nothing_else() {
        assert!(WORDS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, and no word twice");
        for (word, want) in WORDS {
            assert_eq!(kind(word.as_bytes()), Some(*want), "{word}");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase()), "{word}");
        }
        for word in ["", "a", "approve", "prov", "proves", "zebra", "Prove", "0", "{", "\u{ff}"] {
            assert_eq!(kind(word.as_bytes()), None, "{word}");
        }
    }
}
