//! The rules that look at one Rust file.

use crate::lex::{Token, blank, is_word_char, tokens};
use crate::syntax::{Path, TestParts, attributes, functions, paths, test_parts};
use crate::tables::{
    BannedPath, CALLS, CANCELLING, CRATES, FILE_LINES_MAX, FLOORS, FUNCTION_LINES_MAX, Floor, IMPURE,
    IMPURE_WORDS, LEFTOVERS, LINE_COLUMNS_MAX, LOCKS, ORACLES, PACED, Scope,
};

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) remedy: String,
}

/// A Rust file under examination.
pub(crate) struct File<'a> {
    /// Relative to the root, with `/`.
    pub(crate) path: &'a str,
    pub(crate) source: &'a str,
    /// The whole file is test code: under `tests/` or `benches/`, or a test module in a file of its own.
    pub(crate) test: bool,
}

/// Everything the rules say about one file.
pub(crate) fn examine(file: &File<'_>) -> Vec<Violation> {
    let code = blank(file.source);
    let tokens = tokens(&code);
    let mut look =
        Look { file, tokens: &tokens, paths: paths(&tokens), tests: test_parts(&tokens), found: Vec::new() };
    look.header();
    look.sizes();
    look.leftovers();
    look.calls();
    look.reasons();
    look.unsafe_code();
    look.floors();
    look.purity();
    look.crates();
    look.found
}

/// Files that test modules of this file live in: each is `name.rs` or a folder `name/` beside the module.
pub(crate) fn test_module_files(path: &str, source: &str) -> Vec<String> {
    let code = blank(source);
    let tokens = tokens(&code);
    let parts = test_parts(&tokens);
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    let folder = match stem.rsplit_once('/') {
        Some((folder, "mod" | "lib" | "main")) => folder,
        _ => stem,
    };
    parts.modules.iter().map(|name| format!("{folder}/{name}")).collect()
}

/// The crates that this file names, for the rule that needs all files at once.
pub(crate) fn names_crate(file: &File<'_>, name: &str) -> Option<usize> {
    let code = blank(file.source);
    let tokens = tokens(&code);
    let tests = test_parts(&tokens);
    let names = |path: &Path<'_>| path.segments[..1] == [name] && !tests.contain(path.at);
    paths(&tokens).iter().find(|path| names(path)).map(|path| path.line)
}

struct Look<'a> {
    file: &'a File<'a>,
    tokens: &'a [Token<'a>],
    paths: Vec<Path<'a>>,
    tests: TestParts<'a>,
    found: Vec<Violation>,
}

impl<'a> Look<'a> {
    fn report(&mut self, line: usize, rule: &'static str, remedy: impl Into<String>) {
        self.found.push(Violation { path: self.file.path.to_owned(), line, rule, remedy: remedy.into() });
    }

    fn in_src(&self) -> bool {
        self.file.path.starts_with("src/")
    }

    fn is_test(&self, token: usize) -> bool {
        self.file.test || self.tests.contain(token)
    }

