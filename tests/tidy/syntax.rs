//! What the rules need to know about a file's tokens: its paths, its functions and which parts are tests.

use std::ops::Range;

use crate::lex::{Token, closing};

/// A path such as `std::net::TcpStream`, with `use` groups taken apart and aliases ignored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    pub(crate) segments: Vec<&'a str>,
    /// Index of the token that ends it.
    pub(crate) at: usize,
    pub(crate) line: usize,
    /// How many inline modules of the file are open around it.
    pub(crate) inline_depth: usize,
    /// Named by `use` or `extern crate`.
    pub(crate) imported: bool,
}

/// Every path of the file in order. Single words count only where they are imported.
pub(crate) fn paths<'a>(tokens: &[Token<'a>]) -> Vec<Path<'a>> {
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let inline_depth = braces.iter().filter(|&&module| module).count();
        match tokens[i].text {
            "{" => braces.push(i >= 2 && tokens[i - 2].text == "mod"),
            "}" => {
                braces.pop();
            }
            // `use<'a>` is a precise capture, not an import.
            "use" if tokens.get(i + 1).is_some_and(|next| next.text != "<") => {
                let start = found.len();
                i = use_tree(tokens, i + 1, &[], &mut found);
                found[start..].iter_mut().for_each(|path| path.inline_depth = inline_depth);
                continue;
            }
            "crate" if i > 0 && tokens[i - 1].text == "extern" => {
                if let Some(name) = tokens.get(i + 1) {
                    let (segments, line) = (vec![name.text], name.line);
                    found.push(Path { segments, at: i + 1, line, inline_depth, imported: true });
                }
            }
            _ if tokens[i].is_word() => {
                let (segments, end) = plain(tokens, i);
                if segments.len() > 1 {
                    let line = tokens[i].line;
                    found.push(Path { segments, at: end, line, inline_depth, imported: false });
                }
                i = end;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// Words joined by `::`; returns them with the index of the last one.
fn plain<'a>(tokens: &[Token<'a>], at: usize) -> (Vec<&'a str>, usize) {
    let mut segments = vec![tokens[at].text];
    let mut end = at;
    while tokens.get(end + 1).is_some_and(|t| t.text == "::")
        && tokens.get(end + 2).is_some_and(Token::is_word)
    {
        end += 2;
        segments.push(tokens[end].text);
    }
    (segments, end)
}

/// One branch of a `use` tree; returns the index of the first token it did not take.
fn use_tree<'a>(tokens: &[Token<'a>], at: usize, prefix: &[&'a str], found: &mut Vec<Path<'a>>) -> usize {
    let mut segments = prefix.to_vec();
    let mut i = at;
    while let Some(token) = tokens.get(i) {
        match token.text {
            "::" => i += 1,
            "as" => i += 2,
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t.text != "}") {
                    i = use_tree(tokens, i, &segments, found);
                    i += usize::from(tokens.get(i).is_some_and(|t| t.text == ","));
                }
                return i + 1;
            }
            "*" => {
                segments.push("*");
                i += 1;
            }
            // `a::{self}` names `a`.
            "self" if !segments.is_empty() => i += 1,
            _ if token.is_word() => {
                segments.push(token.text);
                i += 1;
            }
            "$" => i += 1,
            _ => break,
        }
    }
    let last = i.saturating_sub(1).max(at).min(tokens.len().saturating_sub(1));
    let line = tokens.get(last).map_or(0, |token| token.line);
    found.push(Path { segments, at: last, line, inline_depth: 0, imported: true });
    // A branch that took nothing must still move on, or a malformed file would hold the walk here for ever.
    if i == at { i + 1 } else { i }
}

/// A function with a body: the line of `fn`, and how many lines it takes to the closing brace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function<'a> {
    pub(crate) name: &'a str,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// Every function with a body, nested ones included.
