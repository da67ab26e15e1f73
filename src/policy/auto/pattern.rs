//! Patterns for names of models: `*` stands for any run of characters, also for none; everything else stands
//! for itself.
//!
//! Deliberately absent: other wildcards, and letter case (names of models have none to ignore).

/// Does `pattern` describe all of `name`? Takes at most as many steps as their lengths multiplied, and
/// allocates nothing.
#[must_use]
pub fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut taken) = (0, 0);
    // The last `*`, and how much of the name it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while taken < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, taken));
                at += 1;
            }
            Some(byte) if *byte == name[taken] => {
                at += 1;
                taken += 1;
            }
            _ => {
                let Some((place, stands)) = star else { return false };
                star = Some((place, stands + 1));
                (at, taken) = (place + 1, stands + 1);
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a pattern means, word for word.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skipped| naive(rest, &name[skipped..])),
            Some((byte, rest)) => {
                name.split_first().is_some_and(|(first, name)| first == byte && naive(rest, name))
            }
        }
    }

    #[test]
    fn stars_stand_for_any_run() {
        for (pattern, name, want) in [
            ("a/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a/*", "a/", true),
            ("anthropic/*", "anthropic/claude", true),
            ("*/claude-*", "anthropic/claude-opus", true),
            ("*-mini", "openai/gpt-mini-mini", true),
            ("*-mini", "openai/gpt-mini-", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**a**", "bab", true),
            ("a*b*c", "abcbc", true),
            ("a*b*c", "abcb", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), want, "{pattern} {name}");
        }
    }

    #[test]
    fn it_agrees_with_the_plain_reading() {
        let texts: Vec<Vec<u8>> = (0..81_u32 * 3)
            .map(|number| {
                (0..number % 6).map(|place| b"ab*"[(number / 3_u32.pow(place) % 3) as usize]).collect()
            })
            .collect();
        for pattern in &texts {
            for name in texts.iter().filter(|name| !name.contains(&b'*')) {
                assert_eq!(matches(pattern, name), naive(pattern, name), "{pattern:?} {name:?}");
            }
        }
    }
}
