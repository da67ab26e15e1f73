//! Noise that leaves a request's meaning alone: a router whose decision turns on it looks at the
//! wrong things.
//!
//! Deliberately absent: paraphrases, which only a model or a person can write.

use super::figures::Random;

/// A kind of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Noise {
    /// Neighbouring letters change places, one in thirty.
    Typos,
    /// Small talk in front.
    Prefix,
    /// Small talk behind.
    Suffix,
}

impl Noise {
    pub(super) const ALL: [Self; 3] = [Self::Typos, Self::Prefix, Self::Suffix];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Typos => "typos",
            Self::Prefix => "small talk in front",
            Self::Suffix => "small talk behind",
        }
    }

    /// The text with this noise.
    pub(super) fn over(self, text: &str, random: &mut Random) -> String {
        const FRONT: [&str; 4] =
            ["Hi! ", "Hello, I hope you are well. ", "Quick one for you: ", "Sorry to bother you again. "];
        const BEHIND: [&str; 4] = [" Thanks!", " Thank you in advance.", " Cheers, Sam", " No hurry."];
        match self {
            Self::Typos => typos(text, random),
            Self::Prefix => format!("{}{text}", FRONT[random.below(FRONT.len())]),
            Self::Suffix => format!("{text}{}", BEHIND[random.below(BEHIND.len())]),
        }
    }
}

fn typos(text: &str, random: &mut Random) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    let mut at = 1;
    while at < letters.len() {
        if letters[at - 1].is_alphabetic() && letters[at].is_alphabetic() && random.below(30) == 0 {
            letters.swap(at - 1, at);
            at += 1;
        }
        at += 1;
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_keeps_the_text_and_follows_the_seed() {
        let text = "Please explain how the tides work, and why there are two of them a day. ".repeat(4);
        for noise in Noise::ALL {
            let one = noise.over(&text, &mut Random(9));
            assert_eq!(one, noise.over(&text, &mut Random(9)), "{}", noise.name());
            assert_ne!(one, text, "{}", noise.name());
            match noise {
                Noise::Typos => {
                    let sorted = |text: &str| {
                        let mut letters: Vec<char> = text.chars().collect();
                        letters.sort_unstable();
                        letters
                    };
                    assert_eq!(sorted(&one), sorted(&text));
                }
                Noise::Prefix => assert!(one.ends_with(&text)),
                Noise::Suffix => assert!(one.starts_with(&text)),
            }
        }
        assert_eq!(Noise::Typos.over("", &mut Random(1)), "");
    }
}
