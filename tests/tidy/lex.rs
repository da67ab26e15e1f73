//! A lexer just large enough for the house rules: it blanks comments and literals, then cuts the rest into
//! tokens.
//!
//! Blanking keeps every line break, so the line of a token is its line in the file.

/// A word, a number, `::` or one punctuation character, with its 1-based line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    /// True for identifiers and keywords (and numbers, which no rule names).
    pub(crate) fn is_word(&self) -> bool {
        self.text.starts_with(is_word_char)
    }
}

/// True for characters that identifiers are made of.
pub(crate) fn is_word_char(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

/// The source with the inside of comments, strings and characters replaced by spaces.
pub(crate) fn blank(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, kept) = extent(&chars, at);
        for (offset, &character) in chars[at..end].iter().enumerate() {
            let inside = offset >= kept && offset + kept < end - at;
            code.push(if inside && character != '\n' { ' ' } else { character });
        }
        at = end;
    }
    code
}

/// Where the piece of source that starts at `at` ends, and how many of its characters to keep at either side.
fn extent(chars: &[char], at: usize) -> (usize, usize) {
    let next = chars.get(at + 1).copied();
    match (chars[at], next) {
        ('/', Some('/')) => (line_comment_end(chars, at), 0),
        ('/', Some('*')) => (block_comment_end(chars, at), 0),
        ('"', _) => (quoted_end(chars, at, '"'), 1),
        ('\'', Some('\\')) => (quoted_end(chars, at, '\''), 1),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (at + 3, 1),
        (first, _) if is_word_char(first) => match raw_string_end(chars, at) {
            Some(end) => (end, 0),
            None => (word_end(chars, at), usize::MAX / 2),
        },
        _ => (at + 1, 1),
    }
}

fn word_end(chars: &[char], at: usize) -> usize {
    let mut end = at;
    while end < chars.len() && is_word_char(chars[end]) {
        end += 1;
    }
    end
}

fn line_comment_end(chars: &[char], at: usize) -> usize {
    (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

/// Block comments nest.
fn block_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut i = at;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

/// End of a literal that ends at the first `quote` without a backslash before it.
fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            character if character == quote => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// End of `r"…"`, `r#"…"#`, `br"…"` or `cr"…"`; `None` when no raw string starts here (`r#ident` included).
fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let mut i = at;
    if matches!(chars[i], 'b' | 'c') {
        i += 1;
    }
    if chars.get(i) != Some(&'r') {
        return None;
    }
    i += 1;
    let hashes = chars[i..].iter().take_while(|&&character| character == '#').count();
    i += hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    let closes = |quote: usize| {
        chars[quote] == '"' && chars[quote + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((i + 1..chars.len()).find(|&quote| closes(quote)).map_or(chars.len(), |quote| quote + 1 + hashes))
}

/// Cuts blanked code into tokens.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (index, text) in code.lines().enumerate() {
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let length = if is_word_char(first) {
                rest.find(|c| !is_word_char(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            found.push(Token { text: &rest[..length], line: index + 1 });
            rest = rest[length..].trim_start();
        }
    }
    found
}

/// Index of the bracket that closes the one at `open`, or the last token when nothing does.
pub(crate) fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, token) in tokens[open..].iter().enumerate() {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return open + offset;
                }
            }
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}
