//! One thing wrong with the configuration: where it stands, what is there, and what would be right.
//!
//! Deliberately absent: the value of any secret. Whoever builds a [`Problem`] decides whether the value may
//! be shown.

use core::fmt;
use core::ops::Range;

/// A place in a text, for people: both count from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Position {
    /// The position of byte `offset` of `text`. An offset past the end is the end, one inside a character its
    /// start.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// Where the lines of a text begin: for many positions in a long one.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after_newlines =
            text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: core::iter::once(0).chain(after_newlines).collect() }
    }

    /// As [`Position::of`].
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts[line - 1];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }
}

/// One thing wrong. Prints as `file:line:column: key = value: what would be right`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the file, or `environment`, or `command line`.
    pub file: Box<str>,
    /// Where in the file; `None` when there is no such place.
    pub position: Option<Position>,
    /// Path of the key, such as `provider[0].base_url` (tables count from 0); empty for the file as a whole.
    pub key: Box<str>,
    /// The value as written, cut to one short line; `None` when absent or secret.
    pub value: Option<Box<str>>,
    /// What is wrong and what would be right.
    pub message: Box<str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        match (&*self.key, &self.value) {
            ("", _) => {}
            (key, None) => write!(f, ": {key}")?,
            (key, Some(value)) => write!(f, ": {key} = {value}")?,
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything wrong with a configuration, in the order of the file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Sorts the problems by place; `None` when there are none.
    #[must_use]
    pub fn new(mut problems: Vec<Problem>) -> Option<Self> {
        problems.sort_by_key(|problem| problem.position);
        problems.dedup();
        (!problems.is_empty()).then_some(Self(problems))
    }

    /// The problems, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.0
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    /// One problem per line, without a newline at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (turn, problem) in self.0.iter().enumerate() {
            if turn > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// Longest value shown, in characters.
const SHOWN_CHARACTERS: usize = 60;

/// The text at `span`, cut to its first line and to sixty characters, without control characters.
pub(super) fn excerpt(text: &str, span: Range<usize>) -> Box<str> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end).max(start);
    let whole = &text[start..end];
    let line = whole.lines().next().unwrap_or_default();
    let mut shown: String = line
        .chars()
        .take(SHOWN_CHARACTERS)
        .map(|character| if character.is_control() { '\u{fffd}' } else { character })
        .collect();
    if shown.len() < whole.len() {
        shown.push('…');
    }
    shown.into()
}

/// The candidate that `name` most likely was meant to be: at most two edits away, or a third of its length.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    if name.len() > 64 {
        return None;
    }
    let allowed = (name.chars().count() / 3).clamp(1, 2);
    candidates
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "; did you mean `x`?" when something is near enough, else nothing.
pub(super) fn did_you_mean<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> String {
    nearest(name, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

/// Edit distance with transpositions of neighbours (optimal string alignment), on ASCII-lower-cased
/// characters.
fn edits(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let text = "a = 1\nä = 2\n";
        for (offset, line, column) in
            [(0, 1, 1), (4, 1, 5), (5, 1, 6), (6, 2, 1), (7, 2, 1), (8, 2, 2), (13, 3, 1), (99, 3, 1)]
        {
            assert_eq!(Position::of(text, offset), Position { line, column }, "{offset}");
        }
    }

    #[test]
    fn excerpts_stay_short_and_printable() {
        assert_eq!(&*excerpt("ab\ncd", 0..5), "ab…");
        assert_eq!(&*excerpt("a\u{7}b", 0..3), "a\u{fffd}b");
        assert_eq!(excerpt(&"x".repeat(100), 0..100).chars().count(), SHOWN_CHARACTERS + 1);
        assert_eq!(&*excerpt("short", 3..99), "rt");
    }

    #[test]
    fn the_nearest_name_is_found() {
        let names = ["listen", "cores", "driver", "auth"];
        for (name, near) in [
            ("listne", Some("listen")),
            ("Listen", Some("listen")),
            ("core", Some("cores")),
            ("auht", Some("auth")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, names.iter().copied()), near, "{name}");
        }
    }
}