    /// The floor the file stands on; `None` for the roots and for files outside `src/`.
    fn floor(&self) -> Option<&'static Floor> {
        let name = floor_name(self.file.path)?;
        FLOORS.iter().find(|floor| floor.name == name)
    }

    fn header(&mut self) {
        let lines = self.file.source.lines().map_while(|line| line.strip_prefix("//!"));
        let text = lines.collect::<Vec<_>>().join(" ");
        let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if words.is_empty() {
            self.report(1, "header", "open the file with a `//!` header that says what lives there");
        } else if self.in_src() && !words.contains("Deliberately absent") {
            self.report(1, "header", "say in the header, after \"Deliberately absent:\", what is not here");
        }
    }

    fn sizes(&mut self) {
        let source = self.file.source;
        let lines = source.lines().count();
        if lines > FILE_LINES_MAX {
            let remedy = format!("{lines} lines; split it by idea into files of at most {FILE_LINES_MAX}");
            self.report(lines, "file length", remedy);
        }
        for (index, line) in source.lines().enumerate() {
            let columns = line.chars().count();
            if columns > LINE_COLUMNS_MAX {
                let remedy = format!("{columns} columns; wrap it at {LINE_COLUMNS_MAX}");
                self.report(index + 1, "line width", remedy);
            }
        }
        for function in functions(self.tokens) {
            if function.lines > FUNCTION_LINES_MAX {
                let (name, lines) = (function.name, function.lines);
                let remedy =
                    format!("`{name}` has {lines} lines; move leaves out, {FUNCTION_LINES_MAX} at most");
                self.report(function.line, "function length", remedy);
            }
        }
    }

    /// Unfinished work is looked for in comments too.
    fn leftovers(&mut self) {
        let source = self.file.source;
        for (index, line) in source.lines().enumerate() {
            let mut words = line.split(|c| !is_word_char(c));
            if words.any(|word| LEFTOVERS.contains(&word)) {
                self.report(index + 1, "leftover", "finish it, or write a sentence that says why it is so");
            }
        }
    }

    fn calls(&mut self) {
        for call in CALLS {
            for at in 0..self.tokens.len() {
                if self.matches(at, call.tokens) && self.in_scope(call.scope, at) {
                    self.report(self.tokens[at].line, "banned call", call.remedy);
                }
            }
        }
    }

    fn matches(&self, at: usize, pattern: &[&str]) -> bool {
        let rest = &self.tokens[at..];
        rest.len() >= pattern.len() && rest.iter().zip(pattern).all(|(token, want)| token.text == *want)
    }

    fn in_scope(&self, scope: Scope, at: usize) -> bool {
        let path = self.file.path;
        let ships = (self.in_src() || path.starts_with("loadtest/")) && !self.is_test(at);
        let top = ["src/app/", "src/main.rs", "loadtest/"];
        match scope {
            Scope::All => true,
            Scope::Product => ships,
            Scope::BelowApp => ships && !top.iter().any(|prefix| path.starts_with(prefix)),
            Scope::Integration => path.starts_with("tests/it/") && !self.paced(self.tokens[at].line),
        }
    }

    fn paced(&self, line: usize) -> bool {
        let around = self.file.source.lines().skip(line.saturating_sub(2)).take(2);
        around.into_iter().any(|text| text.contains(PACED))
    }

    fn reasons(&mut self) {
        for attribute in attributes(self.tokens) {
            let inside = &self.tokens[attribute.inside];
            let relaxes =
                inside.windows(2).any(|w| matches!(w[0].text, "allow" | "expect") && w[1].text == "(");
            let reasoned = inside.windows(2).any(|w| w[0].text == "reason" && w[1].text == "=");
            if relaxes && !reasoned {
                self.report(
                    attribute.line,
                    "reason",
                    "add `reason = \"…\"` to the attribute, or mend the cause",
                );
            }
        }
    }

    fn unsafe_code(&mut self) {
        if !self.in_src() || self.file.path.starts_with("src/io/") {
            return;
        }
        for token in self.tokens.iter().filter(|token| token.text == "unsafe") {
            self.report(token.line, "unsafe", "put it behind a safe face in src/io");
        }
    }

    fn floors(&mut self) {
        let Some(name) = floor_name(self.file.path) else { return };
        let Some(floor) = self.floor() else {
            self.report(1, "floor", format!("`{name}` is no floor; put the file on one of those in lib.rs"));
            return;
        };
        for (line, target) in self.floors_named() {
            if target == "*" {
                self.report(line, "floor", "name what you import from the crate");
            } else if target != floor.name
                && FLOORS.iter().any(|known| known.name == target)
                && !floor.below.contains(&target)
            {
                let remedy =
                    format!("{name}/ may not know {target}/; pass the value down or move the code up");
                self.report(line, "floor", remedy);
            }
        }
    }

    /// First word behind the crate root of every path that starts there, by `crate::` or by enough `super::`.
    fn floors_named(&self) -> Vec<(usize, &'a str)> {
        let depth = module_depth(self.file.path);
        let mut named = Vec::new();
        for path in &self.paths {
            let skip = usize::from(path.segments[0] == "self");
            let ups = path.segments[skip..].iter().take_while(|segment| **segment == "super").count();
            let from_root = ups > 0 && ups == depth + path.inline_depth;
            let root = if path.segments[0] == "crate" { 1 } else { skip + ups };
            if let Some(target) = path.segments.get(root)
                && (path.segments[0] == "crate" || from_root)
            {
                named.push((path.line, *target));
            }
        }
        named
    }

    fn purity(&mut self) {
        let Some(floor) = self.floor() else { return };
        let data_plane = floor.pure || matches!(floor.name, "worker" | "io");
        let mut found = Vec::new();
        for path in self.paths.iter().filter(|path| !self.is_test(path.at)) {
            let hits = |ban: &&BannedPath| names(&path.segments, ban.path);
            if floor.pure
                && let Some(ban) = IMPURE.iter().find(hits)
            {
                found.push((path.line, "purity", ban.remedy));
            }
            if data_plane && let Some(ban) = LOCKS.iter().find(hits) {
                found.push((path.line, "lock", ban.remedy));
            }
            if data_plane && let Some(ban) = CANCELLING.iter().find(hits) {
                found.push((path.line, "cancellation", ban.remedy));
            }
        }
        for (at, token) in self.tokens.iter().enumerate().filter(|_| floor.pure) {
            if let Some((_, remedy)) = IMPURE_WORDS.iter().find(|(word, _)| *word == token.text)
                && !self.is_test(at)
            {
                found.push((token.line, "purity", remedy));
            }
        }
        found.into_iter().for_each(|(line, rule, remedy)| self.report(line, rule, remedy));
    }

    fn crates(&mut self) {
        if !self.in_src() || ORACLES.iter().any(|end| self.file.path.ends_with(end)) {
            return;
        }
        let mut found = Vec::new();
        for path in self.paths.iter().filter(|path| !self.is_test(path.at)) {
            let Some(row) = CRATES.iter().find(|row| row.name == path.segments[0]) else { continue };
            if !row.homes.iter().any(|home| self.file.path.starts_with(home)) {
                let remedy = format!("`{}` may be named in {:?} only; wrap it there", row.name, row.homes);
                found.push((path.line, remedy));
            }
        }
        found.into_iter().for_each(|(line, remedy)| self.report(line, "crate", remedy));
    }
}

/// True if a path reaches what a ban names: itself, something inside it, or by a glob around it.
fn names(segments: &[&str], ban: &[&str]) -> bool {
    match segments.split_last() {
        Some((&"*", around)) if !around.is_empty() => ban.starts_with(around) || around.starts_with(ban),
        _ => segments.starts_with(ban),
    }
}

/// `wire` for `src/wire/buf.rs`, `fuzzing` for `src/fuzzing.rs`, nothing for the roots.
fn floor_name(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    match inside.split_once('/') {
        Some((floor, _)) => Some(floor),
        None => inside.strip_suffix(".rs").filter(|stem| !matches!(*stem, "lib" | "main")),
    }
}

/// How many modules the file's own module is below the crate root.
fn module_depth(path: &str) -> usize {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    inside.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main")).count()
}