pub(crate) fn functions<'a>(tokens: &[Token<'a>]) -> Vec<Function<'a>> {
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let Some(name) = tokens.get(i + 1) else { break };
        if token.text != "fn" || !(name.is_word() || name.text == "$") {
            continue; // `fn(u8)` is a type.
        }
        let open = item_end(tokens, i);
        if tokens[open].text == "{" {
            let lines = tokens[closing(tokens, open)].line + 1 - token.line;
            found.push(Function { name: name.text, line: token.line, lines });
        }
    }
    found
}

/// Index of the `{` that opens an item's body or of the `;` that ends it, brackets of its signature skipped.
fn item_end(tokens: &[Token<'_>], from: usize) -> usize {
    let mut i = from;
    while i < tokens.len() {
        match tokens[i].text {
            "{" | ";" => return i,
            "(" | "[" => i = closing(tokens, i),
            _ => {}
        }
        i += 1;
    }
    tokens.len() - 1
}

/// An attribute: the tokens between its square brackets.
#[derive(Debug)]
pub(crate) struct Attribute {
    pub(crate) line: usize,
    pub(crate) inner: bool,
    pub(crate) inside: Range<usize>,
}

/// Every `#[…]` and `#![…]`.
pub(crate) fn attributes(tokens: &[Token<'_>]) -> Vec<Attribute> {
    let mut found = Vec::new();
    for (i, token) in tokens.iter().enumerate() {
        let inner = tokens.get(i + 1).is_some_and(|t| t.text == "!");
        let open = i + 1 + usize::from(inner);
        if token.text == "#" && tokens.get(open).is_some_and(|t| t.text == "[") {
            // An attribute that the file cuts off after `[` is empty.
            let inside = open + 1..closing(tokens, open).max(open + 1);
            found.push(Attribute { line: token.line, inner, inside });
        }
    }
    found
}

/// The parts of a file that exist for tests only.
#[derive(Debug, Default)]
pub(crate) struct TestParts<'a> {
    /// Ranges of token indices.
    pub(crate) ranges: Vec<Range<usize>>,
    /// Names of test modules that live in files of their own.
    pub(crate) modules: Vec<&'a str>,
}

impl TestParts<'_> {
    pub(crate) fn contain(&self, at: usize) -> bool {
        self.ranges.iter().any(|range| range.contains(&at))
    }
}

/// Items under `#[cfg(test)]` or `#[test]` (any attribute path that ends in `test`).
pub(crate) fn test_parts<'a>(tokens: &[Token<'a>]) -> TestParts<'a> {
    let mut parts = TestParts::default();
    for attribute in attributes(tokens) {
        let inside = &tokens[attribute.inside.clone()];
        if !marks_test(inside) {
            continue;
        }
        if attribute.inner {
            parts.ranges.push(0..tokens.len());
            continue;
        }
        let mut item = attribute.inside.end + 1;
        while tokens.get(item).is_some_and(|t| t.text == "#") {
            item = closing(tokens, item + 1) + 1;
        }
        if item >= tokens.len() {
            continue;
        }
        let end = item_end(tokens, item);
        if tokens[end].text == "{" {
            parts.ranges.push(item..closing(tokens, end) + 1);
            continue;
        }
        parts.ranges.push(item..end + 1);
        if end >= 2 && tokens[end - 2].text == "mod" {
            parts.modules.push(tokens[end - 1].text);
        }
    }
    parts
}

fn marks_test(inside: &[Token<'_>]) -> bool {
    let names = |word: &str| inside.iter().any(|t| t.text == word);
    match inside.first().map(|t| t.text) {
        Some("cfg") => names("test") && !names("not"),
        Some(_) => {
            // Only the attribute's path counts: `#[tokio::test(flavor = "…")]`.
            let path = inside.iter().take_while(|t| t.is_word() || t.text == "::");
            path.last().is_some_and(|t| t.text == "test")
        }
        None => false,
    }
}
